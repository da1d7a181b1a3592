#ifndef BASE_LOGTAIL_H
#define BASE_LOGTAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * One program's log of one day from its end, newest line first: for the page
 * that shows it and for `mailstead log`.  (logread.h searches all programs,
 * by time.)
 */
enum {
	LOGTAIL_SCAN_MAX = 8 * 1024 * 1024, /* bytes one call looks at */
};

/*
 * Open log_dir/program/day.log (program: a name of ours, day: YYYY-MM-DD) for
 * reading: the descriptor; -1 without one.  It is a regular file.
 */
int logtail_open(const char *log_dir, const char *program, const char *day,
    int64_t *size_out);

struct logtail {
	const char *needle; /* lines that contain it; NULL = all */
	size_t max;         /* lines wanted */
	void (*line)(void *arg, struct slice line); /* without newline */
	void *arg;
};

/*
 * Give the newest lines before the offset `end`, which is where a line ends.
 * The result: the offset to go on from for older ones; 0: there are none.
 */
int64_t logtail_read(int fd, int64_t end, const struct logtail *t);

/* YYYY-MM-DD? */
bool logtail_is_day(const char *day);

#endif /* BASE_LOGTAIL_H */
