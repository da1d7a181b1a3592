#ifndef QUEUE_SPOOL_STAT_H
#define QUEUE_SPOOL_STAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * How full the queue is, in a small file the runner writes twice a second
 * (run/queue.stat), for those who accept mail and for `mailstead status`.
 */
struct spool_stat {
	uint64_t active, deferred, held;
	bool flush_fails;   /* the disk: local mail waits */
	int64_t steady_ms;  /* age_steady_ms() */
	int64_t written_ms; /* wall clock: an old one says nothing */
};

int spool_stat_write(
    const char *path, const struct spool_stat *st, struct err *e) MUST_CHECK;

/* ERR_TEMP: not there, or not whole. */
int spool_stat_read(
    const char *path, struct spool_stat *out, struct err *e) MUST_CHECK;

#endif /* QUEUE_SPOOL_STAT_H */
