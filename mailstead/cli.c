/*
 * Options, answers and printing for the subcommands; no command lives here.
 *
 * Options are taken out of the argument list as they are asked for, in any
 * place, so what is left at cli_end() is what nobody knows.
 */
#include "mailstead/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"

static void
drop_arguments(struct cli *c, int at, int count)
{
	memmove(&c->argv[at], &c->argv[at + count],
	    (size_t)(c->argc - at - count) * sizeof(c->argv[0]));
	c->argc -= count;
}

const char *
cli_option(struct cli *c, const char *name)
{
	size_t len = strlen(name);
	for (int i = 0; i < c->argc && strcmp(c->argv[i], "--") != 0; i++) {
		char *arg = c->argv[i];
		if (strncmp(arg, name, len) != 0)
			continue;
		if (arg[len] == '=') {
			drop_arguments(c, i, 1);
			return arg + len + 1;
		}
		if (arg[len] == '\0' && i + 1 < c->argc) {
			char *value = c->argv[i + 1];
			drop_arguments(c, i, 2);
			return value;
		}
		if (arg[len] == '\0')
			c->wanting = arg;
	}
	return NULL;
}

bool
cli_flag(struct cli *c, const char *name)
{
	for (int i = 0; i < c->argc && strcmp(c->argv[i], "--") != 0; i++) {
		if (strcmp(c->argv[i], name) != 0)
			continue;
		drop_arguments(c, i, 1);
		return true;
	}
	return false;
}

char *
cli_argument(struct cli *c)
{
	if (c->argc > 0 && strcmp(c->argv[0], "--") == 0) {
		drop_arguments(c, 0, 1);
	} else if (c->argc > 0 && c->argv[0][0] == '-' &&
	    c->argv[0][1] != '\0' &&
	    !ascii_is_digit((unsigned char)c->argv[0][1])) {
		return NULL; /* an option nobody took; "-1" and "-" are values */
	}
	if (c->argc == 0)
		return NULL;
	char *arg = c->argv[0];
	drop_arguments(c, 0, 1);
	return arg;
}

int
cli_end(struct cli *c)
{
	if (c->argc == 0)
		return CLI_DONE;
	if (c->wanting == c->argv[0])
		return cli_usage("%s needs a value", c->argv[0]);
	return cli_usage("unexpected argument \"%s\"", c->argv[0]);
}

int
cli_fail(const struct err *e)
{
	fprintf(stderr, "mailstead: %s\n", e->text);
	return e->kind == ERR_TEMP || e->kind == ERR_TIMEOUT ? CLI_LATER
							     : CLI_REFUSED;
}

int
cli_usage(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fputs("mailstead: ", stderr);
	vfprintf(stderr, fmt, args);
	fputs("; see \"mailstead help\"\n", stderr);
	va_end(args);
	return CLI_USAGE;
}

static int
read_line(FILE *in, const char *prompt, char **out, struct err *e)
{
	char *line = NULL;
	size_t size = 0;
	if (prompt != NULL)
		fputs(prompt, stderr);
	ssize_t len = getline(&line, &size, in);
	if (len < 0) {
		free(line);
		return err_set(e, ERR_PERM, "no password on standard input");
	}
	if (len > 0 && line[len - 1] == '\n')
		line[len - 1] = '\0';
	*out = line;
	return 0;
}

static void
wipe(char *secret)
{
	if (secret != NULL)
		mem_wipe(secret, strlen(secret));
	free(secret);
}

static int
ask_twice(char **out, struct err *e)
{
	struct termios old;
	struct termios quiet;
	char *first = NULL;
	char *second = NULL;
	int result = -1;

	if (tcgetattr(STDIN_FILENO, &old) != 0)
		return err_errno(e, "terminal");
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	if (read_line(stdin, "Password: ", &first, e) == 0 &&
	    read_line(stdin, "\nAgain: ", &second, e) == 0) {
		if (strcmp(first, second) == 0)
			result = 0;
		else
			err_set(e, ERR_PERM, "the passwords differ");
	}
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	fputc('\n', stderr);
	wipe(second);
	if (result == 0)
		*out = first;
	else
		wipe(first);
	return result;
}

int
cli_read_password(char **out, struct err *e)
{
	if (isatty(STDIN_FILENO))
		return ask_twice(out, e);
	return read_line(stdin, NULL, out, e);
}

int
cli_changed(const struct cli *c, json_t *reply)
{
	(void)json_object_del(reply, "ok");
	if (c->json)
		cli_print_json(reply);
	json_decref(reply);
	return CLI_DONE;
}

void
cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* One cell as text; arrays of objects show their "address" or "name". */
static void
cell_text(const json_t *value, struct buf *out)
{
	if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (i > 0)
				buf_addstr(out, " ");
			cell_text(json_array_get(value, i), out);
		}
	} else if (json_is_object(value)) {
		const json_t *name = json_object_get(value, "address");
		cell_text(name ? name : json_object_get(value, "name"), out);
	} else if (json_is_string(value)) {
		buf_addstr(out, json_string_value(value));
	} else if (json_is_integer(value)) {
		buf_addf(
		    out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else if (json_is_boolean(value)) {
		buf_addstr(out, json_is_true(value) ? "yes" : "no");
	} else {
		buf_addstr(out, "-");
	}
}

enum {
	TABLE_COLUMNS = 12,
	CELL_MAX = 4096
};

/* One row: its cells measured into `widths`, or printed by them. */
static void
table_row(const json_t *object, const char *const *columns, size_t *widths,
    bool print)
{
	struct buf cell;

	buf_init(&cell, CELL_MAX);
	for (size_t i = 0; i < TABLE_COLUMNS && columns[i] != NULL; i++) {
		bool last = columns[i + 1] == NULL;

		buf_reset(&cell);
		if (object == NULL)
			buf_addstr(&cell, columns[i]);
		else
			cell_text(json_object_get(object, columns[i]), &cell);
		if (print && last)
			printf("%s\n", cell.data);
		else if (print)
			printf("%-*s  ", (int)widths[i], cell.data);
		else if (cell.len > widths[i])
			widths[i] = cell.len;
	}
	buf_release(&cell);
}

void
cli_print_table(const json_t *array, const char *const *columns)
{
	size_t widths[TABLE_COLUMNS] = { 0 };

	for (int print = 0; print < 2; print++) {
		table_row(NULL, columns, widths, print);
		for (size_t i = 0; i < json_array_size(array); i++)
			table_row(
			    json_array_get(array, i), columns, widths, print);
	}
}

int
cli_program_path(const char *program, char *out, size_t size, struct err *e)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len <= 0)
		return err_errno(e, "/proc/self/exe");
	self[len] = '\0';
	char *slash = strrchr(self, '/');
	*slash = '\0';
	/* Together in a build folder; installed, daemons lie in libexec. */
	static const char *const folders[] = { "", "/../libexec/mailstead" };
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		int n =
		    snprintf(out, size, "%s%s/%s", self, folders[i], program);
		if (n > 0 && (size_t)n < size && access(out, X_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_PERM, "program %s is not installed beside %s",
	    program, self);
}

void
cli_print(const struct cli *c, const json_t *array, const char *const *columns)
{
	if (c->json)
		cli_print_json(array);
	else
		cli_print_table(array, columns);
}
