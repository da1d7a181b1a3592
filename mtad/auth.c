/*
 * AUTH: RFC 4954.  The exchange itself runs inside accountd; here is only the
 * carrying of lines.  Nothing of them is logged or kept.
 *
 * Never over plain text unless the client's network is listed; then the
 * credentials are not even looked at.  One deadline for the whole exchange.
 *
 * Run by the session's thread.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "mtad/mtad.h"

enum {
	AUTH_LINE_MAX = 12288 /* RFC 4954 4 */
};

/* The account that accountd named, as long as the session lives. */
static int
find_user(struct session *s, const char *name, struct err *e)
{
	struct slice address = slice_str(name);
	ptrdiff_t at = slice_rchr(address, '@');
	struct dir_account *user;

	if (at < 0)
		return err_set(e, ERR_TEMP, "account without domain");
	user = pool_zalloc(&s->pool, sizeof(*user));
	switch (dir_find_account(s->mtad->directory, slice_of(name, (size_t)at),
	    name + at + 1, &s->pool, user, e)) {
	case DIR_FOUND:
		break;
	case DIR_NONE:
		return err_set(e, ERR_TEMP, "account has gone");
	case DIR_TEMP:
		return -1;
	}
	s->user = user;
	return 0;
}

/* Count the user's connections; false: too many. */
static bool
count_user(struct session *s)
{
	struct limits *l = s->mtad->limits;
	uint64_t key = limits_key_user(l, s->user->address);

	if (!limits_enter(l, s->mtad->worker->index, key,
		(unsigned)settings_int(
		    s->settings, SET_LIMIT_CONNECTIONS_PER_USER)))
		return false;
	s->user_limit_key = key;
	return true;
}

static int
signed_in(struct session *s, const struct auth_exchange *x)
{
	struct err e;

	if (find_user(s, x->account, &e) != 0) {
		log_warning("auth: %s", e.text);
		return session_reply(
		    s, 454, "4.7.0", "Temporary authentication failure");
	}
	if (!count_user(s)) {
		s->user = NULL;
		return session_end(
		    s, 421, "4.7.0", "Too many connections of this user");
	}
	session_refresh(s);
	s->junk = 0;
	return session_reply(s, 235, "2.7.0", "Authentication successful");
}

static __attribute__((noinline)) void
log_auth(struct session *s, const char *result, const struct auth_exchange *x)
{
	struct log_line l;

	log_begin(&l, "auth", s->id, NULL);
	log_str(&l, "ip", s->client_ip);
	log_str(&l, "result", result);
	if (x->account != NULL)
		log_str(&l, "user", x->account);
	else if (x->text != NULL)
		log_str(&l, "reason", x->text);
	log_end(&l);
}

static int
finish(struct session *s, enum auth_result r, const struct auth_exchange *x)
{
	switch (r) {
	case AUTH_OK:
		log_auth(s, "ok", x);
		return signed_in(s, x);
	case AUTH_SYNTAX:
		return session_reply(
		    s, 501, "5.5.2", "Malformed authentication data");
	case AUTH_BUSY:
	case AUTH_FAILED:
	case AUTH_MORE:
		break;
	}
	log_auth(s, r == AUTH_BUSY ? "busy" : "failed", x);
	if (++s->auth_failures >=
	    settings_int(s->settings, SET_SESSION_MAX_AUTH_FAILURES))
		return session_end(s, 421, "4.7.0", "Too many failed attempts");
	if (r == AUTH_BUSY)
		return session_reply(
		    s, 454, "4.7.0", "Temporary authentication failure");
	return session_reply(
	    s, 535, "5.7.8", "Authentication credentials invalid");
}

/* One challenge out, one answer in.  0 with *line_out, or -1: it is over. */
static int
ask(struct session *s, const char *challenge, struct slice *line_out, int *rc)
{
	enum stream_eol eol;
	struct err e;

	*rc = -1;
	if (stream_printf(&s->stream, &e, "334 %s\r\n", challenge) != 0)
		return -1;
	if (stream_read_line(&s->stream, AUTH_LINE_MAX, line_out, &eol, &e) !=
	    0) {
		if (e.kind == ERR_SYNTAX)
			*rc = session_reply(s, 500, "5.5.6", "Line too long");
		else
			*rc = session_end_failed(s, &e);
		return -1;
	}
	if (eol != STREAM_EOL_CRLF) {
		*rc = session_reply(
		    s, 501, "5.5.2", "Malformed authentication data");
		return -1;
	}
	if (slice_eq_str(*line_out, "*")) {
		*rc =
		    session_reply(s, 501, "5.7.0", "Authentication cancelled");
		return -1;
	}
	return 0;
}

static int
exchange(struct session *s, const char *mechanism, struct slice initial,
    const struct auth_peer *peer)
{
	struct auth_exchange x = { 0 };
	enum auth_result r =
	    auth_start(s->mtad->accountd, mechanism, initial, peer, &x);
	int rc = 0;

	while (r == AUTH_MORE) {
		struct slice line;

		if (ask(s, x.text != NULL ? x.text : "", &line, &rc) != 0) {
			auth_release(&x);
			return rc;
		}
		r = auth_step(&x, line);
	}
	rc = finish(s, r, &x);
	auth_release(&x);
	return rc;
}

/* Is the mechanism in the list we offered? */
static bool
is_offered(const char *list, struct slice mechanism)
{
	struct slice rest = slice_str(list), word;

	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &word);
		if (word.len > 0 && slice_ieq(word, mechanism))
			return true;
	}
	return false;
}

int
smtp_auth(void *session, struct slice args)
{
	struct session *s = session;
	struct slice mechanism, initial;
	struct auth_peer peer = { .service = "smtp",
		.ip = s->client_ip,
		.session_id = s->id,
		.tls = s->stream.tls != NULL };
	char name[32];

	if (!session_may_auth(s))
		return session_reply(
		    s, 502, "5.5.1", "Command not implemented");
	if (s->user != NULL)
		return session_reply(s, 503, "5.5.1", "Already signed in");
	if (!session_is_private(s))
		return session_reply(s, 538, "5.7.11", "Use STARTTLS first");
	initial = slice_cut(args, ' ', &mechanism);
	if (mechanism.len == 0)
		return session_reply(s, 501, "5.5.4", "AUTH mechanism");
	if (!slice_copy(mechanism, name, sizeof(name)) ||
	    !is_offered(auth_mechanisms(), mechanism))
		return session_reply(
		    s, 504, "5.5.4", "Mechanism not supported");
	for (char *c = name; *c != '\0'; c++) {
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	}
	/* RFC 4954 4: "=" is an empty initial response */
	if (slice_eq_str(initial, "="))
		initial = slice_of("", 0);
	stream_set_timeout(&s->stream,
	    1000 * settings_int(s->settings, SET_SESSION_AUTH_TIMEOUT));
	atomic_store(&s->idle, true);
	return exchange(s, name, initial, &peer);
}
