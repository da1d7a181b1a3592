#ifndef MAILSTEAD_RUN_H
#define MAILSTEAD_RUN_H

#include "mailstead/cli.h"

/* The daemons in the order they start; ended by NULL. */
extern const char *const service_names[];

int command_run(struct cli *c);  /* run: all daemons in the foreground */
int command_init(struct cli *c); /* init */
int command_tls(struct cli *c);  /* tls list, install... */

#endif /* MAILSTEAD_RUN_H */
