/*
 * Routes from settings; see route.h.  Pure: asks neither the DNS nor a clock,
 * any thread.  What follows from the DNS is in route_hosts.c.
 */
#include "queue/route.h"

#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "directory/smarthost.h"

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

static void
set_policy(const struct settings *s, const char *domain, struct route *out)
{
	const char *row = list_value(s, SET_REMOTE_TLS_POLICY, domain);
	enum smarthost_tls tls;

	if (row != NULL && smarthost_parse_tls(slice_str(row), &tls))
		out->tls = (enum client_tls)tls;
}

/* One that is not set holds the mail, and does not send it directly. */
static void
set_smarthost(const char *text, struct route *out)
{
	struct smarthost h;

	if (!smarthost_parse(slice_str(text), &h)) {
		snprintf(out->host, sizeof(out->host), "smart-host.invalid");
		return;
	}
	snprintf(out->host, sizeof(out->host), "%s", h.host);
	snprintf(out->credential, sizeof(out->credential), "%s", h.credential);
	out->port = h.port;
	out->tls = (enum client_tls)h.tls;
	out->connections = h.connections;
	out->rate = h.rate;
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
	const char *at = strrchr(sender, '@'), *smarthost;
	const char *sender_domain = at != NULL ? at + 1 : "";
	char source[IP_TEXT_SIZE] = "";

	memset(out, 0, sizeof(*out));
	snprintf(out->domain, sizeof(out->domain), "%s", domain);
	out->port = (uint16_t)settings_int(s, SET_REMOTE_PORT);
	out->tls = (enum client_tls)settings_choice(s, SET_REMOTE_TLS);
	set_policy(s, domain, out);
	smarthost = choose_smarthost(s, sender_domain, domain, attempts);
	if (smarthost != NULL && smarthost[0] == '\0')
		smarthost = settings_text(s, SET_SMARTHOST_HOST);
	if (smarthost != NULL)
		set_smarthost(smarthost, out);
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
