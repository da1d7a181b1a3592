/*
 * A message for the mailbox index: who, when, what about, its first words, and
 * its text for search.
 */
#include "parse/summary.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mail/header.h"
#include "mime/mime.h"

#include "parse/charset.h"
#include "parse/message.h"
#include "parse/sanitise.h"

enum {
	ADDRESSES_MAX = 1000,
	REFERENCES_MAX = 100,
	ID_MAX = 500,
	TEXT_MAX = 2000, /* of a subject or name */
	SNIPPET_MAX = 200,
	LINE_MAX_BYTES = 400, /* of a snippet's line */
	NAMES_MAX = 64 * 1024,
	HTML_MAX = 1024 * 1024,
	LIST_DEPTH_MAX = 4,
	BROKEN_HEAD_MAX = 64 * 1024,
	BROKEN_FIELDS_MAX = 500,
};

/* --- Header fields ------------------------------------------------------------ */

static json_t *
clean_json(const char *raw, size_t max)
{
	struct buf text;
	json_t *value;

	buf_init(&text, HTML_MAX);
	if (raw != NULL)
		message_clean_header(raw, &text);
	buf_cut_utf8(&text, max);
	value = json_stringn(text.data, text.len);
	buf_release(&text);
	return value;
}

static const char *
raw_header(const struct message *m, const char *name)
{
	GMimeHeader *h = g_mime_header_list_get_header(
	    g_mime_object_get_header_list(GMIME_OBJECT(m->root)), name);

	return h != NULL ? g_mime_header_get_raw_value(h) : NULL;
}

static void
add_mailbox(InternetAddress *address, json_t *out)
{
	const char *addr = internet_address_mailbox_get_addr(
	    INTERNET_ADDRESS_MAILBOX(address));

	json_array_append_new(out,
	    json_pack("{so,so}", "name",
		clean_json(internet_address_get_name(address), TEXT_MAX),
		"address", clean_json(addr, ID_MAX)));
}

/* Groups are shown by their members; the guard bounds how deep they nest. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void
add_addresses(InternetAddressList *list, json_t *out, int depth)
{
	int count = list ? internet_address_list_length(list) : 0;

	for (int i = 0; i < count && json_array_size(out) < ADDRESSES_MAX;
	     i++) {
		InternetAddress *a = internet_address_list_get_address(list, i);

		if (INTERNET_ADDRESS_IS_MAILBOX(a))
			add_mailbox(a, out);
		else if (INTERNET_ADDRESS_IS_GROUP(a) && depth < LIST_DEPTH_MAX)
			add_addresses(internet_address_group_get_members(
					  INTERNET_ADDRESS_GROUP(a)),
			    out, depth + 1);
	}
}

static void
put_addresses(json_t *out, const char *key, InternetAddressList *list)
{
	json_t *addresses = json_array();

	add_addresses(list, addresses, 0);
	json_object_set_new(out, key, addresses);
}

/* The next <id> of a field, or bare word; false at the end. */
static bool
next_id(struct slice *rest, struct slice *id_out)
{
	ptrdiff_t from = slice_chr(*rest, '<');
	struct slice id;

	if (from < 0)
		return false;
	*rest = slice_cut(slice_skip(*rest, (size_t)from + 1), '>', &id);
	*id_out = slice_trim(id);
	return true;
}

static json_t *
id_json(struct slice id)
{
	struct buf clean;
	json_t *value;

	buf_init(&clean, (size_t)ID_MAX * 4);
	if (id.len <= ID_MAX)
		charset_scrub(id, true, &clean);
	value = json_stringn(clean.data, clean.len);
	buf_release(&clean);
	return value;
}

static json_t *
first_id(const char *raw)
{
	struct slice rest = slice_str(raw), id;

	return next_id(&rest, &id) ? id_json(id)
				   : id_json(slice_trim(slice_str(raw)));
}

/* --- Who asks for a receipt ---------------------------------------------------- */

/* Without GMime: the guard does not look into these fields. */
static bool
first_address(const char *raw, struct slice *out)
{
	struct slice rest = slice_str(raw);

	return header_next_address(&rest, out) && out->len > 0;
}

static struct slice
domain_of(struct slice address)
{
	return slice_skip(address, (size_t)(slice_rchr(address, '@') + 1));
}

static bool
has_word(const char *raw, const char *word)
{
	return raw != NULL && slice_icontains(slice_str(raw), slice_str(word));
}

/* Nobody waits for a receipt of what was sent to many, or by a machine. */
static bool
came_by_list(const struct message *m)
{
	static const char *const fields[] = { "List-Id", "List-Post",
		"List-Unsubscribe", "Mailing-List" };
	static const char *const words[] = { "bulk", "list", "junk" };
	const char *precedence = raw_header(m, "Precedence");

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (raw_header(m, fields[i]) != NULL)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (has_word(precedence, words[i]))
			return true;
	}
	return false;
}

static bool
is_report(const struct message *m)
{
	GMimeObject *top = g_mime_message_get_mime_part(m->root);

	return top != NULL &&
	    g_mime_content_type_is_type(
		g_mime_object_get_content_type(top), "multipart", "report");
}

/*
 * RFC 8098 2.1: no receipt for a receipt, none where the sender is null, and
 * the reader should know when it goes elsewhere than where the message is
 * from.  RFC 8098 2.2: none where what is required is not understood.
 */
static void
put_receipt(const struct message *m, json_t *out)
{
	const char *options = raw_header(m, "Disposition-Notification-Options");
	const char *path = raw_header(m, "Return-Path");
	struct slice to, from = { 0 };
	bool asked =
	    first_address(raw_header(m, "Disposition-Notification-To"), &to) &&
	    !has_word(options, "required") && !came_by_list(m) && !is_report(m);

	if (path != NULL && !first_address(path, &from))
		asked = false;
	json_object_set_new(
	    out, "receipt_to", asked ? id_json(to) : json_string(""));
	json_object_set_new(out, "receipt_elsewhere",
	    json_boolean(asked && !slice_ieq(domain_of(to), domain_of(from))));
}

static json_t *
references_json(const char *raw)
{
	struct slice rest = slice_str(raw), id;
	json_t *list = json_array();

	/* the first, which all of a conversation have, and the last ones */
	while (next_id(&rest, &id)) {
		if (id.len == 0 || id.len > ID_MAX)
			continue;
		json_array_append_new(list, id_json(id));
		if (json_array_size(list) > REFERENCES_MAX)
			json_array_remove(list, 1);
	}
	return list;
}

static json_t *
date_json(const char *raw)
{
	int64_t ms;

	if (raw == NULL ||
	    !clock_parse_rfc5322(slice_trim(slice_str(raw)), &ms))
		return json_null();
	return json_integer(ms);
}

static void
put_headers(const struct message *m, json_t *out)
{
	json_object_set_new(
	    out, "subject", clean_json(raw_header(m, "Subject"), TEXT_MAX));
	json_object_set_new(
	    out, "message_id", first_id(raw_header(m, "Message-ID")));
	json_object_set_new(
	    out, "in_reply_to", first_id(raw_header(m, "In-Reply-To")));
	json_object_set_new(out, "list_id", first_id(raw_header(m, "List-Id")));
	json_object_set_new(
	    out, "references", references_json(raw_header(m, "References")));
	json_object_set_new(out, "date", date_json(raw_header(m, "Date")));
	put_receipt(m, out);
	put_addresses(out, "from", g_mime_message_get_from(m->root));
	put_addresses(out, "reply_to", g_mime_message_get_reply_to(m->root));
	put_addresses(out, "to", g_mime_message_get_to(m->root));
	put_addresses(out, "cc", g_mime_message_get_cc(m->root));
}

/* --- Text ------------------------------------------------------------------------ */

struct texts {
	struct buf plain, html; /* as text */
	struct buf others;      /* calendars and the like: only for search */
	struct buf names;       /* of attachments */
	bool has_attachments, has_invite;
};

static bool
is_type(GMimeObject *part, const char *subtype)
{
	return g_mime_content_type_is_type(
	    g_mime_object_get_content_type(part), "text", subtype);
}

static void
add_html(GMimeObject *part, struct buf *out)
{
	struct buf html;

	buf_init(&html, HTML_MAX);
	if (out->len > 0)
		buf_addc(out, '\n');
	if (message_text(part, &html))
		sanitise_to_text(buf_slice(&html), out);
	buf_release(&html);
}

static void
add_plain(GMimeObject *part, struct buf *out)
{
	struct buf text;

	buf_init(&text, HTML_MAX);
	if (out->len > 0)
		buf_addc(out, '\n');
	if (message_unfolded_text(part, &text))
		buf_addslice(out, buf_slice(&text));
	buf_release(&text);
}

static bool
gather(void *arg, const struct message_part *part)
{
	struct texts *t = arg;

	if (is_type(part->object, "calendar"))
		t->has_invite = true;
	if (message_is_attachment(part->object)) {
		t->has_attachments = true;
		message_part_name(part->object, &t->names);
		buf_addc(&t->names, '\n');
		return true;
	}
	if (is_type(part->object, "html"))
		add_html(part->object, &t->html);
	else if (is_type(part->object, "*"))
		add_plain(part->object,
		    is_type(part->object, "plain") ? &t->plain : &t->others);
	return t->plain.len < MIME_SEARCH_TEXT_MAX;
}

/* Its first own words: no quotes, no runs of space. */
static json_t *
snippet_json(struct slice text)
{
	struct slice line;
	struct buf out;
	json_t *value;

	buf_init(&out, SNIPPET_MAX + LINE_MAX_BYTES + 8);
	while (text.len > 0 && out.len < SNIPPET_MAX) {
		text = slice_cut(text, '\n', &line);
		line = slice_trim(line);
		if (slice_starts(line, ">") || slice_eq_str(line, "--"))
			continue;
		if (line.len > LINE_MAX_BYTES)
			line.len = LINE_MAX_BYTES;
		if (out.len > 0 && line.len > 0)
			buf_addc(&out, ' ');
		for (size_t i = 0; i < line.len; i++) {
			char c = line.data[i] == '\t' ? ' ' : line.data[i];

			if (c != ' ' || (i > 0 && line.data[i - 1] != ' '))
				buf_addc(&out, c);
		}
	}
	buf_cut_utf8(&out, SNIPPET_MAX);
	value = json_stringn(out.data, out.len);
	buf_release(&out);
	return value;
}

static void
put_texts(const struct message *m, struct buf *text_out, json_t *out)
{
	struct texts t = { .has_attachments = false };
	struct buf *text;

	buf_init(&t.plain, (size_t)HTML_MAX * 4);
	buf_init(&t.html, (size_t)HTML_MAX * 4);
	buf_init(&t.others, (size_t)HTML_MAX * 4);
	buf_init(&t.names, NAMES_MAX);
	message_walk(m, gather, &t);
	text = slice_trim(buf_slice(&t.plain)).len > 0 ? &t.plain : &t.html;
	json_object_set_new(out, "snippet", snippet_json(buf_slice(text)));
	if (t.others.len > 0)
		buf_addc(text, '\n');
	buf_addslice(text, buf_slice(&t.others));
	buf_cut_utf8(text, MIME_SEARCH_TEXT_MAX);
	buf_addslice(text_out, buf_slice(text));
	json_object_set_new(
	    out, "has_attachments", json_boolean(t.has_attachments));
	json_object_set_new(out, "has_invite", json_boolean(t.has_invite));
	json_object_set_new(
	    out, "files", json_stringn(t.names.data, t.names.len));
	buf_release(&t.plain);
	buf_release(&t.html);
	buf_release(&t.others);
	buf_release(&t.names);
}

/* --- Beyond the guard's limits -------------------------------------------------------- */

static json_t *
decoded_json(const struct header_field *f)
{
	struct buf text;
	json_t *value;

	buf_init(&text, BROKEN_HEAD_MAX);
	header_decode(f->value, &text);
	value = clean_json(text.data, TEXT_MAX);
	buf_release(&text);
	return value;
}

static void
put_broken_field(json_t *out, const struct header_field *f)
{
	struct slice rest = f->value, address;
	struct buf text;

	if (header_is(f, "Subject"))
		json_object_set_new(out, "subject", decoded_json(f));
	if (header_is(f, "From") && header_next_address(&rest, &address)) {
		json_object_set_new(out, "from",
		    json_pack(
			"[{ss,so}]", "name", "", "address", id_json(address)));
	}
	if (header_is(f, "Date") || header_is(f, "Message-ID")) {
		buf_init(&text, BROKEN_HEAD_MAX);
		header_unfold(f->value, &text);
		if (header_is(f, "Date"))
			json_object_set_new(out, "date", date_json(text.data));
		else
			json_object_set_new(
			    out, "message_id", first_id(text.data));
		buf_release(&text);
	}
}

/* What its first fields say, read without GMime. */
static void
put_broken(const struct message *m, json_t *out)
{
	char *head = mem_alloc(BROKEN_HEAD_MAX);
	ssize_t n = pread(m->fd, head, BROKEN_HEAD_MAX, 0);
	struct header_scan scan = { slice_of(head, n > 0 ? (size_t)n : 0) };
	struct header_field field;

	json_object_update_new(out,
	    json_pack("{ss,ss,ss,ss,ss,ss,sn,sb,s[],s[],s[],s[],s[]}", "broken",
		m->broken, "subject", "", "message_id", "", "in_reply_to", "",
		"list_id", "", "snippet", "", "date", "has_attachments", 0,
		"references", "from", "reply_to", "to", "cc"));
	for (int i = 0; i < BROKEN_FIELDS_MAX && header_next(&scan, &field);
	     i++)
		put_broken_field(out, &field);
	free(head);
}

void
summary_put_headers(const struct message *m, json_t *out)
{
	if (m->broken == NULL)
		put_headers(m, out);
	else
		put_broken(m, out);
}

json_t *
summary_make(const struct message *m, struct buf *text)
{
	json_t *out = json_pack("{sI}", "size", (json_int_t)m->size);

	summary_put_headers(m, out);
	if (m->broken == NULL)
		put_texts(m, text, out);
	return out;
}
