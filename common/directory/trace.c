/*
 * A message's story out of the event logs; see trace.h.
 */
#include "directory/trace.h"

#include <string.h>

#include "base/clock.h"
#include "base/logread.h"

enum {
	EVENTS_MAX = 5000,
	DAY_MS = 86400000,
	SESSION_BEFORE_MS = 3600000,
	FIELD_SIZE = 1200,
};

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

json_t *
trace_story(const char *log_dir, const char *id, struct err *e)
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

int
trace_find(const char *log_dir, const char *what, int64_t from_ms,
    int64_t to_ms, char ids[TRACE_IDS_MAX][ID_SIZE], size_t *count_out,
    struct err *e)
{
	struct log_events events;
	char id[ID_SIZE + 8];
	size_t count = 0;

	struct log_query query = { from_ms, to_ms, &what, 1, EVENTS_MAX };

	if (log_search(log_dir, &query, &events, e) != 0)
		return -1;
	for (size_t i = 0; i < events.count && count < TRACE_IDS_MAX; i++) {
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
		    "no trace of %s in the logs of that time", what);
	return 0;
}
