/*
 * Reading a directory: getdents64() into a big buffer, and a big directory of
 * ext4 by two threads, because the kernel needs longer for it than we for all
 * the rest of a listing.
 *
 * ext4 returns entries in the order of a hash of their names, and the position
 * in the directory is that hash: one thread reads up to the middle of all
 * hashes and the other from there on.  A name keeps its hash, so whatever
 * changes meanwhile, each entry belongs to one of the two, and what stays is
 * seen once, as by one reader.  A directory without such an order has no
 * position behind the middle: the first thread finds all, the second nothing.
 *
 * Any thread.
 */
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#include "maildir/internal.h"

enum {
	BUFFER_MIN = 4096,
	BUFFER_MAX = 256 * 1024,
	HALVES_MIN = 1024 * 1024 /* bytes of a directory worth a thread */
};

#define MIDDLE (INT64_C(1) << 62) /* positions have 63 bits */

/* What is read, and by whom. */
struct reading {
	int dirfd;
	off64_t from, to; /* positions */
	maildir_visit_any visit;
	void *arg;
	int rc;
	struct err e;
};

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Most file systems tell roughly how much there is to read. */
static size_t
buffer_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > BUFFER_MAX)
		return BUFFER_MAX;
	return st.st_size < BUFFER_MIN ? BUFFER_MIN : (size_t)st.st_size;
}

/* Go through one buffer; false at the end of what is wanted. */
static bool
visit_entries(const struct reading *r, const char *buf, size_t len, off64_t *at)
{
	for (size_t i = 0; i < len;) {
		const struct dirent64 *d = (const void *)(buf + i);

		if (*at >= r->to)
			return false;
		*at = d->d_off; /* where the next one is */
		i += d->d_reclen;
		if (!is_dots(d->d_name) &&
		    !r->visit(r->arg, d->d_name, d->d_type))
			return false;
	}
	return true;
}

static int
read_entries(const struct reading *r, int fd, struct err *e)
{
	size_t size = buffer_size(fd);
	char *buf = mem_alloc(size);
	off64_t at = r->from;
	ssize_t n;

	do
		n = getdents64(fd, buf, size);
	while (n > 0 && visit_entries(r, buf, (size_t)n, &at));
	if (n < 0)
		(void)err_errno(e, "read directory");
	free(buf);
	return n < 0 ? -1 : 0;
}

static void *
run(void *arg)
{
	struct reading *r = arg;
	/* a descriptor of our own: the position in a directory is shared */
	int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	r->rc = 0;
	if (fd < 0)
		r->rc = err_errno(&r->e, "read directory");
	else if (r->from == 0 || lseek64(fd, r->from, SEEK_SET) == r->from)
		r->rc = read_entries(r, fd, &r->e);
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

int
maildir_walk_any(int dirfd, maildir_visit_any visit, void *arg, struct err *e)
{
	struct reading r = {
		.dirfd = dirfd, .to = INT64_MAX, .visit = visit, .arg = arg
	};

	(void)run(&r);
	if (r.rc != 0)
		*e = r.e;
	return r.rc;
}

/* --- messages ------------------------------------------------------------------- */

struct walk {
	int dirfd;
	maildir_visit visit;
	void *arg;
};

bool
maildir_is_message_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' &&
	    strlen(name) < MAILDIR_NAME_SIZE;
}

static bool
visit_regular(void *arg, const char *name, unsigned char type)
{
	struct walk *w = arg;
	struct stat st;

	if (!maildir_is_message_name(name))
		return true;
	if (type == DT_UNKNOWN) {
		if (fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			return true;
	} else if (type != DT_REG) {
		return true;
	}
	return w->visit(w->arg, name, strlen(name));
}

int
maildir_walk(int dirfd, maildir_visit visit, void *arg, struct err *e)
{
	struct walk w = { dirfd, visit, arg };

	return maildir_walk_any(dirfd, visit_regular, &w, e);
}

static bool
has_halves(int dirfd)
{
	struct statfs fs;
	struct stat st;

	return fstat(dirfd, &st) == 0 && st.st_size >= HALVES_MIN &&
	    fstatfs(dirfd, &fs) == 0 && fs.f_type == EXT4_SUPER_MAGIC;
}

int
maildir_walk_halves(
    int dirfd, maildir_visit visit, void *first, void *second, struct err *e)
{
	struct walk w[2] = { { dirfd, visit, first },
		{ dirfd, visit, second } };
	struct reading r[2] = {
		{ .dirfd = dirfd, .to = MIDDLE, .arg = &w[0] },
		{ .dirfd = dirfd, .from = MIDDLE, .arg = &w[1] },
	};
	bool is_split;
	pthread_t thread;

	if (!has_halves(dirfd))
		return maildir_walk(dirfd, visit, first, e);
	r[1].to = INT64_MAX;
	r[0].visit = r[1].visit = visit_regular;
	is_split = pthread_create(&thread, NULL, run, &r[1]) == 0;
	(void)run(&r[0]);
	if (is_split)
		(void)pthread_join(thread, NULL);
	else
		(void)run(&r[1]);
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		if (r[i].rc != 0) {
			*e = r[i].e;
			return -1;
		}
	}
	return 0;
}
