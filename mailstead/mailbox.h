#ifndef MAILSTEAD_MAILBOX_H
#define MAILSTEAD_MAILBOX_H

#include "mailstead/cli.h"

int command_mailbox(struct cli *c); /* mailbox list|show|check|... */

int command_mailbox_move(struct cli *c); /* mailbox move DIRECTORY; move.c */

/*
 * Count one account's mailbox and tell accountd; {address, used_bytes,
 * used_messages} is appended to `results`.
 */
int mailbox_recount(
    struct cli *c, json_t *address, json_t *results, struct err *e) MUST_CHECK;

#endif /* MAILSTEAD_MAILBOX_H */
