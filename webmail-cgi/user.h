#ifndef WEBMAIL_CGI_USER_H
#define WEBMAIL_CGI_USER_H

#include "webmail-cgi/store_user.h"
#include "webmail-cgi/webmail.h"

/*
 * The signed-in user's own file and what the pages need of it, for one
 * request: opened when first asked for, closed by user_done().
 */

/*
 * NULL and 0: there is none yet (only without `create`).  Stays the
 * request's.
 */
int user_store(struct web_request *r, bool create, struct sql **out,
    struct err *e) MUST_CHECK;

/* Preferences; the defaults if they cannot be read (logged) or nobody is
 * signed in.  Read once a request. */
const struct prefs *user_prefs(struct web_request *r);

/* The labels as the templates know them: [{id, name, hue, keyword}]. */
json_t *user_labels(struct web_request *r);

/*
 * The addresses the user may send as, the account's own first: what
 * store_identity has of each, or name and address.
 */
struct identities {
	struct identity *list;
	size_t count;
	size_t preset; /* index of the default one */
};

int user_identities(
    struct web_request *r, struct identities *out, struct err *e) MUST_CHECK;

/* Is this one of the user's own, compared without case and +tag? */
bool identities_has(const struct identities *own, const char *address);

/*
 * The identity an address belongs to (with or without +tag), the default one
 * if it is none of them.
 */
const struct identity *identities_for(
    const struct identities *own, const char *address);

/*
 * What was typed, without control characters: LF line ends, or with !lines
 * one line.
 */
const char *user_text(struct pool *pool, const char *text, bool lines);

/* The quota counts what came or went. */
void user_count_usage(
    const struct web_request *r, int64_t bytes, int64_t messages);

/* Quota as the side bar shows it: {used, max, percent, state}, or NULL. */
json_t *user_quota(const struct web_request *r);

/* web_app.done */
void user_done(struct web_request *r);

#endif /* WEBMAIL_CGI_USER_H */
