/*
 * Opening a mailbox and the steps of a delivery.
 *
 * Everything is relative to opened directories and follows no symbolic link.
 * No locks: names are unique, and a rename within one file system is the
 * moment a message appears.  Nothing is flushed here: the runner flushes the
 * store for many deliveries at a time.
 *
 * Not here: what lies in a mailbox (list.c, message.c).  Any thread; a struct
 * maildir belongs to one thread at a time.
 */
#include "maildir/maildir.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#include "maildir/internal.h"
#include "maildir/name.h"
#include "maildir/sizes.h"

enum {
	COPY_CHUNK = 65536,
	PIECES_MAX = 8,
	OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

static const char *const parts[] = { "new", "cur", "tmp" };

/* --- opening ------------------------------------------------------------------- */

/* Open one component below `at`, made if asked for. */
static int
open_below(int at, const char *name, bool create, int *out, struct err *e)
{
	int fd = openat(at, name, OPEN_DIRECTORY);

	if (fd < 0 && errno == ENOENT && create) {
		if (file_mkdir(at, name, MAILDIR_DIR_MODE, e) != 0)
			return -1;
		fd = openat(at, name, OPEN_DIRECTORY);
	}
	if (fd < 0) {
		bool refused =
		    errno == ENOENT || errno == ENOTDIR || errno == ELOOP;

		(void)err_errno(e, "mailbox directory %s", name);
		if (refused)
			e->kind = ERR_PERM;
		return -1;
	}
	*out = fd;
	return 0;
}

/* Walk "domain/local" one component at a time. */
static int
open_path(int root, const char *path, bool create, int *out, struct err *e)
{
	char name[NAME_MAX + 1];
	struct slice rest = slice_str(path), part;
	int at = root, next;

	while (rest.data != NULL) {
		rest = slice_cut(rest, '/', &part);
		if (part.len == 0 || part.data[0] == '.' ||
		    !slice_copy(part, name, sizeof(name))) {
			(void)err_set(e, ERR_PERM, "not a mailbox path");
			next = -1;
		} else if (open_below(at, name, create, &next, e) != 0) {
			next = -1;
		}
		if (at != root)
			(void)close(at);
		if (next < 0)
			return -1;
		at = next;
	}
	*out = at;
	return 0;
}

static int
open_folder(int fd, const char *folder, bool create, int *out, struct err *e)
{
	int mark;

	if (folder[0] != '.' || folder[1] == '\0' || folder[1] == '.' ||
	    strchr(folder, '/') != NULL)
		return err_set(e, ERR_PERM, "not a folder name");
	if (open_below(fd, folder, create, out, e) != 0)
		return -1;
	if (!create)
		return 0;
	/* Maildir++: the mark that delivery agents look for */
	mark = openat(*out, "maildirfolder",
	    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, MAILDIR_FILE_MODE);
	if (mark >= 0)
		(void)close(mark);
	return 0;
}

/* A mailbox is ours or of the store's group, and not for all to write. */
static int
check_owner(int fd, int mail_root_fd, const char *path, struct err *e)
{
	struct stat st, root;

	if (fstat(fd, &st) != 0 || fstat(mail_root_fd, &root) != 0)
		return err_errno(e, "mailbox %s", path);
	if ((st.st_mode & S_IWOTH) != 0)
		return err_set(
		    e, ERR_PERM, "mailbox %s: anybody may write to it", path);
	if (st.st_uid != geteuid() && st.st_uid != root.st_uid &&
	    st.st_gid != root.st_gid)
		return err_set(
		    e, ERR_PERM, "mailbox %s: belongs to somebody else", path);
	return 0;
}

/* new, cur and tmp of a folder; takes root_fd over, also when it fails. */
static int
open_parts(int root_fd, struct maildir *out, struct err *e)
{
	struct maildir m = { root_fd, -1, -1, -1 };
	int *const fds[] = { &m.new_fd, &m.cur_fd, &m.tmp_fd };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		/* a mailbox others made may lack tmp/ */
		if (open_below(m.root_fd, parts[i], true, fds[i], e) != 0) {
			maildir_close(&m);
			return -1;
		}
	}
	*out = m;
	return 0;
}

int
maildir_open(int mail_root_fd, const char *path, const char *folder,
    bool create, struct maildir *out, struct err *e)
{
	int box, fd;

	if (open_path(mail_root_fd, path, create, &fd, e) != 0)
		return -1;
	if (check_owner(fd, mail_root_fd, path, e) != 0) {
		(void)close(fd);
		return -1;
	}
	if (folder[0] != '\0') {
		box = fd;
		if (open_folder(box, folder, create, &fd, e) != 0)
			fd = -1;
		(void)close(box);
		if (fd < 0)
			return -1;
	}
	return open_parts(fd, out, e);
}

int
maildir_open_sub(const struct maildir *root, const char *dir,
    struct maildir *out, struct err *e)
{
	int fd;

	if (open_folder(root->root_fd, dir, false, &fd, e) != 0)
		return -1;
	return open_parts(fd, out, e);
}

void
maildir_close(struct maildir *m)
{
	const int fds[] = { m->root_fd, m->new_fd, m->cur_fd, m->tmp_fd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	*m = (struct maildir){ -1, -1, -1, -1 };
}

/* --- delivering ------------------------------------------------------------------ */

/* A new file in tmp/; what an attempt before left there gives way. */
static int
create_tmp(const struct maildir *m, const char *name, struct err *e)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(m->tmp_fd, name, flags, MAILDIR_FILE_MODE);

	if (fd < 0 && errno == EEXIST && unlinkat(m->tmp_fd, name, 0) == 0)
		fd = openat(m->tmp_fd, name, flags, MAILDIR_FILE_MODE);
	if (fd < 0)
		return err_errno(e, "tmp/%s", name);
	return fd;
}

static int
write_pieces(int fd, const struct iovec *pieces, int count)
{
	struct iovec left[PIECES_MAX];
	struct iovec *at = left;

	if (count > PIECES_MAX) {
		errno = EINVAL;
		return -1;
	}
	memcpy(left, pieces, (size_t)count * sizeof(left[0]));
	while (count > 0) {
		ssize_t n = writev(fd, at, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		while (count > 0 && (size_t)n >= at->iov_len) {
			n -= (ssize_t)at->iov_len;
			at++;
			count--;
		}
		if (count > 0) {
			at->iov_base = (char *)at->iov_base + n;
			at->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* Close after writing; a failure takes the file away again. */
static int
finish_tmp(const struct maildir *m, const char *name, int fd, bool written,
    struct err *e)
{
	if (!written)
		(void)err_errno(e, "tmp/%s", name);
	if (close(fd) != 0 && written) {
		(void)err_errno(e, "tmp/%s", name);
		written = false;
	}
	if (written)
		return 0;
	(void)unlinkat(m->tmp_fd, name, 0);
	return -1;
}

int
maildir_write_tmp(const struct maildir *m, const char *name,
    const struct iovec *pieces, int count, struct err *e)
{
	int fd = create_tmp(m, name, e);

	if (fd < 0)
		return -1;
	return finish_tmp(m, name, fd, write_pieces(fd, pieces, count) == 0, e);
}

static int
copy_file(int from, int to)
{
	char *chunk = mem_alloc(COPY_CHUNK);
	ssize_t n;

	while ((n = read(from, chunk, COPY_CHUNK)) > 0) {
		if (file_write_all(to, chunk, (size_t)n) != 0) {
			n = -1;
			break;
		}
	}
	free(chunk);
	return n == 0 ? 0 : -1;
}

int
maildir_copy_tmp(const struct maildir *m, const char *name, int from_fd,
    const char *from_name, struct err *e)
{
	int in = openat(from_fd, from_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int out, rc;

	if (in < 0)
		return err_errno(e, "%s", from_name);
	out = create_tmp(m, name, e);
	if (out < 0) {
		(void)close(in);
		return -1;
	}
	rc = finish_tmp(m, name, out, copy_file(in, out) == 0, e);
	(void)close(in);
	return rc;
}

int
maildir_link_tmp(const struct maildir *m, const char *name, int from_fd,
    const char *from_name, struct err *e)
{
	int rc = linkat(from_fd, from_name, m->tmp_fd, name, 0);

	if (rc != 0 && errno == EEXIST && unlinkat(m->tmp_fd, name, 0) == 0)
		rc = linkat(from_fd, from_name, m->tmp_fd, name, 0);
	if (rc == 0)
		return 0;
	/* another file system, or too many links: a copy serves as well */
	if (errno == EXDEV || errno == EMLINK || errno == EPERM)
		return maildir_copy_tmp(m, name, from_fd, from_name, e);
	return err_errno(e, "tmp/%s", name);
}

int
maildir_publish(const struct maildir *m, const char *name, struct err *e)
{
	if (renameat(m->tmp_fd, name, m->new_fd, name) != 0)
		return err_errno(e, "new/%s", name);
	return 0;
}

int
maildir_publish_cur(const struct maildir *m, const char *name, uint8_t flags,
    char out[MAILDIR_NAME_SIZE], struct err *e)
{
	if (!maildir_with_flags(name, flags, out))
		return err_set(e, ERR_PERM, "%s: name too long", name);
	if (renameat(m->tmp_fd, name, m->cur_fd, out) != 0)
		return err_errno(e, "cur/%s", out);
	return 0;
}

int
maildir_publish_file(const struct maildir *m, const char *temporary,
    const struct maildir_origin *from, int fd, uint8_t flags,
    char out[MAILDIR_NAME_SIZE], struct err *e)
{
	char name[MAILDIR_NAME_SIZE];
	uint64_t size, wire;

	if (lseek(fd, 0, SEEK_SET) != 0 || fsync(fd) != 0)
		return err_errno(e, "tmp/%s", temporary);
	if (sizes_measure(fd, &size, &wire, e) != 0)
		return -1;
	maildir_delivery_name(
	    from->id, from->index, from->host, size, wire, name);
	if (!maildir_with_flags(name, flags, out))
		return err_set(e, ERR_PERM, "%s: name too long", name);
	if (renameat(m->tmp_fd, temporary, m->cur_fd, out) != 0)
		return err_errno(e, "cur/%s", out);
	return fsync(m->cur_fd) == 0 ? 0 : err_errno(e, "cur/%s", out);
}
