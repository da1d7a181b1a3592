#ifndef MAILSTEAD_ASK_H
#define MAILSTEAD_ASK_H

#include "mailstead/cli.h"

/*
 * Start `program --serve-fd N` for this one command; *fd_out is our end of
 * the socket pair (of `socktype`).  How every command works without a
 * running server.
 */
int ask_start(struct cli *c, const char *program, int socktype, int *fd_out,
    struct err *e) MUST_CHECK;

/* Ask the queue runner (queue/control.h), as cli_call() asks accountd. */
int ask_runner(struct cli *c, json_t *request, json_t **reply_out,
    struct err *e) MUST_CHECK;

#endif /* MAILSTEAD_ASK_H */
