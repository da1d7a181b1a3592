#ifndef PARSE_ANSWER_H
#define PARSE_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/*
 * The answer to one job, as packets of mime/wire.h.  Calls after a failed one
 * do nothing: a client that has gone wants nothing more; a job that streams
 * may look at answer_is_lost() and stop.
 */
struct answer {
	int sock;
	bool lost;
};

/* What precedes data (mime_sink.begin). */
void answer_begin(struct answer *a, const json_t *value);
void answer_data(struct answer *a, const void *data, size_t len);

/* The end: `value` (taken over) is the answer. */
void answer_end(struct answer *a, json_t *value);

/* The end: refused for good. */
void answer_refuse(struct answer *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline bool
answer_is_lost(const struct answer *a)
{
	return a->lost;
}

#endif /* PARSE_ANSWER_H */
