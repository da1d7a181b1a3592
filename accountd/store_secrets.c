/*
 * The schema and the queries of secrets.db.  No decisions: who may is decided
 * before (rights.c, auth.c).  Values that are secrets never reach the log or
 * an error's text.
 *
 * Several processes may have it open (the daemon, and the command line's own
 * accountd), so nothing read here is remembered between two questions.
 */
#include "store_secrets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "directory/sql.h"

#define SECRETS_APPLICATION 0x4d535331U /* "MSS1" */

struct secrets {
	pthread_mutex_t lock;
	struct sql *db;
	uint8_t server_key[SECRET_KEY_LEN];
};

/* clang-format off */
static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE server_key (id INTEGER PRIMARY KEY CHECK (id = 1),"
	" value BLOB NOT NULL) STRICT;"
	"CREATE TABLE password ("
	" account_id INTEGER PRIMARY KEY,"
	" hash TEXT NOT NULL,"
	" scram_salt BLOB NOT NULL,"
	" scram_iterations INTEGER NOT NULL,"
	" scram_stored_key BLOB NOT NULL,"
	" scram_server_key BLOB NOT NULL,"
	" changed_ms INTEGER NOT NULL) STRICT;"
	"CREATE TABLE app_password ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" account_id INTEGER NOT NULL,"
	" name TEXT NOT NULL,"
	" mac BLOB NOT NULL,"
	" created_ms INTEGER NOT NULL,"
	" UNIQUE (account_id, mac)) STRICT;"
	"CREATE TABLE totp ("
	" account_id INTEGER PRIMARY KEY,"
	" secret BLOB NOT NULL,"
	" last_step INTEGER NOT NULL DEFAULT 0," /* a code is good once */
	" confirmed INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE TABLE session ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" token_hash BLOB NOT NULL UNIQUE,"
	" account_id INTEGER NOT NULL,"
	" program TEXT NOT NULL,"
	" ip TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL,"
	" seen_ms INTEGER NOT NULL,"
	" expires_ms INTEGER NOT NULL,"
	" idle_ms INTEGER NOT NULL) STRICT;"
	"CREATE INDEX session_account ON session(account_id);"
	"CREATE TABLE known_address ("
	" account_id INTEGER NOT NULL,"
	" ip BLOB NOT NULL,"
	" seen_ms INTEGER NOT NULL,"
	" PRIMARY KEY (account_id, ip)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE credential ("
	" name TEXT PRIMARY KEY,"
	" user TEXT NOT NULL,"
	" password TEXT NOT NULL) STRICT;"
	"CREATE TABLE dkim_key ("
	" domain TEXT NOT NULL,"
	" selector TEXT NOT NULL,"
	" algorithm TEXT NOT NULL,"
	" private_key BLOB NOT NULL,"
	" created_ms INTEGER NOT NULL,"
	" PRIMARY KEY (domain, selector)) STRICT;",
	/* 2 */
	"ALTER TABLE dkim_key ADD COLUMN public_key BLOB NOT NULL DEFAULT x'';"
	"ALTER TABLE dkim_key ADD COLUMN state TEXT NOT NULL DEFAULT 'new';"
	"ALTER TABLE dkim_key ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;",
	/* the second factor's other half */
	"CREATE TABLE recovery_code ("
	" account_id INTEGER NOT NULL,"
	" mac BLOB NOT NULL,"
	" PRIMARY KEY (account_id, mac)) STRICT;",
	/* a session's token may change; the one before is good for a while */
	"ALTER TABLE session ADD COLUMN agent TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE session ADD COLUMN rotated_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE session ADD COLUMN old_hash BLOB;"
	"ALTER TABLE session ADD COLUMN old_until_ms INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX session_old ON session(old_hash)"
	" WHERE old_hash IS NOT NULL;",
	/* names whose mailbox may still be there */
	"CREATE TABLE left_mailbox ("
	" address TEXT PRIMARY KEY COLLATE NOCASE,"
	" account_id INTEGER NOT NULL,"
	" deleted_ms INTEGER NOT NULL) STRICT;"
	"CREATE TABLE mailbox_view ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" account_id INTEGER NOT NULL,"
	" time_ms INTEGER NOT NULL,"
	" actor TEXT NOT NULL,"
	" what TEXT NOT NULL) STRICT;"
	"CREATE INDEX mailbox_view_account ON mailbox_view(account_id);",
	/* when the password was last shown */
	"ALTER TABLE session ADD COLUMN fresh_ms INTEGER NOT NULL DEFAULT 0;",
	"ALTER TABLE password ADD COLUMN must_change INTEGER NOT NULL DEFAULT 0;",
};

/* clang-format on */

static struct slice
key_slice(const uint8_t *data, size_t len)
{
	return slice_of((const char *)data, len);
}

/* For who does not ask how many rows a change found. */
static int
done(int rows)
{
	return rows < 0 ? -1 : 0;
}

/* --- Life ------------------------------------------------------------------- */

static int
make_server_key(struct sql *db, struct err *e)
{
	uint8_t key[SECRET_KEY_LEN];
	int r;

	random_bytes(key, sizeof(key));
	r = sql_run(db, e,
	    "INSERT OR IGNORE INTO server_key (id, value) VALUES (1, ?1)", "b",
	    key_slice(key, sizeof(key)));
	mem_wipe(key, sizeof(key));
	return r < 0 ? -1 : 0;
}

static int
read_server_key(struct secrets *s, struct err *e)
{
	struct sql_rows *r = sql_query(
	    s->db, e, "SELECT value FROM server_key WHERE id = 1", "");
	int got = sql_next(r, e);
	struct slice v = { 0 };

	if (got == 1)
		v = sql_blob(r, 0);
	if (v.len == SECRET_KEY_LEN)
		memcpy(s->server_key, v.data, v.len);
	else if (got >= 0)
		got = err_set(e, ERR_PERM, "secrets.db has no server key");
	sql_done(r);
	return got < 0 ? -1 : 0;
}

/* An empty file that is not new has lost what was in it. */
static int
open_file(
    const char *state_dir, bool is_new, struct secrets **out, struct err *e)
{
	char *path = mem_printf("%s/directory/secrets.db", state_dir);
	struct secrets *s = mem_zalloc(sizeof(*s));
	int r = sql_open(path, SQL_WRITE, &s->db, e);

	pthread_mutex_init(&s->lock, NULL);
	if (r == 0 && !is_new)
		r = sql_check_version(
		    s->db, SECRETS_APPLICATION, 1, (int)ARRAY_LEN(steps), e);
	if (r == 0)
		r = sql_migrate(s->db, SECRETS_APPLICATION, steps,
		    (int)ARRAY_LEN(steps), e);
	if (r == 0)
		r = make_server_key(s->db, e);
	if (r == 0)
		r = read_server_key(s, e);
	free(path);
	if (r == 0)
		*out = s;
	else
		secrets_close(s);
	return r;
}

int
secrets_open(const char *state_dir, struct secrets **out, struct err *e)
{
	return open_file(state_dir, false, out, e);
}

int
secrets_create(const char *state_dir, struct err *e)
{
	char *path = mem_printf("%s/directory/secrets.db", state_dir);
	struct secrets *s;
	int r = sql_create(path, 0600, e);

	if (r == 0)
		r = open_file(state_dir, true, &s, e);
	if (r == 0)
		secrets_close(s);
	free(path);
	return r;
}

bool
secrets_is_gone(const struct secrets *s)
{
	return sql_is_gone(s->db);
}

void
secrets_close(struct secrets *s)
{
	if (s == NULL)
		return;
	sql_close(s->db);
	pthread_mutex_destroy(&s->lock);
	mem_wipe(s->server_key, sizeof(s->server_key));
	free(s);
}

struct sql *
secrets_lock(struct secrets *s)
{
	pthread_mutex_lock(&s->lock);
	return s->db;
}

void
secrets_unlock(struct secrets *s)
{
	pthread_mutex_unlock(&s->lock);
}

int
secrets_run(
    struct secrets *s, struct err *e, const char *query, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = sql_vrun(secrets_lock(s), e, query, types, ap);
	va_end(ap);
	secrets_unlock(s);
	return r;
}

struct sql_rows *
secrets_query(
    struct secrets *s, struct err *e, const char *query, const char *types, ...)
{
	struct sql_rows *r;
	va_list ap;

	va_start(ap, types);
	r = sql_vquery(secrets_lock(s), e, query, types, ap);
	va_end(ap);
	return r;
}

int
secrets_done(struct secrets *s, struct sql_rows *r, int got)
{
	sql_done(r);
	secrets_unlock(s);
	return got;
}

int
secrets_has(
    struct secrets *s, struct err *e, const char *query, const char *types, ...)
{
	struct sql_rows *r;
	va_list ap;

	va_start(ap, types);
	r = sql_vquery(secrets_lock(s), e, query, types, ap);
	va_end(ap);
	return secrets_done(s, r, sql_next(r, e));
}

const uint8_t *
secrets_server_key(const struct secrets *s)
{
	return s->server_key;
}

/* --- Passwords -------------------------------------------------------------- */

static bool
take_bytes(struct sql_rows *r, int column, uint8_t *out, size_t len)
{
	struct slice v = sql_blob(r, column);

	if (v.len != len)
		return false;
	memcpy(out, v.data, len);
	return true;
}

static int
take_password(struct sql_rows *r, struct password_keys *out, struct err *e)
{
	*out = (struct password_keys){ .iterations = (uint32_t)sql_int(r, 2),
		.must_change = sql_int(r, 5) != 0 };
	if (slice_copy(
		slice_str(sql_text(r, 0)), out->hash, sizeof(out->hash)) &&
	    take_bytes(r, 1, out->salt, sizeof(out->salt)) &&
	    take_bytes(r, 3, out->stored_key, sizeof(out->stored_key)) &&
	    take_bytes(r, 4, out->server_key, sizeof(out->server_key)))
		return 1;
	return err_set(e, ERR_TEMP, "damaged row in secrets.db");
}

int
secrets_password(struct secrets *s, int64_t account_id,
    struct password_keys *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	r = secrets_query(s, e,
	    "SELECT hash, scram_salt, scram_iterations, scram_stored_key,"
	    " scram_server_key, must_change FROM password"
	    " WHERE account_id = ?1",
	    "i", account_id);
	got = sql_next(r, e);
	if (got == 1)
		got = take_password(r, out, e);
	return secrets_done(s, r, got);
}

/* Under the lock: run `first` and `second`, or neither. */
static int
finish(struct secrets *s, bool good, struct err *e)
{
	int r = -1;

	if (good)
		r = sql_commit(s->db, e);
	else
		sql_rollback(s->db);
	return r;
}

int
secrets_set_password(struct secrets *s, int64_t account_id,
    const struct password_keys *k, int64_t keep, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = sql_begin(s->db, e);
	if (r == 0)
		r = finish(s,
		    sql_run(s->db, e,
			"INSERT OR REPLACE INTO password (account_id, hash,"
			" scram_salt, scram_iterations, scram_stored_key,"
			" scram_server_key, changed_ms, must_change)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			"isbibbii", account_id, k->hash,
			key_slice(k->salt, sizeof(k->salt)),
			(int64_t)k->iterations,
			key_slice(k->stored_key, sizeof(k->stored_key)),
			key_slice(k->server_key, sizeof(k->server_key)),
			clock_wall_ms(), (int64_t)k->must_change) >= 0 &&
			sql_run(s->db, e,
			    "DELETE FROM session WHERE account_id = ?1"
			    " AND id <> ?2",
			    "ii", account_id, keep) >= 0,
		    e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* --- Who looked into a mailbox ----------------------------------------------------- */

int
secrets_note_view(struct secrets *s, int64_t account_id, const char *actor,
    const char *what, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = sql_run(s->db, e,
	    "INSERT INTO mailbox_view (account_id, time_ms, actor, what)"
	    " VALUES (?1, ?2, ?3, ?4)",
	    "iiss", account_id, clock_wall_ms(), actor, what);
	if (r >= 0)
		r = sql_run(s->db, e,
		    "DELETE FROM mailbox_view WHERE account_id = ?1 AND id <="
		    " (SELECT id FROM mailbox_view WHERE account_id = ?1"
		    " ORDER BY id DESC LIMIT 1 OFFSET ?2)",
		    "ii", account_id, (int64_t)SECRETS_VIEWS_KEPT);
	pthread_mutex_unlock(&s->lock);
	return r < 0 ? -1 : 0;
}

int
secrets_list_views(
    struct secrets *s, int64_t account_id, json_t *out, struct err *e)
{
	char when[CLOCK_RFC3339_SIZE];
	struct sql_rows *rows;
	int r;

	rows = secrets_query(s, e,
	    "SELECT time_ms, actor, what FROM mailbox_view"
	    " WHERE account_id = ?1 ORDER BY id DESC",
	    "i", account_id);
	while ((r = sql_next(rows, e)) == 1) {
		clock_rfc3339(sql_int(rows, 0), when);
		json_array_append_new(out,
		    json_pack("{ss,ss,ss}", "time", when, "actor",
			sql_text(rows, 1), "what", sql_text(rows, 2)));
	}
	return secrets_done(s, rows, r);
}

/* --- Names whose mailbox may still be there --------------------------------------- */

int
secrets_leave(
    struct secrets *s, const char *address, int64_t account_id, struct err *e)
{
	return done(secrets_run(s, e,
	    "INSERT OR REPLACE INTO left_mailbox"
	    " (address, account_id, deleted_ms) VALUES (?1, ?2, ?3)",
	    "sii", address, account_id, clock_wall_ms()));
}

int
secrets_is_left(struct secrets *s, const char *address, struct err *e)
{
	return secrets_has(s, e,
	    "SELECT 1 FROM left_mailbox WHERE address = ?1", "s", address);
}

int
secrets_settle(struct secrets *s, const char *address, struct err *e)
{
	return done(secrets_run(
	    s, e, "DELETE FROM left_mailbox WHERE address = ?1", "s", address));
}

int
secrets_list_left(
    struct secrets *s, const char *after, json_t *out, struct err *e)
{
	char when[CLOCK_RFC3339_SIZE];
	struct sql_rows *rows;
	int r;

	rows = secrets_query(s, e,
	    "SELECT address, deleted_ms FROM left_mailbox"
	    " WHERE address > ?1 ORDER BY address",
	    "s", after);
	while ((r = sql_next(rows, e)) == 1) {
		clock_rfc3339(sql_int(rows, 1), when);
		json_array_append_new(out,
		    json_pack("{ss,ss}", "address", sql_text(rows, 0),
			"deleted_at", when));
	}
	return secrets_done(s, rows, r);
}

int
secrets_forget(struct secrets *s, int64_t account_id, struct err *e)
{
	/* clang-format off */
	static const char *const queries[] = {
		"DELETE FROM password WHERE account_id = ?1",
		"DELETE FROM app_password WHERE account_id = ?1",
		"DELETE FROM totp WHERE account_id = ?1",
		"DELETE FROM recovery_code WHERE account_id = ?1",
		"DELETE FROM session WHERE account_id = ?1",
		"DELETE FROM known_address WHERE account_id = ?1",
		"DELETE FROM mailbox_view WHERE account_id = ?1",
	};
	/* clang-format on */
	bool good = true;
	int r;

	pthread_mutex_lock(&s->lock);
	r = sql_begin(s->db, e);
	for (size_t i = 0; r == 0 && good && i < ARRAY_LEN(queries); i++)
		good = sql_run(s->db, e, queries[i], "i", account_id) >= 0;
	if (r == 0)
		r = finish(s, good, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int
secrets_has_app_password(struct secrets *s, int64_t account_id,
    const uint8_t mac[SECRET_KEY_LEN], struct err *e)
{
	return secrets_has(s, e,
	    "SELECT 1 FROM app_password WHERE account_id = ?1 AND mac = ?2",
	    "ib", account_id, key_slice(mac, SECRET_KEY_LEN));
}

int
secrets_add_app_password(struct secrets *s, int64_t account_id,
    const char *name, const uint8_t mac[SECRET_KEY_LEN], struct err *e)
{
	return done(secrets_run(s, e,
	    "INSERT INTO app_password (account_id, name, mac, created_ms)"
	    " VALUES (?1, ?2, ?3, ?4)",
	    "isbi", account_id, name, key_slice(mac, SECRET_KEY_LEN),
	    clock_wall_ms()));
}

static json_t *
time_json(int64_t ms)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(ms, text);
	return json_string(text);
}

int
secrets_list_app_passwords(
    struct secrets *s, int64_t account_id, json_t *items, struct err *e)
{
	struct sql_rows *r;
	int got;

	r = secrets_query(s, e,
	    "SELECT id, name, created_ms FROM app_password"
	    " WHERE account_id = ?1 ORDER BY id",
	    "i", account_id);
	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(items,
		    json_pack("{sI,ss,so}", "id", (json_int_t)sql_int(r, 0),
			"name", sql_text(r, 1), "created_at",
			time_json(sql_int(r, 2))));
	return secrets_done(s, r, got);
}

int
secrets_delete_app_password(
    struct secrets *s, int64_t account_id, int64_t id, struct err *e)
{
	return secrets_run(s, e,
	    "DELETE FROM app_password WHERE account_id = ?1 AND id = ?2", "ii",
	    account_id, id);
}

/* --- Known addresses --------------------------------------------------------- */

int
secrets_knows_address(struct secrets *s, int64_t account_id,
    const struct ip *ip, int64_t since_ms, struct err *e)
{
	return secrets_has(s, e,
	    "SELECT 1 FROM known_address WHERE account_id = ?1 AND ip = ?2"
	    " AND seen_ms >= ?3",
	    "ibi", account_id, key_slice(ip->bytes, sizeof(ip->bytes)),
	    since_ms);
}

/* At most one write a day for each. */
int
secrets_note_address(struct secrets *s, int64_t account_id, const struct ip *ip,
    int64_t now_ms, struct err *e)
{
	int r = secrets_knows_address(
	    s, account_id, ip, now_ms - 86400 * INT64_C(1000), e);

	if (r != 0)
		return r < 0 ? -1 : 0;
	return done(secrets_run(s, e,
	    "INSERT OR REPLACE INTO known_address (account_id, ip, seen_ms)"
	    " VALUES (?1, ?2, ?3)",
	    "ibi", account_id, key_slice(ip->bytes, sizeof(ip->bytes)),
	    now_ms));
}

/* --- Web sessions ------------------------------------------------------------ */

int
secrets_add_session(struct secrets *s, const uint8_t token_hash[SECRET_KEY_LEN],
    const struct web_session *w, const char *ip, const char *agent,
    struct err *e)
{
	return done(secrets_run(s, e,
	    "INSERT INTO session (token_hash, account_id, program, ip, agent,"
	    " created_ms, rotated_ms, seen_ms, expires_ms, idle_ms, fresh_ms)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?6)",
	    "bisssiiii", key_slice(token_hash, SECRET_KEY_LEN), w->account_id,
	    w->program, ip, agent, w->created_ms, w->seen_ms, w->expires_ms,
	    w->idle_ms));
}

int
secrets_find_session(struct secrets *s,
    const uint8_t token_hash[SECRET_KEY_LEN], int64_t now_ms,
    struct web_session *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	r = secrets_query(s, e,
	    "SELECT id, account_id, created_ms, seen_ms, expires_ms, idle_ms,"
	    " program, rotated_ms, token_hash <> ?1, old_until_ms,"
	    " ip, fresh_ms"
	    " FROM session WHERE token_hash = ?1"
	    " OR (old_hash = ?1 AND old_until_ms > ?2)",
	    "bi", key_slice(token_hash, SECRET_KEY_LEN), now_ms);
	got = sql_next(r, e);
	if (got == 1) {
		*out = (struct web_session){ sql_int(r, 0), sql_int(r, 1),
			sql_int(r, 2), sql_int(r, 3), sql_int(r, 4),
			sql_int(r, 5), "", sql_int(r, 7), sql_int(r, 8) != 0,
			sql_int(r, 9), sql_int(r, 11), "" };
		snprintf(out->ip, sizeof(out->ip), "%s", sql_text(r, 10));
		snprintf(
		    out->program, sizeof(out->program), "%s", sql_text(r, 6));
	}
	return secrets_done(s, r, got);
}

int
secrets_touch_session(
    struct secrets *s, int64_t id, int64_t now_ms, struct err *e)
{
	return secrets_run(s, e,
	    "UPDATE session SET seen_ms = ?2 WHERE id = ?1", "ii", id, now_ms);
}

int
secrets_rotate_session(struct secrets *s, int64_t id,
    const uint8_t token_hash[SECRET_KEY_LEN],
    const uint8_t old_hash[SECRET_KEY_LEN], int64_t now_ms, struct err *e)
{
	return done(secrets_run(s, e,
	    "UPDATE session SET token_hash = ?1, old_hash = ?2,"
	    " rotated_ms = ?3, old_until_ms = expires_ms WHERE id = ?4",
	    "bbii", key_slice(token_hash, SECRET_KEY_LEN),
	    key_slice(old_hash, SECRET_KEY_LEN), now_ms, id));
}

int
secrets_end_old_token(
    struct secrets *s, int64_t id, int64_t until_ms, struct err *e)
{
	return secrets_run(s, e,
	    "UPDATE session SET old_until_ms = ?2 WHERE id = ?1", "ii", id,
	    until_ms);
}

int
secrets_freshen_session(
    struct secrets *s, int64_t id, int64_t now_ms, struct err *e)
{
	return secrets_run(s, e,
	    "UPDATE session SET fresh_ms = ?2 WHERE id = ?1", "ii", id, now_ms);
}

int
secrets_list_sessions(
    struct secrets *s, int64_t account_id, json_t *items, struct err *e)
{
	struct sql_rows *r;
	int got;

	r = secrets_query(s, e,
	    "SELECT id, program, ip, created_ms, seen_ms, expires_ms, agent"
	    " FROM session WHERE account_id = ?1 AND program NOT LIKE '%+code'"
	    " ORDER BY id DESC LIMIT 100",
	    "i", account_id);
	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(items,
		    json_pack("{sI,ss,ss,so,so,so,ss}", "id",
			(json_int_t)sql_int(r, 0), "program", sql_text(r, 1),
			"ip", sql_text(r, 2), "created_at",
			time_json(sql_int(r, 3)), "seen_at",
			time_json(sql_int(r, 4)), "expires_at",
			time_json(sql_int(r, 5)), "agent", sql_text(r, 6)));
	return secrets_done(s, r, got);
}

int
secrets_end_session(
    struct secrets *s, int64_t account_id, int64_t id, struct err *e)
{
	return secrets_run(s, e,
	    "DELETE FROM session WHERE account_id = ?1"
	    " AND (id = ?2 OR ?2 = 0)",
	    "ii", account_id, id);
}

int
secrets_sweep(
    struct secrets *s, int64_t now_ms, int64_t addresses_ms, struct err *e)
{
	if (secrets_run(s, e,
		"DELETE FROM session WHERE expires_ms <= ?1"
		" OR (idle_ms > 0 AND seen_ms + idle_ms <= ?1)",
		"i", now_ms) < 0)
		return -1;
	return done(secrets_run(s, e,
	    "DELETE FROM known_address WHERE seen_ms < ?1", "i", addresses_ms));
}

/* --- Credentials ------------------------------------------------------------- */

int
secrets_credential(
    struct secrets *s, const char *name, json_t *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	r = secrets_query(s, e,
	    "SELECT user, password FROM credential WHERE name = ?1", "s", name);
	got = sql_next(r, e);
	if (got == 1) {
		json_object_set_new(out, "user", json_string(sql_text(r, 0)));
		json_object_set_new(
		    out, "password", json_string(sql_text(r, 1)));
	}
	return secrets_done(s, r, got);
}

int
secrets_set_credential(struct secrets *s, const char *name, const char *user,
    const char *password, struct err *e)
{
	return done(secrets_run(s, e,
	    "INSERT OR REPLACE INTO credential (name, user, password)"
	    " VALUES (?1, ?2, ?3)",
	    "sss", name, user, password));
}

int
secrets_delete_credential(struct secrets *s, const char *name, struct err *e)
{
	return secrets_run(
	    s, e, "DELETE FROM credential WHERE name = ?1", "s", name);
}

int
secrets_list_credentials(struct secrets *s, json_t *items, struct err *e)
{
	struct sql_rows *r;
	int got;

	r = secrets_query(
	    s, e, "SELECT name, user FROM credential ORDER BY name", "");
	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(items,
		    json_pack("{ss,ss}", "name", sql_text(r, 0), "user",
			sql_text(r, 1)));
	return secrets_done(s, r, got);
}
