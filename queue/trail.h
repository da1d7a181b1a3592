#ifndef QUEUE_TRAIL_H
#define QUEUE_TRAIL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

#include "queue/spool_runner.h"

/*
 * Where a message has been, by the Delivered-To fields in its header: what
 * ends forwarding loops (threats.md E02, E03).
 */
enum {
	TRAIL_HEAD_MAX = 262144
};

/* Append the header as it came, without our own trace fields; or nothing. */
void trail_read_head(struct spool_item *item, struct buf *out);

/* Does `head` say that the message was at this address? */
bool trail_was_at(struct slice head, const char *address);

#endif /* QUEUE_TRAIL_H */
