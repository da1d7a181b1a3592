#ifndef MTAD_INCOMING_H
#define MTAD_INCOMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"
#include "mail/message.h"

#include "queue/spool.h"

/*
 * A message's text on its way into the spool: the header block is collected
 * and looked at once, when it is whole, then the trace fields and what is kept
 * of it are written; everything behind goes through.
 *
 * Lines are pushed in as the dot reader gives them.  After a fault nothing is
 * written any more, but lines may still come.
 */
enum incoming_fault {
	INCOMING_OK,
	INCOMING_HEADERS,   /* header block beyond its ceiling */
	INCOMING_HOPS,      /* too many Received */
	INCOMING_LOOP,      /* was delivered here before */
	INCOMING_FROM,      /* From is somebody else of ours */
	INCOMING_AMBIGUOUS, /* from outside: nobody knows whose it is */
	INCOMING_WRITE,     /* the spool cannot take it; `err` says why */
};

enum {
	INCOMING_HEADERS_MAX = 1024 * 1024,
	INCOMING_FIELDS_MAX = 2000,
};

/* What to do with the header block. */
struct incoming_rules {
	struct message_trace trace; /* for Received */
	const char *sender;
	const char *delivered_to; /* NULL unless a single local recipient */
	const char *const *recipients;
	size_t recipient_count;
	int max_hops;
	bool is_submission;   /* add what is missing */
	bool is_from_outside; /* neither signed in nor trusted */
	/* May the signed-in user write as this address?  NULL: not asked. */
	bool (*may_write_as)(void *arg, struct slice address);
	/* Does an Authentication-Results field speak in a name of ours? */
	bool (*claims_our_name)(void *arg, struct slice value);
	void *arg;
};

struct incoming {
	const struct incoming_rules *rules;
	struct spool_message *message;
	struct buf headers; /* collected so far */
	size_t line_start;  /* of the unfinished line in `headers` */
	bool in_body;
	enum incoming_fault fault;
	struct err err;
	uint32_t lines;        /* written, all kinds */
	uint32_t local_prefix; /* bytes, see queue/envelope.h */
	char message_id[256];  /* of the message, for the log */
};

void incoming_init(struct incoming *in, const struct incoming_rules *rules,
    struct spool_message *message);
void incoming_release(struct incoming *in);

/* Text, then a line end if `newline`. */
void incoming_write(struct incoming *in, struct slice text, bool newline);

/* The data has ended. */
void incoming_end(struct incoming *in);

#endif /* MTAD_INCOMING_H */
