/*
 * The runner's index: every message it knows, by id, by turn and by time.
 *
 * About 200 bytes a message, so that 100,000 deferred ones cost what one big
 * message does; envelopes stay on the disk until they are claimed, but for
 * their outlines (spool_list.c).
 *
 * Pure memory; all under the spool's lock.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	RETRY_TURN = 8,  /* one due retry for so many new ones */
	REPORT_TURN = 4, /* one report for three letters */
	CLOCK_STEP_MS = 1000,
};

/*
 * By id: a treap, so that a page of the queue is read where it begins and
 * looking one up takes some twenty steps.  An id's rank is made of its random
 * part.
 */
static uint64_t
rank_of(const struct spool_entry *en)
{
	uint64_t random;

	memcpy(&random, en->id + ID_LEN - sizeof(random), sizeof(random));
	random *= UINT64_C(0x9e3779b97f4a7c15);
	return random ^ random >> 32;
}

/* Where the id is, or would be. */
static struct spool_entry **
slot_of(struct spool *s, const char *id)
{
	struct spool_entry **p = &s->by_id;

	while (*p != NULL) {
		int order = memcmp(id, (*p)->id, ID_LEN);

		if (order == 0)
			break;
		p = order < 0 ? &(*p)->left : &(*p)->right;
	}
	return p;
}

static void
tree_add(struct spool *s, struct spool_entry *en)
{
	struct spool_entry **p = &s->by_id, *rest;
	struct spool_entry **left = &en->left, **right = &en->right;
	uint64_t rank = rank_of(en);

	while (*p != NULL && rank_of(*p) >= rank)
		p = memcmp(en->id, (*p)->id, ID_LEN) < 0 ? &(*p)->left
							 : &(*p)->right;
	rest = *p;
	*p = en;
	/* What was below stands on both sides of it from now on. */
	while (rest != NULL) {
		if (memcmp(rest->id, en->id, ID_LEN) < 0) {
			*left = rest;
			left = &rest->right;
			rest = *left;
		} else {
			*right = rest;
			right = &rest->left;
			rest = *right;
		}
	}
	*left = *right = NULL;
}

static void
tree_remove(struct spool *s, const struct spool_entry *en)
{
	struct spool_entry **p = slot_of(s, en->id);
	struct spool_entry *a = en->left, *b = en->right;

	while (a != NULL && b != NULL) {
		if (rank_of(a) >= rank_of(b)) {
			*p = a;
			p = &a->right;
			a = *p;
		} else {
			*p = b;
			p = &b->left;
			b = *p;
		}
	}
	*p = a != NULL ? a : b;
}

struct spool_entry *
spool_index_find(struct spool *s, const char *id)
{
	return *slot_of(s, id);
}

/*
 * Most of the time of a walk is waiting for memory, so what comes next is
 * fetched while the left side is walked.  `after`: NULL when all of the tree
 * is behind it.
 */
static bool
walk(struct spool_entry *en, const char *after, spool_index_visit *each,
    void *arg)
{
	for (; en != NULL; en = en->right) {
		__builtin_prefetch(en->right);
		__builtin_prefetch(en->outline);
		if (after != NULL && memcmp(en->id, after, ID_LEN) <= 0)
			continue;
		if (!walk(en->left, after, each, arg) || !each(arg, en))
			return false;
		after = NULL;
	}
	return true;
}

void
spool_index_walk(
    struct spool *s, const char *after, spool_index_visit *each, void *arg)
{
	char from[ID_SIZE] = "";

	(void)snprintf(from, sizeof(from), "%s", after);
	(void)walk(s->by_id, from, each, arg);
}

struct spool_entry *
spool_index_add(struct spool *s, const char *id)
{
	struct spool_entry *en = mem_zalloc(sizeof(*en));

	memcpy(en->id, id, ID_SIZE);
	en->seen = UINT64_MAX;
	en->state = ENTRY_SETTLED;
	s->state_counts[ENTRY_SETTLED]++;
	en->is_duplicate = spool_index_find(s, id) != NULL;
	if (!en->is_duplicate)
		tree_add(s, en);
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

static struct ready_queue *
ready_queue(struct spool *s, const struct spool_entry *en)
{
	return &s->ready[(en->flags & RECORD_REPORT) != 0];
}

static void
ready_remove(struct spool *s, struct spool_entry *en)
{
	struct ready_queue *q = ready_queue(s, en);

	if (en->prev != NULL)
		en->prev->next = en->next;
	else
		q->first = en->next;
	if (en->next != NULL)
		en->next->prev = en->prev;
	else
		q->last = en->prev;
	en->prev = en->next = NULL;
}

static void
ready_add(struct spool *s, struct spool_entry *en)
{
	struct ready_queue *q = ready_queue(s, en);

	en->prev = q->last;
	en->next = NULL;
	if (q->last != NULL)
		q->last->next = en;
	else
		q->first = en;
	q->last = en;
}

/* A flood of reports delays no letter (E11), nor letters a report for ever. */
static struct spool_entry *
next_ready(struct spool *s)
{
	struct spool_entry *letter = s->ready[0].first;
	struct spool_entry *report = s->ready[1].first;

	if (letter != NULL && report != NULL)
		return s->report_turn++ % REPORT_TURN == REPORT_TURN - 1
		    ? report
		    : letter;
	return letter != NULL ? letter : report;
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

void
spool_index_follow_clock(struct spool *s, int64_t back_ms)
{
	if (back_ms <= CLOCK_STEP_MS)
		return;
	s->set_back_ms += back_ms;
	for (size_t i = 0; i < s->heap_count; i++)
		s->heap[i]->next_try_ms -= back_ms;
}

struct spool_entry *
index_next_due(struct spool *s, int64_t now_ms, int64_t *until_ms_out)
{
	struct spool_entry *due = s->heap_count > 0 ? s->heap[0] : NULL, *fresh;

	*until_ms_out = INT64_MAX;
	if (s->gate == SPOOL_NOTHING)
		return NULL;
	fresh = next_ready(s);
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
	if (en->state == ENTRY_READY)
		ready_remove(s, en);
	else if (en->state == ENTRY_WAITING)
		heap_remove(s, en);
	s->state_counts[en->state]--;
	if (!en->is_duplicate)
		tree_remove(s, en);
	free(en->outline);
	free(en);
}

void
spool_index_release(struct spool *s)
{
	struct spool_entry *en;

	/* Turned into a list while it is freed, whatever its depth. */
	while ((en = s->by_id) != NULL) {
		struct spool_entry *left = en->left;

		if (left != NULL) {
			en->left = left->right;
			left->right = en;
			s->by_id = left;
		} else {
			s->by_id = en->right;
			free(en->outline);
			free(en);
		}
	}
	free(s->heap);
}
