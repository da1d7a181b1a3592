/*
 * A POP3 session: greeting, the loop over commands, the verbs that need no
 * file, and the end.
 *
 * The loop checks the state and counts errors; handlers do neither.  Runs on
 * a connection thread with a small stack.
 */
#include <sys/socket.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "mail/verb.h"

#include "popd/popd.h"

enum {
	/* RFC 2449 4: 255; passwords and initial responses are longer */
	LINE_MAX_BYTES = 12288,
	TLS_TIMEOUT_MS = 30000,
};

#define STOPPING "[SYS/TEMP] the server is stopping"

/* --- replies --------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static int
reply(struct session *s, const char *status, const char *fmt, va_list args)
{
	char text[400];
	struct err e;

	(void)vsnprintf(text, sizeof(text), fmt, args);
	return stream_printf(&s->stream, &e, "%s %s\r\n", status, text);
}

int
pop3_ok(struct session *s, const char *fmt, ...)
{
	va_list args;
	int rc;

	va_start(args, fmt);
	rc = reply(s, "+OK", fmt, args);
	va_end(args);
	return rc;
}

int
pop3_err(struct session *s, const char *fmt, ...)
{
	va_list args;
	int rc;

	s->errors++;
	va_start(args, fmt);
	rc = reply(s, "-ERR", fmt, args);
	va_end(args);
	return rc;
}

PRINTF_LIKE(2, 3)

static int
put_line(struct session *s, const char *fmt, ...)
{
	char text[400];
	va_list args;
	struct err e;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return stream_printf(&s->stream, &e, "%s\r\n", text);
}

/* --- verbs ------------------------------------------------------------------------ */

/* RFC 2449, with the tags of 2595, 3206, 5034 and 6856. */
static int
verb_capa(void *session, struct slice args)
{
	struct session *s = session;
	const char *mechanisms = login_mechanisms(s);
	int64_t days = settings_int(s->settings, SET_POPD_EXPIRE);
	int64_t delay = settings_int(s->settings, SET_POPD_LOGIN_DELAY);

	(void)args;
	if (pop3_ok(s, "capabilities") != 0 ||
	    put_line(s,
		"TOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\n"
		"AUTH-RESP-CODE\r\nUTF8 USER\r\nLANG\r\n"
		"IMPLEMENTATION Mailstead") != 0)
		return -1;
	if (days == 0 && put_line(s, "EXPIRE NEVER") != 0)
		return -1;
	if (days > 0 && put_line(s, "EXPIRE %lld", (long long)days) != 0)
		return -1;
	if (delay > 0 && put_line(s, "LOGIN-DELAY %lld", (long long)delay) != 0)
		return -1;
	if (mechanisms[0] != '\0' &&
	    put_line(s, "USER\r\nSASL %s", mechanisms) != 0)
		return -1;
	if (s->stream.tls == NULL && s->state == POP3_AUTHORIZATION &&
	    put_line(s, "STLS") != 0)
		return -1;
	return put_line(s, ".");
}

static int
verb_noop(void *session, struct slice args)
{
	(void)args;
	return pop3_ok(session, "nothing done");
}

/* RFC 6856 2: messages are always sent as they are. */
static int
verb_utf8(void *session, struct slice args)
{
	(void)args;
	return pop3_ok(session, "UTF-8");
}

/* RFC 6856 3: replies are in English, whatever is asked for. */
static int
verb_lang(void *session, struct slice args)
{
	struct session *s = session;

	if (args.len == 0) {
		if (pop3_ok(s, "languages") != 0 ||
		    put_line(s, "en English") != 0)
			return -1;
		return put_line(s, ".");
	}
	if (slice_eq_str(args, "*") || slice_ieq_str(args, "en") ||
	    slice_istarts(args, "en-"))
		return pop3_ok(s, "en English");
	return pop3_err(s, "only English is spoken here");
}

static int
verb_stat(void *session, struct slice args)
{
	struct session *s = session;
	const struct mailbox *b = &s->box;

	(void)args;
	return pop3_ok(s, "%zu %llu", b->all.count - b->deleted,
	    (unsigned long long)(b->all.total - b->deleted_bytes));
}

/* One number in decimal, faster than printf on a list of a million. */
static size_t
put_number(char *out, uint64_t n)
{
	char digits[20];
	size_t len = 0;

	do {
		digits[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	for (size_t i = 0; i < len; i++)
		out[i] = digits[len - 1 - i];
	return len;
}

/* "number size" or "number uidl" of one message, with its end of line. */
static size_t
item_line(const struct mailbox *b, size_t number, bool uidl, char *out)
{
	size_t at = put_number(out, number);

	out[at++] = ' ';
	if (uidl) {
		mailbox_uidl(b, number, out + at);
		at += strlen(out + at);
	} else {
		at += put_number(out + at, mailbox_size(b, number));
	}
	memcpy(out + at, "\r\n", 2);
	return at + 2;
}

static int
list_items(struct session *s, struct slice args, bool uidl)
{
	char line[64 + MAILDIR_UIDL_SIZE];
	const struct mailbox *b = &s->box;
	struct err e;
	size_t number;
	int rc;

	/* `uidl all` stands in old guides */
	if (args.len > 0 && !(uidl && slice_ieq_str(args, "all"))) {
		rc = pop3_message_number(s, args, &number);
		if (rc != 1)
			return rc;
		line[item_line(b, number, uidl, line) - 2] = '\0';
		return pop3_ok(s, "%s", line);
	}
	if (pop3_ok(s, "%zu messages", b->all.count - b->deleted) != 0)
		return -1;
	for (size_t i = 1; i <= b->all.count; i++) {
		mailbox_prefetch(b, i);
		if (!mailbox_is_deleted(b, i) &&
		    stream_write(
			&s->stream, line, item_line(b, i, uidl, line), &e) != 0)
			return -1;
	}
	return put_line(s, ".");
}

static int
verb_list(void *session, struct slice args)
{
	return list_items(session, args, false);
}

static int
verb_uidl(void *session, struct slice args)
{
	return list_items(session, args, true);
}

static int
verb_dele(void *session, struct slice args)
{
	struct session *s = session;
	size_t number;
	int rc = pop3_message_number(s, args, &number);

	if (rc != 1)
		return rc;
	mailbox_delete(&s->box, number);
	return pop3_ok(s, "message %zu deleted", number);
}

static int
verb_rset(void *session, struct slice args)
{
	struct session *s = session;

	(void)args;
	mailbox_undelete_all(&s->box);
	return pop3_ok(s, "%zu messages", s->box.all.count);
}

/* UPDATE (RFC 1939 6): the only place where messages are deleted. */
static int
verb_quit(void *session, struct slice args)
{
	struct session *s = session;
	size_t left = 0;

	(void)args;
	if (s->state == POP3_TRANSACTION)
		mailbox_update(&s->box, &left);
	/* a client that reads our answer may sign in again at once */
	mailbox_unlock(&s->box);
	s->deleted = s->box.deleted - left;
	if (s->deleted > 0)
		pop3_room_made(s);
	s->end = "quit";
	if (left > 0)
		(void)pop3_err(s,
		    "[SYS/TEMP] %zu deleted messages could not be removed",
		    left);
	else
		(void)pop3_ok(s, "goodbye");
	return -1;
}

/* clang-format off */
static const struct verb verbs[] = {
	{ "CAPA", POP3_ANY,		0,		verb_capa },
	{ "STLS", POP3_AUTHORIZATION,	0,		pop3_stls },
	{ "USER", POP3_AUTHORIZATION,	0,		pop3_user },
	{ "PASS", POP3_AUTHORIZATION,	VERB_SECRET,	pop3_pass },
	{ "AUTH", POP3_AUTHORIZATION,	VERB_SECRET,	pop3_auth },
	{ "UTF8", POP3_AUTHORIZATION,	0,		verb_utf8 },
	{ "LANG", POP3_ANY,		0,		verb_lang },
	{ "STAT", POP3_TRANSACTION,	0,		verb_stat },
	{ "LIST", POP3_TRANSACTION,	0,		verb_list },
	{ "UIDL", POP3_TRANSACTION,	0,		verb_uidl },
	{ "RETR", POP3_TRANSACTION,	0,		pop3_retr },
	{ "TOP",  POP3_TRANSACTION,	0,		pop3_top },
	{ "DELE", POP3_TRANSACTION,	0,		verb_dele },
	{ "RSET", POP3_TRANSACTION,	0,		verb_rset },
	{ "NOOP", POP3_TRANSACTION,	0,		verb_noop },
	{ "QUIT", POP3_ANY,		0,		verb_quit },
};

/* clang-format on */

/* --- the session -------------------------------------------------------------------- */

/*
 * A password is what stands behind "PASS ", spaces included (RFC 1939 7);
 * everything else is trimmed by verb_split().
 */
static struct slice
raw_arguments(struct slice line, struct slice name)
{
	return slice_skip(line, name.len + 1);
}

static int
command(struct session *s, struct slice line)
{
	struct slice name, args;
	const struct verb *v;

	verb_split(line, &name, &args);
	v = verb_find(verbs, ARRAY_LEN(verbs), name);
	if (v == NULL || memchr(line.data, '\0', line.len) != NULL)
		return pop3_err(s, "no such command");
	if ((v->states & s->state) == 0)
		return pop3_err(s,
		    s->state == POP3_AUTHORIZATION ? "sign in first"
						   : "signed in already");
	if (v->handler == pop3_pass)
		args = raw_arguments(line, name);
	return v->handler(s, args);
}

static void
set_deadline(struct session *s)
{
	enum setting_id id = s->state == POP3_TRANSACTION
	    ? SET_POPD_IDLE_TIMEOUT
	    : SET_POPD_LOGIN_TIMEOUT;

	/* before signing in the time is for all of it */
	if (s->state == POP3_TRANSACTION || s->stream.deadline_ms == 0)
		stream_set_timeout(
		    &s->stream, settings_int(s->settings, id) * 1000);
}

/* Why reading failed; whoever still listens is told that we stop. */
static const char *
reason_of_end(struct session *s, const struct err *e)
{
	if (service_stopping()) {
		stream_last_words(&s->stream, "-ERR " STOPPING "\r\n");
		return "stopping";
	}
	return e->kind == ERR_TIMEOUT ? "timeout" : "closed";
}

int
pop3_read_line(
    struct session *s, size_t max, struct slice *line_out, struct err *e)
{
	int rc;

	atomic_store(&s->idle, true);
	/* who asks here after worker_stop() sees that it was called */
	if (service_stopping() && !stream_has_input(&s->stream))
		rc = err_set(e, ERR_CLOSED, "stopping");
	else
		rc = stream_read_line(&s->stream, max, line_out, NULL, e);
	atomic_store(&s->idle, false);
	if (rc != 0 && e->kind != ERR_SYNTAX)
		s->end = reason_of_end(s, e);
	return rc;
}

/* Read and run one command: 0, or -1 at the end of the session. */
static int
next_command(struct session *s)
{
	unsigned most =
	    (unsigned)settings_int(s->settings, SET_POPD_MAX_ERRORS);
	struct slice line;
	struct err e;
	int rc;

	set_deadline(s);
	rc = pop3_read_line(s, LINE_MAX_BYTES, &line, &e);
	set_deadline(s); /* for the answer */
	if (rc == 0)
		rc = command(s, line);
	else if (e.kind == ERR_SYNTAX)
		rc = pop3_err(s, "line too long");
	if (rc == 0 && s->errors > most) {
		s->end = "errors";
		(void)pop3_err(s, "too many errors");
		rc = -1;
	}
	return rc;
}

static void
log_logout(const struct session *s)
{
	struct log_line l;

	log_begin(&l, "logout", s->id, NULL);
	log_str(&l, "service", "pop3");
	log_str(&l, "user", s->account ? s->account : "");
	log_str(&l, "ip", s->client_ip);
	log_int(&l, "messages", (int64_t)s->box.all.count);
	log_int(&l, "retrieved", (int64_t)s->retrieved);
	log_int(&l, "retrieved_bytes", (int64_t)s->retrieved_bytes);
	log_int(&l, "deleted", (int64_t)s->deleted);
	log_int(&l, "expired", (int64_t)s->box.expired);
	log_int(&l, "bytes_in", (int64_t)s->stream.bytes_in);
	log_int(&l, "bytes_out", (int64_t)s->stream.bytes_out);
	log_str(&l, "reason", s->end);
	log_end(&l);
}

static int
start_tls(struct session *s)
{
	struct tls_context *ctx = tls_server_get(&s->popd->tls, 0);
	struct err e;
	int rc = -1;

	stream_set_timeout(&s->stream, TLS_TIMEOUT_MS);
	if (ctx != NULL)
		rc = stream_start_tls_server(&s->stream, ctx, &e);
	tls_context_free(ctx);
	return rc;
}

static int
greet(struct session *s, enum popd_kind kind)
{
	if (kind == POPD_TLS && start_tls(s) != 0)
		return -1;
	s->may_login = s->stream.tls != NULL ||
	    settings_has_ip(
		s->settings, SET_AUTH_PLAINTEXT_NETWORKS, &s->client);
	s->stream.deadline_ms = 0;
	set_deadline(s);
	return pop3_ok(
	    s, "%s POP3 ready", settings_text(s->settings, SET_HOSTNAME));
}

/* A session within the limits, from greeting to end. */
static void
serve(struct session *s, enum popd_kind kind)
{
	if (greet(s, kind) == 0) {
		while (next_command(s) == 0)
			;
	}
	if (s->stream.failed == ERR_TIMEOUT)
		s->end = "timeout";
	stream_close(&s->stream);
	if (s->account != NULL)
		log_logout(s);
}

static void
refuse_too_many(struct session *s, enum popd_kind kind)
{
	struct log_line l;

	log_begin(&l, "reject", s->id, NULL);
	log_str(&l, "service", "pop3");
	log_str(&l, "ip", s->client_ip);
	log_str(&l, "reason", "too many connections");
	log_end(&l);
	stream_set_timeout(&s->stream, TLS_TIMEOUT_MS);
	if (kind == POPD_PLAIN)
		(void)pop3_err(s, "[SYS/TEMP] too many connections");
	stream_close(&s->stream);
}

static void
register_session(struct session *s)
{
	struct popd *p = s->popd;

	(void)pthread_mutex_lock(&p->lock);
	s->next = p->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	p->sessions = s;
	(void)pthread_mutex_unlock(&p->lock);
}

static void
forget_session(struct session *s)
{
	struct popd *p = s->popd;

	(void)pthread_mutex_lock(&p->lock);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		p->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	(void)pthread_mutex_unlock(&p->lock);
}

/* Count a connection of this address; false: it has enough. */
static bool
count_in(struct session *s)
{
	const struct worker *w = s->popd->worker;
	uint64_t pool = (uint64_t)w->config->workers * w->config->connections;
	struct limits *l = s->popd->limits;

	s->limit_key = limits_key_ip(l, &s->client);
	return !limits_is_crowding(l, s->limit_key, pool, clock_mono_ms()) &&
	    limits_enter(l, w->index, s->limit_key,
		(unsigned)settings_int(
		    s->settings, SET_LIMIT_CONNECTIONS_PER_ADDRESS));
}

void
pop3_serve(struct worker *w, struct connection *c)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->popd = w->data;
	s->end = "closed";
	s->settings = directory_settings(s->popd->directory);
	s->client = c->peer;
	ip_format(&c->peer, s->client_ip);
	session_id_new(s->id);
	s->state = POP3_AUTHORIZATION;
	stream_init(&s->stream, c->fd);
	register_session(s);
	if (count_in(s)) {
		serve(s, (enum popd_kind)c->kind);
		limits_leave(s->popd->limits, w->index, s->limit_key);
	} else {
		refuse_too_many(s, (enum popd_kind)c->kind);
	}
	forget_session(s);
	mailbox_close(&s->box);
	stream_release(&s->stream);
	settings_free(s->settings);
	free(s->login);
	free(s->account);
	free(s);
}

void
pop3_busy(struct worker *w, const struct connection *c)
{
	static const char text[] =
	    "-ERR [SYS/TEMP] too many connections, try again later\r\n";

	(void)w;
	if (c->kind == POPD_PLAIN)
		(void)send(
		    c->fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}
