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

struct bans {
	pthread_mutex_t lock;
	char *state_dir;
	struct ban *list; /* oldest first */
	size_t count, alloc;
};

void
ban_who_ip(const struct ip *ip, char out[BAN_WHO_SIZE])
{
	struct ip net = *ip;

	if (!ip_is_v4(ip))
		memset(net.bytes + V6_PREFIX, 0, sizeof(net.bytes) - V6_PREFIX);
	ip_format(&net, out);
}

void
ban_who_user(const char *address, char out[BAN_WHO_SIZE])
{
	(void)snprintf(out, BAN_WHO_SIZE, "%s", address);
	ascii_lower_str(out);
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
find(struct bans *b, const char *who)
{
	for (size_t i = 0; i < b->count; i++)
		if (strcmp(b->list[i].who, who) == 0)
			return &b->list[i];
	return NULL;
}

static void
add(struct bans *b, const struct ban *ban)
{
	struct ban *old = find(b, ban->who);
	bool by_limit = old != NULL && old->by_limit;
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
	b->list[b->count] = *ban;
	b->list[b->count++].by_limit |= by_limit;
}

static json_t *
ban_json(const struct ban *ban)
{
	char since[CLOCK_RFC3339_SIZE], until[CLOCK_RFC3339_SIZE];

	clock_rfc3339(ban->since_ms, since);
	clock_rfc3339(ban->until_ms, until);
	return json_pack("{s:s,s:s,s:I,s:b,s:s,s:s}", "address", ban->who,
	    "service", ban->service, "failures", (json_int_t)ban->failures,
	    "limit", ban->by_limit, "since", since, "until", until);
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
	const char *who = "", *service = "", *since = "", *until = "";
	json_int_t failures = 0;
	int by_limit = 0;

	*out = (struct ban){ 0 };
	if (json_unpack((json_t *)(uintptr_t)o, "{s:s,s:s,s:I,s?b,s:s,s:s}",
		"address", &who, "service", &service, "failures", &failures,
		"limit", &by_limit, "since", &since, "until", &until) != 0)
		return false;
	ban_who_user(who, out->who);
	out->by_limit = by_limit != 0;
	(void)snprintf(out->service, sizeof(out->service), "%s", service);
	out->failures = failures;
	return clock_parse_rfc3339(slice_str(since), &out->since_ms) &&
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

bool
bans_find(struct bans *b, const char *who, int64_t now_ms, struct ban *out)
{
	const struct ban *ban;
	bool is_banned;

	pthread_mutex_lock(&b->lock);
	ban = find(b, who);
	is_banned = ban != NULL && ban->until_ms > now_ms;
	if (is_banned)
		*out = *ban;
	pthread_mutex_unlock(&b->lock);
	return is_banned;
}

void
bans_add(struct bans *b, const struct ban *ban)
{
	pthread_mutex_lock(&b->lock);
	drop_ended(b, ban->since_ms);
	add(b, ban);
	save(b);
	pthread_mutex_unlock(&b->lock);
}

bool
bans_lift(struct bans *b, const char *who, int64_t now_ms)
{
	struct ban *ban;

	pthread_mutex_lock(&b->lock);
	drop_ended(b, now_ms);
	ban = find(b, who);
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
