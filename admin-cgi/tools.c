/*
 * Tools, checks and a domain's DNS records: forms that start a job of the
 * runner's, and pages that show what it found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "mail/address.h"

#include "admin-cgi/ops.h"

enum {
	COMMANDS_MAX = 50
};

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* Start a job; its number, or 0 when an answer is sent already. */
static json_int_t
start(struct web_request *r, struct web_response *w, const char *tool,
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
	job = start(r, w, tool, args);
	if (job > 0)
		web_redirect(
		    w, pool_printf(&r->pool, "/tools/%lld", (long long)job));
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
	tool = text_of(reply, "tool");
	json_object_del(json_object_get(reply, "args"), "commands");
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
			if (strcmp(text_of(check, "state"), order[k]) != 0)
				continue;
			json_incref(check);
			(void)json_array_remove(checks, i);
			(void)json_array_insert_new(checks, front++, check);
		}
	}
}

static void
shape_checks(struct web_request *r, json_t *result)
{
	json_t *check;
	size_t i;

	sort_checks(result);

	json_array_foreach(json_object_get(result, "checks"), i, check) {
		const char *state = text_of(check, "state");

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
	ops_put_time(result, "at", text_of(result, "at"));
}

void
checks_page(struct web_request *r, struct web_response *w)
{
	json_t *reply, *page;

	if (runner_need(r, w,
		json_pack("{s:s,s:s}", "verb", "tool last", "tool", "server"),
		&reply) != 0)
		return;
	shape_checks(r, json_object_get(reply, "result"));
	page = json_pack("{s:O*}", "result", json_object_get(reply, "result"));
	json_object_set_new(page, "running",
	    json_boolean(strcmp(text_of(reply, "state"), "running") == 0));
	json_decref(reply);
	admin_page(r, w, "checks", "checks", page);
}

void
checks_post(struct web_request *r, struct web_response *w)
{
	if (start(r, w, "server", json_object()) > 0)
		web_redirect(w, "/checks");
}

/* --- DNS of a domain -------------------------------------------------------------- */

/* "name TYPE value" lines, TXT in pieces of 255 bytes. */
static const char *
zone_of(struct web_request *r, json_t *records)
{
	const char *zone = "";
	json_t *rec, *part;
	size_t i, k;

	json_array_foreach(records, i, rec) {
		bool txt = strcmp(text_of(rec, "type"), "TXT") == 0;
		zone = pool_printf(&r->pool, "%s%s. IN %s", zone,
		    text_of(rec, "name"), text_of(rec, "type"));
		json_array_foreach(json_object_get(rec, "strings"), k, part)
			zone =
			    pool_printf(&r->pool, txt ? "%s \"%s\"" : "%s %s",
				zone, json_string_value(part));
		zone = pool_printf(&r->pool, "%s\n", zone);
	}
	return zone;
}

static void
shape_records(struct web_request *r, json_t *records, bool full)
{
	json_t *rec;
	size_t i;

	json_array_foreach(records, i, rec) {
		const char *state = text_of(rec, "state");

		json_object_set_new(rec, "shown",
		    json_string(text_of(rec, full ? "name" : "short_name")));
		json_object_set_new(rec, "state_text",
		    json_string(page_text(
			r, pool_printf(&r->pool, "state.%s", state))));
		json_object_set_new(rec, "tone",
		    json_string(strcmp(state, "ok") == 0    ? "good"
			    : strcmp(state, "missing") == 0 ? "bad"
							    : "warn"));
	}
}

/* The domain of the path, if it is one of those who asks may see. */
static const char *
own_domain(struct web_request *r, struct web_response *w)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	json_t *reply;
	struct err e;

	if (domain_normalise(slice_str(r->args[0]), name, &e) != 0) {
		web_error(w, 404, e.text);
		return NULL;
	}
	if (admin_need(r, w,
		json_pack("{s:s,s:s}", "verb", "domain show", "domain", name),
		&reply) != 0)
		return NULL;
	json_decref(reply);
	return pool_strdup(&r->pool, name);
}

void
dns_page(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w), *job = web_query(r, "job");
	bool full = web_query(r, "full") != NULL;
	json_t *reply, *page, *result, *records;
	uint64_t number = 0;

	if (domain == NULL)
		return;
	page = json_pack(
	    "{s:s,s:b,s:b}", "domain", domain, "full", full, "on_dns", 1);
	if (job != NULL && num_parse(slice_str(job), INT64_MAX, &number)) {
		if (runner_need(r, w,
			json_pack("{s:s,s:I}", "verb", "tool show", "job",
			    (json_int_t)number),
			&reply) != 0) {
			json_decref(page);
			return;
		}
		result = json_object_get(reply, "result");
		records = json_object_get(result, "records");
		json_object_set_new(
		    page, "running", json_boolean(result == NULL));
		if (result != NULL &&
		    strcmp(text_of(result, "domain"), domain) == 0) {
			shape_records(r, records, full);
			shape_checks(r, result);
			json_object_set(page, "result", result);
			json_object_set_new(
			    page, "zone", json_string(zone_of(r, records)));
		}
		json_object_set_new(
		    page, "job", json_integer((json_int_t)number));
		json_decref(reply);
	}
	admin_page(r, w, "dns", "domains", page);
}

void
dns_post(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w);
	json_int_t job;

	if (domain == NULL)
		return;
	job = start(r, w, "domain", json_pack("{s:s}", "domain", domain));
	if (job > 0)
		web_redirect(w,
		    pool_printf(&r->pool, "/d/%s/dns?job=%lld", domain,
			(long long)job));
}
