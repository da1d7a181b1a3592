#ifndef ACCOUNTD_SESSION_H
#define ACCOUNTD_SESSION_H

#include "base/compiler.h"
#include "base/err.h"

#include "auth.h"
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

/* --- Between session.c and session_steps.c ----------------------------------- */

/* Who asks, from the request's "ip" and "log_id". */
int session_read_client(
    struct request *q, struct auth_client *c, struct err *e) MUST_CHECK;

/* "result", and of who is signed in "account", into the answer. */
int session_put_result(struct request *q, enum auth_result r,
    const struct auth_attempt *a, struct err *e) MUST_CHECK;

/* Fill q->actor: 1 = the account is still there and may use the web. */
int session_load_account(
    struct request *q, int64_t id, int64_t now, struct err *e) MUST_CHECK;

/*
 * A new session of the attempt's account, its token in the answer; or, with
 * `step`, a token ("pending") that is good for this step alone.
 */
int session_create(struct request *q, const struct auth_attempt *a,
    const char *step, struct err *e) MUST_CHECK;

/*
 * The password was judged with `r`: ask for the next step there is, or make
 * the session; the answer says which.
 */
int session_go_on(struct request *q, struct auth_attempt *a, enum auth_result r,
    struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_SESSION_H */
