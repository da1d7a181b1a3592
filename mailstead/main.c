/*
 * mailstead: the command line.  Global options, the tables of commands, help.
 *
 * Also known as sendmail: then the arguments are sendmail's and the command
 * is "submit".
 */
#include <sys/stat.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#include "mailstead/cli.h"

static const struct command *const tables[] = {
	commands_server,
	commands_accounts,
	commands_settings,
	commands_mail,
	commands_care,
};

static const struct command *
find_command(const char *name)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (const struct command *k = tables[t]; k->name; k++) {
			if (strcmp(k->name, name) == 0)
				return k;
		}
	}
	return NULL;
}

static int
help_about(const struct command *k)
{
	printf("usage: mailstead [--state DIR] [--json] %s %s\n    %s\n",
	    k->name, k->usage, k->help);
	return CLI_DONE;
}

/* All commands, or the one that is named. */
static int
help(struct cli *c)
{
	const char *name = cli_argument(c);
	const struct command *one = name != NULL ? find_command(name) : NULL;

	if (one != NULL)
		return help_about(one);
	if (name != NULL)
		return cli_usage("no command \"%s\"", name);
	puts("usage: mailstead [--state DIR] [--json] COMMAND [ARGUMENTS]\n");
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (const struct command *k = tables[t]; k->name; k++)
			printf(
			    "  %s %s\n      %s\n", k->name, k->usage, k->help);
	}
	return CLI_DONE;
}

static int
run_command(struct cli *c, const char *name)
{
	struct err e;
	const struct command *k = find_command(name);

	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 ||
	    strcmp(name, "-h") == 0)
		return help(c);
	if (strcmp(name, "--version") == 0)
		name = "version", k = find_command(name);
	if (k == NULL)
		return cli_usage("no command \"%s\"", name);
	if (cli_flag(c, "--help"))
		return help_about(k);
	if (!k->no_state && config_load(c->state_arg, &c->config, &e) != 0)
		return cli_fail(&e);
	return k->run(c);
}

int
main(int argc, char **argv)
{
	struct cli c = { .argc = argc - 1, .argv = argv + 1 };
	const char *self = strrchr(argv[0], '/');

	signal(SIGPIPE, SIG_IGN);
	umask(007);
	log_open("mailstead", NULL, false);
	self = self ? self + 1 : argv[0];
	if (strcmp(self, "sendmail") == 0)
		return run_command(&c, "submit");
	c.state_arg = cli_option(&c, "--state");
	c.json = cli_flag(&c, "--json");
	if (c.wanting != NULL)
		return cli_usage("%s needs a value", c.wanting);
	if (c.argc == 0)
		return cli_usage("no command");
	char *name = c.argv[0];
	c.argc--;
	c.argv++;
	return run_command(&c, name);
}
