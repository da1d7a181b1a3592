/*
 * An SMTP session: greeting, command loop, and the verbs that touch no
 * message.  RFC 5321 with 2920 (pipelining), 3207 (STARTTLS), 2034 (enhanced
 * codes), 9422 (LIMITS).
 *
 * The table below is the protocol's state machine: which verb may come when.
 * The loop checks state and gate; handlers never do.  A command ends with
 * CRLF and has no control bytes, or it is not looked at.
 *
 * One thread a session.  What lives as long as an idle connection stays
 * small: a log line or an error text is never in the loop's own frame.
 */
#include <sys/socket.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "mail/verb.h"
#include "policy/gather.h"

#include "mtad/mtad.h"

enum {
	COMMAND_MAX = 2048, /* bytes of a line; RFC 5321 4.5.3.1.4 says 512 */
	REPLY_MAX = 1024,
	DATA_PIECE = 65536, /* of a message, taken in one turn */
};

/* flags above VERB_SECRET */
enum {
	SMTP_FREE = 2,  /* also for those who must sign in first */
	SMTP_JUNK = 4,  /* does nothing: counted between messages */
	SMTP_CLOSE = 8, /* another protocol's verb */
};

/* --- replies ---------------------------------------------------------------- */

int
session_reply(
    struct session *s, int code, const char *enhanced, const char *fmt, ...)
{
	char text[REPLY_MAX];
	va_list args;
	struct err e;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (code >= 400)
		s->errors++;
	return stream_printf(&s->stream, &e, "%d %s%s%s\r\n", code,
	    enhanced != NULL ? enhanced : "", enhanced != NULL ? " " : "",
	    text);
}

int
session_end(struct session *s, int code, const char *enhanced, const char *text)
{
	(void)session_reply(s, code, enhanced, "%s", text);
	return -1;
}

int
session_end_failed(struct session *s, const struct err *e)
{
	if (service_stopping())
		stream_last_words(&s->stream, "421 4.3.2 Shutting down\r\n");
	else if (e->kind == ERR_TIMEOUT)
		stream_last_words(&s->stream, "421 4.4.2 Timeout, closing\r\n");
	return -1;
}

static __attribute__((noinline)) void
log_refusal(struct session *s, const struct policy_verdict *v)
{
	struct log_line l;
	struct buf judged;

	buf_init(&judged, LOG_VALUE_MAX);
	policy_describe(&s->facts, &judged);
	log_begin(&l, "reject", s->id, NULL);
	log_str(&l, "ip", s->client_ip);
	log_str(&l, "helo", s->helo);
	if (s->user != NULL)
		log_str(&l, "user", s->user->address);
	log_str(&l, "from", s->facts.sender);
	log_str(&l, "to", s->facts.recipient);
	log_str(&l, "verdict", policy_action_name(v->action));
	log_int(&l, "code", v->code);
	log_str(&l, "rule", v->rule);
	log_str(&l, "reason", v->reason);
	log_slice(&l, "judged", buf_slice(&judged));
	log_end(&l);
	buf_release(&judged);
}

int
session_refuse(struct session *s, const struct policy_verdict *v)
{
	log_refusal(s, v);
	if (v->code == 421)
		return session_end(s, 421, v->enhanced, v->text);
	return session_reply(s, v->code, v->enhanced, "%s", v->text);
}

static __attribute__((noinline)) void
log_session(struct session *s, const char *event, const char *reason)
{
	static const char *const kinds[] = { "mx", "submission", "submissions",
		"local" };
	struct log_line l;

	log_begin(&l, event, s->id, NULL);
	log_str(&l, "ip", s->client_ip);
	log_str(&l, "listener", kinds[s->kind]);
	if (reason != NULL)
		log_str(&l, "reason", reason);
	log_end(&l);
}

/* --- what a session knows --------------------------------------------------- */

const char *
session_own_name(const struct session *s)
{
	return settings_own_name(s->settings, &s->local);
}

uint64_t
session_max_bytes(const struct session *s)
{
	uint64_t all =
	    (uint64_t)settings_int(s->settings, SET_MESSAGE_MAX_BYTES);
	uint64_t own = s->user != NULL ? s->user->max_message_bytes : 0;

	return own > 0 && (all == 0 || own < all) ? own : all;
}

int
session_greet(struct session *s)
{
	const char *text =
	    settings_for_ip(s->settings, SET_SMTP_GREETINGS, &s->local);
	char own[REPLY_MAX];

	if (text == NULL || !slice_copy(slice_str(text), own, sizeof(own)))
		return session_reply(s, 220, NULL, "%s %s", session_own_name(s),
		    settings_text(s->settings, SET_SMTP_GREETING));
	for (char *c = own; *c != '\0'; c++) {
		if (*c == '_')
			*c = ' ';
	}
	return session_reply(s, 220, NULL, "%s %s", session_own_name(s), own);
}

bool
session_is_private(const struct session *s)
{
	return s->stream.tls != NULL ||
	    settings_has_ip(
		s->settings, SET_AUTH_PLAINTEXT_NETWORKS, &s->client);
}

bool
session_may_auth(const struct session *s)
{
	return s->kind != MTAD_MX ||
	    settings_bool(s->settings, SET_SMTP_AUTH_ON_25);
}

void
session_refresh(struct session *s)
{
	settings_free(s->settings);
	s->settings = directory_settings(s->mtad->directory);
	policy_gather_client(&s->facts, s->settings, &s->client,
	    s->kind == MTAD_MX ? POLICY_MX : POLICY_SUBMISSION);
	s->facts.client_ip = s->client_ip;
	s->facts.trusted |= s->kind == MTAD_LOCAL;
	s->facts.auth_offered = session_may_auth(s);
	s->facts.queue_full = atomic_load(&s->mtad->queue_full);
	if (s->user != NULL)
		s->facts.user = s->user->address;
}

void
transaction_reset(struct session *s)
{
	struct transaction *tx = &s->tx;
	struct pool pool = tx->pool;

	if (tx->message != NULL)
		spool_abort(tx->message);
	envelope_release(&tx->envelope);
	free(tx->rcpt_hashes);
	data_release(tx->data);
	pool_reset(&pool);
	*tx = (struct transaction){ .pool = pool };
	s->facts.sender = "";
	s->facts.recipient = "";
	s->state = s->helo[0] != '\0' ? SMTP_READY : SMTP_NEW;
}

void
session_forget_greeting(struct session *s)
{
	s->helo = "";
	s->is_esmtp = false;
	transaction_reset(s);
}

/* One connection less of whom the key stands for. */
static void
leave(struct session *s, uint64_t *key)
{
	if (*key != 0)
		limits_leave(s->mtad->limits, s->mtad->worker->index, *key);
	*key = 0;
}

void
session_forget_user(struct session *s)
{
	leave(s, &s->user_limit_key);
	s->user = NULL;
	session_refresh(s);
}

/* --- verbs without a message ------------------------------------------------- */

/* 1: take the name; 0: refused; -1: the connection is over. */
static int
greet(struct session *s, struct slice args, bool is_esmtp)
{
	if (!helo_is_valid(args))
		return session_reply(
		    s, 501, "5.5.4", "A valid host name or address is needed");
	s->helo = pool_strndup(&s->pool, args.data, args.len);
	s->is_esmtp = is_esmtp;
	transaction_reset(s);
	return 1;
}

static int
smtp_helo(void *session, struct slice args)
{
	struct session *s = session;
	int rc = greet(s, args, false);

	return rc <= 0 ? rc
		       : session_reply(s, 250, NULL, "%s", session_own_name(s));
}

static bool
offers_tls(struct session *s)
{
	struct tls_context *ctx = tls_server_get(&s->mtad->tls, s->kind);

	tls_context_free(ctx);
	return ctx != NULL && s->stream.tls == NULL;
}

static int
smtp_ehlo(void *session, struct slice args)
{
	struct session *s = session;
	int rc = greet(s, args, true);
	struct err e;

	if (rc <= 0)
		return rc;
	if (stream_printf(&s->stream, &e,
		"250-%s\r\n250-PIPELINING\r\n250-SIZE %" PRId64
		"\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n",
		session_own_name(s), (int64_t)session_max_bytes(s)) != 0)
		return -1;
	if (offers_tls(s) &&
	    stream_printf(&s->stream, &e, "250-STARTTLS\r\n") != 0)
		return -1;
	if (session_may_auth(s) && session_is_private(s) &&
	    stream_printf(
		&s->stream, &e, "250-AUTH %s\r\n", auth_mechanisms()) != 0)
		return -1;
	if (s->is_xclient &&
	    stream_printf(&s->stream, &e,
		"250-XCLIENT ADDR PORT NAME HELO PROTO\r\n") != 0)
		return -1;
	return stream_printf(&s->stream, &e,
	    "250 LIMITS RCPTMAX=%" PRId64 "\r\n",
	    settings_int(s->settings, SET_SESSION_MAX_RECIPIENTS));
}

static int
smtp_noop(void *session, struct slice args)
{
	(void)args;
	return session_reply(session, 250, "2.0.0", "Ok");
}

static int
smtp_rset(void *session, struct slice args)
{
	struct session *s = session;

	if (args.len > 0)
		return session_reply(s, 501, "5.5.4", "RSET has no arguments");
	transaction_reset(s);
	return session_reply(s, 250, "2.0.0", "Ok");
}

static int
smtp_quit(void *session, struct slice args)
{
	struct session *s = session;

	if (args.len > 0)
		return session_reply(s, 501, "5.5.4", "QUIT has no arguments");
	return session_end(s, 221, "2.0.0", "Bye");
}

static int
smtp_vrfy(void *session, struct slice args)
{
	struct session *s = session;

	if (args.len == 0)
		return session_reply(s, 501, "5.5.4", "VRFY whom?");
	return session_reply(
	    s, 252, "2.1.5", "Send mail and see; no address is verified here");
}

static int
smtp_off(void *session, struct slice args)
{
	(void)args;
	return session_reply(session, 502, "5.5.1", "Command not implemented");
}

static int
smtp_help(void *session, struct slice args)
{
	(void)args;
	return session_reply(session, 214, "2.0.0",
	    "EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
}

/* The turns that follow start TLS, with the listener's current certificates. */
static int
start_tls(struct session *s, struct err *e)
{
	struct tls_context *ctx = tls_server_get(&s->mtad->tls, s->kind);
	int rc;

	if (ctx == NULL)
		return err_set(e, ERR_TEMP, "no certificate");
	session_set_timeout(
	    s, 1000 * settings_int(s->settings, SET_SESSION_TLS_TIMEOUT));
	atomic_store(&s->idle, true);
	rc = stream_prepare_tls_server(&s->stream, ctx, e);
	tls_context_free(ctx);
	s->is_shaking = rc == 0;
	return rc;
}

static int
smtp_starttls(void *session, struct slice args)
{
	struct session *s = session;
	struct err e = { 0 };

	if (args.len > 0)
		return session_reply(
		    s, 501, "5.5.4", "STARTTLS has no arguments");
	if (s->stream.tls != NULL)
		return session_reply(s, 503, "5.5.1", "TLS is active already");
	if (!offers_tls(s))
		return session_reply(s, 454, "4.7.0", "TLS is not available");
	/* what came behind the command was not protected by TLS */
	if (stream_has_input(&s->stream)) {
		log_session(s, "reject", "plain text behind STARTTLS");
		return session_end(
		    s, 554, "5.5.0", "Plain text behind STARTTLS");
	}
	if (session_reply(s, 220, "2.0.0", "Ready to start TLS") != 0 ||
	    start_tls(s, &e) != 0) {
		log_session(s, "reject", e.text);
		return -1;
	}
	return 0;
}

static int
smtp_foreign(void *session, struct slice args)
{
	struct session *s = session;

	(void)args;
	log_session(s, "reject", "another protocol");
	return session_end(s, 554, "5.5.1", "This is SMTP");
}

/* --- the table ---------------------------------------------------------------- */

/* clang-format off */
static const struct verb verbs[] = {
	{ "MAIL",     SMTP_READY,             0,                     smtp_mail },
	{ "RCPT",     SMTP_MAIL | SMTP_RCPT,  0,                     smtp_rcpt },
	{ "DATA",     SMTP_RCPT,              0,                     smtp_data },
	{ "EHLO",     SMTP_ANY,               SMTP_FREE | SMTP_JUNK, smtp_ehlo },
	{ "HELO",     SMTP_ANY,               SMTP_JUNK,             smtp_helo },
	{ "RSET",     SMTP_ANY,               SMTP_JUNK,             smtp_rset },
	{ "NOOP",     SMTP_ANY,               SMTP_FREE | SMTP_JUNK, smtp_noop },
	{ "QUIT",     SMTP_ANY,               SMTP_FREE,             smtp_quit },
	{ "STARTTLS", SMTP_NEW | SMTP_READY,  SMTP_FREE,             smtp_starttls },
	{ "AUTH",     SMTP_READY,             SMTP_FREE | VERB_SECRET, smtp_auth },
	{ "XCLIENT",  SMTP_NEW | SMTP_READY,  SMTP_FREE,             smtp_xclient },
	{ "VRFY",     SMTP_ANY,               SMTP_JUNK,             smtp_vrfy },
	{ "HELP",     SMTP_ANY,               SMTP_JUNK,             smtp_help },
	{ "EXPN",     SMTP_ANY,               SMTP_JUNK,             smtp_off },
	{ "ETRN",     SMTP_ANY,               SMTP_JUNK,             smtp_off },
	{ "TURN",     SMTP_ANY,               SMTP_JUNK,             smtp_off },
	{ "GET",      SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "HEAD",     SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "POST",     SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "PUT",      SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "DELETE",   SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "OPTIONS",  SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "CONNECT",  SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
	{ "PRI",      SMTP_ANY,               SMTP_FREE | SMTP_CLOSE, smtp_foreign },
};

/* clang-format on */

/* A TLS ClientHello, an SSH banner, a header line of an HTTP request. */
static bool
is_foreign(struct slice line)
{
	return slice_starts(line, "\x16\x03") || slice_starts(line, "SSH-") ||
	    slice_istarts(line, "Host:") || slice_istarts(line, "User-Agent:");
}

static bool
has_control(struct slice line)
{
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];

		if (c < ' ' || c == 0x7f)
			return true;
	}
	return false;
}

/* Too much of what does nothing, or of what is refused. */
static int
check_counts(struct session *s)
{
	const struct settings *set = s->settings;

	if (s->commands > settings_int(set, SET_SESSION_MAX_COMMANDS) ||
	    s->junk > settings_int(set, SET_SESSION_MAX_JUNK)) {
		log_session(s, "reject", "too many commands");
		return session_end(s, 421, "4.7.0", "Too many commands");
	}
	if (s->errors > settings_int(set, SET_SESSION_MAX_ERRORS)) {
		log_session(s, "reject", "too many errors");
		return session_end(s, 421, "4.7.0", "Too many errors");
	}
	return 0;
}

static int
wrong_state(struct session *s, const struct verb *v)
{
	if (v->handler == smtp_data) {
		/* what follows may be a message and must not be commands */
		if (stream_input_arrives(&s->stream, 0))
			return session_end(
			    s, 554, "5.5.0", "Data before the go-ahead");
		return session_reply(s, 503, "5.5.1", "No valid recipients");
	}
	if (s->state == SMTP_NEW)
		return session_reply(s, 503, "5.5.1", "Say EHLO first");
	return session_reply(s, 503, "5.5.1", "Bad sequence of commands");
}

static int
run_command(struct session *s, struct slice line, enum stream_eol eol)
{
	const struct verb *v;
	struct slice name, args;
	struct policy_verdict gate;

	if (is_foreign(line))
		return smtp_foreign(s, line);
	if (eol != STREAM_EOL_CRLF || has_control(line))
		return session_reply(s, 501, "5.5.2",
		    "A command has no control characters and ends with CRLF");
	verb_split(line, &name, &args);
	v = verb_find(verbs, ARRAY_LEN(verbs), name);
	if (v == NULL)
		return session_reply(s, 500, "5.5.2", "Command not recognized");
	if (v->flags & SMTP_JUNK)
		s->junk++;
	gate = policy_command(&s->facts);
	if (gate.action != POLICY_ACCEPT && !(v->flags & SMTP_FREE))
		return session_reply(
		    s, gate.code, gate.enhanced, "%s", gate.text);
	if (!(v->states & s->state))
		return wrong_state(s, v);
	return v->handler(s, args);
}

void
session_set_timeout(struct session *s, int64_t timeout_ms)
{
	stream_set_timeout(&s->stream, timeout_ms);
	atomic_store(&s->wait_until_ms, s->stream.deadline_ms);
}

/* From here on the client has its time to send a command. */
static int
expect_command(struct session *s)
{
	session_set_timeout(
	    s, 1000 * settings_int(s->settings, SET_SESSION_COMMAND_TIMEOUT));
	atomic_store(&s->idle, true);
	if (service_stopping() && !stream_has_input(&s->stream))
		return session_end(s, 421, "4.3.2", "Shutting down");
	return 0;
}

/* Read and run one command. */
static int
next_command(struct session *s)
{
	struct slice line;
	enum stream_eol eol;
	struct err e;
	int rc;

	rc = stream_read_line(&s->stream, COMMAND_MAX, &line, &eol, &e);
	atomic_store(&s->idle, false);
	atomic_store(&s->wait_until_ms, 0);
	s->commands++;
	if (rc == 0)
		rc = run_command(s, line, eol);
	else if (e.kind == ERR_SYNTAX)
		rc = session_reply(s, 500, "5.5.2", "Line too long");
	else
		return session_end_failed(s, &e);
	return rc;
}

/* Go on with whatever has arrived. */
static int
step(struct session *s)
{
	int rc = s->tx.data != NULL ? data_step(s) : next_command(s);

	if (rc != 0 || s->tx.data != NULL || s->is_shaking)
		return rc;
	return check_counts(s) != 0 ? -1 : expect_command(s);
}

/* --- a connection's life -------------------------------------------------------- */

static void
register_session(struct session *s)
{
	struct mtad *m = s->mtad;

	(void)pthread_mutex_lock(&m->lock);
	s->next = m->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	m->sessions = s;
	(void)pthread_mutex_unlock(&m->lock);
}

static void
forget_session(struct session *s)
{
	struct mtad *m = s->mtad;

	(void)pthread_mutex_lock(&m->lock);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		m->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	(void)pthread_mutex_unlock(&m->lock);
}

/* The pool is nearly used up: who has most of it gets no more. */
static bool
is_crowding(struct session *s)
{
	const struct worker *w = s->mtad->worker;
	uint64_t pool = (uint64_t)w->config->workers * w->config->connections;

	return limits_is_crowding(
	    s->mtad->limits, s->limit_key, pool, clock_mono_ms());
}

/* Banned for going on beyond a limit?  While accountd cannot tell: no. */
static bool
is_banned(struct session *s)
{
	bool may_deliver = true;
	struct err e;

	if (s->kind != MTAD_MX || s->facts.trusted ||
	    settings_int(s->settings, SET_BAN_LIMIT_REFUSALS) == 0 ||
	    (settings_int(s->settings, SET_LIMIT_MESSAGES_PER_ADDRESS) == 0 &&
		settings_int(s->settings, SET_LIMIT_BYTES_PER_ADDRESS) == 0))
		return false;
	if (accountd_may_deliver(s->mtad->accountd, s->client_ip,
		ACCOUNTD_BAN_MS, &may_deliver, &e) != 0)
		log_warning("ban: %s", e.text);
	return !may_deliver;
}

/* Count it with its address. */
static int
enter(struct session *s, struct err *e)
{
	uint64_t key = limits_key_ip(s->mtad->limits, &s->client);

	if (!limits_enter(s->mtad->limits, s->mtad->worker->index, key,
		(unsigned)settings_int(
		    s->settings, SET_LIMIT_CONNECTIONS_PER_ADDRESS)))
		return err_set(e, ERR_TEMP, "too many connections");
	s->limit_key = key;
	if (is_crowding(s))
		return err_set(e, ERR_TEMP, "the pool is nearly full");
	return 0;
}

/* May they?  Hello. */
static int
welcome(struct session *s, struct err *e)
{
	struct policy_verdict v = policy_connect(&s->facts);

	if (v.action != POLICY_ACCEPT) {
		(void)session_refuse(s, &v);
		return err_set(e, ERR_PERM, "%s", v.reason);
	}
	if (s->stream.tls == NULL && stream_input_arrives(&s->stream, 0)) {
		(void)session_end(
		    s, 554, "5.5.0", "You talk before the greeting");
		return err_set(e, ERR_PERM, "talks before the greeting");
	}
	(void)session_greet(s);
	return 0;
}

/* The first bytes: who is it? */
static int
open_session(struct session *s, struct err *e)
{
	if (settings_has_ip(s->settings, SET_SMTP_PROXY_FROM, &s->client) &&
	    proxy_read(s, e) != 0)
		return -1;
	if (s->kind != MTAD_LOCAL)
		ip_format(&s->client, s->client_ip);
	s->is_xclient =
	    settings_has_ip(s->settings, SET_SMTP_XCLIENT_FROM, &s->client);
	session_refresh(s);
	log_session(s, "connect", NULL);
	if (s->kind != MTAD_LOCAL && enter(s, e) != 0) {
		/* before TLS nothing can be said on that port */
		if (s->kind != MTAD_SUBMISSIONS)
			(void)session_end(
			    s, 421, "4.7.0", "Too many connections");
		return -1;
	}
	if (is_banned(s)) {
		(void)session_end(
		    s, 421, "4.7.1", "Too many messages, come back later");
		return err_set(e, ERR_TEMP, "banned");
	}
	return s->kind == MTAD_SUBMISSIONS ? start_tls(s, e) : welcome(s, e);
}

/* Some more of the handshake, and what comes behind it. */
static int
secure_session(struct session *s, struct err *e)
{
	int rc = stream_shake_hands(&s->stream, e);

	if (rc <= 0)
		return rc;
	s->is_shaking = false;
	if (s->kind == MTAD_SUBMISSIONS)
		return welcome(s, e);
	/* RFC 3207 4.2: whatever was said before counts no more */
	session_forget_user(s);
	session_forget_greeting(s);
	return 0;
}

/* What has no commands yet, up to the next wait. */
static __attribute__((noinline)) int
begin(struct session *s)
{
	struct err e;
	int rc = s->is_shaking ? secure_session(s, &e) : open_session(s, &e);

	if (rc == 0)
		return s->is_shaking ? 0 : expect_command(s);
	log_session(s, "reject", e.text);
	return -1;
}

static void
release_session(struct session *s)
{
	transaction_reset(s);
	pool_release(&s->tx.pool);
	leave(s, &s->user_limit_key);
	leave(s, &s->limit_key);
	stream_close(&s->stream);
	forget_session(s);
	stream_release(&s->stream);
	settings_free(s->settings);
	pool_release(&s->pool);
	free(s);
}

static struct session *
new_session(struct mtad *m, struct connection *c)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->mtad = m;
	s->connection = c;
	s->kind =
	    c->kind == SERVICE_INHERITED ? MTAD_LOCAL : (enum mtad_kind)c->kind;
	s->client = c->peer;
	s->local = c->local;
	s->client_name = s->helo = "";
	s->state = SMTP_NEW;
	atomic_init(&s->idle, true);
	stream_init(&s->stream, c->fd);
	session_id_new(s->id);
	register_session(s);
	s->settings = directory_settings(m->directory);
	s->facts.sender = s->facts.recipient = "";
	stream_set_timeout(&s->stream,
	    1000 * settings_int(s->settings, SET_SESSION_TLS_TIMEOUT));
	return s;
}

/* Can it go on without waiting for its client? */
static bool
has_work(struct session *s)
{
	if (s->is_shaking)
		return false;
	return s->tx.data != NULL
	    ? stream_arrived(&s->stream)
	    : stream_line_arrived(&s->stream, COMMAND_MAX);
}

enum turn
session_turn(struct worker *w, struct connection *c)
{
	struct session *s = c->data;
	struct err e;
	int rc = 0;

	if (s == NULL) {
		c->data = s = new_session(w->data, c);
		rc = begin(s);
	} else if (s->is_shaking) {
		rc = begin(s);
	} else if (data_is_committed(s)) {
		rc = step(s);
	} else {
		stream_gather(
		    &s->stream, s->tx.data != NULL ? DATA_PIECE : COMMAND_MAX);
	}
	while (rc == 0) {
		if (data_is_whole(s)) {
			if (data_commit(s))
				return TURN_LATER;
		} else if (!has_work(s)) {
			if (stream_rest(&s->stream, &e) != 0)
				break;
			return TURN_READ;
		}
		rc = step(s);
	}
	release_session(s);
	return TURN_END;
}

void
session_end_waits(struct mtad *m)
{
	int64_t now = clock_mono_ms();

	(void)pthread_mutex_lock(&m->lock);
	for (struct session *s = m->sessions; s != NULL; s = s->next) {
		int64_t until = atomic_load(&s->wait_until_ms);

		if ((until != 0 && until <= now) ||
		    (service_stopping() && atomic_load(&s->idle)))
			(void)shutdown(s->stream.fd, SHUT_RD);
	}
	(void)pthread_mutex_unlock(&m->lock);
}
