/*
 * Escaping and URLs; see web.h.  Pure.
 */
#include <string.h>

#include "base/compiler.h"
#include "web/web.h"

void
web_escape_html(struct slice s, struct buf *out)
{
	size_t start = 0;

	for (size_t i = 0; i < s.len; i++) {
		const char *as = NULL;

		switch (s.data[i]) {
		case '&':
			as = "&amp;";
			break;
		case '<':
			as = "&lt;";
			break;
		case '>':
			as = "&gt;";
			break;
		case '"':
			as = "&quot;";
			break;
		case '\'':
			as = "&#39;";
			break;
		default:
			continue;
		}
		buf_add(out, s.data + start, i - start);
		buf_addstr(out, as);
		start = i + 1;
	}
	buf_add(out, s.data + start, s.len - start);
}

void
web_escape_url(struct slice s, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (ascii_is_alnum(c) || (c != '\0' && strchr("-._~", c))) {
			buf_addc(out, (char)c);
			continue;
		}
		buf_addc(out, '%');
		buf_addc(out, digits[c >> 4]);
		buf_addc(out, digits[c & 15]);
	}
}

static int
hex_value(char c)
{
	int lower = ascii_lower((unsigned char)c);

	if (ascii_is_digit((unsigned char)c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool
web_unescape_url(struct slice s, bool form, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		int high, low;

		if (s.data[i] == '+' && form) {
			buf_addc(out, ' ');
		} else if (s.data[i] != '%') {
			buf_addc(out, s.data[i]);
		} else {
			high = i + 2 < s.len ? hex_value(s.data[i + 1]) : -1;
			low = i + 2 < s.len ? hex_value(s.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			buf_addc(out, (char)(high * 16 + low));
			i += 2;
		}
	}
	return !buf_overflowed(out);
}

bool
web_url_is_safe(struct slice url)
{
	static const char *const schemes[] = { "https://", "http://",
		"mailto:", "tel:" };

	for (size_t i = 0; i < url.len; i++) {
		unsigned char c = (unsigned char)url.data[i];

		if (c <= ' ' || c == 127 || c == '\\')
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (slice_istarts(url, schemes[i]))
			return true;
	}
	return slice_starts(url, "/") && !slice_starts(url, "//");
}

/* --- Links in plain text ------------------------------------------------------ */

static bool
is_url_byte(unsigned char c)
{
	return c > ' ' && c != 127 && strchr("\"'<>`\\^{|}", c) == NULL;
}

/* Of the link at the start of s, without the punctuation of the sentence. */
static size_t
url_length(struct slice s, size_t scheme)
{
	size_t n = scheme;
	size_t open = 0;

	while (n < s.len && is_url_byte((unsigned char)s.data[n])) {
		if (s.data[n] == '(')
			open++;
		if (s.data[n] == ')' && open-- == 0)
			break;
		n++;
	}
	while (n > scheme && strchr(".,;:!?*_~", s.data[n - 1]) != NULL)
		n--;
	return n > scheme ? n : 0;
}

static size_t
link_length(struct slice s)
{
	if (slice_istarts(s, "https://"))
		return url_length(s, 8);
	if (slice_istarts(s, "http://"))
		return url_length(s, 7);
	if (slice_istarts(s, "mailto:"))
		return url_length(s, 7);
	return 0;
}

void
web_linkify(struct slice text, struct buf *out)
{
	size_t start = 0, i = 0;

	while (i < text.len) {
		char c = text.data[i];
		bool begins = (c == 'h' || c == 'H' || c == 'm' || c == 'M') &&
		    (i == 0 ||
			!ascii_is_alnum((unsigned char)text.data[i - 1]));
		size_t n = begins ? link_length(slice_skip(text, i)) : 0;
		struct slice url = slice_of(text.data + i, n);

		if (n == 0 || !web_url_is_safe(url)) {
			i++;
			continue;
		}
		web_escape_html(slice_of(text.data + start, i - start), out);
		buf_addstr(out, "<a href=\"");
		web_escape_html(url, out);
		buf_addstr(out,
		    "\" rel=\"noopener noreferrer nofollow\" "
		    "target=\"_blank\">");
		web_escape_html(url, out);
		buf_addstr(out, "</a>");
		i += n;
		start = i;
	}
	web_escape_html(slice_skip(text, start), out);
}
