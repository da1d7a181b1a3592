/*
 * Views of bytes, ASCII case folding and UTF-8 validity.
 *
 * Nothing here knows about locales: protocol words are ASCII, and a Turkish
 * administrator's "I" must not change what a verb is.
 *
 * Pure functions; any thread.
 */
#include "base/slice.h"

#include <stdint.h>

bool
slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len &&
	    (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool
slice_ieq(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (ascii_lower((unsigned char)a.data[i]) !=
		    ascii_lower((unsigned char)b.data[i]))
			return false;
	}
	return true;
}

bool
slice_eq_str(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

bool
slice_ieq_str(struct slice a, const char *s)
{
	return slice_ieq(a, slice_str(s));
}

/* The first or last `len` bytes of s; s must have them. */
static struct slice
slice_head(struct slice s, size_t len)
{
	return slice_of(s.data, len);
}

static struct slice
slice_tail(struct slice s, size_t len)
{
	return slice_skip(s, s.len - len);
}

bool
slice_starts(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && slice_eq_str(slice_head(s, len), prefix);
}

bool
slice_istarts(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && slice_ieq_str(slice_head(s, len), prefix);
}

bool
slice_ends(struct slice s, const char *suffix)
{
	size_t len = strlen(suffix);

	return s.len >= len && slice_eq_str(slice_tail(s, len), suffix);
}

bool
slice_iends(struct slice s, const char *suffix)
{
	size_t len = strlen(suffix);

	return s.len >= len && slice_ieq_str(slice_tail(s, len), suffix);
}

ptrdiff_t
slice_chr(struct slice s, char c)
{
	const char *at = s.len > 0 ? memchr(s.data, c, s.len) : NULL;

	return at != NULL ? at - s.data : -1;
}

ptrdiff_t
slice_rchr(struct slice s, char c)
{
	const char *at = s.len > 0 ? memrchr(s.data, c, s.len) : NULL;

	return at != NULL ? at - s.data : -1;
}

bool
slice_icontains(struct slice s, struct slice what)
{
	if (what.len == 0)
		return true;
	for (; s.len >= what.len; s = slice_skip(s, 1)) {
		if (slice_ieq(slice_head(s, what.len), what))
			return true;
	}
	return false;
}

struct slice
slice_skip(struct slice s, size_t n)
{
	if (n > s.len)
		n = s.len;
	return n == 0 ? s : slice_of(s.data + n, s.len - n);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice
slice_trim(struct slice s)
{
	while (s.len > 0 && is_space(s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.data[s.len - 1]))
		s.len--;
	return s;
}

struct slice
slice_cut(struct slice s, char c, struct slice *head_out)
{
	ptrdiff_t at = slice_chr(s, c);

	if (at < 0) {
		*head_out = s;
		return (struct slice){ 0 };
	}
	*head_out = slice_head(s, (size_t)at);
	return slice_of(s.data + at + 1, s.len - (size_t)at - 1);
}

bool
slice_copy(struct slice s, char *out, size_t size)
{
	if (size == 0)
		return false;
	if (s.len >= size || slice_chr(s, '\0') >= 0) {
		out[0] = '\0';
		return false;
	}
	if (s.len > 0)
		memcpy(out, s.data, s.len);
	out[s.len] = '\0';
	return true;
}

int
ascii_lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

int
ascii_casecmp(const char *a, const char *b)
{
	for (;; a++, b++) {
		int ca = ascii_lower((unsigned char)*a);
		int cb = ascii_lower((unsigned char)*b);

		if (ca != cb || ca == '\0')
			return ca - cb;
	}
}

bool
ascii_is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
ascii_is_digit(int c)
{
	return c >= '0' && c <= '9';
}

bool
ascii_is_alnum(int c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

void
ascii_lower_str(char *s)
{
	for (; *s != '\0'; s++)
		*s = (char)ascii_lower((unsigned char)*s);
}

/*
 * Length of the UTF-8 sequence at p, 0 if malformed (RFC 3629 4).  The second
 * byte's bounds exclude overlong forms, surrogates and beyond U+10FFFF.
 */
static size_t
utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return len;
}

bool
slice_is_ascii(struct slice s)
{
	unsigned all = 0;

	for (size_t i = 0; i < s.len; i++)
		all |= (unsigned char)s.data[i];
	return all < 0x80;
}

bool
utf8_is_valid(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.data;
	size_t i = 0;

	while (i < s.len) {
		uint64_t word;
		size_t len;

		/* nearly all mail is ASCII: eight bytes at a time */
		while (s.len - i >= sizeof(word)) {
			memcpy(&word, p + i, sizeof(word));
			if (word & 0x8080808080808080U)
				break;
			i += sizeof(word);
		}
		if (i == s.len)
			break;
		len = utf8_sequence(p + i, s.len - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

bool
utf8_is_turning(const unsigned char *p)
{
	return p[0] == 0xe2 &&
	    ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
		(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

bool
utf8_is_plain(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.data;

	if (!utf8_is_valid(s))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
		/* characters are whole, so what begins here ends in it */
		if (p[i] == 0xc2 && p[i + 1] < 0xa0)
			return false; /* C1 */
		if (p[i] == 0xe2 &&
		    (utf8_is_turning(p + i) ||
			(p[i + 1] == 0x80 &&
			    (p[i + 2] == 0xa8 || p[i + 2] == 0xa9))))
			return false;
	}
	return true;
}
