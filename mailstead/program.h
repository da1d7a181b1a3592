#ifndef MAILSTEAD_PROGRAM_H
#define MAILSTEAD_PROGRAM_H

#include "mailstead/cli.h"

int command_mail_program(struct cli *c); /* mail-program ADDRESS */

#endif /* MAILSTEAD_PROGRAM_H */
