#ifndef MAILSTEAD_CHECK_H
#define MAILSTEAD_CHECK_H

#include "mailstead/cli.h"

/* `check domain`; `check route`: the SMTP server's verdict without a connection. */
int command_check(struct cli *c);

#endif /* MAILSTEAD_CHECK_H */
