/*
 * `mailstead queue`: the verbs of the runner's control socket (queue/control.h)
 * with their selections, suspending (a setting), and checking a spool.
 */
#include "mailstead/queue.h"

#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "queue/spool_runner.h"

#include "mailstead/ask.h"

enum {
	ACT_PAGE = 1000 /* messages of one line in the audit log */
};

static const char *const columns[] = { "id", "state", "size", "accepted_at",
	"next_try_at", "attempts", "sender", "recipients", NULL };

/* --- selections ------------------------------------------------------------------- */

/* IDs, --sender and so on or --all into a request. */
static int
take_selection(struct cli *c, json_t *request, bool needed)
{
	static const char *const options[] = { "--sender", "--recipient",
		"--destination", "--state" };
	json_t *ids = json_array();
	bool any = false;
	char *id;

	/* only a list may be of one state */
	for (size_t i = 0; i < ARRAY_LEN(options) - needed; i++) {
		const char *value = cli_option(c, options[i]);

		if (value == NULL)
			continue;
		json_object_set_new(
		    request, options[i] + 2, json_string(value));
		any = true;
	}
	if (cli_flag(c, "--all")) {
		json_object_set_new(request, "all", json_true());
		any = true;
	}
	while ((id = cli_argument(c)) != NULL)
		json_array_append_new(ids, json_string(id));
	if (json_array_size(ids) > 0) {
		json_object_set(request, "ids", ids);
		any = true;
	}
	json_decref(ids);
	if (needed && !any)
		return cli_usage("which messages? ID..., --sender A, "
				 "--recipient A, --destination D or --all");
	return cli_end(c);
}

/* Milliseconds of the runner's as RFC 3339, under another key. */
static void
put_time(json_t *o, const char *ms_key, const char *key)
{
	json_int_t ms = json_integer_value(json_object_get(o, ms_key));
	char when[CLOCK_RFC3339_SIZE];

	(void)json_object_del(o, ms_key);
	if (ms <= 0)
		return;
	clock_rfc3339(ms, when);
	json_object_set_new(o, key, json_string(when));
}

/* --- list and show ----------------------------------------------------------------- */

static int
list_messages(struct cli *c)
{
	json_t *request = json_pack("{s:s}", "verb", "list");
	json_t *all = json_array();
	json_t *reply;
	struct err e;
	int rc = take_selection(c, request, false);

	for (bool more = rc == CLI_DONE; more;) {
		if (ask_runner(c, json_incref(request), &reply, &e) != 0) {
			rc = cli_fail(&e);
			break;
		}
		json_array_extend(all, json_object_get(reply, "messages"));
		json_t *next = json_object_get(reply, "next");
		more = json_is_string(next);
		if (more)
			json_object_set(request, "after", next);
		json_decref(reply);
	}
	if (rc == CLI_DONE)
		cli_print(c, all, columns);
	json_decref(all);
	json_decref(request);
	return rc;
}

/* For which domains how many wait, and what their servers last said. */
static int
list_groups(struct cli *c)
{
	static const char *const of_a_group[] = { "destination", "count",
		"oldest_at", "next_try_at", "reply", NULL };
	json_t *reply = NULL, *group;
	struct err e;
	size_t i;
	int rc = cli_end(c);

	if (rc == CLI_DONE &&
	    ask_runner(c, json_pack("{s:s}", "verb", "groups"), &reply, &e) !=
		0)
		rc = cli_fail(&e);
	json_array_foreach(json_object_get(reply, "groups"), i, group) {
		put_time(group, "next_ms", "next_try_at");
		put_time(group, "oldest_ms", "oldest_at");
	}
	(void)json_object_del(reply, "ok");
	put_time(reply, "at_ms", "at");
	if (rc == CLI_DONE && c->json)
		cli_print_json(reply);
	else if (rc == CLI_DONE)
		cli_print_table(json_object_get(reply, "groups"), of_a_group);
	json_decref(reply);
	return rc;
}

static void
print_message(const json_t *m)
{
	static const char *const parts[] = { "address", "state", "reply",
		NULL };
	static const char *const facts[] = { "id", "state", "sender",
		"accepted_at", "next_try_at" };

	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		const char *text =
		    json_string_value(json_object_get(m, facts[i]));
		printf("%-12s %s\n", facts[i], text ? text : "-");
	}
	if (json_is_string(json_object_get(m, "hold_reason")))
		printf("%-12s %s\n", "held because",
		    json_string_value(json_object_get(m, "hold_reason")));
	printf("%-12s %" JSON_INTEGER_FORMAT "\n", "size",
	    json_integer_value(json_object_get(m, "size")));
	printf("%-12s %" JSON_INTEGER_FORMAT "\n\n", "attempts",
	    json_integer_value(json_object_get(m, "attempts")));
	cli_print_table(json_object_get(m, "recipients"), parts);
}

static int
show_messages(struct cli *c)
{
	char *id = cli_argument(c);
	json_t *reply;
	struct err e;

	if (!cli_complete(c, id != NULL, "queue show ID"))
		return CLI_USAGE;
	if (ask_runner(c, json_pack("{s:s,s:s}", "verb", "show", "id", id),
		&reply, &e) != 0)
		return cli_fail(&e);
	const json_t *message = json_object_get(reply, "message");
	if (c->json)
		cli_print_json(message);
	else
		print_message(message);
	json_decref(reply);
	return CLI_DONE;
}

/* --- the five verbs --------------------------------------------------------------- */

static int
report_outcome(struct cli *c, const json_t *reply, const char *verb)
{
	const json_t *failed = json_object_get(reply, "failed");
	json_int_t done = json_integer_value(json_object_get(reply, "done"));
	int rc = CLI_DONE;
	const json_t *one;
	size_t i;

	json_array_foreach(failed, i, one) {
		const char *code =
		    json_string_value(json_object_get(one, "code"));

		fprintf(stderr, "mailstead: %s: %s\n",
		    json_string_value(json_object_get(one, "id")),
		    json_string_value(json_object_get(one, "text")));
		if (strcmp(code, "temp") != 0)
			rc = CLI_REFUSED;
		else if (rc == CLI_DONE)
			rc = CLI_LATER;
	}
	if (c->json)
		cli_print_json(reply);
	else
		printf("%s: %" JSON_INTEGER_FORMAT " message%s\n", verb, done,
		    done == 1 ? "" : "s");
	return rc;
}

/*
 * Does the verb mean such a message?  What was chosen by --all or an address
 * has others among it; an id is asked for by name.
 */
static bool
is_meant(const char *verb, const json_t *message)
{
	const char *state =
	    json_string_value(json_object_get(message, "state"));
	bool is_held = strcmp(state, "held") == 0;

	if (strcmp(verb, "release") == 0)
		return is_held;
	return !is_held || strcmp(verb, "retry") != 0;
}

/* What is about to be done, into the audit log; the ids of it. */
static int
announce(struct cli *c, const char *verb, const json_t *messages, bool by_id,
    json_t **ids_out, struct err *e)
{
	json_t *before = json_object(), *one, *reply;
	size_t i;

	*ids_out = json_array();
	json_array_foreach(messages, i, one) {
		if (!by_id && !is_meant(verb, one))
			continue;
		json_t *id = json_object_get(one, "id");

		json_array_append(*ids_out, id);
		json_object_set(before, json_string_value(id),
		    json_object_get(one, "state"));
	}
	if (json_array_size(*ids_out) == 0) {
		json_decref(before);
		return 0;
	}
	if (cli_call(c,
		json_pack("{s:s,s:s,s:o}", "verb", "queue act", "act", verb,
		    "before", before),
		&reply, e) != 0)
		return -1;
	json_decref(reply);
	return 0;
}

/* One page of the selection: announced, then done. */
static int
act_on_page(struct cli *c, const char *verb, const json_t *messages, bool by_id,
    json_t *outcome, struct err *e)
{
	json_t *ids, *reply;
	json_int_t done = json_integer_value(json_object_get(outcome, "done"));
	int rc = announce(c, verb, messages, by_id, &ids, e);

	if (rc != 0 || json_array_size(ids) == 0) {
		json_decref(ids);
		return rc;
	}
	if (ask_runner(c,
		json_pack("{s:s,s:o,s:b}", "verb", verb, "ids", ids, "more", 1),
		&reply, e) != 0)
		return -1;
	done += json_integer_value(json_object_get(reply, "done"));
	json_object_set_new(outcome, "done", json_integer(done));
	json_array_extend(json_object_get(outcome, "failed"),
	    json_object_get(reply, "failed"));
	json_decref(reply);
	return 0;
}

/* The ids that were given and that no page had. */
static void
add_unknown(const json_t *given, const json_t *seen, json_t *outcome)
{
	json_t *id;
	size_t i;

	json_array_foreach(given, i, id)
		if (json_object_get(seen, json_string_value(id)) == NULL)
			json_array_append_new(
			    json_object_get(outcome, "failed"),
			    json_pack("{s:O,s:s,s:s}", "id", id, "code",
				"not-found", "text",
				"no such message in the queue"));
}

/* An act on nothing, for all before it. */
static int
await_disk(struct cli *c, const char *verb, struct err *e)
{
	json_t *reply;

	if (ask_runner(c, json_pack("{s:s,s:[]}", "verb", verb, "ids"), &reply,
		e) != 0)
		return -1;
	json_decref(reply);
	return 0;
}

static int
act_on_all(struct cli *c, const char *verb, json_t *request, json_t *outcome,
    struct err *e)
{
	json_t *seen = json_object(), *reply, *messages, *next, *one;
	bool more = true, by_id = json_object_get(request, "ids") != NULL;
	size_t i;
	int rc = 0;

	while (rc == 0 && more) {
		rc = ask_runner(c, json_incref(request), &reply, e);
		if (rc != 0)
			break;
		messages = json_object_get(reply, "messages");
		json_array_foreach(messages, i, one)
			json_object_set_new(seen,
			    json_string_value(json_object_get(one, "id")),
			    json_true());
		rc = act_on_page(c, verb, messages, by_id, outcome, e);
		next = json_object_get(reply, "next");
		more = json_is_string(next);
		if (more)
			json_object_set(request, "after", next);
		json_decref(reply);
	}
	if (rc == 0)
		rc = await_disk(c, verb, e);
	if (rc == 0)
		add_unknown(json_object_get(request, "ids"), seen, outcome);
	json_decref(seen);
	return rc;
}

static int
act(struct cli *c, const char *verb)
{
	json_t *request = json_pack(
	    "{s:s,s:b,s:i}", "verb", "list", "brief", 1, "limit", ACT_PAGE);
	json_t *outcome =
	    json_pack("{s:b,s:i,s:[]}", "ok", 1, "done", 0, "failed");
	struct err e;
	int rc = take_selection(c, request, true);

	if (rc == CLI_DONE && act_on_all(c, verb, request, outcome, &e) != 0)
		rc = cli_fail(&e);
	else if (rc == CLI_DONE)
		rc = report_outcome(c, outcome, verb);
	json_decref(outcome);
	json_decref(request);
	return rc;
}

/* --- suspend, resume, check --------------------------------------------------------- */

static int
suspend(struct cli *c, bool resume)
{
	const char *value = cli_flag(c, "--all") ? "all" : "remote";
	json_t *reply;
	struct err e;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (cli_call(c,
		json_pack("{s:s,s:s,s:s}", "verb", "setting set", "name",
		    "queue.suspended", "value", resume ? "no" : value),
		&reply, &e) != 0)
		return cli_fail(&e);
	return cli_changed(c, reply);
}

static void
print_finding(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static int
check_spool(struct cli *c)
{
	bool repair = cli_flag(c, "--repair");
	char path[CONFIG_PATH_SIZE * 2];
	size_t bad = 0;
	struct err e;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (config_path(&c->config, path, sizeof(path), &e, "spool") != 0 ||
	    spool_check(path, repair, print_finding, NULL, &bad, &e) != 0)
		return cli_fail(&e);
	printf("%zu problems\n", bad);
	return bad > 0 ? CLI_REFUSED : CLI_DONE;
}

int
command_queue(struct cli *c)
{
	static const char *const acts[] = { "retry", "hold", "release",
		"bounce", "delete" };
	const char *verb = cli_argument(c);

	if (verb == NULL)
		return cli_usage("queue: what shall be done?");
	if (strcmp(verb, "list") == 0)
		return list_messages(c);
	if (strcmp(verb, "show") == 0)
		return show_messages(c);
	if (strcmp(verb, "groups") == 0)
		return list_groups(c);
	if (strcmp(verb, "suspend") == 0 || strcmp(verb, "resume") == 0)
		return suspend(c, verb[0] == 'r');
	if (strcmp(verb, "check") == 0)
		return check_spool(c);
	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		if (strcmp(verb, acts[i]) == 0)
			return act(c, verb);
	}
	return cli_usage("queue: no verb \"%s\"", verb);
}
