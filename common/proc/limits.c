/*
 * The shared table of limits.
 *
 * A hash table with short probing under one robust mutex: a worker killed
 * inside leaves at worst one count wrong, which goes with its column.  Keys
 * are hashes with a secret start value; two sharing one would share a limit.
 *
 * Every thread of every worker; nothing blocks while the lock is held.
 */
#include "proc/limits.h"

#include <sys/mman.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/id.h"
#include "base/slice.h"

enum {
	SLOTS = 16384, /* a power of two */
	PROBES = 32,
	TOP_AGE_MS = 100, /* how old the maximum may be */
};

/* What is counted per span of time. */
enum {
	MESSAGES, /* an hour */
	BYTES,    /* a minute */
	REFUSALS, /* an hour */
	WINDOWS
};

static const int64_t window_ms[WINDOWS] = { 3600 * 1000, 60 * 1000,
	3600 * 1000 };

struct window {
	int64_t since_ms;
	uint64_t count;
};

struct slot {
	uint64_t key; /* 0 = never used */
	struct window windows[WINDOWS];
	uint32_t connections; /* sum of the columns */
	uint16_t column[LIMITS_WORKERS];
};

struct limits {
	pthread_mutex_t lock;
	uint64_t seed;
	uint32_t total;
	uint32_t top;
	int64_t top_ms;
	struct slot slots[SLOTS];
};

struct limits *
limits_new(void)
{
	pthread_mutexattr_t attr;
	struct limits *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
	    /* cppcheck-suppress invalidFunctionArg */
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (l == MAP_FAILED)
		return NULL;
	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(&l->lock, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	random_bytes(&l->seed, sizeof(l->seed));
	return l;
}

static void
lock(struct limits *l)
{
	if (pthread_mutex_lock(&l->lock) == EOWNERDEAD)
		(void)pthread_mutex_consistent(&l->lock);
}

static void
unlock(struct limits *l)
{
	(void)pthread_mutex_unlock(&l->lock);
}

/* FNV-1a with a secret start and a final mix. */
static uint64_t
hash(const struct limits *l, char kind, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = l->seed ^ 0xcbf29ce484222325U ^ (unsigned char)kind;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3U;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdU;
	h ^= h >> 33;
	return h == 0 ? 1 : h;
}

uint64_t
limits_key_ip(const struct limits *l, const struct ip *ip)
{
	return hash(l, 'a', ip->bytes, ip_is_v4(ip) ? 16 : 8);
}

uint64_t
limits_key_user(const struct limits *l, const char *user)
{
	return hash(l, 'u', user, strlen(user));
}

/* The slot of a key, or NULL. */
static struct slot *
find(struct limits *l, uint64_t key)
{
	for (size_t i = 0; i < PROBES; i++) {
		struct slot *s = &l->slots[(key + i) & (SLOTS - 1)];

		if (s->key == key)
			return s;
	}
	return NULL;
}

/* The slot of a key, or a place for it: unused, or idle for longest. */
static struct slot *
find_or_add(struct limits *l, uint64_t key)
{
	struct slot *place = find(l, key);

	if (place != NULL)
		return place;
	for (size_t i = 0; i < PROBES; i++) {
		struct slot *s = &l->slots[(key + i) & (SLOTS - 1)];

		if (s->connections > 0)
			continue;
		if (place == NULL ||
		    s->windows[MESSAGES].since_ms <
			place->windows[MESSAGES].since_ms)
			place = s;
	}
	if (place != NULL) {
		memset(place, 0, sizeof(*place));
		place->key = key;
	}
	return place;
}

void
limits_join(struct limits *l, unsigned worker)
{
	lock(l);
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &l->slots[i];

		/* not touching untouched pages keeps them free */
		if (s->column[worker] == 0)
			continue;
		s->connections -= s->column[worker];
		l->total -= s->column[worker];
		s->column[worker] = 0;
	}
	unlock(l);
}

bool
limits_enter(struct limits *l, unsigned worker, uint64_t key, unsigned max)
{
	struct slot *s;
	bool fine = true;

	lock(l);
	s = find_or_add(l, key);
	if (s != NULL) {
		fine = (max == 0 || s->connections < max) &&
		    s->column[worker] < UINT16_MAX;
		if (fine) {
			s->connections++;
			s->column[worker]++;
			l->total++;
			if (s->connections > l->top)
				l->top = s->connections;
		}
	}
	unlock(l);
	return fine;
}

void
limits_leave(struct limits *l, unsigned worker, uint64_t key)
{
	struct slot *s;

	lock(l);
	s = find(l, key);
	if (s != NULL && s->column[worker] > 0) {
		s->connections--;
		s->column[worker]--;
		l->total--;
	}
	unlock(l);
}

bool
limits_is_crowding(
    struct limits *l, uint64_t key, uint64_t pool, int64_t now_ms)
{
	const struct slot *s;
	bool is_top;

	lock(l);
	if ((uint64_t)l->total * 10 <= pool * 9) {
		unlock(l);
		return false;
	}
	if (now_ms - l->top_ms > TOP_AGE_MS) {
		l->top = 0;
		for (size_t i = 0; i < SLOTS; i++) {
			if (l->slots[i].connections > l->top)
				l->top = l->slots[i].connections;
		}
		l->top_ms = now_ms;
	}
	s = find(l, key);
	is_top = s != NULL && s->connections > 1 && s->connections >= l->top;
	unlock(l);
	return is_top;
}

/* Count `n` more, of those who are known or (n > 0) come in; the sum. */
static uint64_t
window_add(
    struct limits *l, uint64_t key, size_t which, uint64_t n, int64_t now_ms)
{
	struct slot *s;
	uint64_t sum = 0;

	lock(l);
	s = n > 0 ? find_or_add(l, key) : find(l, key);
	if (s != NULL) {
		struct window *w = &s->windows[which];

		if (now_ms - w->since_ms >= window_ms[which])
			*w = (struct window){ .since_ms = now_ms };
		w->count += n;
		sum = w->count;
	}
	unlock(l);
	return sum;
}

unsigned
limits_messages(struct limits *l, uint64_t key, int64_t now_ms)
{
	return (unsigned)window_add(l, key, MESSAGES, 0, now_ms);
}

void
limits_message(struct limits *l, uint64_t key, int64_t now_ms)
{
	(void)window_add(l, key, MESSAGES, 1, now_ms);
}

uint64_t
limits_bytes(struct limits *l, uint64_t key, int64_t now_ms)
{
	return window_add(l, key, BYTES, 0, now_ms);
}

void
limits_count_bytes(
    struct limits *l, uint64_t key, uint64_t bytes, int64_t now_ms)
{
	(void)window_add(l, key, BYTES, bytes, now_ms);
}

bool
limits_refused(struct limits *l, uint64_t key, unsigned max, int64_t now_ms)
{
	if (window_add(l, key, REFUSALS, 1, now_ms) < max)
		return false;
	lock(l);
	struct slot *s = find(l, key);
	if (s != NULL)
		s->windows[REFUSALS].count = 0;
	unlock(l);
	return true;
}
