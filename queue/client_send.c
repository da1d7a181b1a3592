/*
 * One transaction of the SMTP client; see client.h.
 *
 * MAIL, RCPT and DATA go out in one group where the peer allows it; each
 * recipient gets its own outcome from its own reply.  Once the final dot may
 * have left, a lost connection means "perhaps taken": it is tried again and
 * said so.  Runs on the remote delivery threads.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include "queue/client.h"
#include "queue/client_step.h"
#include "queue/envelope.h"
#include "queue/wire.h"

enum {
	CHUNK = 65536
};

static void
all_get(struct client_recipient *rcpts, size_t count, const struct outcome *o)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (rcpts[i].outcome.kind == OUTCOME_NONE)
			rcpts[i].outcome = *o;
}

static void
refuse(const struct client *c, struct client_recipient *rcpts, size_t count,
    const char *status, const char *text)
{
	struct outcome o = { 0 };

	outcome_set(&o, OUTCOME_PERM, status, "%s", text);
	snprintf(o.remote, sizeof(o.remote), "%s", c->peer);
	all_get(rcpts, count, &o);
}

/* What the peer cannot take, said before a byte is sent. */
static bool
peer_is_able(const struct client *c, const struct client_message *m,
    struct client_recipient *rcpts, size_t count)
{
	bool utf8 = !slice_is_ascii(slice_str(m->sender));
	size_t i;

	if ((c->caps & CAP_SIZE) != 0 && c->size_limit != 0 &&
	    m->wire_size > c->size_limit) {
		refuse(c, rcpts, count, "5.3.4",
		    "the message is larger than the server accepts");
		return false;
	}
	if ((m->flags & ENVELOPE_8BIT) != 0 &&
	    (m->flags & ENVELOPE_SMTPUTF8) != 0)
		utf8 = true; /* its headers may have such bytes, too */
	if ((c->caps & CAP_SMTPUTF8) == 0) {
		for (i = 0; i < count; i++)
			if (utf8 ||
			    !slice_is_ascii(slice_str(rcpts[i].address)))
				refuse(c, &rcpts[i], 1, "5.6.7",
				    "the server does not support "
				    "internationalised mail");
	}
	if ((m->flags & ENVELOPE_8BIT) != 0 && (c->caps & CAP_8BITMIME) == 0 &&
	    !c->config.eight_bit_as_is)
		refuse(c, rcpts, count, "5.6.3",
		    "the server does not take 8-bit text");
	for (i = 0; i < count; i++)
		if (rcpts[i].outcome.kind == OUTCOME_NONE)
			return true;
	return false;
}

static int
send_mail(struct client *c, const struct client_message *m, struct outcome *o)
{
	struct buf b;
	int rc;

	buf_init(&b, CLIENT_COMMAND_MAX);
	buf_addf(&b, "MAIL FROM:<%s>", m->sender);
	if ((c->caps & CAP_SIZE) != 0)
		buf_addf(&b, " SIZE=%llu", (unsigned long long)m->wire_size);
	if ((c->caps & CAP_8BITMIME) != 0 && (m->flags & ENVELOPE_8BIT) != 0)
		buf_addstr(&b, " BODY=8BITMIME");
	if ((c->caps & CAP_SMTPUTF8) != 0 &&
	    (m->flags & ENVELOPE_SMTPUTF8) != 0)
		buf_addstr(&b, " SMTPUTF8");
	if ((c->caps & CAP_DSN) != 0) {
		if ((m->flags & ENVELOPE_RET_HDRS) != 0)
			buf_addstr(&b, " RET=HDRS");
		else if ((m->flags & ENVELOPE_RET_FULL) != 0)
			buf_addstr(&b, " RET=FULL");
		if (m->envid != NULL) {
			buf_addstr(&b, " ENVID=");
			wire_xtext(m->envid, &b);
		}
	}
	rc = client_command(c, STEP_MAIL, o, "%s", b.data);
	buf_release(&b);
	return rc;
}

static void
add_notify(struct buf *b, uint32_t notify)
{
	static const struct {
		uint32_t bit;
		const char *word;
	} words[] = {
		{ NOTIFY_NEVER, "NEVER" },
		{ NOTIFY_SUCCESS, "SUCCESS" },
		{ NOTIFY_FAILURE, "FAILURE" },
		{ NOTIFY_DELAY, "DELAY" },
	};

	const char *glue = " NOTIFY=";
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if ((notify & words[i].bit) == 0)
			continue;
		buf_addf(b, "%s%s", glue, words[i].word);
		glue = ",";
	}
}

static int
send_rcpt(struct client *c, const struct client_recipient *r, struct outcome *o)
{
	const char *semicolon;
	struct buf b;
	int rc;

	buf_init(&b, CLIENT_COMMAND_MAX);
	buf_addf(&b, "RCPT TO:<%s>", r->address);
	if ((c->caps & CAP_DSN) != 0) {
		add_notify(&b, r->notify);
		semicolon =
		    r->original != NULL ? strchr(r->original, ';') : NULL;
		if (semicolon != NULL) {
			buf_addstr(&b, " ORCPT=");
			buf_add(&b, r->original,
			    (size_t)(semicolon + 1 - r->original));
			wire_xtext(semicolon + 1, &b);
		}
	}
	rc = client_command(c, STEP_RCPT, o, "%s", b.data);
	buf_release(&b);
	return rc;
}

/* The answer to one RCPT. */
static int
read_rcpt(struct client *c, struct client_recipient *r, bool others_accepted)
{
	struct outcome o = { 0 };

	snprintf(o.remote, sizeof(o.remote), "%s", c->peer);
	if (client_read_reply(c, STEP_RCPT, &o) != 0) {
		r->outcome = o;
		return -1;
	}
	if (o.kind == OUTCOME_SENT) {
		r->accepted = true;
		return 0;
	}
	o.retry_now = others_accepted && c->usable &&
	    (c->reply.code == 452 || c->reply.code == 552);
	r->outcome = o;
	return c->usable ? 0 : -1;
}

/*
 * MAIL, all RCPT and DATA; in one group where the peer allows.  0: the peer
 * waits for the text (*accepted_out > 0).  -1: it does not; *o is for those
 * who have no outcome of their own yet.
 */
static int
read_envelope(struct client *c, struct client_recipient *rcpts, size_t count,
    bool pipelined, struct outcome *o, size_t *accepted_out)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (rcpts[i].outcome.kind != OUTCOME_NONE)
			continue;
		if (!pipelined && send_rcpt(c, &rcpts[i], o) != 0)
			return -1;
		if (read_rcpt(c, &rcpts[i], *accepted_out > 0) != 0) {
			*o = rcpts[i].outcome;
			rcpts[i].outcome.kind = OUTCOME_NONE;
			return -1;
		}
		*accepted_out += rcpts[i].accepted;
	}
	if (!pipelined && *accepted_out == 0) {
		outcome_set(o, OUTCOME_TEMP, "4.5.0", "no recipient was taken");
		return -1;
	}
	if (!pipelined && client_command(c, STEP_DATA, o, "DATA") != 0)
		return -1;
	if (client_read_reply(c, STEP_DATA, o) != 0)
		return -1;
	return o->kind == OUTCOME_SENT ? 0 : -1;
}

static int
negotiate(struct client *c, const struct client_message *m,
    struct client_recipient *rcpts, size_t count, struct outcome *o,
    size_t *accepted_out)
{
	bool pipelined = (c->caps & CAP_PIPELINING) != 0;
	size_t i;

	if (send_mail(c, m, o) != 0)
		return -1;
	for (i = 0; pipelined && i < count; i++)
		if (rcpts[i].outcome.kind == OUTCOME_NONE &&
		    send_rcpt(c, &rcpts[i], o) != 0)
			return -1;
	if (pipelined && client_command(c, STEP_DATA, o, "DATA") != 0)
		return -1;
	if (client_read_reply(c, STEP_MAIL, o) != 0)
		return -1;
	if (o->kind == OUTCOME_SENT)
		return read_envelope(
		    c, rcpts, count, pipelined, o, accepted_out);
	/* the rest of the group is answered, too, and means nothing now; that
	 * dialogue is not worth reading on */
	if (pipelined)
		c->usable = false;
	return -1;
}

/* One piece of text from memory or file; empty at the end. */
static int
next_piece(const struct client_message *m, uint64_t at, char *chunk,
    struct slice *out, struct err *e)
{
	uint64_t left = m->len - at;
	size_t want = left < CHUNK ? (size_t)left : CHUNK;
	ssize_t n;

	if (m->data != NULL) {
		*out = slice_of(m->data + m->offset + at, want);
		return 0;
	}
	do {
		n = pread(m->fd, chunk, want, (off_t)(m->offset + at));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(e, "reading the message");
	if (n == 0 && want > 0)
		return err_set(e, ERR_TEMP, "the message file is too short");
	*out = slice_of(chunk, (size_t)n);
	return 0;
}

/*
 * The text without the final dot.  A peer that speaks before it has the dot
 * has given up on us: its words are the outcome (*early_out).
 */
static int
send_text(struct client *c, const struct client_message *m, struct buf *out,
    struct wire *w, struct outcome *o, bool *early_out)
{
	char *chunk = m->data == NULL ? mem_alloc(CHUNK) : NULL;
	uint64_t at = 0;
	struct slice s;
	struct err e;
	int rc = 0;

	wire_push(w, slice_str(m->extra), out);
	while (rc == 0 && at < m->len) {
		if (next_piece(m, at, chunk, &s, &e) != 0) {
			c->usable = false; /* no dot: nothing was sent */
			outcome_set(o, OUTCOME_TEMP, "4.3.0", "%s", e.text);
			rc = -1;
			break;
		}
		at += s.len;
		wire_push(w, s, out);
		if (at == m->len)
			break; /* the rest goes with the dot */
		client_begin(c, STEP_TEXT);
		if (stream_write(&c->stream, out->data, out->len, &e) != 0)
			rc = client_give_up(c, o, STEP_TEXT, &e);
		else if (stream_input_arrives(&c->stream, 0)) {
			*early_out = true;
			rc = -1;
		}
		buf_reset(out);
	}
	free(chunk);
	return rc;
}

static int
finish_text(struct client *c, const struct client_message *m, struct outcome *o,
    void (*dot)(void *arg), void *arg)
{
	struct wire w = { 0 };
	bool early = false;
	struct buf out;
	struct err e;
	int rc;

	buf_init(&out, (size_t)4 * CHUNK + 4096);
	rc = send_text(c, m, &out, &w, o, &early);
	if (rc == 0) {
		wire_end(&w, &out);
		assert(!buf_overflowed(&out));
		if (dot != NULL)
			dot(arg);
		client_begin(c, STEP_TEXT);
		if (stream_write(&c->stream, out.data, out.len, &e) != 0 ||
		    stream_flush(&c->stream, &e) != 0) {
			rc = client_give_up(c, o, STEP_TEXT, &e);
			o->maybe_twice = true;
		} else if (client_read_reply(c, STEP_DOT, o) != 0) {
			o->maybe_twice = true;
			rc = -1;
		}
	} else if (early && client_read_reply(c, STEP_DOT, o) == 0) {
		c->usable = false;
		if (o->kind == OUTCOME_SENT)
			outcome_set(o, OUTCOME_TEMP, "4.5.0",
			    "the server answered before the end of the text");
	}
	buf_release(&out);
	return rc;
}

/* DATA was taken though no recipient was (RFC 2920 3.1). */
static void
send_nothing(struct client *c)
{
	struct outcome ignored = { 0 };

	if (client_exchange(c, STEP_DOT, &ignored, ".") == 0)
		c->usable = false; /* it took an empty message: strange */
}

void
client_send(struct client *c, const struct client_message *m,
    struct client_recipient *rcpts, size_t count, void (*dot)(void *arg),
    void *arg)
{
	struct outcome o = { 0 };
	size_t accepted = 0, i;

	assert(count <= CLIENT_RECIPIENTS_MAX);
	for (i = 0; i < count; i++) {
		memset(&rcpts[i].outcome, 0, sizeof(rcpts[i].outcome));
		rcpts[i].accepted = false;
	}
	snprintf(o.remote, sizeof(o.remote), "%s", c->peer);
	if (!peer_is_able(c, m, rcpts, count))
		return;
	c->transfer_deadline_ms = clock_mono_ms() + c->config.transfer_ms;
	if (negotiate(c, m, rcpts, count, &o, &accepted) == 0) {
		if (accepted > 0)
			(void)finish_text(c, m, &o, dot, arg);
		else
			send_nothing(c);
	}
	o.host_failed = o.kind == OUTCOME_TEMP && !c->usable && !o.maybe_twice;
	o.dsn_passed = o.kind == OUTCOME_SENT && (c->caps & CAP_DSN) != 0;
	all_get(rcpts, count, &o);
	c->sent++;
	c->transfer_deadline_ms = 0;
	if (c->usable && o.kind != OUTCOME_SENT) {
		struct outcome ignored = { 0 };

		if (client_exchange(c, STEP_RSET, &ignored, "RSET") != 0)
			c->usable = false;
	}
}
