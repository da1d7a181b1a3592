/*
 * The settings pages; see settings.h.  A topic is a row: its template's
 * values, and what its POST does; the preferences among them are forms made of
 * store_user's table.
 */
#include "webmail-cgi/settings.h"

#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "mail/address.h"

#include "webmail-cgi/user.h"

enum {
	NAME_MAX_BYTES = 200,
	LABEL_NAME_MAX = 60,
	ALIASES_MAX = 50,
	PREFS_MAX = 8,
};

struct topic {
	const char *id;
	enum pref prefs[PREFS_MAX]; /* ended by PREF_COUNT */
	void (*fill)(struct web_request *r, json_t *values);
	/* NULL: done; else the key of what is wrong */
	const char *(*change)(struct web_request *r);
};

static void page(struct web_request *r, struct web_response *w,
    const struct topic *t, const char *error);

static const char *
trouble(struct web_request *r, const struct err *e)
{
	log_error("settings of %s: %s", session_of(r)->address, e->text);
	return "settings.failed";
}

/* --- accountd -------------------------------------------------------------------- */

/* One question about the user's own account. */
static int
ask(struct web_request *r, const char *verb, json_t *request, json_t **reply,
    struct err *e)
{
	json_object_set_new(request, "verb", json_string(verb));
	json_object_set_new(
	    request, "session", json_string(session_of(r)->token));
	json_object_set_new(
	    request, "address", json_string(session_of(r)->address));
	return accountd_call(
	    webmail_of(r)->accountd, request, ACCOUNTD_TIMEOUT_MS, reply, e);
}

/* Takes `set`; what accountd refuses is told in its words. */
static const char *
set_user(struct web_request *r, json_t *set)
{
	json_t *reply;
	struct err e;

	if (json_object_size(set) == 0) {
		json_decref(set);
		return NULL;
	}
	if (ask(r, "user set", json_pack("{so}", "set", set), &reply, &e) ==
	    0) {
		json_decref(reply);
		return NULL;
	}
	return e.kind == ERR_TEMP ? trouble(r, &e)
				  : pool_printf(&r->pool, "=%s", e.text);
}

/* --- Preferences ------------------------------------------------------------------- */

static const struct {
	const char *lang, *name;
} languages[] = { { "en", "English" }, { "ar", "العربية" }, { "de", "Deutsch" },
	{ "es", "Español" }, { "fa", "فارسی" }, { "fr", "Français" },
	{ "he", "עברית" }, { "nb", "Norsk" } };

static void
add_choice(
    json_t *choices, const char *value, const char *label, const char *now)
{
	json_array_append_new(choices,
	    json_pack("{ss,ss,sb}", "value", value, "label", label, "selected",
		strcmp(value, now) == 0));
}

/* "settings.theme_dark", else the choice itself: a number says enough. */
static const char *
choice_label(struct web_request *r, enum pref p, const char *choice)
{
	const char *key =
	    pool_printf(&r->pool, "settings.%s_%s", store_pref_name(p), choice);
	const char *text = page_text(r, key);

	return strcmp(text, key) == 0 ? choice : text;
}

static json_t *
choices_of(struct web_request *r, enum pref p, const char *now)
{
	struct slice rest = slice_str(store_pref_choices(p)), one;
	json_t *choices = json_array();

	if (p == PREF_LANG) {
		add_choice(
		    choices, "", page_text(r, "settings.lang_auto"), now);
		for (size_t i = 0; i < ARRAY_LEN(languages); i++)
			if (template_has_lang(
				webmail_of(r)->templates, languages[i].lang))
				add_choice(choices, languages[i].lang,
				    languages[i].name, now);
		return choices;
	}
	while (rest.len > 0) {
		const char *value;

		rest = slice_cut(rest, '|', &one);
		value = pool_strndup(&r->pool, one.data, one.len);
		add_choice(choices, value, choice_label(r, p, value), now);
	}
	return choices;
}

static json_t *
pref_fields(struct web_request *r, const struct topic *t)
{
	const struct prefs *prefs = user_prefs(r);
	json_t *fields = json_array();

	for (size_t i = 0; i < PREFS_MAX && t->prefs[i] != PREF_COUNT; i++) {
		enum pref p = t->prefs[i];
		const char *name = store_pref_name(p);
		json_t *choices = choices_of(r, p, prefs->value[p]);
		json_t *field = json_pack("{ss,ss,ss,sb}", "name", name,
		    "label",
		    page_text(r, pool_printf(&r->pool, "settings.%s", name)),
		    "value", prefs->value[p], "text",
		    json_array_size(choices) == 0);

		json_object_set_new(field, "choices", choices);
		json_array_append_new(fields, field);
	}
	return fields;
}

static bool
zone_is_known(const char *zone)
{
	return zone[0] == '\0' || strcmp(zone, "UTC") == 0 ||
	    template_has_zone(zone);
}

static const char *
change_prefs(struct web_request *r, const struct topic *t)
{
	struct sql *db;
	struct err e;

	for (size_t i = 0; i < PREFS_MAX && t->prefs[i] != PREF_COUNT; i++) {
		const char *value = web_form(r, store_pref_name(t->prefs[i]));

		if (value == NULL)
			continue;
		if (t->prefs[i] == PREF_ZONE && !zone_is_known(value))
			return "settings.bad_zone";
		if (t->prefs[i] == PREF_LANG && value[0] != '\0' &&
		    !template_has_lang(webmail_of(r)->templates, value))
			return "settings.bad_value";
		if (user_store(r, true, &db, &e) != 0)
			return trouble(r, &e);
		if (store_pref_set(db, t->prefs[i], value, &e) != 0)
			return e.kind == ERR_SYNTAX ? "settings.bad_value"
						    : trouble(r, &e);
	}
	return NULL;
}

/* --- Reading: senders whose pictures are shown ------------------------------------------ */

static void
fill_reading(struct web_request *r, json_t *values)
{
	json_t *senders = json_array();
	const char **list;
	struct sql *db;
	size_t count;
	struct err e;

	if (user_store(r, false, &db, &e) == 0 &&
	    store_pictures_list(db, &r->pool, &list, &count, &e) == 0)
		for (size_t i = 0; i < count; i++)
			json_array_append_new(senders, json_string(list[i]));
	json_object_set_new(values, "senders", senders);
	json_object_set_new(
	    values, "has_senders", json_boolean(json_array_size(senders) > 0));
}

static const char *
change_reading(struct web_request *r)
{
	const char *address = web_form(r, "forget");
	struct sql *db;
	struct err e;

	if (address == NULL)
		return NULL;
	if (user_store(r, true, &db, &e) != 0 ||
	    store_pictures_forget(db, address, &e) != 0)
		return trouble(r, &e);
	return NULL;
}

/* --- Identities ----------------------------------------------------------------------------- */

static void
fill_identities(struct web_request *r, json_t *values)
{
	json_t *array = json_array();
	struct identities all;
	struct err e;

	if (user_identities(r, &all, &e) != 0)
		(void)trouble(r, &e);
	for (size_t i = 0; i < all.count; i++)
		json_array_append_new(array,
		    json_pack("{si,ss,ss,ss,ss,sb,sb}", "n", (int)i, "address",
			all.list[i].address, "name", all.list[i].name,
			"reply_to", all.list[i].reply_to, "signature",
			all.list[i].signature, "preset", i == all.preset,
			"several", all.count > 1));
	json_object_set_new(values, "identities", array);
}

/* A field of the form; `old` if it is not there. */
static const char *
field(struct web_request *r, const char *name, const char *old)
{
	const char *value = web_form(r, name);

	return value != NULL ? value : old;
}

static bool
is_line(const char *text, size_t max)
{
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			return false;
	return strlen(text) <= max;
}

static bool
is_address(struct web_request *r, const char *text)
{
	struct address a;
	struct err e;

	return address_parse(slice_str(text), 0, &r->pool, &a, &e) == 0;
}

static const char *
change_identity(struct web_request *r)
{
	const char *address = web_form(r, "address");
	const struct identity *old;
	struct identities all;
	struct identity new;
	struct sql *db;
	struct err e;

	if (address == NULL)
		return NULL;
	if (user_identities(r, &all, &e) != 0)
		return trouble(r, &e);
	old = identities_for(&all, address);
	if (ascii_casecmp(old->address, address) != 0)
		return "settings.not_yours";
	new = (struct identity){
		.address = old->address,
		.name = field(r, "name", old->name),
		.reply_to = field(r, "reply_to", old->reply_to),
		.signature = field(r, "signature", old->signature),
		.is_default = old->is_default || web_form(r, "preset") != NULL,
	};
	if (!is_line(new.name, NAME_MAX_BYTES) ||
	    strlen(new.signature) > SIGNATURE_MAX)
		return "settings.bad_value";
	if (new.reply_to[0] != '\0' && !is_address(r, new.reply_to))
		return "settings.bad_address";
	new.signature = user_text(&r->pool, new.signature, true);
	if (user_store(r, true, &db, &e) != 0 ||
	    store_identity_put(db, &new, &e) != 0)
		return trouble(r, &e);
	return NULL;
}

/* --- Labels ------------------------------------------------------------------------------------ */

static json_t *
hue_choices(struct web_request *r, int chosen)
{
	json_t *hues = json_array();

	for (int h = 0; h < 8; h++)
		json_array_append_new(hues,
		    json_pack("{si,sb,ss}", "h", h, "selected", h == chosen,
			"name",
			page_text(
			    r, pool_printf(&r->pool, "settings.hue.%d", h))));
	return hues;
}

/* All pages have the labels; here with the colours to choose from. */
static void
fill_labels(struct web_request *r, json_t *values)
{
	json_t *labels = user_labels(r), *label;
	size_t i;

	json_array_foreach(labels, i, label) {
		int now =
		    (int)json_integer_value(json_object_get(label, "hue"));

		json_object_set_new(label, "hues", hue_choices(r, now));
	}
	json_object_set_new(values, "new_hues", hue_choices(r, 0));
	json_object_set_new(values, "own_labels", labels);
}

static const char *
change_labels(struct web_request *r)
{
	const char *name = web_form(r, "name"), *id = web_form(r, "id");
	const char *hue_text = field(r, "hue", "0");
	uint64_t hue, n = 0;
	struct sql *db;
	struct err e;
	int rc;

	if (!num_parse(slice_str(hue_text), 7, &hue) ||
	    (id != NULL && !num_parse(slice_str(id), INT64_MAX, &n)) ||
	    (name != NULL &&
		(!is_line(name, LABEL_NAME_MAX) ||
		    slice_trim(slice_str(name)).len == 0)))
		return "settings.bad_value";
	if (user_store(r, true, &db, &e) != 0)
		return trouble(r, &e);
	if (id != NULL && web_form(r, "delete") != NULL)
		rc = store_label_delete(db, (int64_t)n, &e);
	else if (name == NULL)
		return NULL;
	else if (id != NULL)
		rc = store_label_change(db, (int64_t)n, name, (int)hue, &e);
	else
		rc = store_label_add(db, name, (int)hue, &e);
	if (rc == 0)
		return NULL;
	return e.kind == ERR_PERM ? "settings.label_taken" : trouble(r, &e);
}

/* --- Forwarding and own aliases ----------------------------------------------------------------- */

static json_t *
lines_of(const json_t *array)
{
	struct buf out;
	json_t *text;

	buf_init(&out, 64 * 1024);
	for (size_t i = 0; i < json_array_size(array); i++)
		buf_addf(
		    &out, "%s\n", json_string_value(json_array_get(array, i)));
	text = json_stringn(out.data, out.len);
	buf_release(&out);
	return text;
}

static bool
may_change_aliases(struct web_request *r)
{
	return json_is_true(
	    json_object_get(session_of(r)->user, "may_change_aliases"));
}

static void
fill_forward(struct web_request *r, json_t *values)
{
	const json_t *user = session_of(r)->user;

	json_object_set_new(
	    values, "forward", lines_of(json_object_get(user, "forward")));
	json_object_set(
	    values, "forward_keep", json_object_get(user, "forward_keep"));
	json_object_set_new(
	    values, "aliases", lines_of(json_object_get(user, "aliases")));
	json_object_set_new(
	    values, "may_aliases", json_boolean(may_change_aliases(r)));
}

/* One a line, or separated by commas; takes the text apart. */
static json_t *
list_of(const char *text)
{
	json_t *list = json_array();

	while (*text != '\0') {
		size_t n = strcspn(text, " ,;\r\n\t");

		if (n > 0)
			json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] != '\0');
	}
	return list;
}

static const char *
change_aliases(struct web_request *r)
{
	const char *aliases = web_form(r, "aliases");
	json_t *reply;
	struct err e;

	if (aliases == NULL || strcmp(aliases, "nochange") == 0)
		return NULL;
	if (ask(r, "user aliases",
		json_pack("{so}", "aliases", list_of(aliases)), &reply,
		&e) == 0) {
		json_decref(reply);
		return NULL;
	}
	return e.kind == ERR_TEMP ? trouble(r, &e)
				  : pool_printf(&r->pool, "=%s", e.text);
}

/* The box is preceded by a hidden forward_keep=no. */
static const char *
change_forward(struct web_request *r)
{
	const char *forward = web_form(r, "forward"), *keep = NULL, *one;
	json_t *set = json_object();
	const char *error;

	for (size_t i = 0;
	     (one = web_form_next(r, "forward_keep", &i)) != NULL;)
		keep = one;
	if (forward != NULL)
		json_object_set_new(set, "forward", list_of(forward));
	if (keep != NULL)
		json_object_set_new(set, "forward_keep",
		    json_string(strcmp(keep, "yes") == 0 ? "yes" : "no"));
	error = set_user(r, set);
	return error != NULL ? error : change_aliases(r);
}

/* --- Account --------------------------------------------------------------------------------------- */

static void
fill_account(struct web_request *r, json_t *values)
{
	const json_t *user = session_of(r)->user;

	json_object_set_new(
	    values, "account_name", json_string(session_of(r)->name));
	json_object_set(values, "may_password",
	    json_object_get(user, "may_change_password"));
}

static const char *
change_account(struct web_request *r)
{
	const char *old = web_form(r, "old_password");
	const char *new = web_form(r, "new_password");
	const char *again = web_form(r, "new_password2");
	const char *name = web_form(r, "name");
	json_t *reply;
	struct err e;

	if (name != NULL) {
		const char *error =
		    set_user(r, json_pack("{ss}", "name", name));

		if (error != NULL)
			return error;
	}
	if (old == NULL || new == NULL)
		return NULL;
	if (again != NULL && strcmp(new, again) != 0)
		return "settings.not_same";
	if (ask(r, "user passwd",
		json_pack("{ss,ss}", "old_password", old, "password", new),
		&reply, &e) != 0)
		return e.kind == ERR_TEMP
		    ? trouble(r, &e)
		    : pool_printf(&r->pool, "=%s", e.text);
	json_decref(reply);
	return NULL;
}

/* --- The topics -------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct topic topics[] = {
	{ "reading", { PREF_ROWS, PREF_TALKS, PREF_READ_AFTER, PREF_PLAIN, PREF_PICTURES, PREF_RECEIPTS, PREF_KEYS, PREF_COUNT }, fill_reading, change_reading },
	{ "writing", { PREF_UNDO, PREF_QUOTE, PREF_COLLECT, PREF_COUNT }, NULL, NULL },
	{ "identities", { PREF_COUNT }, fill_identities, change_identity },
	{ "labels", { PREF_COUNT }, fill_labels, change_labels },
	{ "look", { PREF_THEME, PREF_DENSITY, PREF_LANG, PREF_ZONE, PREF_COUNT }, NULL, NULL },
	{ "forward", { PREF_COUNT }, fill_forward, change_forward },
	{ "account", { PREF_COUNT }, fill_account, change_account },
};

/* clang-format on */

static const struct topic *
topic_of(const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (strcmp(topics[i].id, id) == 0)
			return &topics[i];
	return NULL;
}

static json_t *
tab(struct web_request *r, const char *id, const char *key, const char *here)
{
	return json_pack("{ss,ss,sb}", "id", id, "label", page_text(r, key),
	    "current", strcmp(id, here) == 0);
}

json_t *
settings_tabs(struct web_request *r, const char *here)
{
	json_t *array = json_array();

	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		json_array_append_new(array,
		    tab(r, topics[i].id,
			pool_printf(&r->pool, "settings.%s", topics[i].id),
			here));
	json_array_append_new(
	    array, tab(r, "sessions", "settings.sessions", here));
	json_array_append_new(array, tab(r, "program", "program.tab", here));
	return array;
}

static void
page(struct web_request *r, struct web_response *w, const struct topic *t,
    const char *error)
{
	const char *title =
	    page_text(r, pool_printf(&r->pool, "settings.%s", t->id));
	json_t *values = json_pack("{ss,so,so,sb,sb}", "topic", t->id, "tabs",
	    settings_tabs(r, t->id), "fields", pref_fields(r, t), "in_settings",
	    1, "saved", web_query(r, "saved") != NULL);

	json_object_set_new(
	    values, pool_printf(&r->pool, "is_%s", t->id), json_true());
	json_object_set_new(
	    values, "has_fields", json_boolean(t->prefs[0] != PREF_COUNT));
	if (t->fill != NULL)
		t->fill(r, values);
	if (error != NULL)
		json_object_set_new(values, "error",
		    json_string(
			error[0] == '=' ? error + 1 : page_text(r, error)));
	page_send(r, w, "settings", title, values);
}

void
settings_root(struct web_request *r, struct web_response *w)
{
	(void)r;
	web_redirect(w, "/settings/reading");
}

void
settings_page(struct web_request *r, struct web_response *w)
{
	const struct topic *t = topic_of(r->args[0]);

	if (t == NULL)
		web_error(w, 404, page_text(r, "settings.unknown"));
	else
		page(r, w, t, NULL);
}

void
settings_post(struct web_request *r, struct web_response *w)
{
	const struct topic *t = topic_of(r->args[0]);
	const char *error, *back = web_form(r, "back");

	if (t == NULL) {
		web_error(w, 404, page_text(r, "settings.unknown"));
		return;
	}
	error = change_prefs(r, t);
	if (error == NULL && t->change != NULL)
		error = t->change(r);
	if (error == NULL) {
		web_redirect(w,
		    back != NULL
			? web_own_path(back)
			: pool_printf(&r->pool, "/settings/%s?saved=1", t->id));
		return;
	}
	w->status = strcmp(error, "settings.failed") == 0 ? 503 : 422;
	page(r, w, t, error);
}
