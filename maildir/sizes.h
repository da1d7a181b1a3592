#ifndef MAILDIR_SIZES_H
#define MAILDIR_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

#include "maildir/maildir.h"

/*
 * Sizes of messages whose names do not tell them: measured once and kept in
 * the file `mailstead-sizes` beside new/ and cur/, one line
 * "<size> <wire size> <base>" a message in the order of listings, after the
 * line "mailstead-sizes 1".  The file can be deleted at any time.
 *
 * Used while going through a listing in order.  A zeroed cache is ready.
 */
struct sizes_cache {
	bool loaded, changed;
	struct buf old;    /* the file as it was */
	struct slice rest; /* of it, not yet passed */
	struct buf fresh;  /* the file as it shall be */
};

/* False: the message is gone or cannot be read. */
bool sizes_get(struct sizes_cache *c, const struct maildir *m, const char *name,
    uint64_t *size_out, uint64_t *wire_out) MUST_CHECK;

/* Write the file anew if something was measured; a failure is no harm. */
void sizes_release(struct sizes_cache *c, const struct maildir *m);

/*
 * Measure an opened file from its start: bytes, and bytes with CRLF line ends
 * including one after a last line that has none.
 */
int sizes_measure(
    int fd, uint64_t *size_out, uint64_t *wire_out, struct err *e) MUST_CHECK;

#endif /* MAILDIR_SIZES_H */
