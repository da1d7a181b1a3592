#ifndef MAILDIR_NAME_H
#define MAILDIR_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#include "maildir/maildir.h"

/* What the files of the library share about names; see name.c. */

enum {
	MAILDIR_NO_SIZE = 1,
	MAILDIR_NO_WIRE_SIZE = 2,
	MAILDIR_INFO_SIZE = 16, /* ":2,DFPRST" */
};

/* A name without its ":2,FLAGS". */
struct slice maildir_base_name(const char *name);

/* Fill in sizes, flags and arrival; says which sizes the name lacks. */
unsigned maildir_parse_name(const char *name, struct maildir_entry *out);

/*
 * The name with these flags instead, for cur/; letters that we do not know
 * are kept.  False if it would be too long.
 */
bool maildir_with_flags(
    const char *name, uint8_t flags, char out[MAILDIR_NAME_SIZE]) MUST_CHECK;

/* Letters a to z (bit 0 = a) that stand for keywords, and others of them. */
uint32_t maildir_letters(const char *name);
bool maildir_with_letters(const char *name, uint32_t add, uint32_t remove,
    char out[MAILDIR_NAME_SIZE]) MUST_CHECK;

/* Order of a listing: by arrival, then by the bytes of the base. */
int maildir_order(const char *a, const char *b);

#endif /* MAILDIR_NAME_H */
