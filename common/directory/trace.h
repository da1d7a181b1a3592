#ifndef DIRECTORY_TRACE_H
#define DIRECTORY_TRACE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"

/*
 * What the event logs tell of messages, for `mailstead trace` and the pages.
 *
 * An id carries its own time, so its search starts there.  An address or a
 * Message-ID (without brackets) is looked for within a time to find ids.
 * A session's lines (connect, auth) belong to every message that came in by it.
 */
enum {
	TRACE_IDS_MAX = 100
};

/*
 * {id, message_id, events[{time, program, event, ...}]}; NULL: no trace.  What
 * counts something is a number, all else text.
 */
json_t *trace_story(const char *log_dir, const char *id, struct err *e);

/*
 * A line of a program's log, NUL-terminated, as an event (new): {time, program,
 * event, ...}; without a time and an event it is damaged.
 */
json_t *trace_event(const char *program, const char *line);

/* Ids whose lines mention `what`, oldest first, each once; none is ERR_PERM. */
int trace_find(const char *log_dir, const char *what, int64_t from_ms,
    int64_t to_ms, char ids[TRACE_IDS_MAX][ID_SIZE], size_t *count_out,
    struct err *e) MUST_CHECK;

#endif /* DIRECTORY_TRACE_H */
