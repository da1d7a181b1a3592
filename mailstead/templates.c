/*
 * template list|check: the page templates the owner has put into the state
 * directory, and whether the web programs would use them.
 */
#include "mailstead/templates.h"

#include <stdio.h>
#include <string.h>

#include "web/template.h"

/* Each file to `list`, the bad ones also to `check`. */
static void
print_file(void *arg, const char *file, const char *error)
{
	const bool *all = arg;

	if (error != NULL)
		printf("%s: %s\n", file, error);
	else if (*all)
		puts(file);
}

int
command_template(struct cli *c)
{
	static const struct web_assets none = { NULL, 0 };
	const char *verb = cli_argument(c);
	struct template_set *set;
	bool all;
	unsigned bad;

	if (verb == NULL ||
	    (strcmp(verb, "list") != 0 && strcmp(verb, "check") != 0))
		return cli_usage("template list|check");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	all = strcmp(verb, "list") == 0;
	set = template_set_new(c->config.state_dir, &none);
	bad = template_check_all(set, print_file, &all);
	template_set_free(set);
	return !all && bad > 0 ? CLI_REFUSED : CLI_DONE;
}
