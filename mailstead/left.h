#ifndef MAILSTEAD_LEFT_H
#define MAILSTEAD_LEFT_H

#include "mailstead/cli.h"

/*
 * What deleted users leave behind: their mailbox and what webmail kept of
 * them.  Put aside it lies in the domain's folder below mail/ and users/, in
 * `.left/LOCAL~TIME`, where no account can reach it, until it is purged.
 * accountd refuses a new account of the name until then.  An account of the
 * name can have back what was put aside last.
 */

/*
 * Put aside what an address left, and tell accountd.  ERR_PERM: there is an
 * account of that name.  Nothing left behind is fine.
 */
int left_put_aside(
    struct cli *c, const char *address, struct err *e) MUST_CHECK;

int left_aside(struct cli *c); /* mailbox aside ADDRESS */
int left_list(struct cli *c);  /* mailbox left */
int left_back(struct cli *c);  /* mailbox back ADDRESS */
int left_purge(struct cli *c); /* mailbox purge [--days N] [--address A] */

#endif /* MAILSTEAD_LEFT_H */
