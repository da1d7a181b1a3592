/*
 * The page of a message: who, when, its texts, its files.  HTML is shown only
 * in a frame without scripts, under a policy of its own (content.c).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/text.h"
#include "webmail-cgi/webmail.h"

enum {
	PEOPLE_SHOWN = 20,
	TEXT_SHOWN_MAX = 128 * 1024, /* of all texts of a page */
};

const char *
json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* --- The message of the URL -------------------------------------------------- */

static int
find_letter(struct web_request *r, struct letter *out, struct err *e)
{
	struct index *x;
	int64_t id;

	if (!index_id_parse(r->args[0], &id))
		return err_set(e, ERR_PERM, "no such message");
	if (mailbox_index(r, "", &x, e) != 0 ||
	    index_find(x, id, &r->pool, &out->message, e) != 0)
		return -1;
	return mailbox_open_message(r, &out->message, &out->fd, e);
}

bool
letter_open(struct web_request *r, struct web_response *w, struct letter *out)
{
	struct err e;

	if (find_letter(r, out, &e) != 0) {
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "list.unreadable"));
		return false;
	}
	out->id = r->args[0];
	out->url = pool_printf(&r->pool, "%s/v/%s", r->base, r->args[0]);
	out->in_junk = strcmp(out->message.dir, INDEX_JUNK) == 0;
	return true;
}

int
letter_view(struct web_request *r, const struct letter *l, bool prefer_plain,
    json_t **out, struct err *e)
{
	if (lseek(l->fd, 0, SEEK_SET) != 0)
		return err_errno(e, "%s", l->id);
	return mime_view(webmail_of(r)->mime, l->fd, prefer_plain, out, e);
}

/* --- People --------------------------------------------------------------------- */

static bool
is_me(const struct web_request *r, const char *address)
{
	const struct session *s = r->session;

	return ascii_casecmp(address, s->address) == 0;
}

static const char *
person_name(struct web_request *r, const json_t *person)
{
	const char *name = json_text(person, "name");
	const char *address = json_text(person, "address");

	if (is_me(r, address))
		return page_text(r, "read.me");
	return name[0] != '\0' ? name : address;
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
			    &out, person_name(r, json_array_get(lists[i], n)));
		}
	}
	if (json_array_size(lists[0]) + json_array_size(lists[1]) > shown)
		buf_addstr(&out, ", …");
	value = json_stringn(out.data, out.len);
	buf_release(&out);
	return value;
}

static void
add_people(struct web_request *r, const json_t *view, json_t *msg)
{
	const json_t *from = json_array_get(json_object_get(view, "from"), 0);
	const char *name = json_text(from, "name");
	const char *address = json_text(from, "address");

	json_object_set_new(msg, "from",
	    json_pack(
		"{ss,ss}", "name", person_name(r, from), "address", address));
	json_object_set_new(msg, "initials", person_initials(name, address));
	json_object_set_new(msg, "hue", json_integer(person_hue(address)));
	json_object_set_new(msg, "to", people_text(r, view));
	json_object_set(msg, "subject", json_object_get(view, "subject"));
	json_object_set(msg, "date", json_object_get(view, "date"));
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

static json_t *
text_body(struct web_request *r, const json_t *body, size_t *room, bool *whole)
{
	struct slice text = slice_str(json_text(body, "text"));
	json_t *value;
	struct buf html;

	*whole = cut_text(&text, *room) && *whole;
	*room -= text.len;
	buf_init(&html, (text.len + 1) * TEXT_GROWTH);
	text_to_html(text, page_text(r, "read.quoted"), &html);
	value = json_pack("{so}", "text", template_html(buf_slice(&html)));
	buf_release(&html);
	return value;
}

static json_t *
frame_body(struct web_request *r, const struct letter *l, const json_t *body,
    bool pictures)
{
	bool sheet = web_query(r, "sheet") != NULL;
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
	bool pictures = !l->in_junk && web_query(r, "img") != NULL;
	bool whole = !json_is_true(json_object_get(view, "truncated"));
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(bodies); i++) {
		const json_t *body = json_array_get(bodies, i);

		json_array_append_new(list,
		    strcmp(json_text(body, "kind"), "html") == 0
			? frame_body(r, l, body, pictures)
			: text_body(r, body, room, &whole));
	}
	if (json_array_size(list) == 0 && json_text(view, "broken")[0] == '\0')
		json_object_set_new(msg, "no_text", json_true());
	json_object_set_new(msg, "bodies", list);
	json_object_set_new(msg, "truncated", json_boolean(!whole));
	json_object_set(msg, "broken", json_object_get(view, "broken"));
	if (json_is_true(json_object_get(view, "remote_pictures")) && !pictures)
		json_object_set_new(msg, "hidden_pictures",
		    json_pack("{sb}", "may_show", !l->in_junk));
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

static json_t *
file_value(struct web_request *r, const struct letter *l, const json_t *part)
{
	const char *name = json_text(part, "name");
	const char *type = json_text(part, "type");
	const char *view = view_of(type);
	const char *url, *extension;

	if (name[0] == '\0')
		name = strcmp(type, "message/rfc822") == 0
		    ? page_text(r, "read.message_file")
		    : page_text(r, "read.file");
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

/* --- The page --------------------------------------------------------------------------- */

/* What _msg.html shows; NULL: it cannot be read (logged). */
static json_t *
make_message(struct web_request *r, const struct letter *l, size_t *room)
{
	bool plain = web_query(r, "plain") != NULL;
	json_t *view = NULL, *msg;
	struct err e;

	if (letter_view(r, l, plain, &view, &e) != 0) {
		log_warning("%s: %s", l->id, e.text);
		return NULL;
	}
	msg = json_pack("{ss,ss,sb}", "id", l->id, "url", l->url, "open", true);
	add_people(r, view, msg);
	add_report(view, msg);
	add_bodies(r, l, view, room, msg);
	add_files(r, l, view, msg);
	json_decref(view);
	return msg;
}

/* Seen, from now on; that it could not be marked harms nothing. */
static void
mark_seen(struct web_request *r, const struct letter *l)
{
	const struct index_change seen = { .verb = INDEX_FLAGS,
		.add = MAILDIR_SEEN };
	struct index *x;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_change(x, &seen, &l->message.id, 1, NULL, NULL, &e) != 0)
		log_warning("%s: %s", l->id, e.text);
}

/* Its subject, for the title; in the pool. */
static const char *
subject_of(struct web_request *r, const json_t *msg)
{
	const char *subject = json_text(msg, "subject");

	return subject[0] != '\0' ? pool_strdup(&r->pool, subject)
				  : page_text(r, "list.no_subject");
}

static void
send_message(struct web_request *r, struct web_response *w,
    const struct letter *l, const char *page)
{
	size_t room = TEXT_SHOWN_MAX;
	json_t *msg = make_message(r, l, &room);
	const char *subject = subject_of(r, msg);
	json_t *values;

	if (msg == NULL) {
		web_error(w, 503, page_text(r, "list.unreadable"));
		return;
	}
	values = json_pack("{ss,ss,sb,s[o]}", "subject", subject, "url", l->url,
	    "as_sent", web_query(r, "plain") || web_query(r, "sheet"), "msgs",
	    msg);
	json_object_set_new(
	    values, "folder", json_string(mailbox_id_of(r, l->message.dir)));
	json_object_set_new(values, "folder_name",
	    json_string(mailbox_folder_name(r, l->message.dir)));
	mailbox_describe_folders(r, l->message.dir, values);
	page_send(r, w, page, subject, values);
}

void
message_page(struct web_request *r, struct web_response *w)
{
	struct letter l;

	if (!letter_open(r, w, &l))
		return;
	mark_seen(r, &l);
	send_message(r, w, &l, "message");
	(void)close(l.fd);
}

void
message_print(struct web_request *r, struct web_response *w)
{
	struct letter l;

	if (!letter_open(r, w, &l))
		return;
	send_message(r, w, &l, "print");
	(void)close(l.fd);
}

void
message_headers(struct web_request *r, struct web_response *w)
{
	json_t *headers = NULL, *fields = json_array(), *list;
	struct letter l;
	struct err e;

	if (!letter_open(r, w, &l)) {
		json_decref(fields);
		return;
	}
	if (mime_headers(webmail_of(r)->mime, l.fd, NULL, &headers, &e) != 0)
		log_warning("%s: %s", l.id, e.text);
	list = json_object_get(headers, "fields");
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *pair = json_array_get(list, i);

		json_array_append_new(fields,
		    json_pack("{sO,sO}", "name", json_array_get(pair, 0),
			"value", json_array_get(pair, 1)));
	}
	json_decref(headers);
	(void)close(l.fd);
	page_send(r, w, "headers", page_text(r, "read.headers"),
	    json_pack("{so,ss}", "fields", fields, "url", l.url));
}
