/*
 * The address book: list, one person, groups; and what address fields are
 * completed from.
 */
#include "webmail-cgi/contacts.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/store_contacts.h"
#include "webmail-cgi/user.h"

enum {
	PAGE_ROWS = 100,
	SPARE_FIELDS = 2, /* empty ones for addresses to be added */
};

/* 0: none, or not a number. */
static int64_t
id_of(const char *text)
{
	uint64_t id;

	return text != NULL && num_parse(slice_str(text), INT64_MAX, &id)
	    ? (int64_t)id
	    : 0;
}

static void
failed(struct web_request *r, struct web_response *w, const struct err *e)
{
	log_error("contacts of %s: %s", session_of(r)->address, e->text);
	web_error(w, 503, page_text(r, "contacts.failed"));
}

/* --- The list ---------------------------------------------------------------------- */

static json_t *
groups_json(const struct contact_groups *groups, int64_t current)
{
	json_t *list = json_array();

	for (size_t i = 0; i < groups->count; i++)
		json_array_append_new(list,
		    json_pack("{sI,ss,sI,sb}", "id",
			(json_int_t)groups->list[i].id, "name",
			groups->list[i].name, "count",
			(json_int_t)groups->list[i].count, "current",
			groups->list[i].id == current));
	return list;
}

static json_t *
people_json(const struct contacts *people)
{
	json_t *list = json_array();

	for (size_t i = 0; i < people->count; i++) {
		const struct contact *c = &people->list[i];
		const char *address = c->addresses[0].address;
		const char *name = c->name[0] != '\0' ? c->name
		    : address[0] != '\0'              ? address
						      : c->company;

		json_array_append_new(list,
		    json_pack("{sI,ss,ss,ss,so,si}", "id", (json_int_t)c->id,
			"name", name, "company", c->company, "address", address,
			"initials", person_initials(name, address), "hue",
			person_hue(address[0] != '\0' ? address : name)));
	}
	return list;
}

/* What the page before did: a fixed text, whatever the URL has. */
static const char *
flash_of(struct web_request *r)
{
	static const char *const known[] = { "saved", "deleted", "group",
		"group_there" };
	const char *flash = web_query_text(r, "flash");

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i], flash) == 0)
			return page_text(r,
			    pool_printf(&r->pool, "contacts.flash.%s", flash));
	}
	return "";
}

void
contacts_page(struct web_request *r, struct web_response *w)
{
	int64_t group = id_of(web_query(r, "g"));
	const struct contact_query query = { .text = web_query_text(r, "q"),
		.group = group,
		.after = id_of(web_query(r, "after")),
		.limit = PAGE_ROWS };
	struct contact_groups groups;
	struct contacts people;
	struct sql *db;
	json_t *values;
	struct err e;

	if (user_store(r, false, &db, &e) != 0 ||
	    store_groups(db, &r->pool, &groups, &e) != 0 ||
	    store_contacts(db, &query, &r->pool, &people, &e) != 0) {
		failed(r, w, &e);
		return;
	}
	values = json_pack("{so,so,ss,ss,sb}", "groups",
	    groups_json(&groups, group), "people", people_json(&people), "q",
	    web_query_text(r, "q"), "flash", flash_of(r), "in_contacts", true);
	for (size_t i = 0; i < groups.count; i++) {
		if (groups.list[i].id == group)
			json_object_set(values, "group",
			    json_array_get(
				json_object_get(values, "groups"), i));
	}
	if (people.more)
		json_object_set_new(values, "next",
		    json_integer(people.list[people.count - 1].id));
	page_send(r, w, "contacts", page_text(r, "contacts.title"), values);
}

/* --- One person ------------------------------------------------------------------------- */

static json_t *
addresses_json(const struct contact *c)
{
	json_t *list = json_array();
	size_t count =
	    num_min(c->address_count + SPARE_FIELDS, CONTACT_ADDRESSES_MAX);

	for (size_t i = 0; i < count; i++) {
		const struct contact_address none = { "", "" };
		const struct contact_address *a =
		    i < c->address_count ? &c->addresses[i] : &none;

		json_array_append_new(list,
		    json_pack("{sI,ss,sb,sb}", "n", (json_int_t)i + 1,
			"address", a->address, "home",
			strcmp(a->kind, "home") == 0, "work",
			strcmp(a->kind, "work") == 0));
	}
	return list;
}

static bool
has_group(const struct contact *c, const char *name)
{
	struct slice rest = slice_str(c->groups_text), line;

	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		if (slice_ieq_str(slice_trim(line), name))
			return true;
	}
	return false;
}

static void
send_contact(struct web_request *r, struct web_response *w,
    const struct contact *c, const char *error)
{
	struct contact_groups groups;
	json_t *values, *list;
	struct sql *db;
	struct err e;

	if (user_store(r, false, &db, &e) != 0 ||
	    store_groups(db, &r->pool, &groups, &e) != 0) {
		failed(r, w, &e);
		return;
	}
	list = groups_json(&groups, 0);
	for (size_t i = 0; i < groups.count; i++)
		json_object_set_new(json_array_get(list, i), "member",
		    json_boolean(has_group(c, groups.list[i].name)));
	values = json_pack("{ss,ss,ss,ss,so,so,ss,sb}", "name", c->name,
	    "company", c->company, "phones", c->phones, "note", c->note,
	    "addresses", addresses_json(c), "groups", list, "error", error,
	    "in_contacts", true);
	if (c->id != 0)
		json_object_set_new(values, "id", json_integer(c->id));
	page_send(r, w, "contact",
	    c->id == 0 ? page_text(r, "contacts.new") : c->name, values);
}

/* A new one may be filled in from the URL ("Add to contacts"). */
static void
new_contact(struct web_request *r, struct contact *c)
{
	contact_init(c);
	c->name = web_query_text(r, "name");
	if (web_query_text(r, "address")[0] == '\0')
		return;
	c->addresses = pool_zalloc(&r->pool, sizeof(*c->addresses));
	c->addresses[0] =
	    (struct contact_address){ "", web_query_text(r, "address") };
	c->address_count = 1;
}

/* The contact of the URL: 1, 0 answered already. */
static int
find_contact(struct web_request *r, struct web_response *w, struct contact *c)
{
	struct sql *db;
	struct err e;
	int found;

	if (r->args[0] == NULL) {
		new_contact(r, c);
		return 1;
	}
	found = user_store(r, false, &db, &e) != 0
	    ? -1
	    : store_contact_find(db, id_of(r->args[0]), &r->pool, c, &e);
	if (found < 0)
		failed(r, w, &e);
	else if (found == 0)
		web_error(w, 404, page_text(r, "contacts.unknown"));
	return found > 0;
}

void
contact_page(struct web_request *r, struct web_response *w)
{
	struct contact c;

	if (find_contact(r, w, &c))
		send_contact(r, w, &c, "");
}

/* --- Saving -------------------------------------------------------------------------------- */

/* Fields address and kind repeat together; those without address are none. */
static void
take_addresses(struct web_request *r, struct contact *c)
{
	const char *address;
	size_t a = 0, k = 0;

	c->addresses = pool_zalloc(
	    &r->pool, CONTACT_ADDRESSES_MAX * sizeof(*c->addresses));
	c->address_count = 0;
	while (c->address_count < CONTACT_ADDRESSES_MAX &&
	    (address = web_form_next(r, "address", &a)) != NULL) {
		const char *kind = web_form_next(r, "kind", &k);
		struct slice text = slice_trim(slice_str(address));
		struct contact_address *to = &c->addresses[c->address_count];

		if (text.len == 0)
			continue;
		to->address = pool_strndup(&r->pool, text.data, text.len);
		to->kind = kind && strcmp(kind, "home") == 0 ? "home"
		    : kind && strcmp(kind, "work") == 0      ? "work"
							     : "";
		c->address_count++;
	}
}

static void
take_groups(struct web_request *r, struct contact *c)
{
	const char *name;
	size_t pos = 0;

	c->groups_text = "";
	while ((name = web_form_next(r, "group", &pos)) != NULL)
		c->groups_text =
		    pool_printf(&r->pool, "%s%s\n", c->groups_text, name);
}

/* Only fields that are there change anything. */
static void
take_form(struct web_request *r, struct contact *c)
{
	const char **const texts[] = { &c->name, &c->company, &c->phones,
		&c->note };
	static const char *const names[] = { "name", "company", "phones",
		"note" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct slice text = slice_trim(slice_str(
		    web_form(r, names[i]) ? web_form(r, names[i]) : *texts[i]));

		*texts[i] = pool_strndup(&r->pool, text.data, text.len);
	}
	if (web_form(r, "address") != NULL)
		take_addresses(r, c);
	if (web_form(r, "groups") != NULL) /* the hidden field before them */
		take_groups(r, c);
}

static bool
has_bad_address(const struct contact *c)
{
	for (size_t i = 0; i < c->address_count; i++) {
		struct slice a = slice_str(c->addresses[i].address);
		ptrdiff_t at = slice_rchr(a, '@');

		if (at <= 0 || (size_t)at + 1 == a.len ||
		    slice_chr(a, ' ') >= 0 || slice_chr(a, '<') >= 0 ||
		    slice_chr(a, ',') >= 0)
			return true;
	}
	return false;
}

static int
save(struct web_request *r, struct contact *c, struct err *e)
{
	struct sql *db;

	if (user_store(r, true, &db, e) != 0 || sql_begin(db, e) != 0)
		return -1;
	if (store_contact_put(db, c, clock_wall_ms(), e) == 0 &&
	    sql_commit(db, e) == 0)
		return 0;
	sql_rollback(db);
	return -1;
}

static void
save_contact(struct web_request *r, struct web_response *w, struct contact *c)
{
	const char *error = NULL;
	struct err e;

	take_form(r, c);
	if (has_bad_address(c))
		error = "contacts.bad_address";
	else if (c->name[0] == '\0' && c->address_count == 0)
		error = "contacts.empty";
	else if (save(r, c, &e) != 0)
		error = e.kind == ERR_PERM ? "contacts.too_many" : "";
	if (error == NULL) {
		web_redirect(w, "/contacts?flash=saved");
	} else if (error[0] == '\0') {
		failed(r, w, &e);
	} else {
		w->status = 422;
		send_contact(r, w, c, page_text(r, error));
	}
}

void
contact_post(struct web_request *r, struct web_response *w)
{
	struct contact c;
	struct sql *db;
	struct err e;

	if (!find_contact(r, w, &c))
		return;
	if (strcmp(web_form_text(r, "do"), "delete") != 0) {
		save_contact(r, w, &c);
	} else if (user_store(r, true, &db, &e) != 0 ||
	    store_contact_delete(db, c.id, &e) != 0) {
		failed(r, w, &e);
	} else {
		web_redirect(w, "/contacts?flash=deleted");
	}
}

/* --- Groups ------------------------------------------------------------------------------------ */

void
groups_post(struct web_request *r, struct web_response *w)
{
	const char *what = web_form_text(r, "do");
	struct slice name = slice_trim(slice_str(web_form_text(r, "name")));
	const char *text = pool_strndup(&r->pool, name.data, name.len);
	int64_t id = id_of(web_form(r, "id"));
	struct sql *db;
	struct err e;
	int rc = 0;

	if (user_store(r, true, &db, &e) != 0) {
		failed(r, w, &e);
		return;
	}
	if (strcmp(what, "delete") == 0)
		rc = store_group_delete(db, id, &e);
	else if (name.len > 0 && strcmp(what, "rename") == 0)
		rc = store_group_rename(db, id, text, &e);
	else if (name.len > 0 && strcmp(what, "add") == 0)
		rc = store_group_add(db, text, &e);
	if (rc != 0 && e.kind != ERR_PERM)
		failed(r, w, &e);
	else
		web_redirect(w,
		    rc == 0 ? "/contacts?flash=group"
			    : "/contacts?flash=group_there");
}

/* --- Completion ----------------------------------------------------------------------------------- */

/* RFC 5322 3.4: a name with anything special in it is quoted. */
static void
add_mailbox(const struct suggestion *s, struct buf *out)
{
	if (s->name[0] == '\0' || s->is_group) {
		buf_addstr(out, s->address);
		return;
	}
	buf_addc(out, '"');
	for (const char *p = s->name; *p != '\0'; p++) {
		if (*p != '"' && *p != '\\')
			buf_addc(out, *p);
	}
	buf_addf(out, "\" <%s>", s->address);
}

void
complete_page(struct web_request *r, struct web_response *w)
{
	struct suggestion list[SUGGESTIONS_MAX];
	size_t count = 0;
	struct sql *db;
	json_t *people = json_array();
	struct err e;

	if (user_store(r, false, &db, &e) != 0 ||
	    store_complete(db, web_query_text(r, "q"), clock_wall_ms(),
		&r->pool, list, &count, &e) != 0)
		log_warning(
		    "completion of %s: %s", session_of(r)->address, e.text);
	for (size_t i = 0; i < count; i++) {
		struct buf value;

		buf_init(&value, WEB_BODY_MAX / SUGGESTIONS_MAX);
		add_mailbox(&list[i], &value);
		json_array_append_new(people,
		    json_pack("{ss%,ss}", "value", value.data, value.len,
			"label",
			list[i].is_group ? list[i].name : list[i].address));
		buf_release(&value);
	}
	page_send(r, w, "_people", "", json_pack("{so}", "people", people));
}
