/*
 * The runner's index: every message it knows, by id, by turn and by time.
 *
 * About 130 bytes a message, so that 100,000 deferred ones cost what one big
 * message does; envelopes stay on the disk until they are claimed.
 *
 * Pure memory; all under the spool's lock.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	RETRY_TURN = 8
}; /* one due retry for so many new ones */

/* The random part of an id is random enough. */
static size_t
hash_id(const char *id)
{
	size_t h = 0;

	for (size_t i = 10; i < ID_LEN; i++)
		h = h * 33 + (unsigned char)id[i];
	return h;
}

static void
rehash(struct spool *s)
{
	size_t count = s->bucket_count == 0 ? 1024 : s->bucket_count * 2;
	struct spool_entry **fresh =
	    mem_zalloc(count * sizeof(struct spool_entry *));

	for (size_t i = 0; i < s->bucket_count; i++) {
		struct spool_entry *en = s->buckets[i];

		while (en != NULL) {
			struct spool_entry *next = en->hash_next;
			size_t b = hash_id(en->id) & (count - 1);

			en->hash_next = fresh[b];
			fresh[b] = en;
			en = next;
		}
	}
	free(s->buckets);
	s->buckets = fresh;
	s->bucket_count = count;
}

struct spool_entry *
spool_index_find(struct spool *s, const char *id)
{
	struct spool_entry *en;

	if (s->bucket_count == 0)
		return NULL;
	en = s->buckets[hash_id(id) & (s->bucket_count - 1)];
	while (en != NULL && memcmp(en->id, id, ID_SIZE) != 0)
		en = en->hash_next;
	return en;
}

struct spool_entry *
spool_index_add(struct spool *s, const char *id)
{
	struct spool_entry *en = mem_zalloc(sizeof(*en));
	size_t b;

	memcpy(en->id, id, ID_SIZE);
	en->state = ENTRY_SETTLED;
	s->state_counts[ENTRY_SETTLED]++;
	en->is_duplicate = spool_index_find(s, id) != NULL;
	if (en->is_duplicate)
		return en;
	if (s->entry_count >= s->bucket_count)
		rehash(s);
	b = hash_id(id) & (s->bucket_count - 1);
	en->hash_next = s->buckets[b];
	s->buckets[b] = en;
	s->entry_count++;
	return en;
}

/* --- the heap of times ------------------------------------------------------- */

static void
heap_put(struct spool *s, size_t i, struct spool_entry *en)
{
	s->heap[i] = en;
	en->heap_index = i;
}

static void
heap_up(struct spool *s, size_t i, struct spool_entry *en)
{
	while (i > 0 && s->heap[(i - 1) / 2]->next_try_ms > en->next_try_ms) {
		heap_put(s, i, s->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(s, i, en);
}

static void
heap_down(struct spool *s, size_t i, struct spool_entry *en)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= s->heap_count)
			break;
		if (child + 1 < s->heap_count &&
		    s->heap[child + 1]->next_try_ms <
			s->heap[child]->next_try_ms)
			child++;
		if (s->heap[child]->next_try_ms >= en->next_try_ms)
			break;
		heap_put(s, i, s->heap[child]);
		i = child;
	}
	heap_put(s, i, en);
}

static void
heap_remove(struct spool *s, struct spool_entry *en)
{
	size_t i = en->heap_index;
	struct spool_entry *last = s->heap[--s->heap_count];

	if (last == en)
		return;
	if (last->next_try_ms < en->next_try_ms)
		heap_up(s, i, last);
	else
		heap_down(s, i, last);
}

static void
heap_add(struct spool *s, struct spool_entry *en)
{
	s->heap = mem_grow(s->heap, &s->heap_alloc, s->heap_count + 1,
	    sizeof(struct spool_entry *));
	s->heap_count++;
	heap_up(s, s->heap_count - 1, en);
}

/* --- states -------------------------------------------------------------------- */

static void
ready_remove(struct spool *s, struct spool_entry *en)
{
	if (en->prev != NULL)
		en->prev->next = en->next;
	else
		s->ready_first = en->next;
	if (en->next != NULL)
		en->next->prev = en->prev;
	else
		s->ready_last = en->prev;
	en->prev = en->next = NULL;
}

static void
ready_add(struct spool *s, struct spool_entry *en)
{
	en->prev = s->ready_last;
	en->next = NULL;
	if (s->ready_last != NULL)
		s->ready_last->next = en;
	else
		s->ready_first = en;
	s->ready_last = en;
}

void
spool_index_set(struct spool *s, struct spool_entry *en, enum entry_state st)
{
	assert(!en->is_duplicate || st == ENTRY_PENDING || st == ENTRY_SETTLED);
	if (en->state == ENTRY_READY)
		ready_remove(s, en);
	else if (en->state == ENTRY_WAITING)
		heap_remove(s, en);
	s->state_counts[en->state]--;
	en->state = (uint8_t)st;
	s->state_counts[st]++;
	if (st == ENTRY_READY)
		ready_add(s, en);
	else if (st == ENTRY_WAITING)
		heap_add(s, en);
}

struct spool_entry *
index_next_due(struct spool *s, int64_t now_ms, int64_t *until_ms_out)
{
	struct spool_entry *due = s->heap_count > 0 ? s->heap[0] : NULL;
	struct spool_entry *fresh = s->ready_first;

	*until_ms_out = INT64_MAX;
	if (s->gate == SPOOL_NOTHING)
		return NULL;
	if (s->gate == SPOOL_NEW_ONLY)
		return fresh;
	if (due != NULL && due->next_try_ms > now_ms) {
		*until_ms_out = due->next_try_ms;
		due = NULL;
	}
	if (fresh != NULL && due != NULL)
		return s->turn++ % RETRY_TURN == RETRY_TURN - 1 ? due : fresh;
	return fresh != NULL ? fresh : due;
}

void
spool_index_remove(struct spool *s, struct spool_entry *en)
{
	struct spool_entry **p;

	if (en->state == ENTRY_READY)
		ready_remove(s, en);
	else if (en->state == ENTRY_WAITING)
		heap_remove(s, en);
	s->state_counts[en->state]--;
	if (!en->is_duplicate) {
		p = &s->buckets[hash_id(en->id) & (s->bucket_count - 1)];
		while (*p != en)
			p = &(*p)->hash_next;
		*p = en->hash_next;
		s->entry_count--;
	}
	free(en);
}

void
spool_index_release(struct spool *s)
{
	for (size_t i = 0; i < s->bucket_count; i++) {
		struct spool_entry *en = s->buckets[i];

		while (en != NULL) {
			struct spool_entry *next = en->hash_next;

			free(en);
			en = next;
		}
	}
	free(s->buckets);
	free(s->heap);
}
