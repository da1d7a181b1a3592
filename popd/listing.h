#ifndef POPD_LISTING_H
#define POPD_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#include "maildir/maildir.h"

/*
 * What a mailbox held when it was read, packed, and the copy of it in
 * cache/pop that spares reading the directories again.
 *
 * A copy is true as long as new/ and cur/ are the same directories, unchanged
 * since (inode, times to the nanosecond).  What changed less than two seconds
 * ago may change again within the same tick of the clock, so of such a
 * directory nothing is kept and no copy is believed.  The files are popd's
 * alone, may be deleted at any time and are replaced by a rename; one that a
 * crash or a bad disk spoiled is not taken.
 */

/* The top bit of an offset is the owner's: see mailbox.c. */
#define LISTING_MARK 0x80000000U

struct listing {
	char *names;       /* of files, one block */
	uint32_t *offsets; /* into names, by arrival */
	uint64_t *sizes;   /* on the wire; NULL: all names tell them */
	size_t count;
	uint64_t total; /* on the wire */
};

void listing_release(struct listing *l);

/* Takes over what the snapshot holds. */
void listing_pack(struct listing *l, struct maildir_snapshot *s);

/* The directories as they are now. */
struct listing_key {
	struct listing_dir {
		uint64_t device, inode;
		int64_t modified_ns, changed_ns;
	} dirs[2];
};

/* False: one of them changed just now. */
bool listing_key_take(
    const struct maildir *m, struct listing_key *out) MUST_CHECK;

bool listing_key_is_same(
    const struct listing_key *a, const struct listing_key *b);

/* `path` is the mailbox's, "domain/local".  False: there is no true copy. */
bool listing_load(int cache_fd, const char *path, const struct listing_key *key,
    struct listing *out) MUST_CHECK;

/*
 * Keep a copy; a short listing is not worth it, a failure no harm.  The caller
 * has the mailbox's lock.
 */
void listing_store(int cache_fd, const char *path,
    const struct listing_key *key, const struct listing *l);

#endif /* POPD_LISTING_H */
