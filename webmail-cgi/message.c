/*
 * One message as the templates show it: who, when, its texts, its files.
 * HTML is shown only in a frame without scripts, under a policy of its own
 * (content.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#include "webmail-cgi/answer.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/text.h"
#include "webmail-cgi/user.h"

enum {
	PEOPLE_SHOWN = 20,
};

/* --- People --------------------------------------------------------------------- */

static bool
is_me(const struct web_request *r, const char *address)
{
	const struct session *s = r->session;

	return ascii_casecmp(address, s->address) == 0;
}

static const char *
shown_name(struct web_request *r, const json_t *person)
{
	const char *name = json_text(person, "name");
	const char *address = json_text(person, "address");

	if (is_me(r, address))
		return page_text(r, "read.me");
	return person_name(name, address);
}

/* "me, Ann, bob@example.org" of both To and Cc */
static json_t *
people_text(struct web_request *r, const json_t *view)
{
	const json_t *lists[] = { json_object_get(view, "to"),
		json_object_get(view, "cc") };
	json_t *value;
	struct buf out;
	size_t shown = 0;

	buf_init(&out, 64 * 1024);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (size_t n = 0;
		     n < json_array_size(lists[i]) && shown < PEOPLE_SHOWN;
		     n++, shown++) {
			buf_addstr(&out, shown > 0 ? ", " : "");
			buf_addstr(
			    &out, shown_name(r, json_array_get(lists[i], n)));
		}
	}
	if (json_array_size(lists[0]) + json_array_size(lists[1]) > shown)
		buf_addstr(&out, ", …");
	value = json_stringn(out.data, out.len);
	buf_release(&out);
	return value;
}

/* --- Texts --------------------------------------------------------------------------- */

/* Cut to what the page has room for; does it stay whole? */
static bool
cut_text(struct slice *text, size_t room)
{
	if (text->len <= room)
		return true;
	text->len = room;
	while (text->len > 0 &&
	    ((unsigned char)text->data[text->len] & 0xc0) == 0x80)
		text->len--;
	return false;
}

static const char *
quote_label(void *arg, int64_t lines)
{
	return page_count_text(arg, "read.quoted", lines);
}

static json_t *
text_body(struct web_request *r, const json_t *body, size_t *room, bool *whole)
{
	struct slice text = slice_str(json_text(body, "text"));
	const struct text_label label = { quote_label, r };
	json_t *value;
	struct buf html;

	*whole = cut_text(&text, *room) && *whole;
	*room -= text.len;
	buf_init(&html, (text.len + 1) * TEXT_GROWTH);
	text_to_html(text, &label, &html);
	value = json_pack("{so}", "text", template_html(buf_slice(&html)));
	buf_release(&html);
	return value;
}

/* Is this message meant by "?img=<id>" and the like? */
static bool
is_asked(struct web_request *r, const struct letter *l, const char *what)
{
	const char *id = web_query(r, what);

	return id != NULL && strcmp(id, l->id) == 0;
}

static bool
shows_pictures(struct web_request *r, const struct letter *l)
{
	const struct index_people *from = &l->message.from;
	struct sql *db;
	struct err e;

	if (l->in_junk)
		return false;
	if (is_asked(r, l, "img") ||
	    strcmp(user_prefs(r)->value[PREF_PICTURES], "always") == 0)
		return true;
	return from->count > 0 && user_store(r, false, &db, &e) == 0 &&
	    store_pictures_allowed(db, from->list[0].address, &e) == 1;
}

static json_t *
frame_body(struct web_request *r, const struct letter *l, const json_t *body,
    bool pictures)
{
	bool sheet = is_asked(r, l, "sheet");
	bool coloured = json_is_true(json_object_get(body, "coloured"));

	return json_pack("{ss,sb}", "frame",
	    pool_printf(&r->pool, "%s/body?part=%s%s%s", l->url,
		json_text(body, "path"), pictures ? "&img=1" : "",
		sheet ? "&sheet=1" : ""),
	    "ink", !coloured && !sheet);
}

static void
add_bodies(struct web_request *r, const struct letter *l, const json_t *view,
    size_t *room, json_t *msg)
{
	const json_t *bodies = json_object_get(view, "bodies");
	bool pictures = shows_pictures(r, l);
	bool whole = !json_is_true(json_object_get(view, "truncated"));
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(bodies); i++) {
		const json_t *body = json_array_get(bodies, i);

		json_array_append_new(list,
		    strcmp(json_text(body, "kind"), "html") == 0
			? frame_body(r, l, body, pictures)
			: text_body(r, body, room, &whole));
	}
	if (json_array_size(list) == 0 &&
	    json_text(view, "broken")[0] == '\0' &&
	    json_object_get(view, "invite") == NULL)
		json_object_set_new(msg, "no_text", json_true());
	json_object_set_new(msg, "bodies", list);
	json_object_set_new(msg, "truncated", json_boolean(!whole));
	json_object_set(msg, "broken", json_object_get(view, "broken"));
	if (json_is_true(json_object_get(view, "remote_pictures")) && !pictures)
		json_object_set_new(msg, "hidden_pictures",
		    json_pack("{sb}", "may_show", !l->in_junk));
}

bool
message_is_first(struct web_request *r, const struct letter *l)
{
	const struct index_people *from = &l->message.from;
	bool first = false;
	struct index *x;
	struct err e;

	if (from->count == 0 || is_me(r, from->list[0].address) ||
	    mailbox_missing(r) > 0)
		return false;
	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_is_first(x, &l->message, &first, &e) != 0)
		log_warning("%s: %s", r->path, e.text);
	return first;
}

/* --- Files ------------------------------------------------------------------------------ */

static const char *
extension_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && strlen(dot) <= 5 ? dot + 1 : "";
}

/* How a part can be looked at without a download, or NULL. */
static const char *
view_of(const char *type)
{
	if (strncmp(type, "text/", 5) == 0)
		return "text";
	return strncmp(type, "image/", 6) == 0 && web_type_is_safe(type)
	    ? "picture"
	    : NULL;
}

/* What to call a part without a name. */
static const char *
nameless(const char *type)
{
	static const struct {
		const char *type, *key;
	} known[] = { { "message/rfc822", "read.message_file" },
		{ "message/delivery-status", "read.report_file" },
		{ "message/disposition-notification", "read.receipt_file" },
		{ "text/calendar", "read.calendar_file" } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(type, known[i].type) == 0)
			return known[i].key;
	}
	return "read.file";
}

static json_t *
file_value(struct web_request *r, const struct letter *l, const json_t *part)
{
	const char *name = json_text(part, "name");
	const char *type = json_text(part, "type");
	const char *view = view_of(type);
	const char *url, *extension;

	if (name[0] == '\0')
		name = page_text(r, nameless(type));
	extension = extension_of(name);
	url = pool_printf(
	    &r->pool, "%s/part/%s", l->url, json_text(part, "path"));
	return json_pack("{ss,ss,ss,ss*,sO,si}", "name", name, "ext", extension,
	    "url", url, "view_url",
	    view ? pool_printf(&r->pool, "%s?view=%s", url, view) : NULL,
	    "size", json_object_get(part, "size"), "hue",
	    person_hue(extension));
}

static void
add_files(struct web_request *r, const struct letter *l, const json_t *view,
    json_t *msg)
{
	const json_t *parts = json_object_get(view, "parts");
	json_t *files = json_array();
	json_int_t size = 0;
	size_t count;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);

		if (strcmp(json_text(part, "role"), "file") != 0)
			continue;
		size += json_integer_value(json_object_get(part, "size"));
		json_array_append_new(files, file_value(r, l, part));
	}
	count = json_array_size(files);
	json_object_set_new(msg, "files", files);
	json_object_set_new(msg, "file_count", json_integer((json_int_t)count));
	json_object_set_new(msg, "file_size", json_integer(size));
	json_object_set_new(msg, "many_files", json_boolean(count > 1));
}

/* What became of whose copy, in words; RFC 3464 2.3.3 names the actions. */
static void
add_report(const json_t *view, json_t *msg)
{
	static const char *const actions[] = { "failed", "delayed", "delivered",
		"relayed", "expanded" };
	const json_t *report = json_object_get(view, "report");
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(report); i++) {
		const json_t *entry = json_array_get(report, i);
		json_t *line =
		    json_pack("{ss,ss}", "address", json_text(entry, "address"),
			"reply", json_text(entry, "reply"));

		for (size_t n = 0; n < ARRAY_LEN(actions); n++) {
			if (ascii_casecmp(
				json_text(entry, "action"), actions[n]) == 0)
				json_object_set_new(
				    line, actions[n], json_true());
		}
		json_array_append_new(list, line);
	}
	json_object_set_new(msg, "report", list);
}

/* --- The whole ---------------------------------------------------------------------- */

/* The real addresses of all who wrote it but the first; they have names, too,
 * but a name may say anything. */
static json_t *
other_authors(const struct index_message *m)
{
	struct buf out;
	json_t *value;

	buf_init(&out, 64 * 1024);
	for (size_t i = 1; i < m->from.count && i < PEOPLE_SHOWN; i++)
		buf_addf(&out, ", %s", m->from.list[i].address);
	value = json_stringn(out.data, out.len);
	buf_release(&out);
	return value;
}

json_t *
message_head(struct web_request *r, const struct letter *l)
{
	const struct index_message *m = &l->message;
	const struct index_person nobody = { "", "" };
	const struct index_person *from =
	    m->from.count > 0 ? &m->from.list[0] : &nobody;
	const char *name = is_me(r, from->address)
	    ? page_text(r, "read.me")
	    : person_name(from->name, from->address);

	return json_pack("{ss,ss,s{ss,ss,so},so,si,sI,ss,sb}", "id", l->id,
	    "url", l->url, "from", "name", name, "address", from->address,
	    "others", other_authors(m), "initials",
	    person_initials(name, from->address), "hue",
	    person_hue(from->address), "date",
	    (json_int_t)(m->date_ms > 0 ? m->date_ms : m->arrived_ms), "peek",
	    m->snippet, "starred", (m->flags & MAILDIR_FLAGGED) != 0);
}

/* Asked for now, or for all of this sender's, or for all mail. */
static bool
shows_plain(struct web_request *r, const struct letter *l)
{
	const struct index_people *from = &l->message.from;
	bool plain = prefs_yes(user_prefs(r), PREF_PLAIN);
	struct sql *db;
	struct err e;

	if (is_asked(r, l, "plain") || is_asked(r, l, "designed"))
		return is_asked(r, l, "plain");
	if (from->count > 0 &&
	    (user_store(r, false, &db, &e) != 0 ||
		store_plain_find(db, from->list[0].address, &plain, &e) < 0))
		log_warning("%s: %s", l->id, e.text);
	return plain;
}

int
message_fill(struct web_request *r, const struct letter *l, size_t *room,
    json_t *msg, struct err *e)
{
	bool plain = shows_plain(r, l);
	json_t *view;

	if (letter_view(r, l, plain, &view, e) != 0)
		return -1;
	json_object_set_new(msg, "to", people_text(r, view));
	json_object_set_new(msg, "plain", json_boolean(plain));
	json_object_set_new(
	    msg, "sheet", json_boolean(is_asked(r, l, "sheet")));
	json_object_set_new(
	    msg, "list", json_boolean(json_text(view, "list_id")[0] != '\0'));
	if (l->quick)
		json_object_set_new(
		    msg, "quick", json_string(answer_names(r, view)));
	add_report(view, msg);
	json_object_set_new(msg, "receipt", receipt_value(r, l, view));
	json_object_set_new(
	    msg, "invite", invite_value(r, json_object_get(view, "invite")));
	add_bodies(r, l, view, room, msg);
	add_files(r, l, view, msg);
	json_decref(view);
	return 0;
}
