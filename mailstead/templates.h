#ifndef MAILSTEAD_TEMPLATES_H
#define MAILSTEAD_TEMPLATES_H

#include "mailstead/cli.h"

int command_template(struct cli *c);

#endif /* MAILSTEAD_TEMPLATES_H */
