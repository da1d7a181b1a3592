#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * Comma-separated values as spreadsheets write them: fields with separators,
 * quotes or line breaks stand in double quotes, a quote is doubled.  The
 * separator (',', ';' or tab) is the first one of the first line.
 */
struct table {
	struct slice rest; /* what is not read yet */
	char separator;
	size_t line; /* of the row last read, from 1 */
	size_t next_line;
};

enum {
	TABLE_FIELDS_MAX = 200, /* address books have 90 and more */
};

/* A byte order mark is skipped. */
void table_init(struct table *c, struct slice text);

/*
 * The next row that is not empty, its fields NUL-terminated in the pool.
 * 1 = a row, 0 = the end, -1 = malformed (ERR_SYNTAX); the call after that
 * goes on behind the line.
 */
int table_next(struct table *c, struct pool *pool,
    const char *fields_out[TABLE_FIELDS_MAX], size_t *count_out,
    struct err *e) MUST_CHECK;

/* Append one field, quoted if it must be. */
void table_put(struct buf *out, const char *text);

#endif /* BASE_TABLE_H */
