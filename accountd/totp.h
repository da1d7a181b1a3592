#ifndef ACCOUNTD_TOTP_H
#define ACCOUNTD_TOTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

#include "store_secrets.h"

/*
 * The second factor: time-based codes (RFC 6238 with HMAC-SHA-1, 30 seconds,
 * six digits, as authenticator programs expect) and recovery codes.
 *
 * A code is good once: the step it belongs to is kept, and no code of that
 * step or an earlier one is taken again.  One step of clock difference is
 * forgiven on either side.  A recovery code is 80 random bits, kept as a keyed
 * hash, and gone when used.
 *
 * With a confirmed secret the account's own password opens only the web, and
 * only together with a code; mail programs need application passwords.
 */
enum {
	TOTP_SECRET_LEN = 20,
	TOTP_DIGITS = 6,
	TOTP_STEP_S = 30,
	TOTP_RECOVERY_CODES = 10,
	TOTP_RECOVERY_SIZE = 20, /* with NUL */
};

/* The code of a time step (RFC 4226 5.3). */
uint32_t totp_code(const uint8_t *secret, size_t len, uint64_t step);

enum totp_state {
	TOTP_FAILED = -1, /* cannot tell; the error says why */
	TOTP_OFF,
	TOTP_PENDING, /* a secret is made but was not yet confirmed */
	TOTP_ON,
};

enum totp_state totp_state(
    struct secrets *s, int64_t account_id, struct err *e);

/* A new secret, not in force until totp_confirm(); replaces a pending one. */
int totp_begin(struct secrets *s, int64_t account_id,
    uint8_t secret_out[TOTP_SECRET_LEN], struct err *e) MUST_CHECK;

/*
 * Is it the right code (or, with the secret confirmed, a recovery code)?
 * 1 = yes and used up, 0 = no, -1 = cannot tell.
 */
int totp_check(struct secrets *s, int64_t account_id, struct slice code,
    int64_t wall_ms, struct err *e) MUST_CHECK;

/* Put the pending secret into force, with new recovery codes. */
int totp_confirm(struct secrets *s, int64_t account_id,
    char codes_out[TOTP_RECOVERY_CODES][TOTP_RECOVERY_SIZE],
    struct err *e) MUST_CHECK;

int totp_remove(
    struct secrets *s, int64_t account_id, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_TOTP_H */
