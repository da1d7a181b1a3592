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
	HOUR_MS = 3600 * 1000,
	MINUTE_MS = 60000,
	TOP_AGE_MS = 100, /* how old the maximum may be */
};

struct slot {
	uint64_t key;    /* 0 = never used */
	int64_t hour_ms; /* start of the hour counted */
	int64_t minute_ms;
	uint64_t bytes; /* in the minute */
	uint32_t messages;
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
		if (place == NULL || s->hour_ms < place->hour_ms)
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

/* Start a new hour if the last one is over. */
static void
turn_hour(struct slot *s, int64_t now_ms)
{
	if (now_ms - s->hour_ms >= HOUR_MS) {
		s->hour_ms = now_ms;
		s->messages = 0;
	}
}

unsigned
limits_messages(struct limits *l, uint64_t key, int64_t now_ms)
{
	struct slot *s;
	unsigned n = 0;

	lock(l);
	s = find(l, key);
	if (s != NULL) {
		turn_hour(s, now_ms);
		n = s->messages;
	}
	unlock(l);
	return n;
}

void
limits_message(struct limits *l, uint64_t key, int64_t now_ms)
{
	struct slot *s;

	lock(l);
	s = find_or_add(l, key);
	if (s != NULL) {
		turn_hour(s, now_ms);
		s->messages++;
	}
	unlock(l);
}

static void
turn_minute(struct slot *s, int64_t now_ms)
{
	if (now_ms - s->minute_ms < MINUTE_MS)
		return;
	s->minute_ms = now_ms;
	s->bytes = 0;
}

uint64_t
limits_bytes(struct limits *l, uint64_t key, int64_t now_ms)
{
	struct slot *s;
	uint64_t n = 0;

	lock(l);
	s = find(l, key);
	if (s != NULL) {
		turn_minute(s, now_ms);
		n = s->bytes;
	}
	unlock(l);
	return n;
}

void
limits_count_bytes(
    struct limits *l, uint64_t key, uint64_t bytes, int64_t now_ms)
{
	struct slot *s;

	lock(l);
	s = find_or_add(l, key);
	if (s != NULL) {
		turn_minute(s, now_ms);
		s->bytes += bytes;
	}
	unlock(l);
}
