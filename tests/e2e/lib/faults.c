/*
 * A library put before a daemon's (LD_PRELOAD) that makes chosen system calls
 * fail: what no disk here can be asked to do.  tests/e2e/lib/faults.py builds
 * and drives it.
 *
 * FAULTS names a file of rules, mapped when the program starts and shared
 * with all it forks, so a test changes them while the daemon runs, whatever
 * the daemon's sandbox forbids.  A rule is for one call, for paths that
 * contain its text ("" = all), fails with its error `times` times after
 * letting `skip` calls pass, and counts in `hits`.
 *
 * A rule for "clock" lets time pass: programs whose name contains its text
 * find CLOCK_MONOTONIC its `error` seconds further, and waits of theirs that
 * began before end as if those seconds had gone by.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	RULES = 16,
	SLICE_MS = 50 /* how soon a wait sees that time passed */
};

struct rule {
	char call[16];
	char path[96];
	atomic_int error, skip, times, hits;
};

static struct rule *rules;

__attribute__((constructor)) static void
map_rules(void)
{
	const char *name = getenv("FAULTS");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, RULES * sizeof(struct rule), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		rules = p;
	close(fd);
}

static void
path_of(int fd, const char *name, char *out, size_t size)
{
	char link[64];
	ssize_t n = 0;

	if (name == NULL || name[0] != '/') {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, out, size - 1);
		n = n < 0 ? 0 : n;
	}
	snprintf(out + n, size - (size_t)n, "/%s", name ? name : "");
}

/* Shall this call fail?  Then errno is set. */
static int
fails(const char *call, int fd, const char *name)
{
	char path[PATH_MAX * 2];
	int kept = errno;

	path[0] = '\0';
	for (int i = 0; rules != NULL && i < RULES; i++) {
		struct rule *r = &rules[i];

		if (atomic_load(&r->times) <= 0 || strcmp(r->call, call) != 0)
			continue;
		if (path[0] == '\0')
			path_of(fd, name, path, sizeof(path));
		if (strstr(path, r->path) == NULL ||
		    atomic_fetch_sub(&r->skip, 1) > 0 ||
		    atomic_fetch_sub(&r->times, 1) <= 0)
			continue;
		atomic_fetch_add(&r->hits, 1);
		errno = atomic_load(&r->error);
		return 1;
	}
	errno = kept;
	return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define ON_FD(type, name, call, params, args)                        \
	type name params                                             \
	{                                                            \
		return fails(call, fd, NULL) ? -1 : REAL(name) args; \
	}

ON_FD(ssize_t, read, "read", (int fd, void *p, size_t n), (fd, p, n))
ON_FD(ssize_t, write, "write", (int fd, const void *p, size_t n), (fd, p, n))
ON_FD(ssize_t, writev, "write", (int fd, const struct iovec *v, int n),
    (fd, v, n))
ON_FD(ssize_t, pwrite, "write", (int fd, const void *p, size_t n, off_t at),
    (fd, p, n, at))
ON_FD(ssize_t, pwrite64, "write", (int fd, const void *p, size_t n, off_t at),
    (fd, p, n, at))
ON_FD(ssize_t, pwritev, "write",
    (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(ssize_t, pwritev64, "write",
    (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(int, fsync, "sync", (int fd), (fd))
ON_FD(int, fdatasync, "sync", (int fd), (fd))
ON_FD(ssize_t, getdents64, "getdents", (int fd, void *p, size_t n), (fd, p, n))

int
unlinkat(int fd, const char *name, int flags)
{
	return fails("unlink", fd, name) ? -1 : REAL(unlinkat)(fd, name, flags);
}

int
mkdirat(int fd, const char *name, mode_t mode)
{
	return fails("mkdir", fd, name) ? -1 : REAL(mkdirat)(fd, name, mode);
}

int
renameat(int from, const char *name, int fd, const char *to)
{
	return fails("rename", fd, to) ? -1
				       : REAL(renameat)(from, name, fd, to);
}

int
linkat(int from, const char *name, int fd, const char *to, int flags)
{
	return fails("link", fd, to) ? -1
				     : REAL(linkat)(from, name, fd, to, flags);
}

/* "create" when a file may be made, else "open". */
static int
open_fails(int fd, const char *name, int flags)
{
	return fails((flags & O_CREAT) != 0 ? "create" : "open", fd, name);
}

static mode_t
mode_of(int flags, va_list args)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
}

#define OPENAT(name)                                       \
	int name(int fd, const char *path, int flags, ...) \
	{                                                  \
		va_list args;                              \
		mode_t mode;                               \
		va_start(args, flags);                     \
		mode = mode_of(flags, args);               \
		va_end(args);                              \
		return open_fails(fd, path, flags)         \
		    ? -1                                   \
		    : REAL(name)(fd, path, flags, mode);   \
	}

#define OPEN(name)                                       \
	int name(const char *path, int flags, ...)       \
	{                                                \
		va_list args;                            \
		mode_t mode;                             \
		va_start(args, flags);                   \
		mode = mode_of(flags, args);             \
		va_end(args);                            \
		return open_fails(AT_FDCWD, path, flags) \
		    ? -1                                 \
		    : REAL(name)(path, flags, mode);     \
	}

OPENAT(openat)
OPENAT(openat64)
OPEN(open)
OPEN(open64)

int
accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return fails("accept", fd, NULL) ? -1
					 : REAL(accept4)(fd, addr, len, flags);
}

/* --- time that passes on demand ------------------------------------------------- */

static int
seconds_passed(void)
{
	int sum = 0;

	for (int i = 0; rules != NULL && i < RULES; i++) {
		if (strcmp(rules[i].call, "clock") == 0 &&
		    atomic_load(&rules[i].times) > 0 &&
		    strstr(program_invocation_name, rules[i].path) != NULL)
			sum += atomic_load(&rules[i].error);
	}
	return sum;
}

int
clock_gettime(clockid_t id, struct timespec *out)
{
	int rc = REAL(clock_gettime)(id, out);

	if (rc == 0 && id == CLOCK_MONOTONIC)
		out->tv_sec += seconds_passed();
	return rc;
}

static long long
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
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
		n = REAL(poll)(fds, count, (int)left);
	} while (n == 0 && (timeout_ms < 0 || now_ms() < end));
	return n;
}

/* A limit of recv() is a slice: the program polls for the rest. */
int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	const struct timeval slice = { .tv_usec = SLICE_MS * 1000 };

	if (level == SOL_SOCKET && name == SO_RCVTIMEO)
		value = &slice;
	return REAL(setsockopt)(fd, level, name, value, len);
}
