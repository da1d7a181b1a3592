#ifndef PARSE_MARKUP_H
#define PARSE_MARKUP_H

#include "base/buf.h"
#include "base/slice.h"

/*
 * Stand-ins of the same length (U+FDD0, U+FDD1) for '<' and '&' that are text.
 * Where input has these noncharacters itself, they become that text as well.
 */
#define HELD_LESS      "\xef\xb7\x90"
#define HELD_AMPERSAND "\xef\xb7\x91"

/* '<' or '&' when the slice begins with its stand-in, else NUL. */
char markup_held(struct slice s);

/*
 * Copy for libxml2, with bad tags spoiled and the bytes it stumbles over gone.
 * `out` needs three times the room of `html`.
 */
void markup_prepare(struct slice html, struct buf *out);

#endif /* PARSE_MARKUP_H */
