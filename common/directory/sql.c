/*
 * The only file that knows SQLite: opening with the pragmas every file of
 * ours has, a cache of prepared statements keyed by the query's address, and
 * one mapping of result codes to errors.
 *
 * Not for queries: those stand with the store they belong to (store.c,
 * accountd/).  A connection belongs to one thread at a time.
 *
 * Invariant: no statement is left un-reset; an open read would keep the
 * write-ahead log from ever being folded back.
 */
#include "directory/sql.h"

#include <sys/stat.h>

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	STATEMENTS_MAX = 256,
	BUSY_MS = 5000,
	LOOK_US = 20000,
};

struct sql_rows {
	const char *query;
	sqlite3_stmt *stmt;
	struct sql *db;
	bool busy;
};

struct sql {
	sqlite3 *handle;
	/* for sql_version(): SQLite's mapping or NULL, whose file it is */
	const volatile _Atomic uint32_t *index;
	const char *path;
	dev_t dev;
	ino_t ino;
	bool damaged;
	struct sql_rows statements[STATEMENTS_MAX]; /* open addressing */
};

static int
sql_error(struct sql *db, int code, struct err *e)
{
	enum err_kind kind =
	    (code & 0xff) == SQLITE_CONSTRAINT ? ERR_PERM : ERR_TEMP;

	if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		db->damaged = true;
	return err_set(e, kind, "database: %s",
	    db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
}

static int
exec(struct sql *db, const char *text, struct err *e)
{
	int r = sqlite3_exec(db->handle, text, NULL, NULL, NULL);

	return r == SQLITE_OK ? 0 : sql_error(db, r, e);
}

/* SQLite gives the -wal and -shm files the mode of the file itself. */
int
sql_create(const char *path, mode_t mode, struct err *e)
{
	int fd = open(
	    path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

	int r = fd < 0 ? -1 : fchmod(fd, mode);

	if (r != 0) {
		err_errno(e, "%s", path);
		e->kind = ERR_PERM;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

/* --- Wildcards --------------------------------------------------------------------- */

static unsigned char
fold(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

/*
 * In place of LIKE, which costs twice as much a row: searches go through all
 * users.  What follows a star is looked for from its first character on.
 */
static bool
has_match(const char *pattern, const char *text, const char *end)
{
	const char *star = NULL, *from = text;

	for (;;) {
		while (*pattern == '*') {
			star = ++pattern;
			from = text;
		}
		if (star == pattern && *star == '\0')
			return true;
		if (star == pattern && *star != '?') {
			while (from < end && fold(*from) != fold(*star))
				from++;
			text = from;
		}
		if (text == end)
			break;
		if (*pattern == '?' || fold(*pattern) == fold(*text)) {
			do
				text++;
			while (*pattern == '?' && text < end &&
			    ((unsigned char)*text & 0xc0) == 0x80);
			pattern++;
		} else if (star != NULL) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
sql_wild(const char *pattern, struct slice text)
{
	return has_match(pattern, text.data, text.data + text.len);
}

/*
 * wild(pattern, text...): does one of them fit?  Texts are taken as bytes:
 * as text SQLite copies each to put a NUL behind it.
 */
static void
wild(sqlite3_context *context, int count, sqlite3_value **values)
{
	const char *pattern = (const char *)sqlite3_value_text(values[0]);
	bool fits = false;

	for (int i = 1; pattern != NULL && i < count && !fits; i++) {
		const char *text = sqlite3_value_blob(values[i]);
		int len = sqlite3_value_bytes(values[i]);

		if (len == 0) /* then it has no address */
			text = "";
		if (sqlite3_value_type(values[i]) != SQLITE_NULL)
			fits = has_match(pattern, text, text + len);
	}
	sqlite3_result_int(context, fits);
}

/*
 * PERSIST_WAL: the -wal and -shm files stay when the last writer leaves, else
 * a reader of another user could not open the database.
 */
static int
set_up(struct sql *db, enum sql_mode mode, struct err *e)
{
	int on = 1;

	sqlite3_busy_timeout(db->handle, BUSY_MS);
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_create_function(db->handle, "wild", -1,
	    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL, wild,
	    NULL, NULL);
	if (mode == SQL_READ)
		return exec(db,
		    "PRAGMA query_only=1; PRAGMA cache_size=-256;"
		    "PRAGMA mmap_size=67108864; PRAGMA schema_version",
		    e);
	sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	if (mode == SQL_CACHE)
		return exec(db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
		    "PRAGMA cache_size=-1024; PRAGMA mmap_size=1073741824;"
		    "PRAGMA temp_store=MEMORY; PRAGMA schema_version",
		    e);
	return exec(db,
	    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	    "PRAGMA foreign_keys=1; PRAGMA cache_size=-1024;"
	    "PRAGMA secure_delete=1; PRAGMA temp_store=MEMORY",
	    e);
}

/* Counting memory takes one lock for all threads at every allocation. */
static void
configure_library(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/*
 * A reader that may not write the -shm file meets one that is not made ready
 * while accountd is just about to, after a crash of all.
 */
static int
set_up_patiently(struct sql *db, enum sql_mode mode, struct err *e)
{
	int64_t deadline = clock_mono_ms() + BUSY_MS;
	int rc;

	while ((rc = set_up(db, mode, e)) != 0 && mode == SQL_READ &&
	    (sqlite3_extended_errcode(db->handle) & 0xff) == SQLITE_READONLY &&
	    clock_left_ms(deadline) > 0)
		(void)usleep(LOOK_US);
	return rc;
}

/*
 * Where SQLite itself has mapped the index: a descriptor of our own would
 * drop SQLite's locks when closed.
 */
void
sql_watch(struct sql *db)
{
	enum {
		REGION_SIZE = 32768 /* of unix and every other back-end */
	};

	sqlite3_file *file = NULL;
	volatile void *index = NULL;
	struct sql_rows *r;
	struct stat st;
	struct err ignored;
	bool has_wal;
	int rc;

	r = sql_query(db, &ignored, "PRAGMA journal_mode", "");
	has_wal =
	    sql_next(r, &ignored) == 1 && strcmp(sql_text(r, 0), "wal") == 0;
	sql_done(r);
	db->path = sqlite3_db_filename(db->handle, "main");
	if (!has_wal || stat(db->path, &st) != 0 ||
	    sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER,
		&file) != SQLITE_OK ||
	    file->pMethods == NULL || file->pMethods->iVersion < 2)
		return;
	db->dev = st.st_dev;
	db->ino = st.st_ino;
	rc = file->pMethods->xShmMap(file, 0, REGION_SIZE, 0, &index);
	if (rc == SQLITE_OK || rc == SQLITE_READONLY)
		db->index = index;
}

int
sql_open(const char *path, enum sql_mode mode, struct sql **out, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sql *db;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
	    (mode == SQL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	int r;

	(void)pthread_once(&once, configure_library);
	db = mem_zalloc(sizeof(*db));
	r = sqlite3_open_v2(path, &db->handle, flags, NULL);
	if (r != SQLITE_OK)
		sql_error(db, r, e);
	if (r != SQLITE_OK || set_up_patiently(db, mode, e) != 0) {
		e->kind = ERR_PERM;
		err_prefix(e, "%s", path);
		sql_close(db);
		return -1;
	}
	*out = db;
	return 0;
}

void
sql_close(struct sql *db)
{
	if (db == NULL)
		return;
	for (size_t i = 0; i < STATEMENTS_MAX; i++)
		sqlite3_finalize(db->statements[i].stmt);
	sqlite3_close(db->handle);
	free(db);
}

bool
sql_is_gone(struct sql *db)
{
	int moved = 0;

	return sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED,
		   &moved) == SQLITE_OK &&
	    moved != 0;
}

bool
sql_is_damaged(const struct sql *db)
{
	return db->damaged;
}

int
sql_copy(const char *from, const char *to, struct err *e)
{
	struct sql *source = NULL, copy = { 0 };
	sqlite3_backup *b = NULL;
	int r = SQLITE_ERROR;

	if (sql_create(to, 0600, e) != 0 ||
	    sql_open(from, SQL_READ, &source, e) != 0)
		return -1;
	if (sqlite3_open_v2(to, &copy.handle,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW,
		NULL) == SQLITE_OK)
		b = sqlite3_backup_init(
		    copy.handle, "main", source->handle, "main");
	if (b != NULL) {
		(void)sqlite3_backup_step(b, -1);
		r = sqlite3_backup_finish(b);
	}
	if (r == SQLITE_OK)
		r = exec(&copy, "PRAGMA journal_mode=DELETE", e) == 0
		    ? SQLITE_OK
		    : SQLITE_IOERR;
	if (r != SQLITE_OK) {
		sql_error(&copy, r, e);
		err_prefix(e, "copy %s", from);
	}
	sqlite3_close(copy.handle);
	sql_close(source);
	return r == SQLITE_OK ? 0 : -1;
}

/* --- Statements ----------------------------------------------------------- */

static struct sql_rows *
prepare(struct sql *db, const char *query, struct err *e)
{
	size_t slot = ((uintptr_t)query * 0x9e3779b97f4a7c15U) >> 56;
	struct sql_rows *s = &db->statements[slot];
	int r;

	while (s->query != NULL && s->query != query) {
		slot = (slot + 1) % STATEMENTS_MAX;
		s = &db->statements[slot];
	}
	if (s->query == query)
		return s;
	r = sqlite3_prepare_v3(
	    db->handle, query, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
	if (r != SQLITE_OK) {
		sql_error(db, r, e);
		return NULL;
	}
	s->query = query;
	s->db = db;
	return s;
}

static int
bind_slice(sqlite3_stmt *stmt, int i, char type, struct slice v)
{
	const char *data = v.data ? v.data : "";

	if (type == 'b')
		return sqlite3_bind_blob64(stmt, i, data, v.len, SQLITE_STATIC);
	return sqlite3_bind_text64(
	    stmt, i, data, v.len, SQLITE_STATIC, SQLITE_UTF8);
}

/* Values stay the caller's until sql_done(), so nothing is copied. */
static int
bind_all(sqlite3_stmt *stmt, const char *types, va_list ap)
{
	int r = SQLITE_OK;

	assert(sqlite3_bind_parameter_count(stmt) == (int)strlen(types));
	for (int i = 1; types[i - 1] != '\0' && r == SQLITE_OK; i++) {
		char type = types[i - 1];

		if (type == 'i')
			r = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
		else if (type == 's')
			r = sqlite3_bind_text(stmt, i, va_arg(ap, const char *),
			    -1, SQLITE_STATIC);
		else
			r = bind_slice(stmt, i, type, va_arg(ap, struct slice));
	}
	return r;
}

struct sql_rows *
sql_vquery(struct sql *db, struct err *e, const char *query, const char *types,
    va_list ap)
{
	struct sql_rows *s = prepare(db, query, e);
	int r;

	if (s == NULL)
		return NULL;
	assert(!s->busy);
	r = bind_all(s->stmt, types, ap);
	if (r != SQLITE_OK) {
		sql_error(db, r, e);
		sqlite3_clear_bindings(s->stmt);
		return NULL;
	}
	s->busy = true;
	return s;
}

struct sql_rows *
sql_query(
    struct sql *db, struct err *e, const char *query, const char *types, ...)
{
	struct sql_rows *s;
	va_list ap;

	va_start(ap, types);
	s = sql_vquery(db, e, query, types, ap);
	va_end(ap);
	return s;
}

int
sql_vrun(struct sql *db, struct err *e, const char *query, const char *types,
    va_list ap)
{
	struct sql_rows *s = sql_vquery(db, e, query, types, ap);
	int r;

	if (s == NULL)
		return -1;
	r = sqlite3_step(s->stmt);
	if (r != SQLITE_DONE && r != SQLITE_ROW)
		sql_error(db, r, e);
	sql_done(s);
	if (r != SQLITE_DONE && r != SQLITE_ROW)
		return -1;
	return sqlite3_changes(db->handle);
}

int
sql_run(
    struct sql *db, struct err *e, const char *query, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = sql_vrun(db, e, query, types, ap);
	va_end(ap);
	return r;
}

int
sql_next(struct sql_rows *s, struct err *e)
{
	int r;

	if (s == NULL)
		return -1;
	r = sqlite3_step(s->stmt);
	if (r == SQLITE_ROW)
		return 1;
	if (r == SQLITE_DONE)
		return 0;
	return sql_error(s->db, r, e);
}

void
sql_done(struct sql_rows *s)
{
	if (s == NULL)
		return;
	sqlite3_reset(s->stmt);
	sqlite3_clear_bindings(s->stmt);
	s->busy = false;
}

int
sql_get_int(struct sql *db, struct err *e, int64_t *out, const char *query,
    const char *types, ...)
{
	struct sql_rows *r;
	va_list ap;
	int got;

	va_start(ap, types);
	r = sql_vquery(db, e, query, types, ap);
	va_end(ap);
	got = sql_next(r, e);
	if (got == 1 && out != NULL)
		*out = sql_int(r, 0);
	sql_done(r);
	return got;
}

int64_t
sql_int(struct sql_rows *s, int column)
{
	return sqlite3_column_int64(s->stmt, column);
}

const char *
sql_text(struct sql_rows *s, int column)
{
	const void *text = sqlite3_column_text(s->stmt, column);

	return text ? text : "";
}

struct slice
sql_blob(struct sql_rows *s, int column)
{
	const void *data = sqlite3_column_blob(s->stmt, column);

	return slice_of(
	    data ? data : "", (size_t)sqlite3_column_bytes(s->stmt, column));
}

bool
sql_is_null(struct sql_rows *s, int column)
{
	return sqlite3_column_type(s->stmt, column) == SQLITE_NULL;
}

/* --- Transactions and versions -------------------------------------------- */

int
sql_begin(struct sql *db, struct err *e)
{
	return exec(db, "BEGIN IMMEDIATE", e);
}

int
sql_begin_read(struct sql *db, struct err *e)
{
	return exec(db, "BEGIN", e);
}

int
sql_commit(struct sql *db, struct err *e)
{
	if (exec(db, "COMMIT", e) == 0)
		return 0;
	sql_rollback(db);
	return -1;
}

void
sql_rollback(struct sql *db)
{
	if (!sqlite3_get_autocommit(db->handle))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

int64_t
sql_last_id(struct sql *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

static int
read_number(struct sql *db, const char *query, int64_t *out, struct err *e)
{
	int got = sql_get_int(db, e, out, query, "");

	if (got == 0)
		err_set(e, ERR_TEMP, "database: no answer");
	return got == 1 ? 0 : -1;
}

int
sql_data_version(struct sql *db, int64_t *out, struct err *e)
{
	return read_number(db, "PRAGMA data_version", out, e);
}

bool
sql_version(const struct sql *db, struct sql_version *out)
{
	enum {
		VERSION = 3007000,
		WORDS = ARRAY_LEN(out->header)
	};

	struct stat st;
	bool is_whole = true;

	if (db->index == NULL || stat(db->path, &st) != 0 ||
	    st.st_dev != db->dev || st.st_ino != db->ino)
		return false;
	/* a writer goes the other way round, so equal copies are whole */
	for (size_t i = 0; i < WORDS; i++)
		out->header[i] =
		    atomic_load_explicit(&db->index[i], memory_order_acquire);
	for (size_t i = 0; i < WORDS; i++)
		is_whole &= out->header[i] ==
		    atomic_load_explicit(
			&db->index[WORDS + i], memory_order_acquire);
	return is_whole && out->header[0] == VERSION;
}

bool
sql_peek_version(const char *path, struct sql_version *out)
{
	char *index = mem_printf("%s-shm", path);
	int fd = open(index, O_RDONLY | O_CLOEXEC);
	bool got = fd >= 0 && read(fd, out, sizeof(*out)) == sizeof(*out);

	if (fd >= 0)
		(void)close(fd);
	free(index);
	return got;
}

int
sql_check_version(
    struct sql *db, uint32_t application, int oldest, int newest, struct err *e)
{
	int64_t app, version;

	if (read_number(db, "PRAGMA application_id", &app, e) != 0 ||
	    read_number(db, "PRAGMA user_version", &version, e) != 0)
		return -1;
	if (app != (int64_t)application)
		return err_set(e, ERR_PERM, "not a file of this kind");
	if (version > newest)
		return err_set(e, ERR_PERM,
		    "written by a newer Mailstead (version %d, this one "
		    "knows %d)",
		    (int)version, newest);
	if (version < oldest)
		return err_set(e, ERR_PERM,
		    "written by too old a Mailstead (version %d)",
		    (int)version);
	return 0;
}

static int
migrate_from(struct sql *db, uint32_t application, int64_t version,
    const char *const *steps, int count, struct err *e)
{
	char pragma[96];

	for (; version < count; version++)
		if (exec(db, steps[version], e) != 0)
			return -1;
	/* Pragmas take no parameters; both numbers are our constants. */
	snprintf(pragma, sizeof(pragma),
	    "PRAGMA application_id=%u; PRAGMA user_version=%d", application,
	    count);
	return exec(db, pragma, e);
}

int
sql_migrate(struct sql *db, uint32_t application, const char *const *steps,
    int count, struct err *e)
{
	int64_t version;

	if (read_number(db, "PRAGMA user_version", &version, e) != 0)
		return -1;
	if (version != 0 &&
	    sql_check_version(db, application, 1, count, e) != 0)
		return -1;
	if (version == count)
		return 0;
	if (sql_begin(db, e) != 0)
		return -1;
	/* Another writer may have been faster. */
	if (read_number(db, "PRAGMA user_version", &version, e) != 0 ||
	    migrate_from(db, application, version, steps, count, e) != 0) {
		sql_rollback(db);
		return -1;
	}
	return sql_commit(db, e);
}
