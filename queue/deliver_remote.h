#ifndef QUEUE_DELIVER_REMOTE_H
#define QUEUE_DELIVER_REMOTE_H

#include "base/compiler.h"
#include "base/err.h"

#include "queue/job.h"
#include "queue/runner.h"

/*
 * Hand the job's waiting remote recipients to the lanes, grouped into
 * transfers; each group holds a reference to the job.  Returns at once.
 */
void deliver_remote(struct job *j);

/* Start the sending threads; they end when the lanes are stopped. */
int deliver_remote_start(
    struct runner *r, unsigned threads, struct err *e) MUST_CHECK;

/* Stop the lanes; what waits in them goes back to the spool as it was. */
void deliver_remote_stop(struct runner *r);

#endif /* QUEUE_DELIVER_REMOTE_H */
