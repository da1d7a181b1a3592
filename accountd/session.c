/*
 * Signing in (the verbs in front of auth.c and sasl.c) and web sessions.
 * Passwords arrive in base64 and are wiped with the packet.
 */
#include "session.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "mail/address.h"

#include "auth.h"
#include "password.h"
#include "totp.h"

enum {
	TOKEN_BYTES = 32,
	TOKEN_SIZE = 64,
	TOUCH_EVERY_MS = 60000,
	/* a kept session's token, and how long requests under way may still
	 * come with the one before */
	ROTATE_EVERY_MS = 86400 * 1000,
	ROTATE_GRACE_MS = 60000,
	STEP_MS = 300000,
};

/* --- Who asks ---------------------------------------------------------------- */

static int
read_exporter(struct request *q, struct auth_client *c, struct err *e)
{
	struct slice v;

	if (req_bytes(q, "exporter", &v, e) != 0)
		return -1;
	if (v.len == sizeof(c->exporter)) {
		c->has_exporter = true;
		memcpy(c->exporter, v.data, v.len);
	}
	return 0;
}

/* The service follows from the socket; what a program says is for the log. */
int
session_read_client(struct request *q, struct auth_client *c, struct err *e)
{
	enum program p = q->caller->program;
	const char *ip, *log_id;

	*c = (struct auth_client){ 0 };
	snprintf(c->service, sizeof(c->service), "%s",
	    p == FROM_MTAD       ? "smtp"
		: p == FROM_POPD ? "pop3"
				 : "web");
	if (req_string(q, "ip", &ip, e) != 0 ||
	    req_optional(q, "log_id", &log_id, e) != 0)
		return -1;
	if (!ip_parse(slice_str(ip), &c->ip))
		return refuse(q, e, "bad-ip", "ip is not an address");
	ip_format(&c->ip, c->ip_text);
	snprintf(c->log_id, sizeof(c->log_id), "%s", log_id ? log_id : "-");
	c->tls = req_bool(q, "tls");
	return read_exporter(q, c, e);
}

int
session_put_result(struct request *q, enum auth_result r,
    const struct auth_attempt *a, struct err *e)
{
	static const char *const words[] = {
		[AUTH_MORE] = "more",
		[AUTH_OK] = "ok",
		[AUTH_FAILED] = "failed",
		[AUTH_BUSY] = "busy",
	};

	if (r == AUTH_SYNTAX) {
		q->code = "malformed";
		return err_set(e, ERR_SYNTAX, "malformed response");
	}
	json_object_set_new(q->out, "result", json_string(words[r]));
	if (r == AUTH_OK)
		json_object_set_new(
		    q->out, "account", json_string(a->account.address));
	if (a->reason != NULL)
		json_object_set_new(q->out, "text", json_string(a->reason));
	return 0;
}

/* --- SASL -------------------------------------------------------------------- */

static int
step(struct request *q, struct slice input, struct err *e)
{
	struct sasl *s = q->caller->sasl;
	struct buf challenge, text;
	enum auth_result r;
	int done;

	buf_init(&challenge, 16384);
	buf_init(&text, 32768);
	r = sasl_step(s, input, &challenge);
	done = session_put_result(q, r, sasl_attempt(s), e);
	if (r == AUTH_MORE) {
		base64_encode(challenge.data, challenge.len, &text);
		json_object_set_new(
		    q->out, "challenge", json_stringn(text.data, text.len));
	} else {
		sasl_free(s);
		q->caller->sasl = NULL;
	}
	buf_release(&challenge);
	buf_release(&text);
	return done;
}

int
verb_auth_start(struct request *q, struct err *e)
{
	struct auth_client client;
	const char *mechanism;
	struct slice initial;

	sasl_free(q->caller->sasl);
	q->caller->sasl = NULL;
	if (req_string(q, "mechanism", &mechanism, e) != 0 ||
	    session_read_client(q, &client, e) != 0 ||
	    req_bytes(q, "initial", &initial, e) != 0)
		return -1;
	q->caller->sasl = sasl_new(q->core, mechanism, &client);
	if (q->caller->sasl == NULL) {
		q->code = "unknown-mechanism";
		return err_set(e, ERR_SYNTAX, "mechanism not offered");
	}
	return step(q, initial, e);
}

int
verb_auth_step(struct request *q, struct err *e)
{
	struct slice response;

	if (q->caller->sasl == NULL) {
		q->code = "no-exchange";
		return err_set(e, ERR_SYNTAX, "no exchange under way");
	}
	if (req_bytes(q, "response", &response, e) != 0) {
		sasl_free(q->caller->sasl);
		q->caller->sasl = NULL;
		return -1;
	}
	if (response.data == NULL)
		response = SLICE_LIT("");
	return step(q, response, e);
}

/* --- Name and password ---------------------------------------------------------- */

/*
 * In the administration the name of a domain is a login as well: of the one
 * account the domain names.
 */
static int
domain_login(struct request *q, struct slice *login, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct sql_rows *r;
	int got;

	if (q->caller->program != FROM_ADMIN || slice_chr(*login, '@') >= 0 ||
	    domain_normalise(*login, name, e) != 0)
		return 0;
	pthread_mutex_lock(&q->core->write_lock);
	r = sql_query(q->core->db, e,
	    "SELECT admin_login FROM domain WHERE name = ?1"
	    " AND admin_login <> ''",
	    "s", name);
	got = sql_next(r, e);
	if (got == 1)
		*login = slice_str(pool_strdup(&q->pool, sql_text(r, 0)));
	sql_done(r);
	pthread_mutex_unlock(&q->core->write_lock);
	return got < 0 ? -1 : 0;
}

/* On 0 the attempt is decided; release it. */
static int
check_password(struct request *q, struct auth_attempt *a,
    enum auth_result *result_out, struct err *e)
{
	struct slice login, password;
	enum auth_result r;

	*a = (struct auth_attempt){ .mechanism = "password" };
	if (session_read_client(q, &a->client, e) != 0 ||
	    req_bytes(q, "login", &login, e) != 0 ||
	    req_bytes(q, "password", &password, e) != 0)
		return -1;
	if (login.data == NULL || password.data == NULL)
		return refuse(q, e, "missing", "login and password are needed");
	if (domain_login(q, &login, e) != 0)
		return -1;
	r = auth_begin(q->core, a, login);
	if (r == AUTH_MORE)
		r = auth_finish(q->core, a, auth_verify(q->core, a, password));
	req_wipe(password);
	*result_out = r;
	return 0;
}

int
verb_auth_password(struct request *q, struct err *e)
{
	struct auth_attempt a;
	enum auth_result r = AUTH_BUSY;
	int done = check_password(q, &a, &r, e);

	if (done == 0)
		done = session_put_result(q, r, &a, e);
	auth_attempt_release(&a);
	return done;
}

/* --- Sessions -------------------------------------------------------------------- */

static struct web_session
plan_session(struct request *q, const struct auth_attempt *a)
{
	struct settings *s = directory_settings(q->core->directory);
	bool keep = req_bool(q, "keep") && q->caller->program == FROM_WEBMAIL;
	int64_t now = clock_wall_ms();
	struct web_session w = {
		.account_id = a->account.id,
		.created_ms = now,
		.seen_ms = now,
		.idle_ms = keep ? 0
				: 1000 *
			settings_int(s,
			    q->caller->program == FROM_ADMIN
				? SET_ADMIN_IDLE
				: SET_WEB_SESSION_IDLE),
		.expires_ms = now +
		    1000 *
			settings_int(s,
			    keep ? SET_WEB_SESSION_KEEP : SET_WEB_SESSION_MAX),
	};

	snprintf(w.program, sizeof(w.program), "%s",
	    program_name(q->caller->program));
	settings_free(s);
	return w;
}

/* A new token into the answer, its hash to be kept. */
static void
put_token(struct request *q, const char *key, uint8_t hash[SECRET_KEY_LEN])
{
	char token[TOKEN_SIZE];

	token_new(token, sizeof(token), TOKEN_BYTES);
	token_hash(q->core->secrets, "session", slice_str(token), hash);
	json_object_set_new(q->out, key, json_string(token));
	mem_wipe(token, sizeof(token));
}

/*
 * Not signed in yet: a token that is good for nothing but one more step, for
 * five minutes, so that no page has to carry the password along.
 */
static void
plan_step(struct web_session *w, const char *step)
{
	size_t len = strlen(w->program);

	snprintf(w->program + len, sizeof(w->program) - len, "+%s", step);
	w->expires_ms = w->created_ms + STEP_MS;
	w->idle_ms = 0;
}

int
session_create(struct request *q, const struct auth_attempt *a,
    const char *step, struct err *e)
{
	struct web_session w = plan_session(q, a);
	uint8_t hash[SECRET_KEY_LEN];
	char expires[CLOCK_RFC3339_SIZE];
	const char *agent;

	if (req_optional(q, "agent", &agent, e) != 0)
		return -1;
	if (step != NULL)
		plan_step(&w, step);
	put_token(q, step != NULL ? "pending" : "session", hash);
	clock_rfc3339(w.expires_ms, expires);
	json_object_set_new(q->out, "expires_at", json_string(expires));
	return secrets_add_session(q->core->secrets, hash, &w,
	    a->client.ip_text, agent ? agent : "", e);
}

int
verb_session_create(struct request *q, struct err *e)
{
	struct auth_attempt a;
	enum auth_result r = AUTH_BUSY;
	int done = check_password(q, &a, &r, e);

	/* Whoever administers nothing is told the same as a wrong password. */
	if (done == 0 && r == AUTH_OK && q->caller->program == FROM_ADMIN &&
	    a.account.roles == 0)
		r = AUTH_FAILED;
	if (done == 0)
		done = session_go_on(q, &a, r, e);
	auth_attempt_release(&a);
	return done;
}

/*
 * Whose sessions count: the caller's own.  The runner asks about those who
 * administer the queue, or with "program" about users and their own messages.
 */
static enum program
session_program(const struct request *q)
{
	const char *of = json_string_value(json_object_get(q->in, "program"));

	if (q->caller->program != FROM_QUEUE)
		return q->caller->program;
	return of != NULL && strcmp(of, program_name(FROM_WEBMAIL)) == 0
	    ? FROM_WEBMAIL
	    : FROM_ADMIN;
}

static bool
is_good(const struct request *q, const struct web_session *w, int64_t now)
{
	enum program of = session_program(q);

	return strcmp(w->program, program_name(of)) == 0 &&
	    w->expires_ms > now &&
	    (w->idle_ms == 0 || w->seen_ms + w->idle_ms > now);
}

int
session_load_account(struct request *q, int64_t id, int64_t now, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT u.local || '@' || d.name, u.roles FROM account u"
	    " JOIN domain d ON d.id = u.domain_id WHERE u.id = ?1"
	    " AND d.disabled = 0 AND u.web = 1 AND (u.disabled = 0 OR"
	    " (u.disabled_until <> 0 AND u.disabled_until <= ?2))",
	    "ii", id, now);
	int got = sql_next(r, e);

	if (got == 1) {
		q->actor.account_id = id;
		q->actor.name = pool_strdup(&q->pool, sql_text(r, 0));
		q->actor.roles = (uint32_t)sql_int(r, 1);
	}
	sql_done(r);
	return got;
}

/*
 * When the token was made long ago it is time for another; a request that
 * still comes by the old one asks again for what may have been lost.  Once the
 * new one is used, the old one is on its way out.
 */
static int
judge_token(
    struct request *q, const struct web_session *w, int64_t now, struct err *e)
{
	bool kept = w->idle_ms == 0;

	q->session_due = kept &&
	    now - w->rotated_ms >=
		(w->by_old ? ROTATE_GRACE_MS : ROTATE_EVERY_MS);
	if (w->by_old || w->old_until_ms <= now + ROTATE_GRACE_MS)
		return 0;
	return secrets_end_old_token(
		   q->core->secrets, w->id, now + ROTATE_GRACE_MS, e) < 0
	    ? -1
	    : 0;
}

/* Administrators may have to set up the second step before all else. */
static int
check_enrolled(struct request *q, struct err *e)
{
	struct settings *s = directory_settings(q->core->directory);
	bool needed = settings_bool(s, SET_ADMIN_SECOND_STEP);
	enum totp_state state;

	settings_free(s);
	if (!needed || q->caller->program == FROM_WEBMAIL)
		return 0;
	state = totp_state(q->core->secrets, q->actor.account_id, e);
	if (state == TOTP_FAILED)
		return -1;
	if (state != TOTP_ON) {
		q->actor.must_enrol = true;
		q->actor.roles = 0;
	}
	return 0;
}

int
session_actor(struct request *q, const char *token, struct err *e)
{
	int64_t now = clock_wall_ms();
	uint8_t hash[SECRET_KEY_LEN];
	struct web_session w;
	int got;

	token_hash(q->core->secrets, "session", slice_str(token), hash);
	got = secrets_find_session(q->core->secrets, hash, now, &w, e);
	if (got == 1 && is_good(q, &w, now))
		got = session_load_account(q, w.account_id, now, e);
	else if (got == 1)
		got = 0;
	if (got == 1 && session_program(q) != FROM_WEBMAIL &&
	    q->actor.roles == 0) {
		q->actor = (struct actor){ .name = "-" };
		got = 0;
	}
	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "no-session", "the session has ended");
	q->actor.session_id = w.id;
	q->actor.fresh_ms = w.fresh_ms;
	q->actor.ip = pool_strdup(&q->pool, w.ip);
	if (check_enrolled(q, e) != 0)
		return -1;
	if (now - w.seen_ms >= TOUCH_EVERY_MS &&
	    secrets_touch_session(q->core->secrets, w.id, now, e) < 0)
		return -1;
	return judge_token(q, &w, now, e);
}

static int
rotate(struct request *q, struct err *e)
{
	uint8_t new_hash[SECRET_KEY_LEN], old_hash[SECRET_KEY_LEN];
	const char *old;

	if (req_string(q, "session", &old, e) != 0)
		return -1;
	token_hash(q->core->secrets, "session", slice_str(old), old_hash);
	put_token(q, "session", new_hash);
	return secrets_rotate_session(q->core->secrets, q->actor.session_id,
	    new_hash, old_hash, clock_wall_ms(), e);
}

/* What form tokens hang on: it stays when the session's token changes. */
static void
put_form_secret(struct request *q)
{
	uint8_t secret[SECRET_KEY_LEN];
	struct buf text;

	buf_init(&text, 128);
	token_hash(q->core->secrets, "form",
	    slice_str(
		pool_printf(&q->pool, "%lld", (long long)q->actor.session_id)),
	    secret);
	base64url_encode(secret, sizeof(secret), &text);
	json_object_set_new(
	    q->out, "form_secret", json_stringn(text.data, text.len));
	buf_release(&text);
}

/* The password once more, before something dangerous. */
int
verb_session_confirm(struct request *q, struct err *e)
{
	const char *password;

	if (req_string(q, "password", &password, e) != 0 ||
	    check_own_password(
		q, q->actor.account_id, q->actor.name, password, e) != 0)
		return -1;
	return secrets_freshen_session(q->core->secrets, q->actor.session_id,
		   clock_wall_ms(), e) < 0
	    ? -1
	    : 0;
}

int
verb_session_check(struct request *q, struct err *e)
{
	if (q->session_due && rotate(q, e) != 0)
		return -1;
	put_form_secret(q);
	q->target.account_id = q->actor.account_id;
	json_object_set_new(
	    q->out, "id", json_integer((json_int_t)q->actor.session_id));
	json_object_set_new(q->out, "account", json_string(q->actor.name));
	json_object_set_new(
	    q->out, "must_enrol", json_boolean(q->actor.must_enrol));
	if (user_put_summary(q, q->actor.account_id, e) != 0)
		return -1;
	return own_alias_put_limit(q, e);
}

int
verb_session_list(struct request *q, struct err *e)
{
	struct page p;

	page_init(&p, q);
	json_object_set_new(
	    q->out, "current", json_integer((json_int_t)q->actor.session_id));
	return secrets_list_sessions(
	    q->core->secrets, q->actor.account_id, p.items, e);
}

/* The same of any account, for the operator. */
int
verb_user_sessions(struct request *q, struct err *e)
{
	struct page p;

	page_init(&p, q);
	return secrets_list_sessions(
	    q->core->secrets, q->target.account_id, p.items, e);
}

static void
log_logout(const char *account)
{
	struct log_line l;

	log_begin(&l, "logout", NULL, NULL);
	log_str(&l, "service", "web");
	log_str(&l, "account", account);
	log_end(&l);
}

/* "id": another of the same account's; "all": all of them; else this one. */
int
verb_session_end(struct request *q, struct err *e)
{
	json_t *id = json_object_get(q->in, "id");
	int64_t which = q->actor.session_id;
	int got;

	if (req_bool(q, "all"))
		which = 0;
	else if (json_is_integer(id) && json_integer_value(id) > 0)
		which = json_integer_value(id);
	got = secrets_end_session(
	    q->core->secrets, q->actor.account_id, which, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "not-found", "no such session");
	log_logout(q->actor.name);
	return 0;
}

/* The session "id" of the account, or all of them. */
int
verb_user_sign_out(struct request *q, struct err *e)
{
	json_int_t id = json_integer_value(json_object_get(q->in, "id"));
	int got =
	    secrets_end_session(q->core->secrets, q->target.account_id, id, e);

	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "not-found", "no such session");
	q->before = id != 0 ? json_pack("{sI}", "session", id)
			    : json_pack("{ss}", "session", "all");
	log_logout(q->target.address);
	return 0;
}

/* --- Application passwords --------------------------------------------------------- */

int
verb_app_list(struct request *q, struct err *e)
{
	struct page p;

	page_init(&p, q);
	return secrets_list_app_passwords(
	    q->core->secrets, q->target.account_id, p.items, e);
}

/* The password is shown this once; nothing from which it follows is kept. */
int
verb_app_add(struct request *q, struct err *e)
{
	uint8_t mac[SECRET_KEY_LEN];
	char token[40];
	const char *name;

	if (req_string(q, "name", &name, e) != 0 ||
	    user_check_name(q, name, e) != 0)
		return -1;
	if (name[0] == '\0')
		return refuse(q, e, "missing", "name is missing");
	token_new(token, sizeof(token), 15);
	token_hash(q->core->secrets, "app", slice_str(token), mac);
	if (secrets_add_app_password(
		q->core->secrets, q->target.account_id, name, mac, e) != 0)
		return -1;
	json_object_set_new(q->out, "password", json_string(token));
	q->after = json_pack("{ss}", "name", name);
	mem_wipe(token, sizeof(token));
	return 0;
}

int
verb_app_delete(struct request *q, struct err *e)
{
	json_t *id = json_object_get(q->in, "id");
	int got = secrets_delete_app_password(
	    q->core->secrets, q->target.account_id, json_integer_value(id), e);

	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "not-found", "no such password");
	q->before = json_pack("{sI}", "id", json_integer_value(id));
	return 0;
}
