/*
 * Whether the world finds this server where it is; see tools.h.
 *
 * The DNS is asked through the system's cache, so a look a minute is cheap.
 * A change is worth a look for a day even when the DNS follows it: the name
 * of the new address (PTR) and SPF records do not follow by themselves.
 */
#include <string.h>

#include "base/clock.h"
#include "directory/json_file.h"
#include "net/dns.h"

#include "queue/route.h"
#include "queue/tools.h"

enum {
	OWN_MAX = 16,
	CHANGED_MS = 86400000,
};

struct addresses {
	struct ip items[OWN_MAX];
	size_t count;
};

static bool
is_public(const struct ip *ip)
{
	static const char *const not_public[] = { "10.0.0.0/8", "172.16.0.0/12",
		"192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7",
		"fe80::/10" };
	struct ip_set set;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(not_public); i++)
		if (ip_set_parse(slice_str(not_public[i]), &set, &e) == 0 &&
		    ip_set_has(&set, ip))
			return false;
	return !ip_is_loopback(ip) && !ip_is_unroutable(ip);
}

static void
add_listed(
    struct addresses *a, const struct settings *s, enum setting_id id, bool any)
{
	struct ip ip;

	for (size_t i = 0; i < settings_count(s, id) && a->count < OWN_MAX; i++)
		if (ip_parse(slice_str(settings_item(s, id, i)), &ip) &&
		    (any || is_public(&ip)))
			a->items[a->count++] = ip;
}

/* Where the kernel sends from; nothing is sent to these root servers. */
static void
add_outgoing(struct addresses *a)
{
	static const char *const far[] = { "198.41.0.4",
		"2001:503:ba3e::2:30" };
	struct ip to, from;

	for (size_t i = 0; i < ARRAY_LEN(far); i++)
		if (ip_parse(slice_str(far[i]), &to) &&
		    route_source_towards(&to, &from) && is_public(&from))
			a->items[a->count++] = from;
}

static void
find_own(const struct settings *s, struct addresses *a)
{
	add_listed(a, s, SET_NAT_ADDRESSES, true);
	if (a->count == 0)
		add_listed(a, s,
		    settings_count(s, SET_SMTP_LISTEN) > 0 ? SET_SMTP_LISTEN
							   : SET_LISTEN,
		    false);
	if (a->count == 0)
		add_outgoing(a);
}

static char *
join(const struct ip *items, size_t count, struct pool *pool)
{
	char text[IP_TEXT_SIZE], *out = pool_strdup(pool, "");

	for (size_t i = 0; i < count; i++) {
		ip_format(&items[i], text);
		out = pool_printf(pool, "%s%s%s", out, i > 0 ? " " : "", text);
	}
	return out;
}

/* Of one kind, v4 or v6: false when the DNS has others, and only others. */
static bool
leads_here(
    const struct addresses *own, const struct dns_ip_list *found, bool v6)
{
	bool mine = false;

	for (size_t i = 0; i < own->count; i++) {
		if (ip_is_v4(&own->items[i]) == v6)
			continue;
		mine = true;
		for (size_t k = 0; k < found->count; k++)
			if (ip_eq(&own->items[i], &found->items[k]))
				return true;
	}
	return !mine || found->count == 0;
}

/* What the DNS has wrong; "" = nothing, NULL = it does not answer. */
static const char *
ask_dns(
    const struct settings *s, const struct addresses *own, struct pool *pool)
{
	const char *host = settings_text(s, SET_HOSTNAME);
	struct dns_config dns;
	struct dns_ip_list found[2] = { 0 };
	struct err e;

	if (dns_config_parse(settings_text(s, SET_DNS_SERVERS), &dns, &e) != 0)
		return NULL;
	dns.timeout_s = dns.tries = 1;
	for (int v6 = 0; v6 < 2; v6++)
		if (dns_ip(&dns, host, v6 != 0, pool, &found[v6]) == DNS_TEMP)
			return NULL;
	if (found[0].count + found[1].count == 0)
		return pool_printf(pool, "%s has no address in the DNS", host);
	for (int v6 = 0; v6 < 2; v6++)
		if (!leads_here(own, &found[v6], v6 != 0))
			return pool_printf(pool, "%s leads to %s", host,
			    join(found[v6].items, found[v6].count, pool));
	return "";
}

/*
 * What was seen before, brought up to date unless `now` is "" (a network
 * that is not up yet is no change); a new reference.
 */
static json_t *
remember(const struct runner *r, const char *now)
{
	json_t *all =
	    json_file_read(r->state_dir, TOOLS_HEALTH, TOOLS_HEALTH_MAX);
	json_t *seen = json_incref(json_object_get(all, "address"));
	const char *last = tool_arg(seen, "now");
	char at[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), at);
	if (now[0] != '\0' && strcmp(last, now) != 0) {
		json_t *next = json_pack("{s:s,s:s,s:s}", "now", now, "before",
		    last, "changed_at", at);

		json_decref(seen);
		seen = next;
	}
	json_decref(all);
	return seen;
}

json_t *
tools_address(struct runner *r, const struct settings *s, json_t *checks)
{
	struct addresses own = { 0 };
	struct pool pool = { 0 };
	const char *now, *before, *wrong, *found, *state;
	int64_t changed = 0;
	json_t *seen = NULL;
	bool is_new;

	if (!settings_bool(s, SET_DNS_SELF_CHECK))
		return NULL;
	find_own(s, &own);
	now = join(own.items, own.count, &pool);
	seen = remember(r, now);
	if (own.count == 0)
		goto out;
	wrong = ask_dns(s, &own, &pool);
	before = tool_arg(seen, "before");
	is_new = before[0] != '\0' &&
	    clock_parse_rfc3339(
		slice_str(tool_arg(seen, "changed_at")), &changed) &&
	    clock_wall_ms() - changed < CHANGED_MS;
	state = is_new || (wrong != NULL && wrong[0] != '\0') ? "warn"
	    : wrong == NULL                                   ? "unknown"
							      : "ok";
	if (wrong == NULL)
		wrong = "the DNS does not answer";
	found = pool_printf(&pool, "this server is %s%s%s%s%s", now,
	    is_new ? ", was " : "", is_new ? before : "",
	    wrong[0] != '\0' ? "; " : "", wrong);
	json_array_append_new(checks,
	    json_pack("{s:s,s:s,s:s,s:s}", "id", "address", "state", state,
		"found", found, "fix",
		strcmp(state, "warn") == 0
		    ? "Correct the A or AAAA record, PTR and SPF, or "
		      "nat.addresses."
		    : ""));
out:
	pool_release(&pool);
	return seen;
}
