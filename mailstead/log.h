#ifndef MAILSTEAD_LOG_H
#define MAILSTEAD_LOG_H

#include "mailstead/cli.h"

/* log PROGRAM [--day D] [--match TEXT] [--lines N] [--follow] */
int command_log(struct cli *c);

#endif /* MAILSTEAD_LOG_H */
