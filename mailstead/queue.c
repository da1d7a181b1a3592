/*
 * `mailstead queue`: the verbs of the runner's control socket (queue/control.h)
 * with their selections, suspending (a setting), and checking a spool.
 */
#include "mailstead/queue.h"

#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "queue/spool_runner.h"

#include "mailstead/ask.h"

static const char *const columns[] = { "id", "state", "size", "accepted_at",
	"next_try_at", "attempts", "sender", "recipients", NULL };

/* --- selections ------------------------------------------------------------------- */

/* IDs, --sender, --recipient, --destination or --all into a request. */
static int
take_selection(struct cli *c, json_t *request, bool needed)
{
	static const char *const options[] = { "--sender", "--recipient",
		"--destination" };
	json_t *ids = json_array();
	bool any = false;
	char *id;

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
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
		if (ask_runner(c, request, &reply, &e) != 0) {
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
	if (rc == CLI_DONE && c->json)
		cli_print_json(all);
	else if (rc == CLI_DONE)
		cli_print_table(all, columns);
	json_decref(all);
	json_decref(request);
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

	if (id == NULL)
		return cli_usage("queue show ID");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	json_t *request = json_pack("{s:s,s:s}", "verb", "show", "id", id);
	int rc = ask_runner(c, request, &reply, &e);
	json_decref(request);
	if (rc != 0)
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

	for (size_t i = 0; i < json_array_size(failed); i++) {
		const json_t *one = json_array_get(failed, i);
		fprintf(stderr, "mailstead: %s: %s\n",
		    json_string_value(json_object_get(one, "id")),
		    json_string_value(json_object_get(one, "text")));
	}
	if (c->json)
		cli_print_json(reply);
	else
		printf("%s: %" JSON_INTEGER_FORMAT " messages\n", verb, done);
	return json_array_size(failed) > 0 ? CLI_REFUSED : CLI_DONE;
}

static int
act(struct cli *c, const char *verb)
{
	json_t *request = json_pack("{s:s}", "verb", verb);
	json_t *reply;
	struct err e;
	int rc = take_selection(c, request, true);

	if (rc == CLI_DONE && ask_runner(c, request, &reply, &e) != 0) {
		rc = cli_fail(&e);
	} else if (rc == CLI_DONE) {
		rc = report_outcome(c, reply, verb);
		json_decref(reply);
	}
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
	json_decref(reply);
	return CLI_DONE;
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
