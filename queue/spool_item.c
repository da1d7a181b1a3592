/*
 * The runner's side: a claimed message, from its envelope and its marks to the
 * end of the claim.  Run by the thread that claimed it.
 */
#include <sys/stat.h>

#include <assert.h>
#include <fcntl.h>
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
	RELOAD_MS = 60 * 1000, /* a message that cannot be read just now */
	ITEM_POOL = 512,       /* of strings beside the envelope's own */
};

/* --- making an item of an entry ----------------------------------------------- */

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

void
entry_give_back(struct spool *s, struct spool_entry *en, int64_t next_try_ms)
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

int
item_load(struct spool *s, struct spool_entry *en, struct spool_item **out,
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
		entry_give_back(s, en, clock_wall_ms() + RELOAD_MS);
		item_free(it);
		return -1;
	}
	*out = it;
	return 0;
}

/* --- its body and marks ------------------------------------------------------ */

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
	if ((old & 0xff) == SPOOL_MARK_DONE ||
	    (old & 0xff) == SPOOL_MARK_STORED)
		return;
	atomic_store(&it->marks->marks[recipient],
	    (uint32_t)m | (old & MARKS_TOLD) | (uint32_t)outcome << 16);
}

void
spool_mark_told(struct spool_item *it, size_t recipient, uint8_t flags)
{
	assert(recipient < it->marks->count);
	atomic_fetch_or(
	    &it->marks->marks[recipient], (uint32_t)flags << MARKS_TOLD_SHIFT);
}

uint8_t
spool_mark_get_told(const struct spool_item *it, size_t recipient)
{
	uint32_t mark;

	assert(recipient < it->marks->count);
	mark = atomic_load(&it->marks->marks[recipient]);
	return (uint8_t)((mark & MARKS_TOLD) >> MARKS_TOLD_SHIFT);
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

	entry_give_back(s, item_detach(it), next_try_ms);
}

void
spool_corrupt(struct spool_item *it, const char *reason)
{
	struct spool *s = it->spool;

	end_add(s, item_detach(it), END_CORRUPT, NULL, mem_strdup(reason), 0);
}
