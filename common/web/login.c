/*
 * Sign-in pages and sessions; see login.h.
 */
#include "web/login.h"

#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "web/page.h"

enum {
	TOKEN_BYTES = 32,
	TOKEN_SIZE = 64,
	KEEP_SECONDS = 30 * 86400,
	SIGN_IN_MS = 10000,
};

static const struct login_rules *
rules_of(const struct web_request *r)
{
	return r->app->login;
}

/* Takes `request`. */
static int
ask(const struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e)
{
	const struct login_rules *l = rules_of(r);

	return accountd_call(
	    l->accountd(r), request, l->timeout_ms, reply_out, e);
}

/* The same, where the hash of a password is made, maybe after others. */
static int
ask_patiently(const struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e)
{
	return accountd_call(
	    rules_of(r)->accountd(r), request, SIGN_IN_MS, reply_out, e);
}

static bool
is_token(const char *text)
{
	size_t len = strlen(text);

	return len >= 20 && len < TOKEN_SIZE;
}

/* accountd's answer about the session to what the pages need. */
static struct session *
new_session(struct web_request *r, const char *token, const json_t *reply)
{
	struct session *s = pool_zalloc(&r->pool, sizeof(*s));
	const char *address = NULL, *name = "";
	struct slice local, domain;

	if (json_unpack((json_t *)(uintptr_t)reply, "{s:s, s?{s?s}}", "account",
		&address, "user", "name", &name) != 0)
		return NULL;
	domain = slice_cut(slice_str(address), '@', &local);
	if (domain.data == NULL)
		return NULL;
	s->token = token;
	s->address = pool_strdup(&r->pool, address);
	s->local = pool_strndup(&r->pool, local.data, local.len);
	s->domain = pool_strndup(&r->pool, domain.data, domain.len);
	s->name = pool_strdup(&r->pool, name);
	s->user = json_incref(json_object_get(reply, "user"));
	s->id = json_integer_value(json_object_get(reply, "id"));
	s->must_enrol = json_is_true(json_object_get(reply, "must_enrol"));
	return s;
}

/* Ask about a token: the request's session, if it is a live one's. */
static int
find_session(
    struct web_request *r, const char *token, json_t **reply_out, struct err *e)
{
	json_t *request =
	    json_pack("{ss,ss}", "verb", "session check", "session", token);
	const char *secret = token;

	*reply_out = NULL;
	if (ask(r, request, reply_out, e) != 0)
		return e->kind == ERR_TEMP || e->kind == ERR_TIMEOUT ? -1 : 0;
	r->session = new_session(r, token, *reply_out);
	if (r->session == NULL)
		return 0;
	(void)json_unpack(*reply_out, "{s:s}", "form_secret", &secret);
	r->csrf_secret = pool_strdup(&r->pool, secret);
	return 0;
}

int
login_find_session(struct web_request *r, struct web_response *w, struct err *e)
{
	const struct web_cookie_options kept = { .max_age = KEEP_SECONDS,
		.strict = rules_of(r)->strict };
	const char *token = web_session_cookie(r, rules_of(r)->cookie);
	const char *before = web_session_cookie(r, rules_of(r)->before);
	const char *renewed;
	json_t *reply;

	if (before != NULL && is_token(before))
		r->csrf_secret = before;
	if (token == NULL || !is_token(token))
		return 0;
	if (find_session(r, token, &reply, e) != 0)
		return -1;
	renewed = json_string_value(json_object_get(reply, "session"));
	if (r->session != NULL && renewed != NULL)
		(void)web_set_cookie(w, rules_of(r)->cookie, renewed, &kept);
	json_decref(reply);
	return 0;
}

/* --- Who was here --------------------------------------------------------------- */

static void
remember(struct web_response *w, const struct web_cookie_options *options)
{
	const struct web_request *r = w->request;
	const char *address = session_of(r)->address;
	struct buf text;

	if (rules_of(r)->who == NULL)
		return;
	buf_init(&text, 1024);
	base64url_encode(address, strlen(address), &text);
	(void)web_set_cookie(w, rules_of(r)->who, text.data, options);
	buf_release(&text);
}

/* The address of who was signed in before, or "". */
static const char *
who_was(struct web_request *r)
{
	const char *cookie = rules_of(r)->who != NULL
	    ? web_session_cookie(r, rules_of(r)->who)
	    : NULL;
	const char *out = "";
	struct buf text;

	if (cookie == NULL)
		return out;
	buf_init(&text, 512);
	if (base64url_decode(slice_str(cookie), &text) &&
	    utf8_is_valid(buf_slice(&text)) &&
	    slice_chr(buf_slice(&text), '\0') < 0)
		out = pool_strndup(&r->pool, text.data, text.len);
	buf_release(&text);
	return out;
}

/* An error that begins so is no key of a text but accountd's own words. */
#define SAID '='

/* --- What was posted after the end ------------------------------------------------- */

#define CARRY_PREFIX "c:"

/* A secret is not written into a page. */
static bool
has_secret(const struct web_params *form)
{
	for (size_t i = 0; i < form->count; i++) {
		if (strstr(form->list[i].name, "pass") != NULL)
			return true;
	}
	return false;
}

/*
 * The cookie of who was here comes only from our own site (SameSite), so no
 * other site can lay its words before who signs in.
 */
static bool
may_carry(struct web_request *r)
{
	return r->method == WEB_POST && web_is_same_origin(r) &&
	    who_was(r)[0] != '\0' && !has_secret(&r->form);
}

/* The posted fields for a page; from `prefix` on, or all. */
static json_t *
carried(const struct web_request *r, const char *prefix)
{
	size_t skip = strlen(prefix);
	json_t *out = json_array();

	for (size_t i = 0; i < r->form.count; i++) {
		const struct web_param *p = &r->form.list[i];

		if (strncmp(p->name, prefix, skip) == 0 &&
		    strcmp(p->name, "csrf") != 0)
			json_array_append_new(out,
			    json_pack("{ss,ss}", "name", p->name + skip,
				"value", p->value));
	}
	return out;
}

/* --- Pages ------------------------------------------------------------------------- */

struct form {
	const char *error; /* key of a text, or NULL */
	const char *login, *back;
	const char *carry_to; /* where `carry` was going, or "" */
	json_t *carry;
};

/* The form, with a fresh cookie if there is none yet. */
static void
show_form(struct web_request *r, struct web_response *w, const struct form *f)
{
	const struct web_cookie_options options = { .strict =
							rules_of(r)->strict };
	const char *error = f->error;
	char token[TOKEN_SIZE];

	if (r->csrf_secret == NULL) {
		token_new(token, sizeof(token), TOKEN_BYTES);
		if (web_set_cookie(w, rules_of(r)->before, token, &options))
			r->csrf_secret = pool_strdup(&r->pool, token);
		else
			error = "login.insecure";
	}
	page_send(r, w, "login", page_text(r, "login.title"),
	    json_pack("{ss,ss,ss,sb,ss,so*}", "error",
		error != NULL ? page_text(r, error) : "", "login", f->login,
		"back", f->back, "may_keep", rules_of(r)->may_keep, "carry_to",
		f->carry_to, "carry", f->carry));
}

void
login_page(struct web_request *r, struct web_response *w)
{
	const struct form f = { .login = who_was(r),
		.back = web_own_path(web_query(r, "back")),
		.carry_to = "" };

	if (r->session != NULL)
		web_redirect(w, rules_of(r)->home);
	else
		show_form(r, w, &f);
}

/* A page was asked for without a session: it comes after signing in. */
void
login_needed(struct web_request *r, struct web_response *w)
{
	bool get = r->method == WEB_GET;
	struct form f = { .error = get ? NULL : "login.expired",
		.login = who_was(r),
		.back = get ? web_own_path(r->target) : "/",
		.carry_to = "" };

	if (may_carry(r)) {
		f.error = "login.expired_kept";
		f.carry_to = web_own_path(r->target);
		f.carry = carried(r, "");
	}
	show_form(r, w, &f);
}

/* Signed in again: the fields once more, to be sent by a click. */
static void
carry_page(struct web_request *r, struct web_response *w, const char *to)
{
	page_send(r, w, "carry", page_text(r, "carry.title"),
	    json_pack(
		"{ss,so}", "carry_to", to, "carry", carried(r, CARRY_PREFIX)));
}

static bool
wants_keep(const struct web_request *r)
{
	return rules_of(r)->may_keep && web_form(r, "keep") != NULL;
}

/*
 * A bare name is of the domain that the host's name means; where domains sign
 * in by their name, one with a dot stays as it is.
 */
static const char *
full_login(struct web_request *r, const char *login)
{
	const char *marks = rules_of(r)->domain_names ? "@#$%." : "@#$%";

	return r->site[0] == '\0' || strpbrk(login, marks) != NULL
	    ? login
	    : pool_printf(&r->pool, "%s@%s", login, r->site);
}

static json_t *
create_request(
    const struct web_request *r, const char *login, const char *pass, bool keep)
{
	json_t *request;
	struct buf name, word;

	buf_init(&name, 4096);
	buf_init(&word, 4096);
	base64_encode(login, strlen(login), &name);
	base64_encode(pass, strlen(pass), &word);
	request = json_pack("{ss,ss,ss,ss,ss,sb}", "verb", "session create",
	    "login", name.data, "password", word.data, "ip", r->remote_addr,
	    "agent", r->user_agent, "keep", keep);
	mem_wipe(word.data, word.len);
	buf_release(&name);
	buf_release(&word);
	return request;
}

/* What accountd waits for before there is a session. */
enum step {
	STEP_NONE,
	STEP_CODE,
	STEP_CHOOSE
};

/*
 * What accountd made of an attempt: the key of the error's text, or NULL and
 * the token of a session, or of one that waits for another step.
 */
static const char *
result_of(struct web_request *r, json_t *request, const char *wrong,
    const char **token_out, enum step *step_out)
{
	const char *result = "", *made = "", *text = "", *error = wrong;
	json_t *reply;
	struct err e;

	if (ask_patiently(r, request, &reply, &e) != 0) {
		log_error("signing in: %s", e.text);
		if (e.kind == ERR_TEMP)
			return "login.busy";
		return wrong != NULL
		    ? wrong
		    : pool_printf(&r->pool, "%c%s", SAID, e.text);
	}
	(void)json_unpack(reply, "{s?s, s?s, s?s, s?s}", "result", &result,
	    "session", &made, "pending", &made, "text", &text);
	if (strcmp(result, "more") == 0)
		*step_out =
		    strcmp(text, "new-password") == 0 ? STEP_CHOOSE : STEP_CODE;
	if (strcmp(result, "busy") == 0)
		error = "login.busy";
	else if (*step_out != STEP_NONE || strcmp(result, "ok") == 0)
		error = NULL;
	*token_out = pool_strdup(&r->pool, made);
	json_decref(reply);
	return error;
}

/* The token into its cookie; NULL, or the key of the text that says why not. */
static const char *
keep_token(struct web_response *w, const char *token, bool waits, bool keep)
{
	const struct web_cookie_options over = { .max_age = -1 };
	struct web_request *r = w->request;
	const struct login_rules *l = rules_of(r);
	const struct web_cookie_options options = { .strict = l->strict,
		.max_age = keep && !waits ? KEEP_SECONDS : 0 };
	json_t *reply = NULL;
	struct err e;

	if (!web_set_cookie(w, waits ? l->code : l->cookie, token, &options))
		return "login.insecure";
	if (waits)
		return NULL;
	if (find_session(r, token, &reply, &e) != 0)
		return "login.busy";
	json_decref(reply);
	if (r->session == NULL)
		return "login.failed";
	(void)web_set_cookie(w, l->before, "", &over);
	(void)web_set_cookie(w, l->code, "", &over);
	remember(w, &options);
	return NULL;
}

static const char *
start(struct web_response *w, json_t *request, const char *wrong, bool keep,
    enum step *step_out)
{
	const char *token = "", *error;

	*step_out = STEP_NONE;
	error = result_of(w->request, request, wrong, &token, step_out);
	if (error == NULL)
		error = keep_token(w, token, *step_out != STEP_NONE, keep);
	if (error == NULL)
		return NULL;
	w->status = 422;
	if (strcmp(error, "login.busy") == 0) {
		w->status = 429;
		web_add_header(w, "Retry-After", "30");
	}
	return error;
}

static const char *
start_with(struct web_request *r, struct web_response *w, const char *login,
    const char *pass, bool keep, enum step *step_out)
{
	if (strlen(login) > 512 || strlen(pass) > 1024) {
		w->status = 422;
		return "login.failed";
	}
	return start(w, create_request(r, full_login(r, login), pass, keep),
	    "login.failed", keep, step_out);
}

const char *
login_start(struct web_request *r, struct web_response *w, const char *login,
    const char *pass, bool keep)
{
	enum step step;

	return start_with(r, w, login, pass, keep, &step);
}

static void
go_on(struct web_request *r, struct web_response *w, const struct form *f,
    const char *who)
{
	if (f->carry_to[0] != '\0' &&
	    ascii_casecmp(who, session_of(r)->address) == 0)
		carry_page(r, w, web_own_path(f->carry_to));
	else
		web_redirect(w, f->back);
}

/* --- More steps -------------------------------------------------------------------- */

/* A text of ours by its key, or after SAID accountd's own words. */
static const char *
error_text(struct web_request *r, const char *error)
{
	if (error == NULL)
		return "";
	return error[0] == SAID ? error + 1 : page_text(r, error);
}

static void
show_step_form(struct web_request *r, struct web_response *w,
    const struct form *f, enum step step)
{
	const char *page = step == STEP_CODE ? "login2" : "login3";

	page_send(r, w, page,
	    page_text(r, pool_printf(&r->pool, "%s.title", page)),
	    json_pack("{ss,ss,sb,ss,so}", "error", error_text(r, f->error),
		"back", f->back, "keep", wants_keep(r), "carry_to", f->carry_to,
		"carry", carried(r, CARRY_PREFIX)));
}

static struct form
form_of(const struct web_request *r, const char *login)
{
	return (struct form){ .login = login,
		.back = web_own_path(web_form(r, "back")),
		.carry_to = web_form_text(r, "carry_to") };
}

/* `key` of the form for the token of `verb`. */
static void
take_step(struct web_request *r, struct web_response *w, enum step step,
    const char *verb, const char *key, const char *wrong)
{
	const char *waiting = web_session_cookie(r, rules_of(r)->code);
	const char *value = web_form(r, key), *again = web_form(r, "again");
	const char *who = who_was(r);
	struct form f = form_of(r, who);
	enum step next = step;

	if (waiting == NULL || !is_token(waiting) || value == NULL ||
	    strlen(value) > 1024) {
		f.error = "login.expired";
		show_form(r, w, &f);
		return;
	}
	if (again != NULL && strcmp(value, again) != 0) {
		w->status = 422;
		f.error = "login3.not_same";
	} else {
		f.error = start(w,
		    json_pack("{ss,ss,ss,ss,ss,sb}", "verb", verb, "pending",
			waiting, key, value, "ip", r->remote_addr, "agent",
			r->user_agent, "keep", wants_keep(r)),
		    wrong, wants_keep(r), &next);
	}
	if (f.error != NULL)
		next = step;
	if (next != STEP_NONE)
		show_step_form(r, w, &f, next);
	else
		go_on(r, w, &f, who);
}

void
login_code_post(struct web_request *r, struct web_response *w)
{
	take_step(r, w, STEP_CODE, "session code", "code", "login2.failed");
}

void
login_choose_post(struct web_request *r, struct web_response *w)
{
	take_step(r, w, STEP_CHOOSE, "session password", "password", NULL);
}

void
login_post(struct web_request *r, struct web_response *w)
{
	const char *login = web_form(r, "user"), *pass = web_form(r, "pass");
	const char *who = who_was(r);
	struct form f = form_of(r, login);
	enum step step;

	if (login == NULL || pass == NULL) {
		web_error(w, 400, page_text(r, "login.failed"));
		return;
	}
	f.error = start_with(r, w, login, pass, wants_keep(r), &step);
	if (f.error != NULL) {
		f.carry = carried(r, CARRY_PREFIX);
		show_form(r, w, &f);
	} else if (step != STEP_NONE) {
		show_step_form(r, w, &f, step);
	} else {
		go_on(r, w, &f, who);
	}
}

void
login_forget(struct web_response *w)
{
	const struct web_cookie_options over = { .max_age = -1 };
	const struct login_rules *rules = rules_of(w->request);

	(void)web_set_cookie(w, rules->cookie, "", &over);
	if (rules->who != NULL)
		(void)web_set_cookie(w, rules->who, "", &over);
}

void
logout_post(struct web_request *r, struct web_response *w)
{
	json_t *request, *reply;
	struct err e;

	request = json_pack(
	    "{ss,ss}", "verb", "session end", "session", session_of(r)->token);
	if (ask(r, request, &reply, &e) == 0)
		json_decref(reply);
	else
		log_error("session end: %s", e.text);
	login_forget(w);
	/* nor may the browser keep what it has shown */
	web_add_header(w, "Clear-Site-Data", "\"cache\"");
	web_redirect(w, "/login");
}

void
login_done(struct web_request *r)
{
	const struct session *s = r->session;

	if (s != NULL)
		json_decref(s->user);
}
