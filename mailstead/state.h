#ifndef MAILSTEAD_STATE_H
#define MAILSTEAD_STATE_H

#include <stdint.h>

#include "mailstead/cli.h"

/* What the command line knows of the queue, with or without a runner. */

/*
 * {"active": n, "deferred": n, "held": n, "flush_fails": the disk does not take
 * what is delivered}; a new reference.
 */
json_t *state_queue_counts(struct cli *c);

/*
 * Nothing is deliverable now, of all that was accepted before `since_ms`
 * (wall clock): the runner has looked at everything since.
 */
bool state_queue_is_idle(struct cli *c, int64_t since_ms);

/* An empty or missing directory, made and opened. */
int state_open_empty(const char *path, int *fd_out, struct err *e) MUST_CHECK;

/* Remove everything below a directory that was made a moment ago. */
void state_empty(int dir_fd);

/* The tree of DESIGN 4.1 but the spool: what is missing is made; owners. */
int state_make_tree(
    int dir_fd, const struct config *c, struct err *e) MUST_CHECK;

/*
 * Everything below a part of the tree becomes its owner's and group's; only
 * for an installed server run by root.
 */
int state_own_tree(
    int dir_fd, const struct config *c, struct err *e) MUST_CHECK;

#endif /* MAILSTEAD_STATE_H */
