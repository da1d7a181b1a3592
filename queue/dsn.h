#ifndef QUEUE_DSN_H
#define QUEUE_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

#include "queue/envelope.h"

/*
 * Delivery status notifications: RFC 3464 in a multipart/report (RFC 6522),
 * as RFC 3461 asks.  Never to the null sender, never about a report.
 */
enum dsn_kind {
	DSN_FAILURE,
	DSN_DELAY,
	DSN_SUCCESS,
};

/* Everything a report is made of; building it is pure. */
struct dsn {
	enum dsn_kind kind;
	const char *id;   /* of the report itself */
	const char *host; /* reporting server */
	int64_t now_ms;
	const struct envelope *envelope;
	const size_t *recipients; /* those it speaks of */
	size_t count;
	const char *message_id; /* of the message, for logs: its queue id */
	int64_t expires_ms;     /* for a delay: until when it is tried */
	const char *postmaster; /* instead of the sender, or NULL */
	struct slice original;  /* the message or its header, LF ends */
	bool original_whole;
};

/* Append the whole message (LF line ends, ASCII but for the original). */
void dsn_build(const struct dsn *d, struct buf *out);

/*
 * Send what is due about a job whose attempts are over for now, and note it
 * in the envelope.  -1 when a report could not be stored: the message must be
 * kept.
 */
struct job;
int dsn_report(struct job *j) MUST_CHECK;

/* Reports that a runner sent before it died, as its marks say. */
void dsn_recover(struct job *j);

#endif /* QUEUE_DSN_H */
