#ifndef ACCOUNTD_CORE_H
#define ACCOUNTD_CORE_H

#include <sys/types.h>

#include <gsasl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "directory/directory.h"
#include "directory/sql.h"

#include "ban.h"
#include "dkim.h"
#include "login_cache.h"
#include "store_secrets.h"
#include "throttle.h"

/*
 * What the threads of one accountd share.  Constant after core_open() but for
 * `write_lock`, which guards `db` and `names`; everything else locks inside.
 */
struct core {
	char *state_dir;
	uid_t owner; /* of the state directory */
	struct directory *directory;
	struct secrets *secrets;
	struct throttle *throttle;
	struct bans *bans;
	struct login_cache *cache;
	struct dkim_keys *dkim;
	struct limits *sent; /* messages an hour, of users; the daemon's */
	Gsasl *gsasl;

	pthread_mutex_t write_lock;
	struct sql *db; /* directory.db for writing */
	struct names *names;
};

/*
 * Open (and migrate) the files of a state directory.  ERR_PERM: missing,
 * damaged, newer, secrets.db readable by others.
 */
int core_open(
    const char *state_dir, struct core **out, struct err *e) MUST_CHECK;
void core_close(struct core *c);

/* Was a file removed or replaced?  What is written then is lost. */
bool core_is_gone(const struct core *c);

/*
 * Make directory/ and its two files, log/audit/, run/accountd/.  ERR_PERM if
 * the files are there.
 */
int core_create(const char *state_dir, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_CORE_H */
