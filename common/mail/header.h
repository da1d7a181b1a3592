#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

/*
 * Header fields of a message: RFC 5322 2.2, with LF or CRLF line ends.  For
 * what a server has to know of a message (trace fields, From, Date); the MIME
 * structure of strangers' messages is mailstead-parse's.
 *
 * A pull parser: start with the message's bytes, take one field after the
 * other.  Fields are views into those bytes.
 *
 *	struct header_scan scan = { message };
 *	while (header_next(&scan, &field))
 *		...
 *	body = header_body(&scan);
 */
struct header_scan {
	struct slice rest;
};

struct header_field {
	struct slice raw;   /* all of it, with the last line's end */
	struct slice name;  /* without space before the colon */
	struct slice value; /* behind the colon, folded, no last line end */
};

/*
 * False at the empty line, at the end, or at a line that is neither field nor
 * continuation (there the body starts without an empty line).
 */
bool header_next(struct header_scan *s, struct header_field *out);

/*
 * When header_next() said false: the body, and whether the empty line that
 * belongs before it was there (it is skipped).
 */
struct slice header_body(const struct header_scan *s, bool *had_empty_line_out);

bool header_is(const struct header_field *f, const char *name);

/* Append the value unfolded (RFC 5322 2.2.3) and trimmed. */
void header_unfold(struct slice value, struct buf *out);

/*
 * Append the value as UTF-8 for people: unfolded, encoded words (RFC 2047)
 * decoded, control characters replaced by spaces.  What cannot be decoded
 * stays as it is; bytes that are no UTF-8 become U+FFFD.
 */
void header_decode(struct slice value, struct buf *out);

/*
 * Append UTF-8 text as a value of ASCII: as it is if it needs nothing, else as
 * encoded words in UTF-8 and base64 of at most 75 characters, folded with
 * "\n ".  Control characters become spaces.
 */
void header_encode(struct slice text, struct buf *out);

/*
 * The addresses of a From, To or Cc value, one a call, as local@domain bytes
 * (not validated): the part in <> if there is one, else the bare address;
 * display names, comments and groups are skipped.  False at the end.
 *
 *	struct slice rest = value, addr;
 *	while (header_next_address(&rest, &addr))
 */
bool header_next_address(struct slice *rest, struct slice *addr_out);

#endif /* MAIL_HEADER_H */
