/*
 * Message trace and logs.  A domain administrator sees what touches own
 * domains: addresses of others are not shown, nor is the log itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/logread.h"
#include "base/logtail.h"
#include "directory/trace.h"

#include "admin-cgi/ops.h"

enum {
	TRACE_ROWS = 25,
	LOG_ROWS = 200,
	DAYS_SHOWN = 31,
};

static const int64_t trace_ms = INT64_C(30) * 86400 * 1000;

static const char *const programs[] = { "mtad", "queue-runner", "popd",
	"accountd", "webmail-cgi", "admin-cgi", "mailstead-parse" };

static const char *
log_dir(struct web_request *r)
{
	return pool_printf(&r->pool, "%s/log", admin_of(r)->state_dir);
}

/* --- whose domains ---------------------------------------------------------------- */

/* Names of the domains somebody administers; NULL: all. */
static int
own_domains(struct web_request *r, struct web_response *w, json_t **out)
{
	json_t *reply;

	*out = NULL;
	if ((admin_roles(r) & ROLE_SERVER) != 0)
		return 0;
	if (admin_need(
		r, w, json_pack("{s:s}", "verb", "domain list"), &reply) != 0)
		return -1;
	*out = json_incref(json_object_get(reply, "items"));
	json_decref(reply);
	return 0;
}

static bool
is_own_address(const json_t *domains, const char *address)
{
	const char *at = address != NULL ? strrchr(address, '@') : NULL;
	json_t *d;
	size_t i;

	json_array_foreach(domains, i, d) {
		const char *name =
		    json_string_value(json_object_get(d, "name"));
		if (at != NULL && name != NULL && strcasecmp(at + 1, name) == 0)
			return true;
	}
	return false;
}

static const char *const addresses[] = { "from", "to", "account", "user",
	"sender", "recipient" };

/* Does an event touch own domains?  One without addresses says nothing. */
static int
touches(const json_t *event, const json_t *domains)
{
	bool has = false;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		const char *a =
		    json_string_value(json_object_get(event, addresses[i]));
		if (a == NULL)
			continue;
		has = true;
		if (is_own_address(domains, a))
			return 1;
	}
	return has ? -1 : 0;
}

/* Only what may be seen; NULL: nothing of the story. */
static json_t *
seen_by(json_t *story, const json_t *domains)
{
	json_t *events = json_object_get(story, "events");
	bool any = domains == NULL;

	for (size_t i = json_array_size(events); domains != NULL && i-- > 0;) {
		json_t *event = json_array_get(events, i);
		int t = touches(event, domains);

		any |= t > 0;
		json_object_del(event, "subject");
		if (t < 0)
			json_array_remove(events, i);
	}
	if (any)
		return story;
	json_decref(story);
	return NULL;
}

/* --- trace ------------------------------------------------------------------------ */

const char *
ops_words(struct web_request *r, const char *kind, const char *name)
{
	const char *key = pool_printf(&r->pool, "%s.%s", kind, name);
	const char *words = page_text(r, key);

	return strcmp(words, key) != 0 ? words : key + strlen(kind) + 1;
}

const char *
ops_event_words(struct web_request *r, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));

	return ops_words(r, "event", name != NULL ? name : "");
}

/* What people see of an event: time, program, words, and its pairs. */
static void
shape_event(struct web_request *r, json_t *event)
{
	static const char *const own[] = { "time", "program", "event",
		"message", "session", "at", "pairs", "words" };
	json_t *pairs = json_array(), *value;
	const char *key;

	ops_put_time(
	    event, "at", json_string_value(json_object_get(event, "time")));
	json_object_foreach(event, key, value) {
		bool is_own = false;

		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			is_own |= strcmp(key, own[i]) == 0;
		if (!is_own)
			json_array_append_new(pairs,
			    json_pack("{s:s,s:s,s:O}", "key", key, "name",
				ops_words(r, "key", key), "value", value));
	}
	json_object_set_new(event, "program_words",
	    json_string(ops_words(r, "program", json_text(event, "program"))));
	json_object_set_new(event, "pairs", pairs);
	json_object_set_new(
	    event, "words", json_string(ops_event_words(r, event)));
}

static json_t *
trace_row(struct web_request *r, json_t *story)
{
	json_t *events = json_object_get(story, "events"), *event, *row;
	const char *from = NULL, *to = NULL;
	size_t i;

	row = json_pack("{s:O,s:O}", "id", json_object_get(story, "id"),
	    "message_id", json_object_get(story, "message_id"));
	json_array_foreach(events, i, event) {
		const char *f =
		    json_string_value(json_object_get(event, "from"));
		const char *t = json_string_value(json_object_get(event, "to"));
		from = from != NULL ? from : f;
		to = to != NULL ? to : t;
		json_object_set_new(
		    row, "words", json_string(ops_event_words(r, event)));
		ops_put_time(row, "at",
		    json_string_value(json_object_get(event, "time")));
	}
	if (from != NULL)
		json_object_set_new(row, "from", json_string(from));
	if (to != NULL)
		json_object_set_new(row, "to", json_string(to));
	return row;
}

void
trace_page(struct web_request *r, struct web_response *w)
{
	const char *what = web_query(r, "q");
	char ids[TRACE_IDS_MAX][ID_SIZE];
	json_t *page = json_object(), *rows = json_array(), *domains;
	int64_t now = clock_wall_ms();
	size_t count = 0;
	struct err e;

	if (own_domains(r, w, &domains) != 0) {
		json_decref(page);
		json_decref(rows);
		return;
	}
	if (what != NULL && what[0] != '\0') {
		size_t len = strlen(what);

		json_object_set_new(page, "q", json_string(what));
		if (len > 2 && what[0] == '<' && what[len - 1] == '>')
			what = pool_strndup(&r->pool, what + 1, len - 2);
		if (id_is_valid(slice_str(what))) {
			memcpy(ids[0], what, ID_SIZE);
			count = 1;
		} else if (trace_find(log_dir(r), what, now - trace_ms, now,
			       ids, &count, &e) != 0) {
			count = 0;
		}
		json_object_set_new(page, "searched", json_true());
	}
	/* the newest first */
	for (size_t i = count; i-- > 0 && json_array_size(rows) < TRACE_ROWS;) {
		json_t *story = trace_story(log_dir(r), ids[i], &e);

		if (story != NULL &&
		    (story = seen_by(story, domains)) != NULL) {
			json_array_append_new(rows, trace_row(r, story));
			json_decref(story);
		}
	}
	json_decref(domains);
	json_object_set_new(page, "rows", rows);
	admin_page(r, w, "trace", "trace", page);
}

void
trace_message_page(struct web_request *r, struct web_response *w)
{
	json_t *story = NULL, *domains, *event;
	struct err e;
	size_t i;

	if (own_domains(r, w, &domains) != 0)
		return;
	if (id_is_valid(slice_str(r->args[0])))
		story = trace_story(log_dir(r), r->args[0], &e);
	if (story != NULL)
		story = seen_by(story, domains);
	json_decref(domains);
	if (story == NULL) {
		web_error(w, 404, page_text(r, "trace.none"));
		return;
	}
	json_array_foreach(json_object_get(story, "events"), i, event)
		shape_event(r, event);
	admin_page(
	    r, w, "trace_message", "trace", json_pack("{s:o}", "m", story));
}

/* --- the log ---------------------------------------------------------------------- */

/* A line that is not one of ours is shown as damaged, not left out. */
static json_t *
line_row(struct slice line)
{
	char name[64], *text = mem_zalloc(line.len + 1);
	json_t *row = json_object();
	int64_t ms;

	memcpy(text, line.data, line.len);
	if (line.len > 24 &&
	    clock_parse_rfc3339(slice_of(line.data, 24), &ms) &&
	    log_field(text, "event", name, sizeof(name))) {
		json_object_set_new(row, "at", json_integer(ms));
		json_object_set_new(row, "event", json_string(name));
		json_object_set_new(
		    row, "text", json_string(line.len > 25 ? text + 25 : ""));
	} else {
		for (size_t i = 0; i < line.len; i++) {
			unsigned char c = (unsigned char)line.data[i];
			text[i] = c < 0x20 || c > 0x7e ? '?' : (char)c;
		}
		json_object_set_new(row, "damaged", json_true());
		json_object_set_new(row, "text", json_string(text));
	}
	free(text);
	return row;
}

static void
add_row(void *rows, struct slice line)
{
	json_array_append_new(rows, line_row(line));
}

static const char *
chosen_program(struct web_request *r)
{
	const char *name = web_query(r, "service");

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(programs); i++) {
		if (strcmp(programs[i], name) == 0)
			return programs[i];
	}
	return programs[0];
}

/* YYYY-MM-DD of the query; today's for anything else. */
static const char *
chosen_day(struct web_request *r, const char *today)
{
	const char *day = web_query(r, "day");

	return day != NULL && logtail_is_day(day) ? day : today;
}

static json_t *
days_list(const char *chosen)
{
	json_t *days = json_array();
	char when[CLOCK_RFC3339_SIZE];

	for (int i = 0; i < DAYS_SHOWN; i++) {
		clock_rfc3339(clock_wall_ms() - (int64_t)i * 86400000, when);
		when[10] = '\0';
		json_array_append_new(days,
		    json_pack("{s:s,s:b}", "day", when, "chosen",
			strcmp(when, chosen) == 0));
	}
	return days;
}

void
log_page(struct web_request *r, struct web_response *w)
{
	const char *q = web_query(r, "q"), *cursor = web_query(r, "cursor");
	const char *program = chosen_program(r), *day;
	json_t *page, *rows = json_array(), *list = json_array();
	char today[CLOCK_RFC3339_SIZE];
	struct logtail tail = { .max = LOG_ROWS, .line = add_row, .arg = rows };
	int64_t next = 0, size = 0;
	int fd;

	clock_rfc3339(clock_wall_ms(), today);
	today[10] = '\0';
	day = chosen_day(r, today);
	tail.needle = q != NULL && q[0] != '\0' ? q : NULL;
	fd = logtail_open(log_dir(r), program, day, &size);
	if (fd >= 0) {
		int64_t end = cursor != NULL ? strtoll(cursor, NULL, 10) : 0;

		next =
		    logtail_read(fd, end > 0 && end < size ? end : size, &tail);
	}
	if (fd >= 0)
		(void)close(fd);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		json_array_append_new(list,
		    json_pack("{s:s,s:b}", "name", programs[i], "chosen",
			programs[i] == program));
	page = json_pack("{s:o,s:o,s:s,s:s,s:o,s:b}", "rows", rows, "programs",
	    list, "program", program, "day", day, "days", days_list(day),
	    "live",
	    cursor == NULL && strcmp(day, today) == 0 &&
		web_query(r, "live") != NULL);
	if (q != NULL)
		json_object_set_new(page, "q", json_string(q));
	if (next > 0)
		json_object_set_new(page, "older", json_integer(next));
	admin_page(r, w, "log", "log", page);
}
