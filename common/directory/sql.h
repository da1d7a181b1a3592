#ifndef DIRECTORY_SQL_H
#define DIRECTORY_SQL_H

#include <sys/types.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * SQLite behind one file: a connection with its prepared statements.  Used by
 * one thread at a time; open it after fork.
 *
 * A query is a string literal: its address is the key under which the
 * prepared statement is kept, and values come in only as bound parameters, so
 * no query is ever built from input.  `types` has one letter a parameter:
 *	i int64_t    s const char * (NULL = NULL)    v struct slice (text)
 *	b struct slice (blob)
 *
 * Failures are ERR_TEMP (busy, full disk, I/O error, damaged page: "cannot
 * tell now"), ERR_PERM for a broken constraint.
 */
struct sql;
struct sql_rows;

enum sql_mode {
	SQL_READ, /* never written */
	SQL_WRITE,
	SQL_CACHE, /* written; may lose its last commits when the power fails,
		    * never its order */
};

/* An empty file with exactly this mode; ERR_PERM if it is there already. */
int sql_create(const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* ERR_PERM: missing, not a database. */
int sql_open(const char *path, enum sql_mode mode, struct sql **out,
    struct err *e) MUST_CHECK;
void sql_close(struct sql *db);

/* Did a call fail because the file is damaged?  A cache is then deleted. */
bool sql_is_damaged(const struct sql *db);

/*
 * Is the file not what its path names any more: removed, or another one put
 * there?  Reading goes on with what it had, what is written is lost.
 */
bool sql_is_gone(struct sql *db);

/*
 * A consistent copy of a database that may be written meanwhile: a new file
 * (0600) without write-ahead log.  SQLite's backup call.
 */
int sql_copy(const char *from, const char *to, struct err *e) MUST_CHECK;

/*
 * The file's version (PRAGMA user_version) against `application`, a number
 * that tells our files apart.  ERR_PERM: another kind of file, or not from
 * `oldest` to `newest`.
 */
int sql_check_version(struct sql *db, uint32_t application, int oldest,
    int newest, struct err *e) MUST_CHECK;

/* Bring a file to version `count` by running steps[version]... in one go. */
int sql_migrate(struct sql *db, uint32_t application, const char *const *steps,
    int count, struct err *e) MUST_CHECK;

/* Run a query that has no rows: number of changed rows, or -1. */
int sql_run(struct sql *db, struct err *e, const char *query, const char *types,
    ...) MUST_CHECK;
int sql_vrun(struct sql *db, struct err *e, const char *query,
    const char *types, va_list ap) MUST_CHECK;

/*
 * Queries may use wild(pattern, text...): does one of the texts fit the
 * pattern, where "*" is any text, "?" one character, and case does not count?
 * sql_wild() is the same without a query.
 */
bool sql_wild(const char *pattern, struct slice text);

/*
 * Rows of a query, NULL where it failed.  sql_next(): 1 a row, 0 no more, -1
 * failed, as of NULL.  Call sql_done() in every case (NULL is fine), and
 * before the same query again.
 */
struct sql_rows *sql_query(struct sql *db, struct err *e, const char *query,
    const char *types, ...) MUST_CHECK;
struct sql_rows *sql_vquery(struct sql *db, struct err *e, const char *query,
    const char *types, va_list ap);
int sql_next(struct sql_rows *s, struct err *e) MUST_CHECK;
void sql_done(struct sql_rows *s);

/*
 * The first row's first column (`out` may be NULL, for who asks only whether
 * there is one): 1, or 0 without a row, or -1.
 */
int sql_get_int(struct sql *db, struct err *e, int64_t *out, const char *query,
    const char *types, ...) MUST_CHECK;

int64_t sql_int(struct sql_rows *s, int column);
/* Valid until sql_next() or sql_done(); NULL reads as "". */
const char *sql_text(struct sql_rows *s, int column);
struct slice sql_blob(struct sql_rows *s, int column);
bool sql_is_null(struct sql_rows *s, int column);

/* A write transaction takes the writers' lock at once (BEGIN IMMEDIATE). */
int sql_begin(struct sql *db, struct err *e) MUST_CHECK;
/* For many look-ups: they see one state, and the file is locked once. */
int sql_begin_read(struct sql *db, struct err *e) MUST_CHECK;
int sql_commit(struct sql *db, struct err *e) MUST_CHECK;
void sql_rollback(struct sql *db);

int64_t sql_last_id(struct sql *db);

/* A number that differs after every commit of another connection. */
int sql_data_version(struct sql *db, int64_t *out, struct err *e) MUST_CHECK;

/* From now on sql_version() answers for this one, opened with SQL_READ. */
void sql_watch(struct sql *db);

/*
 * The version of a watched database, for one stat(): the header of
 * the write-ahead log's index (https://www.sqlite.org/walformat.html 2.1),
 * which every commit of anybody changes before it returns.  False: cannot
 * tell, or the path names another file now.  The one function that any
 * thread may call while another uses `db`.
 */
struct sql_version {
	uint32_t header[12];
};

bool sql_version(const struct sql *db, struct sql_version *out);

/*
 * The same without a connection.  Not while this process has one to it, whose
 * locks would be lost.
 */
bool sql_peek_version(const char *path, struct sql_version *out);

#endif /* DIRECTORY_SQL_H */
