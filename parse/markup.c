/*
 * What libxml2 gets to see of HTML; see markup.h.  Only tags are told apart
 * from text here, and only roughly: what they mean is the sanitiser's.
 */
#include "parse/markup.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

#include "parse/charset.h"

enum {
	TAG_MAX = 96 * 1024, /* a data: picture fits */
	TAG_ATTRIBUTES_MAX = 128,
};

char
markup_held(struct slice s)
{
	if (s.len < 3 || s.data[0] != HELD_LESS[0])
		return '\0';
	return slice_starts(s, HELD_LESS)     ? '<'
	    : slice_starts(s, HELD_AMPERSAND) ? '&'
					      : '\0';
}

/*
 * The length of the tag that starts at s, or 0 if it is too long or has too
 * many attributes, which libxml2 reads in quadratic time.
 */
static size_t
tag_length(struct slice s)
{
	size_t words = 0;
	char quote = 0;
	bool in_space = false, after_equals = false;

	/* comments and the like: libxml2 knows best */
	if (s.len > 1 && (s.data[1] == '!' || s.data[1] == '?'))
		return 1;

	for (size_t i = 1;
	     i < s.len && i < TAG_MAX && words <= TAG_ATTRIBUTES_MAX; i++) {
		char c = s.data[i];
		bool is_space = c == '/' || (c <= ' ' && c >= 0);

		if (quote != 0) {
			if (c == quote)
				quote = 0;
			continue;
		}
		if (c == '<')
			return 0; /* another tag begins: this is none */
		if (c == '>')
			return i + 1;
		if ((c == '"' || c == '\'') && after_equals) {
			quote = c;
			words++; /* a=""b="" needs no space */
		}
		words += is_space && !in_space;
		in_space = is_space;
		if (!is_space)
			after_equals = c == '=';
	}
	return 0;
}

/*
 * An '&' outside tags.  Each entity costs libxml2 a good deal, so the common
 * ones and bare '&' never reach it: noncharacters stand in for '&' and '<'.
 */
static size_t
add_entity(struct slice s, struct buf *out)
{
	static const struct {
		const char *entity, *as;
	} known[] = { { "&amp;", HELD_AMPERSAND }, { "&lt;", HELD_LESS },
		{ "&gt;", ">" }, { "&quot;", "\"" }, { "&#39;", "'" } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (slice_starts(s, known[i].entity)) {
			buf_addstr(out, known[i].as);
			return strlen(known[i].entity);
		}
	}
	if (s.len > 1 &&
	    (s.data[1] == '#' || ascii_is_alnum((unsigned char)s.data[1])))
		buf_addc(out, '&');
	else
		buf_addstr(out, HELD_AMPERSAND);
	return 1;
}

/* Up to the next '<' or '&'. */
static size_t
add_run(struct slice s, struct buf *out)
{
	size_t n = 1;

	while (n < s.len && s.data[n] != '<' && s.data[n] != '&')
		n++;
	buf_add(out, s.data, n);
	return n;
}

/* What follows, a list's footer, libxml2 would not tell about. */
static bool
ends_document(struct slice tag)
{
	return slice_istarts(tag, "</html") || slice_istarts(tag, "</body");
}

void
markup_prepare(struct slice html, struct buf *out)
{
	struct buf valid;
	struct slice rest;

	buf_init(&valid, html.len * 3 + 1);
	charset_scrub(html, false, &valid);
	rest = buf_slice(&valid);
	while (rest.len > 0) {
		size_t n;

		if (rest.data[0] == '&') {
			rest = slice_skip(rest, add_entity(rest, out));
		} else if (rest.data[0] != '<') {
			rest = slice_skip(rest, add_run(rest, out));
		} else {
			n = tag_length(rest);
			if (n == 0)
				buf_addstr(out, HELD_LESS);
			else if (!ends_document(rest))
				buf_add(out, rest.data, n);
			rest = slice_skip(rest, n > 0 ? n : 1);
		}
	}
	buf_release(&valid);
}
