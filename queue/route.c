/*
 * Routes from settings; see route.h.  Pure: asks neither the DNS nor a clock,
 * any thread.  What follows from the DNS is in route_hosts.c.
 */
#include "queue/route.h"

#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "base/num.h"

enum {
	SMARTHOST_PORT = 25,
	SMARTHOST_LIMIT_MAX = 100000
};

static bool
parse_tls(struct slice word, enum client_tls *out)
{
	static const char *const words[] = {
		[CLIENT_TLS_NONE] = "none",
		[CLIENT_TLS_MAY] = "may",
		[CLIENT_TLS_ENCRYPT] = "encrypt",
		[CLIENT_TLS_VERIFY] = "verify",
		[CLIENT_TLS_WRAPPED] = "wrapped",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_ieq_str(word, words[i])) {
			*out = (enum client_tls)i;
			return true;
		}
	}
	return false;
}

/*
 * "name", "name:port", "[::1]:port"; brackets stay with a literal, and a bare
 * IPv4 address gets them.
 */
static bool
parse_host_port(struct slice s, struct route *out)
{
	ptrdiff_t colon = slice_rchr(s, ':'), bracket = slice_rchr(s, ']');
	uint64_t port = SMARTHOST_PORT;
	struct ip ip;

	if (colon > bracket) {
		if (!num_parse(
			slice_skip(s, (size_t)colon + 1), UINT16_MAX, &port) ||
		    port == 0)
			return false;
		s.len = (size_t)colon;
	}
	out->port = (uint16_t)port;
	if (ip_parse(s, &ip)) {
		snprintf(
		    out->host, sizeof(out->host), "[%.*s]", (int)s.len, s.data);
		return true;
	}
	return s.len > 0 && slice_copy(s, out->host, sizeof(out->host));
}

/* "connections=N" or "rate=N"; false: neither. */
static bool
parse_limit(struct slice word, struct route *out)
{
	struct slice name, value = slice_cut(word, '=', &name);
	uint64_t n;

	if (value.data == NULL || !num_parse(value, SMARTHOST_LIMIT_MAX, &n) ||
	    n == 0)
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
parse_word(struct slice word, size_t place, struct route *out)
{
	if (place == 0)
		return parse_tls(word, &out->tls);
	return place == 1 &&
	    slice_copy(word, out->credential, sizeof(out->credential));
}

bool
route_parse_smarthost(const char *text, struct route *out)
{
	struct route r = *out;
	struct slice word, rest = slice_cut(slice_str(text), '/', &word);
	size_t place = 0;

	r.tls = CLIENT_TLS_MAY;
	r.credential[0] = '\0';
	r.connections = r.rate = 0;
	if (!parse_host_port(word, &r))
		return false;
	while (rest.data != NULL) {
		bool is_limit;

		rest = slice_cut(rest, '/', &word);
		is_limit = slice_chr(word, '=') >= 0;
		if (is_limit ? !parse_limit(word, &r)
			     : !parse_word(word, place++, &r))
			return false;
	}
	*out = r;
	return true;
}

/*
 * The value of "domain=value" for a domain in a list setting; "*" is for all
 * others; "" for a row without '='.  NULL: no row.
 */
static const char *
list_value(const struct settings *s, enum setting_id id, const char *domain)
{
	const char *any = NULL;
	size_t i;

	for (i = 0; i < settings_count(s, id); i++) {
		const char *row = settings_item(s, id, i);
		size_t len = strcspn(row, "=");
		const char *value = row[len] == '=' ? row + len + 1 : row + len;

		if (slice_ieq_str(slice_of(row, len), domain))
			return value;
		if (len == 1 && row[0] == '*')
			any = value;
	}
	return any;
}

/* Which smart host, if any; "" = the one of smarthost.host. */
static const char *
choose_smarthost(const struct settings *s, const char *sender_domain,
    const char *domain, uint32_t attempts)
{
	enum {
		OFF,
		ALWAYS,
		LISTED,
		FALLBACK
	};

	int mode = settings_choice(s, SET_SMARTHOST_MODE);
	const char *own;

	if (mode == OFF)
		return NULL;
	own = list_value(s, SET_SMARTHOST_SENDERS, sender_domain);
	if (own != NULL)
		return own;
	if (mode == ALWAYS)
		return "";
	if (mode == LISTED)
		return list_value(s, SET_SMARTHOST_DOMAINS, domain);
	return (int64_t)attempts >=
		settings_int(s, SET_SMARTHOST_FALLBACK_AFTER)
	    ? ""
	    : NULL;
}

/*
 * "address/name", either may be missing: "192.0.2.1", "/mail.example.org".
 * An address without a name has the one it greets with.
 */
static void
set_source(
    const struct settings *s, const char *sender_domain, struct route *out)
{
	const char *row = list_value(s, SET_REMOTE_SOURCES, sender_domain);
	struct slice ip, name;

	snprintf(
	    out->helo, sizeof(out->helo), "%s", settings_text(s, SET_HOSTNAME));
	if (row == NULL)
		return;
	name = slice_cut(slice_str(row), '/', &ip);
	out->has_source = ip_parse(ip, &out->source);
	if (name.len == 0 && out->has_source)
		name = slice_str(settings_own_name(s, &out->source));
	if (name.len > 0 && name.len < sizeof(out->helo))
		(void)snprintf(
		    out->helo, sizeof(out->helo), "%.*s", SLICE_ARGS(name));
}

void
route_plan(const struct settings *s, const char *sender, const char *domain,
    uint32_t attempts, struct route *out)
{
	const char *at = strrchr(sender, '@'), *smarthost, *policy;
	const char *sender_domain = at != NULL ? at + 1 : "";
	char source[IP_TEXT_SIZE] = "";

	memset(out, 0, sizeof(*out));
	snprintf(out->domain, sizeof(out->domain), "%s", domain);
	out->port = (uint16_t)settings_int(s, SET_REMOTE_PORT);
	out->tls = (enum client_tls)settings_choice(s, SET_REMOTE_TLS);
	policy = list_value(s, SET_REMOTE_TLS_POLICY, domain);
	if (policy != NULL)
		(void)parse_tls(slice_str(policy), &out->tls);
	smarthost = choose_smarthost(s, sender_domain, domain, attempts);
	if (smarthost != NULL && smarthost[0] == '\0')
		smarthost = settings_text(s, SET_SMARTHOST_HOST);
	/* one that is wrong or not set holds the mail, not sends it directly */
	if (smarthost != NULL && !route_parse_smarthost(smarthost, out))
		snprintf(out->host, sizeof(out->host), "smart-host.invalid");
	set_source(s, sender_domain, out);
	if (out->has_source)
		ip_format(&out->source, source);
	if (out->host[0] != '\0')
		snprintf(out->key, sizeof(out->key), "%s:%u/%d/%s|%s|%s",
		    out->host, out->port, (int)out->tls, out->credential,
		    source, out->helo);
	else
		snprintf(out->key, sizeof(out->key), "%s|%s|%s", out->domain,
		    source, out->helo);
}
