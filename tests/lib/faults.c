/*
 * Preloaded into the daemons under test: chosen system calls fail, or kill
 * their process before they are made, the clock is wrong, time passes.
 *
 * FAULTS_FILE names a file with struct control, mapped when a program starts
 * and shared by all, so that a test changes it while they run, whatever their
 * sandbox forbids; tests/e2e/lib/faults.py writes it.  Two ways to choose:
 *
 * - the at-th of some kinds of calls, counted over all processes, on paths
 *   below `prefix` (and /dev/shm/mailstead-*);
 * - rules: a call by name on paths that contain a text ("" = all) fails with
 *   an error (0: kills its process; below: is made so many milliseconds late)
 *   `times` times after letting `skip` pass, and counts in `hits`.
 *
 * Time passes for programs whose name contains `passing`: CLOCK_MONOTONIC is
 * so many seconds further, and waits of theirs that began before end as if
 * those seconds had gone by.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum kind {
	RULES_ONLY = 0,
	OPEN = 1,  /* any open */
	WRITE = 2, /* bytes and sizes */
	SYNC = 4,  /* flushes */
	NAME = 8,  /* names made or moved */
	UNLINK = 16,
	CLOSE = 32, /* of what was open for writing */
};

enum mode {
	OFF,
	COUNT,
	KILL,
	FAIL
};

enum {
	RULES = 512,  /* a slot is used once */
	SLICE_MS = 50 /* how soon a wait sees that time passed */
};

struct rule {
	char call[16];
	char path[96];
	_Atomic int error, skip, times, hits;
};

struct control {
	_Atomic int mode, calls, at, error, kinds;
	_Atomic int struck;
	_Atomic int clock_s; /* the wall clock is wrong by this */
	_Atomic int passed_s;
	_Atomic int rules_first, rules_end; /* in force */
	char prefix[256];
	char passing[28];
	struct rule rules[RULES];
};

static struct control *control;
static _Thread_local bool inside;

__attribute__((constructor)) static void
begin(void)
{
	const char *name = getenv("FAULTS_FILE");
	int fd;

	if (name == NULL)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	control = mmap(
	    NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		control = NULL;
	(void)syscall(SYS_close, fd);
}

static bool
is_ours(const char *path)
{
	return strncmp(path, control->prefix, strlen(control->prefix)) == 0 ||
	    strncmp(path, "/dev/shm/mailstead-", 19) == 0;
}

/* The path of a descriptor, or of a directory's entry. */
static void
path_of(int fd, const char *name, char *out, size_t size)
{
	char entry[64];
	ssize_t n = 0;

	if (name == NULL || name[0] != '/') {
		(void)snprintf(entry, sizeof(entry), "/proc/self/fd/%d", fd);
		n = readlink(entry, out, size - 1);
		n = n < 0 ? 0 : n;
	}
	(void)snprintf(out + n, size - (size_t)n, "%s%s",
	    n > 0 || name == NULL ? "/" : "", name != NULL ? name : "");
}

static bool
strike(void)
{
	if (atomic_fetch_add(&control->calls, 1) + 1 != control->at)
		return false;
	atomic_fetch_add(&control->struck, 1);
	if (control->mode == KILL)
		(void)syscall(SYS_kill, getpid(), SIGKILL);
	errno = control->error;
	return control->mode == FAIL;
}

static void
be_late(int ms)
{
	const struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };

	(void)syscall(SYS_nanosleep, &wait, NULL);
}

static bool
breaks_rule(const char *call, const char *path)
{
	for (int i = control->rules_first; i < control->rules_end; i++) {
		struct rule *r = &control->rules[i];

		if (r->times <= 0 || strcmp(r->call, call) != 0 ||
		    strstr(path, r->path) == NULL ||
		    atomic_fetch_sub(&r->skip, 1) > 0 ||
		    atomic_fetch_sub(&r->times, 1) <= 0)
			continue;
		atomic_fetch_add(&r->hits, 1);
		if (r->error == 0)
			(void)syscall(SYS_kill, getpid(), SIGKILL);
		if (r->error < 0) {
			be_late(-r->error);
			continue;
		}
		errno = r->error;
		return true;
	}
	return false;
}

static bool
counts(enum kind kind)
{
	return control->mode != OFF && (control->kinds & (int)kind) != 0;
}

/* Shall this call fail?  Then errno is set. */
static bool
fails(enum kind kind, const char *call, int fd, const char *name)
{
	char path[PATH_MAX * 2];
	int error = errno;

	if (control == NULL || inside ||
	    (!counts(kind) && control->rules_first == control->rules_end))
		return false;
	inside = true;
	path_of(fd, name, path, sizeof(path));
	inside = false;
	errno = error;
	return (counts(kind) && is_ours(path) && strike()) ||
	    breaks_rule(call, path);
}

/* A full disk takes a part first. */
static ssize_t
partly(int fd, const void *data, size_t len, off_t at)
{
	int error = errno;

	if (len > 1 && at >= 0)
		(void)syscall(SYS_pwrite64, fd, data, len / 2, at);
	errno = error;
	return -1;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
ssize_t
write(int fd, const void *data, size_t len)
{
	return fails(WRITE, "write", fd, NULL)
	    ? -1
	    : syscall(SYS_write, fd, data, len);
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	return fails(WRITE, "write", fd, NULL)
	    ? -1
	    : syscall(SYS_writev, fd, iov, count);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (fails(WRITE, "write", fd, NULL))
		return partly(fd, data, len, at);
	return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	if (fails(WRITE, "write", fd, NULL))
		return partly(fd, iov->iov_base, iov->iov_len, at);
	return syscall(SYS_pwritev, fd, iov, count, at, 0);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off_t at)
{
	return pwrite(fd, data, len, at);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off_t at)
{
	return pwritev(fd, iov, count, at);
}

ssize_t
read(int fd, void *data, size_t len)
{
	if (fails(RULES_ONLY, "read", fd, NULL))
		return -1;
	return syscall(SYS_read, fd, data, len);
}

ssize_t
pread(int fd, void *data, size_t len, off_t at)
{
	if (fails(RULES_ONLY, "read", fd, NULL))
		return -1;
	return syscall(SYS_pread64, fd, data, len, at);
}

ssize_t
pread64(int fd, void *data, size_t len, off_t at)
{
	return pread(fd, data, len, at);
}

/* "space" fails; "nospace" lies: all sizes are zero, whatever the error. */
static int
space(int fd, const char *path, struct statvfs *out)
{
	struct statfs fs;

	if (fails(RULES_ONLY, "space", path != NULL ? AT_FDCWD : fd, path))
		return -1;
	memset(out, 0, sizeof(*out));
	if (fails(RULES_ONLY, "nospace", path != NULL ? AT_FDCWD : fd, path))
		return 0;
	if ((path != NULL ? syscall(SYS_statfs, path, &fs)
			  : syscall(SYS_fstatfs, fd, &fs)) != 0)
		return -1;
	out->f_bsize = (unsigned long)fs.f_bsize;
	out->f_frsize = (unsigned long)fs.f_frsize;
	out->f_blocks = fs.f_blocks;
	out->f_bfree = fs.f_bfree;
	out->f_bavail = fs.f_bavail;
	return 0;
}

int
statvfs(const char *path, struct statvfs *out)
{
	return space(-1, path, out);
}

int
fstatvfs(int fd, struct statvfs *out)
{
	return space(fd, NULL, out);
}

ssize_t
getdents64(int fd, void *data, size_t len)
{
	if (fails(RULES_ONLY, "getdents", fd, NULL))
		return -1;
	return syscall(SYS_getdents64, fd, data, len);
}

int
accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if (fails(RULES_ONLY, "accept", fd, NULL))
		return -1;
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

int
ftruncate(int fd, off_t size)
{
	return fails(WRITE, "size", fd, NULL)
	    ? -1
	    : (int)syscall(SYS_ftruncate, fd, size);
}

int
fallocate(int fd, int how, off_t at, off_t len)
{
	if (fails(WRITE, "size", fd, NULL))
		return -1;
	return (int)syscall(SYS_fallocate, fd, how, at, len);
}

int
posix_fallocate(int fd, off_t at, off_t len)
{
	if (fails(WRITE, "size", fd, NULL))
		return errno;
	return syscall(SYS_fallocate, fd, 0, at, len) == 0 ? 0 : errno;
}

int
fsync(int fd)
{
	return fails(SYNC, "sync", fd, NULL) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails(SYNC, "sync", fd, NULL) ? -1
					     : (int)syscall(SYS_fdatasync, fd);
}

int
syncfs(int fd)
{
	return fails(SYNC, "sync", fd, NULL) ? -1
					     : (int)syscall(SYS_syncfs, fd);
}

/* "create" when a file may be made, else "open". */
static int
open_at(int dir_fd, const char *name, int flags, va_list ap)
{
	mode_t mode =
	    (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;

	if (fails(
		OPEN, (flags & O_CREAT) != 0 ? "create" : "open", dir_fd, name))
		return -1;
	return (int)syscall(SYS_openat, dir_fd, name, flags, mode);
}

#define OPENAT(function)                                           \
	int function(int dir_fd, const char *name, int flags, ...) \
	{                                                          \
		va_list ap;                                        \
		int fd;                                            \
		va_start(ap, flags);                               \
		fd = open_at(dir_fd, name, flags, ap);             \
		va_end(ap);                                        \
		return fd;                                         \
	}

#define OPEN_PATH(function)                              \
	int function(const char *name, int flags, ...)   \
	{                                                \
		va_list ap;                              \
		int fd;                                  \
		va_start(ap, flags);                     \
		fd = open_at(AT_FDCWD, name, flags, ap); \
		va_end(ap);                              \
		return fd;                               \
	}

OPENAT(openat)
OPENAT(openat64)
OPEN_PATH(open)
OPEN_PATH(open64)

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (fails(NAME, "rename", to_fd, to))
		return -1;
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	if (fails(NAME, "link", to_fd, to))
		return -1;
	return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int
mkdirat(int dir_fd, const char *name, mode_t mode)
{
	if (fails(NAME, "mkdir", dir_fd, name))
		return -1;
	return (int)syscall(SYS_mkdirat, dir_fd, name, mode);
}

int
unlinkat(int dir_fd, const char *name, int flags)
{
	if (fails(UNLINK, "unlink", dir_fd, name))
		return -1;
	return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
}

int
close(int fd)
{
	int error = 0;

	if (control != NULL && counts(CLOSE) &&
	    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY &&
	    fails(CLOSE, "close", fd, NULL))
		error = errno;
	if (syscall(SYS_close, fd) < 0)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

/* --- time ------------------------------------------------------------------- */

int
clock_gettime(clockid_t id, struct timespec *out)
{
	int rc = (int)syscall(SYS_clock_gettime, id, out);

	if (rc == 0 && control != NULL && id == CLOCK_REALTIME)
		out->tv_sec += control->clock_s;
	if (rc == 0 && control != NULL && id == CLOCK_MONOTONIC &&
	    control->passed_s != 0 &&
	    strstr(program_invocation_name, control->passing) != NULL)
		out->tv_sec += control->passed_s;
	return rc;
}

static long long
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int
poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	long long end = now_ms() + timeout_ms, left = SLICE_MS;
	int n;

	do {
		if (timeout_ms >= 0)
			left = end - now_ms();
		left = left < 0 ? 0 : left > SLICE_MS ? SLICE_MS : left;
		n = (int)syscall(SYS_poll, fds, count, (int)left);
	} while (n == 0 && (timeout_ms < 0 || now_ms() < end));
	return n;
}

/*
 * A limit of recv() is a slice: the program polls for the rest.  But for
 * libfcgi, which gives its request up.
 */
int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	const struct timeval slice = { .tv_usec = SLICE_MS * 1000 };

	if (level == SOL_SOCKET && name == SO_RCVTIMEO &&
	    strstr(program_invocation_name, "-cgi") == NULL)
		value = &slice;
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
