/*
 * Counting failed logins in a fixed table: sets of four entries, found by a
 * keyed hash so that nobody can choose what is displaced.  Losing an entry
 * forgives a few failures; it never delays anybody.
 *
 * One lock around the table, held for a few dozen instructions.
 */
#include "throttle.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"

#include "password.h"

enum {
	SETS = 8192,
	WAYS = 4,
	KNOWN_FACTOR = 4,
	MAX_DOUBLINGS = 20,
};

#define HALF_LIFE_MS INT64_C(3600000)

struct entry {
	uint64_t key; /* 0 = free */
	int64_t last_ms;
	uint32_t failures;
};

struct throttle {
	pthread_mutex_t lock;
	uint8_t secret[SECRET_KEY_LEN];
	struct entry entries[SETS][WAYS];
};

/* The names under which one attempt counts. */
struct names {
	uint64_t address, account, pair;
};

struct throttle *
throttle_new(void)
{
	struct throttle *t = mem_zalloc(sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	random_bytes(t->secret, sizeof(t->secret));
	return t;
}

void
throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static uint64_t
name_key(const struct throttle *t, char tag, const uint8_t *ip, size_t ip_len,
    const char *account)
{
	uint8_t mac[SECRET_KEY_LEN];
	char text[512];
	size_t n = 0, len = strnlen(account, sizeof(text) - 32);
	uint64_t key;

	text[n++] = tag;
	memcpy(text + n, ip, ip_len);
	n += ip_len;
	memcpy(text + n, account, len);
	keyed_hash(t->secret, text, n + len, mac);
	memcpy(&key, mac, sizeof(key));
	return key ? key : 1;
}

static struct names
make_names(const struct throttle *t, const struct ip *ip, const char *account)
{
	size_t prefix = ip_is_v4(ip) ? 16 : 8;

	return (struct names){
		.address = name_key(t, 'a', ip->bytes, prefix, ""),
		.account = name_key(t, 'u', ip->bytes, 0, account),
		.pair = name_key(t, 'p', ip->bytes, prefix, account),
	};
}

static struct entry *
find(struct throttle *t, uint64_t key)
{
	struct entry *set = t->entries[key % SETS];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static struct entry *
find_or_make(struct throttle *t, uint64_t key)
{
	struct entry *set = t->entries[key % SETS], *oldest = set;
	struct entry *e = find(t, key);

	if (e != NULL)
		return e;
	for (size_t i = 1; i < WAYS; i++)
		if (set[i].last_ms < oldest->last_ms)
			oldest = &set[i];
	*oldest = (struct entry){ .key = key };
	return oldest;
}

static uint32_t
failures_now(const struct entry *e, int64_t now_ms)
{
	int64_t halvings;

	if (e == NULL || e->failures == 0)
		return 0;
	halvings = (now_ms - e->last_ms) / HALF_LIFE_MS;
	return halvings > 31 ? 0 : e->failures >> halvings;
}

static int64_t
delay_s(uint32_t failures, int64_t after, int64_t max_s)
{
	int64_t over = (int64_t)failures - after, s;

	if (over < 0)
		return 0;
	s = INT64_C(1) << (over < MAX_DOUBLINGS ? over : MAX_DOUBLINGS);
	return s < max_s ? s : max_s;
}

static int64_t
wait_for(struct throttle *t, uint64_t key, int64_t after, int64_t max_s,
    int64_t now_ms)
{
	const struct entry *e = find(t, key);
	int64_t until;

	if (e == NULL)
		return 0;
	until =
	    e->last_ms + 1000 * delay_s(failures_now(e, now_ms), after, max_s);
	return until <= now_ms ? 0 : (until - now_ms + 999) / 1000;
}

int64_t
throttle_wait(struct throttle *t, struct throttle_policy p, const struct ip *ip,
    const char *account, bool known, int64_t now_ms)
{
	struct names n = make_names(t, ip, account);
	int64_t wait, other = 0;

	pthread_mutex_lock(&t->lock);
	if (known) {
		wait = wait_for(
		    t, n.pair, p.after * KNOWN_FACTOR, p.max_s, now_ms);
	} else {
		wait = wait_for(t, n.address, p.after, p.max_s, now_ms);
		if (failures_now(find(t, n.address), now_ms) > 0)
			other =
			    wait_for(t, n.account, p.after, p.max_s, now_ms);
	}
	pthread_mutex_unlock(&t->lock);
	return wait > other ? wait : other;
}

static uint32_t
count(struct throttle *t, uint64_t key, int64_t now_ms)
{
	struct entry *e = find_or_make(t, key);

	e->failures = failures_now(e, now_ms) + 1;
	e->last_ms = now_ms;
	return e->failures;
}

bool
throttle_failed(struct throttle *t, struct throttle_policy p,
    const struct ip *ip, const char *account, int64_t now_ms)
{
	struct names n = make_names(t, ip, account);
	uint32_t failures;

	pthread_mutex_lock(&t->lock);
	failures = count(t, n.address, now_ms);
	count(t, n.account, now_ms);
	count(t, n.pair, now_ms);
	pthread_mutex_unlock(&t->lock);
	return failures == p.after;
}

static void
forget(struct throttle *t, uint64_t key)
{
	struct entry *e = find(t, key);

	if (e != NULL)
		*e = (struct entry){ 0 };
}

void
throttle_succeeded(struct throttle *t, const struct ip *ip, const char *account)
{
	struct names n = make_names(t, ip, account);

	pthread_mutex_lock(&t->lock);
	forget(t, n.account);
	forget(t, n.pair);
	pthread_mutex_unlock(&t->lock);
}

int64_t
throttle_failures(struct throttle *t, const struct ip *ip, int64_t now_ms)
{
	struct names n = make_names(t, ip, "");
	int64_t failures;

	pthread_mutex_lock(&t->lock);
	failures = failures_now(find(t, n.address), now_ms);
	pthread_mutex_unlock(&t->lock);
	return failures;
}

void
throttle_forget(struct throttle *t, const struct ip *ip)
{
	struct names n = make_names(t, ip, "");

	pthread_mutex_lock(&t->lock);
	forget(t, n.address);
	pthread_mutex_unlock(&t->lock);
}
