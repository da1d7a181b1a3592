#ifndef QUEUE_STAGING_H
#define QUEUE_STAGING_H

#include <stddef.h>

#include "queue/job.h"

/*
 * Jobs whose local recipients have a file in tmp/ that no flush has covered.
 * One flush for all of them, and then each is marked prepared, renamed to new/
 * and marked done.  So a name in new/ never stands for less than the whole
 * message, whenever the power goes and whoever reads there.
 *
 * The renames are made durable by a second flush, shared by all of about a
 * second; only then the messages are settled.  A flush tells of a failure
 * once, and may take what it could not write for written.  So after a failed
 * one nothing is published, what it had to cover is written anew, and it is
 * done again, until one succeeds; runner.flush_fails tells of it.
 */
struct staging;

struct staging *staging_new(int mail_root_fd);

/*
 * Takes a reference to the job; its local_size and local_wire_size are set and
 * `files` of its recipients are marked started.  Any thread.
 */
void staging_add(struct staging *s, struct job *j, size_t files);

/*
 * A delivery is in a mailbox at `path` under this name (without flags), and no
 * shared flush has covered that.  Before it is marked stored.  Any thread.
 */
void staging_remember(struct staging *s, const char *path, const char *name);

/* How many files wait.  Any thread. */
size_t staging_count(struct staging *s);

/*
 * Flush and publish what is there; where the flush fails the files go and
 * their recipients are tried again when one works.  One thread at a time.
 */
void staging_publish(struct runner *r);

/* The shared flush and what follows from it.  Another thread, one at a time. */
void staging_settle(struct runner *r);

#endif /* QUEUE_STAGING_H */
