#ifndef MAILSTEAD_LOOK_H
#define MAILSTEAD_LOOK_H

#include "mailstead/cli.h"

/* domain look NAME signature.txt|brand.css [FILE] */
int command_look(struct cli *c);

#endif /* MAILSTEAD_LOOK_H */
