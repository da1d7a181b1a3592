/*
 * Addresses that lead elsewhere: aliases and distribution lists.
 */
#include <string.h>

#include "admin-cgi/admin.h"

/* An array of what stands in a text, by lines, commas or blanks. */
static json_t *
addresses_of(const char *text)
{
	json_t *out = json_array();

	while (text != NULL && *text != '\0') {
		size_t n = strcspn(text, ", ;\t\r\n");

		if (n > 0)
			json_array_append_new(out, json_stringn(text, n));
		text += n;
		text += strspn(text, ", ;\t\r\n");
	}
	return out;
}

/*
 * A list page of one domain, or of all for who may; else the way to the own
 * domains.
 */
static void
send_list(struct web_request *r, struct web_response *w, const char *verb,
    const char *page, const struct problem *p)
{
	bool is_lists = strcmp(page, "lists") == 0;
	json_t *reply, *values;

	if (domain_of_page(r) == NULL && !is_lists &&
	    (admin_roles(r) & ROLE_SERVER) == 0) {
		web_redirect(w, "/domains");
		return;
	}
	if (admin_need(r, w, list_request(r, verb), &reply) != 0)
		return;
	values =
	    list_values(r, reply, json_incref(json_object_get(reply, "items")));
	json_decref(reply);
	json_object_set_new(
	    values, is_lists ? "on_lists" : "on_aliases", json_true());
	json_object_set_new(values, "typed",
	    json_pack("{ss,ss}", "address", web_form_text(r, "address"),
		"targets", web_form_text(r, "targets")));
	form_problem(r, w, p, values);
	admin_page(r, w, page, page, values);
}

/* --- Aliases --------------------------------------------------------------------- */

void
aliases_page(struct web_request *r, struct web_response *w)
{
	send_list(r, w, "alias list", "aliases", &no_problem);
}

static const char *
full_address(struct web_request *r, const char *text)
{
	const char *domain = domain_of_page(r);

	if (strchr(text, '@') != NULL || domain == NULL)
		return text;
	return pool_printf(&r->pool, "%s@%s", text, domain);
}

/* A new one; or drop=ADDRESS. */
void
aliases_post(struct web_request *r, struct web_response *w)
{
	const char *drop = web_form(r, "drop"), *flash = "saved";
	struct problem p = { 0 };
	json_t *request;
	int rc;

	if (drop != NULL) {
		flash = "alias_deleted";
		request = json_pack(
		    "{ss,ss}", "verb", "alias delete", "address", drop);
	} else {
		request = json_pack("{ss,ss,so,sb}", "verb", "alias add",
		    "address", full_address(r, web_form_text(r, "address")),
		    "targets", addresses_of(web_form(r, "targets")), "new", 1);
	}
	rc = admin_write(r, w, request, NULL, &p);
	if (rc > 0)
		send_list(r, w, "alias list", "aliases", &p);
	else if (rc == 0)
		admin_done(r, w, flash, "%s", r->path);
}

static json_t *
about(const struct web_request *r, const char *verb)
{
	return json_pack("{ss,ss}", "verb", verb, "address", r->args[0]);
}

static const char *
domain_part(const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL ? at + 1 : "";
}

/* clang-format off */
static const struct form_field alias_fields[] = {
	{ "targets", FORM_LINES, 0 },
};

/* clang-format on */

static const struct form alias_form = { alias_fields, ARRAY_LEN(alias_fields),
	"alias" };

static void
send_alias(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *reply, *values, *alias;

	if (admin_need(r, w, about(r, "alias show"), &reply) != 0)
		return;
	alias = json_object_get(reply, "alias");
	values = json_pack("{sO,so,sO,ss}", "a", alias, "f",
	    form_show(r, &alias_form, alias, p), "rev",
	    json_object_get(reply, "rev"), "domain", domain_part(r->args[0]));
	form_problem(r, w, p, values);
	json_decref(reply);
	admin_page(r, w, "alias", "aliases", values);
}

void
alias_page(struct web_request *r, struct web_response *w)
{
	send_alias(r, w, &no_problem);
}

/* Where it leads now; or do=delete. */
void
alias_post(struct web_request *r, struct web_response *w)
{
	bool gone = strcmp(web_form_text(r, "do"), "delete") == 0;
	const char *rev = web_form(r, "rev");
	json_t *request = about(r, gone ? "alias delete" : "alias add");
	struct problem p = { 0 };
	int rc;

	if (!gone)
		json_object_set_new(
		    request, "targets", addresses_of(web_form(r, "targets")));
	if (rev != NULL)
		json_object_set_new(request, "rev", json_string(rev));
	rc = admin_write(r, w, request, NULL, &p);
	if (rc > 0)
		send_alias(r, w, &p);
	else if (rc == 0)
		admin_done(r, w, gone ? "alias_deleted" : "saved",
		    "/d/%s/aliases", admin_url(r, domain_part(r->args[0])));
}

/* --- Distribution lists ------------------------------------------------------------ */

/* clang-format off */
static const struct form_field fields[] = {
	{ "name", FORM_TEXT, 0 },
	{ "members_only", FORM_SWITCH, 0 },
	{ "auth_required", FORM_SWITCH, 0 },
};

/* clang-format on */

static const struct form form = { fields, ARRAY_LEN(fields), NULL };

void
lists_page(struct web_request *r, struct web_response *w)
{
	send_list(r, w, "list list", "lists", &no_problem);
}

void
lists_post(struct web_request *r, struct web_response *w)
{
	const char *address = full_address(r, web_form_text(r, "address"));
	struct problem p = { 0 };
	int rc = admin_write(r, w,
	    json_pack("{ss,ss,ss,sb}", "verb", "list add", "address", address,
		"name", web_form_text(r, "name"), "auth_required", 1),
	    NULL, &p);

	if (rc > 0)
		send_list(r, w, "list list", "lists", &p);
	else if (rc == 0)
		admin_done(r, w, "list_added", "/l/%s", admin_url(r, address));
}

static void
send_one(struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *request = about(r, "list show"), *reply, *values, *list;
	const char *after = web_query(r, "after"), *next;

	if (after != NULL)
		json_object_set_new(request, "after", json_string(after));
	json_object_set_new(request, "limit", json_integer(200));
	if (admin_need(r, w, request, &reply) != 0)
		return;
	list = json_object_get(reply, "list");
	next = json_string_value(json_object_get(reply, "next"));
	values = json_pack("{sO,so,sO,sO,ss,ss}", "l", list, "f",
	    form_show(r, &form, list, p), "rev", json_object_get(reply, "rev"),
	    "members", json_object_get(reply, "items"), "domain",
	    domain_part(r->args[0]), "add", web_form_text(r, "add"));
	if (next != NULL)
		json_object_set_new(values, "next",
		    json_string(pool_printf(&r->pool, "%s%s?after=%s", r->base,
			r->path, admin_url(r, next))));
	form_problem(r, w, p, values);
	json_decref(reply);
	admin_page(r, w, "list", "lists", values);
}

void
list_page(struct web_request *r, struct web_response *w)
{
	send_one(r, w, &no_problem);
}

/* Rules; or do=add with "add"; or drop=MEMBER; or do=delete. */
static int
change_list(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *act = web_form_text(r, "do"), *drop = web_form(r, "drop");
	const char *rev = web_form(r, "rev");
	json_t *request =
	    about(r, strcmp(act, "delete") == 0 ? "list delete" : "list set");
	json_t *set;

	if (drop != NULL) {
		json_object_set_new(request, "remove", json_pack("[s]", drop));
	} else if (strcmp(act, "add") == 0) {
		json_object_set_new(
		    request, "add", addresses_of(web_form(r, "add")));
	} else if (act[0] == '\0') {
		set = form_read(r, &form, p);
		(void)json_object_update(request, set);
		json_decref(set);
		if (rev != NULL)
			json_object_set_new(request, "rev", json_string(rev));
	}
	return admin_write(r, w, request, NULL, p);
}

void
list_post(struct web_request *r, struct web_response *w)
{
	bool gone = strcmp(web_form_text(r, "do"), "delete") == 0;
	struct problem p = { 0 };
	int rc = change_list(r, w, &p);

	if (rc > 0)
		send_one(r, w, &p);
	else if (rc == 0 && gone)
		admin_done(r, w, "list_deleted", "/lists");
	else if (rc == 0)
		admin_done(r, w, "saved", "/l/%s", admin_url(r, r->args[0]));
}
