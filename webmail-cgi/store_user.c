/*
 * A user's own file: its schema, and the queries for all but the address
 * book.  One step a version; a released step is never edited.
 *
 * Any number of processes and threads may have the same file open, each its
 * own handle; SQLite's write-ahead log keeps them apart.
 */
#include "webmail-cgi/store_user.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#include "maildir/maildir.h"

enum {
	APPLICATION = 0x4d537573, /* "MSus" */
	PREF_TEXT_MAX = 64,
	PATH_SIZE = 1024,
	LIST_MAX = 1000,
	DUE_MAX = 100,
};

/* clang-format off */
static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE pref (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE identity ("
	" address TEXT PRIMARY KEY COLLATE NOCASE,"
	" name TEXT NOT NULL,"
	" reply_to TEXT NOT NULL DEFAULT '',"
	" signature TEXT NOT NULL DEFAULT '',"
	" is_default INTEGER NOT NULL DEFAULT 0"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE label ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT," /* names the keyword */
	" name TEXT NOT NULL UNIQUE,"
	" hue INTEGER NOT NULL CHECK (hue BETWEEN 0 AND 7)"
	") STRICT;"
	"CREATE TABLE pictures_from (address TEXT PRIMARY KEY COLLATE NOCASE)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE collected ("
	" address TEXT PRIMARY KEY COLLATE NOCASE,"
	" name TEXT NOT NULL,"
	" uses INTEGER NOT NULL,"
	" last_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE contact ("
	" id INTEGER PRIMARY KEY,"
	" name TEXT NOT NULL DEFAULT '',"
	" company TEXT NOT NULL DEFAULT '',"
	" note TEXT NOT NULL DEFAULT '',"
	" uid TEXT NOT NULL UNIQUE," /* of its vCard */
	" changed_ms INTEGER NOT NULL"
	") STRICT;"
	"CREATE INDEX contact_name ON contact(name COLLATE NOCASE, id);"
	"CREATE TABLE contact_address ("
	" contact_id INTEGER NOT NULL REFERENCES contact(id) ON DELETE CASCADE,"
	" place INTEGER NOT NULL," /* 0 = the first */
	" kind TEXT NOT NULL DEFAULT ''," /* "home", "work" */
	" address TEXT NOT NULL COLLATE NOCASE,"
	" PRIMARY KEY (contact_id, place)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX contact_address_address ON contact_address(address);"
	"CREATE TABLE contact_group ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE"
	") STRICT;"
	"CREATE TABLE contact_member ("
	" group_id INTEGER NOT NULL REFERENCES contact_group(id)"
	"  ON DELETE CASCADE,"
	" contact_id INTEGER NOT NULL REFERENCES contact(id) ON DELETE CASCADE,"
	" PRIMARY KEY (group_id, contact_id)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX contact_member_contact ON contact_member(contact_id);"
	"CREATE TABLE outgoing ("
	" id TEXT PRIMARY KEY,"
	" due_ms INTEGER NOT NULL,"
	" dir TEXT NOT NULL,"
	" name TEXT NOT NULL,"
	" answers TEXT NOT NULL DEFAULT '',"
	" verb TEXT NOT NULL DEFAULT ''"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX outgoing_due ON outgoing(due_ms);",
	/* 2 */
	"ALTER TABLE contact ADD COLUMN phones TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE contact ADD COLUMN more TEXT NOT NULL DEFAULT '';",
	/* 3 */
	"CREATE TABLE plain_from ("
	" address TEXT PRIMARY KEY COLLATE NOCASE,"
	" plain INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;",
};

static const struct {
	const char *name, *preset, *choices;
} rows[] = {
	[PREF_LANG]       = { "lang",       "",     "" },
	[PREF_ZONE]       = { "zone",       "",     "" },
	[PREF_THEME]      = { "theme",      "auto", "auto|light|dark" },
	[PREF_DENSITY]    = { "density",    "cozy", "cozy|compact" },
	[PREF_KEYS]       = { "keys",       "yes",  "yes|no" },
	[PREF_ROWS]       = { "rows",       "50",   "25|50|100" },
	[PREF_TALKS]      = { "talks",      "yes",  "yes|no" },
	[PREF_READ_AFTER] = { "read_after", "0",    "0|2|5|never" },
	[PREF_PLAIN]      = { "plain",      "no",   "yes|no" },
	[PREF_PICTURES]   = { "pictures",   "ask",  "ask|always" },
	[PREF_QUOTE]      = { "quote",      "above", "above|below|none" },
	[PREF_UNDO]       = { "undo",       "15",   "0|15|30" },
	[PREF_RECEIPTS]   = { "receipts",   "ask",  "ask|never" },
	[PREF_COLLECT]    = { "collect",    "yes",  "yes|no" },
};

/* clang-format on */

_Static_assert(ARRAY_LEN(rows) == PREF_COUNT, "a row for each preference");

/* --- The file ---------------------------------------------------------------------- */

/* The file, and the folder it is in; a file that is there already is fine. */
static int
create_file(char *path, struct err *e)
{
	char *slash = strrchr(path, '/');
	int rc;

	*slash = '\0';
	/* the runner may move files in it, and not read them */
	rc = file_mkdir(AT_FDCWD, path, 02770, e);
	*slash = '/';
	if (rc != 0)
		return -1;
	if (sql_create(path, 0600, e) != 0 && access(path, F_OK) != 0) {
		e->kind = ERR_TEMP;
		return -1;
	}
	return 0;
}

int
store_user_open(const char *users_dir, struct slice local, struct slice domain,
    bool create, struct sql **out, struct err *e)
{
	char mailbox[PATH_SIZE / 2], path[PATH_SIZE];
	struct sql *db;
	int rc;

	*out = NULL;
	if (!maildir_path(local, domain, mailbox, sizeof(mailbox)) ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s.db", users_dir,
		mailbox) >= sizeof(path))
		return err_set(e, ERR_PERM, "the user's name is too long");
	if (access(path, F_OK) != 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return err_errno(e, "%s", path);
		if (!create)
			return 0;
		if (create_file(path, e) != 0)
			return -1;
	}
	if (sql_open(path, SQL_WRITE, &db, e) != 0)
		return -1;
	rc = sql_migrate(db, APPLICATION, steps, (int)ARRAY_LEN(steps), e);
	if (rc != 0) {
		sql_close(db);
		return -1;
	}
	*out = db;
	return 0;
}

static int
run(int changed)
{
	return changed < 0 ? -1 : 0;
}

/* --- Preferences --------------------------------------------------------------------- */

void
store_prefs_default(struct prefs *out)
{
	for (size_t i = 0; i < PREF_COUNT; i++)
		out->value[i] = rows[i].preset;
}

bool
store_pref_is_chosen(const struct prefs *prefs, enum pref p)
{
	return prefs->value[p] != rows[p].preset; /* the very string */
}

const char *
store_pref_name(enum pref p)
{
	return rows[p].name;
}

const char *
store_pref_choices(enum pref p)
{
	return rows[p].choices;
}

static bool
is_allowed(enum pref p, struct slice value)
{
	struct slice rest = slice_str(rows[p].choices), one;

	if (rows[p].choices[0] == '\0') {
		for (size_t i = 0; i < value.len; i++)
			if ((unsigned char)value.data[i] <= ' ' ||
			    (unsigned char)value.data[i] > '~')
				return false;
		return value.len <= PREF_TEXT_MAX;
	}
	while (rest.data != NULL) {
		rest = slice_cut(rest, '|', &one);
		if (slice_eq(one, value))
			return true;
	}
	return false;
}

int
store_prefs(struct sql *db, struct pool *pool, struct prefs *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	store_prefs_default(out);
	if (db == NULL)
		return 0;
	r = sql_query(db, e, "SELECT name, value FROM pref", "");
	while ((got = sql_next(r, e)) == 1) {
		for (size_t i = 0; i < PREF_COUNT; i++)
			if (strcmp(rows[i].name, sql_text(r, 0)) == 0 &&
			    is_allowed((enum pref)i, slice_str(sql_text(r, 1))))
				out->value[i] =
				    pool_strdup(pool, sql_text(r, 1));
	}
	sql_done(r);
	return got;
}

int
store_pref_set(struct sql *db, enum pref p, const char *value, struct err *e)
{
	if (!is_allowed(p, slice_str(value)))
		return err_set(
		    e, ERR_SYNTAX, "%s cannot be that", rows[p].name);
	return run(sql_run(db, e,
	    "INSERT INTO pref (name, value) VALUES (?1, ?2)"
	    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	    "ss", rows[p].name, value));
}

/* --- Identities --------------------------------------------------------------------------- */

int
store_identity_find(struct sql *db, const char *address, struct pool *pool,
    struct identity *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	if (db == NULL)
		return 0;
	r = sql_query(db, e,
	    "SELECT address, name, reply_to, signature, is_default"
	    " FROM identity WHERE address = ?1",
	    "s", address);
	got = sql_next(r, e);
	if (got == 1)
		*out = (struct identity){
			.address = pool_strdup(pool, sql_text(r, 0)),
			.name = pool_strdup(pool, sql_text(r, 1)),
			.reply_to = pool_strdup(pool, sql_text(r, 2)),
			.signature = pool_strdup(pool, sql_text(r, 3)),
			.is_default = sql_int(r, 4) != 0,
		};
	sql_done(r);
	return got;
}

int
store_identity_put(struct sql *db, const struct identity *i, struct err *e)
{
	if (sql_begin(db, e) != 0)
		return -1;
	if ((i->is_default &&
		sql_run(db, e, "UPDATE identity SET is_default = 0", "") < 0) ||
	    sql_run(db, e,
		"INSERT OR REPLACE INTO identity"
		" (address, name, reply_to, signature, is_default)"
		" VALUES (?1, ?2, ?3, ?4, ?5)",
		"ssssi", i->address, i->name, i->reply_to, i->signature,
		(int64_t)i->is_default) < 0) {
		sql_rollback(db);
		return -1;
	}
	return sql_commit(db, e);
}

/* --- Labels ----------------------------------------------------------------------------------- */

int
store_labels(
    struct sql *db, struct pool *pool, struct labels *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	*out = (struct labels){ 0 };
	if (db == NULL)
		return 0;
	out->list = pool_zalloc(pool, LABELS_MAX * sizeof(*out->list));
	r = sql_query(
	    db, e, "SELECT id, name, hue FROM label ORDER BY name", "");
	got = r != NULL ? 0 : -1;
	while (out->count < LABELS_MAX && (got = sql_next(r, e)) == 1)
		out->list[out->count++] = (struct label){
			.id = sql_int(r, 0),
			.name = pool_strdup(pool, sql_text(r, 1)),
			.hue = (int)sql_int(r, 2),
			.keyword = pool_printf(
			    pool, "$l%lld", (long long)sql_int(r, 0)),
		};
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
store_label_add(struct sql *db, const char *name, int hue, struct err *e)
{
	int changed = sql_run(db, e,
	    "INSERT INTO label (name, hue) SELECT ?1, ?2"
	    " WHERE (SELECT count(*) FROM label) < ?3",
	    "sii", name, (int64_t)hue, (int64_t)LABELS_MAX);

	if (changed == 0)
		return err_set(e, ERR_PERM, "too many labels");
	return run(changed);
}

int
store_label_change(
    struct sql *db, int64_t id, const char *name, int hue, struct err *e)
{
	return run(
	    sql_run(db, e, "UPDATE label SET name = ?2, hue = ?3 WHERE id = ?1",
		"isi", id, name, (int64_t)hue));
}

int
store_label_delete(struct sql *db, int64_t id, struct err *e)
{
	return run(sql_run(db, e, "DELETE FROM label WHERE id = ?1", "i", id));
}

/* --- Pictures ------------------------------------------------------------------------------------ */

int
store_pictures_allowed(struct sql *db, const char *address, struct err *e)
{
	if (db == NULL)
		return 0;
	return sql_get_int(db, e, NULL,
	    "SELECT 1 FROM pictures_from WHERE address = ?1", "s", address);
}

int
store_pictures_allow(struct sql *db, const char *address, struct err *e)
{
	return run(sql_run(db, e,
	    "INSERT OR IGNORE INTO pictures_from (address) VALUES (?1)", "s",
	    address));
}

int
store_pictures_forget(struct sql *db, const char *address, struct err *e)
{
	return run(sql_run(db, e,
	    "DELETE FROM pictures_from WHERE address = ?1", "s", address));
}

int
store_pictures_list(struct sql *db, struct pool *pool, const char ***list_out,
    size_t *count_out, struct err *e)
{
	struct sql_rows *r;
	int got;

	*count_out = 0;
	*list_out = NULL;
	if (db == NULL)
		return 0;
	*list_out = pool_alloc(pool, LIST_MAX * sizeof(**list_out));
	r = sql_query(
	    db, e, "SELECT address FROM pictures_from ORDER BY address", "");
	got = r != NULL ? 0 : -1;
	while (*count_out < LIST_MAX && (got = sql_next(r, e)) == 1)
		(*list_out)[(*count_out)++] = pool_strdup(pool, sql_text(r, 0));
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
store_plain_find(
    struct sql *db, const char *address, bool *plain_out, struct err *e)
{
	int64_t plain;
	int got;

	if (db == NULL)
		return 0;
	got = sql_get_int(db, e, &plain,
	    "SELECT plain FROM plain_from WHERE address = ?1", "s", address);
	if (got == 1)
		*plain_out = plain != 0;
	return got;
}

int
store_plain_put(struct sql *db, const char *address, bool plain, struct err *e)
{
	return run(sql_run(db, e,
	    "INSERT OR REPLACE INTO plain_from (address, plain)"
	    " VALUES (?1, ?2)",
	    "si", address, (int64_t)plain));
}

/* --- Collected addresses -------------------------------------------------------------------------- */

int
store_collect(struct sql *db, const char *name, const char *address,
    int64_t now_ms, struct err *e)
{
	if (sql_run(db, e,
		"INSERT INTO collected (address, name, uses, last_ms)"
		" VALUES (?1, ?2, 1, ?3) ON CONFLICT (address) DO UPDATE SET"
		" uses = uses + 1, last_ms = excluded.last_ms,"
		" name = CASE excluded.name WHEN '' THEN name"
		"  ELSE excluded.name END",
		"ssi", address, name, now_ms) < 0)
		return -1;
	return run(sql_run(db, e,
	    "DELETE FROM collected WHERE (SELECT count(*) FROM collected) > ?1"
	    " AND address = (SELECT address FROM collected"
	    "  ORDER BY last_ms LIMIT 1)",
	    "i", (int64_t)COLLECTED_MAX));
}

/* --- Sent, and not yet due -------------------------------------------------------------------------- */

#define OUTGOING_COLUMNS "SELECT id, due_ms, dir, name, answers, verb"

static struct outgoing_row
outgoing_of(struct sql_rows *r, struct pool *pool)
{
	return (struct outgoing_row){
		.id = pool_strdup(pool, sql_text(r, 0)),
		.due_ms = sql_int(r, 1),
		.dir = pool_strdup(pool, sql_text(r, 2)),
		.name = pool_strdup(pool, sql_text(r, 3)),
		.answers = pool_strdup(pool, sql_text(r, 4)),
		.verb = pool_strdup(pool, sql_text(r, 5)),
	};
}

int
store_outgoing_add(struct sql *db, const struct outgoing_row *o, struct err *e)
{
	return run(sql_run(db, e,
	    "INSERT INTO outgoing (id, due_ms, dir, name, answers, verb)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	    "sissss", o->id, o->due_ms, o->dir, o->name, o->answers, o->verb));
}

static int
find_outgoing(struct sql_rows *r, struct pool *pool, struct outgoing_row *out,
    struct err *e)
{
	int got = sql_next(r, e);

	if (got == 1)
		*out = outgoing_of(r, pool);
	sql_done(r);
	return got;
}

int
store_outgoing_find(struct sql *db, const char *id, struct pool *pool,
    struct outgoing_row *out, struct err *e)
{
	return db == NULL
	    ? 0
	    : find_outgoing(
		  sql_query(db, e,
		      OUTGOING_COLUMNS " FROM outgoing WHERE id = ?1", "s", id),
		  pool, out, e);
}

int
store_outgoing_find_copy(struct sql *db, const char *name, struct pool *pool,
    struct outgoing_row *out, struct err *e)
{
	return db == NULL ? 0
			  : find_outgoing(sql_query(db, e,
					      OUTGOING_COLUMNS
					      " FROM outgoing WHERE name = ?1",
					      "s", name),
				pool, out, e);
}

int
store_outgoing_due(struct sql *db, int64_t now_ms, struct pool *pool,
    struct outgoing_rows *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	*out = (struct outgoing_rows){ 0 };
	if (db == NULL)
		return 0;
	r = sql_query(db, e,
	    OUTGOING_COLUMNS " FROM outgoing WHERE due_ms <= ?1"
			     " ORDER BY due_ms",
	    "i", now_ms);
	got = r != NULL ? 0 : -1;
	while (out->count < DUE_MAX && (got = sql_next(r, e)) == 1) {
		if (out->list == NULL)
			out->list =
			    pool_alloc(pool, DUE_MAX * sizeof(*out->list));
		out->list[out->count++] = outgoing_of(r, pool);
	}
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
store_outgoing_delete(struct sql *db, const char *id, struct err *e)
{
	return sql_run(db, e, "DELETE FROM outgoing WHERE id = ?1", "s", id);
}
