/*
 * From a route to addresses, by DNS; see route.h.  Runs on the remote delivery
 * threads and blocks for the resolver.  Nothing is remembered here but whether
 * our own IPv6 address has a confirmed name: the resolver has a cache, and
 * connections are reused.
 */
#include <sys/socket.h>
#include <sys/types.h>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"

#include "queue/route.h"

enum {
	CONFIRMED_MS = 600000,
	OWN_MAX = 128,
};

/* One look-up's work. */
struct search {
	const struct route *r;
	const struct settings *s;
	struct dns_config dns;
	struct pool pool;
	struct ip own[OWN_MAX];
	size_t own_count;
	struct route_host *out;
	size_t count;
	bool temporary; /* a look-up gave no answer */
	bool refused;   /* an address was loopback or no host's */
};

static void
from_sockaddr(const struct sockaddr *sa, struct ip *out)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		out->bytes[10] = out->bytes[11] = 0xff;
		memcpy(out->bytes + 12, &v4.sin_addr, 4);
	} else {
		memcpy(&v6, sa, sizeof(v6));
		memcpy(out->bytes, &v6.sin6_addr, 16);
	}
}

static void
load_own(struct search *x)
{
	struct ifaddrs *list, *i;

	if (getifaddrs(&list) != 0)
		return;
	for (i = list; i != NULL && x->own_count < OWN_MAX; i = i->ifa_next)
		if (i->ifa_addr != NULL &&
		    (i->ifa_addr->sa_family == AF_INET ||
			i->ifa_addr->sa_family == AF_INET6))
			from_sockaddr(i->ifa_addr, &x->own[x->own_count++]);
	freeifaddrs(list);
}

/* With loopback allowed (tests) several servers share this machine. */
static bool
is_own(const struct search *x, const struct ip *ip)
{
	size_t i;

	if (settings_has_ip(x->s, SET_NAT_ADDRESSES, ip))
		return true;
	if (settings_bool(x->s, SET_REMOTE_ALLOW_LOOPBACK))
		return false;
	for (i = 0; i < x->own_count; i++)
		if (ip_eq(&x->own[i], ip))
			return true;
	return false;
}

static bool
is_own_name(void *arg, const char *name)
{
	struct search *x = arg;
	struct dns_ip_list list;
	size_t i;

	if (ascii_casecmp(name, settings_text(x->s, SET_HOSTNAME)) == 0)
		return true;
	if (dns_ip(&x->dns, name, false, &x->pool, &list) != DNS_OK)
		return false;
	for (i = 0; i < list.count; i++)
		if (is_own(x, &list.items[i]))
			return true;
	return false;
}

static void
shuffle(struct dns_mx *items, size_t count)
{
	size_t i;

	for (i = count; i > 1; i--) {
		size_t k = random_below((uint32_t)i);
		struct dns_mx swap = items[i - 1];

		items[i - 1] = items[k];
		items[k] = swap;
	}
}

size_t
route_order(struct dns_mx *items, size_t count,
    bool (*is_self)(void *arg, const char *name), void *arg, bool *looped_out)
{
	size_t i, start, n = 0;

	*looped_out = false;
	for (i = 0; i < count; i++)
		if (items[i].name[0] != '\0')
			items[n++] = items[i];
	for (start = 0; start < n; start = i) {
		for (i = start;
		     i < n && items[i].preference == items[start].preference;
		     i++) {
			if (is_self(arg, items[i].name)) {
				*looped_out = start == 0;
				return start;
			}
		}
		shuffle(items + start, i - start);
	}
	return n;
}

bool
route_source_towards(const struct ip *ip, struct ip *out)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
		.sin6_port = htons(25) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		return false;
	memcpy(&sa.sin6_addr, ip->bytes, 16);
	ok = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sa, &len) == 0;
	close(fd);
	memcpy(out->bytes, &sa.sin6_addr, 16);
	return ok;
}

/* IPv6 without a confirmed name is refused by the big receivers. */
static bool
may_use_v6(struct search *x, const struct ip *towards)
{
	enum {
		NO,
		CONFIRMED,
		YES
	};

	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct ip known;
	static bool known_ok;
	static int64_t known_until_ms;
	int mode = settings_choice(x->s, SET_REMOTE_IPV6);
	struct ip source;
	bool found, ok;
	char *name;

	if (mode != CONFIRMED)
		return mode == YES;
	if (x->r->has_source)
		source = x->r->source;
	else if (!route_source_towards(towards, &source))
		return false;
	pthread_mutex_lock(&lock);
	found = clock_mono_ms() < known_until_ms && ip_eq(&known, &source);
	ok = found && known_ok;
	pthread_mutex_unlock(&lock);
	if (found)
		return ok;
	ok = dns_confirmed_name(&x->dns, &source, &x->pool, &name) == DNS_OK;
	pthread_mutex_lock(&lock);
	known = source;
	known_ok = ok;
	known_until_ms = clock_mono_ms() + CONFIRMED_MS;
	pthread_mutex_unlock(&lock);
	return ok;
}

static void
add_address(struct search *x, const char *name, const struct ip *ip)
{
	struct route_host *h;

	if (x->count == ROUTE_ADDRESSES_MAX)
		return;
	if (x->r->has_source && ip_is_v4(&x->r->source) != ip_is_v4(ip))
		return;
	/* a smart host may well be on this machine, a stranger's MX not */
	if (x->r->host[0] == '\0' &&
	    (ip_is_unroutable(ip) || is_own(x, ip) ||
		(ip_is_loopback(ip) &&
		    !settings_bool(x->s, SET_REMOTE_ALLOW_LOOPBACK)))) {
		x->refused = true;
		return;
	}
	if (!ip_is_v4(ip) && !ip_is_loopback(ip) && !may_use_v6(x, ip))
		return;
	h = &x->out[x->count++];
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->ip = *ip;
}

static void
add_name(struct search *x, const char *name)
{
	struct dns_ip_list list;
	enum dns_status status;
	size_t i;
	int v6;

	for (v6 = 0; v6 < 2 && x->count < ROUTE_ADDRESSES_MAX; v6++) {
		if (v6 != 0 && settings_choice(x->s, SET_REMOTE_IPV6) == 0)
			break;
		status = dns_ip(&x->dns, name, v6 != 0, &x->pool, &list);
		if (status == DNS_TEMP)
			x->temporary = true;
		if (status == DNS_NXDOMAIN)
			break;
		for (i = 0; status == DNS_OK && i < list.count; i++)
			add_address(x, name, &list.items[i]);
	}
}

/* "[192.0.2.1]", "[IPv6:...]", also as a smart host. */
static bool
add_literal(struct search *x, const char *text)
{
	struct slice s = slice_str(text);
	struct ip ip;

	if (s.len < 3 || s.data[0] != '[' || s.data[s.len - 1] != ']')
		return false;
	s = slice_of(s.data + 1, s.len - 2);
	if (slice_istarts(s, "IPv6:"))
		s = slice_skip(s, 5);
	if (ip_parse(s, &ip))
		add_address(x, text, &ip);
	return true;
}

static int
fail(struct outcome *o, enum outcome_kind kind, const char *status,
    const char *text)
{
	outcome_set(o, kind, status, "%s", text);
	return -1;
}

static int
add_exchangers(struct search *x, struct outcome *o)
{
	struct dns_mx_list list;
	bool looped;
	size_t i, n;

	switch (dns_mx(&x->dns, x->r->domain, &x->pool, &list)) {
	case DNS_TEMP:
		return fail(o, OUTCOME_TEMP, "4.4.3",
		    "the name servers of the domain do not answer");
	case DNS_NXDOMAIN:
		return fail(
		    o, OUTCOME_PERM, "5.1.2", "the domain does not exist");
	case DNS_NODATA: /* RFC 5321 5.1: the implicit MX */
		add_name(x, x->r->domain);
		return 0;
	case DNS_OK:
		break;
	}
	if (list.count == 1 && list.items[0].name[0] == '\0')
		return fail(o, OUTCOME_PERM, "5.1.10", /* RFC 7505 */
		    "the domain does not accept mail");
	n = route_order(list.items, list.count, is_own_name, x, &looped);
	if (looped)
		return fail(o, OUTCOME_PERM, "5.4.6",
		    "the best mail exchanger of the domain is this server, "
		    "which does not know the domain");
	for (i = 0; i < n && x->count < ROUTE_ADDRESSES_MAX; i++)
		add_name(x, list.items[i].name);
	return 0;
}

static int
search(struct search *x, struct outcome *o)
{
	struct err e;

	if (dns_config_parse(
		settings_text(x->s, SET_DNS_SERVERS), &x->dns, &e) != 0)
		return fail(o, OUTCOME_TEMP, "4.3.5", e.text);
	load_own(x);
	if (x->r->host[0] != '\0') {
		if (!add_literal(x, x->r->host))
			add_name(x, x->r->host);
	} else if (!add_literal(x, x->r->domain) && add_exchangers(x, o) != 0)
		return -1;
	if (x->count > 0)
		return 0;
	if (x->temporary)
		return fail(o, OUTCOME_TEMP, "4.4.3",
		    "no answer about the addresses of the mail exchangers");
	if (x->refused)
		return fail(o, OUTCOME_PERM, "5.4.6",
		    "the mail exchangers lead back to this server or nowhere");
	/* our own setting may be wrong: nothing bounces for it */
	if (x->r->host[0] != '\0')
		return fail(o, OUTCOME_TEMP, "4.3.5",
		    "the smart host has no usable address");
	return fail(o, OUTCOME_PERM, "5.4.4",
	    "the mail exchangers of the domain have no usable address");
}

int
route_hosts(const struct route *r, const struct settings *s,
    struct route_host out[ROUTE_ADDRESSES_MAX], size_t *count_out,
    struct outcome *o)
{
	struct search x = { .r = r, .s = s, .out = out };
	int rc = search(&x, o);

	pool_release(&x.pool);
	*count_out = x.count;
	return rc;
}
