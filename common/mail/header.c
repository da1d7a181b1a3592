/*
 * Header fields: cutting a header block into fields, unfolding, encoded words
 * (RFC 2047) in both directions, the addresses of an address field.  No
 * recursion and no allocation but the caller's buffer: a header block of
 * megabytes costs one pass.
 *
 * Pure functions; any thread.
 */
#include "mail/header.h"

#include <iconv.h>
#include <stdint.h>
#include <string.h>

#include "base/base64.h"

/* --- Fields ----------------------------------------------------------------- */

/* The length of the first line of `s` with its end. */
static size_t
line_len(struct slice s)
{
	const char *end = s.len > 0 ? memchr(s.data, '\n', s.len) : NULL;

	return end == NULL ? s.len : (size_t)(end - s.data) + 1;
}

static struct slice
without_eol(struct slice s)
{
	if (s.len > 0 && s.data[s.len - 1] == '\n')
		s.len--;
	if (s.len > 0 && s.data[s.len - 1] == '\r')
		s.len--;
	return s;
}

/* RFC 5322 2.2: printable ASCII but the colon; 4.5: spaces before it. */
static bool
field_name(struct slice line, struct slice *name_out, size_t *colon_out)
{
	ptrdiff_t colon = slice_chr(line, ':');
	size_t len;

	if (colon <= 0)
		return false;
	len = (size_t)colon;
	while (len > 0 &&
	    (line.data[len - 1] == ' ' || line.data[len - 1] == '\t'))
		len--;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line.data[i];

		if (c <= ' ' || c >= 0x7f)
			return false;
	}
	*name_out = slice_of(line.data, len);
	*colon_out = (size_t)colon;
	return len > 0;
}

bool
header_next(struct header_scan *s, struct header_field *out)
{
	struct slice name;
	size_t len = line_len(s->rest), colon;

	if (!field_name(slice_of(s->rest.data, len), &name, &colon))
		return false;
	while (len < s->rest.len &&
	    (s->rest.data[len] == ' ' || s->rest.data[len] == '\t'))
		len += line_len(slice_skip(s->rest, len));
	out->raw = slice_of(s->rest.data, len);
	out->name = name;
	out->value = without_eol(slice_skip(out->raw, colon + 1));
	s->rest = slice_skip(s->rest, len);
	return true;
}

struct slice
header_body(const struct header_scan *s, bool *had_empty_line_out)
{
	size_t len = line_len(s->rest);
	bool empty =
	    len > 0 && without_eol(slice_of(s->rest.data, len)).len == 0;

	*had_empty_line_out = empty;
	return empty ? slice_skip(s->rest, len) : s->rest;
}

bool
header_is(const struct header_field *f, const char *name)
{
	return slice_ieq_str(f->name, name);
}

void
header_unfold(struct slice value, struct buf *out)
{
	value = slice_trim(value);
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] != '\r' && value.data[i] != '\n')
			buf_addc(out, value.data[i]);
	}
}

/* --- Decoding --------------------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 2047 4.2. */
static bool
q_decode(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.data[i] == '_') {
			buf_addc(out, ' ');
			continue;
		}
		if (text.data[i] != '=') {
			buf_addc(out, text.data[i]);
			continue;
		}
		if (i + 2 >= text.len)
			return false;
		high = hex_digit(text.data[i + 1]);
		low = hex_digit(text.data[i + 2]);
		if (high < 0 || low < 0)
			return false;
		buf_addc(out, (char)(high * 16 + low));
		i += 2;
	}
	return true;
}

/* Bytes of a charset to UTF-8; false: unknown charset or wrong bytes. */
static bool
to_utf8(const char *charset, struct slice bytes, struct buf *out)
{
	iconv_t cd;
	char *in;
	char chunk[256];
	bool fine = true;

	if (ascii_casecmp(charset, "utf-8") == 0 ||
	    ascii_casecmp(charset, "us-ascii") == 0) {
		if (!utf8_is_valid(bytes))
			return false;
		buf_addslice(out, bytes);
		return true;
	}
	cd = iconv_open("UTF-8", charset);
	if (cd == (iconv_t)-1) // NOLINT(performance-no-int-to-ptr)
		return false;
	memcpy(&in, &bytes.data, sizeof(in)); /* iconv() does not write there */
	while (fine && bytes.len > 0) {
		char *to = chunk;
		size_t room = sizeof(chunk);

		fine = iconv(cd, &in, &bytes.len, &to, &room) != (size_t)-1 ||
		    to != chunk;
		buf_add(out, chunk, (size_t)(to - chunk));
	}
	(void)iconv_close(cd);
	return fine;
}

/*
 * "=?charset?B?text?=" at the start of `s`: append its text and return its
 * length, or 0.
 */
static size_t
encoded_word(struct slice s, struct buf *out)
{
	struct slice rest = slice_skip(s, 2), charset, encoding, text, language;
	struct buf bytes, utf8;
	char name[40];
	size_t end;
	bool fine;

	if (!slice_starts(s, "=?"))
		return 0;
	rest = slice_cut(rest, '?', &charset);
	rest = slice_cut(rest, '?', &encoding);
	rest = slice_cut(rest, '?', &text);
	if (rest.len == 0 || rest.data[0] != '=' || encoding.len != 1 ||
	    slice_chr(text, ' ') >= 0)
		return 0;
	end = (size_t)(rest.data - s.data) + 1;
	(void)slice_cut(charset, '*', &language); /* RFC 2231 5 */
	if (!slice_copy(language, name, sizeof(name)) || name[0] == '\0' ||
	    strchr(name, '/') != NULL)
		return 0;
	buf_init(&bytes, text.len + 16);
	buf_init(&utf8, 6 * text.len + 16);
	fine = ascii_lower((unsigned char)encoding.data[0]) == 'b'
	    ? base64_decode(text, &bytes)
	    : ascii_lower((unsigned char)encoding.data[0]) == 'q' &&
		q_decode(text, &bytes);
	fine = fine && to_utf8(name, buf_slice(&bytes), &utf8) &&
	    !buf_overflowed(&utf8);
	if (fine)
		buf_addslice(out, buf_slice(&utf8));
	buf_release(&bytes);
	buf_release(&utf8);
	return fine ? end : 0;
}

/* How many bytes the UTF-8 character at the start of `s` has; 0 = none. */
static size_t
utf8_len(struct slice s)
{
	for (size_t len = 1; len <= 4 && len <= s.len; len++) {
		if (utf8_is_valid(slice_of(s.data, len)))
			return len;
	}
	return 0;
}

/* Append text so that it is UTF-8 without control characters. */
static void
add_clean(struct slice s, struct buf *out)
{
	while (s.len > 0) {
		size_t len = utf8_len(s);
		unsigned char c = (unsigned char)s.data[0];

		if (len == 0)
			buf_addstr(out, "\xef\xbf\xbd");
		else if (len == 1 && (c < ' ' || c == 0x7f))
			buf_addc(out, ' ');
		else
			buf_add(out, s.data, len);
		s = slice_skip(s, len == 0 ? 1 : len);
	}
}

static size_t
spaces_at(struct slice s, size_t pos)
{
	size_t n = 0;

	while (pos + n < s.len &&
	    (s.data[pos + n] == ' ' || s.data[pos + n] == '\t'))
		n++;
	return n;
}

void
header_decode(struct slice value, struct buf *out)
{
	struct buf flat, decoded;
	struct slice s;
	size_t pos = 0;

	buf_init(&flat, value.len);
	buf_init(&decoded, 6 * value.len + 16);
	header_unfold(value, &flat);
	s = buf_slice(&flat);
	while (pos < s.len) {
		size_t len = s.data[pos] == '='
		    ? encoded_word(slice_skip(s, pos), &decoded)
		    : 0;

		if (len == 0) {
			buf_addc(&decoded, s.data[pos++]);
			continue;
		}
		pos += len;
		/* RFC 2047 6.2: space between encoded words is not shown */
		len = spaces_at(s, pos);
		if (slice_starts(slice_skip(s, pos + len), "=?"))
			pos += len;
	}
	add_clean(buf_slice(&decoded), out);
	buf_release(&flat);
	buf_release(&decoded);
}

/* --- Encoding --------------------------------------------------------------- */

void
header_encode(struct slice text, struct buf *out)
{
	struct buf clean;
	struct slice s;
	bool first = true;

	buf_init(&clean, 3 * text.len);
	add_clean(text, &clean);
	s = buf_slice(&clean);
	/* what looks like an encoded word would be decoded as one */
	if (slice_is_ascii(s) && !slice_icontains(s, SLICE_LIT("=?"))) {
		buf_addslice(out, s);
		s.len = 0;
	}
	while (s.len > 0) {
		size_t len = 0;

		/* 45 bytes make 60 digits; a character is never split */
		while (len < s.len) {
			size_t next = utf8_len(slice_skip(s, len));

			if (len + next > 45)
				break;
			len += next;
		}
		buf_addstr(out, first ? "=?UTF-8?B?" : "\n =?UTF-8?B?");
		base64_encode(s.data, len, out);
		buf_addstr(out, "?=");
		s = slice_skip(s, len);
		first = false;
	}
	buf_release(&clean);
}

/* --- Addresses -------------------------------------------------------------- */

/* The position behind a quoted string or comment that starts at `pos`. */
static size_t
skip_quoted(struct slice s, size_t pos)
{
	char open = s.data[pos++];
	size_t depth = 1;

	while (pos < s.len && depth > 0) {
		char c = s.data[pos++];

		if (c == '\\' && pos < s.len)
			pos++;
		else if (open == '"' && c == '"')
			depth = 0;
		else if (open == '(' && c == '(')
			depth++;
		else if (open == '(' && c == ')')
			depth--;
	}
	return pos;
}

/* The end of the address that starts at `pos`: at ',', ';' or ':'. */
static size_t
address_end(struct slice s, size_t pos, struct slice *angle_out)
{
	while (pos < s.len) {
		char c = s.data[pos];

		if (c == '"' || c == '(') {
			pos = skip_quoted(s, pos);
			continue;
		}
		if (c == '<') {
			size_t start = ++pos;

			while (pos < s.len && s.data[pos] != '>')
				pos = s.data[pos] == '"' ? skip_quoted(s, pos)
							 : pos + 1;
			*angle_out = slice_of(s.data + start, pos - start);
			continue;
		}
		if (c == ',' || c == ';' || c == ':')
			break;
		pos++;
	}
	return pos;
}

/* Without the comments at both ends. */
static struct slice
bare_address(struct slice s)
{
	s = slice_trim(s);
	while (s.len > 0 && s.data[0] == '(')
		s = slice_trim(slice_skip(s, skip_quoted(s, 0)));
	for (size_t i = 0; i < s.len;) {
		if (s.data[i] == '(')
			s.len = i;
		else
			i = s.data[i] == '"' ? skip_quoted(s, i) : i + 1;
	}
	return slice_trim(s);
}

bool
header_next_address(struct slice *rest, struct slice *addr_out)
{
	while (rest->len > 0) {
		struct slice angle = { 0 }, item;
		size_t end = address_end(*rest, 0, &angle);
		bool is_group = end < rest->len && rest->data[end] == ':';

		item = bare_address(slice_of(rest->data, end));
		*rest = slice_skip(*rest, end + 1);
		if (is_group)
			continue;
		if (angle.data != NULL)
			item = slice_trim(angle);
		if (item.len == 0)
			continue;
		*addr_out = item;
		return true;
	}
	return false;
}
