#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

/*
 * A view of bytes somebody else owns: no NUL at the end, never freed, valid
 * as long as what it points into.  A zeroed slice is the empty string.
 *
 * Case folding here is ASCII only, as protocols want it, whatever the locale.
 */
struct slice {
	const char *data;
	size_t len;
};

/* For printf: "%.*s", SLICE_ARGS(s).  Only for text known to be short. */
#define SLICE_ARGS(s) (int)(s).len, (s).data
#define SLICE_LIT(s)  ((struct slice){ (s), sizeof(s) - 1 })

static inline struct slice
slice_of(const char *data, size_t len)
{
	return (struct slice){ data, len };
}

/* The whole of a C string; NULL gives the empty slice. */
static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

/* Spreads strings over a hash table (FNV-1a); not against an adversary. */
static inline uint32_t
slice_hash(struct slice s)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.data[i]) * 16777619U;
	return h;
}

bool slice_eq(struct slice a, struct slice b);
bool slice_ieq(struct slice a, struct slice b);
bool slice_eq_str(struct slice a, const char *s);
bool slice_ieq_str(struct slice a, const char *s);
bool slice_starts(struct slice s, const char *prefix);
bool slice_istarts(struct slice s, const char *prefix);
bool slice_ends(struct slice s, const char *suffix);
bool slice_iends(struct slice s, const char *suffix);

/* Position of the first (last) `c`, or -1. */
ptrdiff_t slice_chr(struct slice s, char c);
ptrdiff_t slice_rchr(struct slice s, char c);
bool slice_icontains(struct slice s, struct slice what);

/* Without the first `n` bytes (all of them if there are fewer). */
struct slice slice_skip(struct slice s, size_t n);

/* Without white space (SP, HT, CR, LF) at both ends. */
struct slice slice_trim(struct slice s);

/*
 * Cut at the first `c`: *head_out is what stands before it, the result what
 * stands behind it.  Without a `c`, *head_out is all and the result empty
 * with data == NULL, which ends a loop:
 *	while (rest.data != NULL)
 *		rest = slice_cut(rest, ',', &item);
 */
struct slice slice_cut(struct slice s, char c, struct slice *head_out);

/*
 * Copy to a C string.  False, and an empty string, if it does not fit or
 * contains a NUL.
 */
bool slice_copy(struct slice s, char *out, size_t size) MUST_CHECK;

/* ASCII case folding and classes, independent of the locale. */
int ascii_lower(int c);
int ascii_casecmp(const char *a, const char *b);
bool ascii_is_alpha(int c);
bool ascii_is_digit(int c);
bool ascii_is_alnum(int c);
void ascii_lower_str(char *s);

bool slice_is_ascii(struct slice s);

/* Whole string is valid UTF-8 (no overlong forms, no surrogates). */
bool utf8_is_valid(struct slice s);

/*
 * A character of three bytes that turns what stands around it (U+202A..202E,
 * U+2066..2069), so that a text looks like another.
 */
bool utf8_is_turning(const unsigned char *p);

/*
 * Whole string is valid UTF-8 that shows as what it is, on one line: without
 * control characters, line separators and what turns the direction.
 */
bool utf8_is_plain(struct slice s);

#endif /* BASE_SLICE_H */
