#ifndef PROC_INTERNAL_H
#define PROC_INTERNAL_H

#include <sys/types.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

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
	SCOREBOARD_VERSION = 1,
	WORKERS_MAX = 64
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
	/* one word a worker, written by it alone */
	_Atomic uint32_t connections[WORKERS_MAX];
};

/* ERR_PERM: another supervisor has it. */
int scoreboard_open(const char *state_dir, const char *name,
    struct scoreboard **out, int *fd_out, struct err *e) MUST_CHECK;

/* Tell $NOTIFY_SOCKET, if there is one (sd_notify(3)). */
void notify_supervisor(const char *text);

/* What a worker needs from its supervisor. */
struct worker_setup {
	struct worker worker;
	const int *listen_fds; /* as config->listeners */
	int ready_fd;          /* one byte when it is up */
	pid_t supervisor;
	struct scoreboard *board;
};

/* The whole life of a worker process; never returns. */
void worker_main(struct worker_setup *setup) NORETURN;

/* Serve one connection on the calling thread, as a worker would. */
int worker_serve_one(
    struct worker_setup *setup, int fd, struct err *e) MUST_CHECK;

#endif /* PROC_INTERNAL_H */
