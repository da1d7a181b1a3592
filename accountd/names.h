#ifndef ACCOUNTD_NAMES_H
#define ACCOUNTD_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"
#include "directory/sql.h"

#include "request.h"

/*
 * The names of all accounts in one piece of memory, so that searching 100,000
 * for a part of a name costs 2 ms and not 20.  About 40 bytes an account, none
 * before the first search.  Used under core's `write_lock`.
 *
 * N1: it only proposes.  Whoever asks reads each account by its id and matches
 *     it again, so nothing is shown that is not there now.
 * N2: it misses nothing that was committed before names_start(): triggers
 *     number every change of a name, whichever process makes it, and say of
 *     the last ones whose name it was.  These are read again; all names
 *     (35 ms for 100,000) at first and when more have changed.
 * N3: it knows no rights: a search of one domain says so, as the row of its
 *     verb has it.
 * N4: it holds names and ids alone, and one question reads it once at most.
 */
struct names;

struct names *names_new(void);
void names_free(struct names *n);

/* Where a search stands.  Patterns as in struct match; all must outlive it. */
struct names_search {
	const struct match *match;
	struct slice after_domain, after_local;
	int64_t domain_id; /* 0: all */
	/* names.c's */
	char *literal;
	size_t group, at;
};

/* Bring the table to what `db` says, and begin in front of all after "after". */
int names_start(struct names *n, struct sql *db, struct names_search *s,
    struct pool *pool, struct err *e) MUST_CHECK;

/* The id of the next account that may fit, by domain and local part; 0: end. */
int64_t names_next(const struct names *n, struct names_search *s);

#endif /* ACCOUNTD_NAMES_H */
