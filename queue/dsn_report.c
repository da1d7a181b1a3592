/*
 * When a report is due, to whom, and into the spool with it; see dsn.h.
 *
 * A report is committed before the message it speaks of is settled.  Its id
 * follows from that message and the recipients it is about, and its marks say
 * that it was told: so a runner that died in between does not report twice,
 * neither while the report is in the queue nor later (threats.md I05).  Runs
 * on whatever thread finishes the job; nobody else works on it then.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"

#include "queue/age.h"
#include "queue/dsn.h"
#include "queue/job.h"

enum {
	HEADER_MAX = 65536,
	REPORT_ROOM = 64 * 1024 * 1024, /* recipients of a huge list */
};

static const char double_bounce[] = "double-bounce";

/* 80 bits out of message id, kind and recipients, behind the id's time. */
static void
report_id(const struct dsn *d, char out[ID_SIZE])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t h[2] = { 14695981039346656037ULL, 0x9e3779b97f4a7c15ULL };
	size_t i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < ID_LEN; i++)
			h[k] = (h[k] ^ (uint8_t)d->message_id[i]) *
			    1099511628211ULL;
		h[k] = (h[k] ^ (uint64_t)d->kind) * 1099511628211ULL;
		for (i = 0; i < d->count; i++)
			h[k] = (h[k] ^ d->recipients[i]) * 1099511628211ULL;
		h[k] ^= h[k] >> 32;
	}
	memcpy(out, d->message_id, 10);
	for (i = 0; i < 16; i++)
		out[10 + i] = digits[(h[i / 8] >> (i % 8 * 5)) & 31];
	out[ID_LEN] = '\0';
}

/* Bytes of the original without the local trace headers. */
static int
read_original(struct job *j, uint64_t limit, bool *whole_out, struct buf *out)
{
	const struct envelope *v = &j->item->envelope;
	uint64_t size = v->body_size - v->local_prefix;
	struct spool_body b;
	struct err e;
	size_t want;
	char *room;
	ssize_t n;

	if (spool_body_open(j->item, &b, &e) != 0) {
		log_warning("report on %s: %s", j->item->id, e.text);
		return -1;
	}
	*whole_out = size <= limit;
	want = *whole_out ? (size_t)size
			  : (size_t)(size < HEADER_MAX ? size : HEADER_MAX);
	if (b.data != NULL) {
		buf_add(out, b.data + v->local_prefix, want);
	} else {
		room = buf_reserve(out, want);
		n = pread(b.fd, room, want, (off_t)v->local_prefix);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	spool_body_close(&b);
	if (!*whole_out) {
		const char *end = memmem(out->data, out->len, "\n\n", 2);

		if (end != NULL)
			buf_truncate(out, (size_t)(end + 1 - out->data));
	}
	return 0;
}

static uint32_t
count_lines(const struct buf *b)
{
	const char *p = b->data, *end = b->data + b->len;
	uint32_t lines = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		lines++;
	}
	return lines;
}

static int
store(struct job *j, const struct dsn *d, const struct buf *text, struct err *e)
{
	static char empty[] = "";
	const char *to =
	    d->postmaster != NULL ? d->postmaster : d->envelope->sender;
	struct envelope v = { 0 };
	struct spool_message *m;
	struct pool pool = { 0 };
	int rc;

	v.sender = v.client_ip = v.client_name = v.helo = v.auth_user =
	    v.session_id = empty;
	v.flags = ENVELOPE_GENERATED | (d->envelope->flags & ENVELOPE_8BIT);
	if (d->envelope->flags & ENVELOPE_SMTPUTF8)
		v.flags |= ENVELOPE_SMTPUTF8 | ENVELOPE_8BIT;
	v.accepted_ms = d->now_ms;
	v.body_lines = count_lines(text);
	if (d->postmaster != NULL)
		v.envid = pool_strdup(&pool, double_bounce);
	envelope_add(&v)->address = pool_strdup(&pool, to);
	rc = spool_begin_as(j->runner->writer, d->id, &m, e);
	if (rc == 0 && (rc = spool_write(m, text->data, text->len, e)) != 0)
		spool_abort(m);
	else if (rc == 0)
		rc = spool_commit(m, &v, e);
	envelope_release(&v);
	pool_release(&pool);
	return rc;
}

static void
log_report(const struct dsn *d)
{
	static const char *const names[] = {
		[DSN_FAILURE] = "failure",
		[DSN_DELAY] = "delay",
		[DSN_SUCCESS] = "success",
	};
	struct log_line l;

	log_begin(&l, "accept", NULL, d->id);
	log_str(&l, "from", "");
	log_str(&l, "to",
	    d->postmaster != NULL ? d->postmaster : d->envelope->sender);
	log_str(&l, "report", names[d->kind]);
	log_str(&l, "about", d->message_id);
	log_int(&l, "recipients", (int64_t)d->count);
	log_end(&l);
}

static int
send_report(struct job *j, struct dsn *d)
{
	const struct envelope *v = d->envelope;
	uint64_t limit = (uint64_t)settings_int(j->settings, SET_DSN_FULL_MAX);
	struct buf original, text;
	struct err e;
	int rc;

	if (spool_knows(j->runner->spool, d->id))
		return 0;
	if (d->kind != DSN_FAILURE || (v->flags & ENVELOPE_RET_HDRS) != 0)
		limit = 0;
	buf_init(&original, (size_t)limit + HEADER_MAX + 1);
	if (read_original(j, limit, &d->original_whole, &original) != 0) {
		/* the report matters more than what it returns */
		d->original_whole = false;
	}
	d->original = buf_slice(&original);
	buf_init(&text, REPORT_ROOM + original.len);
	dsn_build(d, &text);
	rc = store(j, d, &text, &e);
	if (rc == 0)
		log_report(d);
	else
		log_error("report on %s: %s", d->message_id, e.text);
	buf_release(&text);
	buf_release(&original);
	return rc;
}

static bool
wants(const struct envelope_recipient *r, uint32_t what, uint32_t unasked)
{
	return ((r->notify == 0 ? unasked : r->notify) & what) != 0;
}

/* Does a report of this kind have to speak of the recipient? */
static bool
is_due(
    const struct job *j, const struct envelope_recipient *r, enum dsn_kind kind)
{
	int64_t after = settings_int(j->settings, SET_DSN_DELAY_AFTER);

	switch (kind) {
	case DSN_FAILURE:
		return r->state == RECIPIENT_FAILED &&
		    wants(r, NOTIFY_FAILURE, NOTIFY_FAILURE);
	case DSN_DELAY:
		return r->state == RECIPIENT_WAITING && after != 0 &&
		    r->attempts > 0 && (r->flags & RECIPIENT_DELAY_TOLD) == 0 &&
		    age_of(j->runner->age, j->item->envelope.accepted_ms) >=
		    after * 1000 &&
		    wants(r, NOTIFY_DELAY, NOTIFY_DELAY);
	case DSN_SUCCESS:
		break;
	}
	return r->state == RECIPIENT_DONE && wants(r, NOTIFY_SUCCESS, 0);
}

static void
mark_told(struct envelope_recipient *r, enum dsn_kind kind)
{
	if (kind == DSN_FAILURE)
		r->state = RECIPIENT_REPORTED;
	else if (kind == DSN_DELAY)
		r->flags |= RECIPIENT_DELAY_TOLD;
	else
		r->notify &= ~(uint32_t)NOTIFY_SUCCESS;
}

/* Whom a report of this kind is about now, for free(). */
static size_t *
due_now(const struct job *j, enum dsn_kind kind, size_t *count_out)
{
	const struct envelope *v = &j->item->envelope;
	size_t *which = mem_alloc((v->recipient_count + 1) * sizeof(*which));

	*count_out = 0;
	for (size_t i = 0; i < v->recipient_count; i++)
		if (is_due(j, &v->recipients[i], kind))
			which[(*count_out)++] = i;
	return which;
}

/* The report about these is in the spool. */
static void
note_told(struct job *j, enum dsn_kind kind, const size_t *which, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		spool_mark_told(j->item, which[i], (uint8_t)(1U << kind));
		mark_told(&j->item->envelope.recipients[which[i]], kind);
	}
	j->recorded = true;
}

void
dsn_recover(struct job *j)
{
	struct envelope *v = &j->item->envelope;

	for (unsigned kind = DSN_FAILURE; kind <= DSN_SUCCESS; kind++) {
		struct dsn d = { .kind = kind, .message_id = j->item->id };
		size_t *which;
		char id[ID_SIZE];

		for (size_t i = 0; i < v->recipient_count; i++)
			if (spool_mark_get_told(j->item, i) & 1U << kind)
				mark_told(&v->recipients[i], kind);
		if (!j->item->was_claimed)
			continue;
		/* killed before the marks said so; others may follow */
		d.recipients = which = due_now(j, kind, &d.count);
		report_id(&d, id);
		if (d.count > 0 && spool_knows(j->runner->spool, id))
			note_told(j, kind, which, d.count);
		free(which);
	}
}

static int
report(struct job *j, enum dsn_kind kind, const char *postmaster)
{
	struct envelope *v = &j->item->envelope;
	char id[ID_SIZE];
	struct dsn d = {
		.kind = kind,
		.id = id,
		.host = settings_text(j->settings, SET_HOSTNAME),
		.now_ms = clock_wall_ms(),
		.envelope = v,
		.message_id = j->item->id,
		.postmaster = postmaster,
		.expires_ms = v->accepted_ms +
		    settings_int(j->settings, SET_QUEUE_EXPIRE) * 1000,
	};
	size_t *which = due_now(j, kind, &d.count);
	int rc = 0;

	d.recipients = which;
	if (d.count > 0) {
		report_id(&d, id);
		rc = send_report(j, &d);
	}
	if (d.count > 0 && rc == 0)
		note_told(j, kind, which, d.count);
	free(which);
	return rc;
}

/* RFC 5321 6.1: nobody is told about a message without a sender. */
static int
report_nobody(struct job *j)
{
	struct envelope *v = &j->item->envelope;
	bool again = v->envid != NULL && strcmp(v->envid, double_bounce) == 0;
	struct log_line l;
	size_t i;

	if (settings_bool(j->settings, SET_DSN_POSTMASTER) && !again &&
	    report(j, DSN_FAILURE, "postmaster") != 0)
		return -1;
	for (i = 0; i < v->recipient_count; i++) {
		if (v->recipients[i].state != RECIPIENT_FAILED)
			continue;
		v->recipients[i].state = RECIPIENT_REPORTED;
		log_begin(&l, "bounce", NULL, j->item->id);
		log_str(&l, "to", v->recipients[i].address);
		log_str(&l, "report", "none");
		log_str(&l, "reason", "double-bounce");
		log_end(&l);
	}
	return 0;
}

int
dsn_report(struct job *j)
{
	struct envelope *v = &j->item->envelope;
	size_t i;

	if (v->sender[0] == '\0' || (v->flags & ENVELOPE_GENERATED) != 0)
		return report_nobody(j);
	if (report(j, DSN_FAILURE, NULL) != 0 ||
	    report(j, DSN_DELAY, NULL) != 0 ||
	    report(j, DSN_SUCCESS, NULL) != 0)
		return -1;
	for (i = 0; i < v->recipient_count; i++) /* NOTIFY=NEVER */
		if (v->recipients[i].state == RECIPIENT_FAILED)
			v->recipients[i].state = RECIPIENT_REPORTED;
	return 0;
}
