/*
 * Users: the list, what is done to several, and a new one.
 */
#include <string.h>

#include "base/log.h"
#include "base/num.h"

#include "admin-cgi/admin.h"

enum {
	ROWS = 50,
	CHOICES = 100 /* lists and aliases a new user may be put into */
};

/* clang-format off */
static const struct form_field new_fields[] = {
	{ "local", FORM_TEXT, 0 },
	{ "name", FORM_TEXT, 0 },
	{ "password", FORM_SECRET, 0 },
	{ "password2", FORM_SECRET, 0 },
	{ "lang", FORM_TEXT, 0 },
	{ "zone", FORM_ZONE, 0 },
	{ "quota_bytes", FORM_SIZE, 0 },
	{ "quota_messages", FORM_NUMBER, 0 },
	{ "max_message_bytes", FORM_SIZE, 0 },
	{ "may_change_password", FORM_SWITCH, 0 },
	{ "access.web", FORM_SWITCH, 0 },
	{ "access.pop3", FORM_SWITCH, 0 },
	{ "access.smtp", FORM_SWITCH, 0 },
	{ "roles", FORM_LINES, 0 },
};

/* clang-format on */

static const struct form new_form = { new_fields, ARRAY_LEN(new_fields), NULL };

const char *
domain_of_page(struct web_request *r)
{
	const char *domain =
	    r->args[0] != NULL ? r->args[0] : web_query(r, "domain");

	return domain != NULL && domain[0] != '\0' ? domain : NULL;
}

/* --- The list --------------------------------------------------------------------- */

json_t *
list_request(struct web_request *r, const char *verb)
{
	const char *domain = domain_of_page(r), *q = web_query(r, "q");
	const char *after = web_query(r, "after");

	return json_pack("{ss,ss*,ss*,ss*,si}", "verb", verb, "domain", domain,
	    "match", q != NULL && q[0] != '\0' ? q : NULL, "after", after,
	    "limit", ROWS);
}

json_t *
list_values(struct web_request *r, const json_t *reply, json_t *rows)
{
	const char *q = web_query(r, "q"), *domain = domain_of_page(r);
	const char *next = json_string_value(json_object_get(reply, "next"));
	json_t *values =
	    json_pack("{so,ss,ss,sb}", "rows", rows, "q", q != NULL ? q : "",
		"self", r->path, "first", web_query(r, "after") == NULL);

	if (next != NULL)
		json_object_set_new(values, "next",
		    json_string(pool_printf(&r->pool, "%s%s?q=%s&after=%s%s",
			r->base, r->path, admin_url(r, q != NULL ? q : ""),
			admin_url(r, next),
			web_query(r, "disabled")      ? "&disabled=1"
			    : web_query(r, "waiting") ? "&waiting=1"
						      : "")));
	if (domain != NULL)
		json_object_set_new(values, "domain", json_string(domain));
	return values;
}

json_t *
admin_role_words(struct web_request *r, const json_t *user)
{
	const json_t *roles = json_object_get(user, "roles");
	json_t *words = json_array();

	for (size_t i = 0; i < json_array_size(roles); i++) {
		struct slice name,
		    of = slice_cut(
			slice_str(json_string_value(json_array_get(roles, i))),
			':', &name);
		const char *word = page_text(r,
		    pool_printf(
			&r->pool, "role.%.*s", (int)name.len, name.data));

		json_array_append_new(words,
		    json_string(pool_printf(&r->pool, "%s%s%.*s", word,
			of.len > 0 ? " " : "", (int)of.len, of.data)));
	}
	return words;
}

/* What a row shows of a user. */
static json_t *
user_row(struct web_request *r, const json_t *user)
{
	json_t *row = json_deep_copy(user);
	json_int_t used =
	    json_integer_value(json_object_get(user, "used_bytes"));
	json_int_t quota =
	    json_integer_value(json_object_get(user, "quota_bytes"));
	const json_t *roles = json_object_get(user, "roles");
	const char *address =
	    json_string_value(json_object_get(user, "address"));

	json_object_set_new(row, "role_words", admin_role_words(r, user));
	json_object_set_new(
	    row, "is_admin", json_boolean(json_array_size(roles) > 0));
	json_object_set_new(row, "hue", json_integer(person_hue(address)));
	json_object_set_new(row, "initials",
	    person_initials(
		json_string_value(json_object_get(user, "name")), address));
	if (quota > 0)
		json_object_set_new(row, "percent",
		    json_integer(used >= quota ? 100 : used * 100 / quota));
	return row;
}

void
users_page(struct web_request *r, struct web_response *w)
{
	json_t *request = list_request(r, "user list");
	json_t *reply, *rows, *values, *one;
	size_t i;

	if (domain_of_page(r) == NULL && (admin_roles(r) & ROLE_SERVER) == 0) {
		json_decref(request);
		web_redirect(w, "/domains");
		return;
	}
	if (web_query(r, "disabled") != NULL)
		json_object_set_new(request, "disabled", json_true());
	if (web_query(r, "waiting") != NULL)
		json_object_set_new(request, "waiting", json_true());
	if (admin_need(r, w, request, &reply) != 0)
		return;
	rows = json_array();
	json_array_foreach(json_object_get(reply, "items"), i, one)
		json_array_append_new(rows, user_row(r, one));
	values = list_values(r, reply, rows);
	json_object_set(values, "total", json_object_get(reply, "total"));
	json_object_set_new(
	    values, "disabled", json_boolean(web_query(r, "disabled") != NULL));
	json_object_set_new(values, "on_users", json_true());
	json_decref(reply);
	admin_page(r, w, "users", "users", values);
}

/* --- Several at once ----------------------------------------------------------------- */

/* clang-format off */
static const struct act {
	const char *name, *verb;
	const char *key, *value; /* of "set", or NULL */
	const char *field;       /* of the form: whose text is the value */
} acts[] = {
	{ "disable", "user disable", NULL, NULL, NULL },
	{ "enable", "user enable", NULL, NULL, NULL },
	{ "delete", "user delete", NULL, NULL, NULL },
	{ "quota", "user set", "quota_bytes", NULL, "quota" },
	{ "web-on", "user set", "web", "yes", NULL },
	{ "web-off", "user set", "web", "no", NULL },
	{ "pop3-on", "user set", "pop3", "yes", NULL },
	{ "pop3-off", "user set", "pop3", "no", NULL },
	{ "smtp-on", "user set", "smtp", "yes", NULL },
	{ "smtp-off", "user set", "smtp", "no", NULL },
};

/* clang-format on */

static const struct act *
act_of(const struct web_request *r)
{
	const char *name = web_form(r, "do");

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(acts); i++)
		if (strcmp(acts[i].name, name) == 0)
			return &acts[i];
	return NULL;
}

static json_t *
act_request(
    const struct web_request *r, const struct act *a, const char *address)
{
	json_t *request =
	    json_pack("{ss,ss}", "verb", a->verb, "address", address);
	const char *value = a->field != NULL ? web_form(r, a->field) : a->value;

	if (a->key != NULL)
		json_object_set_new(request, "set",
		    json_pack("{ss}", a->key, value != NULL ? value : ""));
	return request;
}

/* Deleting several asks for their number; false: answered with that page. */
static bool
is_confirmed(struct web_request *r, struct web_response *w)
{
	const char *typed = web_form(r, "number"), *address;
	json_t *chosen = json_array(), *values;
	struct problem p = { 0 };
	uint64_t n;

	for (size_t i = 0; (address = web_form_next(r, "address", &i)) != NULL;)
		json_array_append_new(chosen, json_string(address));
	if (json_array_size(chosen) == 0 ||
	    (typed != NULL && num_parse(slice_str(typed), UINT32_MAX, &n) &&
		n == json_array_size(chosen))) {
		json_decref(chosen);
		return true;
	}
	if (typed != NULL) {
		p.status = 422;
		p.text = page_text(r, "users_delete.not_same");
	}
	values = json_pack("{si,so,ss}", "count", (int)json_array_size(chosen),
	    "chosen", chosen, "back", web_own_path(web_form(r, "back")));
	form_problem(r, w, &p, values);
	admin_page(r, w, "users_delete", "users", values);
	return false;
}

/* Each by itself: what is refused is listed, the rest is done. */
void
users_act(struct web_request *r, struct web_response *w)
{
	const struct act *a = act_of(r);
	json_t *failed = json_array(), *values;
	const char *address;
	size_t done = 0;

	if (a == NULL) {
		json_decref(failed);
		web_error(w, 400, page_text(r, "form.no_act"));
		return;
	}
	if (strcmp(a->name, "delete") == 0 && !is_confirmed(r, w)) {
		json_decref(failed);
		return;
	}
	for (size_t i = 0;
	     (address = web_form_next(r, "address", &i)) != NULL;) {
		struct problem p = { 0 };
		int rc =
		    admin_write(r, w, act_request(r, a, address), NULL, &p);

		if (rc < 0) {
			json_decref(failed);
			return;
		}
		if (rc == 0)
			done++;
		else
			json_array_append_new(failed,
			    json_pack("{ss,ss}", "address", address, "text",
				p.wrong_count > 0 ? p.wrong[0].text : p.text));
	}
	if (json_array_size(failed) == 0) {
		json_decref(failed);
		admin_done(r, w, done > 0 ? "users_done" : "none_chosen", "%s",
		    web_own_path(web_form(r, "back")));
		return;
	}
	w->status = 422;
	values = json_pack("{si,so,ss}", "done", (int)done, "failed", failed,
	    "back", web_own_path(web_form(r, "back")));
	admin_page(r, w, "users_done", "users", values);
}

/* --- A new one -------------------------------------------------------------------- */

/* What the domain's new users get, in the shape of a user. */
static int
load_defaults(struct web_request *r, struct web_response *w, const char *domain,
    json_t **out)
{
	json_t *reply;
	const json_t *d;

	if (admin_need(r, w,
		json_pack("{ss,ss}", "verb", "domain show", "domain", domain),
		&reply) != 0)
		return -1;
	d = json_object_get(json_object_get(reply, "domain"), "new_user");
	*out = json_pack("{si,sO,sO,sO,s{sO,sO,sO}}", "max_message_bytes", 0,
	    "quota_bytes", json_object_get(d, "quota_bytes"), "quota_messages",
	    json_object_get(d, "quota_messages"), "may_change_password",
	    json_object_get(d, "may_change_password"), "access", "pop3",
	    json_object_get(d, "pop3"), "smtp", json_object_get(d, "smtp"),
	    "web", json_object_get(d, "web"));
	json_decref(reply);
	return 0;
}

static bool
is_ticked(const struct web_request *r, const char *name, const char *value)
{
	const char *one;

	for (size_t i = 0; (one = web_form_next(r, name, &i)) != NULL;)
		if (strcmp(one, value) == 0)
			return true;
	return false;
}

/* The domain's lists, or aliases, for the new user to be in. */
static int
put_choices(struct web_request *r, struct web_response *w, const char *verb,
    const char *name, json_t *values)
{
	json_t *reply, *rows = json_array(), *one;
	size_t i;

	json_object_set_new(values, name, rows);
	if (admin_need(r, w,
		json_pack("{ss,ss,si}", "verb", verb, "domain",
		    domain_of_page(r), "limit", CHOICES),
		&reply) != 0)
		return -1;
	json_array_foreach(json_object_get(reply, "items"), i, one) {
		const char *address =
		    json_string_value(json_object_get(one, "address"));

		json_array_append_new(rows,
		    json_pack("{ss,sb}", "address", address, "chosen",
			is_ticked(r, name, address)));
	}
	if (json_object_get(reply, "next") != NULL)
		json_object_set_new(values, "more", json_true());
	json_decref(reply);
	return 0;
}

static void
send_new(struct web_request *r, struct web_response *w, const struct problem *p)
{
	const char *domain = domain_of_page(r);
	json_t *defaults, *values;

	if (load_defaults(r, w, domain, &defaults) != 0)
		return;
	values = json_pack("{ss,so,sb,sb,sb,ss}", "domain", domain, "f",
	    form_show(r, &new_form, defaults, p), "left",
	    p->code != NULL && strcmp(p->code, "mailbox-left") == 0, "generate",
	    web_form(r, "generate") != NULL, "must_change",
	    web_form(r, "must_change") != NULL, "address",
	    pool_printf(&r->pool, "%s@%s",
		web_form(r, "local") != NULL ? web_form(r, "local") : "",
		domain));
	json_decref(defaults);
	if (put_choices(r, w, "list list", "lists", values) != 0 ||
	    put_choices(r, w, "alias list", "groups", values) != 0) {
		json_decref(values);
		return;
	}
	form_problem(r, w, p, values);
	admin_page(r, w, "user_new", "users", values);
}

/* Without a domain: in the default one, else in the first that may be seen. */
static void
choose_domain(struct web_request *r, struct web_response *w)
{
	const char *domain = NULL;
	json_t *reply, *one;
	size_t i;

	if (admin_need(
		r, w, json_pack("{ss}", "verb", "domain list"), &reply) != 0)
		return;
	json_array_foreach(json_object_get(reply, "items"), i, one) {
		const char *real =
		    json_string_value(json_object_get(one, "alias_of"));

		if (real != NULL && real[0] != '\0')
			continue;
		if (domain == NULL ||
		    json_is_true(json_object_get(one, "default")))
			domain =
			    json_string_value(json_object_get(one, "name"));
	}
	if (domain == NULL)
		web_redirect(w, "/domains");
	else
		web_redirect(w,
		    pool_printf(
			&r->pool, "/d/%s/users/new", admin_url(r, domain)));
	json_decref(reply);
}

void
user_new_page(struct web_request *r, struct web_response *w)
{
	const struct problem none = { 0 };

	if (domain_of_page(r) == NULL)
		choose_domain(r, w);
	else
		send_new(r, w, &none);
}

static void
check_password(struct web_request *r, struct problem *p)
{
	const char *one = web_form(r, "password");
	const char *two = web_form(r, "password2");

	if (web_form(r, "generate") != NULL)
		return;
	if (one == NULL || one[0] == '\0')
		problem_add(p, "password", page_text(r, "form.no_password"));
	else if (two != NULL && strcmp(one, two) != 0)
		problem_add(p, "password2", page_text(r, "form.not_same"));
}

static json_t *
all_ticked(const struct web_request *r, const char *name)
{
	json_t *out = json_array();
	const char *one;

	for (size_t i = 0; (one = web_form_next(r, name, &i)) != NULL;)
		json_array_append_new(out, json_string(one));
	return out;
}

void
user_new_post(struct web_request *r, struct web_response *w)
{
	const char *domain = domain_of_page(r), *local = web_form(r, "local");
	const char *name = web_form(r, "name");
	struct problem p = { 0 };
	json_t *set = form_read(r, &new_form, &p);
	const char *address =
	    pool_printf(&r->pool, "%s@%s", local != NULL ? local : "", domain);
	json_t *request, *reply, *roles;
	int rc;

	if (local == NULL || local[0] == '\0' || strpbrk(local, " @") != NULL)
		problem_add(&p, "local", page_text(r, "form.not_local"));
	check_password(r, &p);
	for (size_t i = 0; i < 4; i++)
		(void)json_object_del(set, new_fields[i].name);
	roles = json_incref(json_object_get(set, "roles"));
	(void)json_object_del(set, "roles");
	if (p.status != 0) {
		json_decref(roles);
		json_decref(set);
		send_new(r, w, &p);
		return;
	}
	request = json_pack("{ss,ss,ss,so,sb}", "verb", "user add", "address",
	    address, "name", name != NULL ? name : "", "set", set,
	    "keep_mailbox", web_form(r, "keep_mailbox") != NULL);
	if (json_array_size(roles) > 0)
		json_object_set(request, "roles", roles);
	json_decref(roles);
	json_object_set_new(request, "lists", all_ticked(r, "lists"));
	json_object_set_new(request, "groups", all_ticked(r, "groups"));
	password_take(r, request);
	rc = admin_write(r, w, request, &reply, &p);
	if (rc > 0)
		send_new(r, w, &p);
	if (rc != 0)
		return;
	password_done(r, w, address, reply, "user_added");
	json_decref(reply);
}
