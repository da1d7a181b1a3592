#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <sys/types.h>

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

/*
 * Small helpers over files.  Everything is opened O_CLOEXEC and O_NOFOLLOW.
 * A failed close after writing is a failed write; nothing is retried on the
 * same descriptor.  On -1 errno is the failed call's, so that a caller can
 * tell a missing file (ENOENT) from an unreadable one.
 */

/* Write all, or -1 with errno; EINTR is retried, a short write goes on. */
int file_write_all(int fd, const void *data, size_t len) MUST_CHECK;

/*
 * Append the whole regular file to `out`, at most its ceiling (ERR_PERM
 * beyond).  On -1 `out` is unchanged.
 */
int file_read(
    int dirfd, const char *path, struct buf *out, struct err *e) MUST_CHECK;

/*
 * Replace `path` by `data` so that a reader or a crash sees the old or the
 * new: temporary file, write, fsync, rename, fsync of the directory.
 */
int file_replace(int dirfd, const char *path, mode_t mode, const void *data,
    size_t len, struct err *e) MUST_CHECK;

/* mkdir with exactly this mode whatever the umask; existing is fine. */
int file_mkdir(
    int dirfd, const char *path, mode_t mode, struct err *e) MUST_CHECK;

/*
 * The names in a directory: NULL with errno, or to be ended.  The next one,
 * which is neither "." nor "..", or NULL at the end; of NULL there is none.
 */
DIR *file_list(int dirfd, const char *path) MUST_CHECK;
const char *file_list_next(DIR *list);
void file_list_end(DIR *list);

/*
 * Whoever may write what we trust is us: ERR_PERM when `path` has one of the
 * `forbidden` bits of its mode, or cannot be looked at.
 */
int file_check_mode(
    const char *path, mode_t forbidden, struct err *e) MUST_CHECK;

/* The file system a path is on, as its users see it (without root's reserve). */
struct file_space {
	uint64_t total_bytes, free_bytes;
	int used_percent;
};

int file_space(
    const char *path, struct file_space *out, struct err *e) MUST_CHECK;

#endif /* BASE_FILE_H */
