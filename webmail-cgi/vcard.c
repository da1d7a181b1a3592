/*
 * vCards; see vcard.h.  A line that is no property is passed over, a card
 * without an end ends with the file.
 */
#include "webmail-cgi/vcard.h"

#include <string.h>

enum {
	LINE_MAX_BYTES = 256 * 1024, /* unfolded; a longer one is dropped */
	FOLD_BYTES = 75,
	CARD_TEXT_MAX = 512 * 1024,
};

/* --- Reading ---------------------------------------------------------------------- */

/* All of a value in the pool, the parts between ';' put together. */
static const char *
value_text(struct pool *pool, struct slice value, bool keep_lines)
{
	const char *text;
	struct buf out;

	buf_init(&out, CARD_TEXT_MAX);
	while (value.len > 0) {
		size_t before = out.len;

		value = content_text(value, ';', keep_lines, &out);
		if (value.len > 0 && out.len > before)
			buf_addstr(&out, ", ");
	}
	while (slice_ends(buf_slice(&out), ", "))
		buf_truncate(&out, out.len - 2);
	text = pool_strndup(pool, out.data, out.len);
	buf_release(&out);
	return text;
}

/* "Family;Given;..." as it is said: given name first (RFC 6350 6.2.2). */
static const char *
name_text(struct pool *pool, struct slice value)
{
	struct buf family, given;
	const char *text;

	buf_init(&family, CARD_TEXT_MAX);
	buf_init(&given, CARD_TEXT_MAX);
	value = content_text(value, ';', false, &family);
	(void)content_text(value, ';', false, &given);
	if (given.len > 0 && family.len > 0)
		buf_addc(&given, ' ');
	buf_addslice(&given, buf_slice(&family));
	text = pool_strndup(pool, given.data, given.len);
	buf_release(&family);
	buf_release(&given);
	return text;
}

struct card {
	struct pool *pool;
	struct contact *c;
	struct buf phones, groups, more;
	bool is_old, is_group;
};

static void
take_email(struct card *k, const struct content_line *p)
{
	struct contact *c = k->c;
	struct contact_address *a;

	if (c->addresses == NULL)
		c->addresses = pool_zalloc(
		    k->pool, CONTACT_ADDRESSES_MAX * sizeof(*c->addresses));
	if (c->address_count == CONTACT_ADDRESSES_MAX)
		return;
	a = &c->addresses[c->address_count];
	a->kind = slice_icontains(p->params, SLICE_LIT("work")) ? "work"
	    : slice_icontains(p->params, SLICE_LIT("home"))     ? "home"
								: "";
	a->address = value_text(k->pool, slice_trim(p->value), false);
	c->address_count += a->address[0] != '\0';
}

static void
take_phone(struct card *k, const struct content_line *p)
{
	struct slice value = slice_trim(p->value);

	if (slice_istarts(value, "tel:"))
		value = slice_skip(value, 4);
	(void)content_text(value, '\0', false, &k->phones);
	buf_addc(&k->phones, '\n');
}

static void
take_groups(struct card *k, const struct content_line *p)
{
	struct slice rest = p->value;

	while (rest.len > 0) {
		rest = content_text(rest, ',', false, &k->groups);
		buf_addc(&k->groups, '\n');
	}
}

/*
 * As it stands, for vcard_write(); but never what would begin or end a card,
 * which control characters may have hidden.
 */
static void
add_line(struct slice line, struct buf *out)
{
	size_t start = out->len;
	struct content_line p;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];

		if (c >= ' ' && c != 127)
			buf_addc(out, (char)c);
	}
	if (content_split(slice_skip(buf_slice(out), start), &p) &&
	    (slice_ieq_str(p.name, "BEGIN") || slice_ieq_str(p.name, "END")))
		buf_truncate(out, start);
	else
		buf_addc(out, '\n');
}

static void
take_property(struct card *k, struct slice line, const struct content_line *p)
{
	static const char *const never[] = { "PRODID", "REV", "N",
		"CLIENTPIDMAP" };
	struct contact *c = k->c;

	if (slice_ieq_str(p->name, "FN"))
		c->name = value_text(k->pool, p->value, false);
	else if (slice_ieq_str(p->name, "N") && c->name[0] == '\0')
		c->name = name_text(k->pool, p->value);
	else if (slice_ieq_str(p->name, "ORG"))
		c->company = value_text(k->pool, p->value, false);
	else if (slice_ieq_str(p->name, "NOTE"))
		c->note = value_text(k->pool, p->value, true);
	else if (slice_ieq_str(p->name, "UID"))
		c->uid = value_text(k->pool, p->value, false);
	else if (slice_ieq_str(p->name, "EMAIL"))
		take_email(k, p);
	else if (slice_ieq_str(p->name, "TEL"))
		take_phone(k, p);
	else if (slice_ieq_str(p->name, "CATEGORIES"))
		take_groups(k, p);
	else if (slice_ieq_str(p->name, "VERSION"))
		k->is_old = slice_starts(p->value, "2");
	else if (slice_ieq_str(p->name, "KIND") ||
	    slice_ieq_str(p->name, "X-ADDRESSBOOKSERVER-KIND"))
		k->is_group = slice_ieq_str(slice_trim(p->value), "group");
	else {
		for (size_t i = 0; i < ARRAY_LEN(never); i++) {
			if (slice_ieq_str(p->name, never[i]))
				return;
		}
		add_line(line, &k->more);
	}
}

static const char *
detach(struct pool *pool, struct buf *b)
{
	const char *text =
	    buf_overflowed(b) ? "" : pool_strndup(pool, b->data, b->len);

	buf_release(b);
	return text;
}

static enum vcard_result
read_card(struct content_scan *s, struct pool *pool, struct contact *out)
{
	struct card k = { .pool = pool, .c = out };
	struct content_line p;
	struct buf line;

	contact_init(out);
	buf_init(&line, LINE_MAX_BYTES);
	buf_init(&k.phones, CONTACT_NOTE_MAX);
	buf_init(&k.groups, CONTACT_NOTE_MAX);
	buf_init(&k.more, CONTACT_MORE_MAX);
	while (content_next(s, &line)) {
		if (buf_overflowed(&line) ||
		    !content_split(buf_slice(&line), &p))
			continue;
		if (slice_ieq_str(p.name, "END"))
			break;
		take_property(&k, buf_slice(&line), &p);
	}
	buf_release(&line);
	out->phones = detach(pool, &k.phones);
	out->groups_text = detach(pool, &k.groups);
	out->more = detach(pool, &k.more);
	return k.is_old || k.is_group ||
		(out->name[0] == '\0' && out->address_count == 0)
	    ? VCARD_SKIPPED
	    : VCARD_CONTACT;
}

enum vcard_result
vcard_next(struct content_scan *s, struct pool *pool, struct contact *out,
    unsigned *line_out)
{
	enum vcard_result result = VCARD_END;
	struct content_line p;
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	while (result == VCARD_END && content_next(s, &line)) {
		*line_out = s->line - 1;
		if (content_split(buf_slice(&line), &p) &&
		    slice_ieq_str(p.name, "BEGIN") &&
		    slice_ieq_str(slice_trim(p.value), "VCARD"))
			result = read_card(s, pool, out);
	}
	buf_release(&line);
	return result;
}

/* --- Writing ------------------------------------------------------------------------ */

/* Not within a character. */
static void
add_folded(struct slice line, struct buf *out)
{
	size_t used = 0;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];

		if (used >= FOLD_BYTES - 4 && (c & 0xc0) != 0x80) {
			buf_addstr(out, "\r\n ");
			used = 1;
		}
		buf_addc(out, (char)c);
		used++;
	}
	buf_addstr(out, "\r\n");
}

static void
add_escaped(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c == '\\' || c == ',' || c == ';')
			buf_addc(out, '\\');
		if (c == '\n')
			buf_addstr(out, "\\n");
		else if (c != '\r')
			buf_addc(out, c);
	}
}

static void
write_property(const char *name, struct slice value, struct buf *out)
{
	struct buf line;

	if (value.len == 0)
		return;
	buf_init(&line, CARD_TEXT_MAX);
	buf_addf(&line, "%s:", name);
	add_escaped(value, &line);
	add_folded(buf_slice(&line), out);
	buf_release(&line);
}

/* One property a line of `text`. */
static void
write_lines(const char *name, const char *text, struct buf *out)
{
	struct slice rest = slice_str(text), line;

	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		if (name != NULL)
			write_property(name, slice_trim(line), out);
		else if (line.len > 0)
			add_folded(line, out);
	}
}

void
vcard_write(const struct contact *c, struct buf *out)
{
	const char *name = c->name[0] != '\0' ? c->name
	    : c->address_count > 0            ? c->addresses[0].address
					      : c->company;

	buf_addstr(out, "BEGIN:VCARD\r\nVERSION:4.0\r\n");
	write_property("FN", slice_str(name), out);
	write_property("UID", slice_str(c->uid), out);
	write_property("ORG", slice_str(c->company), out);
	for (size_t i = 0; i < c->address_count; i++) {
		const char *kind = c->addresses[i].kind;

		write_property(strcmp(kind, "work") == 0 ? "EMAIL;TYPE=work"
			: strcmp(kind, "home") == 0      ? "EMAIL;TYPE=home"
							 : "EMAIL",
		    slice_str(c->addresses[i].address), out);
	}
	write_lines("TEL", c->phones, out);
	write_property("NOTE", slice_str(c->note), out);
	write_lines("CATEGORIES", c->groups_text, out);
	write_lines(NULL, c->more, out);
	buf_addstr(out, "END:VCARD\r\n");
}
