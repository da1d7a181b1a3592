#ifndef PARSE_CHARSET_H
#define PARSE_CHARSET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Any bytes to UTF-8.
 */

/* Before the jail: opens the tables, which are files, for good. */
void charset_prepare(void);

/*
 * Append `bytes` as UTF-8; what does not fit the charset becomes U+FFFD.  An
 * unknown charset (UTF-7 is one, on purpose), "" and "us-ascii": UTF-8 if it
 * is that, else windows-1252.  A byte order mark is dropped.
 */
void charset_to_utf8(struct slice bytes, const char *charset, struct buf *out);

/*
 * Append as valid UTF-8 without control characters: CRLF and CR become LF,
 * others vanish (tab stays).  `one_line`: line ends and tabs become spaces,
 * and characters that turn the direction of writing vanish (display names).
 */
void charset_scrub(struct slice text, bool one_line, struct buf *out);

#endif /* PARSE_CHARSET_H */
