#ifndef QUEUE_AGE_H
#define QUEUE_AGE_H

#include <stdint.h>

/*
 * How long a message has been here, by a clock that can be turned.  A turn of
 * the wall clock is seen against the monotonic one while the runner runs, and
 * over a restart against the time it wrote last.  What was accepted before a
 * turn is as old as it was, plus what went by since; what comes after it goes
 * by the new time.  A pause of the runner that is longer than `pause_max_ms`
 * is taken for a turn as well: nothing was tried meanwhile.  Turns of less
 * than an hour do not count.  Thread-safe.
 */
struct age;

/* `written_ms`: age_steady_ms() as kept from an earlier run, or 0. */
struct age *age_new(int64_t written_ms, int64_t pause_max_ms);

/* The time without turns of the clock, to be kept over a restart. */
int64_t age_steady_ms(struct age *a);

/* The age of what was accepted at this wall clock time. */
int64_t age_of(struct age *a, int64_t accepted_ms);

#endif /* QUEUE_AGE_H */
