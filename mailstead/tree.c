/*
 * Copies of directories that live; what is kept is said in tree.h.
 *
 * Single-threaded (readdir, tsearch).  Paths are relative to the roots, so
 * that source, copy and previous copy of a file have one name.
 */
#include "mailstead/tree.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "directory/sql.h"

#include "maildir/name.h"

enum {
	PATH_SIZE = 2048,
	CHUNK = 1024 * 1024,
};

/* --- names ------------------------------------------------------------------------ */

static int
path_join(char out[PATH_SIZE], const char *dir, const char *name, struct err *e)
{
	int n = snprintf(out, PATH_SIZE, "%s/%s", dir, name);

	if (n < 0 || n >= PATH_SIZE)
		return err_set(e, ERR_PERM, "%s: path too long", dir);
	return 0;
}

/* Open below a root without following any link; -1 with errno. */
static int
beneath(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* Names of a directory, "." and ".." left out; sorted.  Missing: none. */
struct names {
	char **items;
	size_t count, space;
};

static void
names_add(struct names *n, const char *dir, const char *name)
{
	size_t size = strlen(dir) + strlen(name) + 1;

	n->items =
	    mem_grow(n->items, &n->space, n->count + 1, sizeof(*n->items));
	n->items[n->count] = mem_alloc(size);
	(void)snprintf(n->items[n->count++], size, "%s%s", dir, name);
}

static void
names_free(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->items[i]);
	free(n->items);
	*n = (struct names){ 0 };
}

/* Add what is in `path`, each behind `prefix`. */
static int
names_read(struct names *n, int root, const char *path, const char *prefix,
    struct err *e)
{
	int fd = beneath(root, path, O_RDONLY | O_DIRECTORY);
	const struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "%s", path);
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return err_errno(e, "%s", path);
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			names_add(n, prefix, entry->d_name);
	}
	(void)closedir(dir);
	return 0;
}

/* --- one file --------------------------------------------------------------------- */

/* A file with several names: where it is in the copy. */
struct inode {
	dev_t device;
	ino_t number;
	char *path;
};

static int
compare_inodes(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->device > y->device) - (x->device < y->device);
}

static void
inode_free(void *item)
{
	struct inode *i = item;

	free(i->path);
	free(i);
}

static void
inode_remember(struct tree *t, const struct stat *st, const char *path)
{
	struct inode *i = mem_alloc(sizeof(*i));

	*i = (struct inode){ st->st_dev, st->st_ino, mem_strdup(path) };
	if (*(struct inode **)tsearch(i, &t->inodes, compare_inodes) != i)
		inode_free(i);
}

/* Link an earlier copy of the same inode.  False: there is none. */
static bool
link_same_inode(struct tree *t, const struct stat *st, const char *path)
{
	const struct inode key = { st->st_dev, st->st_ino, NULL };
	void *found = tfind(&key, &t->inodes, compare_inodes);

	return found != NULL &&
	    linkat(t->to, (*(struct inode **)found)->path, t->to, path, 0) == 0;
}

/* Link the previous copy if the file is still as it was then. */
static bool
link_previous(struct tree *t, const struct stat *st, const char *prev_path,
    const char *path)
{
	struct stat old;

	return t->prev >= 0 && prev_path != NULL &&
	    fstatat(t->prev, prev_path, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(old.st_mode) && old.st_size == st->st_size &&
	    old.st_mtim.tv_sec == st->st_mtim.tv_sec &&
	    old.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
	    old.st_mode == st->st_mode && old.st_uid == st->st_uid &&
	    old.st_gid == st->st_gid &&
	    linkat(t->prev, prev_path, t->to, path, 0) == 0;
}

/* Mode, owner and times, as the source had them before it was read. */
static int
set_meta(int fd, const struct stat *st, const char *path, struct err *e)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if ((geteuid() == 0 && fchown(fd, st->st_uid, st->st_gid) != 0) ||
	    fchmod(fd, st->st_mode & 07777) != 0 || futimens(fd, times) != 0)
		return err_errno(e, "%s", path);
	return 0;
}

static int
copy_bytes(int in, int out, const char *path, struct err *e)
{
	char *chunk;
	ssize_t n;

	do {
		n = copy_file_range(in, NULL, out, NULL, CHUNK, 0);
	} while (n > 0);
	if (n == 0)
		return 0;
	chunk = mem_alloc(CHUNK); /* another file system, or an old one */
	while ((n = read(in, chunk, CHUNK)) > 0) {
		if (file_write_all(out, chunk, (size_t)n) != 0) {
			n = -1;
			break;
		}
	}
	free(chunk);
	return n < 0 ? err_errno(e, "copy %s", path) : 0;
}

static int
copy_new(struct tree *t, int in, const struct stat *st, const char *path,
    struct err *e)
{
	int out = openat(t->to, path,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc;

	if (out < 0)
		return errno == EEXIST ? 0 : err_errno(e, "%s", path);
	rc = copy_bytes(in, out, path, e);
	if (rc == 0)
		rc = set_meta(out, st, path, e);
	if (close(out) != 0 && rc == 0)
		rc = err_errno(e, "%s", path);
	if (rc == 0 && st->st_nlink > 1)
		inode_remember(t, st, path);
	return rc;
}

/* `prev_path`: where the previous copy has it, or NULL. */
static int
copy_file(
    struct tree *t, const char *path, const char *prev_path, struct err *e)
{
	struct stat st;
	int in, rc = 0;

	if (faccessat(t->to, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	in = beneath(t->from, path, O_RDONLY | O_NONBLOCK);
	if (in < 0) /* gone meanwhile, or a link */
		return errno == ENOENT || errno == ELOOP || errno == ENXIO
		    ? 0
		    : err_errno(e, "%s", path);
	if (fstat(in, &st) != 0) {
		rc = err_errno(e, "%s", path);
	} else if (S_ISREG(st.st_mode)) {
		t->files++;
		t->bytes += (uint64_t)st.st_size;
		if (link_previous(t, &st, prev_path, path)) {
			t->linked++;
			if (st.st_nlink > 1)
				inode_remember(t, &st, path);
		} else if (st.st_nlink > 1 && link_same_inode(t, &st, path)) {
			t->linked++;
		} else {
			rc = copy_new(t, in, &st, path, e);
		}
	}
	(void)close(in);
	return rc;
}

/* A database is as young as its file or its write-ahead log. */
static int
copy_database(struct tree *t, const char *path, struct err *e)
{
	char from[PATH_SIZE], to[PATH_SIZE], wal[PATH_SIZE + 8];
	struct stat st, log;
	int fd, rc;

	if (faccessat(t->to, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if ((fd = beneath(t->from, path, O_RDONLY)) < 0)
		return errno == ENOENT ? 0 : err_errno(e, "%s", path);
	rc = fstat(fd, &st);
	(void)close(fd);
	if (rc != 0)
		return err_errno(e, "%s", path);
	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	if (fstatat(t->from, wal, &log, AT_SYMLINK_NOFOLLOW) == 0 &&
	    log.st_size > 0 && log.st_mtim.tv_sec >= st.st_mtim.tv_sec)
		st.st_mtim = log.st_mtim;
	t->files++;
	if (link_previous(t, &st, path, path)) {
		t->linked++;
		return 0;
	}
	if (path_join(from, t->from_path, path, e) != 0 ||
	    path_join(to, t->to_path, path, e) != 0 ||
	    sql_copy(from, to, e) != 0)
		return -1;
	if ((fd = beneath(t->to, path, O_RDONLY)) < 0)
		return err_errno(e, "%s", to);
	t->bytes += (uint64_t)st.st_size;
	rc = set_meta(fd, &st, path, e);
	(void)close(fd);
	return rc;
}

/* --- mailboxes -------------------------------------------------------------------- */

/* By what stands behind the '/' and before the flags. */
static int
compare_messages(const void *a, const void *b)
{
	struct slice x = maildir_base_name(strrchr(*(char *const *)a, '/') + 1);
	struct slice y = maildir_base_name(strrchr(*(char *const *)b, '/') + 1);
	int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);

	return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

/* All messages of a folder as "new/NAME" and "cur/NAME", sorted. */
static int
messages_read(struct names *n, int root, const char *box, struct err *e)
{
	static const char *const subs[] = { "new", "cur" };
	char path[PATH_SIZE], prefix[8];

	for (size_t i = 0; root >= 0 && i < ARRAY_LEN(subs); i++) {
		(void)snprintf(prefix, sizeof(prefix), "%s/", subs[i]);
		if (path_join(path, box, subs[i], e) != 0 ||
		    names_read(n, root, path, prefix, e) != 0)
			return -1;
	}
	if (n->count > 0)
		qsort(n->items, n->count, sizeof(*n->items), compare_messages);
	return 0;
}

static const char *
message_find(const struct names *n, const char *name)
{
	char **found = n->count == 0 ? NULL
				     : bsearch(&name, n->items, n->count,
					   sizeof(*n->items), compare_messages);

	return found != NULL ? *found : NULL;
}

/* What came since the last look, in new/ first: that is how they move. */
static int
copy_messages(struct tree *t, const char *box, struct err *e)
{
	struct names prev = { 0 }, done = { 0 }, now = { 0 };
	char path[PATH_SIZE], prev_path[PATH_SIZE];
	int rc = -1;

	if (messages_read(&prev, t->prev, box, e) != 0 ||
	    messages_read(&done, t->to, box, e) != 0 ||
	    messages_read(&now, t->from, box, e) != 0)
		goto out;
	for (size_t i = 0; i < now.count; i++) {
		const char *old = message_find(&prev, now.items[i]);

		if (message_find(&done, now.items[i]) != NULL)
			continue;
		if (path_join(path, box, now.items[i], e) != 0 ||
		    (old != NULL && path_join(prev_path, box, old, e) != 0) ||
		    copy_file(t, path, old ? prev_path : NULL, e) != 0)
			goto out;
	}
	rc = 0;
out:
	names_free(&prev);
	names_free(&done);
	names_free(&now);
	return rc;
}

/* --- directories ------------------------------------------------------------------ */

static bool
ends_in(const char *name, const char *tail)
{
	size_t len = strlen(name), tail_len = strlen(tail);

	return len >= tail_len && strcmp(name + len - tail_len, tail) == 0;
}

static int copy_directory(
    struct tree *t, const char *path, int pass, struct err *e);

/* pass 0: outside mailboxes; 1 and 2 the two looks at one. */
static int
copy_entry(
    struct tree *t, const char *path, const char *name, int pass, struct err *e)
{
	char below[PATH_SIZE];
	struct stat st;

	if (path_join(below, path, name, e) != 0)
		return -1;
	if (fstatat(t->from, below, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : err_errno(e, "%s", below);
	if (S_ISDIR(st.st_mode))
		return copy_directory(t, below, pass, e);
	if (ends_in(name, ".db-wal") || ends_in(name, ".db-shm") ||
	    ends_in(name, ".db-journal") || !S_ISREG(st.st_mode))
		return 0;
	if (ends_in(name, ".db"))
		return copy_database(t, below, e);
	return copy_file(t, below, below, e);
}

static bool
is_mailbox(const struct tree *t, const char *path)
{
	char below[PATH_SIZE];
	struct err e;

	return path_join(below, path, "cur", &e) == 0 &&
	    faccessat(t->from, below, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    path_join(below, path, "new", &e) == 0 &&
	    faccessat(t->from, below, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
make_directory(struct tree *t, const char *path, struct stat *st, struct err *e)
{
	int fd = beneath(t->from, path, O_RDONLY | O_DIRECTORY);
	int rc;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP
		    ? 1
		    : err_errno(e, "%s", path);
	rc = fstat(fd, st);
	(void)close(fd);
	if (rc != 0 ||
	    (strcmp(path, ".") != 0 && mkdirat(t->to, path, 0700) != 0 &&
		errno != EEXIST))
		return err_errno(e, "%s", path);
	return 0;
}

static int
finish_directory(
    struct tree *t, const char *path, const struct stat *st, struct err *e)
{
	int fd = beneath(t->to, path, O_RDONLY | O_DIRECTORY);
	int rc;

	if (fd < 0)
		return err_errno(e, "%s", path);
	rc = set_meta(fd, st, path, e);
	(void)close(fd);
	return rc;
}

static const char *const parts[] = { "new", "cur", "tmp" };

static bool
is_part(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (strcmp(name, parts[i]) == 0)
			return true;
	}
	return false;
}

/* The entries of a directory; of a mailbox those beside its messages. */
static int
copy_entries(
    struct tree *t, const char *path, bool is_box, int pass, struct err *e)
{
	struct names n = { 0 };
	int rc = names_read(&n, t->from, path, "", e);

	for (size_t i = 0; rc == 0 && i < n.count; i++) {
		if (is_box && is_part(n.items[i]))
			continue;
		rc = copy_entry(t, path, n.items[i], pass, e);
	}
	names_free(&n);
	return rc;
}

static int
copy_box(struct tree *t, const char *path, int pass, struct err *e)
{
	char below[PATH_SIZE];
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int rc = path_join(below, path, parts[i], e) != 0
		    ? -1
		    : make_directory(t, below, &st, e);

		if (rc < 0 ||
		    (rc == 0 && finish_directory(t, below, &st, e) != 0))
			return -1;
	}
	if (copy_messages(t, path, e) != 0)
		return -1;
	return copy_entries(t, path, true, pass, e);
}

static int
copy_directory(struct tree *t, const char *path, int pass, struct err *e)
{
	bool is_box = is_mailbox(t, path);
	struct stat st;
	int rc = make_directory(t, path, &st, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (is_box && pass > 0)
		rc = copy_box(t, path, pass, e);
	else if (is_box)
		rc =
		    copy_box(t, path, 1, e) != 0 || copy_box(t, path, 2, e) != 0
		    ? -1
		    : 0;
	else
		rc = copy_entries(t, path, false, pass, e);
	return rc == 0 ? finish_directory(t, path, &st, e) : -1;
}

/* Only the directories of `path`, itself included. */
static int
tree_make(struct tree *t, const char *path, struct err *e)
{
	char part[PATH_SIZE];
	struct stat st;

	for (const char *p = path; *p != '\0'; p++) {
		if (p[1] != '/' && p[1] != '\0')
			continue;
		(void)snprintf(
		    part, sizeof(part), "%.*s", (int)(p + 1 - path), path);
		if (faccessat(t->to, part, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		int rc = make_directory(t, part, &st, e);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
		if (finish_directory(t, part, &st, e) != 0)
			return -1;
	}
	return 0;
}

int
tree_copy(struct tree *t, const char *path, struct err *e)
{
	char dir[PATH_SIZE];
	const char *slash = strrchr(path, '/');

	if (strcmp(path, ".") == 0)
		return copy_directory(t, path, 0, e);
	if (slash == NULL)
		return copy_entry(t, ".", path, 0, e);
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	return tree_make(t, dir, e) == 0 ? copy_entry(t, dir, slash + 1, 0, e)
					 : -1;
}

void
tree_release(struct tree *t)
{
	tdestroy(t->inodes, inode_free);
	t->inodes = NULL;
}
