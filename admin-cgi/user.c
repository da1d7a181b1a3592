/*
 * One user: everything about the account, its other addresses, its end.
 */
#include <string.h>

#include "base/slice.h"

#include "admin-cgi/ops.h"

/* clang-format off */
static const struct form_field fields[] = {
	{ "name", FORM_TEXT, 0 },
	{ "lang", FORM_TEXT, 0 },
	{ "zone", FORM_ZONE, 0 },
	{ "quota_bytes", FORM_SIZE, 0 },
	{ "quota_messages", FORM_NUMBER, 0 },
	{ "max_message_bytes", FORM_SIZE, 0 },
	{ "may_change_password", FORM_SWITCH, 0 },
	{ "access.web", FORM_SWITCH, 0 },
	{ "access.pop3", FORM_SWITCH, 0 },
	{ "access.smtp", FORM_SWITCH, 0 },
	{ "forward", FORM_LINES, 0 },
	{ "forward_keep", FORM_SWITCH, 0 },
	{ "roles", FORM_LINES, 0 },
};

/* clang-format on */

static const struct form form = { fields, ARRAY_LEN(fields), NULL };

static const char *
address_of(const struct web_request *r)
{
	return r->args[0];
}

static const char *
domain_part(const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL ? at + 1 : "";
}

static json_t *
about(const struct web_request *r, const char *verb)
{
	return json_pack("{ss,ss}", "verb", verb, "address", address_of(r));
}

/* --- Showing ---------------------------------------------------------------------- */

static void
send_user(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *reply, *values, *user;
	const char *address, *name;

	if (admin_need(r, w, about(r, "user show"), &reply) != 0)
		return;
	user = json_object_get(reply, "user");
	address = json_string_value(json_object_get(user, "address"));
	name = json_string_value(json_object_get(user, "name"));
	values = json_pack("{sO,so,sO,sO,ss,si,so}", "u", user, "f",
	    form_show(r, &form, user, p), "rev", json_object_get(reply, "rev"),
	    "second_step", json_object_get(reply, "second_step"), "domain",
	    domain_part(address), "hue", person_hue(address), "initials",
	    person_initials(name, address));
	if (json_integer_value(json_object_get(user, "quota_bytes")) > 0 ||
	    json_integer_value(json_object_get(user, "quota_messages")) > 0)
		json_object_set_new(user, "limited", json_true());
	json_object_set_new(user, "role_words", admin_role_words(r, user));
	json_object_set_new(values, "signins", signins_of(r, address));
	json_object_set_new(values, "is_self",
	    json_boolean(strcmp(address, session_of(r)->address) == 0));
	form_problem(r, w, p, values);
	json_decref(reply);
	admin_page(r, w, "user", "users", values);
}

void
user_page(struct web_request *r, struct web_response *w)
{
	const struct problem none = { 0 };

	send_user(r, w, &none);
}

/* --- Other addresses ----------------------------------------------------------------- */

static int
add_alias(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *local = web_form(r, "alias");
	const char *alias = pool_printf(&r->pool, "%s@%s",
	    local != NULL ? local : "", domain_part(address_of(r)));
	int rc = admin_write(r, w,
	    json_pack("{ss,ss,s[s],sb}", "verb", "alias add", "address", alias,
		"targets", address_of(r), "new", 1),
	    NULL, p);

	return rc;
}

/* An alias that leads to others as well stays with them. */
static int
drop_alias(struct web_request *r, struct web_response *w, const char *alias,
    struct problem *p)
{
	json_t *reply, *rest, *one, *request;
	size_t i;

	if (admin_need(r, w,
		json_pack("{ss,ss}", "verb", "alias show", "address", alias),
		&reply) != 0)
		return -1;
	rest = json_array();
	json_array_foreach(
	    json_object_get(json_object_get(reply, "alias"), "targets"), i, one)
		if (!slice_ieq_str(
			slice_str(json_string_value(one)), address_of(r)))
			json_array_append(rest, one);
	request = json_pack("{ss,ss,sO}", "verb",
	    json_array_size(rest) > 0 ? "alias add" : "alias delete", "address",
	    alias, "rev", json_object_get(reply, "rev"));
	json_object_set_new(request, "targets", rest);
	json_decref(reply);
	return admin_write(r, w, request, NULL, p);
}

/* --- Changing ------------------------------------------------------------------------ */

/* Roles need a fresh password, so those that stay are not sent. */
static void
drop_same_roles(struct web_request *r, json_t *set)
{
	json_t *reply;
	struct err e;

	if (json_object_get(set, "roles") == NULL ||
	    admin_ask(r, about(r, "user show"), &reply, &e) != 0)
		return;
	if (json_equal(json_object_get(set, "roles"),
		json_object_get(json_object_get(reply, "user"), "roles")))
		(void)json_object_del(set, "roles");
	json_decref(reply);
}

static int
save(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *rev = web_form(r, "rev");
	json_t *request = about(r, "user set");
	json_t *set = form_read(r, &form, p);

	json_object_set_new(request, "set", set);
	if (rev != NULL)
		json_object_set_new(request, "rev", json_string(rev));
	drop_same_roles(r, set);
	if (p->status != 0) {
		json_decref(request);
		return 1;
	}
	return admin_write(r, w, request, NULL, p);
}

void
password_take(const struct web_request *r, json_t *request)
{
	const char *password = web_form(r, "password");

	if (web_form(r, "generate") != NULL)
		json_object_set_new(request, "generate", json_true());
	else
		json_object_set_new(request, "password",
		    json_string(password != NULL ? password : ""));
	json_object_set_new(request, "must_change",
	    json_boolean(web_form(r, "must_change") != NULL));
}

void
password_done(struct web_request *r, struct web_response *w,
    const char *address, const json_t *reply, const char *flash)
{
	const json_t *made = json_object_get(reply, "password");

	if (made == NULL)
		admin_done(r, w, flash, "/u/%s", admin_url(r, address));
	else
		admin_page(r, w, "user_password", "users",
		    json_pack("{ss,so}", "address", address, "password",
			json_string(json_string_value(made))));
}

/* Told to its end here, since the answer may be a page of its own. */
static void
set_password(struct web_request *r, struct web_response *w)
{
	json_t *request = about(r, "user passwd"), *reply;
	struct problem p = { 0 };
	int rc;

	password_take(r, request);
	rc = admin_write(r, w, request, &reply, &p);
	if (rc > 0)
		send_user(r, w, &p);
	if (rc != 0)
		return;
	password_done(r, w, address_of(r), reply, "password_set");
	json_decref(reply);
}

static int
suspend(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *until = web_form(r, "until");
	json_t *request = about(r, "user disable");

	if (until != NULL && until[0] != '\0')
		json_object_set_new(request, "until",
		    json_string(pool_printf(&r->pool, "%sT00:00:00Z", until)));
	return admin_write(r, w, request, NULL, p);
}

void
user_post(struct web_request *r, struct web_response *w)
{
	const char *act = web_form(r, "do"), *alias = web_form(r, "unalias");
	const char *flash = "saved";
	struct problem p = { 0 };
	int rc;

	if (act == NULL)
		act = "";
	if (strcmp(act, "password") == 0) {
		set_password(r, w);
		return;
	}
	if (alias != NULL)
		rc = drop_alias(r, w, alias, &p);
	else if (strcmp(act, "alias") == 0)
		rc = add_alias(r, w, &p);
	else if (strcmp(act, "suspend") == 0)
		rc = suspend(r, w, &p), flash = "suspended";
	else if (strcmp(act, "enable") == 0)
		rc = admin_write(r, w, about(r, "user enable"), NULL, &p),
		flash = "enabled";
	else if (strcmp(act, "second-step") == 0)
		rc = admin_write(r, w, about(r, "totp remove"), NULL, &p),
		flash = "second_step_off";
	else
		rc = save(r, w, &p);
	if (rc > 0)
		send_user(r, w, &p);
	else if (rc == 0)
		admin_done(r, w, flash, "/u/%s", admin_url(r, address_of(r)));
}

/* --- The end ---------------------------------------------------------------------------- */

static void
send_delete(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *reply, *values;

	if (admin_need(r, w, about(r, "user show"), &reply) != 0)
		return;
	values = json_pack("{sO,ss}", "u", json_object_get(reply, "user"),
	    "domain", domain_part(address_of(r)));
	json_object_set_new(values, "aside",
	    json_boolean(
		r->method != WEB_POST || web_form(r, "aside") != NULL));
	json_decref(reply);
	form_problem(r, w, p, values);
	admin_page(r, w, "user_delete", "users", values);
}

void
user_delete_page(struct web_request *r, struct web_response *w)
{
	const struct problem none = { 0 };

	send_delete(r, w, &none);
}

/* The account is gone whatever becomes of this; the page there says so too. */
static bool
put_aside(struct web_request *r)
{
	json_t *reply;
	struct err e;

	if (runner_ask(r, about(r, "mailbox aside"), &reply, &e) != 0)
		return false;
	json_decref(reply);
	return true;
}

void
user_delete_post(struct web_request *r, struct web_response *w)
{
	const char *typed = web_form(r, "name");
	struct problem p = { 0 };
	int rc = 1;

	if (typed == NULL ||
	    !slice_ieq_str(slice_trim(slice_str(typed)), address_of(r))) {
		p.status = 422;
		p.text = page_text(r, "user_delete.not_same");
	} else {
		rc = admin_write(r, w, about(r, "user delete"), NULL, &p);
	}
	if (rc > 0)
		send_delete(r, w, &p);
	else if (rc == 0 && web_form(r, "aside") != NULL && !put_aside(r))
		admin_done(r, w, "mailbox_stays", "/mailboxes");
	else if (rc == 0)
		admin_done(r, w, "user_deleted", "/d/%s/users",
		    admin_url(r, domain_part(address_of(r))));
}
