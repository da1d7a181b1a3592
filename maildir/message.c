/*
 * Single messages: opening, deleting, flags, moving and copying between
 * folders, expunging, stale files in tmp/.
 *
 * Nothing here needs a lock.  Whoever comes second finds the message under its
 * new name by its base, or learns that it is gone; a rename or unlink touches
 * exactly the file it names, so no other message is ever hit.
 *
 * Not here: quota accounting, which is the caller's (quota.c).  Any thread.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"

#include "maildir/internal.h"
#include "maildir/maildir.h"
#include "maildir/name.h"

enum {
	ATTEMPTS = 3
};

/* A descriptor of a regular file, or -1 with errno. */
static int
open_regular(int dir_fd, const char *name)
{
	struct stat st;
	/* NONBLOCK: a FIFO must not hold us up */
	int fd = openat(
	    dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		errno = ELOOP; /* as for a symbolic link: refused */
		return -1;
	}
	return fd;
}

static bool
is_gone(void)
{
	return errno == ENOENT || errno == ELOOP || errno == ESTALE;
}

int
maildir_open_message(
    const struct maildir *m, const char *name, int *fd_out, struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	int dir_fd;
	int fd = open_regular(m->cur_fd, name);

	if (fd < 0 && is_gone())
		fd = open_regular(m->new_fd, name);
	for (int attempt = 0; fd < 0 && attempt < ATTEMPTS; attempt++) {
		if (!is_gone())
			return err_errno(e, "%s", name);
		if (maildir_find(m, name, &dir_fd, now, e) != 0)
			return -1;
		fd = open_regular(dir_fd, now);
	}
	if (fd < 0)
		return err_set(e, ERR_TEMP, "%s: moves too fast", name);
	*fd_out = fd;
	return 0;
}

int
maildir_remove(const struct maildir *m, const char *name, struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	int dirfd;

	if (unlinkat(m->cur_fd, name, 0) == 0 ||
	    unlinkat(m->new_fd, name, 0) == 0)
		return 0;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (maildir_find(m, name, &dirfd, now, e) < 0)
			return -1;
		if (unlinkat(dirfd, now, 0) == 0)
			return 0;
		if (!is_gone())
			return err_errno(e, "delete %s", now);
	}
	return err_set(e, ERR_TEMP, "%s: moves too fast", name);
}

/* A flushed copy of it in tmp/NAME. */
static int
copy_flushed(const struct maildir *m, const char *name, int from_fd,
    const char *from_name, struct err *e)
{
	int fd, rc;

	if (maildir_copy_tmp(m, name, from_fd, from_name, e) != 0)
		return -1;
	fd = openat(m->tmp_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	rc = fd < 0 || fdatasync(fd) != 0 ? err_errno(e, "tmp/%s", name) : 0;
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* In one step, and not if a reader has moved it meanwhile. */
static int
exchange(const struct maildir *m, const char *name, int to_fd,
    const char *to_name, struct err *e)
{
	if (renameat2(m->tmp_fd, name, to_fd, to_name, RENAME_EXCHANGE) == 0)
		return 0;
	/* NFS cannot, and makes names durable at once */
	return errno == EINVAL ? 0 : err_errno(e, "%s", to_name);
}

int
maildir_rewrite(const struct maildir *m, const char *name, struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	int rc, dirfd;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (maildir_find(m, name, &dirfd, now, e) != 0)
			return e->kind == ERR_PERM ? 0 : -1;
		rc = copy_flushed(m, name, dirfd, now, e);
		if (rc == 0)
			rc = exchange(m, name, dirfd, now, e);
		(void)unlinkat(m->tmp_fd, name, 0);
		if (rc == 0)
			return 0;
		if (faccessat(dirfd, now, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return -1;
	}
	return err_set(e, ERR_TEMP, "%s: moves too fast", name);
}

static uint8_t
flags_of(const char *name)
{
	struct maildir_entry entry;

	(void)maildir_parse_name(name, &entry);
	return entry.flags;
}

/* What a change makes of a name; false if that would be too long. */
struct new_info {
	uint8_t add, remove;                  /* flags */
	uint32_t add_letters, remove_letters; /* bit 0 = 'a' */
};

static bool
with_info(const char *name, const struct new_info *change,
    char out[MAILDIR_NAME_SIZE])
{
	uint8_t flags = (uint8_t)((flags_of(name) | change->add) &
	    (uint8_t)~change->remove);
	char flagged[MAILDIR_NAME_SIZE];

	return maildir_with_flags(name, flags, flagged) &&
	    maildir_with_letters(
		flagged, change->add_letters, change->remove_letters, out);
}

static int
change_info(const struct maildir *m, const char *name,
    const struct new_info *change, char out[MAILDIR_NAME_SIZE], struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	int dirfd;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (maildir_find(m, name, &dirfd, now, e) < 0)
			return -1;
		if (!with_info(now, change, out))
			return err_set(e, ERR_PERM, "%s: name too long", now);
		if (renameat(dirfd, now, m->cur_fd, out) == 0)
			return 0;
		if (!is_gone())
			return err_errno(e, "rename %s", now);
	}
	return err_set(e, ERR_TEMP, "%s: moves too fast", name);
}

int
maildir_set_flags(const struct maildir *m, const char *name, uint8_t add,
    uint8_t remove, char out[MAILDIR_NAME_SIZE], struct err *e)
{
	const struct new_info change = { .add = add, .remove = remove };

	return change_info(m, name, &change, out, e);
}

int
maildir_set_letters(const struct maildir *m, const char *name, uint32_t add,
    uint32_t remove, char out[MAILDIR_NAME_SIZE], struct err *e)
{
	const struct new_info change = { .add_letters = add,
		.remove_letters = remove };

	return change_info(m, name, &change, out, e);
}

/* The name for another folder: the same, or with a new id before the sizes. */
static void
name_elsewhere(const char *name, bool fresh, char out[MAILDIR_NAME_SIZE])
{
	size_t unique = strcspn(name, ",:");
	char id[ID_SIZE];
	int n;

	(void)snprintf(out, MAILDIR_NAME_SIZE, "%s", name);
	if (!fresh)
		return;
	id_new(id);
	n = snprintf(out, MAILDIR_NAME_SIZE, "%s.copy%s", id, name + unique);
	/* Only a foreign name of nearly 255 bytes is too long. */
	if (n < 0 || n >= MAILDIR_NAME_SIZE)
		(void)snprintf(out, MAILDIR_NAME_SIZE, "%s.copy", id);
}

/*
 * Where the file system has no rename that replaces nothing (NFS): by a link.
 * A crash in between leaves two copies, never none.
 */
static int
move_by_link(int from_fd, const char *from, int to_fd, const char *to)
{
	int saved;

	if (linkat(from_fd, from, to_fd, to, 0) < 0)
		return -1;
	if (unlinkat(from_fd, from, 0) == 0)
		return 0;
	/* Perhaps somebody else was faster: one of us wins. */
	saved = errno;
	(void)unlinkat(to_fd, to, 0);
	errno = saved;
	return -1;
}

/* EEXIST when the name is taken, which is not replaced. */
static int
move_file(int from_fd, const char *from, int to_fd, const char *to)
{
	int rc = renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE);

	if (rc < 0 && (errno == EINVAL || errno == ENOSYS))
		rc = move_by_link(from_fd, from, to_fd, to);
	return rc;
}

int
maildir_move(const struct maildir *from, const struct maildir *to,
    const char *name, char out[MAILDIR_NAME_SIZE], struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	int dirfd;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (maildir_find(from, name, &dirfd, now, e) < 0)
			return -1;
		name_elsewhere(now, attempt > 0, out);
		if (move_file(dirfd, now, to->cur_fd, out) == 0)
			return 0;
		if (errno != EEXIST && !is_gone())
			return err_errno(e, "move %s", now);
	}
	return err_set(e, ERR_TEMP, "%s: moves too fast", name);
}

int
maildir_copy(const struct maildir *from, const struct maildir *to,
    const char *name, char out[MAILDIR_NAME_SIZE], struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	int dirfd;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (maildir_find(from, name, &dirfd, now, e) < 0)
			return -1;
		name_elsewhere(now, true, out);
		if (linkat(dirfd, now, to->cur_fd, out, 0) == 0)
			return 0;
		if (errno == EXDEV || errno == EMLINK || errno == EPERM) {
			if (maildir_copy_tmp(to, out, dirfd, now, e) != 0)
				return -1;
			if (renameat(to->tmp_fd, out, to->cur_fd, out) < 0)
				return err_errno(e, "copy %s", now);
			return 0;
		}
		if (!is_gone() && errno != EEXIST)
			return err_errno(e, "copy %s", now);
	}
	return err_set(e, ERR_TEMP, "%s: moves too fast", name);
}

/* --- Stale files in tmp/ ------------------------------------------------------ */

struct cleaning {
	int dirfd;
	int64_t older_than_s;
	size_t removed;
};

static bool
clean_visit(void *arg, const char *name, unsigned char type)
{
	struct cleaning *c = arg;
	struct stat st;

	(void)type;
	if (fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	/* Linking into tmp/ keeps the old mtime but renews the ctime. */
	if (st.st_mtim.tv_sec >= c->older_than_s ||
	    st.st_ctim.tv_sec >= c->older_than_s)
		return true;
	if (S_ISDIR(st.st_mode)) {
		struct err e;

		if (maildir_remove_tree(c->dirfd, name, &e) == 0)
			c->removed++;
	} else if (unlinkat(c->dirfd, name, 0) == 0)
		c->removed++;
	return true;
}

int
maildir_clean_tmp(const struct maildir *m, int64_t now_wall_ms,
    size_t *removed_out, struct err *e)
{
	struct cleaning c = { m->tmp_fd,
		now_wall_ms / 1000 - MAILDIR_TMP_SECONDS, 0 };

	if (maildir_walk_any(m->tmp_fd, clean_visit, &c, e) < 0)
		return -1;
	*removed_out = c.removed;
	return 0;
}

void
maildir_tidy(const struct maildir *m, int64_t now_wall_ms)
{
	enum {
		DAY_S = 86400
	};

	struct stat st;
	size_t removed;
	struct err e;

	if (fstat(m->tmp_fd, &st) == 0 &&
	    st.st_mtim.tv_sec / DAY_S < now_wall_ms / 1000 / DAY_S &&
	    maildir_clean_tmp(m, now_wall_ms, &removed, &e) != 0)
		log_warning("tmp: %s", e.text);
}
