#ifndef QUEUE_WIRE_H
#define QUEUE_WIRE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Message text as it goes over the wire: CRLF line ends, dots doubled (RFC
 * 5321 4.5.2), and no CR or LF but in pairs: a CR before a LF is dropped, any
 * other becomes a space.  Push pieces, then wire_end() for a last line without
 * an end and the final dot.  A zeroed struct is a start.  No I/O.
 */
struct wire {
	bool in_line; /* the last byte was not a line end */
	bool cr;      /* a CR whose fate depends on the next byte */
};

void wire_push(struct wire *w, struct slice piece, struct buf *out);
void wire_end(struct wire *w, struct buf *out);

/*
 * RFC 3461 4: all but printable ASCII, '+' and '=' as +XX; UTF-8 stays, which
 * only comes to peers with SMTPUTF8 (RFC 6533 3).
 */
void wire_xtext(const char *s, struct buf *out);

#endif /* QUEUE_WIRE_H */
