/*
 * Changes of our own to a cur/ that the next look need not find by reading the
 * directory: its new time is taken over as known.
 *
 * That is right only if nobody else changed it between the look before and the
 * new time.  So it has to have been as it was looked at when it was put under
 * inotify; then our changes are made; then its time is read; and when the clock
 * the kernel stamps files with has gone on, so that a later change has another
 * time, the events must be those changes and nothing else.  Where anything is
 * odd (another file system than the local ones below, too many changes, events
 * lost, somebody else at it) nothing is taken over and the next look reads.
 */
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "maildir/index_internal.h"
#include "maildir/maildir.h"

#define XFS_MAGIC 0x58465342

enum {
	DIRS_MAX = 4,
	NAMES_MAX = 128,
	EVENTS_SIZE = 64 * 1024,
	TICK_MS = 20, /* the kernel's clock goes on within 10 */
	MASK = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
};

/* A name as it is to be in the end. */
struct own_name {
	const char *name;
	bool there, seen; /* seen: so by the last event */
};

struct own_dir {
	char dir[MAILDIR_NAME_SIZE];
	int fd, watch;
	int64_t before_ns, after_ns;
	bool odd;
	struct own_name names[NAMES_MAX];
	size_t count;
};

struct index_own {
	int fd;
	struct own_dir dirs[DIRS_MAX];
	size_t count;
	struct pool pool;
};

/* --- Before a change --------------------------------------------------------------- */

/* Where the kernel sees every change, and stamps it by its own clock. */
static bool
is_local(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return false;
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static struct own_dir *
find(struct index_own *own, const char *dir)
{
	for (size_t i = 0; own != NULL && i < own->count; i++) {
		if (strcmp(own->dirs[i].dir, dir) == 0)
			return &own->dirs[i];
	}
	return NULL;
}

/* The directory is as it was at the last look. */
static bool
is_known(const struct index_dir *d, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && index_mtime_ns(&st) == d->cur_ns &&
	    index_is_settled(d, d->cur_ns);
}

static struct index_own *
own_new(void)
{
	struct index_own *own = mem_zalloc(sizeof(*own));

	own->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return own;
}

void
index_own_watch(
    struct index *x, const struct index_dir *d, const struct maildir *m)
{
	struct index_own *own;
	struct own_dir *o;
	char path[64];

	if (d == NULL || find(x->own, d->dir) != NULL || !is_local(m->cur_fd))
		return;
	if (x->own == NULL)
		x->own = own_new();
	own = x->own;
	if (own->fd < 0 || own->count == DIRS_MAX)
		return;
	o = &own->dirs[own->count];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", m->cur_fd);
	o->watch = inotify_add_watch(own->fd, path, MASK | IN_ONLYDIR);
	if (o->watch < 0)
		return;
	o->fd = fcntl(m->cur_fd, F_DUPFD_CLOEXEC, 0);
	if (o->fd < 0)
		return;
	(void)snprintf(o->dir, sizeof(o->dir), "%s", d->dir);
	o->before_ns = d->cur_ns;
	o->odd = !is_known(d, o->fd);
	own->count++;
}

void
index_own_note(struct index *x, const char *dir, const char *name, bool there)
{
	struct own_dir *o = find(x->own, dir);

	if (o == NULL || o->odd)
		return;
	for (size_t i = 0; i < o->count; i++) {
		if (strcmp(o->names[i].name, name) == 0) {
			o->names[i].there = there;
			return;
		}
	}
	o->odd = o->count == NAMES_MAX;
	if (!o->odd)
		o->names[o->count++] =
		    (struct own_name){ .name = pool_strdup(&x->own->pool, name),
			    .there = there };
}

/* --- After it ------------------------------------------------------------------------ */

void
index_own_drop(struct index *x)
{
	struct index_own *own = x->own;

	if (own == NULL)
		return;
	for (size_t i = 0; i < own->count; i++)
		(void)close(own->dirs[i].fd);
	if (own->fd >= 0)
		(void)close(own->fd);
	pool_release(&own->pool);
	free(own);
	x->own = NULL;
}

static int64_t
coarse_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0)
		return 0;
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Until a change has a later time than the directories have. */
static bool
wait_for_tick(struct index_own *own)
{
	const struct timespec pause = { 0, 500000 };
	int64_t until_ms = clock_mono_ms() + TICK_MS, last = 0;
	struct stat st;

	for (size_t i = 0; i < own->count; i++) {
		if (fstat(own->dirs[i].fd, &st) != 0)
			return false;
		own->dirs[i].after_ns = index_mtime_ns(&st);
		if (own->dirs[i].after_ns > last)
			last = own->dirs[i].after_ns;
	}
	while (coarse_ns() <= last) {
		if (clock_left_ms(until_ms) == 0)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

/* An event of a name that is none of ours is somebody else's change. */
static void
take_event(struct index_own *own, const struct inotify_event *event)
{
	struct own_dir *o = NULL;

	for (size_t i = 0; i < own->count; i++) {
		if (own->dirs[i].watch == event->wd)
			o = &own->dirs[i];
	}
	for (size_t i = 0; o == NULL && i < own->count; i++)
		own->dirs[i].odd = true; /* events were lost */
	for (size_t i = 0; o != NULL && event->len > 0 && i < o->count; i++) {
		if (strcmp(o->names[i].name, event->name) == 0) {
			o->names[i].seen =
			    (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0;
			return;
		}
	}
	if (o != NULL)
		o->odd = true;
}

static bool
take_events(struct index_own *own)
{
	union {
		struct inotify_event event;
		char bytes[EVENTS_SIZE];
	} *b = mem_alloc(sizeof(*b));

	ssize_t n;

	while ((n = read(own->fd, b, sizeof(*b))) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct inotify_event head;

			memcpy(&head, b->bytes + at, sizeof(head));
			take_event(own,
			    (const struct inotify_event *)(const void
				    *)(b->bytes + at));
			at += (ssize_t)(sizeof(head) + head.len);
		}
	}
	free(b);
	return n < 0 && errno == EAGAIN;
}

/* All is as we left it: what is to be there came last, what is not, went. */
static bool
is_ours(const struct own_dir *o)
{
	for (size_t i = 0; i < o->count; i++) {
		if (o->names[i].seen != o->names[i].there)
			return false;
	}
	return !o->odd && o->count > 0;
}

static void
take_over(struct index *x, const struct own_dir *o)
{
	struct index_dir *d = index_dir_find(x, o->dir);
	int64_t looked_ms;

	if (d == NULL || d->cur_ns != o->before_ns || !is_ours(o) ||
	    index_is_coarse(o->after_ns))
		return;
	if (!index_is_settled(d, d->new_ns))
		d->new_ns = 0; /* it is read again, which costs little */
	d->cur_ns = o->after_ns;
	looked_ms = index_settled_at(o->after_ns);
	if (d->looked_ms < looked_ms)
		d->looked_ms = looked_ms;
	d->dirty = true;
}

void
index_own_settle(struct index *x)
{
	struct index_own *own = x->own;
	bool any = false;
	struct err e;

	for (size_t i = 0; own != NULL && i < own->count; i++)
		any |= !own->dirs[i].odd && own->dirs[i].count > 0;
	if (any && wait_for_tick(own) && take_events(own) &&
	    index_begin(x, &e) == 0) {
		for (size_t i = 0; i < own->count; i++)
			take_over(x, &own->dirs[i]);
		/* the next look reads, that is all */
		if (index_commit(x, &e) != 0)
			log_warning("index %s: %s", x->mailbox, e.text);
	}
	index_own_drop(x);
}
