/*
 * See link.h.  Hosts are compared as they are written: a name in A-labels and
 * the same one in letters differ, which is told to the reader, not hidden.
 */
#include "parse/link.h"

#include <string.h>

enum {
	URL_MAX = 4096,
	TLD_MIN = 2,
	TLD_MAX = 24,
};

bool
link_is_plain_url(struct slice url)
{
	for (size_t i = 0; i < url.len; i++) {
		unsigned char c = (unsigned char)url.data[i];

		if (c <= ' ' || c == 127 || c == '\\')
			return false;
	}
	return url.len > 0 && url.len <= URL_MAX;
}

/* Up to the first of `ends`. */
static struct slice
until(struct slice s, const char *ends)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] != '\0' && strchr(ends, s.data[i]) != NULL)
			return slice_of(s.data, i);
	}
	return s;
}

/* Without "user@" before and ":port" behind. */
static struct slice
bare_host(struct slice authority)
{
	ptrdiff_t at = slice_rchr(authority, '@');

	return until(slice_skip(authority, at < 0 ? 0 : (size_t)at + 1), ":");
}

static size_t
scheme_length(struct slice url)
{
	return slice_istarts(url, "https://") ? 8
	    : slice_istarts(url, "http://")   ? 7
	    : slice_istarts(url, "mailto:")   ? 7
					      : 0;
}

/* Of what link_mailto() writes: "/compose?to=ann%40example.org&..." */
static struct slice
own_mailto_host(struct slice url)
{
	struct slice to = until(url, "&");

	while (to.len > 0 && !slice_starts(to, "%40"))
		to = slice_skip(to, 1);
	return until(slice_skip(to, 3), "%");
}

struct slice
link_host(struct slice url)
{
	size_t scheme = scheme_length(url);

	if (scheme == 0)
		return own_mailto_host(url);
	return bare_host(until(slice_skip(url, scheme), "/?#,"));
}

/* "example.org": labels with a dot between, the last one of letters. */
static bool
is_host_name(struct slice s)
{
	ptrdiff_t dot = slice_rchr(s, '.');
	struct slice last = slice_skip(s, (size_t)(dot + 1));

	if (dot <= 0 || last.len < TLD_MIN || last.len > TLD_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c < 0x80 && !ascii_is_alnum(c) && c != '-' && c != '.')
			return false;
		if (i > (size_t)dot && ascii_is_digit(c))
			return false;
	}
	return true;
}

/* The host a word of text names; empty: it names none. */
static struct slice
named_host(struct slice word, bool is_alone)
{
	static const char around[] = "()[]<>{}\"'.,;:!?";
	size_t scheme;
	struct slice host;

	while (word.len > 0 && strchr(around, word.data[0]) != NULL)
		word = slice_skip(word, 1);
	while (word.len > 0 && strchr(around, word.data[word.len - 1]) != NULL)
		word.len--;
	scheme = scheme_length(word);
	host = bare_host(until(slice_skip(word, scheme), "/?#"));
	if (scheme == 0 && !is_alone && !slice_istarts(host, "www.") &&
	    slice_chr(word, '@') < 0)
		host.len = 0;
	if (slice_istarts(host, "www."))
		host = slice_skip(host, 4);
	if (!is_host_name(host))
		host.len = 0;
	return host;
}

/* `host` is `named` or below it. */
static bool
is_within(struct slice host, struct slice named)
{
	size_t more = host.len - named.len;

	return host.len >= named.len &&
	    slice_ieq(slice_skip(host, more), named) &&
	    (more == 0 || host.data[more - 1] == '.');
}

bool
link_is_misleading(struct slice text, struct slice host)
{
	struct slice rest = slice_trim(text), word;
	bool is_alone = slice_chr(rest, ' ') < 0;

	while (rest.data != NULL && host.len > 0) {
		struct slice named;

		rest = slice_cut(rest, ' ', &word);
		named = named_host(slice_trim(word), is_alone);
		if (named.len > 0 && !is_within(host, named))
			return true;
	}
	return false;
}

/* --- mailto ------------------------------------------------------------------- */

static bool
is_query_byte(unsigned char c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("%-_.~=&", c) != NULL);
}

/* RFC 6068: already percent-encoded; the rest is, and '+' is no space. */
static void
add_query(struct slice s, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (is_query_byte(c))
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%c%c", digits[c >> 4], digits[c & 15]);
	}
}

bool
link_mailto(struct slice url, const char *mail_url, struct buf *out)
{
	struct slice address, more;

	if (!slice_istarts(url, "mailto:"))
		return false;
	more = slice_cut(until(slice_skip(url, 7), "#"), '?', &address);
	buf_addf(out, "%s?to=", mail_url);
	add_query(until(address, "&"), out);
	if (more.len > 0) {
		buf_addc(out, '&');
		add_query(more, out);
	}
	return true;
}

bool
link_is_own_mailto(struct slice url, const char *mail_url)
{
	struct slice query;

	if (!slice_starts(url, mail_url))
		return false;
	query = slice_skip(url, strlen(mail_url));
	if (!slice_starts(query, "?to="))
		return false;
	for (size_t i = 1; i < query.len; i++) {
		if (!is_query_byte((unsigned char)query.data[i]))
			return false;
	}
	return true;
}
