#ifndef QUEUE_DELIVER_LOCAL_H
#define QUEUE_DELIVER_LOCAL_H

#include "queue/job.h"

/*
 * Bring the message into the tmp/ of the job's waiting local recipients:
 * written once into the first mailbox, hard-linked into the others (I2).
 * Every recipient then has an outcome, or is marked started and waits, with
 * the job referenced, in the runner's `staging` (staging.h).
 */
void deliver_local(struct job *j);

#endif /* QUEUE_DELIVER_LOCAL_H */
