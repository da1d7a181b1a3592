/*
 * The shared flush: what makes the ends of claims true on the disk.
 *
 * The order is the whole point (I1).  First the stores, so that what the
 * envelopes and marks will say about deliveries holds after a power cut; then
 * the files of what waits on; then the settled marks; then the files nobody
 * needs any more; then the segments.  A cut between two steps leaves work to
 * be done again and never the other way round.  Until the end of it the live
 * marks say what was done.
 *
 * One thread at a time; claimers go on meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	REVERT_MS = 60 * 1000,           /* a deferral the disk refused */
	SETTLED_GROWN = 4 * 1024 * 1024, /* settled.log is written anew */
	CLEAN_MS = 3600 * 1000,
};

/* --- ends --------------------------------------------------------------------- */

void
end_add(struct spool *s, struct spool_entry *en, enum end_action action,
    struct buf *envelope, char *reason, int64_t next_try_ms)
{
	struct spool_end *end = mem_zalloc(sizeof(*end));

	end->entry = en;
	end->action = action;
	end->reason = reason;
	end->next_try_ms = next_try_ms;
	if (envelope != NULL)
		end->envelope = *envelope;
	else
		buf_init(&end->envelope, 0);
	(void)pthread_mutex_lock(&s->lock);
	end->set_back_ms = s->set_back_ms;
	spool_index_set(s, en, ENTRY_PENDING);
	*s->ends_last = end;
	s->ends_last = &end->next;
	s->end_count++;
	(void)pthread_mutex_unlock(&s->lock);
}

void
end_free(struct spool_end *end)
{
	buf_release(&end->envelope);
	free(end->reason);
	free(end);
}

size_t
spool_flush_pending(struct spool *s)
{
	size_t n;

	(void)pthread_mutex_lock(&s->lock);
	n = s->flush_asked ? SIZE_MAX : s->end_count;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

bool
spool_awaits_flush(struct spool *s, const char *id)
{
	const struct spool_entry *en;
	bool awaits;

	(void)pthread_mutex_lock(&s->lock);
	en = id_is_valid(slice_str(id)) ? spool_index_find(s, id) : NULL;
	awaits = en != NULL && en->state == ENTRY_PENDING;
	(void)pthread_mutex_unlock(&s->lock);
	return awaits;
}

int
spool_flush_wait(struct spool *s, int timeout_ms, struct err *e)
{
	int64_t until = clock_mono_ms() + timeout_ms;
	struct timespec ts = { until / 1000, until % 1000 * 1000000 };
	uint64_t number, wakes;
	bool done;

	(void)pthread_mutex_lock(&s->lock);
	number = s->flushes_begun + 1;
	wakes = s->wakes;
	while (s->state_counts[ENTRY_PENDING] > 0 && s->flushes_done < number &&
	    s->wakes == wakes && clock_left_ms(until) > 0) {
		s->flush_asked = true;
		(void)pthread_cond_timedwait(&s->flushed, &s->lock, &ts);
	}
	done = s->state_counts[ENTRY_PENDING] == 0 || s->flushes_done >= number;
	(void)pthread_mutex_unlock(&s->lock);
	return done ? 0 : err_set(e, ERR_TEMP, "the disk has not taken it yet");
}

static void
end_flush(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->flushes_done = s->flushes_begun;
	(void)pthread_cond_broadcast(&s->flushed);
	(void)pthread_mutex_unlock(&s->lock);
}

static struct spool_end *
take_ends(struct spool *s)
{
	struct spool_end *ends;

	(void)pthread_mutex_lock(&s->lock);
	s->flushes_begun++;
	ends = s->ends;
	s->ends = NULL;
	s->ends_last = &s->ends;
	s->end_count = 0;
	s->flush_asked = false;
	(void)pthread_mutex_unlock(&s->lock);
	return ends;
}

/* For the next flush to do again. */
static void
return_end(struct spool *s, struct spool_end *end)
{
	(void)pthread_mutex_lock(&s->lock);
	end->next = NULL;
	*s->ends_last = end;
	s->ends_last = &end->next;
	s->end_count++;
	(void)pthread_mutex_unlock(&s->lock);
}

/* --- storing what waits on, putting aside what is damaged -------------------------- */

int
corrupt_save(struct spool *s, const char *name, const void *data, size_t len,
    const char *reason)
{
	int fd = spool_file_new(s->dirs.corrupt, name);
	int rc;

	if (fd < 0)
		return errno == EEXIST ? 0 : -1;
	rc = spool_write_at(fd, data, len, 0);
	if (rc == 0)
		rc = fsync(fd);
	if (close(fd) < 0)
		rc = -1;
	if (rc == 0)
		rc = fsync(s->dirs.corrupt);
	if (rc < 0) {
		(void)unlinkat(s->dirs.corrupt, name, 0);
		return -1;
	}
	log_error("spool: corrupt/%s: %s", name, reason);
	(void)pthread_mutex_lock(&s->lock);
	s->corrupt++;
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

static enum entry_dir
other_dir(enum entry_dir dir)
{
	return dir == DIR_HOLD ? DIR_DEFERRED : DIR_HOLD;
}

/* The body, if it still is in the journal, then the envelope. */
static int
store_end(struct spool *s, struct spool_end *end, struct err *e)
{
	struct spool_entry *en = end->entry;
	struct envelope_name n = entry_envelope_name(en);
	enum entry_dir dir = end->action == END_HOLD ? DIR_HOLD : DIR_DEFERRED;
	struct spool_record r;
	char *payload;
	int rc;

	if (en->place == PLACE_JOURNAL && !(en->flags & RECORD_LARGE_BODY)) {
		if (journal_read(en, &r, &payload, e) < 0)
			return -1;
		rc = files_put_body(
		    s, dir, en->id, slice_of(payload, (size_t)r.body_size), e);
		free(payload);
		if (rc < 0)
			return -1;
	}
	n.serial++;
	n.next_ms = end->next_try_ms;
	n.in_journal = false;
	return files_put_envelope(
	    s, dir, &n, buf_slice(&end->envelope), false, e);
}

/*
 * Its new name; the old one goes last, as with what is written anew, since no
 * rename between directories is one step on every disk.  It may be there, by a
 * flush that then failed.
 */
static int
store_move(struct spool *s, struct spool_end *end, struct err *e)
{
	struct envelope_name n = entry_envelope_name(end->entry);
	enum entry_dir from = end->entry->dir, to = other_dir(from);
	char name[ENVELOPE_NAME_SIZE], next[ENVELOPE_NAME_SIZE];

	envelope_name_put(name, &n);
	n.next_ms = end->next_try_ms;
	envelope_name_put(next, &n);
	if (linkat(files_dir(s, from), name, files_dir(s, to), next, 0) == 0 ||
	    errno == EEXIST)
		return 0;
	return err_errno(
	    e, "move from %s/", from == DIR_HOLD ? "hold" : "deferred");
}

static void
move_to_corrupt(struct spool *s, int dir_fd, const char *name)
{
	if (renameat(dir_fd, name, s->dirs.corrupt, name) < 0 &&
	    errno != ENOENT)
		log_error("spool: cannot move %s to corrupt/", name);
}

/* Raw, as it lies there: nobody could read it, or nobody may again. */
static int
store_corrupt(struct spool *s, struct spool_end *end, struct err *e)
{
	struct spool_entry *en = end->entry;
	struct envelope_name n = entry_envelope_name(en);
	struct spool_record r;
	char name[ENVELOPE_NAME_SIZE];
	char *payload;
	int rc;

	if (en->place == PLACE_JOURNAL) {
		if (journal_read(en, &r, &payload, e) < 0)
			return e->kind == ERR_TEMP ? -1 : 0;
		(void)snprintf(name, sizeof(name), "%s.record", en->id);
		rc = corrupt_save(s, name, payload,
		    (size_t)record_inline_size(&r), end->reason);
		free(payload);
		if (rc < 0)
			return err_errno(e, "write corrupt/%s", name);
	} else {
		(void)pthread_mutex_lock(&s->lock);
		s->corrupt++;
		(void)pthread_mutex_unlock(&s->lock);
		log_error("spool: corrupt/%s: %s", en->id, end->reason);
	}
	move_to_corrupt(s, s->dirs.large, en->id);
	(void)snprintf(name, sizeof(name), "%s.env", en->id);
	move_to_corrupt(s, s->dirs.large, name);
	move_to_corrupt(s, s->dirs.deferred, en->id);
	move_to_corrupt(s, s->dirs.hold, en->id);
	if (en->serial > 0) {
		envelope_name_put(name, &n);
		move_to_corrupt(s, files_dir(s, en->dir), name);
	}
	return 0;
}

/* Step 2.  Ends that fail are marked so; -1: none of them is durable. */
static int
store_all(struct spool *s, struct spool_end *ends, struct err *e)
{
	bool stored = false;

	for (struct spool_end *end = ends; end != NULL; end = end->next) {
		struct err why;
		int rc = 0;

		end->failed = false; /* a file may not have gone last time */
		if (end->action == END_SETTLE)
			continue;
		if (end->action == END_CORRUPT)
			rc = store_corrupt(s, end, &why);
		else if (end->action == END_MOVE)
			rc = store_move(s, end, &why);
		else
			rc = store_end(s, end, &why);
		stored = true;
		end->failed = rc < 0;
		if (rc < 0)
			log_error("spool: %s: %s", end->entry->id, why.text);
	}
	if (stored && syncfs(s->dirs.root) < 0) {
		err_errno(e, "flush the spool");
		spool_flush_failed(s); /* the stores may lie beside it */
		return -1;
	}
	return 0;
}

/* --- the marks ---------------------------------------------------------------------- */

static int
mark_settled(struct spool *s, struct spool_end *ends, struct err *e)
{
	struct spool_place *places = NULL;
	size_t count = 0, alloc = 0;
	int rc;

	for (struct spool_end *end = ends; end != NULL; end = end->next) {
		struct spool_entry *en = end->entry;

		if (en->place != PLACE_JOURNAL)
			continue;
		places = mem_grow(places, &alloc, count + 1, sizeof(*places));
		places[count].generation = en->segment->generation;
		places[count].offset = en->offset;
		count++;
	}
	rc = settled_append(s, places, count, e);
	free(places);
	return rc;
}

/* --- letting go ----------------------------------------------------------------------- */

static int
drop_file(int dir_fd, const char *name)
{
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return -1;
	return 0;
}

/* The envelope that no longer counts: of what waits on, the one before. */
static int
drop_envelope(struct spool *s, struct spool_end *end)
{
	struct spool_entry *en = end->entry;
	struct envelope_name n = entry_envelope_name(en);
	char name[ENVELOPE_NAME_SIZE];

	if (en->serial == 0)
		return 0;
	envelope_name_put(name, &n);
	return drop_file(files_dir(s, en->dir), name);
}

static int
drop_bodies(struct spool *s, struct spool_end *end)
{
	struct spool_entry *en = end->entry;
	char name[ID_SIZE + 4];
	int rc = 0;

	if (en->is_duplicate)
		return 0;
	(void)snprintf(name, sizeof(name), "%s.env", en->id);
	if (en->flags & RECORD_LARGE_ENVELOPE)
		rc |= drop_file(s->dirs.large, name);
	if (end->action != END_SETTLE && end->action != END_CORRUPT)
		return rc;
	if (en->place == PLACE_FILES || (en->flags & RECORD_LARGE_BODY))
		rc |= drop_file(s->dirs.large, en->id);
	if (en->place == PLACE_FILES) {
		rc |= drop_file(s->dirs.deferred, en->id);
		rc |= drop_file(s->dirs.hold, en->id);
	}
	return rc;
}

/*
 * Step 4.  An envelope file is what makes a deferred message be there, so its
 * removal is durable before its body goes.
 */
static void
drop_all(struct spool *s, struct spool_end *ends)
{
	bool dropped = false;

	for (struct spool_end *end = ends; end != NULL; end = end->next) {
		dropped |= end->entry->serial > 0;
		end->failed = drop_envelope(s, end) < 0;
	}
	if (dropped && (fsync(s->dirs.deferred) < 0 || fsync(s->dirs.hold) < 0))
		log_error("spool: cannot flush deferred/");
	for (struct spool_end *end = ends; end != NULL; end = end->next) {
		if (!end->failed && drop_bodies(s, end) < 0)
			log_error(
			    "spool: cannot remove files of %s", end->entry->id);
	}
}

/* Under the lock: the entry is in a file now that says when it is due. */
static void
wait_in_file(struct spool *s, struct spool_end *end, enum entry_dir dir)
{
	struct spool_entry *en = end->entry;

	en->dir = (uint8_t)dir;
	en->file_next = end->next_try_ms;
	en->next_try_ms =
	    end->next_try_ms - (s->set_back_ms - end->set_back_ms);
	spool_index_set(s, en, dir == DIR_HOLD ? ENTRY_HELD : ENTRY_WAITING);
}

/* Under the lock: the entry becomes what the disk says now. */
static void
finish_entry(struct spool *s, struct spool_end *end)
{
	struct spool_entry *en = end->entry;

	if (end->action == END_MOVE) {
		wait_in_file(s, end, other_dir(en->dir));
		return;
	}
	if (en->place == PLACE_JOURNAL)
		en->segment->unsettled--;
	marks_free(&s->arena, en->marks);
	en->marks = NULL;
	en->was_claimed = false;
	if (end->action != END_DEFER && end->action != END_HOLD) {
		spool_index_set(s, en, ENTRY_SETTLED);
		if (en->segment == NULL)
			spool_index_remove(s, en);
		return;
	}
	en->place = PLACE_FILES;
	en->serial++;
	en->flags = 0;
	wait_in_file(s, end, end->action == END_HOLD ? DIR_HOLD : DIR_DEFERRED);
}

static void
count_refused(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->refused++;
	(void)pthread_mutex_unlock(&s->lock);
}

static void
finish_all(struct spool *s, struct spool_end *ends, size_t *settled_out)
{
	while (ends != NULL) {
		struct spool_end *end = ends;

		ends = end->next;
		/* Its file would not go: the mark holds until it does. */
		if (end->failed &&
		    (end->action == END_SETTLE || end->action == END_MOVE)) {
			return_end(s, end);
			count_refused(s);
			continue;
		}
		if (settled_out != NULL && end->action == END_SETTLE)
			(*settled_out)++;
		(void)pthread_mutex_lock(&s->lock);
		finish_entry(s, end);
		if (ends == NULL)
			spool_kick(s);
		(void)pthread_mutex_unlock(&s->lock);
		end_free(end);
	}
}

/* --- all of it --------------------------------------------------------------------------- */

/* Take out the ends that failed; they go back to waiting. */
static struct spool_end *
revert_failed(struct spool *s, struct spool_end *ends)
{
	struct spool_end *good = NULL, **last = &good;

	while (ends != NULL) {
		struct spool_end *end = ends;

		ends = end->next;
		end->next = NULL;
		if (end->failed) {
			count_refused(s);
			entry_give_back(
			    s, end->entry, clock_wall_ms() + REVERT_MS);
			end_free(end);
			continue;
		}
		*last = end;
		last = &end->next;
	}
	return good;
}

static void
return_all(struct spool *s, struct spool_end *ends)
{
	while (ends != NULL) {
		struct spool_end *end = ends;

		ends = end->next;
		return_end(s, end);
	}
}

static int
flush_ends(
    struct spool *s, struct spool_end *ends, size_t *settled_out, struct err *e)
{
	if (store_all(s, ends, e) < 0) {
		return_all(s, ends);
		return -1;
	}
	ends = revert_failed(s, ends);
	if (mark_settled(s, ends, e) < 0) {
		return_all(s, ends);
		return -1;
	}
	drop_all(s, ends);
	finish_all(s, ends, settled_out);
	return 0;
}

/* What follows from a flush: segments to reuse, logs to shorten. */
static int
housekeeping(struct spool *s, struct err *e)
{
	int rc;

	scan_begin(s);
	rc = journal_recycle(s, e);
	if (rc == 0 && clock_mono_ms() - s->clean_ms >= CLEAN_MS) {
		s->clean_ms = clock_mono_ms();
		rc = files_clean(s, e);
	}
	scan_finish(s);
	if (rc == 0 && s->settled_size > SETTLED_GROWN &&
	    s->settled_size > 2 * s->settled_base)
		rc = settled_rewrite(s, e);
	return rc;
}

void
spool_flush_failed(struct spool *s)
{
	atomic_fetch_add(&s->arena.header->failures, 1);
}

bool
spool_is_unsure(struct spool *s)
{
	return atomic_load(&s->arena.header->failures) != 0;
}

int
spool_flush(struct spool *s, int (*sync_stores)(void *arg, struct err *e),
    void *arg, size_t *settled_out, struct err *e)
{
	uint32_t failures = atomic_load(&s->arena.header->failures);
	struct spool_end *ends = take_ends(s);

	if (settled_out != NULL)
		*settled_out = 0;
	if (ends != NULL && sync_stores(arg, e) < 0) {
		spool_flush_failed(s);
		return_all(s, ends);
		return -1;
	}
	if (ends != NULL) {
		/* one that failed meanwhile waits for the next flush */
		(void)atomic_compare_exchange_strong(
		    &s->arena.header->failures, &failures, 0);
		if (flush_ends(s, ends, settled_out, e) < 0)
			return -1;
	}
	end_flush(s);
	return housekeeping(s, e);
}
