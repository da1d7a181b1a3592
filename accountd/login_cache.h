#ifndef ACCOUNTD_LOGIN_CACHE_H
#define ACCOUNTD_LOGIN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * Remembers for a while that a password was right, for clients that sign in
 * every minute.  What is remembered is a keyed hash of account, stored hash
 * and password under a key that lives in this process only: it says nothing
 * to whoever reads the memory without the key, never holds for another
 * account, and holds no more once the password is changed, by whatever
 * process.  Any thread.
 */
struct login_cache;

struct login_cache *login_cache_new(void);
void login_cache_free(struct login_cache *c);

bool login_cache_has(struct login_cache *c, int64_t account_id,
    const char *hash, struct slice password, int64_t now_ms);
void login_cache_add(struct login_cache *c, int64_t account_id,
    const char *hash, struct slice password, int64_t until_ms);

#endif /* ACCOUNTD_LOGIN_CACHE_H */
