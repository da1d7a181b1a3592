/*
 * The SMTP client; see client.h.
 *
 * The dialogue is a row of steps; each has its own time to wait and its name
 * for logs (the table below).  Temporary or permanent is decided here, once,
 * from code and step.  A reply that fits no rule is the peer's fault: the
 * connection is given up and everything not yet answered is tried again
 * later, so that nothing a broken server says can bounce mail.
 *
 * Runs on the remote delivery threads; blocking, each wait with a deadline.
 */
#include "queue/client.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/sock.h"
#include "net/tls.h"

#include "queue/client_step.h"

/* RFC 5321 4.5.3.2 */
static const struct {
	const char *name;
	int seconds;
} steps[] = {
	[STEP_GREETING] = { "the greeting", 300 },
	[STEP_EHLO] = { "EHLO", 300 },
	[STEP_HELO] = { "HELO", 300 },
	[STEP_STARTTLS] = { "STARTTLS", 120 },
	[STEP_TLS] = { "the TLS handshake", 60 },
	[STEP_AUTH] = { "AUTH", 120 },
	[STEP_MAIL] = { "MAIL", 300 },
	[STEP_RCPT] = { "RCPT", 300 },
	[STEP_DATA] = { "DATA", 120 },
	[STEP_TEXT] = { "the message text", 180 },
	[STEP_DOT] = { "the end of the message", 600 },
	[STEP_RSET] = { "RSET", 20 },
	[STEP_QUIT] = { "QUIT", 5 },
};

void
client_begin(struct client *c, enum step step)
{
	int64_t ms = (int64_t)steps[step].seconds * 1000, left;

	if (c->config.step_cap_ms > 0 && ms > c->config.step_cap_ms)
		ms = c->config.step_cap_ms;
	if (c->transfer_deadline_ms != 0) {
		left = c->transfer_deadline_ms - clock_mono_ms();
		if (left < ms)
			ms = left > 1 ? left : 1;
	}
	stream_set_timeout(&c->stream, ms);
}

int
client_give_up(
    struct client *c, struct outcome *o, enum step step, struct err *e)
{
	c->usable = false;
	if (e->kind == ERR_TIMEOUT)
		outcome_set(o, OUTCOME_TEMP, "4.4.2", "no answer to %s in time",
		    steps[step].name);
	else if (e->kind == ERR_CLOSED)
		outcome_set(o, OUTCOME_TEMP, "4.4.2",
		    "connection lost while waiting for %s", steps[step].name);
	else
		outcome_set(o, OUTCOME_TEMP, "4.5.0", "%s: %s",
		    steps[step].name, e->text);
	o->is_reply = false;
	return -1;
}

static void
ehlo_line(struct client *c, struct slice text)
{
	static const struct {
		const char *word;
		unsigned cap;
	} words[] = {
		{ "PIPELINING", CAP_PIPELINING },
		{ "8BITMIME", CAP_8BITMIME },
		{ "SMTPUTF8", CAP_SMTPUTF8 },
		{ "STARTTLS", CAP_STARTTLS },
		{ "DSN", CAP_DSN },
		{ "SIZE", CAP_SIZE },
	};
	struct slice word, rest = slice_cut(slice_trim(text), ' ', &word);
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++)
		if (slice_ieq_str(word, words[i].word))
			c->caps |= words[i].cap;
	if (slice_ieq_str(word, "SIZE") &&
	    !num_parse(slice_trim(rest), INT64_MAX, &c->size_limit))
		c->size_limit = 0;
	if (!slice_ieq_str(word, "AUTH"))
		return;
	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &word);
		if (slice_ieq_str(word, "PLAIN"))
			c->caps |= CAP_AUTH_PLAIN;
		else if (slice_ieq_str(word, "LOGIN"))
			c->caps |= CAP_AUTH_LOGIN;
	}
}

/*
 * What a reply means.  552 to RCPT is "too many recipients" unless it speaks
 * of the mailbox (RFC 5321 4.5.3.1.10).
 */
static enum outcome_kind
judge(const struct reply *r, enum step step)
{
	int class = r->code / 100;

	if (step == STEP_DATA)
		return class == 3 ? OUTCOME_SENT
		    : class == 5  ? OUTCOME_PERM
				  : OUTCOME_TEMP;
	if (class == 2)
		return OUTCOME_SENT;
	if (step == STEP_RCPT && r->code == 552 &&
	    (r->status[0] == '\0' || strcmp(r->status, "5.5.3") == 0))
		return OUTCOME_TEMP;
	return class == 5 ? OUTCOME_PERM : OUTCOME_TEMP;
}

/* The reply in c becomes the outcome. */
static void
take_reply(struct client *c, enum step step, struct outcome *o)
{
	const struct reply *r = &c->reply;
	enum outcome_kind kind = judge(r, step);
	const char *status = r->status;

	if (status[0] == '\0')
		status = kind == OUTCOME_SENT ? "2.0.0"
		    : kind == OUTCOME_PERM    ? "5.0.0"
					      : "4.0.0";
	outcome_set(o, kind, status, "%d%s%s%s%s", r->code,
	    r->status[0] != '\0' ? " " : "", r->status,
	    r->text[0] != '\0' ? " " : "", r->text);
	if (kind == OUTCOME_TEMP && o->status[0] == '5')
		o->status[0] = '4';
	o->is_reply = true;
	/* 2xx where 3xx is due and the like: no common state any more */
	if (r->code / 100 == 3 ? step != STEP_DATA && step != STEP_AUTH
			       : r->code / 100 == 2 && step == STEP_DATA)
		c->usable = false;
}

int
client_read_reply(struct client *c, enum step step, struct outcome *o)
{
	enum reply_event event;
	struct slice line;
	struct err e;

	client_begin(c, step);
	reply_reset(&c->reply);
	do {
		if (stream_read_line(
			&c->stream, REPLY_LINE_MAX, &line, NULL, &e) != 0)
			return client_give_up(c, o, step, &e);
		event = reply_push(&c->reply, line);
		if (event == REPLY_BAD) {
			c->usable = false;
			outcome_set(o, OUTCOME_TEMP, "4.5.0",
			    "not an SMTP reply to %s", steps[step].name);
			o->is_reply = false;
			return -1;
		}
		if (step == STEP_EHLO && c->reply.lines > 1)
			ehlo_line(c, reply_line_text(line));
	} while (event == REPLY_MORE);
	if (c->reply.code == 421)
		c->usable = false;
	take_reply(c, step, o);
	return 0;
}

int
client_command(
    struct client *c, enum step step, struct outcome *o, const char *fmt, ...)
{
	char line[CLIENT_COMMAND_MAX];
	struct err e;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 2, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line) - 2) {
		outcome_set(o, OUTCOME_PERM, "5.5.4", "%s is too long",
		    steps[step].name);
		return -1;
	}
	memcpy(line + n, "\r\n", 2);
	client_begin(c, step);
	if (stream_write(&c->stream, line, (size_t)n + 2, &e) != 0)
		return client_give_up(c, o, step, &e);
	return 0;
}

int
client_exchange(
    struct client *c, enum step step, struct outcome *o, const char *text)
{
	if (client_command(c, step, o, "%s", text) != 0 ||
	    client_read_reply(c, step, o) != 0)
		return -1;
	return o->kind == OUTCOME_SENT && c->usable ? 0 : -1;
}

static int
hello(struct client *c, const struct client_host *h, struct outcome *o)
{
	char line[300];

	c->caps = 0;
	c->size_limit = 0;
	snprintf(line, sizeof(line), "EHLO %s", h->helo);
	if (client_exchange(c, STEP_EHLO, o, line) == 0)
		return 0;
	/* RFC 5321 3.2: a server that knows only HELO */
	if (!c->usable || o->kind != OUTCOME_PERM || h->user != NULL)
		return -1;
	c->caps = 0;
	snprintf(line, sizeof(line), "HELO %s", h->helo);
	return client_exchange(c, STEP_HELO, o, line);
}

static int
handshake(struct client *c, const struct client_host *h, struct outcome *o)
{
	bool verify = h->tls >= CLIENT_TLS_VERIFY;
	struct tls_context *ctx =
	    verify ? c->config.tls_verified : c->config.tls_any;
	struct err e;

	client_begin(c, STEP_TLS);
	if (stream_start_tls_client(&c->stream, ctx, h->name, &e) == 0)
		return 0;
	c->usable = false;
	outcome_set(o, OUTCOME_TEMP, "4.7.5", "TLS handshake: %s", e.text);
	o->is_reply = false;
	return -1;
}

/* STARTTLS as the policy wants.  -1 with *retry_plain: once more without. */
static int
secure(struct client *c, const struct client_host *h, struct outcome *o,
    bool *retry_plain)
{
	if (h->tls == CLIENT_TLS_NONE || h->tls == CLIENT_TLS_WRAPPED)
		return 0;
	if ((c->caps & CAP_STARTTLS) == 0) {
		if (h->tls == CLIENT_TLS_MAY)
			return 0;
		outcome_set(o, OUTCOME_TEMP, "4.7.4",
		    "TLS is required, but the server does not offer it");
		return -1;
	}
	if (client_exchange(c, STEP_STARTTLS, o, "STARTTLS") != 0) {
		/* a polite refusal leaves the connection as it was */
		if (h->tls == CLIENT_TLS_MAY && c->usable)
			return 0;
		*retry_plain = h->tls == CLIENT_TLS_MAY;
		return -1;
	}
	if (handshake(c, h, o) != 0) {
		*retry_plain = h->tls == CLIENT_TLS_MAY;
		return -1;
	}
	return hello(c, h, o); /* RFC 3207 4.2 */
}

/* One base64 line of AUTH; wiped. */
static int
auth_line(struct client *c, struct outcome *o, const char *prefix,
    const char *data, size_t len, int expected)
{
	struct buf b;
	struct err e;
	int rc = -1;

	buf_init(&b, CLIENT_COMMAND_MAX);
	buf_addstr(&b, prefix);
	base64_encode(data, len, &b);
	buf_addstr(&b, "\r\n");
	client_begin(c, STEP_AUTH);
	if (buf_overflowed(&b))
		outcome_set(o, OUTCOME_TEMP, "4.7.0", "credential too long");
	else if (stream_write(&c->stream, b.data, b.len, &e) != 0)
		client_give_up(c, o, STEP_AUTH, &e);
	else if (client_read_reply(c, STEP_AUTH, o) == 0)
		rc = c->reply.code == expected ? 0 : -1;
	mem_wipe(b.data, b.len);
	buf_release(&b);
	return rc;
}

/* RFC 4954; a refused password is ours to repair, so never permanent. */
static int
authenticate(struct client *c, const struct client_host *h, struct outcome *o)
{
	char plain[1024];
	int n, rc = -1;

	if (h->user == NULL || h->user[0] == '\0')
		return 0;
	if ((c->caps & (CAP_AUTH_PLAIN | CAP_AUTH_LOGIN)) == 0)
		outcome_set(o, OUTCOME_TEMP, "4.7.0",
		    "the server offers no AUTH mechanism we know");
	else if ((c->caps & CAP_AUTH_PLAIN) != 0) {
		n = snprintf(plain, sizeof(plain), "%c%s%c%s", 0, h->user, 0,
		    h->password);
		if (n > 0 && (size_t)n < sizeof(plain))
			rc = auth_line(
			    c, o, "AUTH PLAIN ", plain, (size_t)n, 235);
		mem_wipe(plain, sizeof(plain));
	} else if (client_command(c, STEP_AUTH, o, "AUTH LOGIN") == 0 &&
	    client_read_reply(c, STEP_AUTH, o) == 0 && c->reply.code == 334 &&
	    auth_line(c, o, "", h->user, strlen(h->user), 334) == 0) {
		rc = auth_line(c, o, "", h->password, strlen(h->password), 235);
	}
	if (rc != 0 && o->kind != OUTCOME_TEMP) {
		o->kind = OUTCOME_TEMP;
		o->status[0] = '4';
	}
	return rc;
}

static void
hang_up(struct client *c)
{
	if (c->config.cut != NULL)
		sock_cut_watch(c->config.cut, -1);
	stream_release(&c->stream);
}

static int
dial(struct client *c, const struct client_host *h, struct outcome *o)
{
	char ip[IP_TEXT_SIZE];
	struct err e;
	int fd;

	ip_format(&h->ip, ip);
	snprintf(c->peer, sizeof(c->peer), "%s[%s]:%u", h->name, ip, h->port);
	snprintf(o->remote, sizeof(o->remote), "%s", c->peer);
	if (sock_connect_tcp(&h->ip, h->port, h->source,
		clock_mono_ms() + c->config.connect_ms, c->config.cut, &fd,
		&e) != 0) {
		outcome_set(o, OUTCOME_TEMP, "4.4.1", "%s", e.text);
		return -1;
	}
	stream_init(&c->stream, fd);
	c->usable = true;
	return 0;
}

static int
greet(struct client *c, const struct client_host *h, struct outcome *o,
    bool *retry_plain)
{
	if (h->tls == CLIENT_TLS_WRAPPED && handshake(c, h, o) != 0)
		return -1;
	if (client_read_reply(c, STEP_GREETING, o) != 0 || c->reply.code != 220)
		return -1;
	if (hello(c, h, o) != 0 || secure(c, h, o, retry_plain) != 0)
		return -1;
	return authenticate(c, h, o);
}

int
client_open(struct client *c, const struct client_config *config,
    const struct client_host *h, struct outcome *o)
{
	struct client_host plain = *h;
	bool retry_plain = false;
	int i;

	for (i = 0; i < 2; i++) {
		memset(c, 0, sizeof(*c));
		memset(o, 0, sizeof(*o));
		c->config = *config;
		if (dial(c, &plain, o) != 0)
			break;
		if (greet(c, &plain, o, &retry_plain) == 0)
			return 0;
		hang_up(c);
		if (!retry_plain)
			break;
		plain.tls = CLIENT_TLS_NONE;
		retry_plain = false;
	}
	/* a host that will not talk to us says nothing about a recipient */
	o->kind = OUTCOME_TEMP;
	if (o->status[0] != '4')
		o->status[0] = '4';
	o->host_failed = true;
	memset(c, 0, sizeof(*c));
	return -1;
}

void
client_close(struct client *c)
{
	struct outcome ignored = { 0 };

	if (c->peer[0] == '\0')
		return;
	if (c->usable && client_command(c, STEP_QUIT, &ignored, "QUIT") == 0)
		(void)client_read_reply(c, STEP_QUIT, &ignored);
	hang_up(c);
	memset(c, 0, sizeof(*c));
}
