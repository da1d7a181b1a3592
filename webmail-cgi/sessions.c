/*
 * The user's sessions: where he is signed in, and ending it; and who looked
 * into his mailbox.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/settings.h"
#include "webmail-cgi/site.h"

static int
ask(const struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e)
{
	json_object_set_new(
	    request, "session", json_string(session_of(r)->token));
	return accountd_call(webmail_of(r)->accountd, request,
	    ACCOUNTD_TIMEOUT_MS, reply_out, e);
}

/* The browser's name out of what it says of itself; "" if it is none we know */
static const char *
browser_of(const char *agent)
{
	/* clang-format off */
	static const struct { const char *part, *name; } known[] = {
		{ "Edg/", "Edge" }, { "OPR/", "Opera" },
		{ "Firefox/", "Firefox" }, { "Chrome/", "Chrome" },
		{ "Safari/", "Safari" }, { "Lynx/", "Lynx" },
		{ "w3m/", "w3m" }, { "curl/", "curl" },
	};

	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strstr(agent, known[i].part) != NULL)
			return known[i].name;
	}
	return "";
}

/* Times are RFC 3339 texts; templates want milliseconds. */
static json_t *
millis(const json_t *item, const char *key)
{
	const char *text = json_string_value(json_object_get(item, key));
	int64_t ms = 0;

	if (text == NULL || !clock_parse_rfc3339(slice_str(text), &ms))
		ms = 0;
	return json_integer((json_int_t)ms);
}

static json_t *
row(const json_t *item, json_int_t current)
{
	const char *agent = "", *program = "", *ip = "";
	json_int_t id = 0;

	(void)json_unpack((json_t *)(uintptr_t)item, "{s:I,s?s,s?s,s?s}", "id",
	    &id, "agent", &agent, "program", &program, "ip", &ip);
	return json_pack("{sI,ss,ss,ss,sb,sb,so,so}", "id", id, "browser",
	    browser_of(agent), "agent", agent, "ip", ip, "current",
	    id == current, "admin", strcmp(program, "admin-cgi") == 0, "since",
	    millis(item, "created_at"), "seen", millis(item, "seen_at"));
}

/* What `mailstead mailbox list|show` was used for, newest first. */
static int
look_up_views(const struct web_request *r, json_t **out, struct err *e)
{
	json_t *reply, *item;
	size_t i;

	if (ask(r,
		json_pack("{ss,ss}", "verb", "mailbox views", "address",
		    session_of(r)->address),
		&reply, e) != 0)
		return -1;
	*out = json_incref(json_object_get(reply, "items"));
	json_array_foreach(*out, i, item) {
		const char *what =
		    json_string_value(json_object_get(item, "what"));

		json_object_set_new(item, "at", millis(item, "time"));
		json_object_set_new(item, "is_list",
		    json_boolean(what != NULL && strcmp(what, "list") == 0));
	}
	json_decref(reply);
	return 0;
}

void
sessions_page(struct web_request *r, struct web_response *w)
{
	json_t *reply, *rows, *items, *views = NULL;
	json_int_t current;
	struct err e;

	if (look_up_views(r, &views, &e) != 0 ||
	    ask(r, json_pack("{ss}", "verb", "session list"), &reply, &e) !=
		0) {
		json_decref(views);
		log_error("session list: %s", e.text);
		web_error(w, 503, page_text(r, "login.busy"));
		return;
	}
	rows = json_array();
	items = json_object_get(reply, "items");
	current = json_integer_value(json_object_get(reply, "current"));
	for (size_t i = 0; i < json_array_size(items); i++)
		json_array_append_new(
		    rows, row(json_array_get(items, i), current));
	json_decref(reply);
	page_send(r, w, "settings_sessions", page_text(r, "sessions.title"),
	    json_pack("{so,so,sb,sb,so}", "rows", rows, "tabs",
		settings_tabs(r, "sessions"), "in_settings", 1, "has_views",
		json_array_size(views) > 0, "views", views));
}

/* "id" = one of them, "all" = every one, this too. */
void
sessions_post(struct web_request *r, struct web_response *w)
{
	bool all = web_form(r, "all") != NULL;
	const char *id = web_form(r, "id");
	json_t *request = json_pack("{ss}", "verb", "session end"), *reply;
	uint64_t n = 0;
	struct err e;

	if (all)
		json_object_set_new(request, "all", json_true());
	else if (id != NULL && num_parse(slice_str(id), INT64_MAX, &n))
		json_object_set_new(request, "id", json_integer((json_int_t)n));
	if (!all && n == 0) {
		json_decref(request);
		web_error(w, 400, page_text(r, "sessions.none"));
		return;
	}
	if (ask(r, request, &reply, &e) != 0) {
		web_error(w, e.kind == ERR_TEMP ? 503 : 404,
		    page_text(r, "sessions.none"));
		return;
	}
	json_decref(reply);
	if (all)
		login_forget(w);
	web_redirect(w, all ? "/login" : "/settings/sessions");
}
