/*
 * Group commit for questions to accountd; see sign_batch.h.
 *
 * Who finds no question under way, or is the last of a full one, asks for all
 * who wait; the others sleep, and when the answer is there one of those who
 * came meanwhile is woken to ask next.  No lock is held while accountd is asked.
 *
 * Invariant: an ask is in the list of those who wait, or sent by exactly one
 * thread, or done; its owner leaves only when it is done.
 */
#include "queue/sign_batch.h"

#include <jansson.h>
#include <pthread.h>

#include "base/base64.h"
#include "base/mem.h"

enum {
	ASK_MS = 10000
};

struct sign_batch {
	struct accountd *accountd;
	pthread_mutex_t lock;
	struct sign_ask *waiting;
	unsigned waiting_count, under_way;
};

struct sign_batch *
sign_batch_new(struct accountd *a)
{
	struct sign_batch *b = mem_zalloc(sizeof(*b));

	b->accountd = a;
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

static void
add_hashes(json_t *hashes, const struct sign_ask *ask)
{
	for (int a = 0; a < DKIM_ALGORITHMS; a++) {
		struct buf text;

		if (ask->selectors[a][0] == '\0')
			continue;
		buf_init(&text, 64);
		base64_encode(ask->hashes[a], DKIM_HASH_SIZE, &text);
		json_array_append_new(hashes,
		    json_pack(
			"[s,s,s]", ask->domain, ask->selectors[a], text.data));
		buf_release(&text);
	}
}

/* From `at` of the answer on, which is moved behind what is of this ask. */
static int
take_signatures(
    const json_t *signatures, size_t *at, struct sign_ask *ask, struct err *e)
{
	int rc = 0;

	for (int a = 0; a < DKIM_ALGORITHMS; a++) {
		json_t *item;

		if (ask->selectors[a][0] == '\0')
			continue;
		item = json_array_get(signatures, (*at)++);
		if (json_is_null(item))
			rc = err_set(
			    e, ERR_PERM, "no active key %s", ask->selectors[a]);
		else if (!base64_decode(slice_str(json_string_value(item)),
			     &ask->signatures[a]) ||
		    ask->signatures[a].len == 0)
			rc = err_set(e, ERR_TEMP, "no signature in an answer");
	}
	return rc;
}

static void
ask_for_all(struct sign_batch *b, struct sign_ask *list)
{
	json_t *hashes = json_array(), *reply = NULL;
	struct err e;
	size_t at = 0;
	int rc;

	for (struct sign_ask *ask = list; ask != NULL; ask = ask->next)
		add_hashes(hashes, ask);
	rc = accountd_call(b->accountd,
	    json_pack("{s:s, s:o}", "verb", "dkim sign", "hashes", hashes),
	    ASK_MS, &reply, &e);
	for (struct sign_ask *ask = list; ask != NULL; ask = ask->next) {
		ask->rc = rc;
		ask->err = e;
		if (rc == 0)
			ask->rc = take_signatures(
			    json_object_get(reply, "signatures"), &at, ask,
			    &ask->err);
	}
	json_decref(reply);
}

/* With the lock, which is released meanwhile. */
static void
lead(struct sign_batch *b)
{
	struct sign_ask *list = b->waiting;

	for (struct sign_ask *ask = list; ask != NULL; ask = ask->next)
		ask->sent = true;
	b->waiting = NULL;
	b->waiting_count = 0;
	b->under_way++;
	pthread_mutex_unlock(&b->lock);
	ask_for_all(b, list);
	pthread_mutex_lock(&b->lock);
	b->under_way--;
	for (struct sign_ask *next; list != NULL; list = next) {
		next = list->next;
		list->done = true;
		pthread_cond_signal(&list->wake);
	}
	if (b->waiting != NULL && b->under_way == 0)
		pthread_cond_signal(&b->waiting->wake);
}

int
sign_batch_ask(struct sign_batch *b, struct sign_ask *ask, struct err *e)
{
	ask->sent = ask->done = false;
	pthread_cond_init(&ask->wake, NULL);
	pthread_mutex_lock(&b->lock);
	ask->next = b->waiting;
	b->waiting = ask;
	b->waiting_count++;
	while (!ask->done) {
		if (!ask->sent &&
		    (b->under_way == 0 || b->waiting_count == SIGN_BATCH))
			lead(b);
		else
			pthread_cond_wait(&ask->wake, &b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	pthread_cond_destroy(&ask->wake);
	if (ask->rc != 0)
		*e = ask->err;
	return ask->rc;
}
