#ifndef ACCOUNTD_STORE_DIRECTORY_H
#define ACCOUNTD_STORE_DIRECTORY_H

#include "base/compiler.h"
#include "base/err.h"
#include "directory/sql.h"

/*
 * directory.db as its only writer sees it: making it, bringing it to this
 * version, opening it for writing.  The readers' side is
 * common/directory/store.h.
 */

/* STATE/directory/directory.db, mode 0640; ERR_PERM if it is there already. */
int store_directory_create(const char *state_dir, struct err *e) MUST_CHECK;

/* Open for writing and migrate if it is of an older version. */
int store_directory_open(
    const char *state_dir, struct sql **out, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_STORE_DIRECTORY_H */
