/*
 * The runner's side: opening the spool and closing it.
 *
 * Recovery: settled marks, segments, names of deferred and held envelopes,
 * live marks, in this order; then what nobody speaks of is removed.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#include "queue/spool_internal.h"

static int
lock_spool(struct spool *s, struct err *e)
{
	s->lock_fd = openat(s->dirs.root, "runner.lock",
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (s->lock_fd < 0)
		return err_errno(e, "open runner.lock");
	if (spool_file_lock(s->lock_fd) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(
		    e, ERR_TEMP, "another runner works on this spool");
	return err_errno(e, "lock runner.lock");
}

static int
bind_notify(struct spool *s, const char *path, struct err *e)
{
	struct sockaddr_un address;
	int dir_fd, rc;

	s->notify_path = mem_strdup(path);
	if (spool_notify_address(path, &address, &dir_fd, e) < 0)
		return -1;
	s->notify_fd =
	    socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(path);
	rc = s->notify_fd < 0 ||
	    bind(s->notify_fd, (const struct sockaddr *)&address,
		sizeof(address)) < 0 ||
	    chmod(path, 0660) < 0;
	if (rc)
		err_errno(e, "notice socket %s", path);
	if (dir_fd >= 0)
		(void)close(dir_fd);
	return rc ? -1 : 0;
}

/*
 * Its runner died between a failed flush and the next good one: what it put
 * into a store may not be there, or not for long.
 */
static void
doubt_marks(struct spool_marks *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t v = atomic_load(&m->marks[i]);

		if ((v & 0xff) == SPOOL_MARK_PREPARED ||
		    (v & 0xff) == SPOOL_MARK_STORED)
			v = (v & ~(uint32_t)0xff) | SPOOL_MARK_UNSURE;
		if ((v & 0xff) != SPOOL_MARK_UNSURE)
			continue;
		atomic_store(&m->end, MARKS_END_NONE);
		atomic_store(&m->marks[i], v);
	}
}

/* What the last runner was doing; pieces nobody needs are freed. */
static void
adopt_marks(struct spool *s)
{
	bool is_unsure = spool_is_unsure(s);
	struct spool_marks *m;
	size_t at = 0;

	while ((m = marks_walk(&s->arena, &at)) != NULL) {
		struct spool_entry *en = spool_index_find(s, m->id);

		if (en == NULL || en->state == ENTRY_SETTLED ||
		    en->marks != NULL || en->serial != m->serial) {
			marks_free(&s->arena, m);
			continue;
		}
		en->marks = m;
		en->was_claimed = true;
		if (atomic_exchange(&m->danger, 0))
			atomic_fetch_add(&m->crashes, 1);
		if (is_unsure)
			doubt_marks(m);
		if (atomic_load(&m->end) == MARKS_END_SETTLE)
			end_add(s, en, END_SETTLE, NULL, NULL, 0);
	}
	/* from here on each mark says it itself */
	atomic_store(&s->arena.header->failures, 0);
}

/* When a message was put off last: no retry time is much after it. */
static int64_t
last_used_ms(const struct spool *s)
{
	struct stat st;

	if (fstat(files_dir(s, DIR_DEFERRED), &st) != 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000;
}

static int
recover(struct spool *s, const char *marks_name, struct err *e)
{
	int64_t used_ms = last_used_ms(s);

	if (marks_open(&s->arena, marks_name, e) < 0)
		return -1;
	if (settled_load(s, e) < 0 || journal_rescan(s, e) < 0 ||
	    files_load(s, e) < 0)
		return -1;
	adopt_marks(s);
	/*
	 * What the last runner put into files on its way out was perhaps not
	 * flushed; the settled marks below take it as done.
	 */
	if (syncfs(s->dirs.root) < 0) {
		err_errno(e, "flush the spool");
		spool_flush_failed(s);
		return -1;
	}
	if (files_clean(s, e) < 0 || settled_rewrite(s, e) < 0)
		return -1;
	free(s->settled);
	s->settled = NULL;
	s->settled_count = s->settled_alloc = 0;
	s->rescan_ms = s->clean_ms = clock_mono_ms();
	s->wall_ahead_ms = clock_wall_ms() - s->rescan_ms;
	spool_index_follow_clock(s, used_ms - clock_wall_ms());
	return 0;
}

static struct spool *
spool_new(void)
{
	struct spool *s = mem_zalloc(sizeof(*s));
	pthread_condattr_t attr;

	s->lock_fd = s->notify_fd = s->settled_fd = s->arena.fd = -1;
	s->ends_last = &s->ends;
	random_bytes(&s->name_seed, sizeof(s->name_seed));
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->changed, &attr);
	(void)pthread_cond_init(&s->scan_idle, &attr);
	(void)pthread_cond_init(&s->flushed, &attr);
	(void)pthread_condattr_destroy(&attr);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s;
}

int
spool_open(const char *spool_dir, const char *notify_path, struct spool **out,
    struct err *e)
{
	return spool_open_marked(spool_dir, notify_path, NULL, out, e);
}

int
spool_open_marked(const char *spool_dir, const char *notify_path,
    const char *marks_name, struct spool **out, struct err *e)
{
	struct spool *s = spool_new();

	if (spool_dirs_open(spool_dir, &s->dirs, e) < 0) {
		s->dirs =
		    (struct spool_dirs){ -1, -1, -1, -1, -1, -1, { 0 }, "" };
		spool_close(s);
		return -1;
	}
	if ((s->wake_fd < 0 && err_errno(e, "eventfd") < 0) ||
	    lock_spool(s, e) < 0 ||
	    recover(s, marks_name != NULL ? marks_name : s->dirs.uuid_text, e) <
		0 ||
	    (notify_path != NULL && bind_notify(s, notify_path, e) < 0)) {
		spool_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void
spool_close(struct spool *s)
{
	if (s == NULL)
		return;
	while (s->ends != NULL) {
		struct spool_end *end = s->ends;

		s->ends = end->next;
		end_free(end);
	}
	if (s->notify_fd >= 0)
		(void)unlink(s->notify_path);
	journal_release(s);
	spool_index_release(s);
	if (s->arena.fd >= 0)
		marks_close(&s->arena);
	free(s->settled);
	free(s->notify_path);
	close_fd(s->notify_fd);
	close_fd(s->wake_fd);
	close_fd(s->settled_fd);
	spool_dirs_close(&s->dirs);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_cond_destroy(&s->scan_idle);
	(void)pthread_cond_destroy(&s->flushed);
	(void)pthread_mutex_destroy(&s->lock);
	/* Last: the next runner may start now. */
	close_fd(s->lock_fd);
	free(s);
}
