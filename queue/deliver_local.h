#ifndef QUEUE_DELIVER_LOCAL_H
#define QUEUE_DELIVER_LOCAL_H

#include "queue/job.h"

/*
 * Deliver to the job's waiting local recipients: written once into the first
 * mailbox, hard-linked into the others (I2).  Every recipient gets an outcome.
 */
void deliver_local(struct job *j);

#endif /* QUEUE_DELIVER_LOCAL_H */
