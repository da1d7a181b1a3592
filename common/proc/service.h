#ifndef PROC_SERVICE_H
#define PROC_SERVICE_H

#include <sys/types.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"

/*
 * The daemon skeleton.  A program declares a struct service and calls
 * service_main(); it never forks, starts accept threads, binds or drops
 * privileges itself.
 *
 * One supervisor (single-threaded, the only one that forks): calls
 * configure(), binds the listeners, pre-forks the workers, replaces a dead
 * one (at once the first time, then after 0.1 s doubling up to 10 s while they
 * die young), says READY=1 to $NOTIFY_SOCKET when all workers are up, polls
 * changed() twice a second (on a change: configure() again, listeners that
 * went away are closed, new ones bound, workers replaced gracefully only if
 * worker count or listeners differ), SIGHUP = the same at once, SIGTERM and
 * SIGINT = graceful stop (workers get `stop_grace_ms`, default 8 s, then
 * SIGKILL), and keeps the scoreboard file run/<name>.stat.
 * A disabled service keeps its supervisor, without listeners and workers.
 *
 * Each worker: drops to the service's user where the supervisor is root, sets
 * no_new_privs, rlimits, landlock and seccomp as declared, then
 * worker_start(), then one thread that only accepts, and connection threads
 * with small stacks, as many as there is work for or as wait; when all places
 * are taken busy() is called on the accepting thread.  A worker whose supervisor died ends itself
 * gracefully (PR_SET_PDEATHSIG and a check of getppid()).
 *
 * Signals are blocked in all threads; the main thread of a worker reads them.
 */
struct worker;

struct listener {
	struct ip ip; /* TCP; ignored when path is set */
	uint16_t port;
	char path[108]; /* UNIX socket instead; "" = TCP */
	int socktype;   /* for UNIX: SOCK_SEQPACKET or SOCK_STREAM */
	mode_t mode;    /* for UNIX */
	char group[64]; /* for UNIX: may connect as well; "" = nobody's */
	unsigned kind;  /* the program's own: plain, submission, TLS... */
};

enum {
	SERVICE_LISTENERS_MAX = 64,
	/*
	 * The kind of a connection inherited by `--serve-fd N` from who started
	 * the program: it is served without supervisor or listeners, then the
	 * program ends.
	 */
	SERVICE_INHERITED = 1000000
};

struct service_config {
	bool enabled;
	unsigned workers;
	unsigned connections; /* a worker's most threads at a time */
	struct listener listeners[SERVICE_LISTENERS_MAX];
	size_t listener_count;
	char user[64]; /* "" = do not change (development) */
	char log_dir[256];
	int64_t log_days; /* older log files are removed; 0 = never */
	/* Paths a worker may touch, for landlock; NULL-terminated lists that
	 * live as long as the process.  Both NULL = landlock is not used. */
	const char *const *read_paths;
	const char *const *write_paths;
};

struct connection {
	int fd; /* serve() owns it */
	unsigned kind;
	size_t listener;       /* index into the configuration at accept time */
	struct ip peer, local; /* zero for UNIX */
	uint16_t peer_port, local_port;
	void *data;            /* the program's; NULL at first */
	atomic_bool handed_on; /* threads.c */
};

enum turn {
	TURN_END,  /* never: it is over, c->fd is closed */
	TURN_READ, /* when there is more to read, which may be the end */
	TURN_LATER /* after service_resume(), which may have come already */
};

struct service {
	const char *name;  /* "mtad": scoreboard, log folder, setting prefix */
	size_t stack_size; /* of a connection thread; 0 = 128 KiB */
	unsigned stop_grace_ms;
	bool deny_outgoing; /* seccomp: no connect() but UNIX sockets */
	bool deny_exec;     /* seccomp: no execve, fork */
	/*
	 * For strangers' bytes: no path at all, no open, socket, exec or new
	 * process; only what is handed over by descriptor.
	 */
	bool jail;
	size_t memory_max; /* RLIMIT_AS in bytes; 0 = none */

	/*
	 * In the supervisor, before workers and on every change.  May open
	 * and close files and databases; must leave nothing open.  An error
	 * at start ends the program with exit code 1 and the text on stderr;
	 * later it is logged, the old configuration stays, and it is asked
	 * again soon.
	 */
	int (*configure)(
	    const char *state_dir, struct service_config *out, struct err *e);

	/* Has something changed since configure()?  Cheap; may be NULL. */
	bool (*changed)(const char *state_dir);

	/* In each worker, single-threaded, privileges already dropped. */
	int (*worker_start)(struct worker *w, struct err *e);

	/* One connection, on a pool thread; returns when it is over. */
	void (*serve)(struct worker *w, struct connection *c);

	/*
	 * Or, in place of serve(), for connections that rest for long: do
	 * what can be done with what has arrived, the first time with nothing
	 * yet, and say when to be called again, by whichever thread.  What
	 * must wait meanwhile says wait_begins() (base/wait.h).
	 */
	enum turn (*turn)(struct worker *w, struct connection *c);

	/*
	 * All connections are taken: say so without blocking; the caller closes.
	 * May be NULL.
	 */
	void (*busy)(struct worker *w, const struct connection *c);

	/* On the worker's main thread about twice a second; may be NULL. */
	void (*tick)(struct worker *w);

	/*
	 * Asked to stop: no new connections come any more; make the running
	 * ones end soon.  Called on the main thread, with turn() again twice a
	 * second, since no other clock looks after connections at rest; may
	 * be NULL.
	 */
	void (*worker_stop)(struct worker *w);
};

struct worker {
	const struct service *service;
	const struct service_config *config;
	const char *state_dir;
	unsigned index;    /* 0 .. workers-1; a replacement has the same */
	bool is_inherited; /* for one connection of --serve-fd, then it ends */
	void *data;        /* the program's */
};

/*
 * Parse `--state DIR` (or MAILSTEAD_STATE), `--foreground` (log also to
 * stderr), `--serve-fd N`, `--version`; run until stopped; returns the exit code.
 */
int service_main(const struct service *s, int argc, char **argv);

/* True once this worker (or supervisor) was asked to stop; any thread. */
bool service_stopping(void);

/* What a connection waited for (TURN_LATER) is there; any thread. */
void service_resume(struct connection *c);

/* Connections being served by this worker now. */
unsigned worker_connections(const struct worker *w);

/*
 * Start a thread in a worker with signals blocked, a name and a stack of
 * `stack_size` bytes (0 = 256 KiB).  It must end when service_stopping();
 * the worker waits for it.
 */
int worker_thread(struct worker *w, const char *name, size_t stack_size,
    void (*run)(struct worker *w, void *arg), void *arg,
    struct err *e) MUST_CHECK;

/* --- The scoreboard, for `mailstead status` and administration ---------- */

enum service_state {
	SERVICE_STOPPED, /* no supervisor */
	SERVICE_STARTING,
	SERVICE_RUNNING,
	SERVICE_DISABLED, /* supervised, switched off by setting */
	SERVICE_FAILING,  /* workers die young */
	SERVICE_STOPPING, /* nobody listens, workers end what they serve */
};

struct service_status {
	enum service_state state;
	pid_t pid; /* of the supervisor */
	char version[32];
	int64_t started_wall_ms;
	uint32_t workers, connections;
	uint64_t restarts; /* workers replaced after a crash */
	struct listener listeners[SERVICE_LISTENERS_MAX];
	size_t listener_count;
};

/*
 * Read run/<name>.stat; a file whose supervisor is gone (its lock is free)
 * reads as SERVICE_STOPPED.  Fails only when the file is damaged.
 */
int service_status_read(const char *state_dir, const char *name,
    struct service_status *out, struct err *e) MUST_CHECK;

const char *service_state_name(enum service_state s);

#endif /* PROC_SERVICE_H */
