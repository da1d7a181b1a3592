/*
 * Preloaded into the daemons under test: the k-th call of some kinds, counted
 * over all processes, fails or kills its process before it is made.
 *
 * FAULTS_FILE names a file with struct control, shared by all; FAULTS_PREFIX
 * is the path below which calls count (and /dev/shm/mailstead-*).
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind {
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

struct control {
	_Atomic int mode, calls, at, error, kinds;
	_Atomic int struck;
};

static struct control *control;
static char prefix[PATH_MAX];
static _Thread_local bool inside;

__attribute__((constructor)) static void
begin(void)
{
	const char *name = getenv("FAULTS_FILE"),
		   *top = getenv("FAULTS_PREFIX");
	int fd;

	if (name == NULL || top == NULL)
		return;
	(void)snprintf(prefix, sizeof(prefix), "%s/", top);
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
	return strncmp(path, prefix, strlen(prefix)) == 0 ||
	    strncmp(path, "/dev/shm/mailstead-", 19) == 0;
}

/* The path of a descriptor, or of a directory's entry. */
static bool
fd_is_ours(int fd)
{
	char entry[64], target[PATH_MAX];
	ssize_t n;

	(void)snprintf(entry, sizeof(entry), "/proc/self/fd/%d", fd);
	n = readlink(entry, target, sizeof(target) - 2);
	if (n < 0)
		return false;
	target[n] = '/';
	target[n + 1] = '\0';
	return is_ours(target);
}

static bool
at_is_ours(int dir_fd, const char *name)
{
	return name[0] == '/' ? is_ours(name) : fd_is_ours(dir_fd);
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

static bool
counts(enum kind kind)
{
	return control != NULL && control->mode != OFF && !inside &&
	    (control->kinds & (int)kind) != 0;
}

static bool
strikes_fd(enum kind kind, int fd)
{
	int error = errno;
	bool ours;

	if (!counts(kind))
		return false;
	inside = true;
	ours = fd_is_ours(fd);
	inside = false;
	errno = error;
	return ours && strike();
}

static bool
strikes_at(enum kind kind, int dir_fd, const char *name)
{
	int error = errno;
	bool ours;

	if (!counts(kind))
		return false;
	inside = true;
	ours = at_is_ours(dir_fd, name);
	inside = false;
	errno = error;
	return ours && strike();
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
	return strikes_fd(WRITE, fd) ? -1 : syscall(SYS_write, fd, data, len);
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	return strikes_fd(WRITE, fd) ? -1 : syscall(SYS_writev, fd, iov, count);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (strikes_fd(WRITE, fd))
		return partly(fd, data, len, at);
	return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	if (strikes_fd(WRITE, fd))
		return partly(fd, iov->iov_base, iov->iov_len, at);
	return syscall(SYS_pwritev, fd, iov, count, at, 0);
}

int
ftruncate(int fd, off_t size)
{
	return strikes_fd(WRITE, fd) ? -1
				     : (int)syscall(SYS_ftruncate, fd, size);
}

int
fallocate(int fd, int how, off_t at, off_t len)
{
	if (strikes_fd(WRITE, fd))
		return -1;
	return (int)syscall(SYS_fallocate, fd, how, at, len);
}

int
posix_fallocate(int fd, off_t at, off_t len)
{
	if (strikes_fd(WRITE, fd))
		return errno;
	return syscall(SYS_fallocate, fd, 0, at, len) == 0 ? 0 : errno;
}

int
fsync(int fd)
{
	return strikes_fd(SYNC, fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return strikes_fd(SYNC, fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
syncfs(int fd)
{
	return strikes_fd(SYNC, fd) ? -1 : (int)syscall(SYS_syncfs, fd);
}

int
openat(int dir_fd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (strikes_at(OPEN, dir_fd, name))
		return -1;
	return (int)syscall(SYS_openat, dir_fd, name, flags, mode);
}

int
open(const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (strikes_at(OPEN, AT_FDCWD, name))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (strikes_at(NAME, to_fd, to))
		return -1;
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	if (strikes_at(NAME, to_fd, to))
		return -1;
	return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int
mkdirat(int dir_fd, const char *name, mode_t mode)
{
	if (strikes_at(NAME, dir_fd, name))
		return -1;
	return (int)syscall(SYS_mkdirat, dir_fd, name, mode);
}

int
unlinkat(int dir_fd, const char *name, int flags)
{
	if (strikes_at(UNLINK, dir_fd, name))
		return -1;
	return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
}

int
close(int fd)
{
	int error = 0;

	if (counts(CLOSE) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY &&
	    strikes_fd(CLOSE, fd))
		error = errno;
	if (syscall(SYS_close, fd) < 0)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
