/*
 * The control verbs' side of the spool: counting, looking at one, and changing
 * what waits; and making a new spool.  Pages of it: spool_list.c.
 *
 * Looking at a message does not claim it: its segment is held meanwhile, and
 * an envelope file that was replaced while we looked is looked for again.
 *
 * Any thread.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	PEEK_TRIES = 3
};

bool
spool_knows(struct spool *s, const char *id)
{
	bool known;

	(void)pthread_mutex_lock(&s->lock);
	known = id_is_valid(slice_str(id)) && spool_index_find(s, id) != NULL;
	(void)pthread_mutex_unlock(&s->lock);
	return known;
}

void
spool_count(struct spool *s, struct spool_counts *out)
{
	memset(out, 0, sizeof(*out));
	(void)pthread_mutex_lock(&s->lock);
	out->active = s->state_counts[ENTRY_READY] +
	    s->state_counts[ENTRY_CLAIMED] + s->state_counts[ENTRY_PENDING];
	out->deferred = s->state_counts[ENTRY_WAITING];
	out->held = s->state_counts[ENTRY_HELD];
	out->corrupt = s->corrupt;
	out->refused = s->refused;
	for (struct journal_segment *g = s->segments; g != NULL; g = g->next) {
		out->segments++;
		out->journal_bytes += g->size;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/* Under the lock: what reading needs of an entry; holds its segment. */
static bool
copy_entry(struct spool *s, const char *id, struct spool_entry *out)
{
	const struct spool_entry *en;

	memset(out, 0, sizeof(*out));
	en = id_is_valid(slice_str(id)) ? spool_index_find(s, id) : NULL;
	if (en == NULL || en->state == ENTRY_SETTLED)
		return false;
	memcpy(out->id, en->id, ID_SIZE);
	out->place = en->place;
	out->dir = en->dir;
	out->serial = en->serial;
	out->file_next = en->file_next;
	out->offset = en->offset;
	out->flags = en->flags;
	out->outline = en->outline; /* only whether there is one */
	out->segment = en->segment;
	if (out->segment != NULL)
		out->segment->unsettled++;
	return true;
}

/* What was read stands for the entry, if it has not changed since. */
static void
remember(
    struct spool *s, const struct spool_entry *read, const struct envelope *v)
{
	struct spool_outline *o = outline_new(s, v);
	struct spool_entry *en;

	(void)pthread_mutex_lock(&s->lock);
	en = spool_index_find(s, read->id);
	if (en != NULL && en->outline == NULL && en->serial == read->serial) {
		outline_set(en, o);
		o = NULL;
	}
	(void)pthread_mutex_unlock(&s->lock);
	free(o);
}

int
spool_peek(struct spool *s, const char *id, struct pool *pool,
    struct envelope *out, struct err *e)
{
	struct spool_entry en;
	struct buf raw;
	int rc = -1;

	buf_init(&raw, ENVELOPE_MAX);
	for (int tries = 0; rc < 0 && tries < PEEK_TRIES; tries++) {
		bool found;

		(void)pthread_mutex_lock(&s->lock);
		found = copy_entry(s, id, &en);
		(void)pthread_mutex_unlock(&s->lock);
		if (!found) {
			err_set(e, ERR_PERM, "no such message: %s", id);
			break;
		}
		rc = entry_read_envelope(s, &en, &raw, e);
		(void)pthread_mutex_lock(&s->lock);
		if (en.segment != NULL)
			en.segment->unsettled--;
		(void)pthread_mutex_unlock(&s->lock);
	}
	if (rc == 0)
		rc = envelope_decode(buf_slice(&raw), pool, out, e);
	buf_release(&raw);
	if (rc == 0 && en.outline == NULL)
		remember(s, &en, out);
	return rc;
}

int
spool_schedule(
    struct spool *s, const char *id, int64_t next_try_ms, struct err *e)
{
	struct spool_entry *en = NULL;
	int rc = 0;

	(void)pthread_mutex_lock(&s->lock);
	if (id_is_valid(slice_str(id)))
		en = spool_index_find(s, id);
	if (en == NULL || en->state == ENTRY_SETTLED ||
	    en->state == ENTRY_HELD) {
		rc = err_set(e, ERR_PERM, "not waiting");
	} else if (en->state == ENTRY_CLAIMED || en->state == ENTRY_PENDING) {
		rc = err_set(e, ERR_TEMP, "just being worked on");
	} else {
		/* Out of the heap before what it is sorted by changes. */
		spool_index_set(s, en, ENTRY_CLAIMED);
		en->next_try_ms = next_try_ms;
		spool_index_set(s, en, ENTRY_WAITING);
		spool_kick(s);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Move it, if it is in this state and in files of its own. */
static bool
move(struct spool *s, const char *id, enum entry_state from)
{
	struct spool_entry *en = NULL;

	(void)pthread_mutex_lock(&s->lock);
	if (id_is_valid(slice_str(id)))
		en = spool_index_find(s, id);
	if (en != NULL && (en->state != from || en->place != PLACE_FILES))
		en = NULL;
	if (en != NULL)
		spool_index_set(s, en, ENTRY_CLAIMED);
	(void)pthread_mutex_unlock(&s->lock);
	if (en != NULL)
		end_add(s, en, END_MOVE, NULL, NULL, clock_wall_ms());
	return en != NULL;
}

bool
spool_hold_waiting(struct spool *s, const char *id)
{
	struct spool_info info;

	return (spool_find(s, id, &info) && info.state == SPOOL_HELD) ||
	    move(s, id, ENTRY_WAITING);
}

int
spool_unhold(struct spool *s, const char *id, struct err *e)
{
	return move(s, id, ENTRY_HELD) ? 0 : err_set(e, ERR_PERM, "not held");
}

int
spool_remove(struct spool *s, const char *id, struct err *e)
{
	struct spool_entry *en;

	if (entry_claim(s, id, &en, e) < 0)
		return -1;
	if (en->marks != NULL)
		atomic_store(&en->marks->end, MARKS_END_SETTLE);
	end_add(s, en, END_SETTLE, NULL, NULL, 0);
	return 0;
}

int
spool_take_back(
    struct spool *s, const char *id, const char *auth_user, struct err *e)
{
	struct spool_item *it;

	if (spool_claim_id(s, id, &it, e) < 0)
		return -1;
	if (auth_user[0] == '\0' ||
	    strcmp(it->envelope.auth_user, auth_user) != 0) {
		spool_release(it, it->entry->next_try_ms);
		return err_set(e, ERR_PERM, "no such message: %s", id);
	}
	if (it->envelope.not_before_ms <= clock_wall_ms()) {
		spool_release(it, it->entry->next_try_ms);
		return err_set(e, ERR_PERM, "%s is on its way already", id);
	}
	spool_settle(it);
	return 0;
}

/* --- a new spool ----------------------------------------------------------------- */

int
spool_write_id(int spool_fd, struct err *e)
{
	uint8_t uuid[SPOOL_UUID_LEN];
	char hex[SPOOL_UUID_SIZE], text[64];

	random_bytes(uuid, sizeof(uuid));
	hex_encode(uuid, sizeof(uuid), hex);
	(void)snprintf(text, sizeof(text), "mailstead-spool 1 %s\n", hex);
	return file_replace(spool_fd, "spool.id", 0660, text, strlen(text), e);
}

int
spool_create(const char *spool_dir, struct err *e)
{
	static const char *const subs[] = { "journal", "large", "deferred",
		"hold", "corrupt" };
	int fd, rc = 0;

	if (file_mkdir(AT_FDCWD, spool_dir, 02770, e) < 0)
		return -1;
	fd = open(spool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(e, "open %s", spool_dir);
	for (size_t i = 0; i < ARRAY_LEN(subs) && rc == 0; i++)
		rc = file_mkdir(fd, subs[i], 02770, e);
	/* The id comes last: without it there is no spool. */
	if (rc == 0 && faccessat(fd, "spool.id", F_OK, 0) < 0)
		rc = spool_write_id(fd, e);
	(void)close(fd);
	return rc;
}
