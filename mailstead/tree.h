#ifndef MAILSTEAD_TREE_H
#define MAILSTEAD_TREE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Copying parts of a state directory that others work in meanwhile.
 *
 * What is copied: regular files and directories with mode, times and (as
 * root) owner.  Links, sockets and the contents of tmp/ are left out.  A
 * source path is resolved without following a link anywhere in it, so nobody
 * who can write below the source leads the copy elsewhere.
 *
 *  - A database (*.db) is copied by SQLite, never file by file.
 *  - A file that is the same in `prev` (size, time, mode, owner) is a hard
 *    link to it; a message also when only its flags or new/cur changed.
 *  - Files that were hard links of one another are so in the copy.
 *  - What is in the copy already stays; so copying twice adds what came.
 *  - A mailbox (with all its folders) is gone through twice: a message that
 *    is moved or flagged meanwhile is in the copy at least once.
 */
struct tree {
	int from, to;
	int prev;                        /* -1: none */
	const char *from_path, *to_path; /* of `from` and `to`, for SQLite */
	uint64_t files, bytes;           /* of the copy, links as well */
	uint64_t linked;                 /* files that cost nothing */
	void *inodes;                    /* private */
};

/*
 * Copy `path` (below all three roots; "." = all), with what is in it; its
 * directories are made.  Not there: 0.
 */
int tree_copy(struct tree *t, const char *path, struct err *e) MUST_CHECK;

void tree_release(struct tree *t);

#endif /* MAILSTEAD_TREE_H */
