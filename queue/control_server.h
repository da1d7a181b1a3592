#ifndef QUEUE_CONTROL_SERVER_H
#define QUEUE_CONTROL_SERVER_H

#include "queue/runner.h"

/* The runner's side of control.h. */

/* Serve one connection until it ends; closes `fd`. */
void control_serve(struct runner *r, int fd);

/* Make due what waited only because delivery was suspended. */
void control_wake_suspended(struct runner *r);

/* Write run/queue.stat. */
void control_write_stat(struct runner *r);

#endif /* QUEUE_CONTROL_SERVER_H */
