#ifndef ACCOUNTD_DKIM_H
#define ACCOUNTD_DKIM_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "mail/dkim.h"

#include "store_secrets.h"

/*
 * DKIM keys: making them and signing with them.  Private keys are in
 * secrets.db and in the memory of this process, nowhere else.
 *
 * States: new (published, not used yet), active (mail is signed with it),
 * retired (not used any more, but what was signed with it may still be under
 * way).
 */
struct dkim_new_key {
	enum dkim_algorithm algorithm;
	uint8_t private_key[2048]; /* DER */
	size_t private_len;
	uint8_t public_key[512]; /* as in struct dkim_key */
	size_t public_len;
};

int dkim_make_key(
    enum dkim_algorithm a, struct dkim_new_key *out, struct err *e) MUST_CHECK;

struct dkim_row {
	char selector[DKIM_SELECTOR_MAX + 1];
	enum dkim_algorithm algorithm;
	char state[16];
	int64_t created_ms, changed_ms;
	uint8_t public_key[512];
	size_t public_len;
};

enum {
	DKIM_SIGNATURE_MAX = 512
};

/*
 * Sign a hash by an active key.  1 signed, 0 not an active key (any more),
 * -1 cannot tell.  Keys are kept ready for a second; dkim_keys_forget() when
 * one has changed (another process's change counts a second later).
 */
struct dkim_keys;
struct dkim_keys *dkim_keys_new(void);
void dkim_keys_forget(struct dkim_keys *k);
void dkim_keys_free(struct dkim_keys *k);
int dkim_sign(struct dkim_keys *k, struct secrets *s, const char *domain,
    const char *selector, const uint8_t hash[DKIM_HASH_SIZE],
    struct buf *signature_out, struct err *e) MUST_CHECK;

/* --- In secrets.db (store_dkim.c); look-ups return 1, 0 or -1 ------------------ */

enum {
	DKIM_KEYS_MAX = 32 /* of one domain */
};

/* All keys of a domain, oldest first; the count, or -1. */
int secrets_dkim_list(struct secrets *s, const char *domain,
    struct dkim_row out[DKIM_KEYS_MAX], struct err *e) MUST_CHECK;
/* Is there one of this name? */
int secrets_dkim_has(struct secrets *s, const char *domain,
    const char *selector, struct err *e) MUST_CHECK;
/* The private key of an active one, appended; the caller wipes it. */
int secrets_dkim_active(struct secrets *s, const char *domain,
    const char *selector, struct buf *out, struct err *e) MUST_CHECK;
/* ERR_PERM: that selector is there already. */
int secrets_dkim_add(struct secrets *s, const char *domain,
    const char *selector, const char *state, const struct dkim_new_key *key,
    struct err *e) MUST_CHECK;
int secrets_dkim_set_state(struct secrets *s, const char *domain,
    const char *selector, const char *state, struct err *e) MUST_CHECK;
/* `selector` NULL: all of the domain. */
int secrets_dkim_delete(struct secrets *s, const char *domain,
    const char *selector, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_DKIM_H */
