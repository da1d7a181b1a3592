/*
 * A message as a reader's page shows it: which parts are its text, which are
 * pictures within that text, which are files; and what a delivery report says.
 * The choice is made here, once, so that page, download and print agree.
 */
#include "parse/view.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "mail/header.h"

#include "parse/invite.h"
#include "parse/sanitise.h"
#include "parse/summary.h"

enum {
	TEXT_MAX = 1024 * 1024, /* of all texts together */
	HTML_MAX = 2 * 1024 * 1024,
	REPORT_MAX = 64 * 1024,
	INVITE_MAX = 256 * 1024,
	REPORT_RECIPIENTS_MAX = 100,
	REPORT_LINE_MAX = 1000,
};

enum role {
	ROLE_FILE,      /* listed below the text */
	ROLE_TEXT,      /* shown */
	ROLE_CONTAINER, /* or another form of what is shown: not listed */
	ROLE_PICTURE,   /* within the HTML */
};

/* The tree, flat and in order: an entry's children follow it, one deeper. */
struct view {
	GMimeObject *parts[MESSAGE_PARTS_MAX];
	unsigned depths[MESSAGE_PARTS_MAX];
	enum role roles[MESSAGE_PARTS_MAX];
	size_t count;
	json_t *list; /* what message_describe() says of each */
	json_t *bodies, *report;
	size_t text_len;
	bool prefer_plain, has_remote, truncated;
};

static bool
gather(void *arg, const struct message_part *part)
{
	struct view *v = arg;

	v->parts[v->count] = part->object;
	v->depths[v->count++] = part->depth;
	json_array_append_new(v->list, message_describe(part));
	return v->count < MESSAGE_PARTS_MAX;
}

static bool
is_type(const struct view *v, size_t i, const char *type, const char *subtype)
{
	return g_mime_content_type_is_type(
	    g_mime_object_get_content_type(v->parts[i]), type, subtype);
}

/* The entry behind the last one inside i. */
static size_t
end_of(const struct view *v, size_t i)
{
	size_t n = i + 1;

	while (n < v->count && v->depths[n] > v->depths[i])
		n++;
	return n;
}

static bool
is_text(const struct view *v, size_t i)
{
	return !message_is_attachment(v->parts[i]) &&
	    (is_type(v, i, "text", "plain") || is_type(v, i, "text", "html"));
}

/* Is there a text like this in i, embedded messages aside? */
static bool
has_text(const struct view *v, size_t i, const char *subtype)
{
	size_t end = end_of(v, i);

	for (size_t n = i; n < end; n++) {
		if (GMIME_IS_MESSAGE_PART(v->parts[n])) {
			n = end_of(v, n) - 1;
			continue;
		}
		if (is_text(v, n) && is_type(v, n, "text", subtype))
			return true;
	}
	return false;
}

/* --- Texts ---------------------------------------------------------------- */

static void
add_body(struct view *v, size_t i, const char *kind, json_t *more)
{
	json_t *path = json_object_get(json_array_get(v->list, i), "path");
	json_t *body = json_pack("{ss,sO}", "kind", kind, "path", path);

	json_object_update_new(body, more);
	json_array_append_new(v->bodies, body);
}

static void
add_text_body(struct view *v, size_t i, const struct buf *text)
{
	v->text_len += text->len;
	v->truncated |= buf_overflowed(text);
	add_body(v, i, "text",
	    json_pack("{ss%}", "text", buf_slice(text).data, text->len));
}

/*
 * A quick look: a whole pass of the sanitiser for each message of a
 * conversation would take longer than all the rest of the page.  It may see
 * pictures or colours where none come out, which costs a needless button.
 */
static bool
may_have_remote_pictures(struct slice html)
{
	ptrdiff_t at;
	struct slice tag;

	while ((at = slice_chr(html, '<')) >= 0) {
		html = slice_skip(html, (size_t)at);
		if (slice_istarts(html, "<img")) {
			(void)slice_cut(html, '>', &tag);
			if (slice_icontains(tag, SLICE_LIT("http")))
				return true;
		}
		html = slice_skip(html, 1);
	}
	return false;
}

static bool
may_have_colours(struct slice html)
{
	return slice_icontains(html, SLICE_LIT("color")) ||
	    slice_icontains(html, SLICE_LIT("background"));
}

static void
add_html_body(struct view *v, size_t i, struct slice html)
{
	v->has_remote = v->has_remote || may_have_remote_pictures(html);
	add_body(v, i, "html",
	    json_pack("{sb}", "coloured", may_have_colours(html)));
}

static void
add_text(struct view *v, size_t i)
{
	bool is_html = is_type(v, i, "text", "html");
	struct buf html, text;

	v->roles[i] = ROLE_TEXT;
	buf_init(&html, HTML_MAX);
	buf_init(&text, TEXT_MAX - v->text_len);
	if (is_html)
		(void)message_text(v->parts[i], &html);
	else
		(void)message_unfolded_text(v->parts[i], &text);
	if (is_html && v->prefer_plain)
		sanitise_to_text(buf_slice(&html), &text);
	if (is_html && !v->prefer_plain)
		add_html_body(v, i, buf_slice(&html));
	else
		add_text_body(v, i, &text);
	buf_release(&html);
	buf_release(&text);
}

/* --- Which parts are what ------------------------------------------------- */

static void choose(struct view *v, size_t i);

/* RFC 2046 5.1.4: the last form that can be shown, or the plain one. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void
choose_alternative(struct view *v, size_t i)
{
	size_t end = end_of(v, i), chosen = 0;

	for (size_t n = i + 1; n < end; n = end_of(v, n)) {
		bool plain = has_text(v, n, "plain");

		if (v->prefer_plain && plain && chosen != 0)
			continue;
		if (plain || has_text(v, n, "html"))
			chosen = n;
		if (v->prefer_plain && plain)
			break;
	}
	for (size_t n = i + 1; n < end; n++) {
		if (is_text(v, n))
			v->roles[n] = ROLE_CONTAINER;
	}
	if (chosen != 0)
		choose(v, chosen);
}

/* A picture the HTML may show by its content id. */
static bool
is_embedded_picture(const struct view *v, size_t i)
{
	static const char *const types[] = { "png", "jpeg", "gif", "webp" };

	for (size_t n = 0; n < ARRAY_LEN(types); n++) {
		if (is_type(v, i, "image", types[n]))
			return g_mime_object_get_content_id(v->parts[i]) !=
			    NULL;
	}
	return false;
}

/* RFC 2387: the first part is the text, pictures with ids belong to it. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void
choose_related(struct view *v, size_t i)
{
	size_t end = end_of(v, i);

	if (i + 1 >= end)
		return;
	choose(v, i + 1);
	if (v->prefer_plain || !has_text(v, i + 1, "html"))
		return;
	for (size_t n = end_of(v, i + 1); n < end; n++) {
		if (is_embedded_picture(v, n))
			v->roles[n] = ROLE_PICTURE;
	}
}

static void
read_report(struct view *v, size_t i)
{
	struct buf text;

	buf_init(&text, REPORT_MAX);
	if (v->report == NULL && message_text(v->parts[i], &text))
		v->report = view_report(buf_slice(&text));
	buf_release(&text);
}

/* Recursion is bounded by the guard, as in message_walk(). */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void
choose(struct view *v, size_t i)
{
	size_t end = end_of(v, i);

	if (GMIME_IS_MULTIPART(v->parts[i])) {
		v->roles[i] = ROLE_CONTAINER;
		if (is_type(v, i, "multipart", "alternative")) {
			choose_alternative(v, i);
		} else if (is_type(v, i, "multipart", "related")) {
			choose_related(v, i);
		} else {
			for (size_t n = i + 1; n < end; n = end_of(v, n))
				choose(v, n);
		}
	} else if (GMIME_IS_MESSAGE_PART(v->parts[i])) {
		for (size_t n = i + 1; n < end; n++)
			v->roles[n] = ROLE_CONTAINER;
	} else if (is_text(v, i)) {
		add_text(v, i);
	} else if (is_type(v, i, "message", "delivery-status")) {
		read_report(v, i);
	}
}

/* --- Delivery reports ------------------------------------------------------- */

/* "rfc822; ann@example.org", "smtp; 550 No such user": behind the type. */
static void
set_report_text(json_t *out, const char *key, struct slice value)
{
	struct buf unfolded, clean;
	struct slice text;

	buf_init(&unfolded, REPORT_MAX);
	buf_init(&clean, REPORT_MAX);
	header_unfold(value, &unfolded);
	text = buf_slice(&unfolded);
	if (slice_chr(text, ';') >= 0)
		text = slice_skip(text, (size_t)slice_chr(text, ';') + 1);
	text = slice_trim(text);
	if (text.len > REPORT_LINE_MAX)
		text.len = REPORT_LINE_MAX;
	header_decode(text, &clean);
	json_object_set_new(out, key, json_stringn(clean.data, clean.len));
	buf_release(&unfolded);
	buf_release(&clean);
}

static json_t *
report_block(struct header_scan *scan)
{
	static const struct {
		const char *field, *key;
	} wanted[] = { { "Final-Recipient", "address" }, { "Action", "action" },
		{ "Status", "status" }, { "Diagnostic-Code", "reply" } };

	json_t *out = json_object();
	struct header_field field;

	while (header_next(scan, &field)) {
		for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
			if (header_is(&field, wanted[i].field))
				set_report_text(
				    out, wanted[i].key, field.value);
		}
	}
	return out;
}

json_t *
view_report(struct slice text)
{
	json_t *out = json_array();
	bool had_empty_line = true;

	while (text.len > 0 && had_empty_line &&
	    json_array_size(out) < REPORT_RECIPIENTS_MAX) {
		struct header_scan scan = { text };
		json_t *block = report_block(&scan);

		if (json_object_get(block, "address") != NULL)
			json_array_append(out, block);
		json_decref(block);
		text = header_body(&scan, &had_empty_line);
	}
	if (json_array_size(out) > 0)
		return out;
	json_decref(out);
	return NULL;
}

/* --- Invitations ----------------------------------------------------------------- */

/* Of the first calendar that has an event, embedded messages aside. */
static json_t *
find_invite(const struct view *v)
{
	json_t *invite = NULL;
	struct buf text;

	for (size_t i = 0; i < v->count && invite == NULL; i++) {
		if (GMIME_IS_MESSAGE_PART(v->parts[i])) {
			i = end_of(v, i) - 1;
			continue;
		}
		if (!is_type(v, i, "text", "calendar"))
			continue;
		buf_init(&text, INVITE_MAX);
		if (message_text(v->parts[i], &text))
			invite = invite_read(buf_slice(&text));
		buf_release(&text);
	}
	return invite;
}

/* --- The whole -------------------------------------------------------------- */

static void
set_roles(struct view *v)
{
	static const char *const names[] = { "file", "text", "", "picture" };

	for (size_t i = 0; i < v->count; i++)
		json_object_set_new(json_array_get(v->list, i), "role",
		    json_string(names[v->roles[i]]));
}

json_t *
view_make(const struct message *m, bool prefer_plain)
{
	struct view *v = mem_zalloc(sizeof(*v));
	json_t *out = json_object();

	v->prefer_plain = prefer_plain;
	v->list = json_array();
	v->bodies = json_array();
	summary_put_headers(m, out);
	message_walk(m, gather, v);
	if (v->count > 0)
		choose(v, 0);
	set_roles(v);
	if (m->broken != NULL) {
		json_t *part = message_describe_opaque(m);

		json_object_set_new(part, "role", json_string("file"));
		json_array_append_new(v->list, part);
	}
	json_object_update_new(out,
	    json_pack("{so,so,so*,so*,sb,sb}", "parts", v->list, "bodies",
		v->bodies, "report", v->report, "invite", find_invite(v),
		"remote_pictures", v->has_remote, "truncated", v->truncated));
	free(v);
	return out;
}
