#ifndef DIRECTORY_RECALL_H
#define DIRECTORY_RECALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/slice.h"
#include "directory/directory.h"
#include "directory/sql.h"

/*
 * The last answers about domains and accounts, remembered until anything at
 * all is written to the database.  Private to store.c; any thread may call.
 *
 * A change is seen by the look-up after it: every question compares the
 * database's version (sql_version()) with the one the answers belong to.
 * Without a version to compare nothing is remembered.  At most RECALL_SLOTS
 * answers, none with more than RECALL_FORWARD_MAX forwards.
 */
struct recall;

enum {
	RECALL_SLOTS = 512,
	RECALL_FORWARD_MAX = 8,
};

struct recall *recall_new(void);
void recall_free(struct recall *r);

/* Versions come from this connection now (NULL: none): forget everything. */
void recall_watch(struct recall *r, struct sql *watch);

/* `local.data` NULL asks for the domain alone. */
struct recall_question {
	struct slice local;
	const char *domain;
	uint64_t ticket; /* from recall_find() to recall_keep() */
};

/*
 * True: the answer is in *result, *domain and *account, strings in the pool.
 * False: ask the database, then call recall_keep() with the same question.
 */
bool recall_find(struct recall *r, struct recall_question *q, struct pool *pool,
    enum dir_result *result, struct dir_domain *domain,
    struct dir_account *account);

/* The answer to what recall_find() did not know. */
void recall_keep(struct recall *r, const struct recall_question *q,
    enum dir_result result, const struct dir_domain *domain,
    const struct dir_account *account);

#endif /* DIRECTORY_RECALL_H */
