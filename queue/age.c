/*
 * Ages; see age.h.  Any thread.
 */
#include "queue/age.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	TURN_MS = 3600 * 1000
};

struct age {
	pthread_mutex_t lock;
	int64_t mono_ms, steady_ms; /* at the last look */
	int64_t turned_ms;          /* the wall clock is ahead by this, */
	int64_t before_ms;          /* for what was accepted up to here */
};

/* Under the lock; the wall clock. */
static int64_t
look(struct age *a)
{
	int64_t mono = clock_mono_ms(), wall = clock_wall_ms(), ahead;

	a->steady_ms += mono - a->mono_ms;
	a->mono_ms = mono;
	ahead = wall - a->steady_ms;
	if (llabs(ahead) < TURN_MS) {
		a->steady_ms = wall;
		a->turned_ms = 0;
	} else if (llabs(ahead - a->turned_ms) >= TURN_MS) {
		log_warning("the clock was turned by %lld s",
		    (long long)(ahead - a->turned_ms) / 1000);
		if (a->turned_ms == 0)
			a->before_ms = a->steady_ms;
		a->turned_ms = ahead;
	}
	return wall;
}

struct age *
age_new(int64_t written_ms, int64_t pause_max_ms)
{
	struct age *a = mem_zalloc(sizeof(*a));
	int64_t wall = clock_wall_ms();

	(void)pthread_mutex_init(&a->lock, NULL);
	a->mono_ms = clock_mono_ms();
	a->steady_ms = written_ms != 0 && wall - written_ms >= pause_max_ms
	    ? written_ms
	    : wall;
	return a;
}

int64_t
age_steady_ms(struct age *a)
{
	int64_t steady;

	(void)pthread_mutex_lock(&a->lock);
	(void)look(a);
	steady = a->steady_ms;
	(void)pthread_mutex_unlock(&a->lock);
	return steady;
}

int64_t
age_of(struct age *a, int64_t accepted_ms)
{
	int64_t age;

	(void)pthread_mutex_lock(&a->lock);
	age = look(a) - accepted_ms;
	if (accepted_ms <= a->before_ms)
		age -= a->turned_ms;
	(void)pthread_mutex_unlock(&a->lock);
	return age;
}
