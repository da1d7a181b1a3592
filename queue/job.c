/*
 * Jobs; see job.h.
 *
 * Order is everything here: the live mark first (a recipient marked done is
 * never tried again, I3), then the envelope in memory, then the log; at the
 * end the reports, which are committed to the spool before the message they
 * speak of may be settled.  Any thread of the runner.
 */
#include "queue/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

#include "queue/age.h"
#include "queue/dsn.h"

struct job *
job_new(struct runner *r, struct spool_item *item, struct settings *settings)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->runner = r;
	j->item = item;
	j->settings = settings;
	j->now_ms = clock_wall_ms();
	pthread_mutex_init(&j->lock, NULL);
	atomic_init(&j->refs, 1);
	atomic_fetch_add(&r->jobs, 1);
	return j;
}

void
job_ref(struct job *j)
{
	atomic_fetch_add(&j->refs, 1);
}

bool
job_is_waiting(const struct job *j, size_t recipient)
{
	return j->item->envelope.recipients[recipient].state ==
	    RECIPIENT_WAITING;
}

static uint16_t
outcome_code(const struct outcome *o)
{
	uint64_t code;

	if (o->is_reply && num_parse(slice_of(o->text, 3), 599, &code))
		return (uint16_t)code;
	return o->kind == OUTCOME_SENT ? 250
	    : o->kind == OUTCOME_PERM  ? 550
				       : 451;
}

static void
log_outcome(const struct job *j, const struct envelope_recipient *r,
    const struct outcome *o)
{
	const char *event = o->kind == OUTCOME_TEMP ? "defer"
	    : o->kind == OUTCOME_PERM               ? "bounce"
	    : r->kind == RECIPIENT_LOCAL            ? "deliver"
						    : "sent";
	const struct envelope *v = &j->item->envelope;
	struct log_line l;

	log_begin(&l, event, NULL, j->item->id);
	log_str(&l, "from", v->sender);
	log_str(&l, "to", r->address);
	if (v->auth_user[0] != '\0')
		log_str(&l, "user", v->auth_user);
	if (r->delivered_to != NULL)
		log_str(&l, "orig_to", r->delivered_to);
	if (o->remote[0] != '\0')
		log_str(&l, "remote", o->remote);
	log_str(&l, "status", o->status);
	log_str(&l, "reply", o->text);
	log_int(&l, "attempt", r->attempts);
	log_int(&l, "delay_ms", clock_wall_ms() - v->accepted_ms);
	log_int(&l, "size", (int64_t)v->body_size);
	if (o->maybe_twice)
		log_str(&l, "twice", "possible");
	log_end(&l);
}

static void
count(struct runner *r, const struct envelope_recipient *rcpt,
    enum outcome_kind kind)
{
	if (kind == OUTCOME_TEMP)
		atomic_fetch_add(&r->deferred, 1);
	else if (kind == OUTCOME_PERM)
		atomic_fetch_add(&r->bounced, 1);
	else if (rcpt->kind == RECIPIENT_LOCAL)
		atomic_fetch_add(&r->delivered, 1);
	else
		atomic_fetch_add(&r->sent, 1);
}

void
job_record(struct job *j, size_t recipient, const struct outcome *o)
{
	static const enum spool_mark marks[] = {
		[OUTCOME_NONE] = SPOOL_MARK_NONE,
		[OUTCOME_SENT] = SPOOL_MARK_DONE,
		[OUTCOME_TEMP] = SPOOL_MARK_NONE,
		[OUTCOME_PERM] = SPOOL_MARK_FAILED,
	};

	static const uint8_t states[] = {
		[OUTCOME_NONE] = RECIPIENT_WAITING,
		[OUTCOME_SENT] = RECIPIENT_DONE,
		[OUTCOME_TEMP] = RECIPIENT_WAITING,
		[OUTCOME_PERM] = RECIPIENT_FAILED,
	};
	struct envelope_recipient *r = &j->item->envelope.recipients[recipient];
	uint16_t code = outcome_code(o);

	if (o->kind == OUTCOME_SENT && r->kind == RECIPIENT_LOCAL)
		spool_mark(j->item, recipient, SPOOL_MARK_STORED, code);
	else
		spool_mark(j->item, recipient, marks[o->kind], code);
	pthread_mutex_lock(&j->lock);
	r->state = states[o->kind];
	r->code = code;
	r->attempts++;
	r->last_try_ms = o->retry_now ? 0 : clock_wall_ms();
	r->status = pool_strdup(&j->item->pool, o->status);
	r->reply = pool_strdup(&j->item->pool, o->text);
	r->remote = pool_strdup(&j->item->pool, o->remote);
	if (o->dsn_passed) { /* the remote server reports success itself */
		spool_mark_told(j->item, recipient, 1U << DSN_SUCCESS);
		r->notify &= ~(uint32_t)NOTIFY_SUCCESS;
	}
	j->recorded = true;
	if (o->retry_now)
		j->retry_now = true;
	pthread_mutex_unlock(&j->lock);
	log_outcome(j, r, o);
	count(j->runner, r, o->kind);
}

void
job_put_off(struct job *j, size_t recipient, const char *reason)
{
	struct envelope_recipient *r = &j->item->envelope.recipients[recipient];

	pthread_mutex_lock(&j->lock);
	r->status = pool_strdup(&j->item->pool, "4.3.2");
	r->reply = pool_strdup(&j->item->pool, reason);
	j->parked = true;
	pthread_mutex_unlock(&j->lock);
}

void
job_recover(struct job *j)
{
	struct envelope *v = &j->item->envelope;
	size_t i;

	for (i = 0; i < v->recipient_count; i++) {
		struct envelope_recipient *r = &v->recipients[i];
		uint16_t code = 0;

		if (r->state != RECIPIENT_WAITING)
			continue;
		switch (spool_mark_get(j->item, i, &code)) {
		case SPOOL_MARK_DONE:
		case SPOOL_MARK_STORED:
			r->state = RECIPIENT_DONE;
			r->code = code;
			j->recorded = true;
			break;
		case SPOOL_MARK_FAILED:
			r->state = RECIPIENT_FAILED;
			r->code = code;
			r->status = pool_strdup(&j->item->pool, "5.0.0");
			r->reply = pool_printf(&j->item->pool,
			    "failed with code %u; the server's log has the "
			    "words",
			    code);
			r->remote = NULL;
			j->recorded = true;
			break;
		case SPOOL_MARK_NONE:
		case SPOOL_MARK_STARTED:
		case SPOOL_MARK_PREPARED:
		case SPOOL_MARK_UNSURE:
			break;
		}
	}
	dsn_recover(j);
}

void
job_note_failures(struct job *j)
{
	struct envelope *v = &j->item->envelope;
	struct outcome o = { 0 };
	size_t i;

	for (i = 0; i < v->recipient_count; i++) {
		struct envelope_recipient *r = &v->recipients[i];

		if (r->state != RECIPIENT_FAILED ||
		    spool_mark_get(j->item, i, NULL) == SPOOL_MARK_FAILED)
			continue;
		spool_mark(j->item, i, SPOOL_MARK_FAILED, r->code);
		outcome_set(&o, OUTCOME_PERM,
		    r->status != NULL ? r->status : "5.0.0", "%s",
		    r->reply != NULL ? r->reply : "");
		log_outcome(j, r, &o);
		count(j->runner, r, OUTCOME_PERM);
	}
}

int64_t
job_retry_ms(const struct settings *s, uint32_t attempts)
{
	size_t steps = settings_count(s, SET_QUEUE_RETRY), i;
	int64_t ms;

	if (steps == 0)
		return INT64_C(300000);
	i = attempts == 0 ? 0 : attempts - 1;
	if (i >= steps)
		i = steps - 1;
	ms = settings_item_int(s, SET_QUEUE_RETRY, i) * 1000;
	/* scatter, so that what failed together does not return together */
	return ms + random_below((uint32_t)(ms / 10 + 1));
}

bool
job_is_due(const struct job *j, size_t recipient)
{
	const struct envelope *v = &j->item->envelope;
	const struct envelope_recipient *r = &v->recipients[recipient];
	int64_t since_ms = j->now_ms - r->last_try_ms;

	return job_is_waiting(j, recipient) &&
	    ((v->flags & ENVELOPE_UNFINISHED) == 0 || r->attempts == 0 ||
		since_ms < 0 ||
		since_ms >= job_retry_ms(j->settings, r->attempts));
}

/* A waiting recipient whose time is over fails now. */
static void
expire(struct job *j, struct envelope_recipient *r, size_t index)
{
	struct log_line l;

	spool_mark(j->item, index, SPOOL_MARK_FAILED, 554);
	r->state = RECIPIENT_FAILED;
	r->status = pool_strdup(&j->item->pool, "4.4.7");
	if (r->reply == NULL)
		r->reply = pool_strdup(&j->item->pool, "delivery time expired");
	log_begin(&l, "expire", NULL, j->item->id);
	log_str(&l, "to", r->address);
	log_str(&l, "reply", r->reply);
	log_int(&l, "attempt", r->attempts);
	log_end(&l);
	atomic_fetch_add(&j->runner->bounced, 1);
}

/* Expire what is too old; when the rest is due, or 0 if nothing waits. */
static int64_t
next_try(struct job *j)
{
	int64_t expire_s = settings_int(j->settings, SET_QUEUE_EXPIRE);
	int64_t now = clock_wall_ms(), next = 0, due;
	struct envelope *v = &j->item->envelope;
	int64_t age = age_of(j->runner->age, v->accepted_ms);
	size_t i;

	for (i = 0; i < v->recipient_count; i++) {
		struct envelope_recipient *r = &v->recipients[i];

		if (r->state != RECIPIENT_WAITING)
			continue;
		if (!j->parked && r->attempts > 0 && age >= expire_s * 1000) {
			expire(j, r, i);
			continue;
		}
		due = (job_is_due(j, i) ? now : r->last_try_ms) +
		    job_retry_ms(j->settings, r->attempts);
		if (next == 0 || due < next)
			next = due;
	}
	return next != 0 && j->retry_now ? now : next;
}

void
job_release(struct job *j, int64_t after_ms)
{
	atomic_store(&j->release_ms, after_ms);
	atomic_store(&j->released, true);
}

static void
end_item(struct job *j)
{
	int64_t next;

	if (j->hold_reason != NULL) {
		spool_hold(j->item, j->hold_reason);
		return;
	}
	if (atomic_load(&j->released)) {
		next = clock_wall_ms() + atomic_load(&j->release_ms);
		if (j->recorded) {
			j->item->envelope.flags |= ENVELOPE_UNFINISHED;
			spool_defer(j->item, next);
		} else
			spool_release(j->item, next);
		return;
	}
	next = next_try(j);
	if (dsn_report(j) != 0) /* not told yet: keep it until we could */
		next = clock_wall_ms() + job_retry_ms(j->settings, 1);
	if (j->retry_now)
		j->item->envelope.flags |= ENVELOPE_UNFINISHED;
	else
		j->item->envelope.flags &= ~(uint32_t)ENVELOPE_UNFINISHED;
	if (next == 0)
		spool_settle(j->item);
	else
		spool_defer(j->item, next);
}

static void
finish(struct job *j)
{
	struct runner *r = j->runner;

	end_item(j);
	settings_free(j->settings);
	pthread_mutex_destroy(&j->lock);
	free(j);
	atomic_fetch_sub(&r->jobs, 1);
}

void
job_unref(struct job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) == 1)
		finish(j);
}

void
job_bounce(struct job *j, const char *text)
{
	struct outcome o = { 0 };
	size_t i;

	outcome_set(&o, OUTCOME_PERM, "5.7.1", "%s", text);
	for (i = 0; i < j->item->envelope.recipient_count; i++)
		if (job_is_waiting(j, i))
			job_record(j, i, &o);
	job_unref(j);
}

void
job_hold(struct job *j, const char *reason)
{
	j->hold_reason = reason;
	job_unref(j);
}
