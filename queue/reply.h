#ifndef QUEUE_REPLY_H
#define QUEUE_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/*
 * The parser of SMTP replies (RFC 5321 4.2): push a line, learn whether more
 * follow.  No I/O.  Strict: three digits 2-5, 0-5, 0-9, then space, hyphen or
 * nothing; all lines of a reply carry the same code; at most REPLY_LINES_MAX
 * lines.  The text is kept up to a bound, as printable ASCII, lines joined by
 * a space; further text is read past.
 */
enum {
	REPLY_LINE_MAX = 4096, /* generous: RFC 5321 4.5.3.1.5 says 512 */
	REPLY_LINES_MAX = 128,
};

struct reply {
	int code; /* 0 before the first line */
	char
	    status[12]; /* enhanced code of the last line that has one, or "" */
	char text[448]; /* without codes */
	size_t len;
	unsigned lines;
};

enum reply_event {
	REPLY_MORE, /* continues on the next line */
	REPLY_DONE,
	REPLY_BAD, /* not a reply; the connection is of no use any more */
};

void reply_reset(struct reply *r);
enum reply_event reply_push(struct reply *r, struct slice line);

/* The line's text behind its code: for EHLO keywords.  Valid line only. */
struct slice reply_line_text(struct slice line);

#endif /* QUEUE_REPLY_H */
