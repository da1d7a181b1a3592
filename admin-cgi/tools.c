/*
 * Tools and checks: forms that start a job of the runner's, and pages that
 * show what it found.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"

#include "admin-cgi/ops.h"

enum {
	COMMANDS_MAX = 50,
	ANSWER_MS = 1500, /* what a page waits for a short job */
};

json_int_t
runner_start(struct web_request *r, struct web_response *w, const char *tool,
    json_t *args)
{
	json_t *reply;
	json_int_t job;

	if (runner_need(r, w,
		json_pack("{s:s,s:s,s:o}", "verb", "tool start", "tool", tool,
		    "args", args),
		&reply) != 0)
		return 0;
	job = json_integer_value(json_object_get(reply, "job"));
	json_decref(reply);
	return job;
}

json_t *
runner_wait(struct web_request *r, json_int_t job)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int64_t end = clock_mono_ms() + ANSWER_MS;
	json_t *reply, *result = NULL;
	struct err e;

	while (result == NULL && clock_mono_ms() < end) {
		(void)nanosleep(&pause, NULL);
		if (runner_ask(r,
			json_pack("{s:s,s:I}", "verb", "tool show", "job", job),
			&reply, &e) != 0)
			break;
		result = json_incref(json_object_get(reply, "result"));
		json_decref(reply);
	}
	return result;
}

/* --- tools ------------------------------------------------------------------------ */

void
tools_page(struct web_request *r, struct web_response *w)
{
	admin_page(r, w, "tools", "tools", json_object());
}

/* One command a line. */
static json_t *
commands_of(const char *text)
{
	struct slice rest = slice_str(text != NULL ? text : ""), line;
	json_t *list = json_array();

	while (rest.len > 0 && json_array_size(list) < COMMANDS_MAX) {
		rest = slice_cut(rest, '\n', &line);
		if (slice_ends(line, "\r"))
			line.len--;
		if (line.len > 0)
			json_array_append_new(
			    list, json_stringn(line.data, line.len));
	}
	return list;
}

void
tools_post(struct web_request *r, struct web_response *w)
{
	static const char *const fields[] = { "name", "type", "server",
		"domain", "host", "port", "protocol", "to" };
	static const char *const allowed[] = { "lookup", "domain", "console",
		"relay", "send" };
	const char *tool = web_form(r, "tool");
	json_t *args = json_object();
	bool known = false;
	json_int_t job;

	for (size_t i = 0; tool != NULL && i < ARRAY_LEN(allowed); i++)
		known |= strcmp(tool, allowed[i]) == 0;
	if (!known) {
		json_decref(args);
		web_error(w, 400, page_text(r, "error.form"));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *text = web_form(r, fields[i]);
		if (text != NULL)
			json_object_set_new(args, fields[i], json_string(text));
	}
	json_object_set_new(
	    args, "tls", json_boolean(web_form(r, "tls") != NULL));
	json_object_set_new(args, "connect", json_true());
	json_object_set_new(
	    args, "commands", commands_of(web_form(r, "commands")));
	job = runner_start(r, w, tool, args);
	if (job > 0)
		web_redirect(
		    w, pool_printf(&r->pool, "/tools/%lld", (long long)job));
}

/* --- what one found, in words ------------------------------------------------------ */

static void
shape_dialogue(struct web_request *r, json_t *of)
{
	json_t *line;
	size_t i;

	json_array_foreach(json_object_get(of, "dialogue"), i, line)
		json_object_set_new(line, "who",
		    json_string(
			ops_words(r, "tools.says", json_text(line, "from"))));
}

/* "state" of each in a list, by the catalogue's "<kind>.<state>". */
static void
shape_states(struct web_request *r, json_t *list, const char *kind)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		const char *state = json_text(one, "state");

		json_object_set_new(
		    one, "state_text", json_string(ops_words(r, kind, state)));
		json_object_set_new(one, "tone",
		    json_string(strcmp(state, "ok") == 0      ? "good"
			    : strcmp(state, "different") == 0 ? "warn"
							      : "bad"));
		shape_dialogue(r, one);
	}
}

static void
shape_result(struct web_request *r, json_t *result)
{
	if (result == NULL)
		return;
	json_object_set_new(result, "status_text",
	    json_string(
		ops_words(r, "tools.lookup", json_text(result, "status"))));
	shape_dialogue(r, result);
	shape_states(r, json_object_get(result, "exchangers"), "tools.state");
	shape_states(r, json_object_get(result, "records"), "state");
}

void
tools_job_page(struct web_request *r, struct web_response *w)
{
	json_t *reply, *page;
	uint64_t number;
	const char *tool;

	if (!num_parse(slice_str(r->args[0]), INT64_MAX, &number)) {
		web_error(w, 404, page_text(r, "error.none"));
		return;
	}
	if (runner_need(r, w,
		json_pack("{s:s,s:I}", "verb", "tool show", "job",
		    (json_int_t)number),
		&reply) != 0)
		return;
	tool = json_text(reply, "tool");
	json_object_del(json_object_get(reply, "args"), "commands");
	shape_result(r, json_object_get(reply, "result"));
	page = json_pack("{s:O,s:O*,s:{s:b}}", "args",
	    json_object_get(reply, "args"), "result",
	    json_object_get(reply, "result"), "is", tool, 1);
	json_object_set_new(page, "running",
	    json_boolean(json_object_get(reply, "result") == NULL));
	json_decref(reply);
	admin_page(r, w, "tools_job", "tools", page);
}

/* --- checks ----------------------------------------------------------------------- */

/* What is wrong comes first. */
static void
sort_checks(json_t *result)
{
	static const char *const order[] = { "bad", "failed", "warn" };
	json_t *checks = json_object_get(result, "checks"), *check;
	size_t front = 0, i;

	for (size_t k = 0; k < ARRAY_LEN(order); k++) {
		for (i = front; i < json_array_size(checks); i++) {
			check = json_array_get(checks, i);
			if (strcmp(json_text(check, "state"), order[k]) != 0)
				continue;
			json_incref(check);
			(void)json_array_remove(checks, i);
			(void)json_array_insert_new(checks, front++, check);
		}
	}
}

/* "dkim.s1" is what "dkim" is called, and s1. */
static const char *
check_title(struct web_request *r, const char *id)
{
	const char *title = ops_words(r, "check", id);
	struct slice kind, rest = slice_cut(slice_str(id), '.', &kind);
	const char *first = pool_strndup(&r->pool, kind.data, kind.len);

	if (strcmp(title, id) != 0 || rest.len == 0)
		return title;
	return pool_printf(&r->pool, "%s %.*s", ops_words(r, "check", first),
	    (int)rest.len, rest.data);
}

void
ops_shape_checks(struct web_request *r, json_t *result)
{
	json_t *check;
	size_t i;

	sort_checks(result);

	json_array_foreach(json_object_get(result, "checks"), i, check) {
		const char *state = json_text(check, "state");

		json_object_set_new(check, "title",
		    json_string(check_title(r, json_text(check, "id"))));
		json_object_set_new(check, "state_text",
		    json_string(page_text(
			r, pool_printf(&r->pool, "state.%s", state))));
		json_object_set_new(check, "tone",
		    json_string(strcmp(state, "ok") == 0 ? "good"
			    : strcmp(state, "bad") == 0 ||
				strcmp(state, "failed") == 0
			    ? "bad"
			    : strcmp(state, "warn") == 0 ? "warn"
							 : ""));
	}
	ops_put_time(result, "at", json_text(result, "at"));
}

void
checks_page(struct web_request *r, struct web_response *w)
{
	json_t *reply, *page;

	if (runner_need(r, w,
		json_pack("{s:s,s:s}", "verb", "tool last", "tool", "server"),
		&reply) != 0)
		return;
	ops_shape_checks(r, json_object_get(reply, "result"));
	page = json_pack("{s:O*}", "result", json_object_get(reply, "result"));
	json_object_set_new(page, "running",
	    json_boolean(json_object_get(reply, "running") != NULL));
	json_decref(reply);
	admin_page(r, w, "checks", "checks", page);
}

void
checks_post(struct web_request *r, struct web_response *w)
{
	if (runner_start(r, w, "server", json_object()) > 0)
		web_redirect(w, "/checks");
}
