#ifndef ACCOUNTD_SESSION_H
#define ACCOUNTD_SESSION_H

#include "base/compiler.h"
#include "base/err.h"

#include "request.h"

/*
 * Web sessions: a token of 256 random bits that the browser keeps, of which
 * only a keyed hash is stored.  A session is of the program it was made by
 * (webmail's is nothing to admin-cgi), ends after an idle and an absolute
 * time, with the account's password, and counts for nothing while account or
 * domain is disabled or web access is off; roles are read at every request.
 */

/* Fill q->actor; ERR_PERM "no-session" when the token is not (any more) good. */
int session_actor(
    struct request *q, const char *token, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_SESSION_H */
