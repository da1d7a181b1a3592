#ifndef MAIL_CONTENT_LINE_H
#define MAIL_CONTENT_LINE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * The lines that vCards and calendars are made of, folded:
 * "group.NAME;PARAM=x:value" (RFC 6350 3.2, RFC 5545 3.1).  A pull reader over
 * text in memory; nothing is validated.
 */
struct content_scan {
	struct slice rest;
	unsigned line; /* of the next one; begin with 1 */
};

struct content_line {
	struct slice name, params, value; /* the name without its group */
};

/*
 * The next line, unfolded into `out`, which is emptied before; what is over
 * its ceiling is lost (buf_overflowed()).  False at the end.
 */
bool content_next(struct content_scan *s, struct buf *out);

/* False: it is none.  A ':' within quotes belongs to a parameter. */
bool content_split(struct slice line, struct content_line *out);

/* The first value of a parameter, without quotes; empty: there is none. */
struct slice content_param(const struct content_line *l, const char *name);

/*
 * Append a text value (RFC 6350 3.4, RFC 5545 3.3.11) up to an unescaped `end`
 * ('\0': all of it), without control characters; a line end becomes a space
 * unless `keep_lines`.  What is behind the end.
 */
struct slice content_text(
    struct slice value, char end, bool keep_lines, struct buf *out);

#endif /* MAIL_CONTENT_LINE_H */
