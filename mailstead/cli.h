#ifndef MAILSTEAD_CLI_H
#define MAILSTEAD_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "directory/config.h"

/*
 * What the subcommands of the command line share: one table of commands,
 * one way to read options, to talk to accountd and to print.
 *
 * Exit codes are part of the outside interface (DESIGN 5).
 */
enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1, /* refused or not found; the reason is on stderr */
	CLI_USAGE = 2,
	CLI_LATER = 3, /* try again */
};

struct cli {
	const char *state_arg; /* --state, or NULL */
	struct config config;  /* loaded unless the command makes it */
	bool json;
	int argc; /* what follows the subcommand, options taken out as read */
	char **argv;
	const char *wanting; /* an option without its value */
};

struct command {
	const char *name;
	const char *usage; /* arguments, for the usage line */
	const char *help;  /* one sentence */
	bool no_state;     /* runs without an existing state directory */
	int (*run)(struct cli *c);
};

/* The commands of one word ("init") and those that have verbs ("user add"). */
extern const struct command commands_server[];
extern const struct command commands_accounts[];
extern const struct command commands_settings[];
extern const struct command commands_mail[];
extern const struct command commands_care[];

/*
 * Take `--name VALUE` or `--name=VALUE` out of the arguments; NULL when it is
 * not there.  Without its value it stays, and cli_end() says so.
 */
const char *cli_option(struct cli *c, const char *name);
bool cli_flag(struct cli *c, const char *name);

/* The next plain argument, or NULL. */
char *cli_argument(struct cli *c);

/* All must be used: CLI_USAGE with a line on stderr, or CLI_DONE. */
int cli_end(struct cli *c);

/* Print "mailstead: text"; the exit code follows from the kind. */
int cli_fail(const struct err *e);
int cli_usage(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* cli_end(), where what a command needs may not have been given. */
static inline MUST_CHECK bool
cli_complete(struct cli *c, bool is_given, const char *usage)
{
	if (is_given)
		return cli_end(c) == CLI_DONE;
	(void)cli_usage("%s", usage);
	return false;
}

/*
 * The passwords' way in: asked twice on a terminal, else the first line of
 * standard input.  The result is to be wiped and freed.
 */
int cli_read_password(char **out, struct err *e) MUST_CHECK;

/*
 * Ask accountd, or, when it does not run, one started for this question.
 * Steals the reference to `request`.
 */
int cli_call(struct cli *c, json_t *request, json_t **reply_out,
    struct err *e) MUST_CHECK;

/*
 * As cli_call() for answers in pages: repeats with the answer's "next" and
 * joins the arrays named `key`.
 */
int cli_call_paged(struct cli *c, json_t *request, const char *key,
    json_t **array_out, struct err *e) MUST_CHECK;

/*
 * As cli_call_paged(), and print the array: as JSON if so asked, else as a table
 * of `columns`, or without any a word a line.  The exit code.
 */
int cli_list(struct cli *c, json_t *request, const char *key,
    const char *const *columns);

/*
 * A change is done: with --json print what was answered to it, less "ok", which
 * may be nothing but {}.  Frees `reply`.  CLI_DONE.
 */
int cli_changed(const struct cli *c, json_t *reply);

/* Print a value as JSON with a newline. */
void cli_print_json(const json_t *value);

/*
 * Print an array of objects as a table: `columns` are keys, ended by NULL;
 * arrays are joined by spaces, booleans are yes and no.
 */
void cli_print_table(const json_t *array, const char *const *columns);

/* As JSON if so asked, else as a table. */
void cli_print(
    const struct cli *c, const json_t *array, const char *const *columns);

/* Directory of this program's executable, where its sisters lie. */
int cli_program_path(
    const char *program, char *out, size_t size, struct err *e) MUST_CHECK;

#endif /* MAILSTEAD_CLI_H */
