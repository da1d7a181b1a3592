/*
 * A message's story out of the event logs; see trace.h.
 */
#include "directory/trace.h"

#include <string.h>

#include "base/clock.h"
#include "base/logread.h"
#include "base/num.h"

enum {
	EVENTS_MAX = 5000,
	BEFORE_MS = 3600000,       /* the clock may have been set back */
	ACCEPTING_MS = 10 * 60000, /* most messages come in within this */
	FIELD_SIZE = 1200,
};

/* Keys of JSON are in snake_case, those of the log may have a hyphen. */
static void
to_snake_case(char *key)
{
	for (; *key != '\0'; key++) {
		if (*key == '-')
			*key = '_';
	}
}

/* Those whose values are numbers and nothing else (mailstead-log.5). */
static bool
is_count(const char *key)
{
	static const char *const counts[] = { "attempt", "bytes_in",
		"bytes_out", "delay_ms", "deleted", "expired", "failures",
		"messages", "recipients", "retrieved", "retrieved_bytes",
		"seconds", "size" };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (strcmp(key, counts[i]) == 0)
			return true;
	return false;
}

json_t *
trace_event(const char *program, const char *line)
{
	char key[64];
	char value[FIELD_SIZE];
	size_t at = 0;
	json_t *o = json_object();

	while (
	    log_next_pair(line, &at, key, sizeof(key), value, sizeof(value))) {
		uint64_t n;

		to_snake_case(key);
		if (is_count(key) && num_parse(slice_str(value), INT64_MAX, &n))
			json_object_set_new(
			    o, key, json_integer((json_int_t)n));
		else if (strcmp(value, "-") != 0)
			json_object_set_new(o, key, json_string(value));
		if (strcmp(key, "time") == 0)
			json_object_set_new(o, "program", json_string(program));
	}
	return o;
}

/* The accept line of the message, or NULL. */
static const struct log_event *
find_accept(const struct log_events *events)
{
	char name[32];
	for (size_t i = 0; i < events->count; i++) {
		if (log_field(
			events->items[i].line, "event", name, sizeof(name)) &&
		    strcmp(name, "accept") == 0)
			return &events->items[i];
	}
	return NULL;
}

/*
 * All lines about the message.  The SMTP server, which writes most, tells of it
 * only while it comes in; unless that took long, so much is not read.
 */
static int
find_events(
    const char *log_dir, const char *id, struct log_events *out, struct err *e)
{
	int64_t born = id_wall_ms(id);
	struct log_query query = { .from_ms = born - BEFORE_MS,
		.to_ms = clock_wall_ms(),
		.needles = &id,
		.needle_count = 1,
		.max = EVENTS_MAX,
		.early = "mtad",
		.early_to_ms = born + ACCEPTING_MS };

	if (log_search(log_dir, &query, out, e) != 0)
		return -1;
	if (find_accept(out) != NULL)
		return 0;
	log_events_release(out);
	query.early = NULL;
	return log_search(log_dir, &query, out, e);
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

/* What the session said before, by which the message came in. */
static void
add_session(const char *log_dir, const char *id,
    const struct log_events *events, json_t *list)
{
	const struct log_event *accept = find_accept(events);
	char session[64];
	const char *needle = session;
	struct log_query query = {
		.needles = &needle, .needle_count = 1, .max = EVENTS_MAX
	};
	struct log_events found;
	struct err e;

	if (accept == NULL ||
	    !log_field(accept->line, "session", session, sizeof(session)) ||
	    strcmp(session, "-") == 0)
		return;
	query.to_ms = events->items[0].wall_ms;
	query.from_ms = query.to_ms - BEFORE_MS;
	if (log_search(log_dir, &query, &found, &e) != 0)
		return;
	for (size_t i = 0; i < found.count; i++) {
		const char *line = found.items[i].line;
		if (is_session_line(line, session, id) &&
		    strstr(line, id) == NULL)
			json_array_append_new(list,
			    trace_event(
				found.items[i].program, found.items[i].line));
	}
	log_events_release(&found);
}

json_t *
trace_story(const char *log_dir, const char *id, struct err *e)
{
	struct log_events events;
	char value[FIELD_SIZE];

	if (find_events(log_dir, id, &events, e) != 0)
		return NULL;
	if (events.count == 0) {
		log_events_release(&events);
		err_set(e, ERR_PERM, "no trace of %s in the logs", id);
		return NULL;
	}
	json_t *list = json_array();
	json_t *o =
	    json_pack("{s:s,s:n,s:o}", "id", id, "message_id", "events", list);
	add_session(log_dir, id, &events, list);
	for (size_t i = 0; i < events.count; i++) {
		const char *line = events.items[i].line;
		json_array_append_new(list,
		    trace_event(events.items[i].program, events.items[i].line));
		if (log_field(line, "message-id", value, sizeof(value)))
			json_object_set_new(
			    o, "message_id", json_string(value));
	}
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

	struct log_query query = { .from_ms = from_ms,
		.to_ms = to_ms,
		.needles = &what,
		.needle_count = 1,
		.max = EVENTS_MAX };

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
