/*
 * The second factor and its verbs; see totp.h.  Everything is one short
 * transaction on secrets.db, so two requests cannot use one code.
 */
#include "totp.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/sql.h"

#include "request.h"
#include "session.h"

enum {
	DRIFT_STEPS = 1,
	MILLION = 1000000
};

uint32_t
totp_code(const uint8_t *secret, size_t len, uint64_t step)
{
	uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len = 0;
	uint32_t at, value = 0;

	for (int i = 7; i >= 0; i--, step >>= 8)
		counter[i] = (uint8_t)step;
	if (HMAC(EVP_sha1(), secret, (int)len, counter, sizeof(counter), mac,
		&mac_len) == NULL ||
	    mac_len < 20)
		return MILLION; /* fits no code */
	at = mac[mac_len - 1] & 15U;
	for (unsigned i = 0; i < 4; i++)
		value = value << 8 | mac[at + i];
	return (value & 0x7fffffffU) % MILLION;
}

enum totp_state
totp_state(struct secrets *s, int64_t account_id, struct err *e)
{
	int64_t confirmed = 0;
	int got = sql_get_int(secrets_lock(s), e, &confirmed,
	    "SELECT confirmed FROM totp WHERE account_id = ?1", "i",
	    account_id);

	secrets_unlock(s);
	if (got <= 0)
		return got < 0 ? TOTP_FAILED : TOTP_OFF;
	return confirmed ? TOTP_ON : TOTP_PENDING;
}

int
totp_begin(struct secrets *s, int64_t account_id,
    uint8_t secret_out[TOTP_SECRET_LEN], struct err *e)
{
	struct sql *db;
	int rc;

	random_bytes(secret_out, TOTP_SECRET_LEN);
	db = secrets_lock(s);
	rc = sql_run(db, e,
	    "INSERT INTO totp (account_id, secret) VALUES (?1, ?2)"
	    " ON CONFLICT (account_id) DO UPDATE SET secret = ?2,"
	    " last_step = 0 WHERE confirmed = 0",
	    "ib", account_id,
	    slice_of((const char *)secret_out, TOTP_SECRET_LEN));
	secrets_unlock(s);
	if (rc == 0)
		return err_set(e, ERR_PERM, "the second factor is on already");
	return rc < 0 ? -1 : 0;
}

static void
recovery_mac(struct secrets *s, struct slice code, uint8_t out[SECRET_KEY_LEN])
{
	unsigned int len = SECRET_KEY_LEN;
	char text[64];
	int n = snprintf(text, sizeof(text), "recovery:%.*s",
	    (int)num_min(code.len, 40), code.data ? code.data : "");

	memset(out, 0, SECRET_KEY_LEN);
	(void)HMAC(EVP_sha256(), secrets_server_key(s), SECRET_KEY_LEN,
	    (const unsigned char *)text, (size_t)n, out, &len);
}

/* The step whose code this is, newer than `last`; 0: none. */
static uint64_t
matching_step(
    struct slice secret, uint32_t code, int64_t wall_ms, uint64_t last)
{
	uint64_t now = (uint64_t)wall_ms / 1000 / TOTP_STEP_S, found = 0;

	/* all are computed, so that time tells nothing */
	for (uint64_t step = now - DRIFT_STEPS; step <= now + DRIFT_STEPS;
	     step++) {
		uint32_t want =
		    totp_code((const uint8_t *)secret.data, secret.len, step);

		if (CRYPTO_memcmp(&want, &code, sizeof(code)) == 0 &&
		    step > last)
			found = step;
	}
	return found;
}

static int
use_code(struct sql *db, int64_t account_id, struct slice text, int64_t wall_ms,
    struct err *e)
{
	struct sql_rows *r;
	uint64_t code, step = 0;
	int got;

	if (text.len != TOTP_DIGITS || !num_parse(text, MILLION - 1, &code))
		return 0;
	r = sql_query(db, e,
	    "SELECT secret, last_step FROM totp WHERE account_id = ?1", "i",
	    account_id);
	got = sql_next(r, e);
	if (got == 1)
		step = matching_step(sql_blob(r, 0), (uint32_t)code, wall_ms,
		    (uint64_t)sql_int(r, 1));
	sql_done(r);
	if (got < 0)
		return -1;
	if (step == 0)
		return 0;
	return sql_run(db, e,
	    "UPDATE totp SET last_step = ?1 WHERE account_id = ?2"
	    " AND last_step < ?1",
	    "ii", (int64_t)step, account_id);
}

int
totp_check(struct secrets *s, int64_t account_id, struct slice code,
    int64_t wall_ms, struct err *e)
{
	uint8_t mac[SECRET_KEY_LEN];
	struct sql *db;
	int got;

	recovery_mac(s, code, mac);
	db = secrets_lock(s);
	got = use_code(db, account_id, code, wall_ms, e);
	if (got == 0)
		got = sql_run(db, e,
		    "DELETE FROM recovery_code WHERE account_id = ?1"
		    " AND mac = ?2",
		    "ib", account_id, slice_of((const char *)mac, sizeof(mac)));
	secrets_unlock(s);
	return got;
}

static int
store_codes(struct secrets *s, struct sql *db, int64_t account_id,
    char codes[TOTP_RECOVERY_CODES][TOTP_RECOVERY_SIZE], struct err *e)
{
	uint8_t mac[SECRET_KEY_LEN];

	if (sql_run(db, e, "DELETE FROM recovery_code WHERE account_id = ?1",
		"i", account_id) < 0)
		return -1;
	for (size_t i = 0; i < TOTP_RECOVERY_CODES; i++) {
		token_new(codes[i], TOTP_RECOVERY_SIZE, 10);
		recovery_mac(s, slice_str(codes[i]), mac);
		if (sql_run(db, e,
			"INSERT INTO recovery_code (account_id, mac)"
			" VALUES (?1, ?2)",
			"ib", account_id,
			slice_of((const char *)mac, sizeof(mac))) < 0)
			return -1;
	}
	return 0;
}

int
totp_confirm(struct secrets *s, int64_t account_id,
    char codes_out[TOTP_RECOVERY_CODES][TOTP_RECOVERY_SIZE], struct err *e)
{
	struct sql *db = secrets_lock(s);
	int rc = sql_begin(db, e);

	if (rc == 0 &&
	    (sql_run(db, e,
		 "UPDATE totp SET confirmed = 1 WHERE account_id = ?1", "i",
		 account_id) < 0 ||
		store_codes(s, db, account_id, codes_out, e) != 0 ||
		sql_commit(db, e) != 0)) {
		sql_rollback(db);
		rc = -1;
	}
	secrets_unlock(s);
	return rc;
}

int
totp_remove(struct secrets *s, int64_t account_id, struct err *e)
{
	struct sql *db = secrets_lock(s);
	int got = sql_run(
	    db, e, "DELETE FROM totp WHERE account_id = ?1", "i", account_id);

	if (got >= 0 &&
	    sql_run(db, e, "DELETE FROM recovery_code WHERE account_id = ?1",
		"i", account_id) < 0)
		got = -1;
	secrets_unlock(s);
	return got;
}

/* --- The verbs ------------------------------------------------------------------- */

/* RFC 4648 6, without padding: how people type secrets. */
static void
base32(const uint8_t *data, size_t len, char *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (count += 8; count >= 5; count -= 5)
			*out++ = letters[bits >> (count - 5) & 31U];
	}
	if (count > 0)
		*out++ = letters[bits << (5 - count) & 31U];
	*out = '\0';
}

int
verb_totp_begin(struct request *q, struct err *e)
{
	uint8_t secret[TOTP_SECRET_LEN];
	char text[TOTP_SECRET_LEN * 2];

	if (totp_begin(q->core->secrets, q->target.account_id, secret, e) !=
	    0) {
		q->code = "exists";
		return -1;
	}
	base32(secret, sizeof(secret), text);
	mem_wipe(secret, sizeof(secret));
	json_object_set_new(q->out, "secret", json_string(text));
	json_object_set_new(q->out, "uri",
	    json_sprintf("otpauth://totp/%s?secret=%s&issuer=Mailstead",
		q->target.address, text));
	mem_wipe(text, sizeof(text));
	q->after = json_pack("{ss}", "totp", "pending");
	return 0;
}

int
verb_totp_confirm(struct request *q, struct err *e)
{
	char codes[TOTP_RECOVERY_CODES][TOTP_RECOVERY_SIZE];
	struct secrets *s = q->core->secrets;
	int64_t id = q->target.account_id;
	json_t *list = json_array();
	const char *code;
	int got;

	json_object_set_new(q->out, "recovery_codes", list);
	if (req_string(q, "code", &code, e) != 0)
		return -1;
	if (totp_state(s, id, e) != TOTP_PENDING)
		return refuse(q, e, "not-found", "no second factor is pending");
	got = totp_check(s, id, slice_str(code), clock_wall_ms(), e);
	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "wrong-code", "the code is not right");
	if (totp_confirm(s, id, codes, e) != 0)
		return -1;
	for (size_t i = 0; i < TOTP_RECOVERY_CODES; i++)
		json_array_append_new(list, json_string(codes[i]));
	mem_wipe(codes, sizeof(codes));
	q->after = json_pack("{ss}", "totp", "on");
	return 0;
}

/* Off: by an administrator, or by the owner with a code. */
int
verb_totp_remove(struct request *q, struct err *e)
{
	struct secrets *s = q->core->secrets;
	bool own = q->actor.account_id == q->target.account_id;
	const char *code;
	int got;

	if (req_optional(q, "code", &code, e) != 0)
		return -1;
	if (!own && check_fresh(q, e) != 0)
		return -1;
	if (own && totp_state(s, q->target.account_id, e) == TOTP_ON) {
		got = totp_check(s, q->target.account_id, slice_str(code),
		    clock_wall_ms(), e);
		if (got < 0)
			return -1;
		if (got == 0)
			return refuse(
			    q, e, "wrong-code", "the code is not right");
	}
	got = totp_remove(s, q->target.account_id, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "not-found", "there is no second factor");
	q->before = json_pack("{ss}", "totp", "on");
	return 0;
}
