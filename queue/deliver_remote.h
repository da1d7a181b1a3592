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

/*
 * Stop the lanes; what waits in them, or for a connection, goes back to the
 * spool as it was.  Transfers under way go on, until they are hurried: those
 * that wait for the answer to a whole message only at last.
 */
void deliver_remote_stop(struct runner *r);
void deliver_remote_hurry(struct runner *r, bool last);

#endif /* QUEUE_DELIVER_REMOTE_H */
