#ifndef PROC_INTERNAL_H
#define PROC_INTERNAL_H

#include <sys/types.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/compiler.h"
#include "base/err.h"
#include "proc/service.h"

/*
 * What the files of common/proc share; nothing for programs.
 *
 * The scoreboard is run/<name>.stat, mapped by the supervisor and inherited
 * by its workers; the supervisor holds a lock on it as long as it lives, which
 * is how others tell a running service from an old file.
 */
enum {
	SCOREBOARD_VERSION = 2, /* of the layout */
	WORKERS_MAX = 64,
	RETIRED_MAX = 4 * WORKERS_MAX
};

struct scoreboard {
	uint32_t magic, version;
	int32_t pid;
	uint32_t state; /* enum service_state */
	char program_version[32];
	int64_t started_wall_ms;
	uint64_t restarts;
	uint32_t workers;
	uint32_t listener_count;
	struct listener listeners[SERVICE_LISTENERS_MAX];
	/*
	 * One word a worker, written by it alone; a retired worker moves to
	 * the place behind WORKERS_MAX that came with the signal.
	 */
	_Atomic uint32_t connections[WORKERS_MAX + RETIRED_MAX];
};

/* ERR_PERM: another supervisor has it and keeps it for some seconds. */
int scoreboard_open(const char *state_dir, const char *name,
    struct scoreboard **out, int *fd_out, struct err *e) MUST_CHECK;

/* Tell $NOTIFY_SOCKET, if there is one (sd_notify(3)). */
void notify_supervisor(const char *text);

/*
 * Put in order what the process inherited: descriptors 0 to 2 are open, all
 * others but `keep_fd` (-1: none) closed, environment emptied, signals at
 * their defaults, blocked, and readable from *signal_fd_out.
 */
int process_prepare(int keep_fd, int *signal_fd_out, struct err *e) MUST_CHECK;

/*
 * Bind what `next` wants; `fds` has the sockets of `old` and then those of
 * `next`, in the order of the configuration.  What stays keeps its socket.
 * On failure the old ones listen as before.
 */
int listeners_bind(const struct service_config *old,
    const struct service_config *next, int *fds, struct err *e) MUST_CHECK;
bool listeners_same(
    const struct service_config *a, const struct service_config *b);
/* Stop listening, in all processes. */
void listeners_close(const struct service_config *c, const int *fds);

/* What a worker tells its supervisor, in one write. */
struct worker_report {
	pid_t pid;
	char failure[252]; /* "": it is up */
};

/* What a worker needs from its supervisor. */
struct worker_setup {
	struct worker worker;
	const int *listen_fds; /* as config->listeners */
	int report_fd;         /* for one struct worker_report */
	pid_t supervisor;
	struct scoreboard *board;
};

/* --- threads.c: the connections of a worker and who runs them ------------- */

void threads_start(struct worker_setup *setup);

/* Copied; false: there is no room (or no memory in the kernel) for it. */
bool threads_add(const struct connection *c) MUST_CHECK;

/* How many there are. */
unsigned threads_connections(void);

/* The same, written to a place on the scoreboard, now and from now on. */
unsigned threads_publish(unsigned place);

/* Until the last has ended; how many are left when the time, if not
 * NULL, is over. */
unsigned threads_wait_end(const struct timespec *until);

/* A detached thread; 0 or an errno. */
int thread_start(size_t stack_size, void *(*run)(void *), void *arg);

/* Waits by the clock that nobody can turn, and a time on it. */
void condition_init(pthread_cond_t *c);
void deadline_after(int ms, struct timespec *out);

/* Out of descriptors, memory or threads: say so once a minute. */
void complain(const char *what, int code);

/* --- worker.c ---------------------------------------------------------------- */

/* The whole life of a worker process; never returns. */
void worker_main(struct worker_setup *setup) NORETURN;

/* Serve one connection on the calling thread, as a worker would. */
int worker_serve_one(
    struct worker_setup *setup, int fd, struct err *e) MUST_CHECK;

#endif /* PROC_INTERNAL_H */
