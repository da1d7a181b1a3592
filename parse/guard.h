#ifndef PARSE_GUARD_H
#define PARSE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Looks at a message before GMime does: one pass, no allocation, no structure.
 * It knows where GMime may look for header fields: at the start, behind any
 * line "--..." once a boundary was declared, behind a header that embeds a
 * message or may stand in a digest; there fields and what they hold are
 * counted.  Anything else is body and may look as it likes.
 * What it lets through GMime parses in bounded time and memory on an 8 MB
 * stack.  (GMime 3.2 recurses without limit over nested address groups, is
 * quadratic in parameters and keeps every part and header in memory.)
 */
enum {
	GUARD_HEADER_BYTES = 1024 * 1024, /* of one run of header lines */
	GUARD_HEADER_LINES = 2000,
	GUARD_FIELD_BYTES = 65536, /* of an address or Content-* field */
	GUARD_COLONS = 200,        /* in an address field: groups */
	GUARD_COMMAS = 10000,      /* in an address field: addresses */
	GUARD_PARENS = 200,        /* in an address field: comments */
	GUARD_SEMICOLONS = 100,    /* in a Content-* field: parameters */
	GUARD_BOUNDARIES = 100,    /* declared: depth of multiparts */
	GUARD_DASH_LINES = 20000,  /* lines that begin with "--" */
	GUARD_EMPTY_PARTS = 2000,  /* "--" lines close behind another */
	GUARD_PARTS = 1000,        /* "--" lines, then a field or empty line */
	GUARD_EMBEDDED = 100,      /* "message" in Content-* fields */
	GUARD_ALL_LINES = 20000,   /* header lines, wherever */
};

struct guard {
	enum {
		GUARD_OTHER,
		GUARD_ADDRESS,
		GUARD_CONTENT
	} kind;

	bool in_headers, line_start;
	bool embeds, has_type; /* of this header block */
	bool has_digest;       /* a multipart/digest anywhere before */
	bool too_much;         /* the verdict: treat the message as opaque */
	char name[16];         /* start of the line, lower case */
	size_t name_len;
	bool name_done, name_space;
	size_t header_bytes, header_lines, field_bytes;
	unsigned colons, commas, parens, semicolons;
	unsigned boundaries, dash_lines, close_dashes;
	unsigned parts, embedded, all_lines;
	unsigned matched_boundary, matched_message, matched_digest;
	unsigned lines_since_dash;
};

void guard_init(struct guard *g);

/* Feed bytes in order; false once the message is beyond a limit. */
bool guard_feed(struct guard *g, const char *data, size_t len);

#endif /* PARSE_GUARD_H */
