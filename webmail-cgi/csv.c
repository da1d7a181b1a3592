/*
 * Comma separated values; see vcard.h.  Headings are recognised as the large
 * providers and mail programs write them.
 */
#include <string.h>

#include "webmail-cgi/vcard.h"

enum {
	FIELD_MAX = 64 * 1024,
	EMAIL_COLUMNS = 5,
	CELL_MAX = 64 * 1024,
};

enum column {
	IGNORED,
	NAME,
	FIRST,
	LAST,
	EMAIL,
	COMPANY,
	PHONE,
	NOTE,
	GROUPS,
};

/* --- Cells -------------------------------------------------------------------------- */

/*
 * Without control characters but line ends; a cell that was kept from being a
 * formula is itself again.
 */
static struct slice
cell_of(struct pool *pool, const char *field)
{
	char *clean = pool_strdup(pool, field);
	struct slice s;
	size_t n = 0;

	for (const char *p = field; *p != '\0'; p++)
		if ((unsigned char)*p >= ' ' ? *p != 127 : *p == '\n')
			clean[n++] = *p;
	s = slice_trim(slice_of(clean, n));
	if (s.len > 1 && s.data[0] == '\'' && strchr("=@+-", s.data[1]) != NULL)
		s = slice_skip(s, 1);
	return s;
}

/* --- Headings -------------------------------------------------------------------------- */

static enum column
column_of(struct slice heading)
{
	static const struct {
		const char *word;
		enum column column;
	} words[] = { { "type", IGNORED }, { "label", IGNORED },
		{ "display name", NAME }, { "full name", NAME },
		{ "phonetic", IGNORED }, { "yomi", IGNORED },
		{ "first name", FIRST }, { "given", FIRST },
		{ "last name", LAST }, { "family", LAST }, { "surname", LAST },
		{ "mail", EMAIL }, { "company", COMPANY },
		{ "organization", COMPANY }, { "organisation", COMPANY },
		{ "phone", PHONE }, { "mobile", PHONE }, { "note", NOTE },
		{ "group", GROUPS }, { "categor", GROUPS } };

	if (slice_ieq_str(heading, "name"))
		return NAME;
	if (slice_ieq_str(heading, "labels"))
		return GROUPS;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_icontains(heading, slice_str(words[i].word)))
			return words[i].column;
	}
	return IGNORED;
}

bool
csv_begin(struct csv_scan *s, struct pool *pool, struct slice text)
{
	const char *fields[TABLE_FIELDS_MAX];
	bool useful = false;
	struct err e;

	*s = (struct csv_scan){ .count = 0 };
	table_init(&s->table, text);
	if (table_next(&s->table, pool, fields, &s->count, &e) != 1)
		return false;
	for (size_t i = 0; i < s->count; i++) {
		enum column column = column_of(cell_of(pool, fields[i]));

		useful |= column == EMAIL || column == NAME || column == FIRST;
		s->columns[i] = (unsigned char)column;
	}
	return useful;
}

/* --- Lines --------------------------------------------------------------------------------- */

static const char *
keep(struct pool *pool, struct slice s)
{
	return pool_strndup(pool, s.data, s.len);
}

/* Several may be in one cell: "a@b.c, d@e.f". */
static void
add_addresses(struct pool *pool, struct slice cell, struct contact *c)
{
	if (c->addresses == NULL)
		c->addresses = pool_zalloc(
		    pool, CONTACT_ADDRESSES_MAX * sizeof(*c->addresses));
	while (cell.len > 0) {
		size_t n = 0;

		while (n < cell.len && strchr(" ,;\n", cell.data[n]) == NULL)
			n++;
		if (memchr(cell.data, '@', n) != NULL &&
		    c->address_count < CONTACT_ADDRESSES_MAX)
			c->addresses[c->address_count++] =
			    (struct contact_address){ "",
				    keep(pool, slice_of(cell.data, n)) };
		cell = slice_skip(cell, n + 1);
	}
}

/* "Friends;Family" or "* myContacts ::: Friends" */
static const char *
groups_of(struct pool *pool, struct slice cell)
{
	const char *text;
	struct buf out;

	buf_init(&out, FIELD_MAX * 2);
	while (cell.len > 0) {
		size_t n = 0;
		struct slice name;

		while (n < cell.len && cell.data[n] != ';' &&
		    !slice_starts(slice_skip(cell, n), ":::"))
			n++;
		name = slice_trim(slice_of(cell.data, n));
		cell = slice_skip(cell,
		    n + (slice_starts(slice_skip(cell, n), ":::") ? 3 : 1));
		if (slice_starts(name, "* "))
			name = slice_skip(name, 2);
		if (name.len == 0 || slice_eq_str(name, "myContacts"))
			continue;
		buf_addslice(&out, name);
		buf_addc(&out, '\n');
	}
	text = pool_strndup(pool, out.data, out.len);
	buf_release(&out);
	return text;
}

/* A first name goes before what there is, a last name behind. */
static const char *
joined(struct pool *pool, bool before, struct slice cell, const char *name)
{
	const char *text = keep(pool, cell);

	if (name[0] == '\0')
		return text;
	return pool_printf(
	    pool, "%s %s", before ? text : name, before ? name : text);
}

static void
take_cell(
    struct pool *pool, enum column column, struct slice cell, struct contact *c)
{
	switch (column) {
	case NAME:
		c->name = keep(pool, cell);
		break;
	case FIRST:
	case LAST:
		c->name = joined(pool, column == FIRST, cell, c->name);
		break;
	case EMAIL:
		add_addresses(pool, cell, c);
		break;
	case COMPANY:
		c->company = keep(pool, cell);
		break;
	case PHONE:
		c->phones = pool_printf(
		    pool, "%s%.*s\n", c->phones, (int)cell.len, cell.data);
		break;
	case NOTE:
		c->note = keep(pool, cell);
		break;
	case GROUPS:
		c->groups_text = groups_of(pool, cell);
		break;
	case IGNORED:
		break;
	}
}

int
csv_next(struct csv_scan *s, struct pool *pool, struct contact *out,
    unsigned *line_out)
{
	const char *fields[TABLE_FIELDS_MAX];
	bool found = false;
	size_t count;
	struct err e;
	int got = 1;

	while (!found && got == 1) {
		contact_init(out);
		got = table_next(&s->table, pool, fields, &count, &e);
		*line_out = (unsigned)s->table.line;
		for (size_t i = 0; got == 1 && i < count && i < s->count; i++) {
			struct slice cell = cell_of(pool, fields[i]);

			if (cell.len > 0)
				take_cell(pool, s->columns[i], cell, out);
		}
		found = out->name[0] != '\0' || out->address_count > 0;
	}
	return got;
}

/* --- Writing --------------------------------------------------------------------------------- */

/* What a spreadsheet would take for a formula gets a ' before it. */
static bool
is_formula(const char *text)
{
	if (text[0] == '=' || text[0] == '@')
		return true;
	return (text[0] == '+' || text[0] == '-') &&
	    !ascii_is_digit((unsigned char)text[1]);
}

static void
add_cell(const char *text, bool is_last, struct buf *out)
{
	buf_addc(out, '"');
	if (is_formula(text))
		buf_addc(out, '\'');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_addc(out, '"');
		buf_addc(out, *text);
	}
	buf_addstr(out, is_last ? "\"\r\n" : "\",");
}

/* All addresses from `i` on in the last column. */
static void
add_address_cell(const struct contact *c, size_t i, struct buf *out)
{
	size_t end = i + 1 == EMAIL_COLUMNS ? c->address_count : i + 1;
	struct buf cell;

	buf_init(&cell, CELL_MAX);
	for (; i < end && i < c->address_count; i++)
		buf_addf(&cell, "%s%s", cell.len > 0 ? ", " : "",
		    c->addresses[i].address);
	add_cell(cell.len > 0 ? cell.data : "", false, out);
	buf_release(&cell);
}

static void
add_list_cell(
    const char *lines, const char *between, bool is_last, struct buf *out)
{
	struct slice rest = slice_str(lines), line;
	struct buf cell;

	buf_init(&cell, CELL_MAX);
	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		if (line.len == 0)
			continue;
		buf_addstr(&cell, cell.len > 0 ? between : "");
		buf_addslice(&cell, line);
	}
	add_cell(cell.len > 0 ? cell.data : "", is_last, out);
	buf_release(&cell);
}

void
csv_write(const struct contact *c, struct buf *out)
{
	add_cell(c->name, false, out);
	add_cell(c->company, false, out);
	for (size_t i = 0; i < EMAIL_COLUMNS; i++)
		add_address_cell(c, i, out);
	add_list_cell(c->phones, ", ", false, out);
	add_cell(c->note, false, out);
	add_list_cell(c->groups_text, ";", true, out);
}
