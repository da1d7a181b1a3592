#ifndef MAILSTEAD_FASTCGI_H
#define MAILSTEAD_FASTCGI_H

#include "mailstead/cli.h"

int command_fastcgi(struct cli *c);

#endif /* MAILSTEAD_FASTCGI_H */
