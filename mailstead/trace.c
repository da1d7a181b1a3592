/*
 * `mailstead trace`: a message's whole story from the event logs.
 *
 * An address or a Message-ID is looked for in the last days (--days, default
 * 2) or in one hour; each message's story is then told in full (directory/trace.h).
 */
#include "mailstead/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "directory/trace.h"

enum {
	DAYS_DEFAULT = 2,
	HOUR_MS = 3600 * 1000,
};

static int
log_path(struct cli *c, char *out, size_t size, struct err *e)
{
	return config_path(&c->config, out, size, e, "log");
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
			if (json_is_integer(value))
				printf(" %s=%" JSON_INTEGER_FORMAT, key,
				    json_integer_value(value));
			else if (strcmp(key, "time") != 0 &&
			    strcmp(key, "program") != 0 &&
			    strcmp(key, "event") != 0 &&
			    strcmp(key, "message") != 0)
				printf(" %s=%s", key, json_string_value(value));
		}
		putchar('\n');
	}
}

static int
tell(struct cli *c, const char *log_dir, char ids[TRACE_IDS_MAX][ID_SIZE],
    size_t count, bool one)
{
	json_t *all = json_array();
	struct err e;

	for (size_t i = 0; i < count; i++) {
		json_t *o = trace_story(log_dir, ids[i], &e);
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

/* --hour 2026-01-31T14 (UTC), or --days N until now. */
static int
read_time(struct cli *c, int64_t *from_out, int64_t *to_out)
{
	const char *days_text = cli_option(c, "--days");
	const char *hour = cli_option(c, "--hour");
	uint64_t days = DAYS_DEFAULT;
	char text[CLOCK_RFC3339_SIZE];

	if (days_text != NULL && !num_parse(slice_str(days_text), 400, &days))
		return cli_usage("--days %s is not a number", days_text);
	*to_out = clock_wall_ms();
	*from_out = *to_out - (int64_t)days * 24 * HOUR_MS;
	if (hour == NULL)
		return CLI_DONE;
	(void)snprintf(text, sizeof(text), "%s:00:00Z", hour);
	if (!clock_parse_rfc3339(slice_str(text), from_out))
		return cli_usage("--hour %s is not like 2026-01-31T14", hour);
	*to_out = *from_out + HOUR_MS;
	return CLI_DONE;
}

int
command_trace(struct cli *c)
{
	int64_t from = 0, to = 0;
	int rc = read_time(c, &from, &to);
	char *what = cli_argument(c);
	char log_dir[CONFIG_PATH_SIZE * 2];
	char ids[TRACE_IDS_MAX][ID_SIZE];
	size_t count = 1;
	struct err e;

	if (rc != CLI_DONE)
		return rc;
	if (!cli_complete(c, what != NULL,
		"trace ID|ADDRESS|MESSAGE-ID [--days N|--hour H]"))
		return CLI_USAGE;
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
	else if (trace_find(log_dir, what, from, to, ids, &count, &e) != 0)
		return cli_fail(&e);
	return tell(c, log_dir, ids, count, one);
}
