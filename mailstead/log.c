/*
 * `mailstead log`: one program's log of a day, as the page shows it: the last
 * lines, those that contain a text, and what is written from now on.
 */
#include "mailstead/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logtail.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/trace.h"

enum {
	LINES_DEFAULT = 200,
	LINES_MAX = 1000000,
	DAY_LEN = 10,
	POLL_MS = 200,
	PIECE = 64 * 1024,
};

struct ask {
	char log_dir[CONFIG_PATH_SIZE * 2];
	const char *program, *match;
	char day[CLOCK_RFC3339_SIZE];
	uint64_t lines;
	bool follow;
	json_t *events; /* the newest first, each with its "line" */
};

/* What is none of our lines is shown as such, with nothing a terminal obeys. */
static void
add_line(void *arg, struct slice line)
{
	struct ask *a = arg;
	char *text = mem_strndup(line.data, line.len);
	json_t *event = trace_event(a->program, text);

	if (json_object_get(event, "event") == NULL) {
		for (size_t i = 0; i < line.len; i++)
			if (text[i] < 0x20 || text[i] > 0x7e)
				text[i] = '?';
		json_object_clear(event);
		json_object_set_new(event, "program", json_string(a->program));
		json_object_set_new(event, "damaged", json_true());
	}
	json_object_set_new(event, "line", json_string(text));
	json_array_append_new(a->events, event);
	free(text);
}

/* The last lines before `end`. */
static void
read_lines(struct ask *a, int fd, int64_t end)
{
	struct logtail t = { .needle = a->match, .line = add_line, .arg = a };

	while (end > 0 && json_array_size(a->events) < a->lines) {
		t.max = a->lines - json_array_size(a->events);
		end = logtail_read(fd, end, &t);
	}
}

static void
print_lines(struct ask *a)
{
	for (size_t i = json_array_size(a->events); i-- > 0;) {
		const char *line = json_string_value(
		    json_object_get(json_array_get(a->events, i), "line"));

		puts(line != NULL ? line : "(damaged)");
	}
	json_array_clear(a->events);
	(void)fflush(stdout);
}

/* --- what is written from now on ---------------------------------------------- */

/* The whole lines from `at` on, printed; where to go on. */
static int64_t
print_new(struct ask *a, int fd, int64_t at)
{
	char *piece = mem_alloc(PIECE);
	ssize_t n = pread(fd, piece, PIECE, at);
	struct slice rest = slice_of(piece, n > 0 ? (size_t)n : 0);
	ptrdiff_t nl;

	while ((nl = slice_chr(rest, '\n')) >= 0 || rest.len == PIECE) {
		struct slice line =
		    slice_of(rest.data, nl >= 0 ? (size_t)nl : rest.len);

		if (a->match == NULL ||
		    memmem(line.data, line.len, a->match, strlen(a->match)))
			add_line(a, line);
		print_lines(a);
		rest = slice_skip(rest, line.len + (nl >= 0));
	}
	free(piece);
	return n > 0 ? at + n - (int64_t)rest.len : at;
}

/* Until somebody stops it; at midnight the next day's file. */
static int
follow(struct ask *a, int fd, int64_t at)
{
	char today[CLOCK_RFC3339_SIZE];
	int64_t size;

	while (!ferror(stdout)) {
		if (fd >= 0)
			at = print_new(a, fd, at);
		clock_rfc3339(clock_wall_ms(), today);
		today[DAY_LEN] = '\0';
		if (fd < 0 || strcmp(today, a->day) != 0) {
			int next =
			    logtail_open(a->log_dir, a->program, today, &size);

			if (next >= 0) {
				if (fd >= 0)
					(void)close(fd);
				fd = next;
				at = 0;
				memcpy(a->day, today, sizeof(today));
			}
		}
		(void)usleep(POLL_MS * 1000);
	}
	if (fd >= 0)
		(void)close(fd);
	return CLI_DONE;
}

/* --- the command ---------------------------------------------------------------- */

static int
take_arguments(struct cli *c, struct ask *a)
{
	const char *day = cli_option(c, "--day");
	const char *lines = cli_option(c, "--lines");

	a->match = cli_option(c, "--match");
	a->follow = cli_flag(c, "--follow");
	a->program = cli_argument(c);
	a->lines = LINES_DEFAULT;
	if (a->program == NULL || a->program[0] == '\0' ||
	    strspn(a->program, "abcdefghijklmnopqrstuvwxyz-") !=
		strlen(a->program))
		return cli_usage("log: of which program? mtad, queue-runner, "
				 "popd, accountd, webmail-cgi, admin-cgi or "
				 "mailstead-parse");
	if (lines != NULL && !num_parse(slice_str(lines), LINES_MAX, &a->lines))
		return cli_usage("--lines %s is not a number", lines);
	if (day != NULL && !logtail_is_day(day))
		return cli_usage("--day %s is not like 2026-01-31", day);
	if (a->follow && (day != NULL || c->json))
		return cli_usage("--follow goes with neither --day nor --json");
	clock_rfc3339(clock_wall_ms(), a->day);
	a->day[DAY_LEN] = '\0';
	if (day != NULL)
		memcpy(a->day, day, DAY_LEN);
	return cli_end(c);
}

static void
print_json(struct ask *a)
{
	json_t *all = json_array();

	for (size_t i = json_array_size(a->events); i-- > 0;)
		json_array_append(all, json_array_get(a->events, i));
	cli_print_json(all);
	json_decref(all);
}

int
command_log(struct cli *c)
{
	struct ask a = { 0 };
	int rc = take_arguments(c, &a);
	int64_t size = 0;
	struct err e;
	int fd;

	if (rc != CLI_DONE)
		return rc;
	if (config_path(&c->config, a.log_dir, sizeof(a.log_dir), &e, "log") !=
	    0)
		return cli_fail(&e);
	a.events = json_array();
	fd = logtail_open(a.log_dir, a.program, a.day, &size);
	if (fd >= 0)
		read_lines(&a, fd, size);
	if (c->json)
		print_json(&a);
	else
		print_lines(&a);
	if (a.follow)
		rc = follow(&a, fd, size);
	else if (fd >= 0)
		(void)close(fd);
	json_decref(a.events);
	if (fd >= 0 || a.follow)
		return rc;
	err_set(&e, ERR_PERM, "%s has no log of %s that can be read", a.program,
	    a.day);
	return cli_fail(&e);
}
