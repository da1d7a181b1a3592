#ifndef MAILSTEAD_LEFT_H
#define MAILSTEAD_LEFT_H

#include "mailstead/cli.h"

/*
 * What deleted users leave behind (maildir/left.h), by command: done here,
 * whether the server runs or not, after accountd has put it down.
 */

/*
 * Put aside what an address left, and tell accountd.  ERR_PERM: there is an
 * account of that name.  Nothing left behind is fine.
 */
int left_settle(struct cli *c, const char *address, struct err *e) MUST_CHECK;

int left_command_aside(struct cli *c); /* mailbox aside ADDRESS */
int left_command_left(struct cli *c);  /* mailbox left */
int left_command_back(struct cli *c);  /* mailbox back ADDRESS */
int left_command_purge(
    struct cli *c); /* mailbox purge [--days N] [--address A] */

#endif /* MAILSTEAD_LEFT_H */
