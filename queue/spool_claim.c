/*
 * The runner's side: opening the spool, giving out messages, marks, bodies.
 *
 * A claimer that finds nothing due becomes the one who listens: it waits for
 * a notice, reads on in the journal, and wakes the others when there is more
 * than one message.  So no thread stands between a notice and the delivery.
 * Notices are hints; once a second everything is looked at anyway (I6).
 *
 * Recovery (spool_open): settled marks, segments, names of deferred and held
 * envelopes, live marks, in this order; then what nobody speaks of is removed.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	RESCAN_MS = 1000,
	RELOAD_MS = 60 * 1000, /* a message that cannot be read just now */
	CRASHES_MAX = 3,       /* I4 */
	ITEM_POOL = 512,       /* of strings beside the envelope's own */
};

/* --- opening ------------------------------------------------------------------ */

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

/* What the last runner was doing; pieces nobody needs are freed. */
static void
adopt_marks(struct spool *s)
{
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
		if (atomic_load(&m->end) == MARKS_END_SETTLE)
			end_add(s, en, END_SETTLE, NULL, NULL, 0);
	}
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
	if (syncfs(s->dirs.root) < 0)
		return err_errno(e, "flush the spool");
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
	(void)pthread_mutex_destroy(&s->lock);
	/* Last: the next runner may start now. */
	close_fd(s->lock_fd);
	free(s);
}

/* --- reading on in the journal ---------------------------------------------------- */

void
spool_kick(struct spool *s)
{
	const uint64_t one = 1;

	if (s->scanning)
		(void)!write(s->wake_fd, &one, sizeof(one));
	(void)pthread_cond_signal(&s->changed);
}

/* Under the lock: somebody else may read the journal now. */
static void
scan_leave(struct spool *s)
{
	s->scanning = false;
	(void)pthread_cond_signal(&s->scan_idle);
	(void)pthread_cond_signal(&s->changed);
}

void
scan_begin(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	while (s->scanning) {
		s->scan_waiters++;
		spool_kick(s);
		(void)pthread_cond_wait(&s->scan_idle, &s->lock);
		s->scan_waiters--;
	}
	s->scanning = true;
	(void)pthread_mutex_unlock(&s->lock);
}

void
scan_finish(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	scan_leave(s);
	(void)pthread_mutex_unlock(&s->lock);
}

static bool
is_known_writer(const struct spool *s, const char *name)
{
	const struct journal_writer *w = s->writers;

	while (w != NULL && strcmp(w->name, name) != 0)
		w = w->next;
	return w != NULL;
}

/* Read all notices there are; true if one is from somebody new. */
static bool
drain_notices(struct spool *s)
{
	char name[WRITER_NAME_MAX + 1];
	bool is_new = false;
	uint64_t count;
	ssize_t n;

	(void)!read(s->wake_fd, &count, sizeof(count));
	while (s->notify_fd >= 0 &&
	    (n = recv(s->notify_fd, name, sizeof(name) - 1, 0)) >= 0) {
		name[n] = '\0';
		is_new |= !is_known_writer(s, name);
	}
	return is_new;
}

/* Wait for a notice at most so long, then read on. */
static int
listen_once(struct spool *s, int wait_ms, struct err *e)
{
	struct pollfd fds[2] = { { .fd = s->wake_fd, .events = POLLIN },
		{ .fd = s->notify_fd, .events = POLLIN } };
	int64_t now;

	(void)poll(fds, 2, wait_ms);
	now = clock_mono_ms();
	if (drain_notices(s) || now - s->rescan_ms >= RESCAN_MS) {
		s->rescan_ms = now;
		return journal_rescan(s, e);
	}
	return journal_poll(s, e);
}

/* --- giving out ------------------------------------------------------------------------ */

static int
read_large_envelope(struct spool *s, const struct spool_record *r,
    struct buf *out, struct err *e)
{
	char name[ID_SIZE + 4];
	char *data;
	int fd, rc = 0;

	(void)snprintf(name, sizeof(name), "%s.env", r->id);
	fd = openat(s->dirs.large, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(e, "open large/%s", name);
	data = mem_alloc((size_t)r->envelope_size + 1);
	if (r->envelope_size > ENVELOPE_MAX ||
	    spool_read_at(fd, data, r->envelope_size, 0) < 0 ||
	    crc32c(0, data, r->envelope_size) != r->envelope_crc)
		rc = err_set(e, ERR_SYNTAX, "large/%s is damaged", name);
	else
		buf_add(out, data, r->envelope_size);
	free(data);
	(void)close(fd);
	return rc;
}

int
entry_read_envelope(struct spool *s, const struct spool_entry *en,
    struct buf *out, struct err *e)
{
	struct envelope_name n = entry_envelope_name(en);
	struct spool_record r;
	char *payload;
	int rc = 0;

	if (en->serial > 0) {
		rc = files_get_envelope(s, en->dir, &n, out, e);
		if (rc == 0 || en->place == PLACE_FILES || e->kind == ERR_TEMP)
			return rc;
		log_warning(
		    "spool: %s: %s; as it was accepted", en->id, e->text);
	}
	if (journal_read(en, &r, &payload, e) < 0)
		return -1;
	rc = 0;
	if (r.flags & RECORD_LARGE_ENVELOPE)
		rc = read_large_envelope(s, &r, out, e);
	else
		buf_add(out, payload + record_inline_body(&r), r.envelope_size);
	free(payload);
	return rc;
}

static void
item_free(struct spool_item *it)
{
	envelope_release(&it->envelope);
	pool_release(&it->pool);
	free(it);
}

static int
ensure_marks(struct spool_item *it, struct err *e)
{
	struct spool_entry *en = it->entry;
	struct spool *s = it->spool;
	struct spool_marks *m = en->marks, *old = NULL;

	if (m != NULL &&
	    (m->count != it->envelope.recipient_count ||
		m->serial != en->serial)) {
		old = m;
		m = NULL;
	}
	if (m == NULL &&
	    marks_new(&s->arena, en->id, en->serial,
		it->envelope.recipient_count, &m, e) < 0)
		return -1;
	marks_free(&s->arena, old);
	en->marks = m;
	it->marks = m;
	it->was_claimed = en->was_claimed && old == NULL;
	it->crashes = atomic_load(&m->crashes);
	return 0;
}

static void
give_back(struct spool *s, struct spool_entry *en, int64_t next_try_ms)
{
	(void)pthread_mutex_lock(&s->lock);
	en->next_try_ms = next_try_ms;
	en->was_claimed = true;
	spool_index_set(s, en,
	    en->place == PLACE_FILES && en->dir == DIR_HOLD ? ENTRY_HELD
							    : ENTRY_WAITING);
	spool_kick(s);
	(void)pthread_mutex_unlock(&s->lock);
}

/*
 * Make an item of a claimed entry.  -1: the entry was dealt with, by giving it
 * back (ERR_TEMP) or by putting it aside as corrupt.
 */
static int
load_item(struct spool *s, struct spool_entry *en, struct spool_item **out,
    struct err *e)
{
	struct spool_item *it = mem_zalloc(sizeof(*it));
	struct buf raw;
	int rc;

	it->spool = s;
	it->entry = en;
	memcpy(it->id, en->id, ID_SIZE);
	buf_init(&raw, ENVELOPE_MAX);
	rc = entry_read_envelope(s, en, &raw, e);
	if (rc == 0) {
		if (raw.len < ITEM_POOL)
			pool_expect(&it->pool, raw.len + ITEM_POOL);
		rc = envelope_decode(
		    buf_slice(&raw), &it->pool, &it->envelope, e);
	}
	buf_release(&raw);
	if (rc < 0 && e->kind != ERR_TEMP) {
		end_add(s, en, END_CORRUPT, NULL, mem_strdup(e->text), 0);
		item_free(it);
		return -1;
	}
	if (rc < 0 || ensure_marks(it, e) < 0) {
		give_back(s, en, clock_wall_ms() + RELOAD_MS);
		item_free(it);
		return -1;
	}
	*out = it;
	return 0;
}

/* True: it was put aside, until its time or for good. */
static bool
is_put_aside(struct spool_item *it)
{
	if (it->crashes >= CRASHES_MAX) {
		spool_corrupt(it, "it stopped the runner three times");
		return true;
	}
	if (it->envelope.not_before_ms > clock_wall_ms()) {
		spool_defer(it, it->envelope.not_before_ms);
		return true;
	}
	return false;
}

static int64_t
read_clock(struct spool *s)
{
	int64_t now = clock_wall_ms(), ahead = now - clock_mono_ms();

	spool_index_follow_clock(s, s->wall_ahead_ms - ahead);
	s->wall_ahead_ms = ahead;
	return now;
}

/* How long to wait: until the deadline, the next retry, the next full look. */
static int
wait_time(int64_t deadline_ms, int64_t until_wall_ms, int64_t now_wall_ms)
{
	int wait = clock_left_ms(deadline_ms);

	if (wait > RESCAN_MS)
		wait = RESCAN_MS;
	if (until_wall_ms - now_wall_ms < wait)
		wait = (int)(until_wall_ms - now_wall_ms);
	return wait;
}

/* Under the lock: nothing is due; listen, or wait for the one who does. */
static int
wait_for_more(struct spool *s, int wait_ms, struct err *e)
{
	int64_t until = clock_mono_ms() + wait_ms;
	struct timespec ts = { until / 1000, until % 1000 * 1000000 };
	int rc;

	/* The flusher comes before the next listener. */
	if (s->scanning || s->scan_waiters > 0) {
		(void)pthread_cond_timedwait(&s->changed, &s->lock, &ts);
		return 0;
	}
	s->scanning = true;
	(void)pthread_mutex_unlock(&s->lock);
	rc = listen_once(s, wait_ms, e);
	(void)pthread_mutex_lock(&s->lock);
	scan_leave(s);
	return rc;
}

int
spool_claim(
    struct spool *s, int wait_ms, struct spool_item **out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + wait_ms;
	bool looked = false;
	uint64_t wakes;
	int rc = 0;

	*out = NULL;
	(void)pthread_mutex_lock(&s->lock);
	wakes = s->wakes;
	while (rc == 0) {
		int64_t until, now = read_clock(s);
		struct spool_entry *en = index_next_due(s, now, &until);
		struct spool_item *it;
		char id[ID_SIZE];

		if (en == NULL) {
			/* Look at the journal once even without waiting. */
			if (s->wakes != wakes ||
			    (looked && clock_left_ms(deadline) == 0))
				break;
			looked = true;
			rc = wait_for_more(
			    s, wait_time(deadline, until, now), e);
			continue;
		}
		spool_index_set(s, en, ENTRY_CLAIMED);
		memcpy(id, en->id, ID_SIZE);
		(void)pthread_mutex_unlock(&s->lock);
		if (load_item(s, en, &it, e) < 0)
			log_error("spool: %s: %s", id, e->text);
		else if (!is_put_aside(it)) {
			*out = it;
			return 0;
		}
		(void)pthread_mutex_lock(&s->lock);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

int
spool_claim_id(
    struct spool *s, const char *id, struct spool_item **out, struct err *e)
{
	struct spool_entry *en = NULL;
	bool busy = false;

	(void)pthread_mutex_lock(&s->lock);
	if (id_is_valid(slice_str(id)))
		en = spool_index_find(s, id);
	if (en != NULL && en->state == ENTRY_SETTLED)
		en = NULL;
	if (en != NULL) {
		busy = en->state == ENTRY_CLAIMED || en->state == ENTRY_PENDING;
		if (!busy)
			spool_index_set(s, en, ENTRY_CLAIMED);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (en == NULL)
		return err_set(e, ERR_PERM, "no such message");
	if (busy)
		return err_set(e, ERR_TEMP, "just being worked on");
	return load_item(s, en, out, e);
}

void
spool_set_gate(struct spool *s, enum spool_gate gate)
{
	(void)pthread_mutex_lock(&s->lock);
	s->gate = gate;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

void
spool_wake(struct spool *s)
{
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&s->lock);
	s->wakes++;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	(void)!write(s->wake_fd, &one, sizeof(one));
}

/* --- a claimed message --------------------------------------------------------------------- */

/* A body that lies in a file: small ones into memory. */
static int
open_file_body(struct spool_item *it, struct spool_body *b, struct err *e)
{
	uint64_t size = it->envelope.body_size;
	struct stat st;

	if (files_open_body(it->spool, it->id, &b->fd, &b->dir_fd, e) < 0)
		return -1;
	if (fstat(b->fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != size) {
		(void)close(b->fd);
		return err_set(
		    e, ERR_PERM, "the body of %s has another size", it->id);
	}
	memcpy(b->name, it->id, ID_SIZE);
	if (size > SPOOL_INLINE_MAX)
		return 0;
	b->memory = mem_alloc((size_t)size + 1);
	if (spool_read_at(b->fd, b->memory, (size_t)size, 0) < 0) {
		err_errno(e, "read the body of %s", it->id);
		spool_body_close(b);
		return -1;
	}
	(void)close(b->fd);
	b->fd = -1;
	b->data = b->memory;
	return 0;
}

int
spool_body_open(struct spool_item *it, struct spool_body *out, struct err *e)
{
	struct spool_body b = { .fd = -1, .dir_fd = -1 };
	struct spool_entry *en = it->entry;
	struct spool_record r;

	if (en->place == PLACE_FILES || (en->flags & RECORD_LARGE_BODY)) {
		if (open_file_body(it, &b, e) < 0)
			return -1;
	} else {
		if (journal_read(en, &r, &b.memory, e) < 0)
			return -1;
		b.data = b.memory;
		if (r.body_size != it->envelope.body_size) {
			spool_body_close(&b);
			return err_set(e, ERR_SYNTAX,
			    "the body of %s has another size", it->id);
		}
	}
	b.len = (size_t)it->envelope.body_size;
	*out = b;
	return 0;
}

void
spool_body_close(struct spool_body *b)
{
	if (b->fd >= 0)
		(void)close(b->fd);
	free(b->memory);
	b->fd = -1;
	b->data = NULL;
	b->memory = NULL;
}

void
spool_mark(struct spool_item *it, size_t recipient, enum spool_mark m,
    uint16_t outcome)
{
	uint32_t old;

	assert(recipient < it->marks->count);
	old = atomic_load(&it->marks->marks[recipient]);
	if ((old & 0xff) == SPOOL_MARK_DONE)
		return;
	atomic_store(&it->marks->marks[recipient],
	    (uint32_t)m | (uint32_t)outcome << 16);
}

enum spool_mark
spool_mark_get(
    const struct spool_item *it, size_t recipient, uint16_t *outcome_out)
{
	uint32_t v;

	assert(recipient < it->marks->count);
	v = atomic_load(&it->marks->marks[recipient]);
	if (outcome_out != NULL)
		*outcome_out = (uint16_t)(v >> 16);
	return v & 0xff;
}

void
spool_item_danger(struct spool_item *it, bool inside)
{
	atomic_store(&it->marks->danger, inside);
}

int
spool_update(struct spool_item *it, struct err *e)
{
	struct spool *s = it->spool;
	struct spool_entry *en = it->entry;
	struct envelope_name old = entry_envelope_name(en), n = old;
	struct spool_marks *m = NULL;
	struct buf raw;
	int rc;

	n.serial++;
	buf_init(&raw, ENVELOPE_MAX);
	rc = envelope_encode(&it->envelope, &raw, e);
	/* Marks of a serial that never came to be are dropped at a start. */
	if (rc == 0)
		rc = marks_new(&s->arena, en->id, n.serial,
		    it->envelope.recipient_count, &m, e);
	if (rc == 0)
		rc = files_put_envelope(s, en->dir, &n, buf_slice(&raw),
		    en->place == PLACE_FILES, e);
	buf_release(&raw);
	if (rc < 0) {
		marks_free(&s->arena, m);
		return -1;
	}
	atomic_store(&m->crashes, (uint8_t)it->crashes);
	(void)pthread_mutex_lock(&s->lock);
	en->serial = n.serial;
	(void)pthread_mutex_unlock(&s->lock);
	if (old.serial > 0)
		files_drop_envelope(s, en->dir, &old);
	marks_free(&s->arena, it->marks);
	en->marks = m;
	it->marks = m;
	return 0;
}

/* Give up the item, keep its entry. */
static struct spool_entry *
item_detach(struct spool_item *it)
{
	struct spool_entry *en = it->entry;

	atomic_store(&it->marks->danger, 0);
	item_free(it);
	return en;
}

void
spool_settle(struct spool_item *it)
{
	struct spool *s = it->spool;

	atomic_store(&it->marks->end, MARKS_END_SETTLE);
	end_add(s, item_detach(it), END_SETTLE, NULL, NULL, 0);
}

/* Encode what is to be stored; if it cannot be, the message stays as it was. */
static void
end_stored(struct spool_item *it, enum end_action action, int64_t next_try_ms)
{
	struct spool *s = it->spool;
	struct spool_outline *o;
	struct buf raw;
	struct err e;

	it->envelope.next_try_ms = next_try_ms;
	buf_init(&raw, ENVELOPE_MAX);
	if (envelope_encode(&it->envelope, &raw, &e) < 0) {
		log_error("spool: %s: %s", it->id, e.text);
		buf_release(&raw);
		spool_release(it, next_try_ms);
		return;
	}
	o = outline_new(s, &it->envelope);
	(void)pthread_mutex_lock(&s->lock);
	outline_set(it->entry, o);
	(void)pthread_mutex_unlock(&s->lock);
	end_add(s, item_detach(it), action, &raw, NULL, next_try_ms);
}

void
spool_defer(struct spool_item *it, int64_t next_try_ms)
{
	it->envelope.hold_reason = NULL;
	end_stored(it, END_DEFER, next_try_ms);
}

void
spool_hold(struct spool_item *it, const char *reason)
{
	it->envelope.hold_reason = pool_strdup(&it->pool, reason);
	end_stored(it, END_HOLD, clock_wall_ms());
}

void
spool_release(struct spool_item *it, int64_t next_try_ms)
{
	struct spool *s = it->spool;

	give_back(s, item_detach(it), next_try_ms);
}

void
spool_corrupt(struct spool_item *it, const char *reason)
{
	struct spool *s = it->spool;

	end_add(s, item_detach(it), END_CORRUPT, NULL, mem_strdup(reason), 0);
}
