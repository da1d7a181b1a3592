/*
 * The scheduler of remote deliveries: who gets a slot.  How it behaves with
 * real servers is in tests/e2e/test_queue_remote.py.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "queue/lanes.h"

enum {
	JOIN_SECONDS = 10,
	MANY = 5000,
};

static struct lanes *l, *volatile earlier; /* they live as long as a runner */

static void
add(const char *key)
{
	struct delivery *d = calloc(1, sizeof(*d));
	struct route r = { .connections = 1 };
	struct outcome o;

	(void)snprintf(r.key, sizeof(r.key), "%s", key);
	assert_int_equal(lanes_add(l, &r, d, &o), LANES_QUEUED);
}

static void *
take(void *arg)
{
	(void)arg;
	return lanes_take(l);
}

/* Half of the threads are for lanes not known to be well. */
static void
test_slot_when_a_lane_gets_well(void **state)
{
	struct lane *first, *second = NULL;
	struct timespec until;
	struct lanes_counts c;
	pthread_t thread;

	(void)state;
	l = lanes_new(2);
	for (size_t i = 0; i < 3; i++)
		add("a.example");
	first = lanes_take(l);
	free(lanes_next(l, first));
	assert_int_equal(pthread_create(&thread, NULL, take, NULL), 0);
	add("b.example");
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	lanes_count(l, &c);
	assert_int_equal(c.active, 1);
	lanes_good(l, first, 1);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += JOIN_SECONDS;
	assert_int_equal(
	    pthread_timedjoin_np(thread, (void **)&second, &until), 0);
	assert_non_null(second);
	assert_ptr_not_equal(second, first);
}

/* 5,000 destinations that nobody sends to any more. */
static void
test_many_lanes_are_forgotten(void **state)
{
	struct timespec pause = { .tv_sec = 6 };
	struct lanes_counts c;
	char key[32];

	(void)state;
	earlier = l;
	l = lanes_new(2);
	for (size_t i = 0; i < MANY; i++) {
		struct lane *lane;

		(void)snprintf(key, sizeof(key), "d%zu.example", i);
		add(key);
		lane = lanes_take(l);
		free(lanes_next(l, lane));
		lanes_give(l, lane, NULL);
	}
	nanosleep(&pause, NULL);
	lanes_tick(l);
	lanes_count(l, &c);
	assert_true(c.lanes <= 4000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot_when_a_lane_gets_well),
		cmocka_unit_test(test_many_lanes_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
