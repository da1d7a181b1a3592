#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

/*
 * Numbers from text, and arithmetic that notices overflow.  Whole string or
 * nothing: no leading space, no sign unless said, no trailing bytes.  On
 * false the result is untouched.
 */

/* Decimal digits only, at most `max`. */
bool num_parse(struct slice s, uint64_t max, uint64_t *out) MUST_CHECK;

/* As above with an optional leading '-'. */
bool num_parse_signed(
    struct slice s, int64_t min, int64_t max, int64_t *out) MUST_CHECK;

/*
 * Bytes: digits and an optional unit, a power of 1024 however it is written:
 * K, KB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB; B, "bytes".
 */
bool num_parse_size(struct slice s, uint64_t max, uint64_t *out) MUST_CHECK;

/* For people, in the same units: "50 MB", "1.2 kB". */
enum {
	NUM_SIZE_TEXT = 32
};

void num_format_size(uint64_t n, char out[NUM_SIZE_TEXT]);

/*
 * Durations in seconds: digits and an optional unit s, m, h, d, w; several in
 * a row add up ("1h30m").  A bare number is seconds.
 */
bool num_parse_duration(struct slice s, uint64_t max, uint64_t *out) MUST_CHECK;

static inline bool
num_add_overflows(size_t a, size_t b, size_t *out)
{
	return __builtin_add_overflow(a, b, out);
}

static inline bool
num_mul_overflows(size_t a, size_t b, size_t *out)
{
	return __builtin_mul_overflow(a, b, out);
}

static inline size_t
num_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Little-endian fixed-width fields of our own file formats. */
void num_put_le32(uint8_t *p, uint32_t v);
void num_put_le64(uint8_t *p, uint64_t v);
uint32_t num_get_le32(const uint8_t *p);
uint64_t num_get_le64(const uint8_t *p);

#endif /* BASE_NUM_H */
