/*
 * Quotas at delivery; see quota.h.  A table of what was measured, by mailbox
 * path, under one lock that is never held while a mailbox is listed.  What is
 * promised and not yet seen in a listing is counted beside; where a delivery
 * arrived during a listing, nobody knows whether that saw it: once more.
 */
#include "queue/quota.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

enum {
	SLOTS = 1024, /* a clash only costs a listing, */
	PROBES = 8,   /* unless something is promised: the next ones */
	MEASURES = 4,
	PATH_SIZE = 512,
	FRESH_MS = 30000,
};

struct usage {
	char path[PATH_SIZE];
	uint64_t bytes, messages;                 /* with what is promised */
	uint64_t pending_bytes, pending_messages; /* promised */
	unsigned arrivals;
	int64_t measured_ms; /* monotonic; 0 = never */
};

struct quota {
	pthread_mutex_t lock;
	struct usage *slots[SLOTS];
};

struct quota *
quota_new(void)
{
	struct quota *q = mem_zalloc(sizeof(*q));

	pthread_mutex_init(&q->lock, NULL);
	return q;
}

/* What is known of a mailbox, or NULL; call with the lock held. */
static struct usage *
find(struct quota *q, const char *path, struct usage ***slot_out)
{
	uint32_t h = slice_hash(slice_str(path));
	struct usage **best = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		struct usage **u = &q->slots[(h + i) % SLOTS];

		if (*u != NULL && strcmp((*u)->path, path) == 0)
			return *u;
		if (best == NULL && (*u == NULL || (*u)->pending_messages == 0))
			best = u;
	}
	if (slot_out != NULL)
		*slot_out = best != NULL ? best : &q->slots[h % SLOTS];
	return NULL;
}

/* The same, made if missing. */
static struct usage *
slot(struct quota *q, const char *path)
{
	struct usage **at, *u = find(q, path, &at);

	if (u != NULL)
		return u;
	if (*at == NULL)
		*at = mem_alloc(sizeof(*u));
	u = *at;
	memset(u, 0, sizeof(*u));
	snprintf(u->path, sizeof(u->path), "%s", path);
	return u;
}

/* All folders, by their names: maildirsize may be what others made of it. */
static bool
measure(const struct maildir *m, struct usage *u)
{
	struct maildir_usage sum;
	struct err e;

	if (maildir_usage_count(m, &sum, &e) != 0)
		return false;
	u->messages = sum.messages;
	u->bytes = sum.bytes;
	u->measured_ms = clock_mono_ms();
	return true;
}

/* `percent` of `limit`, without overflow. */
static uint64_t
share(uint64_t limit, uint64_t percent)
{
	return limit / 100 * percent + limit % 100 * percent / 100;
}

static bool
is_over(uint64_t used, uint64_t add, uint64_t limit, uint64_t margin)
{
	return limit != 0 &&
	    (used >= limit || used + add > limit + share(limit, margin));
}

static bool
crosses(uint64_t used, uint64_t add, uint64_t limit, uint64_t percent)
{
	uint64_t mark = share(limit, percent);

	return mark != 0 && used < mark && used + add >= mark;
}

static bool
is_full(const struct usage *u, const struct dir_account *a, uint64_t size,
    const struct settings *s)
{
	uint64_t margin = (uint64_t)settings_int(s, SET_QUOTA_MARGIN);

	return is_over(u->bytes, size, a->quota_bytes, margin) ||
	    is_over(u->messages, 1, a->quota_messages, margin);
}

/* Count the message in; call with the lock held. */
static enum quota_verdict
take(struct usage *u, const struct dir_account *a, uint64_t size,
    const struct settings *s)
{
	uint64_t warn = (uint64_t)settings_int(s, SET_QUOTA_WARN);
	bool crossed;

	if (is_full(u, a, size, s))
		return QUOTA_FULL;
	crossed = crosses(u->bytes, size, a->quota_bytes, warn) ||
	    crosses(u->messages, 1, a->quota_messages, warn);
	u->bytes += size;
	u->messages++;
	u->pending_bytes += size;
	u->pending_messages++;
	return crossed ? QUOTA_WARN : QUOTA_FITS;
}

enum quota_verdict
quota_take(struct quota *q, const struct maildir *m, const char *path,
    const struct dir_account *a, uint64_t size, const struct settings *s)
{
	enum quota_verdict verdict = QUOTA_FULL;
	struct usage now, *u;
	unsigned arrivals;
	int i;

	if (a->quota_bytes == 0 && a->quota_messages == 0)
		return QUOTA_FITS;
	pthread_mutex_lock(&q->lock);
	u = slot(q, path);
	if (u->measured_ms != 0 && clock_mono_ms() - u->measured_ms < FRESH_MS)
		verdict = take(u, a, size, s);
	/* unknown, or full: its owner may have cleared it since */
	for (i = 0; i < MEASURES && verdict == QUOTA_FULL; i++) {
		bool measured;

		arrivals = u->arrivals;
		pthread_mutex_unlock(&q->lock);
		measured = measure(m, &now);
		pthread_mutex_lock(&q->lock);
		u = slot(q, path);
		if (!measured) {
			verdict = QUOTA_FITS;
			break;
		}
		if (u->arrivals != arrivals && i + 1 < MEASURES)
			continue;
		u->bytes = now.bytes + u->pending_bytes;
		u->messages = now.messages + u->pending_messages;
		u->measured_ms = now.measured_ms;
		verdict = take(u, a, size, s);
		break;
	}
	pthread_mutex_unlock(&q->lock);
	return verdict;
}

void
quota_arrived(struct quota *q, const char *path, uint64_t size)
{
	struct usage *u;

	pthread_mutex_lock(&q->lock);
	u = find(q, path, NULL);
	if (u != NULL && u->pending_messages > 0 && u->pending_bytes >= size) {
		u->pending_messages--;
		u->pending_bytes -= size;
		u->arrivals++;
	}
	pthread_mutex_unlock(&q->lock);
}
