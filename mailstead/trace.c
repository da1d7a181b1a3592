/*
 * `mailstead trace`: a message's whole story from the event logs.
 *
 * An id carries its own time, so the search starts there.  An address or a
 * Message-ID is looked for in the last days (--days, default 2) to find ids;
 * each id's story is then told in full.  A session's lines (connect, auth)
 * belong to every message that came in by it.
 */
#include "mailstead/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/logread.h"
#include "base/num.h"

enum {
	EVENTS_MAX = 5000,
	IDS_MAX = 100,
	DAY_MS = 86400000,
	DAYS_DEFAULT = 2,
	SESSION_BEFORE_MS = 3600000,
	FIELD_SIZE = 1200,
};

static int
log_path(struct cli *c, char *out, size_t size, struct err *e)
{
	return config_path(&c->config, out, size, e, "log");
}

static json_t *
event_json(const struct log_event *event)
{
	char key[64];
	char value[FIELD_SIZE];
	size_t at = 0;
	json_t *o = json_object();

	while (log_next_pair(
	    event->line, &at, key, sizeof(key), value, sizeof(value))) {
		json_t *text =
		    strcmp(value, "-") != 0 ? json_string(value) : NULL;
		if (text != NULL)
			json_object_set_new(o, key, text);
		if (strcmp(key, "time") == 0)
			json_object_set_new(
			    o, "program", json_string(event->program));
	}
	return o;
}

/* The session by which a message came in, from its accept line. */
static bool
find_session(const struct log_events *events, char *out, size_t size)
{
	char name[32];
	for (size_t i = 0; i < events->count; i++) {
		const char *line = events->items[i].line;
		if (log_field(line, "event", name, sizeof(name)) &&
		    strcmp(name, "accept") == 0 &&
		    log_field(line, "session", out, size) &&
		    strcmp(out, "-") != 0)
			return true;
	}
	return false;
}

static bool
is_session_line(const char *line, const char *session, const char *id)
{
	char value[FIELD_SIZE];
	if (!log_field(line, "session", value, sizeof(value)) ||
	    strcmp(value, session) != 0)
		return false;
	return log_field(line, "message", value, sizeof(value)) &&
	    (strcmp(value, "-") == 0 || strcmp(value, id) == 0);
}

/* {id, message_id, events[]}; NULL when the logs know nothing of the id. */
static json_t *
story(const char *log_dir, const char *id, struct err *e)
{
	struct log_events events;
	struct log_events session_events = { 0 };
	char session[64];
	char value[FIELD_SIZE];
	int64_t born = id_wall_ms(id);
	int64_t now = clock_wall_ms();
	const char *needle = id;

	struct log_query query = { born - DAY_MS / 24, now, &needle, 1,
		EVENTS_MAX };

	if (log_search(log_dir, &query, &events, e) != 0)
		return NULL;
	if (events.count == 0) {
		log_events_release(&events);
		err_set(e, ERR_PERM, "no trace of %s in the logs", id);
		return NULL;
	}
	json_t *list = json_array();
	json_t *o =
	    json_pack("{s:s,s:n,s:o}", "id", id, "message_id", "events", list);
	needle = session;
	query.from_ms = born - SESSION_BEFORE_MS;
	query.to_ms = born + DAY_MS / 24;
	if (find_session(&events, session, sizeof(session)) &&
	    log_search(log_dir, &query, &session_events, e) == 0) {
		for (size_t i = 0; i < session_events.count; i++) {
			const char *line = session_events.items[i].line;
			if (is_session_line(line, session, id) &&
			    strstr(line, id) == NULL &&
			    session_events.items[i].wall_ms <=
				events.items[0].wall_ms)
				json_array_append_new(
				    list, event_json(&session_events.items[i]));
		}
	}
	for (size_t i = 0; i < events.count; i++) {
		const char *line = events.items[i].line;
		json_array_append_new(list, event_json(&events.items[i]));
		if (log_field(line, "message-id", value, sizeof(value)))
			json_object_set_new(
			    o, "message_id", json_string(value));
	}
	log_events_release(&session_events);
	log_events_release(&events);
	return o;
}

/* Ids of messages whose lines mention `what`, oldest first, each once. */
static int
find_ids(const char *log_dir, const char *what, uint64_t days,
    char ids[IDS_MAX][ID_SIZE], size_t *count_out, struct err *e)
{
	struct log_events events;
	char id[ID_SIZE + 8];
	int64_t now = clock_wall_ms();
	size_t count = 0;

	struct log_query query = { now - (int64_t)days * DAY_MS, now, &what, 1,
		EVENTS_MAX };

	if (log_search(log_dir, &query, &events, e) != 0)
		return -1;
	for (size_t i = 0; i < events.count && count < IDS_MAX; i++) {
		bool known = false;
		if (!log_field(
			events.items[i].line, "message", id, sizeof(id)) ||
		    !id_is_valid(slice_str(id)))
			continue;
		for (size_t k = 0; k < count && !known; k++)
			known = strcmp(ids[k], id) == 0;
		if (!known)
			memcpy(ids[count++], id, ID_SIZE);
	}
	log_events_release(&events);
	*count_out = count;
	if (count == 0)
		return err_set(e, ERR_PERM,
		    "no trace of %s in the last %llu "
		    "days",
		    what, (unsigned long long)days);
	return 0;
}

static void
print_story(const json_t *o)
{
	const json_t *events = json_object_get(o, "events");
	printf("%s\n", json_string_value(json_object_get(o, "id")));
	for (size_t i = 0; i < json_array_size(events); i++) {
		json_t *event = json_array_get(events, i);
		const char *key;
		json_t *value;
		printf("  %s  %-12s %-8s",
		    json_string_value(json_object_get(event, "time")),
		    json_string_value(json_object_get(event, "program")),
		    json_string_value(json_object_get(event, "event")));
		json_object_foreach(event, key, value) {
			if (strcmp(key, "time") != 0 &&
			    strcmp(key, "program") != 0 &&
			    strcmp(key, "event") != 0 &&
			    strcmp(key, "message") != 0)
				printf(" %s=%s", key, json_string_value(value));
		}
		putchar('\n');
	}
}

static int
tell(struct cli *c, const char *log_dir, char ids[IDS_MAX][ID_SIZE],
    size_t count, bool one)
{
	json_t *all = json_array();
	struct err e;

	for (size_t i = 0; i < count; i++) {
		json_t *o = story(log_dir, ids[i], &e);
		if (o == NULL) {
			json_decref(all);
			return cli_fail(&e);
		}
		if (!c->json)
			print_story(o);
		json_array_append_new(all, o);
	}
	if (c->json)
		cli_print_json(one ? json_array_get(all, 0) : all);
	json_decref(all);
	return CLI_DONE;
}

int
command_trace(struct cli *c)
{
	const char *days_text = cli_option(c, "--days");
	char *what = cli_argument(c);
	char log_dir[CONFIG_PATH_SIZE * 2];
	char ids[IDS_MAX][ID_SIZE];
	uint64_t days = DAYS_DEFAULT;
	size_t count = 1;
	struct err e;

	if (what == NULL)
		return cli_usage("trace ID|ADDRESS|MESSAGE-ID [--days N]");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (days_text != NULL && !num_parse(slice_str(days_text), 400, &days))
		return cli_usage("--days %s is not a number", days_text);
	if (log_path(c, log_dir, sizeof(log_dir), &e) != 0)
		return cli_fail(&e);
	/* the log has Message-IDs without their brackets */
	size_t len = strlen(what);
	if (len > 2 && what[0] == '<' && what[len - 1] == '>') {
		what[len - 1] = '\0';
		what++;
	}
	bool one = id_is_valid(slice_str(what));
	if (one)
		memcpy(ids[0], what, ID_SIZE);
	else if (find_ids(log_dir, what, days, ids, &count, &e) != 0)
		return cli_fail(&e);
	return tell(c, log_dir, ids, count, one);
}
