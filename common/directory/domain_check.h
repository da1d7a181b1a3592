#ifndef DIRECTORY_DOMAIN_CHECK_H
#define DIRECTORY_DOMAIN_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"
#include "directory/settings.h"

/*
 * What the DNS has to say so that others accept mail of a domain, and what it
 * says now (DESIGN 5, `check domain`):
 *
 *	{domain, records[{type, name, value, state: ok|missing|different,
 *	found[], short_name, strings[], answered}], checks[{id, state:
 *	ok|failed|unknown, text}]}
 *
 * `value` is the record to publish, `strings` the same cut into the pieces
 * of at most 255 bytes that a zone file wants, `short_name` relative to the
 * domain; without `answered` the DNS did not say what is there.  Ids of checks: helo, address, forward_confirmed, mx, spf, dmarc,
 * dkim, dkim.SELECTOR, dns.
 *
 * Asks the DNS, for at most a few dozen answers; any thread.
 */
struct domain_check {
	const struct settings *settings;
	const char *domain; /* normalised */
	/* items of accountd's `dkim list` or `dkim keys` with test = true */
	const json_t *keys;
	bool wanted_only; /* the DNS is not asked */
};

/* -1: only when the settings do not allow to ask at all. */
int domain_check(
    const struct domain_check *q, json_t **out, struct err *e) MUST_CHECK;

#endif /* DIRECTORY_DOMAIN_CHECK_H */
