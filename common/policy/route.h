#ifndef POLICY_ROUTE_H
#define POLICY_ROUTE_H

#include <jansson.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "directory/directory.h"

/*
 * What would become of an imagined message: gathers the facts and asks the
 * same functions as the SMTP server, in the order of a session.  Nothing is
 * sent and nothing changed; DNS is asked where the settings want it.
 */
struct policy_question {
	const char *from; /* "" or "<>" = the null sender */
	const char *to;
	const char *ip; /* of the client */
	const char
	    *user; /* signed in on submission; NULL = a stranger's server */
	/* The key of return paths (32 bytes); false: not to be had now. */
	bool (*srs_key)(void *arg, uint8_t *out);
	void *arg;
};

/*
 * *out is {verdict: accept|defer|reject, reply, rule, next:
 * local|remote|smarthost, reason}.  ERR_PERM: the question makes no sense.
 */
int policy_route(struct directory *d, const struct policy_question *q,
    json_t **out, struct err *e) MUST_CHECK;

#endif /* POLICY_ROUTE_H */
