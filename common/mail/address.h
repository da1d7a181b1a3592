#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * Addresses as SMTP knows them: RFC 5321 4.1.2 and 4.1.3, RFC 6531 3.3.
 *
 * Canonical form: the local part without quotes or backslashes where they are
 * not needed (its bytes are `local`; case kept), the domain lower case in
 * A-labels without a trailing dot, or an address literal.  Two addresses are
 * the same mailbox's if address_key(local) is equal without ASCII case and
 * `domain` is equal.
 */
struct address {
	char *local;  /* unquoted bytes, 1..64 (SRS: 200), no control bytes */
	char *domain; /* "example.org", "xn--...", "[192.0.2.1]"; "" if none */
	bool is_literal;
	struct ip literal; /* when is_literal */
};

enum {
	ADDRESS_LOCAL_MAX = 64,      /* RFC 5321 4.5.3.1.1 */
	ADDRESS_LOCAL_SRS_MAX = 200, /* "SRS0=..." (srs.h), unquoted */
	ADDRESS_DOMAIN_MAX = 255,    /* 4.5.3.1.2 */
	ADDRESS_PATH_MAX = 256,      /* 4.5.3.1.3, with < and > */
	ADDRESS_TEXT_SIZE = 2 * ADDRESS_LOCAL_MAX + 3 + ADDRESS_DOMAIN_MAX + 1,
};

/* What a path may be, beyond local@domain. */
enum address_allow {
	ADDRESS_NULL = 1,      /* "<>" */
	ADDRESS_NO_DOMAIN = 2, /* "<postmaster>", "<joe>" */
	ADDRESS_UTF8 = 4,      /* SMTPUTF8 was given */
};

/*
 * Parse a path as in MAIL FROM:<...> and RCPT TO:<...>, from '<' to '>'; a
 * source route is read and dropped.  *rest_out is what follows '>'.  The null
 * path gives local "" and domain "".  ERR_SYNTAX otherwise.
 */
int address_parse_path(struct slice s, unsigned allow, struct pool *pool,
    struct address *out, struct slice *rest_out, struct err *e) MUST_CHECK;

/* Parse "local@domain" without brackets, whole. */
int address_parse(struct slice s, unsigned allow, struct pool *pool,
    struct address *out, struct err *e) MUST_CHECK;

/* The text form, quoted where needed: local@domain or local. */
char *address_format(const struct address *a, struct pool *pool);

/* Do both mean the same mailbox?  See above. */
bool address_same(const struct address *a, const struct address *b);

/*
 * The one form under which a local part of ours that is not ASCII is kept and
 * looked up: lower case, NFC.  A letter with its accent as one character or as
 * two, small or capital, is the same letter.  ASCII stays as it is.
 */
char *address_key(struct slice local, struct pool *pool);

/* Has it characters nobody sees, or that turn the direction of text? */
bool address_has_hidden(const char *local);

/* Bytes above 127 in the local part: needs SMTPUTF8. */
bool address_is_utf8(const struct address *a);

/*
 * A host or domain name to its canonical form: lower-case A-labels (IDNA 2008
 * by libidn2), no trailing dot, LDH labels of at most 63 bytes and '_'.
 */
int domain_normalise(
    struct slice s, char out[ADDRESS_DOMAIN_MAX + 1], struct err *e) MUST_CHECK;

/* U-labels, for people; falls back to the A-label form. */
void domain_display(const char *domain, char *out, size_t size);

/* HELO/EHLO argument: any syntactically valid name or literal. */
bool helo_is_valid(struct slice s);

#endif /* MAIL_ADDRESS_H */
