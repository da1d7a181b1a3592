/*
 * What hangs on a message and is no page: its HTML as the document of a
 * sandboxed frame, its parts, its source, all its files in one archive.  Each
 * goes out under a policy of its own; nothing of a stranger's is ever served
 * as a type that a browser would run.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

#include "webmail-cgi/read.h"
#include "webmail-cgi/webmail.h"
#include "webmail-cgi/zip.h"

enum {
	CHUNK = 32768,
};

/* --- The frame ------------------------------------------------------------------ */

#define BODY_CSP                                                           \
	"sandbox allow-same-origin allow-popups "                          \
	"allow-popups-to-escape-sandbox; default-src 'none'; "             \
	"style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; " \
	"frame-ancestors 'self'; img-src 'self' data:"

static const char body_start[] =
    "<!doctype html><html><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\">"
    "<title>Message</title><style>"
    "body{margin:0;font:15px/1.6 system-ui,sans-serif;"
    "overflow-wrap:break-word}"
    "img{max-width:100%;height:auto}"
    "img[data-remote]{outline:1px dashed #8888}"
    "table{border-collapse:collapse;max-width:100%}"
    "blockquote{margin:0 0 0 .2em;padding-inline-start:1em;"
    "border-inline-start:2px solid #8886}"
    "a[data-host]::after{content:\" [\" attr(data-host) \"]\";"
    "font-size:.8em}";

/* Mail that sets colours was made for white paper. */
static const char body_sheet[] =
    "html{color-scheme:light}"
    "body{padding:16px 18px;color:#211f1a;background:#fff}";

static const char body_ink[] =
    "html{color-scheme:light dark}"
    "body{padding:2px;color:light-dark(#211f1a,#ebe7df);background:none}"
    "a{color:light-dark(#2c4bcb,#9db0ff)}";

static void
write_document(struct web_request *r, const struct buf *html,
    const json_t *info, bool want_sheet, struct buf *out)
{
	bool is_sheet =
	    want_sheet || json_is_true(json_object_get(info, "coloured"));

	buf_addstr(out, body_start);
	buf_addstr(out, is_sheet ? body_sheet : body_ink);
	buf_addstr(out, "</style></head><body>");
	if (json_is_true(json_object_get(info, "truncated"))) {
		buf_addstr(out, "<p><b>");
		web_escape_html(
		    slice_str(page_text(r, "read.too_complex")), out);
		buf_addstr(out, "</b></p>");
	}
	buf_addslice(out, buf_slice(html));
	buf_addstr(out, "</body></html>");
}

void
message_body(struct web_request *r, struct web_response *w)
{
	const char *path = web_query(r, "part");
	struct mime_html_options options = { 0 };
	json_t *info = NULL;
	struct letter l;
	struct buf html;
	struct err e;

	if (!letter_open(r, w, &l))
		return;
	options.remote_pictures = !l.in_junk && web_query(r, "img") != NULL;
	options.cid_prefix = pool_printf(&r->pool, "%s/cid/", l.url);
	options.mail_url = pool_printf(&r->pool, "%s/compose", r->base);
	buf_init(&html, MIME_TEXT_MAX);
	if (mime_html(webmail_of(r)->mime, l.fd, path ? path : "", &options,
		&html, &info, &e) == 0) {
		w->csp =
		    options.remote_pictures ? BODY_CSP " https:" : BODY_CSP;
		write_document(
		    r, &html, info, web_query(r, "sheet") != NULL, &w->body);
	} else {
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "message.no_text"));
	}
	json_decref(info);
	buf_release(&html);
	(void)close(l.fd);
}

/* --- Parts ----------------------------------------------------------------------- */

static int
stream_data(void *arg, const void *data, size_t len, struct err *e)
{
	return web_stream(arg, data, len, e);
}

static const char *
name_of(const json_t *part)
{
	const char *name = json_text(part, "name");

	return name[0] != '\0' ? name : "file";
}

static int
part_begin(void *arg, const json_t *part, struct err *e)
{
	struct web_response *w = arg;
	const char *type = json_text(part, "type");

	(void)e;
	/* a PDF reader does not work in the sandbox it would get */
	web_download(w, name_of(part), type,
	    web_query(w->request, "view") != NULL &&
		strcmp(type, "application/pdf") != 0);
	return 0;
}

static void
part_failed(struct web_request *r, struct web_response *w, const struct err *e)
{
	if (w->streaming)
		log_warning("%s: %s", r->path, e->text);
	web_error(w, e->kind == ERR_PERM ? 404 : 503,
	    page_text(r, "list.unreadable"));
}

/* A text that is to be seen is turned into the charset we name. */
static int
view_text(struct web_request *r, struct web_response *w, int fd,
    const char *path, struct err *e)
{
	if (mime_text(webmail_of(r)->mime, fd, path, &w->body, NULL, e) != 0)
		return -1;
	web_download(w, "text", "text/plain", true);
	return 0;
}

void
message_part(struct web_request *r, struct web_response *w)
{
	const struct mime_sink sink = { part_begin, stream_data, w };
	const char *path = r->args[LETTER_ARGS];
	const char *view = web_query(r, "view");
	struct letter l;
	struct err e;
	int rc;

	if (!letter_open(r, w, &l))
		return;
	if (view != NULL && strcmp(view, "text") == 0)
		rc = view_text(r, w, l.fd, path, &e);
	else
		rc = mime_part(webmail_of(r)->mime, l.fd, path, &sink, &e);
	if (rc != 0)
		part_failed(r, w, &e);
	(void)close(l.fd);
}

static bool
is_picture_type(const char *type)
{
	return strncmp(type, "image/", 6) == 0 && web_type_is_safe(type);
}

/* The part of this content id that is a picture browsers only draw. */
static const char *
find_picture(const json_t *structure, const char *cid)
{
	const json_t *parts = json_object_get(structure, "parts");

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);

		if (strcmp(json_text(part, "cid"), cid) == 0 &&
		    is_picture_type(json_text(part, "type")))
			return json_text(part, "path");
	}
	return "";
}

static int
picture_begin(void *arg, const json_t *part, struct err *e)
{
	(void)e;
	web_download(arg, name_of(part), json_text(part, "type"), true);
	return 0;
}

void
message_picture(struct web_request *r, struct web_response *w)
{
	const struct mime_sink sink = { picture_begin, stream_data, w };
	struct mime *mime = webmail_of(r)->mime;
	json_t *structure = NULL;
	struct letter l;
	struct err e;

	if (!letter_open(r, w, &l))
		return;
	if (mime_structure(mime, l.fd, &structure, &e) != 0 ||
	    mime_part(mime, l.fd, find_picture(structure, r->args[LETTER_ARGS]),
		&sink, &e) != 0)
		part_failed(r, w, &e);
	json_decref(structure);
	(void)close(l.fd);
}

/* --- The whole message --------------------------------------------------------------- */

static void
stream_file(struct web_request *r, struct web_response *w, int fd)
{
	char *chunk = mem_alloc(CHUNK);
	struct err e;
	ssize_t n;

	while ((n = read(fd, chunk, CHUNK)) > 0 &&
	    web_stream(w, chunk, (size_t)n, &e) == 0) {
	}
	if (n < 0)
		log_warning("%s: it cannot be read to its end", r->path);
	free(chunk);
}

void
message_raw(struct web_request *r, struct web_response *w)
{
	struct letter l;

	if (!letter_open(r, w, &l))
		return;
	web_download(w, "message.txt", "text/plain", true);
	stream_file(r, w, l.fd);
	(void)close(l.fd);
}

/* Named by its subject, as mailstead-parse scrubs a file's name. */
static const char *
letter_name(struct web_request *r, const json_t *view, const char *ending)
{
	const char *subject = json_text(view, "subject");
	const char *name;
	struct buf clean;

	buf_init(&clean, 1024);
	mime_scrub_name(
	    slice_str(subject[0] != '\0' ? subject : "message"), &clean);
	name = pool_printf(&r->pool, "%s%s", clean.data, ending);
	buf_release(&clean);
	return name;
}

void
message_eml(struct web_request *r, struct web_response *w)
{
	json_t *summary = NULL;
	struct letter l;
	struct err e;

	if (!letter_open(r, w, &l))
		return;
	if (mime_summary(webmail_of(r)->mime, l.fd, &summary, NULL, &e) != 0)
		log_warning("%s: %s", r->path, e.text);
	web_download(
	    w, letter_name(r, summary, ".eml"), "message/rfc822", false);
	if (lseek(l.fd, 0, SEEK_SET) == 0)
		stream_file(r, w, l.fd);
	json_decref(summary);
	(void)close(l.fd);
}

/* --- All files --------------------------------------------------------------------------- */

static int
zip_piece(void *arg, const void *data, size_t len, struct err *e)
{
	return zip_data(arg, data, len, e);
}

/* "a.pdf" of which there was one already: "2 a.pdf". */
static const char *
own_name(struct pool *pool, const json_t *parts, size_t n)
{
	const char *name = name_of(json_array_get(parts, n));
	unsigned count = 1;

	for (size_t i = 0; i < n; i++) {
		const json_t *part = json_array_get(parts, i);

		count += strcmp(json_text(part, "role"), "file") == 0 &&
		    ascii_casecmp(name_of(part), name) == 0;
	}
	return count == 1 ? name : pool_printf(pool, "%u %s", count, name);
}

static int
add_files(struct web_request *r, int fd, const json_t *parts, struct zip *z,
    struct err *e)
{
	const struct mime_sink sink = { NULL, zip_piece, z };

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);

		if (strcmp(json_text(part, "role"), "file") != 0)
			continue;
		if (zip_file(z, own_name(&r->pool, parts, i), e) != 0 ||
		    mime_part(webmail_of(r)->mime, fd, json_text(part, "path"),
			&sink, e) != 0)
			return -1;
	}
	return zip_end(z, e);
}

/*
 * If it fails midway the archive has no directory, which its reader will say:
 * there is no other way to tell once the first bytes are sent.
 */
void
message_zip(struct web_request *r, struct web_response *w)
{
	json_t *view = NULL, *date;
	struct letter l;
	struct zip z;
	struct err e;

	if (!letter_open(r, w, &l))
		return;
	if (letter_view(r, &l, false, &view, &e) != 0) {
		part_failed(r, w, &e);
	} else {
		date = json_object_get(view, "date");
		zip_init(&z, stream_data, w, json_integer_value(date));
		web_download(
		    w, letter_name(r, view, ".zip"), "application/zip", false);
		if (add_files(
			r, l.fd, json_object_get(view, "parts"), &z, &e) != 0)
			part_failed(r, w, &e);
		zip_release(&z);
	}
	json_decref(view);
	(void)close(l.fd);
}
