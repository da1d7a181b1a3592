/*
 * Settings from the registry, by section or as text, and the protection page:
 * the settings of who may send what, with the question "what would happen".
 *
 * Values are checked here for a message at each field, and once more by
 * accountd, which applies all or none.
 */
#include "directory/settings.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#include "admin-cgi/health.h"
#include "admin-cgi/ops.h"

enum {
	BANS_SHOWN = 100,
	TEXT_MAX = 256 * 1024
};

/* --- fields ----------------------------------------------------------------------- */

static json_t *
choices_of(const struct setting *s, const char *value)
{
	struct slice rest = slice_str(
			 s->type == SETTING_BOOL ? "yes|no" : s->choices),
		     word;
	json_t *list = json_array();

	while (rest.len > 0) {
		rest = slice_cut(rest, '|', &word);
		json_array_append_new(list,
		    json_pack("{s:s%,s:b}", "value", word.data, word.len,
			"chosen", slice_eq_str(word, value)));
	}
	return list;
}

/* Is it not as it came? */
static bool
is_changed(const struct setting *s, const char *value)
{
	char *fallback = mem_alloc(SETTING_VALUE_SIZE);
	struct err e;
	bool changed = setting_check(s, s->fallback, fallback,
			   SETTING_VALUE_SIZE, &e) != 0 ||
	    strcmp(fallback, value) != 0;

	free(fallback);
	return changed;
}

/* What the form showed when it was filled in, or NULL. */
static const char *
shown_before(struct web_request *r, const struct setting *s)
{
	return web_form(r, pool_printf(&r->pool, "was.%s", s->name));
}

/* What was typed here; NULL: nothing, so it shall be as it is by now. */
static const char *
typed_in(struct web_request *r, const struct setting *s)
{
	const char *typed = r->method == WEB_POST ? web_form(r, s->name) : NULL;
	const char *was = typed != NULL ? shown_before(r, s) : NULL;

	return was != NULL && strcmp(typed, was) == 0 ? NULL : typed;
}

static json_t *
field(struct web_request *r, const struct setting *s,
    const struct settings *now, json_t *wrong)
{
	const char *value = settings_text(now, setting_id_of(s));
	const char *typed = typed_in(r, s);
	bool is_choice = s->type == SETTING_CHOICE || s->type == SETTING_BOOL;
	bool has_bounds = s->type == SETTING_INT || s->type == SETTING_SIZE ||
	    s->type == SETTING_DURATION;
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b}",
	    "name", s->name, "was", value, "title",
	    ops_words(r, "setting", s->name), "value",
	    typed != NULL ? typed : value, "default", s->fallback, "help",
	    s->help, "restart", s->needs_restart, "changed",
	    is_changed(s, value), "risky", setting_is_risky(s), "long",
	    s->type == SETTING_LIST || s->type == SETTING_IP_LIST);
	json_t *problem = json_object_get(wrong, s->name);

	json_object_set_new(o, "is_choice", json_boolean(is_choice));
	if (is_choice)
		json_object_set_new(
		    o, "choices", choices_of(s, typed != NULL ? typed : value));
	if (has_bounds)
		json_object_set_new(o, "bounds",
		    json_pack("{s:I,s:I}", "min", (json_int_t)s->min, "max",
			(json_int_t)s->max));
	if (problem != NULL)
		json_object_set(o, "wrong", problem);
	return o;
}

/*
 * Not those of half a second ago: what is posted is compared with them, and
 * what is shown after saving must be what was saved.
 */
static struct settings *
settings_now(struct web_request *r)
{
	directory_refresh(admin_of(r)->directory);
	return directory_settings(admin_of(r)->directory);
}

/*
 * A change: what shall be, and of what it takes the place; accountd refuses it
 * when somebody else was faster.
 */
struct change {
	json_t *set; /* {name: value} */
	json_t *was; /* {name: value} */
};

static void
change_free(struct change *c)
{
	json_decref(c->set);
	json_decref(c->was);
}

/*
 * What was posted and differs from what the form showed, checked; what is
 * wrong goes to `wrong`.
 */
static void
read_posted(struct web_request *r, const struct settings *now,
    struct change *change, json_t *wrong)
{
	char *out = mem_alloc(SETTING_VALUE_SIZE);
	struct err e;

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];
		const char *text = web_form(r, s->name);
		const char *was = shown_before(r, s);

		if (was == NULL)
			was = settings_text(now, setting_id_of(s));
		if (text == NULL)
			continue;
		if (setting_check(s, text, out, SETTING_VALUE_SIZE, &e) != 0) {
			json_object_set_new(
			    wrong, s->name, json_string(e.text));
		} else if (strcmp(out, was) != 0) {
			json_object_set_new(
			    change->set, s->name, json_string(out));
			json_object_set_new(
			    change->was, s->name, json_string(was));
		}
	}
	free(out);
}

/*
 * Apply a change, and free it.  0: done, or nothing to do, *flash_out is what
 * to say; 1: `problem` of `page` says why not; -1: an answer is sent.
 */
static int
apply(struct web_request *r, struct web_response *w, struct change *change,
    json_t *page, const char **flash_out)
{
	struct problem p = { 0 };
	json_t *reply;
	int rc;

	if (json_object_size(change->set) == 0) {
		change_free(change);
		return 0;
	}
	rc = admin_write(r, w,
	    json_pack("{s:s,s:o,s:o}", "verb", "setting apply", "settings",
		change->set, "was", change->was),
	    &reply, &p);
	if (rc == 0) {
		if (json_integer_value(json_object_get(reply, "trial_s")) > 0)
			*flash_out = "tried";
		json_decref(reply);
	} else if (rc > 0) {
		w->status = p.status;
		json_object_set_new(page, "problem",
		    json_string(p.text != NULL ? p.text : p.wrong[0].text));
	}
	return rc;
}

static json_t *
page_of_problem(struct web_response *w, const struct problem *p)
{
	w->status = 422;
	return json_pack("{s:s*}", "problem", p->text);
}

/* --- by section ------------------------------------------------------------------- */

static bool
in_section(const struct setting *s, const char *section)
{
	size_t len = strlen(section);

	return strncmp(s->name, section, len) == 0 && s->name[len] == '.';
}

static json_t *
sections(struct web_request *r, const char *chosen)
{
	json_t *list = json_array(), *seen = json_object();
	char name[64];

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		size_t len = strcspn(setting_table[i].name, ".");

		if (len >= sizeof(name))
			continue;
		memcpy(name, setting_table[i].name, len);
		name[len] = '\0';
		if (json_object_get(seen, name) != NULL)
			continue;
		json_object_set_new(seen, name, json_true());
		json_array_append_new(list,
		    json_pack("{s:s,s:s,s:b}", "name", name, "title",
			ops_words(r, "settings.section", name), "chosen",
			strcmp(name, chosen) == 0));
	}
	json_decref(seen);
	return list;
}

/* All that is not as it came, in the form `mailstead settings apply` reads. */
static const char *
export_text(struct web_request *r, const struct settings *now)
{
	struct buf b;
	const char *text;

	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];
		const char *value = settings_text(now, setting_id_of(s));

		if (is_changed(s, value))
			buf_addf(&b, "%s = %s\n", s->name, value);
	}
	text = pool_strndup(&r->pool, b.data != NULL ? b.data : "", b.len);
	buf_release(&b);
	return text;
}

static void
show_settings(
    struct web_request *r, struct web_response *w, json_t *page, json_t *wrong)
{
	const char *section = r->args[0] != NULL ? r->args[0] : "server";
	struct settings *now = settings_now(r);
	json_t *fields = json_array();

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];

		if (in_section(s, section) && s->scope != SCOPE_DOMAIN)
			json_array_append_new(fields, field(r, s, now, wrong));
	}
	json_object_set_new(page, "section", json_string(section));
	json_object_set_new(page, "sections", sections(r, section));
	if (strcmp(section, "text") == 0) {
		const char *typed = web_form(r, "text");
		json_object_set_new(page, "as_text", json_true());
		json_object_set_new(
		    page, "was", json_string(export_text(r, now)));
		json_object_set_new(page, "text",
		    json_string(typed != NULL ? typed : export_text(r, now)));
	}
	settings_free(now);
	json_object_set_new(page, "fields", fields);
	json_decref(wrong);
	trial_put(r, page);
	admin_page(r, w, "settings", "settings", page);
}

void
settings_page(struct web_request *r, struct web_response *w)
{
	show_settings(r, w, json_object(), json_object());
}

/* "name = value" lines; what is no setting is named. */
static json_t *
read_lines(struct web_request *r, const char *text, json_t *page)
{
	struct slice rest = slice_str(text != NULL ? text : ""), line, name;
	json_t *set = json_object();

	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		line = slice_trim(line);
		if (line.len == 0 || line.data[0] == '#')
			continue;
		struct slice value = slice_trim(slice_cut(line, '=', &name));
		name = slice_trim(name);
		const char *key = pool_strndup(&r->pool, name.data, name.len);
		if (value.data == NULL || setting_find(key) == NULL)
			json_object_set_new(page, "problem",
			    json_string(pool_printf(&r->pool, "%s: %s",
				page_text(r, "settings.unknown"), key)));
		else
			json_object_set_new(
			    set, key, json_stringn(value.data, value.len));
	}
	return set;
}

/* The lines that are not as the form showed them. */
static void
read_text(struct web_request *r, struct change *change, json_t *page)
{
	json_t *all = read_lines(r, web_form(r, "text"), page), *value;
	json_t *shown = read_lines(r, web_form(r, "was"), page);
	const char *name;

	json_object_foreach(all, name, value) {
		json_t *was = json_object_get(shown, name);

		if (was != NULL && json_equal(was, value))
			continue;
		json_object_set(change->set, name, value);
		if (was != NULL)
			json_object_set(change->was, name, was);
	}
	json_decref(all);
	json_decref(shown);
}

/* The form of settings of a page that `show` sends. */
static void
post(struct web_request *r, struct web_response *w,
    void (*show)(struct web_request *r, struct web_response *w, json_t *page,
	json_t *wrong))
{
	const char *flash = "saved";
	struct settings *now = settings_now(r);
	struct change change = { json_object(), json_object() };
	json_t *page = json_object(), *wrong = json_object();
	int rc = 1;

	if (web_form(r, "text") != NULL)
		read_text(r, &change, page);
	else
		read_posted(r, now, &change, wrong);
	settings_free(now);
	w->status = 422;
	if (json_object_size(wrong) == 0 &&
	    json_object_get(page, "problem") == NULL)
		rc = apply(r, w, &change, page, &flash);
	else
		change_free(&change);
	if (rc > 0) {
		show(r, w, page, wrong);
		return;
	}
	json_decref(page);
	json_decref(wrong);
	if (rc == 0)
		admin_done(r, w, flash, "%s", r->path);
}

void
settings_post(struct web_request *r, struct web_response *w)
{
	struct problem p = { 0 };

	if (!trial_post(r, w, &p))
		post(r, w, show_settings);
	else if (p.text != NULL)
		show_settings(r, w, page_of_problem(w, &p), json_object());
}

/* --- protection ------------------------------------------------------------------- */

static const enum setting_id protection[] = {
	SET_RELAY_MODE,
	SET_RELAY_TRUSTED,
	SET_ACCESS_DISALLOWED,
	SET_ACCESS_NO_DELIVERY,
	SET_ACCESS_NO_RELAY,
	SET_SENDER_RELAY_RULE,
	SET_SENDER_SEND_AS,
	SET_SENDER_VERIFY_DOMAIN,
	SET_SENDER_DNS_ERROR,
	SET_SENDER_BLANK,
	SET_LIMIT_CONNECTIONS_PER_ADDRESS,
	SET_LIMIT_CONNECTIONS_PER_USER,
	SET_LIMIT_MESSAGES_PER_ADDRESS,
	SET_LIMIT_MESSAGES_PER_USER,
	SET_BAN_FAILURES,
	SET_BAN_LIMIT_REFUSALS,
	SET_BAN_TIME,
	SET_BAN_NEVER,
};

/* A job that is done at once; NULL: not in time, or refused. */
static json_t *
quick_job(struct web_request *r, const char *tool, json_t *args)
{
	json_t *reply, *result;
	struct err e;

	if (runner_ask(r,
		json_pack("{s:s,s:s,s:o}", "verb", "tool start", "tool", tool,
		    "args", args),
		&reply, &e) != 0)
		return NULL;
	result =
	    runner_wait(r, json_integer_value(json_object_get(reply, "job")));
	json_decref(reply);
	return result;
}

/* The question typed, and its answer. */
static void
put_question(struct web_request *r, json_t *page)
{
	static const char *const fields[] = { "from", "to", "ip", "user" };
	json_t *args = json_object(), *answer;
	bool asked = false;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *text = web_query(r, fields[i]);
		if (text == NULL)
			continue;
		json_object_set_new(args, fields[i], json_string(text));
		asked |= strcmp(fields[i], "to") == 0;
	}
	json_object_set(page, "question", args);
	if (!asked) {
		json_decref(args);
		return;
	}
	answer = quick_job(r, "route", args);
	if (answer == NULL)
		answer =
		    json_pack("{s:s}", "error", page_text(r, "error.runner"));
	json_object_set_new(page, "answer", answer);
}

/* Who may not sign in now, and what would happen to the address typed. */
static void
put_bans(struct web_request *r, json_t *page)
{
	const char *ip = web_query(r, "ban_ip"), *until;
	json_t *reply, *row;
	struct err e;
	size_t i;

	if (admin_ask(r,
		json_pack("{s:s,s:i}", "verb", "ban list", "limit", BANS_SHOWN),
		&reply, &e) == 0) {
		json_array_foreach(json_object_get(reply, "items"), i, row) {
			until =
			    json_string_value(json_object_get(row, "until"));
			ops_put_time(row, "until", until);
		}
		json_object_set(page, "bans", json_object_get(reply, "items"));
		json_object_set_new(page, "more_bans",
		    json_boolean(json_object_get(reply, "next") != NULL));
		json_decref(reply);
	}
	if (ip == NULL)
		return;
	json_object_set_new(page, "ban_ip", json_string(ip));
	if (admin_ask(r, json_pack("{s:s,s:s}", "verb", "ban check", "ip", ip),
		&reply, &e) != 0) {
		json_object_set_new(page, "ban_answer", json_string(e.text));
		return;
	}
	json_object_set_new(page, "ban_answer",
	    json_string(page_text(r,
		pool_printf(&r->pool, "bans.%s",
		    json_string_value(json_object_get(reply, "verdict"))))));
	json_object_set(page, "ban_check", reply);
	json_decref(reply);
}

static void
show_protection(
    struct web_request *r, struct web_response *w, json_t *page, json_t *wrong)
{
	struct settings *now = settings_now(r);
	json_t *fields = json_array(), *health, *is_open;

	for (size_t i = 0; i < ARRAY_LEN(protection); i++)
		json_array_append_new(fields,
		    field(r, &setting_table[protection[i]], now, wrong));
	settings_free(now);
	json_object_set_new(page, "fields", fields);
	json_decref(wrong);
	/* the runner tries it after every change of policy */
	health = health_read(admin_of(r)->state_dir);
	is_open = json_object_get(health, "relay_open");
	json_object_set_new(
	    page, "relay", json_boolean(json_is_boolean(is_open)));
	json_object_set_new(
	    page, "is_open", json_boolean(json_is_true(is_open)));
	json_decref(health);
	trial_put(r, page);
	put_question(r, page);
	put_bans(r, page);
	admin_page(r, w, "protection", "protection", page);
}

void
protection_page(struct web_request *r, struct web_response *w)
{
	show_protection(r, w, json_object(), json_object());
}

/* Lifting a ban, or keeping what is on trial; false: the form of settings. */
static bool
protection_act(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *lift = web_form(r, "lift");

	if (lift == NULL)
		return trial_post(r, w, p);
	if (admin_write(r, w,
		json_pack("{s:s,s:s}", "verb", "ban lift", "ip", lift), NULL,
		p) == 0)
		admin_done(r, w, "saved", "/protection");
	return true;
}

void
protection_post(struct web_request *r, struct web_response *w)
{
	struct problem p = { 0 };

	if (!protection_act(r, w, &p))
		post(r, w, show_protection);
	else if (p.text != NULL)
		show_protection(r, w, page_of_problem(w, &p), json_object());
}
