#ifndef QUEUE_LANES_H
#define QUEUE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#include "queue/client.h"
#include "queue/job.h"
#include "queue/outcome.h"
#include "queue/route.h"

/*
 * Who may send to whom now: remote deliveries wait in lanes, one a
 * destination; threads take slots in lanes.
 *
 *  - A lane may use one slot until its destination has answered well, then one
 *    more with each success, up to remote.per_destination; a connection that
 *    is refused while others work lowers that again for a minute.
 *  - A lane whose destination cannot be reached is dead for a while, longer
 *    each time, at most until the first retry is due: what waits in it and
 *    what comes meanwhile is put off at once.  Then one slot probes.
 *  - Lanes not known to be well get at most half of the threads, so that black
 *    holes never take the last one.
 *  - A smart host's own limits hold: so many connections, and deliveries
 *    spaced evenly, a second's worth at once at most; no more wait in its
 *    lane than a minute lets through.
 *  - In a lane, letters go before bulk (many recipients) three times in four.
 *    A slot is given up after a few deliveries while other lanes wait.
 *
 * All functions are thread-safe; no lock is held while anything blocks.
 */
struct lanes;
struct lane;

struct delivery {
	struct delivery *next; /* private */
	struct job *job;       /* one reference */
	bool bulk;
	const char *extra; /* header line for a forwarded copy, or ""; in job */
	const char *return_domain; /* its return path (SRS), or NULL; in job */
	size_t count;
	uint32_t recipients[]; /* indexes in the job's envelope */
};

struct lanes *lanes_new(unsigned threads);

/*
 * Let all lanes_take() return NULL from now on.  The result is a list of all
 * that waited, for the caller.
 */
struct delivery *lanes_stop(struct lanes *l) MUST_CHECK;

/*
 * Queue a delivery, or say why not; then it stays the caller's.
 */
enum lanes_answer {
	LANES_QUEUED,
	LANES_DEAD, /* the destination cannot be reached: *o is why */
	LANES_FULL, /* so many wait for it already that this can wait, too */
};

enum lanes_answer lanes_add(struct lanes *l, const struct route *r,
    struct delivery *d, struct outcome *o) MUST_CHECK;

/* Wait for a slot in a lane with work; NULL when stopped. */
struct lane *lanes_take(struct lanes *l);

/* A copy of the lane's route as last planned. */
void lanes_route(struct lanes *l, struct lane *lane, struct route *out);

/* The next delivery of a taken slot; NULL: give the slot back. */
struct delivery *lanes_next(struct lanes *l, struct lane *lane);

/* The destination took something: more slots may be used. */
void lanes_good(struct lanes *l, struct lane *lane, unsigned limit);

/*
 * It could not be reached.  True: others still work, so the delivery goes
 * back to the head of the lane and the slot must be given back.  False: the
 * lane is dead for `dead_ms` at most; *drained_out is all that waited in it,
 * for the caller to put off together with its own.
 */
bool lanes_bad(struct lanes *l, struct lane *lane, struct delivery *d,
    const struct outcome *o, int64_t dead_ms, struct delivery **drained_out);

/* Take an idle connection of the lane, or false. */
bool lanes_take_idle(struct lanes *l, struct lane *lane, struct client *out);

/*
 * Give the slot back.  `c` (NULL: none) is kept idle in the lane for others;
 * a connection there is no room for comes back as *c still open.
 */
void lanes_give(struct lanes *l, struct lane *lane, struct client *c);

/* About twice a second: go on in lanes that had to wait, close idle connections, forget unused lanes. */
void lanes_tick(struct lanes *l);

/* Forget that anything is dead (an administrator said retry). */
void lanes_revive(struct lanes *l);

struct lanes_counts {
	size_t lanes, dead, queued, active, idle;
};

void lanes_count(struct lanes *l, struct lanes_counts *out);

#endif /* QUEUE_LANES_H */
