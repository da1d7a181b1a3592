/*
 * The text side of writing a message; see writing.h.  Pure: any thread.
 */
#include "webmail-cgi/writing.h"

#include <string.h>

#include "mail/header.h"

enum {
	FLOW_COLUMNS = 72,
	/* marks are repeated on each line that a long one becomes */
	QUOTE_DEPTH_MAX = 30,
	PLAIN_LINE_MAX = 990, /* RFC 5322 2.1.1, with some room */
	QP_LINE = 75,         /* RFC 2045 6.7 (5): 76 with the soft break */
	PREFIX_MAX = 6,
};

/* The next line without its end; false at the end of the text. */
static bool
next_line(struct slice *rest, struct slice *line)
{
	if (rest->data == NULL || rest->len == 0)
		return false;
	*rest = slice_cut(*rest, '\n', line);
	if (line->len > 0 && line->data[line->len - 1] == '\r')
		line->len--;
	return true;
}

/* How deep a line is quoted; *rest is what is behind the marks. */
static size_t
quote_depth(struct slice line, struct slice *rest)
{
	size_t depth = 0;

	while (line.len > 0 && line.data[0] == '>' && depth < QUOTE_DEPTH_MAX) {
		depth++;
		line = slice_skip(line, 1);
		if (line.len > 0 && line.data[0] == ' ')
			line = slice_skip(line, 1);
	}
	*rest = line;
	return depth;
}

/* --- format=flowed ------------------------------------------------------------------ */

static void
put_marks(size_t depth, struct slice text, struct buf *out)
{
	for (size_t i = 0; i < depth; i++)
		buf_addc(out, '>');
	/* RFC 3676 4.4: space-stuffing; quoted text reads better with it */
	if ((depth > 0 && text.len > 0) ||
	    (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '>')) ||
	    slice_starts(text, "From "))
		buf_addc(out, ' ');
}

/*
 * How many bytes of `text` go on a line of `columns`: up to behind a space;
 * all of it if it fits or has no space.
 */
static size_t
flow_length(struct slice text, size_t columns)
{
	size_t width = 0, best = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (((unsigned char)text.data[i] & 0xc0) != 0x80)
			width++;
		if (width > columns && best > 0)
			return best;
		if (text.data[i] == ' ')
			best = i + 1;
	}
	return text.len;
}

static void
flow_line(struct slice line, struct buf *out)
{
	size_t depth = quote_depth(line, &line);

	if (!slice_eq_str(line, "-- ")) /* RFC 3676 4.3 */
		while (line.len > 0 && line.data[line.len - 1] == ' ')
			line.len--;
	do {
		size_t room = depth + 2 < FLOW_COLUMNS / 2
		    ? FLOW_COLUMNS - depth - 2
		    : FLOW_COLUMNS / 2;
		size_t n = slice_eq_str(line, "-- ") ? line.len
						     : flow_length(line, room);

		put_marks(depth, line, out);
		buf_addslice(out, slice_of(line.data, n));
		buf_addc(out, '\n');
		line = slice_skip(line, n);
	} while (line.len > 0);
}

void
writing_flow(struct slice text, struct buf *out)
{
	struct slice line;

	while (next_line(&text, &line))
		flow_line(line, out);
}

/* --- Transfer encodings -------------------------------------------------------------- */

bool
writing_is_plain(struct slice text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		column = c == '\n' ? 0 : column + 1;
		if (c >= 0x80 || column > PLAIN_LINE_MAX)
			return false;
	}
	return true;
}

/* One line without its end. */
static void
put_quoted_line(struct slice line, struct buf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];
		bool last = i + 1 == line.len;
		bool plain = (c > ' ' && c < 0x7f && c != '=') ||
		    ((c == ' ' || c == '\t') && !last);
		size_t width;

		/* a line "From " or "." would be changed on the way */
		if (column == 0 && (c == 'F' || c == '.'))
			plain = false;
		width = plain ? 1 : 3;
		if (column + width > QP_LINE) {
			buf_addstr(out, "=\n");
			column = 0;
		}
		if (plain)
			buf_addc(out, (char)c);
		else
			buf_addf(out, "=%02X", c);
		column += width;
	}
	buf_addc(out, '\n');
}

void
writing_quoted_printable(struct slice text, struct buf *out)
{
	struct slice line;

	while (next_line(&text, &line))
		put_quoted_line(line, out);
}

/* --- Quoting ---------------------------------------------------------------------------- */

void
writing_quote(struct slice text, struct buf *out)
{
	struct slice line, body;
	size_t empty = 0;

	while (next_line(&text, &line)) {
		size_t depth = quote_depth(line, &body);

		if (depth == 0 &&
		    (slice_eq_str(line, "-- ") || slice_eq_str(line, "--")))
			break;
		if (slice_trim(line).len == 0) {
			empty++;
			continue;
		}
		for (; empty > 0; empty--)
			buf_addstr(out, ">\n");
		for (size_t i = 0; i <= depth; i++)
			buf_addc(out, '>');
		if (body.len > 0)
			buf_addc(out, ' ');
		buf_addslice(out, body);
		buf_addc(out, '\n');
	}
}

/* --- Subjects ------------------------------------------------------------------------------ */

/* Length of one "Re: ", "RE[2]:", "Antw:", or 0. */
static size_t
prefix_length(struct slice s)
{
	static const char *const known[] = { "re", "fwd", "fw", "aw", "wg",
		"sv", "vs", "vb", "vl", "antw", "doorst", "odp", "pd", "tr",
		"rv", "r", "i", "rif", "ynt", "ilt", "enc", "res", "ref" };
	size_t n = 0, end;

	while (n < s.len && n <= PREFIX_MAX &&
	    ascii_is_alpha((unsigned char)s.data[n]))
		n++;
	end = n;
	if (end < s.len && (s.data[end] == '[' || s.data[end] == '(')) {
		size_t digits = end + 1;

		while (digits < s.len &&
		    ascii_is_digit((unsigned char)s.data[digits]))
			digits++;
		if (digits == end + 1 || digits >= s.len ||
		    (s.data[digits] != ']' && s.data[digits] != ')'))
			return 0;
		end = digits + 1;
	}
	if (end >= s.len || s.data[end] != ':')
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_ieq_str(slice_of(s.data, n), known[i]))
			return end + 1;
	return 0;
}

struct slice
writing_bare_subject(struct slice subject)
{
	size_t n;

	subject = slice_trim(subject);
	while ((n = prefix_length(subject)) > 0)
		subject = slice_trim(slice_skip(subject, n));
	return subject;
}

void
writing_subject(const char *prefix, struct slice subject, struct buf *out)
{
	buf_addstr(out, prefix);
	buf_addslice(out, writing_bare_subject(subject));
}

/* --- Recipients ------------------------------------------------------------------------------ */

/* Where the item ends: an unquoted ',' or ';' outside <> and (). */
static size_t
item_length(struct slice s)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '\\' && i + 1 < s.len)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '<' || c == '('))
			depth++;
		else if (!quoted && (c == '>' || c == ')') && depth > 0)
			depth--;
		else if (!quoted && depth == 0 &&
		    (c == ',' || c == ';' || c == '\n'))
			return i;
	}
	return s.len;
}

static const char *
unquote(struct slice s, struct pool *pool)
{
	char *out;
	size_t n = 0;

	s = slice_trim(s);
	out = pool_alloc(pool, s.len + 1);
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '\\' && i + 1 < s.len)
			i++;
		else if (s.data[i] == '"')
			continue;
		out[n++] = (unsigned char)s.data[i] < ' ' ? ' ' : s.data[i];
	}
	out[n] = '\0';
	return out;
}

bool
writing_next_person(
    struct slice *rest, struct pool *pool, struct writing_person *out)
{
	while (rest->len > 0) {
		size_t n = item_length(*rest);
		struct slice item = slice_trim(slice_of(rest->data, n)), behind;
		ptrdiff_t open = slice_rchr(item, '<');

		*rest = slice_skip(*rest, n + 1);
		if (item.len == 0)
			continue;
		*out = (struct writing_person){ "", item };
		if (open >= 0 && item.data[item.len - 1] == '>') {
			behind = slice_skip(item, (size_t)open + 1);
			out->address =
			    slice_trim(slice_of(behind.data, behind.len - 1));
			out->name =
			    unquote(slice_of(item.data, (size_t)open), pool);
		}
		return true;
	}
	return false;
}

static bool
is_atoms(const char *name)
{
	for (; *name != '\0'; name++)
		if (!ascii_is_alnum((unsigned char)*name) &&
		    strchr(" !#$%&'*+-/=?^_`{|}~", *name) == NULL)
			return false;
	return true;
}

void
writing_put_person(const char *name, const char *address, struct buf *out)
{
	struct slice plain = slice_str(name);

	if (name[0] == '\0') {
		buf_addstr(out, address);
		return;
	}
	if (is_atoms(name)) {
		buf_addstr(out, name);
	} else if (writing_is_plain(plain)) {
		buf_addc(out, '"');
		for (const char *p = name; *p != '\0'; p++) {
			if (*p == '"' || *p == '\\')
				buf_addc(out, '\\');
			buf_addc(out, (unsigned char)*p < ' ' ? ' ' : *p);
		}
		buf_addc(out, '"');
	} else {
		header_encode(plain, out);
	}
	buf_addf(out, " <%s>", address);
}

/* --- The forgotten attachment ------------------------------------------------------------------ */

bool
writing_mentions(struct slice text, const char *words)
{
	struct slice line, body, rest, word;

	while (next_line(&text, &line)) {
		if (quote_depth(line, &body) > 0)
			continue;
		if (slice_eq_str(line, "-- "))
			break;
		for (rest = slice_str(words); rest.data != NULL;) {
			rest = slice_cut(rest, '|', &word);
			if (word.len > 0 && slice_icontains(line, word))
				return true;
		}
	}
	return false;
}
