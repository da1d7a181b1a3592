#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/compiler.h"
#include "base/slice.h"

/*
 * Two clocks.  Waiting, deadlines and rates use the monotonic one, which no
 * administrator can turn; names, logs and headers use the wall clock.  Both
 * are int64_t milliseconds.
 */
int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void);

/* Milliseconds left until a monotonic deadline, at least 0, at most INT_MAX. */
int clock_left_ms(int64_t deadline_ms);

enum {
	CLOCK_RFC5322_SIZE = 40, /* "Fri, 20 Nov 2026 20:44:23 +0000" */
	CLOCK_RFC3339_SIZE = 32, /* "2026-11-20T20:44:23.123Z" */
	CLOCK_DAY_SIZE = 11,     /* "2026-11-20" */
};

/* RFC 5322 3.3, in UTC. */
void clock_rfc5322(int64_t wall_ms, char out[CLOCK_RFC5322_SIZE]);

/* RFC 3339 in UTC with milliseconds. */
void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

void clock_day(int64_t wall_ms, char out[CLOCK_DAY_SIZE]);

/*
 * A date header as found in the wild: RFC 5322 with its obsolete forms,
 * comments skipped.  The years 1970 to 9999.
 */
bool clock_parse_rfc5322(struct slice s, int64_t *wall_ms_out) MUST_CHECK;

/* What clock_rfc3339() writes, with or without the fraction. */
bool clock_parse_rfc3339(struct slice s, int64_t *wall_ms_out) MUST_CHECK;

#endif /* BASE_CLOCK_H */
