/*
 * run/<name>.stat: what a service is doing, for everybody who asks, and the
 * lock that keeps a second supervisor away.  Only that lock is waited for.
 */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/internal.h"

#define SCOREBOARD_MAGIC 0x5441534dU /* "MSAT" */

enum {
	PATH_SIZE = 4096,
	LOCK_WAIT_MS = 5000,
	STOP_WAIT_MS = 15000, /* more than a service takes to stop */
	LOCK_LOOK_MS = 20
};

static int
board_path(const char *state_dir, const char *name, char *out, struct err *e)
{
	int n = snprintf(out, PATH_SIZE, "%s/run/%s.stat", state_dir, name);

	if (n < 0 || n >= PATH_SIZE)
		return err_set(e, ERR_PERM, "state directory's name too long");
	return 0;
}

/*
 * By a descriptor of its own: a mapping keeps what it was made from open, so
 * the workers would hold on to the lock of a killed supervisor.
 */
static struct scoreboard *
map_board(const char *path, struct err *e)
{
	struct scoreboard *board = MAP_FAILED;
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int rc = 0;

	/*
	 * Never shorter: workers of a killed supervisor may still have it.
	 * With its blocks: on a full disk a write to the mapping would kill.
	 */
	if (fd >= 0)
		rc = posix_fallocate(fd, 0, sizeof(*board));
	if (rc != 0)
		errno = rc;
	if (fd >= 0 && rc == 0)
		board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		(void)err_errno(e, "%s", path);
	if (fd >= 0)
		(void)close(fd);
	return board == MAP_FAILED ? NULL : board;
}

static bool
is_stopping(int fd)
{
	uint32_t state;

	return pread(fd, &state, sizeof(state),
		   offsetof(struct scoreboard, state)) == sizeof(state) &&
	    state == SERVICE_STOPPING;
}

/*
 * A supervisor that was killed keeps its lock until the kernel has ended it,
 * which may take a while on a busy machine; so does a worker that it forked
 * just before, and one that is stopping until its workers are done.  Whoever
 * starts it again right away waits for them.
 */
static int
lock_board(int fd)
{
	const struct timespec pause = { 0, LOCK_LOOK_MS * 1000000 };
	int64_t start = clock_mono_ms();

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int64_t most = is_stopping(fd) ? STOP_WAIT_MS : LOCK_WAIT_MS;

		if (errno != EWOULDBLOCK || clock_mono_ms() - start >= most)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

int
scoreboard_open(const char *state_dir, const char *name,
    struct scoreboard **out, int *fd_out, struct err *e)
{
	char path[PATH_SIZE];
	struct scoreboard *board;
	int fd;

	if (board_path(state_dir, name, path, e) != 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(e, "%s", path);
	if (lock_board(fd) != 0) {
		(void)close(fd);
		return err_set(
		    e, ERR_PERM, "%s is running already (%s)", name, path);
	}
	board = map_board(path, e);
	if (board == NULL) {
		(void)close(fd);
		return -1;
	}
	memset(board, 0, sizeof(*board));
	board->version = SCOREBOARD_VERSION;
	board->pid = getpid();
	board->state = SERVICE_STARTING;
	board->started_wall_ms = clock_wall_ms();
	(void)snprintf(board->program_version, sizeof(board->program_version),
	    "%s", MAILSTEAD_VERSION);
	board->magic = SCOREBOARD_MAGIC;
	*out = board;
	*fd_out = fd;
	return 0;
}

/* Somebody holds the lock: the supervisor lives. */
static bool
is_held(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		(void)flock(fd, LOCK_UN);
		return false;
	}
	return true;
}

static void
fill_status(const struct scoreboard *b, struct service_status *out)
{
	/* a new supervisor has the lock, but has not written yet */
	if (kill(b->pid, 0) != 0 && errno == ESRCH) {
		out->state = SERVICE_STARTING;
		return;
	}
	out->state = (enum service_state)b->state;
	out->pid = b->pid;
	memcpy(out->version, b->program_version, sizeof(out->version));
	out->version[sizeof(out->version) - 1] = '\0';
	out->started_wall_ms = b->started_wall_ms;
	out->restarts = b->restarts;
	out->workers = b->workers;
	for (uint32_t i = 0; i < WORKERS_MAX + RETIRED_MAX; i++)
		out->connections += atomic_load_explicit(
		    &b->connections[i], memory_order_relaxed);
	out->listener_count = b->listener_count;
	memcpy(out->listeners, b->listeners, sizeof(out->listeners));
}

int
service_status_read(const char *state_dir, const char *name,
    struct service_status *out, struct err *e)
{
	struct scoreboard *b;
	char path[PATH_SIZE];
	ssize_t got;
	int rc = 0, fd;

	memset(out, 0, sizeof(*out));
	if (board_path(state_dir, name, path, e) != 0)
		return -1;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "%s", path);
	b = malloc(sizeof(*b));
	got = b != NULL ? read(fd, b, sizeof(*b)) : -1;
	/* first, for one of another version has another size */
	if (got >= (ssize_t)offsetof(struct scoreboard, pid) &&
	    b->magic == SCOREBOARD_MAGIC && b->version != SCOREBOARD_VERSION) {
		rc = err_set(e, ERR_PERM, "%s: of another version", path);
	} else if (got != (ssize_t)sizeof(*b) || b->magic != SCOREBOARD_MAGIC ||
	    b->state > SERVICE_STOPPING ||
	    b->listener_count > SERVICE_LISTENERS_MAX) {
		/* its supervisor is about to write it, or even to lock it */
		if (got == 0 || is_held(fd))
			out->state = SERVICE_STARTING;
		else
			rc = err_set(e, ERR_TEMP, "%s: not readable now", path);
	} else if (is_held(fd)) {
		fill_status(b, out);
	}
	free(b);
	(void)close(fd);
	return rc;
}

const char *
service_state_name(enum service_state s)
{
	static const char *const names[] = {
		[SERVICE_STOPPED] = "stopped",
		[SERVICE_STARTING] = "starting",
		[SERVICE_RUNNING] = "running",
		[SERVICE_DISABLED] = "disabled",
		[SERVICE_FAILING] = "failing",
		[SERVICE_STOPPING] = "stopping",
	};

	return names[s];
}

void
notify_supervisor(const char *text)
{
	/* set once before main(), never changed */
	const char *path = getenv("NOTIFY_SOCKET"); /* NOLINT */
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, len);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL,
	    (const struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}
