#ifndef MAILSTEAD_MAILBOX_H
#define MAILSTEAD_MAILBOX_H

#include "mailstead/cli.h"

int command_mailbox(struct cli *c); /* mailbox list|show|check|... */

#endif /* MAILSTEAD_MAILBOX_H */
