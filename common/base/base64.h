#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

/* RFC 4648.  Strict: no white space, right padding, no stray bits. */

/* Append the padded standard form (section 4) to `out`. */
void base64_encode(const void *data, size_t len, struct buf *out);

/*
 * Append what `s` decodes to.  False on anything that is not the canonical
 * padded form, with `out` unchanged.
 */
bool base64_decode(struct slice s, struct buf *out) MUST_CHECK;

/* The URL-safe alphabet without padding (section 5). */
void base64url_encode(const void *data, size_t len, struct buf *out);
bool base64url_decode(struct slice s, struct buf *out) MUST_CHECK;

/* Lower-case hexadecimal; out takes 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *out);

#endif /* BASE_BASE64_H */
