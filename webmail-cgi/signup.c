/*
 * Making an account oneself, where server and domain allow it.  accountd
 * judges everything; this file shows its form and says what it answered.
 */
#include <string.h>

#include "base/log.h"

#include "webmail-cgi/site.h"

static int
ask(const struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e)
{
	return accountd_call(webmail_of(r)->accountd, request,
	    ACCOUNTD_TIMEOUT_MS, reply_out, e);
}

bool
signup_is_offered(struct web_request *r)
{
	struct settings *all = directory_settings(webmail_of(r)->directory);
	bool enabled = settings_bool(all, SET_SIGNUP_ENABLED);

	settings_free(all);
	return enabled;
}

/* The domain of the host's name, else the default one. */
static const char *
domain_of(struct web_request *r)
{
	struct dir_domain domain;
	struct err e;

	if (r->site[0] != '\0')
		return r->site;
	return dir_find_domain(webmail_of(r)->directory, "", &r->pool, &domain,
		   &e) == DIR_FOUND
	    ? domain.name
	    : "";
}

/* "no", "code", "approval" or "open", in the pool. */
static const char *
mode_of(struct web_request *r, const char *domain)
{
	const char *mode = "no";
	json_t *reply;
	struct err e;

	if (!signup_is_offered(r) || domain[0] == '\0')
		return mode;
	if (ask(r,
		json_pack("{ss,ss}", "verb", "signup offer", "domain", domain),
		&reply, &e) != 0)
		return mode;
	(void)json_unpack(reply, "{s:s}", "mode", &mode);
	mode = pool_strdup(&r->pool, mode);
	json_decref(reply);
	return mode;
}

static void
show(struct web_request *r, struct web_response *w, const char *domain,
    const char *mode, const char *error)
{
	const char *user = web_form(r, "user"), *name = web_form(r, "name");

	page_send(r, w, "signup", page_text(r, "signup.title"),
	    json_pack("{ss,ss,ss,ss,sb,sb}", "error", error, "domain", domain,
		"login", user ? user : "", "name", name ? name : "", "by_code",
		strcmp(mode, "code") == 0, "by_approval",
		strcmp(mode, "approval") == 0));
}

/* NULL: nobody may, and the response says so. */
static const char *
offer(struct web_request *r, struct web_response *w, const char *domain)
{
	const char *mode = mode_of(r, domain);

	if (strcmp(mode, "no") != 0)
		return mode;
	web_error(w, 404, page_text(r, "signup.closed"));
	return NULL;
}

void
signup_page(struct web_request *r, struct web_response *w)
{
	const struct web_cookie_options options = { 0 };
	const char *domain = domain_of(r), *mode = offer(r, w, domain);
	char token[64];

	if (mode == NULL)
		return;
	if (r->csrf_secret == NULL) {
		token_new(token, sizeof(token), 32);
		if (web_set_cookie(
			w, webmail_app.login->before, token, &options))
			r->csrf_secret = pool_strdup(&r->pool, token);
	}
	show(r, w, domain, mode, "");
}

/* The address meant: a name of this domain, or a whole address. */
static const char *
address_of(struct web_request *r, const char *domain)
{
	const char *user = web_form(r, "user");

	if (user == NULL)
		return "";
	return strchr(user, '@') != NULL
	    ? user
	    : pool_printf(&r->pool, "%s@%s", user, domain);
}

static void
welcome(struct web_request *r, struct web_response *w, const char *address,
    const char *pass, bool waits)
{
	if (waits)
		page_send(r, w, "signup_done", page_text(r, "signup.title"),
		    json_pack("{ss}", "address", address));
	else if (login_start(r, w, address, pass, false) == NULL)
		web_redirect(w, webmail_app.login->home);
	else
		web_redirect(w, "/login");
}

void
signup_post(struct web_request *r, struct web_response *w)
{
	const char *domain = domain_of(r), *mode = offer(r, w, domain);
	const char *pass = web_form(r, "pass"), *again = web_form(r, "pass2");
	const char *address, *name = web_form(r, "name");
	int waits = 0;
	json_t *reply;
	struct err e;

	if (mode == NULL)
		return;
	address = address_of(r, domain);
	if (pass == NULL || again == NULL || strcmp(pass, again) != 0) {
		w->status = 422;
		show(r, w, domain, mode, page_text(r, "signup.differ"));
		return;
	}
	if (ask(r,
		json_pack("{ss,ss,ss,ss,ss*,ss*}", "verb", "signup", "address",
		    address, "password", pass, "ip", r->remote_addr, "name",
		    name, "code", web_form(r, "code")),
		&reply, &e) != 0) {
		w->status = e.kind == ERR_TEMP ? 429 : 422;
		show(r, w, domain, mode,
		    e.kind == ERR_TEMP ? page_text(r, "login.busy") : e.text);
		return;
	}
	(void)json_unpack(reply, "{s:{s:b}}", "user", "disabled", &waits);
	json_decref(reply);
	welcome(r, w, address, pass, waits != 0);
}
