#ifndef MAILSTEAD_STATE_H
#define MAILSTEAD_STATE_H

#include <stdint.h>

#include "mailstead/cli.h"

/* What the command line knows of the queue, with or without a runner. */

/* {"active": n, "deferred": n, "held": n}; a new reference. */
json_t *state_queue_counts(struct cli *c);

/*
 * Nothing is deliverable now, of all that was accepted before `since_ms`
 * (wall clock): the runner has looked at everything since.
 */
bool state_queue_is_idle(struct cli *c, int64_t since_ms);

#endif /* MAILSTEAD_STATE_H */
