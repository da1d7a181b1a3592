#ifndef ACCOUNTD_VERBS_H
#define ACCOUNTD_VERBS_H

#include <stdbool.h>

#include "request.h"
#include "rights.h"

/* What the dispatcher finds out about the target before rights are checked. */
enum target_by {
	BY_NOTHING,
	BY_DOMAIN,  /* "domain": exists */
	BY_NEW,     /* "address": its domain exists */
	BY_ACCOUNT, /* "address": an account; absent = the one signed in */
	BY_ALIAS,   /* "address": an alias */
	BY_LIST,    /* "address": a distribution list */
};

enum verb_flags {
	VERB_READ = 1,  /* looks at the directory: under the lock */
	VERB_WRITE = 2, /* in a transaction, and into the audit log */
	VERB_QUIET = 4, /* but not into the audit log */
	VERB_FRESH = 8, /* on the web the password must be fresh */
};

struct verb {
	const char *name;
	unsigned programs; /* enum program bits it may come from */
	enum right right;
	enum target_by by;
	unsigned flags;
	verb_handler *prepare; /* slow work before the lock, or NULL */
	verb_handler *run;
};

/*
 * NULL: no such verb.  With a "domain" in the request the row "NAME domain"
 * goes first: the same for one domain, for its administrators.
 */
const struct verb *verbs_find(const char *name, bool has_domain);

#endif /* ACCOUNTD_VERBS_H */
