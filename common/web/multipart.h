#ifndef WEB_MULTIPART_H
#define WEB_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * multipart/form-data (RFC 7578), fed in pieces of any size; does no I/O.
 * Every event may return -1, which ends it all.  Errors of its own are
 * ERR_SYNTAX.
 */
struct multipart_events {
	/* `file` has data == NULL for a plain field. */
	int (*begin)(void *arg, struct slice name, struct slice file,
	    struct slice type, struct err *e);
	int (*data)(void *arg, const char *data, size_t len, struct err *e);
	int (*end)(void *arg, struct err *e);
	void *arg;
};

enum {
	MULTIPART_HEADER_MAX = 8 * 1024,
	MULTIPART_PARTS_MAX = 10000,
	MULTIPART_BOUNDARY_MAX = 70, /* RFC 2046 5.1.1 */
};

struct multipart {
	const struct multipart_events *events;

	enum {
		MULTIPART_PREAMBLE,
		MULTIPART_DELIMITER, /* behind a boundary */
		MULTIPART_HEADER,
		MULTIPART_DATA,
		MULTIPART_END,
	} state;

	char delimiter[MULTIPART_BOUNDARY_MAX + 5]; /* CRLF--boundary */
	size_t delimiter_len;
	struct buf pending;
	unsigned parts;
};

/*
 * `content_type` is the request's.  ERR_SYNTAX: not form-data, or its boundary
 * is missing or too long.
 */
int multipart_init(struct multipart *m, struct slice content_type,
    const struct multipart_events *events, struct err *e) MUST_CHECK;
int multipart_feed(struct multipart *m, const char *data, size_t len,
    struct err *e) MUST_CHECK;

/* At the end of the body: was the closing boundary there? */
int multipart_finish(struct multipart *m, struct err *e) MUST_CHECK;
void multipart_release(struct multipart *m);

/*
 * The value of a parameter: form-data; name="a b"; filename=x.  Quotes and
 * backslashes are undone into `out`.  False: there is none.
 */
bool multipart_parameter(
    struct slice header, const char *name, struct buf *out) MUST_CHECK;

#endif /* WEB_MULTIPART_H */
