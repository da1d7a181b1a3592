#ifndef ACCOUNTD_PASSWORD_H
#define ACCOUNTD_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

#include "store_secrets.h"

/*
 * Passwords: whether one may be chosen, making its keys, verifying one.
 * Verifying and making cost 10 to 20 ms of one core and 16 MB on purpose; at
 * most one runs per core at a time (password_slots_*).  Any thread.
 */
enum {
	PASSWORD_MAX = 256, /* bytes; longer ones are refused when set */
	SCRAM_ITERATIONS = 10000,
};

/*
 * ERR_PERM with a reason for the person who chose it: too short (characters,
 * not bytes), too long, control characters, the name or the address in it,
 * a common one.
 */
int password_check_rules(struct slice password, const char *address,
    int64_t min_length, struct err *e) MUST_CHECK;

/* yescrypt and SCRAM-SHA-256 (RFC 5802 3) keys with fresh salts. */
int password_make_keys(
    struct slice password, struct password_keys *out, struct err *e) MUST_CHECK;

/*
 * Is it the password of `hash`?  `hash` NULL (nobody of that name) takes the
 * time of a real one and is false.
 */
bool password_verify(struct slice password, const char *hash);

/*
 * A random one of 80 bits or more that keeps the rules, for people to read and
 * to type: small letters and digits that are not mistaken for each other, in
 * groups of four.
 */
void password_generate(
    const char *address, int64_t min_length, char out[PASSWORD_MAX + 1]);

/* HMAC-SHA-256 (RFC 2104). */
void keyed_hash(const uint8_t key[SECRET_KEY_LEN], const void *data, size_t len,
    uint8_t out[SECRET_KEY_LEN]);

/*
 * What is kept of random tokens (sessions, application passwords): their
 * keyed hash under the server's key, with what they are for.
 */
void token_hash(const struct secrets *s, const char *purpose,
    struct slice token, uint8_t out[SECRET_KEY_LEN]);

/* False: no core became free within the time. */
bool password_slot_take(int timeout_ms) MUST_CHECK;
void password_slot_give(void);

#endif /* ACCOUNTD_PASSWORD_H */
