#ifndef MTAD_PARAMS_H
#define MTAD_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * The parameters behind MAIL FROM:<...> and RCPT TO:<...>: SIZE (RFC 1870),
 * BODY (RFC 6152), SMTPUTF8 (RFC 6531), AUTH (RFC 4954), RET, ENVID, NOTIFY,
 * ORCPT (RFC 3461, RFC 6533).
 */
enum params_result {
	PARAMS_OK,
	PARAMS_SYNTAX,  /* 501: malformed, or given twice */
	PARAMS_UNKNOWN, /* 555: not one of ours */
	PARAMS_SIZE,    /* 552: a size beyond all numbers */
};

struct mail_params {
	uint64_t size; /* 0 = not declared */
	bool body_8bit;
	bool smtputf8;
	uint32_t ret; /* enum envelope_flags: RET_HDRS or RET_FULL, 0 = none */
	char *envid;  /* xtext-decoded, or NULL */
};

struct rcpt_params {
	uint32_t notify; /* enum envelope_notify, 0 = not given */
	char *original;  /* "type;address", xtext-decoded, or NULL */
	bool allows_utf8;
};

/*
 * `args` begins behind the path; `utf8`: MAIL had SMTPUTF8.  Strings go to the
 * pool.
 */
enum params_result mail_params_parse(
    struct slice args, struct pool *pool, struct mail_params *out) MUST_CHECK;
enum params_result rcpt_params_parse(struct slice args, bool utf8,
    struct pool *pool, struct rcpt_params *out) MUST_CHECK;

/*
 * xtext (RFC 3461 4) to bytes, NUL-terminated, of printable ASCII only;
 * NULL if malformed, empty or with control bytes.
 */
char *xtext_decode(struct slice s, struct pool *pool);

#endif /* MTAD_PARAMS_H */
