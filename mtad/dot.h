#ifndef MTAD_DOT_H
#define MTAD_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * The reader of what follows DATA: RFC 5321 4.1.1.4 and 4.5.2.  Bytes go in as
 * they come, in pieces of any size; lines come out without their dot and with
 * LF for CRLF.  The same bytes give the same result however they are cut.
 *
 * Only CRLF "." CRLF ends the data (the CRLF of the DATA command counts as the
 * first).  A CR or LF alone never ends a line here, so nothing that follows
 * one can be taken for the end; a dot behind one is not removed either.
 */
enum dot_fault {
	DOT_BARE = 1, /* CR or LF alone */
	DOT_NUL = 2,
	DOT_LONG_LINE = 4,
};

enum dot_state {
	DOT_START, /* of a line */
	DOT_MIDDLE,
	DOT_CR,     /* a CR is held back */
	DOT_DOT,    /* "." at the start is held back */
	DOT_DOT_CR, /* ".<CR>" at the start is held back */
	DOT_END,
};

/* Zeroed with max_line set = ready. */
struct dot_reader {
	enum dot_state state;
	unsigned faults;
	bool saw_8bit;
	uint64_t size; /* as RFC 1870 counts: CRLF is two, removed dots none */
	size_t line_len;
	size_t max_line;
};

/* A piece of output: `text`, then a line end if `newline`. */
struct dot_piece {
	struct slice text;
	bool newline;
};

/*
 * Take bytes from the front of `in` and give a piece, perhaps an empty one;
 * returns how many were taken.  None at all only when that changed the state,
 * at most twice in a row.  The piece points into `in`.  Not to be called with
 * state DOT_END or without input.
 *
 * A CR or LF alone comes out as a line end (what "normalise" stores), and is
 * noted as DOT_BARE; a NUL comes out as it is, noted as DOT_NUL.
 */
size_t dot_next(struct dot_reader *r, struct slice in, struct dot_piece *out);

#endif /* MTAD_DOT_H */
