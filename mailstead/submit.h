#ifndef MAILSTEAD_SUBMIT_H
#define MAILSTEAD_SUBMIT_H

#include "mailstead/cli.h"

int command_submit(struct cli *c); /* submit, sendmail */

#endif /* MAILSTEAD_SUBMIT_H */
