#ifndef BASE_LOGREAD_H
#define BASE_LOGREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * Reading back what log.h wrote: log/<program>/YYYY-MM-DD.log.
 *
 * Lines of a file are nearly sorted by time, so a search starts by bisection
 * and reads forward; there is no index that could be wrong.  A damaged line
 * is passed over.
 */
struct log_event {
	int64_t wall_ms;
	char *program;
	char *line; /* whole, without newline */
};

struct log_events {
	struct log_event *items; /* by time; in the pool */
	size_t count;
	bool truncated; /* there were more than asked for */
	struct pool pool;
};

struct log_query {
	int64_t from_ms, to_ms; /* wall clock, both inclusive */
	const char *const *needles;
	size_t needle_count;
	size_t max;
	const char *early; /* NULL, or a program that tells nothing later */
	int64_t early_to_ms;
};

/*
 * All lines that contain one of the needles, of all programs below `log_dir`
 * but the audit log, at most `max`.  ERR_TEMP if the directory cannot be read.
 */
int log_search(const char *log_dir, const struct log_query *query,
    struct log_events *out, struct err *e) MUST_CHECK;
/* Of one program only. */
void log_search_program(const char *log_dir, const char *program,
    const struct log_query *query, struct log_events *out);
void log_events_release(struct log_events *l);

/*
 * The parts of a line.  log_field(): the value of key, unescaped, in `out`;
 * false if it is not there.  The first three columns have the names "time",
 * "session" and "message".
 */
bool log_field(const char *line, const char *key, char *out, size_t size);

/*
 * Walk the key=value pairs: *at starts at 0; false at the end.  The value is
 * unescaped into `value`.
 */
bool log_next_pair(const char *line, size_t *at, char *key, size_t key_size,
    char *value, size_t value_size);

#endif /* BASE_LOGREAD_H */
