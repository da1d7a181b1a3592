#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

/*
 * Names for things.
 *
 * A message id is a ULID: 26 characters of Crockford base32, upper case, of a
 * 48-bit millisecond clock and 80 random bits.  It sorts by time, is the queue
 * id in replies, logs, headers and file names, and tells which day's log to
 * read.
 *
 * A token is a secret: random bytes from getrandom(), as unpadded base64url.
 */
enum {
	ID_LEN = 26,
	ID_SIZE = ID_LEN + 1,
	SESSION_ID_SIZE = 13, /* 60 random bits: tells sessions apart in logs */
};

void id_new(char out[ID_SIZE]);

/* As id_new() with a given clock, for tests and for tools. */
void id_new_at(int64_t wall_ms, char out[ID_SIZE]);

bool id_is_valid(struct slice s);

/* The clock inside a valid id. */
int64_t id_wall_ms(const char *id);

void session_id_new(char out[SESSION_ID_SIZE]);

/* Fill with random bytes; aborts if the kernel has none. */
void random_bytes(void *out, size_t len);

/* A number in [0, below), without bias; below > 0. */
uint32_t random_below(uint32_t below);

/*
 * A secret of 1 to 96 random bytes as base64url; `size` must be enough for
 * the digits and the NUL.
 */
void token_new(char *out, size_t size, size_t nbytes);

#endif /* BASE_ID_H */
