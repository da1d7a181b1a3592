/*
 * One message: its header lines, its text, its attachments.  Everything that
 * has to understand it is done by mailstead-parse; HTML is shown only in a
 * frame without scripts, under a policy of its own.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

#include "webmail-cgi/webmail.h"

enum {
	ESCAPED_NAME_MAX = 3 * MAILDIR_NAME_SIZE,
	HTML_MAX = WEB_BODY_MAX / 2,
};

static const char body_csp[] =
    "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";

static const char *
text_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* The folder and message of the URL; false: answered already. */
static bool
open_asked(struct web_request *r, struct web_response *w,
    const struct folder **folder_out, int *fd_out)
{
	const struct folder *f = folder_find(r->args[0]);
	struct err e = { .kind = ERR_PERM };

	if (f != NULL &&
	    folder_open_message(r, f, r->args[1], fd_out, &e) == 0) {
		*folder_out = f;
		return true;
	}
	web_error(
	    w, e.kind == ERR_PERM ? 404 : 503, page_text(r, "list.unreadable"));
	return false;
}

const json_t *
message_text_part(const json_t *structure, const char *type)
{
	const json_t *parts = json_object_get(structure, "parts");

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);

		if (strcmp(text_in(part, "type"), type) == 0 &&
		    strcmp(text_in(part, "disposition"), "attachment") != 0)
			return part;
	}
	return NULL;
}

/* "Ann, bob@example.org" */
static json_t *
people_text(const json_t *people)
{
	json_t *value;
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < json_array_size(people) && i < 20; i++) {
		const json_t *person = json_array_get(people, i);
		const char *name = text_in(person, "name");

		buf_addstr(&out, i > 0 ? ", " : "");
		buf_addstr(
		    &out, name[0] != '\0' ? name : text_in(person, "address"));
	}
	value = json_stringn(out.data, out.len);
	buf_release(&out);
	return value;
}

/* Lines and paragraphs of a plain text, with its links. */
static json_t *
text_as_html(const struct buf *text)
{
	struct slice rest = buf_slice(text), line;
	bool open = false;
	json_t *value;
	struct buf html;

	buf_init(&html, HTML_MAX);
	while (rest.data != NULL) {
		rest = slice_cut(rest, '\n', &line);
		if (slice_trim(line).len == 0) {
			buf_addstr(&html, open ? "</p>\n" : "");
			open = false;
			continue;
		}
		buf_addstr(&html, open ? "<br>\n" : "<p>");
		open = true;
		web_linkify(line, &html);
	}
	buf_addstr(&html, open ? "</p>" : "");
	value = template_html(buf_slice(&html));
	buf_release(&html);
	return value;
}

static void
add_text(struct web_request *r, int fd, const json_t *part, json_t *values)
{
	json_t *info = NULL;
	struct buf text;
	struct err e;

	buf_init(&text, MIME_TEXT_MAX);
	if (lseek(fd, 0, SEEK_SET) == 0 &&
	    mime_text(webmail_of(r)->mime, fd, text_in(part, "path"), &text,
		&info, &e) == 0) {
		json_object_set_new(values, "text", text_as_html(&text));
		json_object_set(
		    values, "truncated", json_object_get(info, "truncated"));
	} else {
		json_object_set_new(values, "error",
		    json_string(page_text(r, "message.no_text")));
	}
	json_decref(info);
	buf_release(&text);
}

/* The URL of the message that is asked for. */
static const char *
own_url(struct web_request *r)
{
	const char *url;
	struct buf id;

	buf_init(&id, ESCAPED_NAME_MAX);
	web_escape_url(slice_str(r->args[1]), &id);
	url = pool_printf(&r->pool, "%s/v/%s/%s", r->base, r->args[0], id.data);
	buf_release(&id);
	return url;
}

static const char *
extension_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && strlen(dot) <= 5 ? dot + 1 : "";
}

/* What is neither shown as the text nor a container. */
static void
add_files(struct web_request *r, const json_t *structure, json_t *values)
{
	const json_t *parts = json_object_get(structure, "parts");
	json_t *value = json_array();

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);
		const char *type = text_in(part, "type");
		const char *name = text_in(part, "name");
		bool attached =
		    strcmp(text_in(part, "disposition"), "attachment") == 0;

		if (strncmp(type, "multipart/", 10) == 0 ||
		    (!attached && strncmp(type, "text/", 5) == 0))
			continue;
		name = name[0] != '\0' ? name : "file";
		json_array_append_new(value,
		    json_pack("{ss,ss,ss,sI}", "name", name, "ext",
			extension_of(name), "url",
			pool_printf(&r->pool, "%s/part/%s", own_url(r),
			    text_in(part, "path")),
			"size",
			json_integer_value(json_object_get(part, "size"))));
	}
	json_object_set_new(values, "file_count",
	    json_integer((json_int_t)json_array_size(value)));
	json_object_set_new(values, "files", value);
}

static void
add_summary(const json_t *summary, json_t *values)
{
	const json_t *from =
	    json_array_get(json_object_get(summary, "from"), 0);
	const char *name = text_in(from, "name");
	const char *address = text_in(from, "address");

	json_object_set_new(values, "from",
	    json_pack("{ss,ss}", "name", name[0] != '\0' ? name : address,
		"address", address));
	json_object_set_new(values, "initials", person_initials(name, address));
	json_object_set_new(values, "hue", json_integer(person_hue(address)));
	json_object_set_new(
	    values, "to", people_text(json_object_get(summary, "to")));
	json_object_set(values, "subject", json_object_get(summary, "subject"));
	json_object_set(values, "date", json_object_get(summary, "date"));
}

static void
add_content(struct web_request *r, int fd, json_t *values)
{
	json_t *structure = NULL;
	const json_t *plain, *html;
	struct err e;

	if (lseek(fd, 0, SEEK_SET) != 0 ||
	    mime_structure(webmail_of(r)->mime, fd, &structure, &e) != 0) {
		json_object_set_new(values, "error",
		    json_string(page_text(r, "list.unreadable")));
		return;
	}
	plain = message_text_part(structure, "text/plain");
	html = message_text_part(structure, "text/html");
	if (html != NULL)
		json_object_set_new(values, "frame",
		    json_string(pool_printf(&r->pool, "%s/body", own_url(r))));
	else if (plain != NULL)
		add_text(r, fd, plain, values);
	else
		json_object_set_new(values, "error",
		    json_string(page_text(r, "message.no_text")));
	add_files(r, structure, values);
	json_decref(structure);
}

/* Seen, from now on; that it could not be marked harms nothing. */
static void
mark_seen(const struct web_request *r, const struct folder *f)
{
	char name[MAILDIR_NAME_SIZE];
	struct maildir m;
	struct err e;

	if (folder_open(r, f, false, &m, &e) != 0)
		return;
	if (maildir_set_flags(&m, r->args[1], MAILDIR_SEEN, 0, name, &e) != 0)
		log_warning("%s: %s", r->args[1], e.text);
	maildir_close(&m);
}

void
message_page(struct web_request *r, struct web_response *w)
{
	const struct folder *f;
	json_t *values, *summary = NULL;
	const char *title;
	struct err e;
	int fd;

	if (!open_asked(r, w, &f, &fd))
		return;
	values = json_pack("{ss}", "id", r->args[1]);
	folder_describe(r, f, values);
	if (mime_summary(webmail_of(r)->mime, fd, &summary, &e) == 0)
		add_summary(summary, values);
	else
		log_warning("%s: %s", r->args[1], e.text);
	add_content(r, fd, values);
	(void)close(fd);
	mark_seen(r, f);
	title = pool_strdup(&r->pool, text_in(summary, "subject"));
	json_decref(summary);
	page_send(r, w, "message",
	    title[0] != '\0' ? title : page_text(r, "list.no_subject"), values);
}

void
message_body(struct web_request *r, struct web_response *w)
{
	const struct mime_html_options options = { .remote_pictures = false };
	struct webmail *m = webmail_of(r);
	json_t *structure = NULL;
	const struct folder *f;
	struct err e;
	int fd;

	if (!open_asked(r, w, &f, &fd))
		return;
	w->csp = body_csp;
	buf_addstr(&w->body,
	    "<!doctype html><meta charset=\"utf-8\">"
	    "<meta name=\"color-scheme\" content=\"light dark\">"
	    "<base target=\"_blank\">");
	if (mime_structure(m->mime, fd, &structure, &e) != 0 ||
	    lseek(fd, 0, SEEK_SET) != 0 ||
	    mime_html(m->mime, fd,
		text_in(message_text_part(structure, "text/html"), "path"),
		&options, &w->body, NULL, &e) != 0)
		web_escape_html(
		    slice_str(page_text(r, "message.no_text")), &w->body);
	json_decref(structure);
	(void)close(fd);
}

/* --- attachments -------------------------------------------------------------------- */

static int
part_begin(void *arg, const json_t *part, struct err *e)
{
	const char *name = text_in(part, "name");

	(void)e;
	web_download(
	    arg, name[0] != '\0' ? name : "file", text_in(part, "type"), false);
	return 0;
}

static int
part_data(void *arg, const void *data, size_t len, struct err *e)
{
	return web_stream(arg, data, len, e);
}

void
message_part(struct web_request *r, struct web_response *w)
{
	const struct mime_sink sink = { part_begin, part_data, w };
	const struct folder *f;
	struct err e;
	int fd;

	if (!open_asked(r, w, &f, &fd))
		return;
	if (mime_part(webmail_of(r)->mime, fd, r->args[2], &sink, &e) != 0 &&
	    !w->streaming)
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "list.unreadable"));
	(void)close(fd);
}
