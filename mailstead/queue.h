#ifndef MAILSTEAD_QUEUE_H
#define MAILSTEAD_QUEUE_H

#include "mailstead/cli.h"

int command_queue(struct cli *c); /* queue list|show|retry|... */

#endif /* MAILSTEAD_QUEUE_H */
