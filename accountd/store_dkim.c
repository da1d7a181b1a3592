/*
 * The queries of secrets.db about DKIM keys; the schema is in
 * store_secrets.c.  No decisions.  Private keys leave here only into a buffer
 * that its user wipes.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "directory/sql.h"

#include "dkim.h"

static bool
take_row(struct sql_rows *r, struct dkim_row *out)
{
	struct slice key = sql_blob(r, 5);
	int algorithm = dkim_algorithm_find(slice_str(sql_text(r, 1)));

	*out = (struct dkim_row){ 0 };
	if (algorithm < 0 || key.len > sizeof(out->public_key) ||
	    !slice_copy(slice_str(sql_text(r, 0)), out->selector,
		sizeof(out->selector)))
		return false;
	out->algorithm = (enum dkim_algorithm)algorithm;
	snprintf(out->state, sizeof(out->state), "%s", sql_text(r, 2));
	out->created_ms = sql_int(r, 3);
	out->changed_ms = sql_int(r, 4);
	memcpy(out->public_key, key.data, key.len);
	out->public_len = key.len;
	return true;
}

int
secrets_dkim_list(struct secrets *s, const char *domain,
    struct dkim_row out[DKIM_KEYS_MAX], struct err *e)
{
	struct sql_rows *r;
	int got = -1, count = 0;

	r = secrets_query(s, e,
	    "SELECT selector, algorithm, state, created_ms, changed_ms,"
	    " public_key FROM dkim_key WHERE domain = ?1"
	    " ORDER BY created_ms, selector LIMIT 32",
	    "s", domain);
	while (count < DKIM_KEYS_MAX && (got = sql_next(r, e)) == 1)
		count += take_row(r, &out[count]);
	return secrets_done(s, r, got < 0 ? -1 : count);
}

int
secrets_dkim_has(
    struct secrets *s, const char *domain, const char *selector, struct err *e)
{
	return secrets_has(s, e,
	    "SELECT 1 FROM dkim_key WHERE domain = ?1 AND selector = ?2", "ss",
	    domain, selector);
}

int
secrets_dkim_active(struct secrets *s, const char *domain, const char *selector,
    struct buf *out, struct err *e)
{
	struct sql_rows *r = secrets_query(s, e,
	    "SELECT private_key FROM dkim_key"
	    " WHERE domain = ?1 AND selector = ?2 AND state = 'active'",
	    "ss", domain, selector);
	int got = sql_next(r, e);

	if (got == 1)
		buf_addslice(out, sql_blob(r, 0));
	return secrets_done(s, r, got);
}

int
secrets_dkim_add(struct secrets *s, const char *domain, const char *selector,
    const char *state, const struct dkim_new_key *key, struct err *e)
{
	int64_t now = clock_wall_ms();
	int r = secrets_run(s, e,
	    "INSERT INTO dkim_key (domain, selector, algorithm, state,"
	    " private_key, public_key, created_ms, changed_ms)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	    "ssssbbii", domain, selector, dkim_key_type(key->algorithm), state,
	    slice_of((const char *)key->private_key, key->private_len),
	    slice_of((const char *)key->public_key, key->public_len), now, now);

	return r < 0 ? -1 : 0;
}

int
secrets_dkim_set_state(struct secrets *s, const char *domain,
    const char *selector, const char *state, struct err *e)
{
	return secrets_run(s, e,
	    "UPDATE dkim_key SET state = ?3, changed_ms = ?4"
	    " WHERE domain = ?1 AND selector = ?2",
	    "sssi", domain, selector, state, clock_wall_ms());
}

int
secrets_dkim_delete(
    struct secrets *s, const char *domain, const char *selector, struct err *e)
{
	return secrets_run(s, e,
	    "DELETE FROM dkim_key WHERE domain = ?1"
	    " AND (?2 IS NULL OR selector = ?2)",
	    "ss", domain, selector);
}
