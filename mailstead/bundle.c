/*
 * `mailstead support-bundle`: what somebody who helps needs to see, in one
 * text file: versions, status, checks, settings, the end of each log.
 *
 * Nothing in it is secret to begin with (logs never have secrets); people are
 * made unrecognisable too: of each address only the first letter and the
 * domain stay.  Domains, addresses of servers and Message-IDs' hosts remain,
 * for without them there is nothing to see.
 */
#include "mailstead/bundle.h"

#include <sys/stat.h>
#include <sys/utsname.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory/directory.h"
#include "proc/service.h"

#include "mailstead/run.h"
#include "mailstead/state.h"
#include "mailstead/tool.h"

enum {
	LOG_TAIL = 512 * 1024, /* bytes of each program's log */
	LOG_DAYS = 2,
};

static bool
is_local_byte(char c)
{
	return c != '\0' && strchr(" <>\"'=,:;()[]@\n\t", c) == NULL;
}

/* Write `text` with each local part cut to its first letter. */
static void
redact(FILE *out, const char *text, size_t len)
{
	size_t done = 0;

	for (size_t at = 0; at < len; at++) {
		size_t start = at;

		if (text[at] != '@')
			continue;
		while (start > done && is_local_byte(text[start - 1]))
			start--;
		fwrite(text + done, 1, start - done, out);
		if (start < at)
			fprintf(out, "%c***", text[start]);
		done = at;
	}
	fwrite(text + done, 1, len - done, out);
}

static void
put_json(FILE *out, json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2));

	if (text != NULL)
		redact(out, text, strlen(text));
	fputc('\n', out);
	free(text);
	json_decref(value);
}

static void
put_versions(FILE *out)
{
	struct utsname u;

	fprintf(out, "== versions\nmailstead %s\n", MAILSTEAD_VERSION);
	if (uname(&u) == 0)
		fprintf(out, "%s %s %s\n", u.sysname, u.release, u.machine);
}

static void
put_services(FILE *out, struct cli *c)
{
	fputs("== services\n", out);
	for (size_t i = 0; service_names[i] != NULL; i++) {
		struct service_status s = { 0 };
		struct err e;

		if (service_status_read(
			c->config.state_dir, service_names[i], &s, &e) != 0)
			fprintf(out, "%s: %s\n", service_names[i], e.text);
		else
			fprintf(out,
			    "%s: %s, version %s, %u workers, %u connections, "
			    "%llu replaced\n",
			    service_names[i], service_state_name(s.state),
			    s.version, s.workers, s.connections,
			    (unsigned long long)s.restarts);
	}
	fputs("== queue\n", out);
	put_json(out, state_queue_counts(c));
}

static void
put_checks(FILE *out, struct cli *c)
{
	json_t *result = NULL;
	struct err e;

	fputs("== checks\n", out);
	if (tool_run(c, "server", json_object(), &result, &e) == 0)
		put_json(out, result);
	else
		fprintf(out, "%s\n", e.text);
}

static void
put_settings(FILE *out, struct cli *c)
{
	struct settings *now;
	struct err e;

	fputs("== settings that are not as they came\n", out);
	if (directory_read_settings(c->config.state_dir, &now, &e) != 0) {
		fprintf(out, "%s\n", e.text);
		return;
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];
		const char *value = settings_text(now, setting_id_of(s));

		if (strcmp(value, s->fallback) == 0)
			continue;
		fprintf(out, "%s = ", s->name);
		if (setting_is_secret(s))
			fputs("(hidden)", out);
		else
			redact(out, value, strlen(value));
		fputc('\n', out);
	}
	settings_free(now);
}

/* The end of one day's log, from the start of a line on. */
static void
put_log(FILE *out, struct cli *c, const char *program, const char *day)
{
	char path[CONFIG_PATH_SIZE * 2], *text;
	struct stat st;
	struct err e;
	int fd;

	if (config_path(&c->config, path, sizeof(path), &e, "log/%s/%s.log",
		program, day) != 0)
		return;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		off_t from = st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0;
		ssize_t n;

		text = mem_alloc(LOG_TAIL);
		n = pread(fd, text, LOG_TAIL, from);
		struct slice all = slice_of(text, n > 0 ? (size_t)n : 0);
		if (from > 0) { /* the first line is a part of one */
			struct slice part;
			all = slice_cut(all, '\n', &part);
		}
		fprintf(out, "== log of %s, %s\n", program, day);
		if (all.len > 0)
			redact(out, all.data, all.len);
		free(text);
	}
	(void)close(fd);
}

static void
put_logs(FILE *out, struct cli *c)
{
	char day[CLOCK_RFC3339_SIZE];

	for (size_t i = 0; service_names[i] != NULL; i++) {
		for (int d = LOG_DAYS - 1; d >= 0; d--) {
			clock_rfc3339(
			    clock_wall_ms() - (int64_t)d * 86400000, day);
			day[10] = '\0';
			put_log(out, c, service_names[i], day);
		}
	}
}

int
command_support_bundle(struct cli *c)
{
	const char *path = cli_argument(c);
	struct err e;
	FILE *out;
	int fd;

	if (path == NULL)
		return cli_usage("support-bundle FILE");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL) {
		(void)err_errno(&e, "%s", path);
		e.kind = ERR_PERM;
		return cli_fail(&e);
	}
	put_versions(out);
	put_services(out, c);
	put_checks(out, c);
	put_settings(out, c);
	put_logs(out, c);
	bool bad = ferror(out) != 0;
	if (fclose(out) != 0 || bad) {
		(void)err_errno(&e, "%s", path);
		return cli_fail(&e);
	}
	printf("%s: read it before you send it\n", path);
	return CLI_DONE;
}
