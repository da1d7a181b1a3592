#ifndef PARSE_FLOWED_H
#define PARSE_FLOWED_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Undo format=flowed (RFC 3676 4): a paragraph becomes one line, quote marks
 * become "> " per level, space stuffing goes.  `delsp`: the space at a soft
 * line end goes too.  Lines end in LF.
 */
void flowed_unfold(struct slice text, bool delsp, struct buf *out);

#endif /* PARSE_FLOWED_H */
