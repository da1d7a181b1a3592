/*
 * DATA: RFC 5321 4.1.1.4.  Reads the message through the dot reader into the
 * spool and answers with what became of it.
 *
 * Until the end of the data nothing is answered, whatever went wrong: a fault
 * is remembered, the rest is read and thrown away (with a ceiling).  250 is
 * said after spool_commit() and nowhere else.
 *
 * Deadlines: each wait, the whole message, and a least rate after a minute,
 * so that a byte now and then keeps nobody here.
 *
 * Run by whoever has the session: each step takes what has arrived, and the
 * commit is waited for by nobody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "policy/gather.h"

#include "mtad/dot.h"
#include "mtad/incoming.h"
#include "mtad/mtad.h"

enum {
	RATE_GRACE_MS = 60 * 1000,
	PROTOCOL_SIZE = 16,
};

/* Bytes that are read away behind a message that is refused anyway. */
#define DISCARD_MAX ((uint64_t)64 * 1024 * 1024)

/* RFC 3848 and 6531 4.3. */
static void
protocol_name(const struct session *s, char out[PROTOCOL_SIZE])
{
	(void)snprintf(out, PROTOCOL_SIZE, "%s%s%s",
	    s->tx.envelope.flags & ENVELOPE_SMTPUTF8 ? "UTF8SMTP"
		: s->is_esmtp                        ? "ESMTP"
						     : "SMTP",
	    s->stream.tls != NULL ? "S" : "", s->user != NULL ? "A" : "");
}

/* May the user write From this address?  Others' of ours: no. */
static bool
may_write_as(void *arg, struct slice text)
{
	struct session *s = arg;
	struct policy_input in = s->facts;
	struct pool pool = { 0 };
	struct address address;
	struct dir_domain domain;
	struct err e;
	bool may = true;

	/* what is no address, or of another server, is nobody's here */
	if (address_parse(text, ADDRESS_UTF8, &pool, &address, &e) == 0 &&
	    dir_find_domain(s->mtad->directory, address.domain, &pool, &domain,
		&e) != DIR_NONE) {
		in.sender = "x"; /* policy asks whether there is one at all */
		may = policy_gather_sender(&in, s->mtad->directory, s->user,
			  &address, &pool, &e) == 0 &&
		    policy_sender(&in).action == POLICY_ACCEPT;
	}
	pool_release(&pool);
	return may;
}

/* On whichever address it came: who reads the mailbox trusts them all. */
static bool
claims_our_name(void *arg, struct slice results)
{
	const struct session *s = arg;
	const struct settings *set = s->settings;

	for (size_t i = 0; i < settings_count(set, SET_SMTP_NAMES); i++) {
		const char *row = settings_item(set, SET_SMTP_NAMES, i);
		const char *name = strchr(row, '=');

		if (name != NULL && message_results_claim(results, name + 1))
			return true;
	}
	return message_results_claim(results, settings_text(set, SET_HOSTNAME));
}

/* --- reading ------------------------------------------------------------------ */

static void
set_deadline(struct session *s, int64_t start_ms, uint64_t bytes)
{
	const struct settings *set = s->settings;
	int64_t now = clock_mono_ms();
	int64_t rate = settings_int(set, SET_SESSION_MIN_RATE);
	int64_t end = now + 1000 * settings_int(set, SET_SESSION_DATA_TIMEOUT);
	int64_t whole =
	    start_ms + 1000 * settings_int(set, SET_SESSION_MESSAGE_TIMEOUT);

	if (whole < end)
		end = whole;
	if (rate > 0) {
		whole = start_ms + RATE_GRACE_MS +
		    (int64_t)(bytes / (uint64_t)rate) * 1000;
		if (whole < end)
			end = whole;
	}
	session_set_timeout(s, end > now ? end - now : 1);
}

/* The protocol's side of one message. */
struct reading {
	struct dot_reader dot;
	uint64_t max_bytes; /* UINT64_MAX = no limit */
	bool normalise;
	uint64_t bytes; /* read, whatever becomes of them */
	bool too_big;
};

static bool
is_refused(const struct reading *r, const struct incoming *in)
{
	unsigned faults = r->dot.faults;

	if (r->normalise)
		faults &= ~(unsigned)DOT_BARE;
	return r->too_big || faults != 0 || in->fault != INCOMING_OK;
}

/* Take what is buffered, up to the end of the data at most. */
static size_t
take(struct reading *r, struct incoming *in, struct slice data)
{
	size_t used = 0;

	while (used < data.len && r->dot.state != DOT_END) {
		struct dot_piece piece;

		used += dot_next(&r->dot, slice_skip(data, used), &piece);
		r->too_big = r->too_big || r->dot.size > r->max_bytes;
		if (!is_refused(r, in))
			incoming_write(in, piece.text, piece.newline);
	}
	return used;
}

/* What DATA has beside the transaction. */
struct data {
	struct reading reading;
	struct incoming in;
	struct incoming_rules rules; /* of `in` */
	char protocol[PROTOCOL_SIZE];
	int64_t start_ms;
	uint64_t discarded;
	bool whole;     /* to be committed */
	bool committed; /* or not: the spool knows, or `failure` */
	struct err failure;
	char id[ID_SIZE];
	uint64_t size;
};

void
data_release(struct data *d)
{
	if (d == NULL)
		return;
	incoming_release(&d->in);
	free(d);
}

/* What has arrived; -1: the connection is over, the text says why. */
static int
read_some(struct session *s, struct data *d, struct err *e)
{
	struct reading *r = &d->reading;
	struct slice data;
	size_t used;

	if (stream_peek(&s->stream, 1, &data, e) != 0)
		return -1;
	used = take(r, &d->in, data);
	stream_consume(&s->stream, used);
	r->bytes += used;
	if (is_refused(r, &d->in))
		d->discarded += used;
	if (d->discarded > DISCARD_MAX)
		return err_set(e, ERR_PERM, "refused data goes on");
	set_deadline(s, d->start_ms, r->bytes);
	return 0;
}

/* --- answering ------------------------------------------------------------------ */

static struct policy_verdict
refusal(int code, const char *enhanced, const char *text, const char *rule)
{
	return (struct policy_verdict){ .action = code < 500 ? POLICY_DEFER
							     : POLICY_REJECT,
		.code = code,
		.enhanced = enhanced,
		.text = text,
		.rule = rule,
		.reason = text };
}

static struct policy_verdict
judge_incoming(const struct incoming *in)
{
	switch (in->fault) {
	case INCOMING_HEADERS:
		return refusal(
		    552, "5.3.4", "Header is too large", "message.header");
	case INCOMING_HOPS:
		return refusal(554, "5.4.6", "Too many hops", "message.hops");
	case INCOMING_LOOP:
		return refusal(
		    554, "5.4.6", "Mail forwarding loop", "message.loop");
	case INCOMING_FROM:
		return refusal(
		    550, "5.7.1", "From address is not yours", "send-as.from");
	case INCOMING_AMBIGUOUS:
		return refusal(550, "5.6.0",
		    "From must be one field, with a Sender if it is of several",
		    "message.from");
	case INCOMING_WRITE:
		return in->err.kind == ERR_PERM
		    ? refusal(552, "5.3.4", "Too much mail data", "spool")
		    : refusal(452, "4.3.1", "Try again later", "spool");
	case INCOMING_OK:
		break;
	}
	return refusal(451, "4.3.0", "Try again later", "spool");
}

static struct policy_verdict
judge_message(const struct reading *r, const struct incoming *in)
{
	if (r->too_big)
		return refusal(
		    552, "5.3.4", "Too much mail data", "message.max_bytes");
	if (r->dot.faults & DOT_NUL)
		return refusal(
		    550, "5.6.11", "Message has a NUL", "smtp.bare_newline");
	if ((r->dot.faults & DOT_BARE) && !r->normalise)
		return refusal(550, "5.6.11", "Message has a bare CR or LF",
		    "smtp.bare_newline");
	if (r->dot.faults & DOT_LONG_LINE)
		return refusal(
		    550, "5.6.0", "Line is too long", "smtp.max_line");
	return judge_incoming(in);
}

static __attribute__((noinline)) void
log_accept(
    struct session *s, const char *id, const struct incoming *in, uint64_t size)
{
	const struct envelope *v = &s->tx.envelope;
	struct log_line l;
	struct buf to;

	buf_init(&to, LOG_VALUE_MAX);
	for (size_t i = 0; i < v->recipient_count && !buf_overflowed(&to); i++)
		buf_addf(
		    &to, "%s%s", i > 0 ? "," : "", v->recipients[i].address);
	log_begin(&l, "accept", s->id, id);
	log_str(&l, "ip", s->client_ip);
	log_str(&l, "helo", s->helo);
	if (s->user != NULL)
		log_str(&l, "user", s->user->address);
	log_str(&l, "from", v->sender);
	log_slice(&l, "to", buf_slice(&to));
	log_int(&l, "recipients", (int64_t)v->recipient_count);
	log_int(&l, "size", (int64_t)size);
	if (s->stream.tls != NULL)
		log_str(&l, "tls", tls_version(s->stream.tls));
	log_str(&l, "rule", s->tx.rule);
	if (in->message_id[0] != '\0')
		log_str(&l, "message-id", in->message_id);
	log_end(&l);
	buf_release(&to);
}

static __attribute__((noinline)) void
log_spool_trouble(const char *what, const struct err *e)
{
	log_error("spool: %s: %s", what, e->text);
}

/* Of this hour: strangers by address here, users with all programs together. */
static __attribute__((noinline)) void
count_message(struct session *s)
{
	int64_t sent;
	struct err e;

	if (s->user == NULL)
		limits_message(s->mtad->limits, s->limit_key, clock_mono_ms());
	else if (settings_int(s->settings, SET_LIMIT_MESSAGES_PER_USER) > 0 &&
	    accountd_count_sent(s->mtad->accountd, s->user->address, true,
		ACCOUNTD_MS, &sent, &e) != 0)
		log_warning("limit.messages_per_user: %s", e.text);
}

/* The whole of it is with the spool: what is left is to say so durably. */
static int
end_message(struct session *s, struct data *d)
{
	struct transaction *tx = &s->tx;

	memcpy(d->id, spool_id(tx->message), ID_SIZE);
	d->size = spool_size(tx->message);
	tx->envelope.body_lines = d->in.lines;
	tx->envelope.local_prefix = d->in.local_prefix;
	tx->envelope.accepted_ms = clock_wall_ms();
	if (d->reading.dot.saw_8bit)
		tx->envelope.flags |= ENVELOPE_8BIT;
	d->whole = true;
	return 0;
}

bool
data_is_whole(const struct session *s)
{
	return s->tx.data != NULL && s->tx.data->whole;
}

bool
data_is_committed(const struct session *s)
{
	return s->tx.data != NULL && s->tx.data->committed;
}

static void
committed(void *arg)
{
	struct session *s = arg;

	s->mtad->resume(s->connection);
}

bool
data_commit(struct session *s)
{
	struct transaction *tx = &s->tx;
	struct data *d = tx->data;
	struct err e;

	d->whole = false;
	d->committed = true;
	/* where the client reads nothing, its end wakes us */
	set_deadline(s, clock_mono_ms(), 0);
	if (spool_commit_begin(tx->message, &tx->envelope, committed, s, &e) ==
	    0)
		return true;
	tx->message = NULL;
	d->failure = e;
	return false;
}

static int
answer_commit(struct session *s, struct data *d)
{
	struct spool_message *message = s->tx.message;
	int rc = -1;

	s->tx.message = NULL; /* the spool has it, also when that failed */
	if (message != NULL)
		rc = spool_commit_end(message, &d->failure);
	if (rc != 0) {
		log_spool_trouble("commit", &d->failure);
		return session_reply(s, 451, "4.3.0", "Try again later");
	}
	log_accept(s, d->id, &d->in, d->size);
	count_message(s);
	s->junk = 0;
	return session_reply(s, 250, "2.0.0", "Accepted as %s", d->id);
}

/* The end of the data, or of the connection (`failed` says why). */
static int
end_data(struct session *s, struct data *d, const struct err *failed)
{
	struct policy_verdict v;

	if (failed == NULL && !is_refused(&d->reading, &d->in))
		incoming_end(&d->in);
	if (s->user == NULL && !s->facts.trusted)
		limits_count_bytes(s->mtad->limits, s->limit_key,
		    d->reading.bytes, clock_mono_ms());
	if (failed != NULL)
		return failed->kind == ERR_PERM
		    ? session_end(s, 421, "4.7.0", "Closing")
		    : session_end_failed(s, failed);
	if (!is_refused(&d->reading, &d->in))
		return end_message(s, d);
	if (d->in.fault == INCOMING_WRITE)
		log_spool_trouble("write", &d->in.err);
	v = judge_message(&d->reading, &d->in);
	return session_refuse(s, &v);
}

int
data_step(struct session *s)
{
	struct data *d = s->tx.data;
	struct err e;
	int rc;

	if (d->committed) {
		rc = answer_commit(s, d);
	} else if (read_some(s, d, &e) != 0) {
		rc = end_data(s, d, &e);
	} else if (d->reading.dot.state != DOT_END) {
		return 0;
	} else {
		rc = end_data(s, d, NULL);
		if (d->whole)
			return rc;
	}
	transaction_reset(s);
	return rc;
}

/* --- the verb -------------------------------------------------------------------- */

static void
make_rules(struct session *s, const char *protocol, const char **recipients,
    struct incoming_rules *out)
{
	struct transaction *tx = &s->tx;
	const struct envelope *v = &tx->envelope;
	bool single = v->recipient_count == 1;

	for (size_t i = 0; i < v->recipient_count; i++)
		recipients[i] = v->recipients[i].address;
	*out = (struct incoming_rules){ .trace = { .helo = s->helo,
					    .client_name = s->client_name,
					    .client_ip = s->client_ip,
					    .host = session_own_name(s),
					    .protocol = protocol,
					    .id = spool_id(tx->message),
					    .single_recipient =
						single ? recipients[0] : NULL,
					    .wall_ms = clock_wall_ms() },
		.sender = v->sender,
		.delivered_to =
		    single && tx->local_count == 1 ? recipients[0] : NULL,
		.recipients = recipients,
		.recipient_count = v->recipient_count,
		.max_hops = (int)settings_int(s->settings, SET_SMTP_MAX_HOPS),
		.is_submission =
		    s->user != NULL || (s->kind != MTAD_MX && s->facts.trusted),
		.is_from_outside = s->user == NULL && !s->facts.trusted,
		.may_write_as =
		    s->user != NULL && s->facts.send_as != POLICY_SEND_ANYONE
		    ? may_write_as
		    : NULL,
		.claims_our_name = claims_our_name,
		.arg = s };
	if (s->stream.tls != NULL) {
		out->trace.tls_version = tls_version(s->stream.tls);
		out->trace.tls_cipher = tls_cipher(s->stream.tls);
	}
}

/* From here on what comes is the message. */
static void
begin_data(struct session *s)
{
	struct transaction *tx = &s->tx;
	uint64_t max = session_max_bytes(s);
	struct data *d = mem_zalloc(sizeof(*d));

	tx->data = d;
	d->reading =
	    (struct reading){ .dot = { .max_line = (size_t)settings_int(
					   s->settings, SET_SMTP_MAX_LINE) },
		    .max_bytes = max > 0 ? max : UINT64_MAX,
		    .normalise = settings_choice(
				     s->settings, SET_SMTP_BARE_NEWLINE) == 1 };
	protocol_name(s, d->protocol);
	make_rules(s, d->protocol,
	    pool_alloc(
		&tx->pool, tx->envelope.recipient_count * sizeof(const char *)),
	    &d->rules);
	incoming_init(&d->in, &d->rules, tx->message);
	d->start_ms = clock_mono_ms();
	set_deadline(s, d->start_ms, 0);
}

int
smtp_data(void *session, struct slice args)
{
	struct session *s = session;
	struct err e;
	int rc;

	if (args.len > 0)
		return session_reply(s, 501, "5.5.4", "DATA has no arguments");
	/* RFC 2920 3.1: DATA ends a group; what follows was not invited */
	if (stream_has_input(&s->stream))
		return session_end(s, 554, "5.5.0", "Data before the go-ahead");
	if (spool_begin(s->mtad->spool, &s->tx.message, &e) != 0) {
		log_spool_trouble("begin", &e);
		rc = session_reply(s, 452, "4.3.1", "Try again later");
		transaction_reset(s);
		return rc;
	}
	begin_data(s);
	return session_reply(s, 354, NULL, "Go ahead, end with <CRLF>.<CRLF>");
}
