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
};

static const struct login_rules *
rules_of(const struct web_request *r)
{
	return r->app->login;
}

static int
ask(const struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e)
{
	const struct login_rules *l = rules_of(r);

	return accountd_call(
	    l->accountd(r), request, l->timeout_ms, reply_out, e);
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
	return s;
}

int
login_find_session(struct web_request *r, struct err *e)
{
	const char *token = web_session_cookie(r, rules_of(r)->cookie);
	const char *before = web_session_cookie(r, rules_of(r)->before);
	json_t *request, *reply;

	if (before != NULL && is_token(before))
		r->csrf_secret = before;
	if (token == NULL || !is_token(token))
		return 0;
	request =
	    json_pack("{ss,ss}", "verb", "session check", "session", token);
	if (ask(r, request, &reply, e) != 0)
		return e->kind == ERR_TEMP || e->kind == ERR_TIMEOUT ? -1 : 0;
	r->session = new_session(r, token, reply);
	json_decref(reply);
	if (r->session != NULL)
		r->csrf_secret = token;
	return 0;
}

/* The form, with a fresh cookie if there is none yet. */
static void
show_form(struct web_request *r, struct web_response *w, const char *error,
    const char *login, const char *back)
{
	const struct web_cookie_options options = { .strict =
							rules_of(r)->strict };
	char token[TOKEN_SIZE];

	if (r->csrf_secret == NULL) {
		token_new(token, sizeof(token), TOKEN_BYTES);
		if (web_set_cookie(w, rules_of(r)->before, token, &options))
			r->csrf_secret = pool_strdup(&r->pool, token);
		else
			error = "login.insecure";
	}
	page_send(r, w, "login", page_text(r, "login.title"),
	    json_pack("{ss,ss,ss,sb}", "error",
		error != NULL ? page_text(r, error) : "", "login", login,
		"back", back, "may_keep", rules_of(r)->may_keep));
}

void
login_page(struct web_request *r, struct web_response *w)
{
	if (r->session != NULL) {
		web_redirect(w, rules_of(r)->home);
		return;
	}
	show_form(r, w, NULL, "", web_own_path(web_query(r, "back")));
}

/* A page was asked for without a session: it comes after signing in. */
void
login_needed(struct web_request *r, struct web_response *w)
{
	bool get = r->method == WEB_GET;

	show_form(r, w, get ? NULL : "login.expired", "",
	    get ? web_own_path(r->path) : "/");
}

static bool
wants_keep(const struct web_request *r)
{
	return rules_of(r)->may_keep && web_form(r, "keep") != NULL;
}

static json_t *
create_request(const struct web_request *r, const char *login, const char *pass)
{
	json_t *request;
	struct buf name, word;

	buf_init(&name, 4096);
	buf_init(&word, 4096);
	base64_encode(login, strlen(login), &name);
	base64_encode(pass, strlen(pass), &word);
	request = json_pack("{ss,ss,ss,ss,sb}", "verb", "session create",
	    "login", name.data, "password", word.data, "ip", r->remote_addr,
	    "keep", wants_keep(r));
	mem_wipe(word.data, word.len);
	buf_release(&name);
	buf_release(&word);
	return request;
}

/* The key of the error's text, or NULL and a new token. */
static const char *
create_session(struct web_request *r, const char *login, const char *pass,
    char token[TOKEN_SIZE])
{
	const char *result = "", *made = "";
	json_t *request, *reply;
	struct err e;
	const char *error = "login.failed";

	if (strlen(login) > 512 || strlen(pass) > 1024)
		return error;
	request = create_request(r, login, pass);
	if (ask(r, request, &reply, &e) != 0) {
		log_error("session create: %s", e.text);
		return e.kind == ERR_TEMP ? "login.busy" : error;
	}
	(void)json_unpack(
	    reply, "{s?s, s?s}", "result", &result, "session", &made);
	if (strcmp(result, "busy") == 0)
		error = "login.busy";
	else if (strcmp(result, "ok") == 0 &&
	    slice_copy(slice_str(made), token, TOKEN_SIZE))
		error = NULL;
	json_decref(reply);
	return error;
}

void
login_post(struct web_request *r, struct web_response *w)
{
	const struct web_cookie_options over = { .max_age = -1 };
	struct web_cookie_options options = { .strict = rules_of(r)->strict };
	const char *login = web_form(r, "user"), *pass = web_form(r, "pass");
	const char *back = web_own_path(web_form(r, "back"));
	char token[TOKEN_SIZE];
	const char *error;

	if (login == NULL || pass == NULL) {
		web_error(w, 400, page_text(r, "login.failed"));
		return;
	}
	error = create_session(r, login, pass, token);
	if (error != NULL) {
		w->status = strcmp(error, "login.busy") == 0 ? 429 : 422;
		show_form(r, w, error, login, back);
		return;
	}
	if (wants_keep(r))
		options.max_age = KEEP_SECONDS;
	if (!web_set_cookie(w, rules_of(r)->cookie, token, &options)) {
		mem_wipe(token, sizeof(token));
		show_form(r, w, "login.insecure", login, back);
		return;
	}
	mem_wipe(token, sizeof(token));
	(void)web_set_cookie(w, rules_of(r)->before, "", &over);
	web_redirect(w, back);
}

void
logout_post(struct web_request *r, struct web_response *w)
{
	const struct web_cookie_options over = { .max_age = -1 };
	const struct session *s = r->session;
	json_t *request, *reply;
	struct err e;

	request =
	    json_pack("{ss,ss}", "verb", "session end", "session", s->token);
	if (ask(r, request, &reply, &e) == 0)
		json_decref(reply);
	else
		log_error("session end: %s", e.text);
	(void)web_set_cookie(w, rules_of(r)->cookie, "", &over);
	web_redirect(w, "/login");
}

void
login_done(struct web_request *r)
{
	const struct session *s = r->session;

	if (s != NULL)
		json_decref(s->user);
}
