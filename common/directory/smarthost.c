/*
 * The text that names a smart host; see smarthost.h.  Pure, any thread.
 */
#include "directory/smarthost.h"

#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "base/num.h"
#include "mail/address.h"

enum {
	PORT = 25,
	LIMIT_MAX = 100000
};

bool
smarthost_parse_tls(struct slice word, enum smarthost_tls *out)
{
	static const char *const words[] = {
		[SMARTHOST_TLS_NONE] = "none",
		[SMARTHOST_TLS_MAY] = "may",
		[SMARTHOST_TLS_ENCRYPT] = "encrypt",
		[SMARTHOST_TLS_VERIFY] = "verify",
		[SMARTHOST_TLS_WRAPPED] = "wrapped",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_ieq_str(word, words[i])) {
			*out = (enum smarthost_tls)i;
			return true;
		}
	}
	return false;
}

/* A literal keeps its brackets, and a bare IPv4 address gets them. */
static bool
parse_host(struct slice s, struct smarthost *out)
{
	struct slice inside = s;
	struct ip ip;
	struct err e;

	if (slice_starts(s, "[") && slice_ends(s, "]"))
		inside = slice_of(s.data + 1, s.len - 2);
	if (ip_parse(inside, &ip)) {
		(void)snprintf(
		    out->host, sizeof(out->host), "[%.*s]", SLICE_ARGS(inside));
		return true;
	}
	return domain_normalise(s, out->host, &e) == 0;
}

/* "name", "name:port", "[::1]:port". */
static bool
parse_host_port(struct slice s, struct smarthost *out)
{
	ptrdiff_t colon = slice_rchr(s, ':'), bracket = slice_rchr(s, ']');
	uint64_t port = PORT;

	if (colon > bracket) {
		if (!num_parse(
			slice_skip(s, (size_t)colon + 1), UINT16_MAX, &port) ||
		    port == 0)
			return false;
		s.len = (size_t)colon;
	}
	out->port = (uint16_t)port;
	return parse_host(s, out);
}

/* "connections=N" or "rate=N"; false: neither. */
static bool
parse_limit(struct slice word, struct smarthost *out)
{
	struct slice name, value = slice_cut(word, '=', &name);
	uint64_t n;

	if (value.data == NULL || !num_parse(value, LIMIT_MAX, &n) || n == 0)
		return false;
	if (slice_eq_str(name, "connections"))
		out->connections = (uint32_t)n;
	else if (slice_eq_str(name, "rate"))
		out->rate = (uint32_t)n;
	else
		return false;
	return true;
}

/* What is no limit: the TLS mode first, then the credential. */
static bool
parse_word(struct slice word, size_t place, struct smarthost *out)
{
	if (place == 0)
		return smarthost_parse_tls(word, &out->tls);
	return place == 1 &&
	    slice_copy(word, out->credential, sizeof(out->credential));
}

bool
smarthost_parse(struct slice text, struct smarthost *out)
{
	struct smarthost h = { .tls = SMARTHOST_TLS_MAY };
	struct slice word, rest = slice_cut(text, '/', &word);
	size_t place = 0;

	if (!parse_host_port(word, &h))
		return false;
	while (rest.data != NULL) {
		bool is_limit;

		rest = slice_cut(rest, '/', &word);
		is_limit = slice_chr(word, '=') >= 0;
		if (is_limit ? !parse_limit(word, &h)
			     : !parse_word(word, place++, &h))
			return false;
	}
	*out = h;
	return true;
}
