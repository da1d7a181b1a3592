#ifndef DIRECTORY_STORE_H
#define DIRECTORY_STORE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "directory/directory.h"
#include "directory/settings.h"

/*
 * The SQLite back-end of the look-ups: one function a question, no policy.
 * Other back-ends (LDAP, PostgreSQL) will stand beside it behind the same
 * functions.  Private to common/directory, but for the version and the tag,
 * which the writer (accountd/store_directory.c) shares.
 */
enum {
	DIRECTORY_VERSION = 9,
	DIRECTORY_OLDEST = 1, /* readable without migration */
};

#define DIRECTORY_APPLICATION 0x4d534431U /* "MSD1" */

struct store;

int store_open(
    const char *state_dir, struct store **out, struct err *e) MUST_CHECK;
void store_close(struct store *s);

/* All rows of the settings as a new set. */
int store_settings(
    struct store *s, struct settings **out, struct err *e) MUST_CHECK;

/* dir_waiting() */
enum dir_result store_waiting(struct store *s, struct pool *pool,
    struct dir_waiting *list, size_t limit, size_t *count_out,
    struct err *e) MUST_CHECK;

/* A number that moves with every commit by somebody else. */
int store_generation(struct store *s, int64_t *out, struct err *e) MUST_CHECK;

/* `name` "" = the default domain. */
enum dir_result store_domain(struct store *s, const char *name,
    struct pool *pool, struct dir_domain *out, struct err *e);

/*
 * The domain and in it the account, both in one query: DIR_NONE = no such
 * domain; DIR_FOUND with account->id == 0 = the domain, but nobody there.
 */
enum dir_result store_account(struct store *s, struct slice local,
    const char *domain, struct pool *pool, struct dir_domain *domain_out,
    struct dir_account *account_out, struct err *e);

/* Alias or list in a domain; sets kind, targets and the posting rules. */
enum dir_result store_targets(struct store *s, struct slice local,
    int64_t domain_id, struct pool *pool, struct dir_target *out,
    struct err *e);

#endif /* DIRECTORY_STORE_H */
