#ifndef QUEUE_ARRIVED_H
#define QUEUE_ARRIVED_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

#include "maildir/maildir.h"
#include "queue/spool_runner.h"

/*
 * What earlier runners delivered and could not settle (I6): each mailbox's
 * new/ and cur/ are read once after the start, not once a message, and of
 * their names those of unsettled messages are kept.  What this runner
 * delivers is marked done and never asked for.  Thread-safe.
 */
struct arrived;

struct arrived *arrived_new(struct spool *s);

/*
 * Does the mailbox at "domain/local" have a message of this delivery name,
 * whatever its flags?  Only for messages that lay in the spool at the start.
 * ERR_TEMP: its directories cannot be read.
 */
int arrived_has(struct arrived *a, const char *path, const struct maildir *m,
    const char *name, bool *out, struct err *e) MUST_CHECK;

#endif /* QUEUE_ARRIVED_H */
