#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * DNS by libresolv, one resolver state a call, no search list, TCP fallback
 * with a 64 KiB answer.  dns.c is the only file that knows the resolver.
 *
 * Answers are copied into the caller's pool.  Names in answers are checked
 * (letters, digits, '-', '_', '.', at most 253 bytes; lower-cased); records
 * that do not parse are skipped.  A name that cannot be asked for is
 * DNS_NXDOMAIN.  A result that is not DNS_OK leaves *out alone.  A CNAME chain is followed by the resolver;
 * at most 8 links are accepted.
 */
enum dns_status {
	DNS_OK,       /* at least one record */
	DNS_NODATA,   /* the name exists without such records */
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_TEMP,     /* SERVFAIL, REFUSED, timeout, garbage: later */
};

/* Who to ask; a zeroed struct is the system's resolver. */
struct dns_config {
	struct {
		struct ip ip;
		uint16_t port;
	} servers[3];

	size_t server_count;
	unsigned timeout_s; /* a try; 0 = 5 */
	unsigned tries;     /* 0 = 2 */
};

/* "127.0.0.1:5353, [::1]:53, 9.9.9.9"; empty text = system's resolver. */
int dns_config_parse(
    const char *text, struct dns_config *out, struct err *e) MUST_CHECK;

struct dns_mx {
	uint16_t preference;
	char *name; /* "" for a null MX (RFC 7505) */
};

struct dns_mx_list {
	struct dns_mx *items; /* by preference, equal ones as they came */
	size_t count;         /* at most 100 */
	uint32_t ttl_s;
};

struct dns_ip_list {
	struct ip *items;
	size_t count; /* at most 200 */
	uint32_t ttl_s;
};

struct dns_text_list {
	char **items; /* TXT: character-strings joined; PTR: names */
	size_t count; /* at most 100 */
	uint32_t ttl_s;
};

enum dns_status dns_mx(const struct dns_config *c, const char *domain,
    struct pool *pool, struct dns_mx_list *out);
/* A, or AAAA with `v6`. */
enum dns_status dns_ip(const struct dns_config *c, const char *name, bool v6,
    struct pool *pool, struct dns_ip_list *out);
enum dns_status dns_txt(const struct dns_config *c, const char *name,
    struct pool *pool, struct dns_text_list *out);
enum dns_status dns_ptr(const struct dns_config *c, const struct ip *ip,
    struct pool *pool, struct dns_text_list *out);

/*
 * Records of any type (a word, "MX"), each as a zone file writes it: for a
 * person.  `name` may be an address for PTR.  DNS_NXDOMAIN also for a type
 * that is not known.
 */
enum dns_status dns_any(const struct dns_config *c, const char *name,
    const char *type, struct pool *pool, struct dns_text_list *out);

/*
 * The forward-confirmed name of an address: the first PTR name (of at most 5)
 * whose A or AAAA contains it.  DNS_NODATA when none is confirmed.
 */
enum dns_status dns_confirmed_name(const struct dns_config *c,
    const struct ip *ip, struct pool *pool, char **name_out);

/*
 * Has mail to a domain any way?  Without MX records its own addresses count
 * (RFC 5321 5.1).
 */
enum dns_mail {
	DNS_MAIL_UNKNOWN, /* cannot be known now */
	DNS_MAIL_GOOD,
	DNS_MAIL_NO_DOMAIN,
	DNS_MAIL_NO_HOST, /* the domain exists: no MX, A or AAAA */
	DNS_MAIL_NULL_MX, /* it takes none (RFC 7505) */
};
enum dns_mail dns_takes_mail(
    const struct dns_config *c, const char *domain, struct pool *pool);

/*
 * The half of the above that takes an answer apart, without asking anybody:
 * what `answer` says of `name`.  Only records that belong to the name, or to
 * the end of its CNAME chain, count.  DNS_TEMP for a message that is no
 * answer, and for one whose records were all skipped.
 */
enum dns_status dns_parse_mx(struct slice answer, const char *name,
    struct pool *pool, struct dns_mx_list *out);
enum dns_status dns_parse_ip(struct slice answer, const char *name, bool v6,
    struct pool *pool, struct dns_ip_list *out);
/* TXT, or PTR with `ptr`. */
enum dns_status dns_parse_text(struct slice answer, const char *name, bool ptr,
    struct pool *pool, struct dns_text_list *out);

#endif /* NET_DNS_H */
