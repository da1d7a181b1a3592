/*
 * The queue: what waits and why, by destination and message by message, and
 * the five verbs.  The runner does and decides (queue/control.h).
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "directory/trace.h"

#include "admin-cgi/ops.h"

enum {
	ROWS = 50
};

void
ops_put_time(json_t *o, const char *key, const char *rfc3339)
{
	int64_t ms;

	if (rfc3339 != NULL && clock_parse_rfc3339(slice_str(rfc3339), &ms))
		json_object_set_new(o, key, json_integer(ms));
	else
		json_object_del(o, key);
}

/* --- why it waits ----------------------------------------------------------------- */

/*
 * A word for what another server said, by its status code where it gives one
 * (RFC 3463), else by what we noted ourselves.
 */
static const char *
class_of(const char *reply)
{
	static const struct {
		const char *part, *word;
	} words[] = {
		{ "4.2.2", "full" },
		{ "5.2.2", "full" },
		{ "4.7.", "slow" },
		{ "grey", "wait" },
		{ "4.2.0", "wait" },
		{ "timed out", "silent" },
		{ "refused", "silent" },
		{ "connect", "silent" },
		{ "unreachable", "silent" },
		{ "4.4.", "silent" },
		{ "DNS", "silent" },
		{ "TLS", "ours" },
		{ "suspended", "ours" },
		{ "4.3.", "theirs" },
		{ "421", "slow" },
		{ "45", "theirs" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasestr(reply, words[i].part) != NULL)
			return words[i].word;
	}
	return "wait";
}

static void
put_class(struct web_request *r, json_t *o, const char *word)
{
	json_object_set_new(o, "class",
	    json_string(
		page_text(r, pool_printf(&r->pool, "queue.class.%s", word))));
	json_object_set_new(o, "tone",
	    json_string(strcmp(word, "wait") == 0 ? ""
		    : strcmp(word, "held") == 0   ? "info"
		    : strcmp(word, "silent") == 0 || strcmp(word, "ours") == 0
		    ? "bad"
		    : "warn"));
}

/* The runner's message as a row: times, why it waits, its first recipient. */
static void
shape_message(struct web_request *r, json_t *m)
{
	json_t *list = json_object_get(m, "recipients"), *one, *shown = NULL;
	const char *state = json_text(m, "state");
	size_t i;

	json_array_foreach(list, i, one) {
		const char *at = json_text(one, "state");

		json_object_set_new(one, "state_text",
		    json_string(page_text(
			r, pool_printf(&r->pool, "queue.recipient.%s", at))));
		if (shown == NULL || strcmp(at, "waiting") == 0)
			shown = shown != NULL &&
				strcmp(json_text(shown, "state"), "waiting") ==
				    0
			    ? shown
			    : one;
	}
	if (shown != NULL) {
		json_object_set_new(
		    m, "to", json_string(json_text(shown, "address")));
		json_object_set_new(
		    m, "why", json_string(json_text(shown, "reply")));
	}
	if (json_object_get(m, "hold_reason") != NULL)
		json_object_set(m, "why", json_object_get(m, "hold_reason"));
	if (json_integer_value(json_object_get(m, "recipient_count")) > 1)
		json_object_set_new(m, "more",
		    json_integer(json_integer_value(
				     json_object_get(m, "recipient_count")) -
			1));
	put_class(r, m,
	    strcmp(state, "held") == 0 ? "held"
				       : class_of(json_text(m, "why")));
	json_object_set_new(
	    m, "held", json_boolean(strcmp(state, "held") == 0));
	ops_put_time(m, "accepted_at", json_text(m, "accepted_at"));
	ops_put_time(m, "next_try_at", json_text(m, "next_try_at"));
}

/* --- by destination --------------------------------------------------------------- */

static json_t *
groups(struct web_request *r, struct web_response *w)
{
	json_t *reply, *row;
	struct settings *s;
	json_int_t expire_ms;
	size_t i;

	if (runner_need(r, w, json_pack("{s:s}", "verb", "groups"), &reply) !=
	    0)
		return NULL;
	s = directory_settings(admin_of(r)->directory);
	expire_ms = 1000 * settings_int(s, SET_QUEUE_EXPIRE);
	settings_free(s);
	json_array_foreach(json_object_get(reply, "groups"), i, row) {
		put_class(r, row, class_of(json_text(row, "reply")));
		json_object_set_new(row, "end_ms",
		    json_integer(
			json_integer_value(json_object_get(row, "oldest_ms")) +
			expire_ms));
	}
	json_object_set_new(reply, "some", json_boolean(i > 0));
	return reply;
}

/* --- the pages -------------------------------------------------------------------- */

static const char *const filters[] = { "sender", "recipient", "destination",
	"state" };

/* Of the query, for the runner and for links. */
static json_t *
read_filter(struct web_request *r, json_t *page)
{
	json_t *ask = json_object(), *shown = json_object();
	const char *path = "";

	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		const char *text = web_query(r, filters[i]);

		if (text == NULL || text[0] == '\0')
			continue;
		json_object_set_new(ask, filters[i], json_string(text));
		json_object_set_new(shown, filters[i], json_string(text));
		struct buf b;
		buf_init(&b, 4096);
		web_escape_url(slice_str(text), &b);
		path = pool_printf(&r->pool, "%s&%s=%.*s", path, filters[i],
		    (int)b.len, b.data);
		buf_release(&b);
	}
	json_object_set_new(page, "filter", shown);
	json_object_set_new(page, "filter_query", json_string(path));
	return ask;
}

/* The links that show one state alone. */
static json_t *
state_links(struct web_request *r)
{
	static const char *const states[] = { "active", "deferred", "held" };
	const char *chosen = web_query_text(r, "state");
	json_t *links = json_array();

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		json_array_append_new(links,
		    json_pack("{s:s,s:s,s:b}", "state", states[i], "text",
			ops_words(r, "queue.only", states[i]), "chosen",
			strcmp(chosen, states[i]) == 0));
	return links;
}

static void
put_state(struct web_request *r, json_t *page)
{
	struct settings *s = directory_settings(admin_of(r)->directory);
	int suspended = settings_choice(s, SET_QUEUE_SUSPENDED);

	json_object_set_new(page, "states", state_links(r));
	json_object_set_new(page, "suspended", json_boolean(suspended != 0));
	json_object_set_new(page, "expire_days",
	    json_integer(settings_int(s, SET_QUEUE_EXPIRE) / 86400));
	settings_free(s);
}

void
queue_page(struct web_request *r, struct web_response *w)
{
	json_t *page = json_object(), *ask = read_filter(r, page), *reply, *m;
	const char *after = web_query(r, "after");
	bool is_part =
	    after != NULL || json_object_size(json_object_get(page, "filter"));
	size_t i;

	json_object_set_new(ask, "verb", json_string("list"));
	json_object_set_new(ask, "limit", json_integer(ROWS));
	if (after != NULL && id_is_valid(slice_str(after)))
		json_object_set_new(ask, "after", json_string(after));
	if (runner_need(r, w, ask, &reply) != 0) {
		json_decref(page);
		return;
	}
	/* counting goes through all messages: only where it is shown */
	if (!is_part) {
		json_t *all = groups(r, w);

		if (all == NULL) {
			json_decref(reply);
			json_decref(page);
			return;
		}
		json_object_set_new(page, "totals", all);
	}
	json_array_foreach(json_object_get(reply, "messages"), i, m)
		shape_message(r, m);
	json_object_set(page, "rows", json_object_get(reply, "messages"));
	json_object_set_new(page, "rows_shown",
	    json_boolean(
		json_array_size(json_object_get(reply, "messages")) > 0));
	json_object_set(page, "next", json_object_get(reply, "next"));
	json_decref(reply);
	put_state(r, page);
	admin_page(r, w, "queue", "queue", page);
}

void
queue_message_page(struct web_request *r, struct web_response *w)
{
	json_t *reply, *story, *page;
	char dir[320];
	struct err e;

	if (runner_need(r, w,
		json_pack("{s:s,s:s}", "verb", "show", "id", r->args[0]),
		&reply) != 0)
		return;
	shape_message(r, json_object_get(reply, "message"));
	page = json_pack("{s:O}", "m", json_object_get(reply, "message"));
	json_decref(reply);
	(void)snprintf(dir, sizeof(dir), "%s/log", admin_of(r)->state_dir);
	story = trace_story(dir, r->args[0], &e);
	if (story != NULL) {
		json_t *event, *tries = json_array();
		size_t i;

		json_array_foreach(json_object_get(story, "events"), i, event) {
			const char *name = json_text(event, "event");
			if (strcmp(name, "attempt") != 0 &&
			    strcmp(name, "defer") != 0 &&
			    strcmp(name, "sent") != 0)
				continue;
			ops_put_time(event, "at", json_text(event, "time"));
			json_object_set_new(event, "words",
			    json_string(ops_event_words(r, event)));
			json_array_append(tries, event);
		}
		json_object_set_new(page, "tries", tries);
		json_object_set(
		    page, "message_id", json_object_get(story, "message_id"));
		json_decref(story);
	}
	admin_page(r, w, "queue_message", "queue", page);
}

/* --- acting ----------------------------------------------------------------------- */

static void
set_suspended(struct web_request *r, struct web_response *w, const char *value)
{
	json_t *reply;

	json_t *ask = json_pack("{s:s,s:s,s:s}", "verb", "setting set", "name",
	    "queue.suspended", "value", value);
	if (admin_need(r, w, ask, &reply) != 0)
		return;
	json_decref(reply);
	web_redirect(w, "/queue?flash=saved");
}

static bool
is_act(const char *verb)
{
	static const char *const acts[] = { "retry", "hold", "release",
		"bounce", "delete" };

	for (size_t i = 0; verb != NULL && i < ARRAY_LEN(acts); i++) {
		if (strcmp(acts[i], verb) == 0)
			return true;
	}
	return false;
}

/* The chosen messages, or all of one destination. */
void
queue_post(struct web_request *r, struct web_response *w)
{
	const char *verb = web_form(r, "do"), *id;
	const char *destination = web_form(r, "destination");
	json_t *ids = json_array(), *ask, *reply;

	if (verb != NULL && strcmp(verb, "suspend") == 0) {
		json_decref(ids);
		set_suspended(r, w, "remote");
		return;
	}
	if (verb != NULL && strcmp(verb, "resume") == 0) {
		json_decref(ids);
		set_suspended(r, w, "no");
		return;
	}
	if (!is_act(verb)) {
		json_decref(ids);
		web_error(w, 400, page_text(r, "error.form"));
		return;
	}
	for (size_t i = 0; (id = web_form_next(r, "id", &i)) != NULL;)
		json_array_append_new(ids, json_string(id));
	ask = json_pack("{s:s}", "verb", verb);
	if (destination != NULL)
		json_object_set_new(
		    ask, "destination", json_string(destination));
	else
		json_object_set(ask, "ids", ids);
	json_decref(ids);
	if (runner_need(r, w, ask, &reply) != 0)
		return;
	bool all = json_array_size(json_object_get(reply, "failed")) == 0;
	json_decref(reply);
	web_redirect(w,
	    all ? pool_printf(&r->pool, "/queue?flash=queue_%s", verb)
		: "/queue?flash=queue_some");
}
