/*
 * The list of bans: short, so it is searched from end to end, under one lock;
 * the file is written with each change, which is rare.
 */
#include "ban.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/json_file.h"

#define BANS_FILE "cache/auth/bans.json"

enum {
	BANS_MAX = 4096,
	FILE_MAX = 4 * 1024 * 1024,
	V6_PREFIX = 8, /* bytes */
};

struct ban {
	struct ip ip;
	char service[8];
	int64_t failures, since_ms, until_ms;
};

struct bans {
	pthread_mutex_t lock;
	char *state_dir;
	struct ban *list; /* oldest first */
	size_t count, alloc;
};

static struct ip
network_of(const struct ip *ip)
{
	struct ip out = *ip;

	if (!ip_is_v4(ip))
		memset(out.bytes + V6_PREFIX, 0, sizeof(out.bytes) - V6_PREFIX);
	return out;
}

/* --- Under the lock ------------------------------------------------------------------ */

static void
drop(struct bans *b, size_t i)
{
	b->count--;
	memmove(
	    &b->list[i], &b->list[i + 1], (b->count - i) * sizeof(*b->list));
}

static void
drop_ended(struct bans *b, int64_t now_ms)
{
	for (size_t i = b->count; i-- > 0;)
		if (b->list[i].until_ms <= now_ms)
			drop(b, i);
}

static struct ban *
find(struct bans *b, const struct ip *ip)
{
	struct ip net = network_of(ip);

	for (size_t i = 0; i < b->count; i++)
		if (ip_eq(&b->list[i].ip, &net))
			return &b->list[i];
	return NULL;
}

static void
add(struct bans *b, const struct ban *ban)
{
	struct ban *old = find(b, &ban->ip);
	size_t first = 0;

	if (old != NULL)
		drop(b, (size_t)(old - b->list));
	if (b->count == BANS_MAX) {
		for (size_t i = 1; i < b->count; i++)
			if (b->list[i].until_ms < b->list[first].until_ms)
				first = i;
		drop(b, first);
	}
	b->list = mem_grow(b->list, &b->alloc, b->count + 1, sizeof(*b->list));
	b->list[b->count++] = *ban;
}

static json_t *
ban_json(const struct ban *ban)
{
	char ip[IP_TEXT_SIZE], since[CLOCK_RFC3339_SIZE],
	    until[CLOCK_RFC3339_SIZE];

	ip_format(&ban->ip, ip);
	clock_rfc3339(ban->since_ms, since);
	clock_rfc3339(ban->until_ms, until);
	return json_pack("{s:s,s:s,s:I,s:s,s:s}", "address", ip, "service",
	    ban->service, "failures", (json_int_t)ban->failures, "since", since,
	    "until", until);
}

static json_t *
all_json(const struct bans *b)
{
	json_t *list = json_array();

	for (size_t i = b->count; i-- > 0;)
		json_array_append_new(list, ban_json(&b->list[i]));
	return list;
}

static void
save(const struct bans *b)
{
	json_t *list = all_json(b);
	struct err e;

	if (json_file_write(b->state_dir, BANS_FILE, 0600, list, &e) != 0)
		log_warning("%s/" BANS_FILE ": not written", b->state_dir);
	json_decref(list);
}

/* --- From outside ---------------------------------------------------------------------- */

static bool
read_ban(const json_t *o, struct ban *out)
{
	const char *ip = "", *service = "", *since = "", *until = "";
	json_int_t failures = 0;

	*out = (struct ban){ 0 };
	if (json_unpack((json_t *)(uintptr_t)o, "{s:s,s:s,s:I,s:s,s:s}",
		"address", &ip, "service", &service, "failures", &failures,
		"since", &since, "until", &until) != 0)
		return false;
	(void)snprintf(out->service, sizeof(out->service), "%s", service);
	out->failures = failures;
	return ip_parse(slice_str(ip), &out->ip) &&
	    clock_parse_rfc3339(slice_str(since), &out->since_ms) &&
	    clock_parse_rfc3339(slice_str(until), &out->until_ms);
}

struct bans *
bans_new(const char *state_dir)
{
	struct bans *b = mem_zalloc(sizeof(*b));
	json_t *list = json_file_read(state_dir, BANS_FILE, FILE_MAX);
	struct ban ban;

	pthread_mutex_init(&b->lock, NULL);
	b->state_dir = mem_strdup(state_dir);
	for (size_t i = json_array_size(list); i-- > 0;)
		if (read_ban(json_array_get(list, i), &ban))
			add(b, &ban);
	json_decref(list);
	return b;
}

void
bans_free(struct bans *b)
{
	if (b == NULL)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b->list);
	free(b->state_dir);
	free(b);
}

int64_t
bans_until(struct bans *b, const struct ip *ip, int64_t now_ms)
{
	const struct ban *ban;
	int64_t until = 0;

	pthread_mutex_lock(&b->lock);
	ban = find(b, ip);
	if (ban != NULL && ban->until_ms > now_ms)
		until = ban->until_ms;
	pthread_mutex_unlock(&b->lock);
	return until;
}

void
bans_add(struct bans *b, const struct ip *ip, const char *service,
    int64_t failures, int64_t now_ms, int64_t until_ms)
{
	struct ban ban = { .ip = network_of(ip),
		.failures = failures,
		.since_ms = now_ms,
		.until_ms = until_ms };

	(void)snprintf(ban.service, sizeof(ban.service), "%s", service);
	pthread_mutex_lock(&b->lock);
	drop_ended(b, now_ms);
	add(b, &ban);
	save(b);
	pthread_mutex_unlock(&b->lock);
}

bool
bans_lift(struct bans *b, const struct ip *ip, int64_t now_ms)
{
	struct ban *ban;

	pthread_mutex_lock(&b->lock);
	drop_ended(b, now_ms);
	ban = find(b, ip);
	if (ban != NULL) {
		drop(b, (size_t)(ban - b->list));
		save(b);
	}
	pthread_mutex_unlock(&b->lock);
	return ban != NULL;
}

json_t *
bans_list(struct bans *b, int64_t now_ms)
{
	json_t *list;

	pthread_mutex_lock(&b->lock);
	drop_ended(b, now_ms);
	list = all_json(b);
	pthread_mutex_unlock(&b->lock);
	return list;
}
