/*
 * Users and passwords for smart hosts.  A password goes to accountd and is
 * never shown again.
 */
#include "admin-cgi/ops.h"

/* clang-format off */
static const struct form_field fields[] = {
	{ "name", FORM_TEXT, 0 },
	{ "user", FORM_TEXT, 0 },
	{ "password", FORM_SECRET, 0 },
};

/* clang-format on */

static const struct form form = { fields, ARRAY_LEN(fields), "credential" };

static void
send_page(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *reply, *values;

	if (admin_need(r, w, json_pack("{ss}", "verb", "credential list"),
		&reply) != 0)
		return;
	values = json_pack("{sO,so}", "rows", json_object_get(reply, "items"),
	    "f", form_show(r, &form, NULL, p));
	json_decref(reply);
	form_problem(r, w, p, values);
	admin_page(r, w, "credentials", "settings", values);
}

void
credentials_page(struct web_request *r, struct web_response *w)
{
	send_page(r, w, &no_problem);
}

/* A new or another one of the name; or drop=NAME. */
void
credentials_post(struct web_request *r, struct web_response *w)
{
	const char *drop = web_form(r, "drop");
	struct problem p = { 0 };
	json_t *request;
	int rc;

	if (drop != NULL)
		request = json_pack(
		    "{ss,ss}", "verb", "credential delete", "name", drop);
	else
		request = json_pack("{ss,ss*,ss*,ss*}", "verb",
		    "credential set", "name", web_form(r, "name"), "user",
		    web_form(r, "user"), "password", web_form(r, "password"));
	rc = admin_write(r, w, request, NULL, &p);
	if (rc > 0)
		send_page(r, w, &p);
	else if (rc == 0)
		admin_done(r, w, "saved", "/credentials");
}
