#ifndef QUEUE_SELFCHECK_H
#define QUEUE_SELFCHECK_H

#include "base/compiler.h"
#include "base/err.h"

#include "queue/runner.h"

/*
 * Looks at the DNS records of our domains (directory/domain_check.h) when the
 * first mail of one goes out, and daily after; what is missing is logged once.
 * Never stops or delays mail: it has a thread of its own.
 */
struct selfcheck;
struct selfcheck *selfcheck_new(void);

int selfcheck_start(struct runner *r, struct err *e) MUST_CHECK;

/* Mail of this domain of ours is being sent.  Cheap; any thread. */
void selfcheck_note(struct selfcheck *s, const char *domain);

#endif /* QUEUE_SELFCHECK_H */
