/*
 * Who administers what, and who did what: administrators and the audit log.
 */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#include "admin-cgi/ops.h"

void
admins_page(struct web_request *r, struct web_response *w)
{
	json_t *request = list_request(r, "user list"), *reply, *values;
	json_t *one;
	size_t i;

	if (domain_of_page(r) == NULL && (admin_roles(r) & ROLE_SERVER) == 0) {
		json_decref(request);
		web_redirect(w, "/domains");
		return;
	}
	json_object_set_new(request, "admins", json_true());
	if (admin_need(r, w, request, &reply) != 0)
		return;
	json_array_foreach(json_object_get(reply, "items"), i, one)
		json_object_set_new(
		    one, "role_words", admin_role_words(r, one));
	values =
	    list_values(r, reply, json_incref(json_object_get(reply, "items")));
	json_decref(reply);
	json_object_set_new(values, "on_admins", json_true());
	admin_page(r, w, "admins", "admins", values);
}

/* --- The audit log --------------------------------------------------------------- */

/* As it was recorded; in the pool. */
static const char *
raw_text(struct web_request *r, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *out = text != NULL ? pool_strdup(&r->pool, text) : "";

	free(text);
	return out;
}

/* What a member is called: a field of the directory, or a setting. */
static const char *
key_words(struct web_request *r, const char *key)
{
	const char *words = ops_words(r, "field", key);

	return strcmp(words, key) != 0 ? words : ops_words(r, "setting", key);
}

static const char *value_words(struct web_request *r, json_t *value);

/* Several, one behind the other. */
static const char *
values_words(struct web_request *r, json_t *value)
{
	const char *out = "", *key;
	json_t *one;
	size_t i;

	json_array_foreach(value, i, one)
		out = pool_printf(&r->pool, "%s%s%s", out, i > 0 ? ", " : "",
		    value_words(r, one));
	json_object_foreach(value, key, one)
		out = pool_printf(&r->pool, "%s%s%s: %s", out,
		    out[0] != '\0' ? "; " : "", key_words(r, key),
		    value_words(r, one));
	return out[0] != '\0' ? out : "\xe2\x80\x93";
}

/* A value for people: no quotes and brackets.  In the pool. */
static const char *
value_words(struct web_request *r, json_t *value)
{
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return ops_words(
		    r, "value", json_is_true(value) ? "yes" : "no");
	if (json_is_array(value) || json_is_object(value))
		return values_words(r, value);
	return json_is_number(value) ? raw_text(r, value) : "";
}

static void
add_change(struct web_request *r, json_t *changes, const char *key,
    json_t *before, json_t *after)
{
	json_array_append_new(changes,
	    json_pack("{ss,ss,ss}", "key", key, "before",
		value_words(r, before), "after", value_words(r, after)));
}

/* Only what differs between the two, where both are there. */
static json_t *
changes_of(struct web_request *r, json_t *before, json_t *after)
{
	json_t *changes = json_array(), *value;
	const char *key;

	json_object_foreach(after, key, value) {
		json_t *was = json_object_get(before, key);

		if (was == NULL || !json_equal(was, value))
			add_change(r, changes, key_words(r, key), was, value);
	}
	if (after == NULL && before != NULL)
		add_change(r, changes, "", before, NULL);
	return changes;
}

static json_t *
audit_rows(struct web_request *r, const json_t *items)
{
	json_t *rows = json_array(), *entry;
	size_t i;

	json_array_foreach(items, i, entry) {
		const char *verb = json_text(entry, "verb");
		json_t *row = json_pack("{sO,sO?,ss,ss,sO?,so,ss}", "actor",
		    json_object_get(entry, "actor"), "ip",
		    json_object_get(entry, "ip"), "verb", verb, "words",
		    ops_words(r, "verb", verb), "target",
		    json_object_get(entry, "target"), "changes",
		    changes_of(r, json_object_get(entry, "before"),
			json_object_get(entry, "after")),
		    "raw", raw_text(r, entry));

		if (row == NULL)
			continue; /* a damaged line */
		ops_put_time(row, "at",
		    json_string_value(json_object_get(entry, "time")));
		json_array_append_new(rows, row);
	}
	return rows;
}

/* What can be looked for, in the order it is offered. */
static const char *const acts[] = {
	"user add",
	"user import",
	"signup",
	"user set",
	"user passwd",
	"user aliases",
	"user disable",
	"user enable",
	"user sign-out",
	"user delete",
	"mailbox view",
	"mailbox aside",
	"mailbox settled",
	"mailbox back",
	"mailbox purge",
	"domain add",
	"domain set",
	"domain look",
	"domain disable",
	"domain enable",
	"domain delete",
	"alias add",
	"alias delete",
	"list add",
	"list set",
	"list delete",
	"setting set",
	"setting apply",
	"setting keep",
	"setting undo",
	"credential set",
	"credential delete",
	"dkim add",
	"dkim activate",
	"dkim retire",
	"dkim delete",
	"dkim restore",
	"tls install",
	"tls self-signed",
	"tls delete",
	"queue retry",
	"queue hold",
	"queue release",
	"queue bounce",
	"queue delete",
	"ban lift",
	"totp begin",
	"totp confirm",
	"totp remove",
	"app add",
	"app delete",
	"session confirm",
	"session end",
	"session password",
	"mailbox usage",
	"init",
};

static json_t *
act_choices(struct web_request *r)
{
	const char *chosen = web_query_text(r, "act");
	json_t *out = json_array();

	for (size_t i = 0; i < ARRAY_LEN(acts); i++)
		json_array_append_new(out,
		    json_pack("{ss,ss,sb}", "act", acts[i], "words",
			ops_words(r, "verb", acts[i]), "chosen",
			strcmp(chosen, acts[i]) == 0));
	return out;
}

static json_t *
audit_request(struct web_request *r)
{
	bool all = (admin_roles(r) & ROLE_SERVER) != 0;
	static const char *const given[] = { "who", "what", "act", "day" };
	const char *domain = domain_of_page(r);
	json_t *request = json_pack("{ss,ss*,si}", "verb",
	    domain == NULL && !all ? "audit about" : "audit list", "domain",
	    domain, "limit", 100);
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		if (web_query_text(r, given[i])[0] != '\0')
			json_object_set_new(request, given[i],
			    json_string(web_query(r, given[i])));
	if (num_parse(slice_str(web_query_text(r, "before")), INT64_MAX, &n))
		json_object_set_new(
		    request, "before", json_integer((json_int_t)n));
	return request;
}

void
audit_page(struct web_request *r, struct web_response *w)
{
	const char *who = web_query_text(r, "who"), *day = "";
	const char *what = web_query_text(r, "what");
	const char *domain = domain_of_page(r);
	json_int_t before = -1;
	json_t *reply, *values;

	if (admin_need(r, w, audit_request(r), &reply) != 0)
		return;
	values = json_pack("{so,so,ss,ss,ss}", "acts", act_choices(r), "rows",
	    audit_rows(r, json_object_get(reply, "items")), "who", who, "what",
	    what, "self", r->path);
	if (domain != NULL)
		json_object_set_new(values, "domain", json_string(domain));
	json_object_set_new(values, "on_audit", json_true());
	if (json_unpack(reply, "{s:{s:s,s?I}}", "next", "day", &day, "before",
		&before) == 0)
		json_object_set_new(values, "next",
		    json_string(pool_printf(&r->pool,
			before >= 0
			    ? "%s%s?who=%s&what=%s&act=%s&day=%s&before=%lld"
			    : "%s%s?who=%s&what=%s&act=%s&day=%s",
			r->base, r->path, admin_url(r, who), admin_url(r, what),
			admin_url(r, web_query_text(r, "act")), day,
			(long long)before)));
	json_decref(reply);
	admin_page(r, w, "audit", "audit", values);
}
