/*
 * AUTHORIZATION: USER and PASS, AUTH (RFC 5034), STLS (RFC 2595), and taking
 * the mailbox.
 *
 * Names and passwords go to accountd as they came; whether they are right is
 * its business alone, and a wrong name and a wrong password read the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "popd/popd.h"

enum {
	LOGIN_MAX = 512,
	RESPONSE_MAX = 12288,
	DAY_MS = 86400000,
	ASK_TIMEOUT_MS = 2000,
};

const char *
login_mechanisms(const struct session *s)
{
	return s->may_login ? auth_mechanisms() : "";
}

static void
log_login(const struct session *s, const char *result, const char *name,
    const char *reason)
{
	struct log_line l;

	log_begin(&l, "login", s->id, NULL);
	log_str(&l, "service", "pop3");
	log_str(&l, "result", result);
	log_str(&l, "user", name);
	log_str(&l, "ip", s->client_ip);
	if (s->stream.tls != NULL)
		log_str(&l, "tls", tls_version(s->stream.tls));
	if (reason != NULL)
		log_str(&l, "reason", reason);
	log_end(&l);
}

static int
fail(struct session *s, const char *name, const struct auth_exchange *x)
{
	unsigned most =
	    (unsigned)settings_int(s->settings, SET_POPD_MAX_AUTH_FAILURES);

	log_login(s, "failed", name, x->text);
	if (pop3_err(s, "[AUTH] wrong name or password") != 0)
		return -1;
	return ++s->auth_failures < most ? 0 : -1;
}

static int
refuse(struct session *s, enum mailbox_result why)
{
	if (why == MAILBOX_BUSY)
		return pop3_err(
		    s, "[IN-USE] the mailbox is open in another session");
	if (why == MAILBOX_SOON)
		return pop3_err(
		    s, "[LOGIN-DELAY] wait before signing in again");
	return pop3_err(s, "[SYS/TEMP] the mailbox cannot be opened");
}

void
pop3_room_made(struct session *s)
{
	struct slice all = slice_str(s->account);
	size_t at = (size_t)slice_rchr(all, '@');
	struct pool pool = { 0 };
	struct dir_account a;
	json_t *ask, *reply;
	struct err e;

	if (dir_find_account(s->popd->directory, slice_of(all.data, at),
		s->account + at + 1, &pool, &a, &e) == DIR_FOUND &&
	    a.quota_full &&
	    mailbox_has_room(&s->box, a.quota_bytes, a.quota_messages)) {
		ask = json_pack("{s:s,s:s,s:b}", "verb", "user usage",
		    "address", s->account, "full", 0);
		if (accountd_call(s->popd->accountd, ask, ASK_TIMEOUT_MS,
			&reply, &e) == 0)
			json_decref(reply);
		else
			log_warning("quota of %s: %s", s->account, e.text);
	}
	pool_release(&pool);
}

static int
enter(struct session *s, const char *account)
{
	int64_t days = settings_int(s->settings, SET_POPD_EXPIRE);
	struct mailbox_rules rules = {
		.expire_before_ms =
		    days > 0 ? clock_wall_ms() - days * DAY_MS : 0,
		.delay_s = settings_int(s->settings, SET_POPD_LOGIN_DELAY),
	};
	enum mailbox_result result;
	struct err e;

	result = mailbox_open(&s->box, &s->popd->store, account, &rules, &e);
	if (result != MAILBOX_OPEN) {
		log_login(s, "refused", account, e.text);
		return refuse(s, result);
	}
	free(s->account);
	s->account = mem_strdup(account);
	s->state = POP3_TRANSACTION;
	if (s->box.expired > 0)
		pop3_room_made(s);
	log_login(s, "ok", account, NULL);
	return pop3_ok(s, "%zu messages, %llu octets", s->box.all.count,
	    (unsigned long long)s->box.all.total);
}

/* The end of an exchange. */
static int
finish(struct session *s, const char *name, enum auth_result result,
    const struct auth_exchange *x)
{
	switch (result) {
	case AUTH_OK:
		return enter(s, x->account);
	case AUTH_FAILED:
		return fail(s, name, x);
	case AUTH_BUSY:
		log_login(s, "busy", name, x->text);
		return pop3_err(s, "[SYS/TEMP] try again later");
	case AUTH_SYNTAX:
	case AUTH_MORE:
		break;
	}
	s->errors++;
	return pop3_err(s, "malformed response");
}

static void
describe_peer(const struct session *s, struct auth_peer *out)
{
	*out = (struct auth_peer){
		.service = "pop3",
		.ip = s->client_ip,
		.session_id = s->id,
		.tls = s->stream.tls != NULL,
	};
}

static int
refuse_plain(struct session *s)
{
	return pop3_err(s, "[AUTH] sign in over TLS only: use STLS");
}

int
pop3_user(void *session, struct slice args)
{
	struct session *s = session;

	if (!s->may_login)
		return refuse_plain(s);
	if (args.len == 0 || args.len > LOGIN_MAX)
		return pop3_err(s, "USER needs a name");
	free(s->login);
	s->login = mem_strndup(args.data, args.len);
	return pop3_ok(s, "password please");
}

int
pop3_pass(void *session, struct slice args)
{
	struct session *s = session;
	struct auth_exchange x = { 0 };
	struct auth_peer peer;
	enum auth_result result;
	int rc;

	if (!s->may_login)
		return refuse_plain(s);
	if (s->login == NULL)
		return pop3_err(s, "USER first");
	describe_peer(s, &peer);
	result = auth_password(
	    s->popd->accountd, slice_str(s->login), args, &peer, &x);
	mem_wipe((char *)(uintptr_t)args.data, args.len);
	rc = finish(s, s->login, result, &x);
	auth_release(&x);
	free(s->login);
	s->login = NULL;
	return rc;
}

/* Is the mechanism among those offered? */
static bool
is_offered(const struct session *s, struct slice mechanism)
{
	struct slice rest = slice_str(login_mechanisms(s)), one;

	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &one);
		if (one.len > 0 && slice_ieq(one, mechanism))
			return true;
	}
	return false;
}

/* Challenges and answers until accountd is content.  -1: the peer is gone. */
static int
converse(struct session *s, struct auth_exchange *x, enum auth_result *result)
{
	struct slice line;
	struct err e;

	while (*result == AUTH_MORE) {
		if (stream_printf(&s->stream, &e, "+ %s\r\n",
			x->text ? x->text : "") != 0)
			return -1;
		if (pop3_read_line(s, RESPONSE_MAX, &line, &e) != 0) {
			if (e.kind != ERR_SYNTAX)
				return -1;
			*result = AUTH_SYNTAX;
			return 0;
		}
		if (slice_eq_str(line, "*"))
			*result = AUTH_SYNTAX; /* RFC 5034 4: cancelled */
		else
			*result = auth_step(x, line);
		mem_wipe((char *)(uintptr_t)line.data, line.len);
	}
	return 0;
}

/* AUTH alone: how clients asked before there was CAPA. */
static int
list_mechanisms(struct session *s)
{
	struct slice rest = slice_str(login_mechanisms(s)), one;
	struct err e;

	if (pop3_ok(s, "mechanisms") != 0)
		return -1;
	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &one);
		if (stream_printf(
			&s->stream, &e, "%.*s\r\n", SLICE_ARGS(one)) != 0)
			return -1;
	}
	return stream_printf(&s->stream, &e, ".\r\n");
}

int
pop3_auth(void *session, struct slice args)
{
	struct session *s = session;
	struct auth_exchange x = { 0 };
	struct auth_peer peer;
	enum auth_result result;
	struct slice name, initial;
	char mechanism[32];
	int rc;

	if (!s->may_login)
		return refuse_plain(s);
	if (args.len == 0)
		return list_mechanisms(s);
	initial = slice_cut(args, ' ', &name);
	if (!is_offered(s, name) ||
	    !slice_copy(name, mechanism, sizeof(mechanism)))
		return pop3_err(s, "mechanism is not offered");
	/* RFC 5034 4: "=" is an empty initial response */
	if (slice_eq_str(initial, "="))
		initial.len = 0;
	describe_peer(s, &peer);
	result = auth_start(s->popd->accountd, mechanism, initial, &peer, &x);
	rc = converse(s, &x, &result);
	if (rc == 0)
		rc = finish(s, x.account ? x.account : "", result, &x);
	auth_release(&x);
	return rc;
}

int
pop3_stls(void *session, struct slice args)
{
	struct session *s = session;
	struct tls_context *ctx;
	struct err e;
	int rc;

	(void)args;
	if (s->stream.tls != NULL)
		return pop3_err(s, "TLS is on already");
	ctx = tls_server_get(&s->popd->tls, 0);
	if (ctx == NULL)
		return pop3_err(s, "[SYS/TEMP] no certificate");
	rc = pop3_ok(s, "begin TLS");
	if (rc == 0)
		rc = stream_start_tls_server(&s->stream, ctx, &e);
	tls_context_free(ctx);
	if (rc != 0)
		return -1;
	/* RFC 2595 4: what was said in the clear is forgotten */
	free(s->login);
	s->login = NULL;
	s->may_login = true;
	return 0;
}
