/*
 * Small helpers over files: read one, replace one, make a directory.
 *
 * Names are relative to a directory descriptor, links are not followed, and
 * what is not a regular file is not read, so that a file name under somebody
 * else's control cannot lead elsewhere or block.  The spool and the Maildir
 * have their own, faster rules for durability.
 *
 * Runs in any thread.
 */
#include "base/file.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/num.h"

int
file_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Close without touching errno, for the way out of a failure. */
static void
close_quietly(int fd)
{
	int error = errno;

	(void)close(fd);
	errno = error;
}

static int
read_to_end(int fd, const char *path, struct buf *out, struct err *e)
{
	enum {
		CHUNK = 16384
	};

	char extra = 0; /* for one byte too many */

	for (;;) {
		size_t want = num_min(CHUNK, out->max - out->len);
		char *at = want > 0 ? buf_reserve(out, want) : &extra;
		ssize_t n;

		if (at == NULL)
			break;
		n = read(fd, at, want > 0 ? want : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "read %s", path);
		if (n == 0)
			return 0;
		if (want == 0)
			break;
		buf_commit(out, (size_t)n);
	}
	errno = EFBIG;
	return err_set(e, ERR_PERM, "%s: more than %zu bytes", path, out->max);
}

int
file_read(int dirfd, const char *path, struct buf *out, struct err *e)
{
	size_t before = out->len;
	struct stat st;
	int fd, rc;

	/* O_NONBLOCK: opening a FIFO must not wait for its other end */
	fd = openat(dirfd, path,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_errno(e, "open %s", path);
	if (fstat(fd, &st) != 0) {
		rc = err_errno(e, "stat %s", path);
	} else if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		rc = err_set(e, ERR_PERM, "%s: not a regular file", path);
	} else {
		rc = read_to_end(fd, path, out, e);
	}
	if (rc != 0)
		buf_truncate(out, before);
	close_quietly(fd);
	return rc;
}

/* fsync the directory that `path` is in. */
static int
sync_directory_of(int dirfd, const char *path, struct err *e)
{
	char dir[PATH_MAX] = ".";
	ptrdiff_t slash = slice_rchr(slice_str(path), '/');
	int fd, rc = 0;

	/* the slash of "/name" is the directory itself */
	if (slash >= 0 &&
	    !slice_copy(slice_of(path, slash > 0 ? (size_t)slash : 1), dir,
		sizeof(dir))) {
		errno = ENAMETOOLONG;
		return err_errno(e, "open the directory of %s", path);
	}
	fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "open %s", dir);
	if (fsync(fd) != 0)
		rc = err_errno(e, "sync %s", dir);
	close_quietly(fd);
	return rc;
}

/* Write the file `tmp` completely and durably, or leave nothing. */
static int
write_new(
    int dirfd, const char *tmp, mode_t mode, struct slice data, struct err *e)
{
	int fd = openat(dirfd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int error;

	if (fd < 0)
		return err_errno(e, "create %s", tmp);
	if (fchmod(fd, mode) != 0 ||
	    file_write_all(fd, data.data, data.len) != 0 || fsync(fd) != 0) {
		(void)err_errno(e, "write %s", tmp);
		close_quietly(fd);
	} else if (close(fd) != 0) {
		(void)err_errno(e, "close %s", tmp);
	} else {
		return 0;
	}
	error = errno;
	(void)unlinkat(dirfd, tmp, 0);
	errno = error;
	return -1;
}

int
file_replace(int dirfd, const char *path, mode_t mode, const void *data,
    size_t len, struct err *e)
{
	char tmp[PATH_MAX], unique[SESSION_ID_SIZE];
	int n, error;

	session_id_new(unique);
	n = snprintf(tmp, sizeof(tmp), "%s.%s.tmp", path, unique);
	if (n < 0 || (size_t)n >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return err_errno(e, "replace %s", path);
	}
	if (write_new(dirfd, tmp, mode, slice_of(data, len), e) != 0)
		return -1;
	if (renameat(dirfd, tmp, dirfd, path) != 0) {
		(void)err_errno(e, "rename %s to %s", tmp, path);
		error = errno;
		(void)unlinkat(dirfd, tmp, 0);
		errno = error;
		return -1;
	}
	return sync_directory_of(dirfd, path, e);
}

int
file_mkdir(int dirfd, const char *path, mode_t mode, struct err *e)
{
	struct stat st;
	int fd, rc = 0;

	if (mkdirat(dirfd, path, mode & 0777) != 0) {
		if (errno != EEXIST)
			return err_errno(e, "mkdir %s", path);
		if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
			return err_errno(e, "stat %s", path);
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
		return err_errno(e, "mkdir %s", path);
	}
	/* mkdir obeys the umask and ignores the set-group-id bit */
	fd = openat(
	    dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "open %s", path);
	if (fchmod(fd, mode) != 0)
		rc = err_errno(e, "chmod %s", path);
	close_quietly(fd);
	return rc;
}

DIR *
file_list(int dirfd, const char *path)
{
	int fd = openat(
	    dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

	if (list == NULL && fd >= 0)
		close_quietly(fd);
	return list;
}

const char *
file_list_next(DIR *list)
{
	const struct dirent *entry;

	do {
		/* a stream of its own, so no other thread is in it */
		entry = list != NULL
		    ? readdir(list) /* NOLINT(concurrency-mt-unsafe) */
		    : NULL;
	} while (entry != NULL &&
	    (strcmp(entry->d_name, ".") == 0 ||
		strcmp(entry->d_name, "..") == 0));
	return entry != NULL ? entry->d_name : NULL;
}

void
file_list_end(DIR *list)
{
	if (list != NULL)
		(void)closedir(list);
}

int
file_check_mode(const char *path, mode_t forbidden, struct err *e)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		err_errno(e, "%s", path);
		e->kind = ERR_PERM;
		return -1;
	}
	if ((st.st_mode & forbidden) == 0)
		return 0;
	return err_set(e, ERR_PERM,
	    "%s is open to others: its mode is %04o, which must be without %04o",
	    path, (unsigned)(st.st_mode & 07777),
	    (unsigned)(st.st_mode & forbidden));
}

int
file_space(const char *path, struct file_space *out, struct err *e)
{
	struct statvfs fs;

	if (statvfs(path, &fs) != 0)
		return err_errno(e, "%s", path);
	out->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	out->total_bytes =
	    (uint64_t)(fs.f_blocks - fs.f_bfree + fs.f_bavail) * fs.f_frsize;
	if (out->total_bytes == 0)
		return err_set(e, ERR_TEMP, "%s: no size is known", path);
	out->used_percent =
	    (int)(100 - out->free_bytes * 100 / out->total_bytes);
	return 0;
}
