/*
 * The DNS records of a domain: what should be there, what is.  Nothing is
 * changed and nothing else decided by it.  An answer that does not come is
 * "unknown", never "missing" in a check.
 *
 * Any thread; all memory is in one pool and the JSON value.
 */
#include "directory/domain_check.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/ip.h"
#include "base/mem.h"
#include "directory/client_config.h"
#include "mail/dkim.h"
#include "net/dns.h"

enum {
	STRING_MAX = 255, /* of a TXT record, RFC 1035 3.3 */
	ADDRESSES_MAX = 8,
	FAILURES_MAX = 2,
	TIMEOUT_S = 3,
};

#define UNKNOWN_ADDRESS "the public address of this server"

struct checker {
	const struct domain_check *q;
	struct dns_config dns;
	struct pool pool;
	const char *host;
	struct ip addresses[ADDRESSES_MAX]; /* of the host name */
	size_t address_count;
	bool is_mx;
	unsigned failures; /* of the DNS */
	bool answered;     /* it did, when it was asked last */
	json_t *records, *checks;
};

/* --- Asking --------------------------------------------------------------------- */

/* A DNS that does not answer is not asked for the rest of an hour. */
static bool
may_ask(struct checker *c)
{
	c->answered = c->failures < FAILURES_MAX;
	return c->answered;
}

static enum dns_status
noted(struct checker *c, enum dns_status s)
{
	c->failures += s == DNS_TEMP;
	c->answered = s != DNS_TEMP;
	return s;
}

static enum dns_status
ask_mx(struct checker *c, const char *name, struct dns_mx_list *out)
{
	return may_ask(c) ? noted(c, dns_mx(&c->dns, name, &c->pool, out))
			  : DNS_TEMP;
}

static enum dns_status
ask_ip(struct checker *c, const char *name, bool v6, struct dns_ip_list *out)
{
	return may_ask(c) ? noted(c, dns_ip(&c->dns, name, v6, &c->pool, out))
			  : DNS_TEMP;
}

static enum dns_status
ask_txt(struct checker *c, const char *name, struct dns_text_list *out)
{
	return may_ask(c) ? noted(c, dns_txt(&c->dns, name, &c->pool, out))
			  : DNS_TEMP;
}

static enum dns_status
ask_ptr(struct checker *c, const struct ip *ip, struct dns_text_list *out)
{
	return may_ask(c) ? noted(c, dns_ptr(&c->dns, ip, &c->pool, out))
			  : DNS_TEMP;
}

/* --- Results -------------------------------------------------------------------- */

static void add_check(struct checker *c, const char *id, const char *state,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

static void
add_check(
    struct checker *c, const char *id, const char *state, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	json_array_append_new(c->checks,
	    json_pack("{ss,ss,so}", "id", id, "state", state, "text",
		json_vsprintf(fmt, args)));
	va_end(args);
}

/* The name as it is written inside the domain's zone. */
static json_t *
short_name(const struct checker *c, const char *name)
{
	size_t len = strlen(name), own = strlen(c->q->domain);

	if (strcmp(name, c->q->domain) == 0)
		return json_string("@");
	if (len > own + 1 && strcmp(name + len - own, c->q->domain) == 0 &&
	    name[len - own - 1] == '.')
		return json_stringn(name, len - own - 1);
	return json_string(name);
}

/* `found` is stolen. */
static void
add_record(struct checker *c, const char *type, const char *name,
    const char *value, bool good, json_t *found)
{
	const char *state = good          ? "ok"
	    : json_array_size(found) == 0 ? "missing"
					  : "different";
	json_t *strings = json_array();
	size_t len = strlen(value);

	for (size_t at = 0; at < len; at += STRING_MAX)
		json_array_append_new(strings,
		    json_stringn(value + at,
			len - at < STRING_MAX ? len - at : STRING_MAX));
	json_array_append_new(c->records,
	    json_pack("{ss,ss,ss,ss,so,so,so,sb}", "type", type, "name", name,
		"value", value, "state", state, "found", found, "short_name",
		short_name(c, name), "strings", strings, "answered",
		c->answered));
}

static bool
is_unknown(struct checker *c, enum dns_status s, const char *name)
{
	if (s != DNS_TEMP)
		return false;
	add_check(c, "dns", "unknown",
	    "The DNS does not answer now what %s is.", name);
	return true;
}

/* A record is described by its check: id ok, or what to publish. */
static void
judge(struct checker *c, const char *id, enum dns_status s, bool good,
    const char *record, const char *why)
{
	if (good)
		add_check(c, id, "ok", "%s is published.", record);
	else if (s != DNS_TEMP)
		add_check(c, id, "failed", "%s Publish: %s", why, record);
	else
		add_check(c, id, "unknown", "The DNS does not answer now.");
}

/* --- The host ---------------------------------------------------------------------- */

/*
 * Our public addresses: those the world reaches us under, else those we listen
 * on.  Loopback is nobody's public address.
 */
static size_t
own_addresses(const struct checker *c, bool v6, struct ip out[ADDRESSES_MAX])
{
	const struct settings *s = c->q->settings;
	enum setting_id id = settings_count(s, SET_NAT_ADDRESSES) > 0
	    ? SET_NAT_ADDRESSES
	    : SET_LISTEN;
	size_t n = 0;

	for (size_t i = 0; i < settings_count(s, id) && n < ADDRESSES_MAX; i++)
		n += ip_parse(slice_str(settings_item(s, id, i)), &out[n]) &&
		    ip_is_v4(&out[n]) != v6 && !ip_is_loopback(&out[n]);
	return n;
}

static bool
has_address(const struct dns_ip_list *list, const struct ip *ip)
{
	for (size_t i = 0; i < list->count; i++)
		if (ip_eq(&list->items[i], ip))
			return true;
	return false;
}

/* One record for each address that should be there. */
static void
check_addresses(struct checker *c, bool v6)
{
	const char *type = v6 ? "AAAA" : "A";
	struct ip own[ADDRESSES_MAX];
	struct dns_ip_list list = { 0 };
	size_t count = own_addresses(c, v6, own);
	json_t *found = json_array();
	char text[IP_TEXT_SIZE];

	(void)is_unknown(c, ask_ip(c, c->host, v6, &list), c->host);
	for (size_t i = 0; i < list.count; i++) {
		ip_format(&list.items[i], text);
		json_array_append_new(found, json_string(text));
		if (c->address_count < ADDRESSES_MAX)
			c->addresses[c->address_count++] = list.items[i];
	}
	for (size_t i = 0; i < count; i++) {
		ip_format(&own[i], text);
		add_record(c, type, c->host, text, has_address(&list, &own[i]),
		    json_copy(found));
	}
	/* not told which they are: what is there is believed */
	if (count == 0 && (list.count > 0 || !v6))
		add_record(c, type, c->host,
		    list.count > 0 ? json_string_value(json_array_get(found, 0))
				   : UNKNOWN_ADDRESS,
		    list.count > 0, json_copy(found));
	json_decref(found);
}

static char *
reverse_name(const struct ip *ip, struct pool *pool)
{
	char text[80];
	size_t len = 0;

	if (ip_is_v4(ip))
		return pool_printf(pool, "%u.%u.%u.%u.in-addr.arpa",
		    ip->bytes[15], ip->bytes[14], ip->bytes[13], ip->bytes[12]);
	for (size_t i = 16; i-- > 0;)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%x.%x.", ip->bytes[i] & 15U, ip->bytes[i] >> 4U);
	return pool_printf(pool, "%sip6.arpa", text);
}

static void
check_reverse(struct checker *c, const struct ip *ip)
{
	struct dns_text_list names = { 0 };
	json_t *found = json_array();
	char text[IP_TEXT_SIZE], *name = NULL;
	enum dns_status s = ask_ptr(c, ip, &names);
	bool good = false;

	for (size_t i = 0; i < names.count; i++) {
		json_array_append_new(found, json_string(names.items[i]));
		good = good || strcmp(names.items[i], c->host) == 0;
	}
	add_record(c, "PTR", reverse_name(ip, &c->pool), c->host, good, found);
	ip_format(ip, text);
	if (is_unknown(c, s, text))
		return;
	if (dns_confirmed_name(&c->dns, ip, &c->pool, &name) == DNS_OK)
		add_check(c, "forward_confirmed", "ok",
		    "%s has the name %s, which leads back to it.", text, name);
	else
		add_check(c, "forward_confirmed", "failed",
		    "%s has no name that leads back to it: whoever gave you "
		    "the address must set its PTR record to %s.",
		    text, c->host);
}

static void
check_host(struct checker *c)
{
	struct ip ips[ADDRESSES_MAX];
	char own[IP_TEXT_SIZE] = UNKNOWN_ADDRESS;

	if (own_addresses(c, false, ips) > 0)
		ip_format(&ips[0], own);
	check_addresses(c, false);
	check_addresses(c, true);
	for (size_t i = 0; i < c->address_count; i++)
		check_reverse(c, &c->addresses[i]);
	for (int v6 = 0; v6 < 2 && c->q->wanted_only; v6++) {
		size_t n = own_addresses(c, v6, ips);

		for (size_t i = 0; i < n; i++)
			check_reverse(c, &ips[i]);
	}
	if (strchr(c->host, '.') == NULL)
		add_check(c, "helo", "failed",
		    "The greeting name %s is not a full name: set "
		    "server.hostname.",
		    c->host);
	else if (c->address_count == 0 && c->failures > 0)
		add_check(c, "helo", "unknown", "The DNS does not answer now.");
	else if (c->address_count == 0)
		add_check(c, "helo", "failed",
		    "The greeting name %s has no address. Publish: %s A %s",
		    c->host, c->host, own);
	else
		add_check(c, "helo", "ok",
		    "The greeting name %s has an address.", c->host);
}

/* --- MX, SPF, DMARC -------------------------------------------------------------------- */

static void
check_mx(struct checker *c)
{
	const char *value = pool_printf(&c->pool, "10 %s", c->host);
	struct dns_mx_list mx = { 0 };
	enum dns_status s = ask_mx(c, c->q->domain, &mx);
	json_t *found = json_array();

	for (size_t i = 0; i < mx.count; i++) {
		json_array_append_new(found,
		    json_sprintf(
			"%u %s", mx.items[i].preference, mx.items[i].name));
		c->is_mx = c->is_mx || strcmp(mx.items[i].name, c->host) == 0;
	}
	add_record(c, "MX", c->q->domain, value, c->is_mx, found);
	judge(c, "mx", s, c->is_mx,
	    pool_printf(&c->pool, "%s MX %s", c->q->domain, value),
	    "Mail for the domain does not come to this server.");
}

static bool
spf_has_address(const struct checker *c, struct slice set)
{
	struct ip_set ips;
	struct err e;

	if (ip_set_parse(set, &ips, &e) != 0)
		return false;
	for (size_t i = 0; i < c->address_count; i++)
		if (ip_set_has(&ips, &c->addresses[i]))
			return true;
	return false;
}

/* Not an evaluator: does a term name us?  What is elsewhere is believed. */
static bool
spf_term_is_us(const struct checker *c, struct slice term)
{
	if (term.len > 0 && term.data[0] == '+')
		term = slice_skip(term, 1);
	if (slice_ieq_str(term, "mx") || slice_istarts(term, "mx/"))
		return c->is_mx;
	if (slice_istarts(term, "a:"))
		return slice_ieq_str(slice_skip(term, 2), c->host);
	if (slice_istarts(term, "ip4:") || slice_istarts(term, "ip6:"))
		return spf_has_address(c, slice_skip(term, 4));
	return slice_ieq_str(term, "a") || slice_ieq_str(term, "all") ||
	    slice_istarts(term, "include:") || slice_istarts(term, "exists:") ||
	    slice_istarts(term, "redirect=");
}

static bool
spf_is_us(const struct checker *c, const char *record)
{
	struct slice rest = slice_str(record), term;

	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &term);
		if (spf_term_is_us(c, term))
			return true;
	}
	return false;
}

/* TXT records of a name that begin so; the last of them. */
static enum dns_status
find_text(struct checker *c, const char *name, const char *begin, json_t *found,
    const char **text_out)
{
	struct dns_text_list list = { 0 };
	enum dns_status s = ask_txt(c, name, &list);

	for (size_t i = 0; i < list.count; i++) {
		if (!slice_istarts(slice_str(list.items[i]), begin) ||
		    !utf8_is_valid(slice_str(list.items[i])))
			continue;
		json_array_append_new(found, json_string(list.items[i]));
		*text_out = list.items[i];
	}
	return s;
}

static void
check_spf(struct checker *c)
{
	const char *value = "v=spf1 mx -all", *text = "", *why;
	json_t *found = json_array();
	enum dns_status s = find_text(c, c->q->domain, "v=spf1", found, &text);
	size_t count = json_array_size(found);
	bool good = count == 1 && spf_is_us(c, text);

	why = count == 0 ? "No SPF record says who sends for the domain."
	    : count > 1  ? "There is more than one SPF record."
			 : "The SPF record does not allow this server.";
	add_record(c, "TXT", c->q->domain, value, good, found);
	judge(c, "spf", s, good,
	    pool_printf(
		&c->pool, "%s TXT \"%s\"", c->q->domain, good ? text : value),
	    why);
}

/* RFC 7489 6.6.3: that of a domain above will do. */
static void
check_dmarc(struct checker *c)
{
	const char *value = "v=DMARC1; p=none", *text = "";
	const char *at = c->q->domain, *name;
	json_t *found = json_array();
	enum dns_status s = DNS_NODATA;
	bool good;

	while (at != NULL && strchr(at, '.') != NULL && s != DNS_TEMP &&
	    json_array_size(found) == 0) {
		name = pool_printf(&c->pool, "_dmarc.%s", at);
		s = find_text(c, name, "v=DMARC1", found, &text);
		at = strchr(at, '.') + 1;
	}
	good = json_array_size(found) == 1 &&
	    slice_icontains(slice_str(text), SLICE_LIT("p="));
	name = pool_printf(&c->pool, "_dmarc.%s", c->q->domain);
	add_record(c, "TXT", name, value, good, found);
	judge(c, "dmarc", s, good,
	    pool_printf(&c->pool, "%s TXT \"%s\"", name, good ? text : value),
	    "There is no usable DMARC record.");
}

/* --- DKIM ---------------------------------------------------------------------------------- */

/* Does a signature made just now verify with what is published? */
static bool
test_verifies(const json_t *key, const struct dkim_key *published)
{
	struct buf hash, signature;
	bool ok;

	buf_init(&hash, DKIM_HASH_SIZE);
	buf_init(&signature, 4096);
	ok =
	    base64_decode(
		slice_str(json_string_value(json_object_get(key, "test_hash"))),
		&hash) &&
	    base64_decode(slice_str(json_string_value(
			      json_object_get(key, "test_signature"))),
		&signature) &&
	    hash.len == DKIM_HASH_SIZE &&
	    dkim_verify(
		published, (const uint8_t *)hash.data, buf_slice(&signature));
	buf_release(&hash);
	buf_release(&signature);
	return ok;
}

/* Why the published text is not this key, or NULL. */
static const char *
compare_key(struct checker *c, const char *published, const char *value,
    const json_t *key)
{
	struct dkim_key theirs, ours;
	struct buf first, second;
	const char *why = NULL;
	struct err e;

	buf_init(&first, 65536);
	buf_init(&second, 65536);
	if (dkim_record_parse(slice_str(value), &first, &ours, &e) != 0)
		why = "The key itself is damaged.";
	else if (dkim_record_parse(
		     slice_str(published), &second, &theirs, &e) != 0)
		why = pool_printf(
		    &c->pool, "The published record is wrong: %s.", e.text);
	else if (theirs.revoked)
		why = "The published record says that the key is revoked.";
	else if (theirs.algorithm != ours.algorithm)
		why = "The published key is of another algorithm.";
	else if (!slice_eq(theirs.key, ours.key))
		why = "Another key is published.";
	else if (json_object_get(key, "test_hash") != NULL &&
	    !test_verifies(key, &theirs))
		why = "A test signature does not verify.";
	buf_release(&first);
	buf_release(&second);
	return why;
}

/* An active key must be there; a new one before it is used; a retired one
 * while mail signed with it is under way. */
static bool
check_key(struct checker *c, json_t *key)
{
	const char *selector = "", *state = "", *name = "", *value = "";
	const char *text = NULL, *why, *record, *id;
	struct dns_text_list list = { 0 };
	json_t *found;
	enum dns_status s;

	if (json_unpack(key, "{s:s, s:s, s:{s:s, s:s}}", "selector", &selector,
		"state", &state, "record", "name", &name, "value",
		&value) != 0 ||
	    strstr(value, "p=") == NULL)
		return false;
	found = json_array();
	s = ask_txt(c, name, &list);
	for (size_t i = 0; i < list.count; i++) {
		text = list.items[i];
		if (json_array_append_new(found, json_string(text)) != 0)
			json_array_append_new(found, json_string("no text"));
	}
	why = text == NULL   ? "The key is not published."
	    : list.count > 1 ? "There is more than one record."
			     : compare_key(c, text, value, key);
	add_record(c, "TXT", name, value, why == NULL, found);
	record = pool_printf(&c->pool, "%s TXT \"%s\"", name, value);
	id = pool_printf(&c->pool, "dkim.%s", selector);
	if (why == NULL && strcmp(state, "active") == 0)
		add_check(c, id, "ok",
		    "A test signature verifies with the published key.");
	else
		judge(c, id, s, why == NULL, record, why != NULL ? why : "");
	return strcmp(state, "active") == 0;
}

static void
check_keys(struct checker *c)
{
	bool any = false;
	size_t i;
	json_t *key;

	json_array_foreach(c->q->keys, i, key)
		any |= check_key(c, key);
	if (!settings_bool(c->q->settings, SET_DKIM_ENABLED))
		add_check(c, "dkim", "failed",
		    "Mail is not signed: dkim.enabled is no.");
	else if (!any)
		add_check(c, "dkim", "failed",
		    "The domain has no active key: mailstead dkim add %s",
		    c->q->domain);
}

/* --- SRV, for mail programs ------------------------------------------------------------------ */

/*
 * RFC 6186 3, RFC 8314 5.1.  What is found is a line of a zone file: the
 * fields behind "SRV" count.
 */
static void
check_service(
    struct checker *c, const char *host, const struct client_server *s)
{
	const char *name =
	    pool_printf(&c->pool, "_%s._tcp.%s", s->service, c->q->domain);
	const char *value = pool_printf(&c->pool, "%d 1 %u %s",
	    s->is_tls ? 0 : 10, (unsigned)s->port, host);
	const char *wanted =
	    pool_printf(&c->pool, " %u %s", (unsigned)s->port, host);
	struct dns_text_list list = { 0 };
	json_t *found = json_array();
	bool good = false;

	if (may_ask(c))
		(void)noted(c, dns_any(&c->dns, name, "SRV", &c->pool, &list));
	for (size_t i = 0; i < list.count; i++) {
		const char *at = strstr(list.items[i], "SRV");
		struct slice text =
		    slice_trim(slice_str(at != NULL ? at + 3 : list.items[i]));

		if (slice_ends(text, "."))
			text.len--;
		json_array_append_new(found, json_stringn(text.data, text.len));
		good |= slice_ends(text, wanted);
	}
	add_record(c, "SRV", name, value, good, found);
}

static void
check_services(struct checker *c)
{
	struct client_config config;

	client_config_make(c->q->settings, c->q->domain, &config);
	for (size_t i = 0; i < config.count; i++)
		check_service(c, config.host, &config.servers[i]);
}

int
domain_check(const struct domain_check *q, json_t **out, struct err *e)
{
	struct checker c = { .q = q,
		.host = settings_text(q->settings, SET_HOSTNAME),
		.failures = q->wanted_only ? FAILURES_MAX : 0 };

	if (dns_config_parse(
		settings_text(q->settings, SET_DNS_SERVERS), &c.dns, e) != 0)
		return -1;
	c.dns.timeout_s = TIMEOUT_S;
	c.dns.tries = 1;
	c.records = json_array();
	c.checks = json_array();
	check_mx(&c);
	check_host(&c);
	check_spf(&c);
	check_keys(&c);
	check_dmarc(&c);
	check_services(&c);
	*out = json_pack("{ss,so,so}", "domain", q->domain, "records",
	    c.records, "checks", c.checks);
	pool_release(&c.pool);
	return 0;
}
