#ifndef ACCOUNTD_STORE_SECRETS_H
#define ACCOUNTD_STORE_SECRETS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"

/*
 * secrets.db: what nobody but accountd may read.  Mode 0600.  Keyed by the
 * account's number in directory.db, which is never used twice.  Any thread;
 * one lock inside, held for one question.
 *
 * Look-ups return 1 found, 0 not there, -1 failed (always temporary).
 */
struct secrets;

enum {
	SECRET_HASH_SIZE = 384,
	SECRET_KEY_LEN = 32,
	SECRET_SALT_LEN = 16
};

int secrets_create(const char *state_dir, struct err *e) MUST_CHECK;
int secrets_open(
    const char *state_dir, struct secrets **out, struct err *e) MUST_CHECK;
void secrets_close(struct secrets *s);

/* As sql_is_gone(), of secrets.db. */
bool secrets_is_gone(const struct secrets *s);

/*
 * For who keeps more in it (store_dkim.c, totp.c).  The connection, locked:
 */
struct sql *secrets_lock(struct secrets *s) MUST_CHECK;
void secrets_unlock(struct secrets *s);

/* One change, as sql_run(): how many rows, or -1. */
int secrets_run(struct secrets *s, struct err *e, const char *query,
    const char *types, ...) MUST_CHECK;

/* Is there a row?  1, 0, -1. */
int secrets_has(struct secrets *s, struct err *e, const char *query,
    const char *types, ...) MUST_CHECK;

/*
 * As sql_query() and sql_done().  Also where the answer is NULL the lock is
 * held until secrets_done(), which returns `got`.
 */
struct sql_rows *secrets_query(struct secrets *s, struct err *e,
    const char *query, const char *types, ...) MUST_CHECK;
int secrets_done(struct secrets *s, struct sql_rows *r, int got);

/* This server's own secret, made with the file. */
const uint8_t *secrets_server_key(const struct secrets *s);

/* --- Passwords -------------------------------------------------------------- */

struct password_keys {
	char hash[SECRET_HASH_SIZE]; /* of crypt(5) */
	uint8_t salt[SECRET_SALT_LEN];
	uint32_t iterations;
	uint8_t stored_key[SECRET_KEY_LEN], server_key[SECRET_KEY_LEN];
	bool must_change; /* good for choosing another one, and nothing else */
};

int secrets_password(struct secrets *s, int64_t account_id,
    struct password_keys *out, struct err *e) MUST_CHECK;
/* Also ends the account's web sessions, but `keep` (0 = none). */
int secrets_set_password(struct secrets *s, int64_t account_id,
    const struct password_keys *keys, int64_t keep, struct err *e) MUST_CHECK;

/*
 * An administrator looked into somebody's mailbox.  The last ones are kept
 * for its owner to see; the audit log has all.  The list is newest first:
 * {time, actor, what}.
 */
enum {
	SECRETS_VIEWS_KEPT = 100
};

int secrets_note_view(struct secrets *s, int64_t account_id, const char *actor,
    const char *what, struct err *e) MUST_CHECK;
int secrets_list_views(struct secrets *s, int64_t account_id, json_t *out,
    struct err *e) MUST_CHECK;

/*
 * An account is gone and its mailbox may still be there: remember the name,
 * ask for it (1, 0, or -1), forget it when the mailbox was put aside or is
 * meant for the next account.
 */
int secrets_leave(struct secrets *s, const char *address, int64_t account_id,
    struct err *e) MUST_CHECK;
int secrets_is_left(
    struct secrets *s, const char *address, struct err *e) MUST_CHECK;
int secrets_settle(
    struct secrets *s, const char *address, struct err *e) MUST_CHECK;
/* Append {address, deleted_at} of the names behind `after`. */
int secrets_list_left(struct secrets *s, const char *after, json_t *out,
    struct err *e) MUST_CHECK;
/* Everything of an account that is no more. */
int secrets_forget(
    struct secrets *s, int64_t account_id, struct err *e) MUST_CHECK;

/* Application passwords are random, so a keyed hash is all that is kept. */
int secrets_has_app_password(struct secrets *s, int64_t account_id,
    const uint8_t mac[SECRET_KEY_LEN], struct err *e) MUST_CHECK;
int secrets_add_app_password(struct secrets *s, int64_t account_id,
    const char *name, const uint8_t mac[SECRET_KEY_LEN],
    struct err *e) MUST_CHECK;
int secrets_list_app_passwords(struct secrets *s, int64_t account_id,
    json_t *items, struct err *e) MUST_CHECK;
int secrets_delete_app_password(struct secrets *s, int64_t account_id,
    int64_t id, struct err *e) MUST_CHECK;

/* --- Where an account signed in from ----------------------------------------- */

int secrets_knows_address(struct secrets *s, int64_t account_id,
    const struct ip *ip, int64_t since_ms, struct err *e) MUST_CHECK;
int secrets_note_address(struct secrets *s, int64_t account_id,
    const struct ip *ip, int64_t now_ms, struct err *e) MUST_CHECK;

/* --- Web sessions ------------------------------------------------------------ */

struct web_session {
	int64_t id, account_id;
	int64_t created_ms, seen_ms, expires_ms;
	int64_t idle_ms;    /* 0 = no idle limit */
	char program[32];   /* that it was made for */
	int64_t rotated_ms; /* when its token was made */
	bool by_old;        /* found by the token before that */
	int64_t old_until_ms;
	int64_t fresh_ms; /* when its user last showed the password */
	char ip[64];      /* it was made from */
};

int secrets_add_session(struct secrets *s,
    const uint8_t token_hash[SECRET_KEY_LEN], const struct web_session *w,
    const char *ip, const char *agent, struct err *e) MUST_CHECK;
int secrets_find_session(struct secrets *s,
    const uint8_t token_hash[SECRET_KEY_LEN], int64_t now_ms,
    struct web_session *out, struct err *e) MUST_CHECK;
/* A new token; the old one stays good until secrets_end_old_token(). */
int secrets_rotate_session(struct secrets *s, int64_t id,
    const uint8_t token_hash[SECRET_KEY_LEN],
    const uint8_t old_hash[SECRET_KEY_LEN], int64_t now_ms,
    struct err *e) MUST_CHECK;
int secrets_end_old_token(
    struct secrets *s, int64_t id, int64_t until_ms, struct err *e) MUST_CHECK;
int secrets_touch_session(
    struct secrets *s, int64_t id, int64_t now_ms, struct err *e) MUST_CHECK;
int secrets_freshen_session(
    struct secrets *s, int64_t id, int64_t now_ms, struct err *e) MUST_CHECK;
int secrets_list_sessions(struct secrets *s, int64_t account_id, json_t *items,
    struct err *e) MUST_CHECK;
/* `id` 0: all of the account. */
int secrets_end_session(struct secrets *s, int64_t account_id, int64_t id,
    struct err *e) MUST_CHECK;
/* What has expired, and addresses not seen since `addresses_ms`. */
int secrets_sweep(struct secrets *s, int64_t now_ms, int64_t addresses_ms,
    struct err *e) MUST_CHECK;

/* --- Credentials for other servers ------------------------------------------- */

int secrets_credential(
    struct secrets *s, const char *name, json_t *out, struct err *e) MUST_CHECK;
int secrets_set_credential(struct secrets *s, const char *name,
    const char *user, const char *password, struct err *e) MUST_CHECK;
int secrets_delete_credential(
    struct secrets *s, const char *name, struct err *e) MUST_CHECK;
int secrets_list_credentials(
    struct secrets *s, json_t *items, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_STORE_SECRETS_H */
