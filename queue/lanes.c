/*
 * The scheduler of remote deliveries; see lanes.h.
 *
 * One lock over all: the work under it is a few pointers.  A lane with work
 * and a free slot stands in exactly one of two queues, of lanes known to be
 * well and of others; threads take from the heads in turn, so destinations
 * are served round robin whatever each has waiting.
 */
#include "queue/lanes.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	BUCKETS = 4096,
	QUEUED_MAX = 4000,    /* in one lane */
	QUEUED_ALL = 5000,    /* in all */
	QUEUED_UNSURE = 4000, /* the rest is for lanes that are well */
	TURN_MAX = 20,        /* deliveries a slot makes while others wait */
	IDLE_MAX = 256,       /* connections kept open, all lanes together */
	IDLE_MS = 5000,
	FORGET_MS = 600000, /* an unused lane, and that it failed before, */
	LANES_MANY = 4000,  /* but sooner when there are many */
	FORGET_SOON_MS = 5000,
	CEILING_MS = 60000, /* how long a refused connection is minded */
	DEAD_FIRST_MS = 15000,
	LETTERS_PER_BULK = 3,
	MINUTE_MS = 60000,
	BURST_MS = 1000, /* of deliveries that a rate lets go at once */
};

struct fifo {
	struct delivery *head, **tail;
};

struct idle {
	struct idle *next;
	struct client client;
	int64_t since_ms;
};

struct lane {
	struct lane *chain; /* in its bucket */
	struct lane *prev_ready, *next_ready;
	bool is_ready;
	struct route route;

	struct fifo letters, bulk;
	size_t queued;
	unsigned letters_in_row;

	unsigned active, limit, ceiling;
	int64_t ceiling_until_ms;
	unsigned turn;     /* deliveries since another lane had to wait */
	bool well;         /* the last thing it did was answer well */
	unsigned failures; /* in a row */
	int64_t dead_until_ms, used_ms;
	int64_t paced_ms;      /* when, by its rate, all it got would be over */
	struct outcome reason; /* of being dead */
	struct idle *idle;
};

struct ready {
	struct lane head; /* only the links are used */
	size_t count;
};

struct lanes {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct lane *buckets[BUCKETS];
	struct ready ready[2]; /* [well] */
	unsigned threads, waiting;
	unsigned unsure_active; /* slots in lanes that are not well */
	size_t lanes, queued, active, idle;
	bool stopping;
};

static void
fifo_init(struct fifo *f)
{
	f->head = NULL;
	f->tail = &f->head;
}

static void
fifo_put(struct fifo *f, struct delivery *d)
{
	d->next = NULL;
	*f->tail = d;
	f->tail = &d->next;
}

static void
fifo_put_first(struct fifo *f, struct delivery *d)
{
	d->next = f->head;
	if (f->head == NULL)
		f->tail = &d->next;
	f->head = d;
}

static struct delivery *
fifo_get(struct fifo *f)
{
	struct delivery *d = f->head;

	if (d != NULL && (f->head = d->next) == NULL)
		f->tail = &f->head;
	return d;
}

struct lanes *
lanes_new(unsigned threads)
{
	struct lanes *l = mem_zalloc(sizeof(*l));
	size_t i;

	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	l->threads = threads;
	for (i = 0; i < 2; i++)
		l->ready[i].head.prev_ready = l->ready[i].head.next_ready =
		    &l->ready[i].head;
	return l;
}

static void
unready(struct lanes *l, struct lane *lane)
{
	if (!lane->is_ready)
		return;
	lane->prev_ready->next_ready = lane->next_ready;
	lane->next_ready->prev_ready = lane->prev_ready;
	lane->is_ready = false;
	l->ready[lane->well].count--;
}

/* How long one delivery takes by the rate of the route; 0 = no rate. */
static int64_t
interval_ms(const struct lane *lane)
{
	return lane->route.rate > 0
	    ? (MINUTE_MS + lane->route.rate - 1) / lane->route.rate
	    : 0;
}

/* Must the next delivery wait, for the rate's sake? */
static bool
is_paced(const struct lane *lane)
{
	int64_t interval = interval_ms(lane);

	return interval > 0 &&
	    lane->paced_ms + interval - clock_mono_ms() >
	    (interval > BURST_MS ? interval : BURST_MS);
}

static void
pace(struct lane *lane)
{
	int64_t now = lane->route.rate > 0 ? clock_mono_ms() : 0;

	if (lane->paced_ms < now)
		lane->paced_ms = now;
	lane->paced_ms += interval_ms(lane);
}

/* Put the lane where it belongs now; call after every change. */
static void
place(struct lanes *l, struct lane *lane)
{
	struct lane *head = &l->ready[lane->well].head;

	if (lane->queued == 0 || lane->active >= lane->limit ||
	    is_paced(lane)) {
		unready(l, lane);
		return;
	}
	if (lane->is_ready)
		return;
	lane->prev_ready = head->prev_ready;
	lane->next_ready = head;
	head->prev_ready->next_ready = lane;
	head->prev_ready = lane;
	lane->is_ready = true;
	l->ready[lane->well].count++;
	if (l->waiting > 0)
		pthread_cond_signal(&l->work);
}

static void
set_well(struct lanes *l, struct lane *lane, bool well)
{
	if (lane->well == well)
		return;
	unready(l, lane);
	lane->well = well;
	if (!well) {
		l->unsure_active += lane->active;
		return;
	}
	/* another that is not well may have a slot now */
	l->unsure_active -= lane->active;
	if (l->waiting > 0 && l->ready[0].count > 0)
		pthread_cond_signal(&l->work);
}

static struct lane **
bucket(struct lanes *l, const char *key)
{
	return &l->buckets[slice_hash(slice_str(key)) % BUCKETS];
}

static struct lane *
find(struct lanes *l, const struct route *r)
{
	struct lane **b = bucket(l, r->key), *lane;

	for (lane = *b; lane != NULL; lane = lane->chain)
		if (slice_eq_str(slice_str(r->key), lane->route.key))
			return lane;
	lane = mem_zalloc(sizeof(*lane));
	lane->route = *r;
	lane->limit = 1;
	fifo_init(&lane->letters);
	fifo_init(&lane->bulk);
	lane->chain = *b;
	*b = lane;
	l->lanes++;
	return lane;
}

static size_t
queued_max(const struct lane *lane)
{
	uint32_t rate = lane->route.rate;

	return rate > 0 && rate < QUEUED_MAX ? rate : QUEUED_MAX;
}

enum lanes_answer
lanes_add(struct lanes *l, const struct route *r, struct delivery *d,
    struct outcome *o)
{
	int64_t now = clock_mono_ms();
	enum lanes_answer answer = LANES_QUEUED;
	struct lane *lane;

	pthread_mutex_lock(&l->lock);
	lane = find(l, r);
	lane->used_ms = now;
	lane->route =
	    *r; /* settings may have changed what the key does not say */
	if (now < lane->dead_until_ms) {
		answer = LANES_DEAD;
		*o = lane->reason;
	} else if (lane->queued >= queued_max(lane) || l->stopping ||
	    l->queued >= (size_t)(lane->well ? QUEUED_ALL : QUEUED_UNSURE)) {
		answer = LANES_FULL;
	} else {
		fifo_put(d->bulk ? &lane->bulk : &lane->letters, d);
		lane->queued++;
		l->queued++;
		place(l, lane);
	}
	pthread_mutex_unlock(&l->lock);
	return answer;
}

/* The head of a ready queue that may have a thread now. */
static struct lane *
choose(struct lanes *l)
{
	struct lane *well = l->ready[1].head.next_ready;
	struct lane *unsure = l->ready[0].head.next_ready;

	if (l->ready[0].count > 0 && l->unsure_active < (l->threads + 1) / 2)
		return unsure;
	return l->ready[1].count > 0 ? well : NULL;
}

struct lane *
lanes_take(struct lanes *l)
{
	struct lane *lane = NULL;

	pthread_mutex_lock(&l->lock);
	while (!l->stopping && (lane = choose(l)) == NULL) {
		l->waiting++;
		pthread_cond_wait(&l->work, &l->lock);
		l->waiting--;
	}
	if (lane != NULL) {
		lane->active++;
		lane->turn = 0;
		l->active++;
		if (!lane->well)
			l->unsure_active++;
		unready(l, lane); /* to the end, if it may have more */
		place(l, lane);
	}
	pthread_mutex_unlock(&l->lock);
	return lane;
}

void
lanes_route(struct lanes *l, struct lane *lane, struct route *out)
{
	pthread_mutex_lock(&l->lock);
	*out = lane->route;
	pthread_mutex_unlock(&l->lock);
}

struct delivery *
lanes_next(struct lanes *l, struct lane *lane)
{
	struct delivery *d = NULL;
	bool others;

	pthread_mutex_lock(&l->lock);
	others = l->waiting == 0 && l->ready[0].count + l->ready[1].count > 0;
	if (l->stopping || lane->active > lane->limit || is_paced(lane) ||
	    (others && lane->turn >= TURN_MAX))
		goto out;
	if (lane->letters_in_row < LETTERS_PER_BULK ||
	    lane->bulk.head == NULL) {
		d = fifo_get(&lane->letters);
		lane->letters_in_row++;
	}
	if (d == NULL) {
		d = fifo_get(&lane->bulk);
		lane->letters_in_row = 0;
	}
	if (d != NULL) {
		lane->queued--;
		l->queued--;
		lane->turn++;
		pace(lane);
		place(l, lane);
	}
out:
	pthread_mutex_unlock(&l->lock);
	return d;
}

void
lanes_good(struct lanes *l, struct lane *lane, unsigned limit)
{
	int64_t now = clock_mono_ms();

	pthread_mutex_lock(&l->lock);
	set_well(l, lane, true);
	lane->failures = 0;
	lane->dead_until_ms = 0;
	lane->used_ms = now;
	if (now < lane->ceiling_until_ms && limit > lane->ceiling)
		limit = lane->ceiling;
	if (lane->route.connections > 0 && limit > lane->route.connections)
		limit = lane->route.connections;
	if (lane->limit < limit)
		lane->limit++;
	else
		lane->limit = limit;
	place(l, lane);
	pthread_mutex_unlock(&l->lock);
}

static struct delivery *
drain(struct lanes *l, struct lane *lane)
{
	struct delivery *all;

	*lane->letters.tail = lane->bulk.head;
	all = lane->letters.head;
	fifo_init(&lane->letters);
	fifo_init(&lane->bulk);
	l->queued -= lane->queued;
	lane->queued = 0;
	return all;
}

bool
lanes_bad(struct lanes *l, struct lane *lane, struct delivery *d,
    const struct outcome *o, int64_t dead_ms, struct delivery **drained_out)
{
	int64_t now = clock_mono_ms(), ms;
	bool others;

	*drained_out = NULL;
	pthread_mutex_lock(&l->lock);
	others = lane->well && lane->active > 1;
	if (others) { /* it works, only not with so many of us */
		lane->ceiling = lane->active - 1;
		lane->ceiling_until_ms = now + CEILING_MS;
		lane->limit = lane->ceiling;
		fifo_put_first(d->bulk ? &lane->bulk : &lane->letters, d);
		lane->queued++;
		l->queued++;
	} else {
		ms = (int64_t)DEAD_FIRST_MS
		    << (lane->failures < 10 ? lane->failures : 10);
		set_well(l, lane, false);
		lane->failures++;
		lane->limit = 1;
		lane->dead_until_ms = now + (ms < dead_ms ? ms : dead_ms);
		lane->reason = *o;
		*drained_out = drain(l, lane);
	}
	place(l, lane);
	pthread_mutex_unlock(&l->lock);
	return others;
}

bool
lanes_take_idle(struct lanes *l, struct lane *lane, struct client *out)
{
	struct idle *i;

	pthread_mutex_lock(&l->lock);
	i = lane->idle;
	if (i != NULL) {
		lane->idle = i->next;
		l->idle--;
	}
	pthread_mutex_unlock(&l->lock);
	if (i == NULL)
		return false;
	*out = i->client;
	free(i);
	return true;
}

void
lanes_give(struct lanes *l, struct lane *lane, struct client *c)
{
	int64_t now = clock_mono_ms();
	struct idle *i = NULL;

	pthread_mutex_lock(&l->lock);
	if (c != NULL && l->idle < IDLE_MAX && !l->stopping) {
		i = mem_alloc(sizeof(*i));
		i->client = *c;
		i->since_ms = now;
		i->next = lane->idle;
		lane->idle = i;
		l->idle++;
		memset(c, 0, sizeof(*c));
	}
	assert(lane->active > 0);
	lane->active--;
	l->active--;
	if (!lane->well)
		l->unsure_active--;
	lane->used_ms = now;
	place(l, lane);
	if (l->waiting > 0 && l->ready[0].count + l->ready[1].count > 0)
		pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
}

/* Move connections idle for too long (all: force) to *out. */
static void
collect_idle(
    struct lanes *l, struct lane *lane, int64_t before_ms, struct idle **out)
{
	struct idle **i = &lane->idle, *old;

	while ((old = *i) != NULL) {
		if (old->since_ms > before_ms) {
			i = &old->next;
			continue;
		}
		*i = old->next;
		old->next = *out;
		*out = old;
		l->idle--;
	}
}

static void
close_all(struct idle *i)
{
	struct idle *next;

	for (; i != NULL; i = next) {
		next = i->next;
		client_close(&i->client);
		free(i);
	}
}

static bool
is_unused(const struct lanes *l, const struct lane *lane, int64_t now)
{
	return lane->queued == 0 && lane->active == 0 && lane->idle == NULL &&
	    now - lane->used_ms >
	    (l->lanes > LANES_MANY ? FORGET_SOON_MS : FORGET_MS);
}

void
lanes_tick(struct lanes *l)
{
	int64_t now = clock_mono_ms();
	struct idle *old = NULL;
	struct lane **p, *lane;
	size_t i;

	pthread_mutex_lock(&l->lock);
	for (i = 0; i < BUCKETS; i++) {
		for (p = &l->buckets[i]; (lane = *p) != NULL;) {
			collect_idle(l, lane, now - IDLE_MS, &old);
			place(l, lane);
			if (!is_unused(l, lane, now)) {
				p = &lane->chain;
				continue;
			}
			*p = lane->chain;
			l->lanes--;
			free(lane);
		}
	}
	pthread_mutex_unlock(&l->lock);
	close_all(old);
}

void
lanes_revive(struct lanes *l)
{
	struct lane *lane;
	size_t i;

	pthread_mutex_lock(&l->lock);
	for (i = 0; i < BUCKETS; i++)
		for (lane = l->buckets[i]; lane != NULL; lane = lane->chain)
			lane->dead_until_ms = 0;
	pthread_mutex_unlock(&l->lock);
}

struct delivery *
lanes_stop(struct lanes *l)
{
	struct delivery *all = NULL, **tail = &all;
	struct lane *lane;
	size_t i;

	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	for (i = 0; i < BUCKETS; i++) {
		for (lane = l->buckets[i]; lane != NULL; lane = lane->chain) {
			*tail = drain(l, lane);
			while (*tail != NULL)
				tail = &(*tail)->next;
			place(l, lane);
		}
	}
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	return all;
}

void
lanes_count(struct lanes *l, struct lanes_counts *out)
{
	int64_t now = clock_mono_ms();
	struct lane *lane;
	size_t i;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&l->lock);
	out->lanes = l->lanes;
	out->queued = l->queued;
	out->active = l->active;
	out->idle = l->idle;
	for (i = 0; i < BUCKETS; i++)
		for (lane = l->buckets[i]; lane != NULL; lane = lane->chain)
			out->dead += now < lane->dead_until_ms;
	pthread_mutex_unlock(&l->lock);
}
