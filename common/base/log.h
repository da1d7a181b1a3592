#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

/*
 * The event log (DESIGN 4.6): one line an event,
 *
 *	2026-11-20T20:44:23.123Z SESSION MESSAGE event=NAME key=value ...
 *
 * SESSION and MESSAGE are "-" where there is none.  A value with anything but
 * printable ASCII without space, '"' and '\' is written as "..." with \", \\
 * and \xHH; over-long values are cut and end in "...".  A line is appended
 * with one write(2) to DIR/YYYY-MM-DD.log, so lines of several processes never
 * mix.  Writing never blocks on anything but the file; a line that cannot be
 * written is counted and reported as event=log-lost, by each process for its
 * own, when writing works again.
 *
 * Secrets never come here: there is no function that takes one.
 *
 * Thread-safe.  log_open() need not be called again after a fork: the
 * descriptor is shared and O_APPEND keeps lines whole.  The day's file is
 * opened (mode 0640) with its first line, and changes at midnight UTC.
 */

enum {
	LOG_LINE_SIZE = 4096,
	LOG_VALUE_MAX = 1024
};

/*
 * Log to `dir` (made with mode 2750 if missing).  `also_stderr` copies every
 * line to stderr behind "PROGRAM: ", for running in the foreground.  NULL for
 * `dir`, or one that cannot be used: only stderr, as before any log_open().
 * Call it while there is one thread.
 */
void log_open(const char *program, const char *dir, bool also_stderr);

/*
 * Remove the files of days more than `days` before today (0: none) from a
 * directory of log files; nothing else in it is touched.
 */
void log_expire(const char *dir, int64_t days);

/*
 * Report lost lines although there is no next one yet; to be called now and
 * then, cheap when nothing was lost.
 */
void log_catch_up(void);

struct log_line {
	char text[LOG_LINE_SIZE];
	uint32_t len;
};

/* Start a line; session and message ids may be NULL. */
void log_begin(struct log_line *l, const char *event, const char *session_id,
    const char *message_id);
void log_str(struct log_line *l, const char *key, const char *value);
void log_slice(struct log_line *l, const char *key, struct slice value);
void log_int(struct log_line *l, const char *key, int64_t value);
void log_end(struct log_line *l);

/*
 * For what is not mail: event=service level=error|warning|info text="...".
 * Rare by nature; a text repeated within a second is written once.
 */
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif /* BASE_LOG_H */
