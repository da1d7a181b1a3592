#ifndef MAIL_SRS_H
#define MAIL_SRS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "mail/address.h"

/*
 * Return paths of forwarded mail (Sender Rewriting Scheme): so that SPF asks
 * about the domain that sends, and that reports still find the sender.
 *
 *	SRS0=<seal>=<day>=<domain>=<local>@<ours>        of local@domain
 *	SRS1=<seal>=<first>=<rest>@<ours>                of SRS0<rest>@first
 *
 * The seal is 40 bits of HMAC-SHA-256, the day counts modulo 1024; both in
 * base32 and without case, which others do not always keep.  SRS1 goes back to
 * the first forwarder, whose seal and day are inside.
 */
enum {
	SRS_KEY_SIZE = 32,
};

/* Does a local part look like one of ours? */
bool srs_is(struct slice local);

/*
 * The return path at `domain` for a message from `sender`.  ERR_PERM: the
 * address would be too long.
 */
int srs_forward(const uint8_t key[SRS_KEY_SIZE], const struct address *sender,
    const char *domain, int64_t wall_ms, struct pool *pool, char **out,
    struct err *e) MUST_CHECK;

enum srs_result {
	SRS_GOOD,
	SRS_FORGED,
	SRS_EXPIRED
};

/* Whose return path a local part is: *out, text, in SRS_GOOD. */
enum srs_result srs_reverse(const uint8_t key[SRS_KEY_SIZE], struct slice local,
    int64_t wall_ms, unsigned days_max, struct pool *pool, char **out);

#endif /* MAIL_SRS_H */
