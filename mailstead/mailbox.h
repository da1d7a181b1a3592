#ifndef MAILSTEAD_MAILBOX_H
#define MAILSTEAD_MAILBOX_H

#include "mailstead/cli.h"

enum {
	MAILBOX_PATH_SIZE = 512
};

/* Where the mailbox of an address is, below the mail root. */
bool mailbox_path(const char *address, char out[MAILBOX_PATH_SIZE]) MUST_CHECK;

int command_mailbox(struct cli *c); /* mailbox list|show|check|... */

#endif /* MAILSTEAD_MAILBOX_H */
