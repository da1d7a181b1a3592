/*
 * Certificates: what there is, put one in, make one, take one away.  accountd
 * has the files; a key goes there and is never shown again, not even to be
 * posted once more: it is asked for together with the password.
 */
#include <string.h>

#include "base/clock.h"

#include "admin-cgi/health.h"
#include "admin-cgi/ops.h"

static const char hook[] = MAILSTEAD_PREFIX "/libexec/mailstead/acme-hook";

/* One row: its days and what to think of them. */
static void
judge_row(struct web_request *r, json_t *row, int64_t warn_days)
{
	const char *until =
	    json_string_value(json_object_get(row, "not_after"));
	int64_t ms = 0, left;

	if (until == NULL || !clock_parse_rfc3339(slice_str(until), &ms)) {
		json_object_set_new(row, "class", json_string("bad"));
		return;
	}
	left = ms - clock_wall_ms();
	ops_put_time(row, "not_after", until);
	json_object_set_new(row, "class",
	    json_string(left < 0                      ? "bad"
		    : left < warn_days * 86400 * 1000 ? "warn"
						      : "good"));
	json_object_set_new(row, "state",
	    json_string(page_text(r,
		left < 0                              ? "certs.over"
		    : left < warn_days * 86400 * 1000 ? "certs.soon"
						      : "certs.good")));
	json_object_set_new(row, "is_default",
	    json_boolean(strcmp(json_string_value(json_object_get(row, "name")),
			     "default") == 0));
}

static void
send_page(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	static const char *const typed[] = { "name", "certificate", "host",
		"made" };
	struct settings *all = directory_settings(admin_of(r)->directory);
	int64_t warn = settings_int(all, SET_ALERT_CERTIFICATE);
	json_t *values, *fields = json_object(), *reply, *row;
	const char *after = web_query(r, "after");
	size_t i;

	settings_free(all);
	if (admin_need(r, w,
		json_pack("{s:s,s:s*}", "verb", "tls list", "after", after),
		&reply) != 0) {
		json_decref(fields);
		return;
	}
	json_array_foreach(json_object_get(reply, "items"), i, row)
		judge_row(r, row, warn);
	for (i = 0; i < ARRAY_LEN(typed); i++)
		if (web_form(r, typed[i]) != NULL)
			json_object_set_new(fields, typed[i],
			    json_string(web_form(r, typed[i])));
	values = json_pack("{s:O,s:o,s:s,s:O*}", "rows",
	    json_object_get(reply, "items"), "typed", fields, "hook", hook,
	    "next", json_object_get(reply, "next"));
	json_decref(reply);
	form_problem(r, w, p, values);
	admin_page(r, w, "certificates", "certificates", values);
}

void
certificates_page(struct web_request *r, struct web_response *w)
{
	send_page(r, w, &no_problem);
}

/* do=install, or made=NAME, or drop=NAME. */
void
certificates_post(struct web_request *r, struct web_response *w)
{
	const char *drop = web_form(r, "drop"), *made = web_form(r, "made");
	const char *host = web_form(r, "host");
	struct problem p = { 0 };
	json_t *request;
	int rc;

	if (drop != NULL)
		request =
		    json_pack("{s:s,s:s}", "verb", "tls delete", "name", drop);
	else if (made != NULL)
		request = json_pack("{s:s,s:s,s:s*}", "verb", "tls self-signed",
		    "name", made, "host",
		    host != NULL && host[0] != '\0' ? host : NULL);
	else
		request = json_pack("{s:s,s:s*,s:s*,s:s*}", "verb",
		    "tls install", "name", web_form(r, "name"), "certificate",
		    web_form(r, "certificate"), "key", web_form(r, "key"));
	rc = admin_write(r, w, request, NULL, &p);
	if (p.text == NULL && p.wrong_count > 0)
		p.text = p.wrong[0].text;
	if (rc > 0)
		send_page(r, w, &p);
	else if (rc == 0)
		admin_done(r, w,
		    drop != NULL ? "cert_deleted" : "cert_installed",
		    "/certificates");
}
