/*
 * Who the client really is, said by somebody we trust: the PROXY protocol,
 * version 2, in front of the greeting, and XCLIENT (as Postfix describes it)
 * as a command.  Both only from addresses listed in settings; for everybody
 * else a PROXY header is talking before the greeting and XCLIENT is unknown.
 *
 * Run by the session's thread.
 */
#include <string.h>

#include "mtad/mtad.h"
#include "mtad/params.h"

/* --- PROXY protocol version 2 -------------------------------------------------- */

enum {
	PROXY_HEAD = 16,
	PROXY_MAX = 2048, /* with its extensions */
};

/* Bytes of a header whose length field is checked: take the addresses. */
static int
take_addresses(struct session *s, const unsigned char *p, size_t len)
{
	unsigned char family = p[13];

	p += PROXY_HEAD;
	len -= PROXY_HEAD;
	if (family == 0x11 && len >= 12) { /* TCP over IPv4 */
		static const unsigned char mapped[12] = { [10] = 0xff, 0xff };

		memcpy(s->client.bytes, mapped, 12);
		memcpy(s->client.bytes + 12, p, 4);
		memcpy(s->local.bytes, mapped, 12);
		memcpy(s->local.bytes + 12, p + 4, 4);
		return 0;
	}
	if (family == 0x21 && len >= 36) { /* TCP over IPv6 */
		memcpy(s->client.bytes, p, 16);
		memcpy(s->local.bytes, p + 16, 16);
		return 0;
	}
	return -1;
}

int
proxy_read(struct session *s, struct err *e)
{
	static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	unsigned char p[PROXY_MAX];
	size_t len;

	if (stream_take(&s->stream, p, PROXY_HEAD, e) != 0)
		return -1;
	len = PROXY_HEAD + (size_t)p[14] * 256 + p[15];
	if (memcmp(p, signature, sizeof(signature)) != 0 || len > PROXY_MAX ||
	    (p[12] != 0x20 && p[12] != 0x21))
		return err_set(e, ERR_SYNTAX, "no PROXY header");
	if (stream_take(&s->stream, p + PROXY_HEAD, len - PROXY_HEAD, e) != 0)
		return -1;
	/* 0x20 is LOCAL: the balancer's own health check */
	if (p[12] == 0x21 && take_addresses(s, p, len) != 0)
		return err_set(e, ERR_SYNTAX, "PROXY header without addresses");
	return 0;
}

/* --- XCLIENT ---------------------------------------------------------------------- */

static bool
is_unavailable(const char *value)
{
	return ascii_casecmp(value, "[UNAVAILABLE]") == 0 ||
	    ascii_casecmp(value, "[TEMPUNAVAIL]") == 0;
}

/* One NAME=value; false if malformed or unknown. */
static bool
take_attribute(struct session *s, struct slice word)
{
	struct slice name, raw = slice_cut(word, '=', &name);
	char *value = raw.len > 0 ? xtext_decode(raw, &s->pool) : NULL;
	struct slice ip_text;

	if (value == NULL)
		return false;
	if (slice_ieq_str(name, "ADDR")) {
		ip_text = slice_str(value);
		if (slice_istarts(ip_text, "IPV6:"))
			ip_text = slice_skip(ip_text, 5);
		return is_unavailable(value) || ip_parse(ip_text, &s->client);
	}
	if (slice_ieq_str(name, "NAME")) {
		if (!is_unavailable(value) && !helo_is_valid(slice_str(value)))
			return false;
		s->client_name = is_unavailable(value) ? "" : value;
		s->client_name_asked = true;
		return true;
	}
	/* of no use here, or said again by EHLO */
	return slice_ieq_str(name, "PORT") || slice_ieq_str(name, "PROTO") ||
	    slice_ieq_str(name, "HELO") ||
	    (slice_ieq_str(name, "LOGIN") && is_unavailable(value));
}

int
smtp_xclient(void *session, struct slice args)
{
	struct session *s = session;
	struct slice rest = args, word;

	if (!s->is_xclient)
		return session_reply(s, 500, "5.5.2", "Command not recognized");
	if (args.len == 0)
		return session_reply(s, 501, "5.5.4", "XCLIENT NAME=value...");
	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &word);
		if (word.len > 0 && !take_attribute(s, word))
			return session_reply(
			    s, 501, "5.5.4", "Malformed attribute");
	}
	ip_format(&s->client, s->client_ip);
	session_forget_user(s);
	session_forget_greeting(s);
	return session_greet(s);
}
