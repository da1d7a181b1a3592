/*
 * Maildir++ folders: directories of the mailbox whose names begin with a dot,
 * each a Maildir of its own with the file `maildirfolder`.
 *
 * A folder goes away in one step: it is renamed into tmp/, where it is taken
 * apart; what a crash leaves there is cleaned like any stale file of tmp/.
 * Renaming takes the folders below along, one rename each.
 *
 * Names are translated in utf7.c.  Any thread.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"

#include "maildir/internal.h"
#include "maildir/maildir.h"

enum {
	DEPTH_MAX = 16,
	FOLDERS_MAX = 100000
};

static bool
is_folder_dir(const char *dir)
{
	return dir[0] == '.' && dir[1] != '\0' && dir[1] != '.' &&
	    strchr(dir, '/') == NULL && strlen(dir) < MAILDIR_NAME_SIZE;
}

static int
check_dir(const char *dir, struct err *e)
{
	if (!is_folder_dir(dir))
		return err_set(e, ERR_PERM, "not a folder name");
	return 0;
}

/* --- listing -------------------------------------------------------------------- */

struct listing {
	struct maildir_folders *out;
	int root_fd;
	size_t alloc;
};

/* A foreign directory's text, fit to be shown. */
static char *
printable(struct pool *pool, const char *dir)
{
	char *text = pool_strdup(pool, dir + 1);

	for (char *p = text; *p != '\0'; p++) {
		if (*p == '.')
			*p = '/';
		else if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	}
	return text;
}

static bool
is_directory(int root_fd, const char *name, unsigned char type)
{
	struct stat st;

	if (type != DT_UNKNOWN)
		return type == DT_DIR;
	return fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

static bool
visit_folder(void *arg, const char *name, unsigned char type)
{
	struct listing *l = arg;
	struct maildir_folders *f = l->out;
	struct maildir_folder *folder;
	char text[MAILDIR_NAME_SIZE];

	if (!is_folder_dir(name) || !is_directory(l->root_fd, name, type))
		return true;
	f->items =
	    mem_grow(f->items, &l->alloc, f->count + 1, sizeof(*f->items));
	folder = &f->items[f->count++];
	folder->dir = pool_strdup(&f->pool, name);
	folder->name = maildir_folder_decode(name, text, sizeof(text))
	    ? pool_strdup(&f->pool, text)
	    : printable(&f->pool, name);
	return f->count < FOLDERS_MAX;
}

static int
by_name(const void *a, const void *b)
{
	const struct maildir_folder *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : strcmp(x->dir, y->dir);
}

int
maildir_folder_list(
    const struct maildir *root, struct maildir_folders *out, struct err *e)
{
	struct maildir_folders found = { 0 };
	struct listing l = { &found, root->root_fd, 0 };

	if (maildir_walk_any(root->root_fd, visit_folder, &l, e) != 0) {
		maildir_folders_release(&found);
		return -1;
	}
	if (found.count > 1)
		qsort(found.items, found.count, sizeof(*found.items), by_name);
	*out = found;
	return 0;
}

void
maildir_folders_release(struct maildir_folders *f)
{
	free(f->items);
	pool_release(&f->pool);
	memset(f, 0, sizeof(*f));
}

/* --- changing ------------------------------------------------------------------- */

int
maildir_folder_create(
    const struct maildir *root, const char *dir, struct err *e)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	int fd, mark, rc = 0;

	if (check_dir(dir, e) != 0)
		return -1;
	if (mkdirat(root->root_fd, dir, MAILDIR_DIR_MODE) != 0) {
		if (errno == EEXIST)
			return err_set(
			    e, ERR_PERM, "the folder exists already");
		return err_errno(e, "folder %s", dir);
	}
	fd = openat(root->root_fd, dir,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "folder %s", dir);
	for (size_t i = 0; i < ARRAY_LEN(parts) && rc == 0; i++)
		rc = file_mkdir(fd, parts[i], MAILDIR_DIR_MODE, e);
	if (rc == 0) {
		mark = openat(fd, "maildirfolder",
		    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
		    MAILDIR_FILE_MODE);
		if (mark < 0)
			rc = err_errno(e, "folder %s", dir);
		else
			(void)close(mark);
	}
	(void)close(fd);
	return rc;
}

static int
rename_one(int root_fd, const char *from, const char *to, struct err *e)
{
	if (renameat2(root_fd, from, root_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST)
		return err_set(e, ERR_PERM, "the folder exists already");
	if (errno == ENOENT)
		return err_set(e, ERR_PERM, "no such folder");
	return err_errno(e, "rename folder %s", from);
}

/* ".Work.Old" lies below ".Work". */
static bool
is_below(const char *dir, const char *parent)
{
	size_t len = strlen(parent);

	return strncmp(dir, parent, len) == 0 && dir[len] == '.';
}

/* What a folder below `from` is called below `to`; false: too long. */
static bool
moved_name(const char *dir, const char *from, const char *to,
    char out[MAILDIR_NAME_SIZE])
{
	int n =
	    snprintf(out, MAILDIR_NAME_SIZE, "%s%s", to, dir + strlen(from));

	return n > 0 && n < MAILDIR_NAME_SIZE;
}

/* Is there a place for each folder that would move? */
static int
check_places(int root_fd, const struct maildir_folders *all, const char *from,
    const char *to, struct err *e)
{
	char moved[MAILDIR_NAME_SIZE];
	struct stat st;

	for (size_t i = 0; i < all->count; i++) {
		const char *dir = all->items[i].dir;

		if (!is_below(dir, from))
			continue;
		if (!moved_name(dir, from, to, moved))
			return err_set(e, ERR_PERM, "folder name too long");
		if (fstatat(root_fd, moved, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return err_set(
			    e, ERR_PERM, "the folder exists already");
	}
	return 0;
}

int
maildir_folder_rename(
    const struct maildir *root, const char *from, const char *to, struct err *e)
{
	char moved[MAILDIR_NAME_SIZE];
	struct maildir_folders all;
	int rc;

	if (check_dir(from, e) != 0 || check_dir(to, e) != 0)
		return -1;
	if (is_below(to, from))
		return err_set(
		    e, ERR_PERM, "a folder cannot move below itself");
	if (maildir_folder_list(root, &all, e) != 0)
		return -1;
	rc = check_places(root->root_fd, &all, from, to, e);
	if (rc == 0)
		rc = rename_one(root->root_fd, from, to, e);
	for (size_t i = 0; i < all.count && rc == 0; i++) {
		const char *dir = all.items[i].dir;

		if (is_below(dir, from) && moved_name(dir, from, to, moved))
			rc = rename_one(root->root_fd, dir, moved, e);
	}
	maildir_folders_release(&all);
	return rc;
}

int
maildir_folder_delete(
    const struct maildir *root, const char *dir, struct err *e)
{
	char id[ID_SIZE], gone[ID_SIZE + 16];

	if (check_dir(dir, e) != 0)
		return -1;
	id_new(id);
	(void)snprintf(gone, sizeof(gone), "%s.deleted", id);
	if (renameat(root->root_fd, dir, root->tmp_fd, gone) != 0) {
		if (errno == ENOENT)
			return err_set(e, ERR_PERM, "no such folder");
		return err_errno(e, "delete folder %s", dir);
	}
	return maildir_remove_tree(root->tmp_fd, gone, e);
}

/* --- trees ----------------------------------------------------------------------- */

struct removal {
	int fd;
	unsigned depth;
	int rc;
	struct err *e;
};

static int remove_below(
    int dirfd, const char *name, unsigned depth, struct err *e) MUST_CHECK;

static bool
remove_visit(void *arg, const char *name, unsigned char type)
{
	struct removal *r = arg;

	if (is_directory(r->fd, name, type))
		r->rc = remove_below(r->fd, name, r->depth + 1, r->e);
	else if (unlinkat(r->fd, name, 0) != 0 && errno != ENOENT)
		r->rc = err_errno(r->e, "delete %s", name);
	return r->rc == 0;
}

static int
remove_below(int dirfd, const char *name, unsigned depth, struct err *e)
{
	struct removal r = { -1, depth, 0, e };
	int fd;

	if (depth > DEPTH_MAX)
		return err_set(e, ERR_PERM, "directories too deep");
	fd = openat(
	    dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "delete %s", name);
	r.fd = fd;
	if (maildir_walk_any(fd, remove_visit, &r, e) != 0)
		r.rc = -1;
	(void)close(fd);
	if (r.rc == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) != 0 &&
	    errno != ENOENT)
		return err_errno(e, "delete %s", name);
	return r.rc;
}

int
maildir_remove_tree(int dirfd, const char *name, struct err *e)
{
	return remove_below(dirfd, name, 0, e);
}
