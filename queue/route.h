#ifndef QUEUE_ROUTE_H
#define QUEUE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/ip.h"
#include "directory/settings.h"
#include "net/dns.h"

#include "queue/client.h"
#include "queue/outcome.h"

/*
 * The way to a destination, in two steps: the plan follows from settings alone
 * and names the lane (deliveries with equal keys may share a connection); the
 * hosts follow from the plan and the DNS, when a connection is needed.
 */
struct route {
	char key[1024];   /* of the lane */
	char domain[256]; /* destination: a domain or "[192.0.2.1]" */
	char host[256];   /* the smart host, or "" = by MX */
	uint16_t port;
	enum client_tls tls;
	char credential[64]; /* for AUTH at the smart host, or "" */
	uint32_t
	    connections; /* to it at most at once; 0 = no limit of its own */
	uint32_t rate;   /* messages a minute; 0 = any */
	bool has_source;
	struct ip source;
	char helo[256];
};

/*
 * Plan the way of mail from `sender` (an address, or "") to `domain` after
 * `attempts` failed ones.
 */
void route_plan(const struct settings *s, const char *sender,
    const char *domain, uint32_t attempts, struct route *out);

enum {
	ROUTE_ADDRESSES_MAX = 5
};

struct route_host {
	char name[256];
	struct ip ip;
};

/*
 * At most ROUTE_ADDRESSES_MAX addresses to try, in order.  0 with *count_out
 * > 0; else -1 and the outcome for the recipients.
 *
 * RFC 5321 5.1, RFC 7505: MX by preference, equal ones shuffled; without MX
 * the domain's own addresses; never ourselves or anything behind us; SERVFAIL
 * and the like put it off and never lead to another kind of record.
 */
int route_hosts(const struct route *r, const struct settings *s,
    struct route_host out[ROUTE_ADDRESSES_MAX], size_t *count_out,
    struct outcome *o) MUST_CHECK;

/*
 * The part of route_hosts() that asks nobody: put MX records in the order to
 * try them, without null ones and, from the first for which `is_self` is true
 * on, without it and all of the same or a worse preference.  The new count;
 * *looped_out if ours was the best.
 */
size_t route_order(struct dns_mx *items, size_t count,
    bool (*is_self)(void *arg, const char *name), void *arg, bool *looped_out);

/* The address the kernel sends from towards `ip`; false: no way there. */
bool route_source_towards(const struct ip *ip, struct ip *out);

#endif /* QUEUE_ROUTE_H */
