/*
 * A domain's DNS records: what should be there is known without asking
 * anybody and always shown; what is there is a job of the runner's, whose last
 * result is shown with its time and made anew when it is old.
 */
#include <string.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/log.h"
#include "directory/domain_check.h"
#include "mail/address.h"

#include "admin-cgi/ops.h"

enum {
	FRESH_MS = 10 * 60 * 1000,
	ZONE_MAX = 256 * 1024,
};

/* --- As a zone file ---------------------------------------------------------------- */

static bool
is_inside(const char *name, const char *domain)
{
	size_t len = strlen(name), own = strlen(domain);

	return len >= own && strcmp(name + len - own, domain) == 0 &&
	    (len == own || name[len - own - 1] == '.');
}

/* RFC 1035 5.1 */
static void
add_strings(const json_t *record, struct buf *out)
{
	json_t *part;
	size_t i;

	json_array_foreach(json_object_get(record, "strings"), i, part) {
		buf_addstr(out, " \"");
		for (const char *p = json_string_value(part); *p != '\0'; p++)
			buf_addf(out, strchr("\"\\", *p) ? "\\%c" : "%c", *p);
		buf_addstr(out, "\"");
	}
}

/*
 * A line a record; what does not belong into this zone, or is not known yet,
 * is a comment.
 */
static const char *
zone_of(struct web_request *r, const char *domain, const json_t *records)
{
	const char *text;
	struct buf out;
	json_t *rec;
	size_t i;

	buf_init(&out, ZONE_MAX);
	json_array_foreach(records, i, rec) {
		const char *type = json_text(rec, "type");
		const char *name = json_text(rec, "name");
		const char *value = json_text(rec, "value");
		bool is_address = type[0] == 'A';
		struct ip ip;

		if (!is_inside(name, domain) ||
		    (is_address && !ip_parse(slice_str(value), &ip)))
			buf_addstr(&out, "; ");
		buf_addf(&out, "%s. IN %s", name, type);
		if (strcmp(type, "TXT") == 0)
			add_strings(rec, &out);
		else /* the others end with a name */
			buf_addf(&out, " %s%s", value, is_address ? "" : ".");
		buf_addstr(&out, "\n");
	}
	text =
	    pool_strndup(&r->pool, out.data != NULL ? out.data : "", out.len);
	buf_release(&out);
	return text;
}

/* --- What is wanted, what is there -------------------------------------------------- */

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

/* domain_check() without a question to the DNS; NULL: an answer is sent. */
static json_t *
wanted(struct web_request *r, struct web_response *w, const char *domain)
{
	struct domain_check q = { .domain = domain, .wanted_only = true };
	struct settings *all;
	json_t *keys, *out = NULL;
	struct err e;

	if (admin_need(r, w,
		json_pack("{s:s,s:s}", "verb", "dkim list", "domain", domain),
		&keys) != 0)
		return NULL;
	all = directory_settings(admin_of(r)->directory);
	q.settings = all;
	q.keys = json_object_get(keys, "items");
	if (domain_check(&q, &out, &e) != 0)
		admin_refuse(r, w, &e);
	settings_free(all);
	json_decref(keys);
	return out;
}

/* Are the texts that are wanted now those which were looked for? */
static bool
has_all_texts(const json_t *found, const json_t *wanted_now)
{
	json_t *now, *then;
	size_t i, k;

	json_array_foreach(wanted_now, i, now) {
		bool has = strcmp(json_text(now, "type"), "TXT") != 0;

		json_array_foreach(found, k, then)
			has |= strcmp(json_text(now, "value"),
				   json_text(then, "value")) == 0;
		if (!has)
			return false;
	}
	return true;
}

/* What the page knows of a domain. */
struct state {
	json_t
	    *result; /* domain_check.h's: with what is there, or wanted only */
	int64_t at_ms; /* when it was looked up; 0 = never */
	bool running;  /* it is looked up now */
	bool no_runner;
};

/*
 * With `look` what is old is looked up anew.  -1: an answer is sent already.
 */
static int
find_state(struct web_request *r, struct web_response *w, const char *domain,
    bool look, struct state *out)
{
	json_t *plan = wanted(r, w, domain), *reply = NULL, *done = NULL;
	json_t *args = json_pack("{s:s}", "domain", domain);
	struct err e;

	*out = (struct state){ .result = plan };
	if (plan != NULL &&
	    runner_ask(r,
		json_pack("{s:s,s:s,s:O}", "verb", "tool last", "tool",
		    "domain", "args", args),
		&reply, &e) != 0)
		out->no_runner = true;
	if (plan == NULL || out->no_runner) {
		json_decref(args);
		return plan != NULL ? 0 : -1;
	}
	done = json_incref(json_object_get(reply, "result"));
	out->at_ms = json_integer_value(json_object_get(reply, "done_ms"));
	out->running = json_object_get(reply, "running") != NULL;
	json_decref(reply);
	if (!has_all_texts(json_object_get(done, "records"),
		json_object_get(plan, "records")))
		out->at_ms = 0; /* a key came, or it could not ask at all */
	if (look && !out->running && clock_wall_ms() - out->at_ms > FRESH_MS) {
		json_int_t job =
		    runner_start(r, w, "domain", json_incref(args));
		json_t *now = job > 0 ? runner_wait(r, job) : NULL;

		out->running = now == NULL;
		if (now != NULL) {
			json_decref(done);
			done = now;
			out->at_ms = clock_wall_ms();
		}
	}
	json_decref(args);
	if (out->at_ms > 0 && json_object_get(done, "records") != NULL) {
		json_decref(plan);
		out->result = done;
	} else {
		json_decref(done);
		out->at_ms = 0;
	}
	return 0;
}

static void
shape_records(struct web_request *r, json_t *page, json_t *records, bool full)
{
	json_int_t need = 0, unknown = 0;
	json_t *rec;
	size_t i;

	json_array_foreach(records, i, rec) {
		const char *state = json_text(rec, "state");
		bool is_ok = strcmp(state, "ok") == 0;

		if (!is_ok && !json_is_true(json_object_get(rec, "answered")))
			state = "unknown";
		need += !is_ok && strcmp(state, "unknown") != 0;
		unknown += strcmp(state, "unknown") == 0;
		json_object_set_new(rec, "shown",
		    json_string(json_text(rec, full ? "name" : "short_name")));
		json_object_set_new(rec, "state_text",
		    json_string(ops_words(r, "state", state)));
		json_object_set_new(rec, "tone",
		    json_string(is_ok                       ? "good"
			    : strcmp(state, "missing") == 0 ? "bad"
			    : strcmp(state, "unknown") == 0 ? ""
							    : "warn"));
	}
	json_object_set_new(page, "need", json_integer(need));
	json_object_set_new(page, "unknown", json_integer(unknown));
	json_object_set_new(
	    page, "all", json_integer((json_int_t)json_array_size(records)));
}

json_t *
dns_last(struct web_request *r, const char *domain)
{
	json_t *reply, *records, *out = NULL;
	struct err e;

	if (runner_ask(r,
		json_pack("{s:s,s:s,s:{s:s}}", "verb", "tool last", "tool",
		    "domain", "args", "domain", domain),
		&reply, &e) != 0)
		return NULL;
	records = json_object_get(json_object_get(reply, "result"), "records");
	if (json_array_size(records) > 0) {
		out = json_object();
		shape_records(r, out, records, false);
		json_object_set_new(out, "tone",
		    json_string(
			json_integer_value(json_object_get(out, "need")) > 0
			    ? "warn"
			    : json_integer_value(
				  json_object_get(out, "unknown")) > 0
			    ? ""
			    : "good"));
	}
	json_decref(reply);
	return out;
}

/* --- The pages ---------------------------------------------------------------------- */

/* The signing keys, with what may be done to each; false: answered. */
static bool
put_keys(struct web_request *r, struct web_response *w, const char *domain,
    json_t *page)
{
	json_t *reply, *key, *keys;
	bool some_new = false;
	size_t i;

	if (admin_need(r, w,
		json_pack("{s:s,s:s}", "verb", "dkim list", "domain", domain),
		&reply) != 0)
		return false;
	keys = json_object_get(reply, "items");
	json_array_foreach(keys, i, key) {
		const char *state = json_text(key, "state");
		bool is_active = strcmp(state, "active") == 0;

		some_new |= strcmp(state, "new") == 0;
		json_object_set_new(key, "state_text",
		    json_string(ops_words(r, "key.state", state)));
		json_object_set_new(key, "active", json_boolean(is_active));
		ops_put_time(key, "since", json_text(key, "changed_at"));
		ops_put_time(key, "until", json_text(key, "needed_until"));
	}
	json_object_set_new(page, "some_new", json_boolean(some_new));
	json_object_set(page, "dkim", keys);
	json_decref(reply);
	return true;
}

static void
show_dns(struct web_request *r, struct web_response *w, const char *domain,
    const struct problem *p)
{
	bool full = web_query(r, "full") != NULL;
	json_t *page, *records;
	struct state now;

	if (find_state(r, w, domain, true, &now) != 0)
		return;
	records = json_object_get(now.result, "records");
	page = json_pack("{s:s,s:b,s:b,s:b,s:b,s:s}", "domain", domain, "full",
	    full, "on_dns", 1, "running", now.running, "no_runner",
	    now.no_runner, "zone", zone_of(r, domain, records));
	shape_records(r, page, records, full);
	json_object_set(page, "records", records);
	if (now.at_ms > 0) {
		ops_shape_checks(r, now.result);
		json_object_set_new(page, "looked",
		    json_pack("{s:I,s:O}", "at", (json_int_t)now.at_ms,
			"checks", json_object_get(now.result, "checks")));
	}
	json_decref(now.result);
	if (!put_keys(r, w, domain, page)) {
		json_decref(page);
		return;
	}
	form_problem(r, w, p, page);
	admin_page(r, w, "dns", "domains", page);
}

void
dns_page(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w);

	if (domain != NULL)
		show_dns(r, w, domain, &no_problem);
}

/* A step of changing keys; false: another button. */
static bool
keys_act(struct web_request *r, struct web_response *w, const char *domain)
{
	const char *act = web_form(r, "keys"), *gone = web_form(r, "drop");
	struct problem p = { 0 };
	json_t *ask = NULL;
	int rc;

	if (gone != NULL)
		ask = json_pack("{s:s,s:s,s:s}", "verb", "dkim delete",
		    "domain", domain, "selector", gone);
	else if (act != NULL)
		ask = json_pack("{s:s,s:s}", "verb",
		    strcmp(act, "switch") == 0 ? "dkim activate" : "dkim add",
		    "domain", domain);
	if (ask == NULL)
		return false;
	rc = admin_write(r, w, ask, NULL, &p);
	if (rc > 0)
		show_dns(r, w, domain, &p);
	else if (rc == 0)
		admin_done(r, w, "saved", "/d/%s/dns", admin_url(r, domain));
	return true;
}

void
dns_post(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w);

	if (domain != NULL && !keys_act(r, w, domain) &&
	    runner_start(r, w, "domain", json_pack("{s:s}", "domain", domain)) >
		0)
		web_redirect(w, pool_printf(&r->pool, "/d/%s/dns", domain));
}

void
dns_zone_get(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w), *zone;
	struct state now;
	struct err e;

	if (domain == NULL || find_state(r, w, domain, false, &now) != 0)
		return;
	zone = zone_of(r, domain, json_object_get(now.result, "records"));
	json_decref(now.result);
	web_download(
	    w, pool_printf(&r->pool, "%s.zone", domain), "text/plain", false);
	if (web_stream(w, zone, strlen(zone), &e) != 0)
		log_warning("zone file: %s", e.text);
}
