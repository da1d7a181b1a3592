/*
 * `mailstead ban`: addresses that may not sign in for a while.
 */
#include <stdio.h>
#include <string.h>

#include "mailstead/run.h"

static int
list(struct cli *c)
{
	static const char *const columns[] = { "address", "until", "failures",
		"service", "since", NULL };
	json_t *items;
	struct err e;

	if (cli_call_paged(c, json_pack("{ss}", "verb", "ban list"), "items",
		&items, &e) != 0)
		return cli_fail(&e);
	if (c->json)
		cli_print_json(items);
	else
		cli_print_table(items, columns);
	json_decref(items);
	return CLI_DONE;
}

static int
check(struct cli *c, const char *ip)
{
	static const char *const columns[] = { "verdict", "failures", "limit",
		"wait_s", "until", NULL };
	json_t *reply, *rows;
	struct err e;

	if (cli_call(c, json_pack("{ss,ss}", "verb", "ban check", "ip", ip),
		&reply, &e) != 0)
		return cli_fail(&e);
	json_object_del(reply, "ok");
	rows = json_pack("[o]", reply);
	if (c->json)
		cli_print_json(reply);
	else
		cli_print_table(rows, columns);
	json_decref(rows);
	return CLI_DONE;
}

static int
lift(struct cli *c, const char *ip)
{
	json_t *reply;
	struct err e;

	if (cli_call(c, json_pack("{ss,ss}", "verb", "ban lift", "ip", ip),
		&reply, &e) != 0)
		return cli_fail(&e);
	json_decref(reply);
	return CLI_DONE;
}

int
command_ban(struct cli *c)
{
	const char *verb = cli_argument(c), *ip = cli_argument(c);

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (verb != NULL && strcmp(verb, "list") == 0 && ip == NULL)
		return list(c);
	if (verb != NULL && strcmp(verb, "check") == 0 && ip != NULL)
		return check(c, ip);
	if (verb != NULL && strcmp(verb, "lift") == 0 && ip != NULL)
		return lift(c, ip);
	return cli_usage("ban list; ban check ADDRESS; ban lift ADDRESS");
}
