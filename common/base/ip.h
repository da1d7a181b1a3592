#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * Internet addresses as values: 16 bytes, IPv4 in its mapped form
 * (::ffff:a.b.c.d), so that one comparison serves both families.  No sockets
 * here; policy uses this too.  A zeroed struct is "::", which no peer has.
 */
struct ip {
	uint8_t bytes[16];
};

enum {
	IP_TEXT_SIZE = 46
};

/* "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1" (taken as IPv4). */
bool ip_parse(struct slice s, struct ip *out) MUST_CHECK;

/* Shortest usual text; mapped IPv4 as dotted quad. */
void ip_format(const struct ip *ip, char out[IP_TEXT_SIZE]);

bool ip_eq(const struct ip *a, const struct ip *b);
bool ip_is_v4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);

/* No unicast host may be reached there: 0/8, multicast, unspecified... */
bool ip_is_unroutable(const struct ip *ip);

/*
 * One set of addresses, as written in settings: a single address, a prefix
 * "10.0.0.0/8", a range "10.0.0.1-10.0.0.99", or address and mask
 * "10.0.0.0/255.0.0.0".  Kept as an inclusive range; a mask with holes is
 * kept as it is.
 */
struct ip_set {
	struct ip low, high; /* inclusive; for a mask: address and mask */
	bool is_mask;
};

/* ERR_SYNTAX says what is wrong with the text. */
int ip_set_parse(struct slice s, struct ip_set *out, struct err *e) MUST_CHECK;
bool ip_set_has(const struct ip_set *set, const struct ip *ip);

#endif /* BASE_IP_H */
