/*
 * `mailstead tool` and `mailstead check`: the runner does the work, here and
 * in the pages (queue/tools.h); this asks, waits and prints.
 */
#include "mailstead/tool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory/json_file.h"

#include "mailstead/ask.h"

enum {
	POLL_MS = 50,
	LIMIT_MS = 120000
};

int
tool_run(
    struct cli *c, const char *tool, json_t *args, json_t **out, struct err *e)
{
	json_t *reply;
	int64_t end = clock_mono_ms() + LIMIT_MS;
	json_int_t job;

	if (ask_runner(c,
		json_pack("{s:s,s:s,s:o}", "verb", "tool start", "tool", tool,
		    "args", args),
		&reply, e) != 0)
		return -1;
	job = json_integer_value(json_object_get(reply, "job"));
	json_decref(reply);
	for (;;) {
		if (ask_runner(c,
			json_pack("{s:s,s:I}", "verb", "tool show", "job", job),
			&reply, e) != 0)
			break;
		*out = json_incref(json_object_get(reply, "result"));
		json_decref(reply);
		if (*out != NULL)
			break;
		if (clock_mono_ms() > end) {
			err_set(e, ERR_TIMEOUT, "%s takes too long", tool);
			break;
		}
		usleep(POLL_MS * 1000);
	}
	if (*out == NULL)
		return -1;
	const char *error = json_string_value(json_object_get(*out, "error"));
	if (error != NULL && json_object_size(*out) == 1) {
		err_set(e, ERR_PERM, "%s", error);
		json_decref(*out);
		*out = NULL;
		return -1;
	}
	return 0;
}

/* Ask and print: as JSON, or by `print`. */
static int
run(struct cli *c, const char *tool, json_t *args,
    int (*print)(const json_t *result))
{
	json_t *result = NULL;
	struct err e;
	int rc;

	if (cli_end(c) != CLI_DONE) {
		json_decref(args);
		return CLI_USAGE;
	}
	if (tool_run(c, tool, args, &result, &e) != 0)
		return cli_fail(&e);
	if (c->json)
		cli_print_json(result);
	rc = c->json ? CLI_DONE : print(result);
	json_decref(result);
	return rc;
}

static int
print_lookup(const json_t *r)
{
	const json_t *list = json_object_get(r, "answers");

	for (size_t i = 0; i < json_array_size(list); i++)
		puts(json_string_value(json_array_get(list, i)));
	if (json_array_size(list) == 0)
		printf("none (%s)\n", json_text(r, "status"));
	return json_array_size(list) > 0 ? CLI_DONE : CLI_REFUSED;
}

static void
print_lines(const json_t *list, const char *indent)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *line = json_array_get(list, i);
		const char *from = json_text(line, "from");

		printf("%s%s %s\n", indent,
		    from[0] == 's'       ? "S:"
			: from[0] == 'c' ? "C:"
					 : "--",
		    json_text(line, "text"));
	}
}

static int
print_dialogue(const json_t *r)
{
	const char *error = json_text(r, "error");

	print_lines(json_object_get(r, "dialogue"), "");
	if (error[0] != '\0')
		fprintf(stderr, "mailstead: %s\n", error);
	return error[0] != '\0' ? CLI_REFUSED : CLI_DONE;
}

static int
print_domain(const json_t *r)
{
	const json_t *list = json_object_get(r, "exchangers");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *mx = json_array_get(list, i);

		printf("%lld %s %s: %s%s %s\n",
		    (long long)json_integer_value(
			json_object_get(mx, "preference")),
		    json_text(mx, "host"), json_text(mx, "address"),
		    json_text(mx, "state"),
		    json_is_true(json_object_get(mx, "is_own")) ? ", it is me"
								: "",
		    json_text(mx, "error"));
		print_lines(json_object_get(mx, "dialogue"), "    ");
	}
	if (json_array_size(list) == 0)
		puts("no mail exchanger");
	return CLI_DONE;
}

static int
print_relay(const json_t *r)
{
	bool open = json_is_true(json_object_get(r, "open"));

	puts(open ? "OPEN RELAY: strangers may send to strangers"
		  : "not an open relay");
	return open ? CLI_REFUSED : CLI_DONE;
}

static int
print_id(const json_t *r)
{
	printf("%s; see: mailstead trace %s\n", json_text(r, "id"),
	    json_text(r, "id"));
	return CLI_DONE;
}

static int
print_checks(const json_t *r)
{
	static const char *const columns[] = { "state", "id", "found", "fix",
		NULL };
	const json_t *list = json_object_get(r, "checks");
	bool bad = false;

	cli_print_table(list, columns);
	for (size_t i = 0; i < json_array_size(list); i++)
		bad |= strcmp(json_text(json_array_get(list, i), "state"),
			   "bad") == 0;
	return bad ? CLI_REFUSED : CLI_DONE;
}

int
command_check_server(struct cli *c)
{
	return run(c, "server", json_object(), print_checks);
}

static int
console(struct cli *c)
{
	bool tls = cli_flag(c, "--tls"), pop3 = cli_flag(c, "--pop3");
	const char *host = cli_argument(c), *port = cli_argument(c);
	json_t *commands = json_array();
	const char *command;

	while (port != NULL && (command = cli_argument(c)) != NULL)
		json_array_append_new(commands, json_string(command));
	return run(c, "console",
	    json_pack("{s:s*,s:s*,s:b,s:s,s:o}", "host", host, "port", port,
		"tls", tls, "protocol", pop3 ? "pop3" : "smtp", "commands",
		commands),
	    print_dialogue);
}

int
command_tool(struct cli *c)
{
	const char *server = cli_option(c, "--server");
	const char *verb = cli_argument(c);
	const char *what;

	if (verb != NULL && strcmp(verb, "console") == 0)
		return console(c);
	if (verb != NULL && strcmp(verb, "relay") == 0)
		return run(c, "relay", json_object(), print_relay);
	what = cli_argument(c);
	if (verb == NULL || what == NULL)
		return cli_usage("tool lookup NAME [TYPE] [--server A]; tool "
				 "domain NAME; tool console HOST PORT [--tls] "
				 "[--pop3] COMMAND...; tool relay; tool send "
				 "ADDRESS");
	if (strcmp(verb, "lookup") == 0) {
		const char *type = cli_argument(c);
		return run(c, "lookup",
		    json_pack("{s:s,s:s,s:s*}", "name", what, "type",
			type != NULL ? type : "A", "server", server),
		    print_lookup);
	}
	if (strcmp(verb, "domain") == 0)
		return run(c, "domain",
		    json_pack("{s:s,s:b}", "domain", what, "connect", 1),
		    print_domain);
	if (strcmp(verb, "send") == 0)
		return run(c, "send", json_pack("{s:s}", "to", what), print_id);
	return cli_usage("tool: no verb \"%s\"", verb);
}
