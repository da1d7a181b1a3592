/*
 * A table of answers, one slot a question, all of one version of the
 * database.
 *
 * Invariant: an answer is kept only when its question was asked at the
 * version the table stands for (the ticket) or later, so it is never older
 * than the version it is found under.  A disabled account is not kept: time
 * alone may enable it.
 */
#include "directory/recall.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct answer {
	struct pool pool;
	uint64_t ticket; /* 0 = empty */
	struct slice local;
	char *name;
	enum dir_result result;
	struct dir_domain domain;
	struct dir_account account;
};

struct recall {
	pthread_mutex_t lock;
	const struct sql *watch;
	struct sql_version version; /* the answers' */
	uint64_t ticket;            /* moves with it; 0: none yet */
	struct answer answers[RECALL_SLOTS];
};

struct recall *
recall_new(void)
{
	struct recall *r = mem_zalloc(sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
recall_free(struct recall *r)
{
	for (size_t i = 0; i < RECALL_SLOTS; i++)
		pool_release(&r->answers[i].pool);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void
recall_watch(struct recall *r, struct sql *watch)
{
	if (watch != NULL)
		sql_watch(watch);
	pthread_mutex_lock(&r->lock);
	r->watch = watch;
	r->ticket++;
	pthread_mutex_unlock(&r->lock);
}

/* With the lock held: is there a version?  A new one empties the table. */
static bool
is_current(struct recall *r)
{
	struct sql_version now;

	if (r->watch == NULL || !sql_version(r->watch, &now))
		return false;
	if (memcmp(&now, &r->version, sizeof(now)) != 0) {
		r->version = now;
		r->ticket++;
	}
	return true;
}

static struct answer *
slot(struct recall *r, const struct recall_question *q)
{
	uint32_t hash = slice_hash(slice_str(q->domain)) * 31U;

	if (q->local.data != NULL)
		hash += slice_hash(q->local);
	return &r->answers[hash % RECALL_SLOTS];
}

static bool
is_about(const struct answer *a, const struct recall_question *q)
{
	return (a->local.data == NULL) == (q->local.data == NULL) &&
	    slice_eq(a->local, q->local) && strcmp(a->name, q->domain) == 0;
}

static void
copy_domain(
    struct pool *pool, const struct dir_domain *from, struct dir_domain *to)
{
	*to = *from;
	to->name = pool_strdup(pool, from->name);
	to->asked = pool_strdup(pool, from->asked);
	to->catch_all = pool_strdup(pool, from->catch_all);
	to->forward_to = pool_strdup(pool, from->forward_to);
}

static void
copy_account(struct pool *pool, const struct dir_domain *domain,
    const struct dir_account *from, struct dir_account *to)
{
	*to = *from;
	if (from->id == 0)
		return;
	to->local = pool_strdup(pool, from->local);
	to->domain = domain->name;
	to->address = pool_strdup(pool, from->address);
	to->name = pool_strdup(pool, from->name);
	if (from->forward_count == 0)
		return;
	to->forward =
	    pool_alloc(pool, from->forward_count * sizeof(*to->forward));
	for (size_t i = 0; i < from->forward_count; i++)
		to->forward[i] = pool_strdup(pool, from->forward[i]);
}

bool
recall_find(struct recall *r, struct recall_question *q, struct pool *pool,
    enum dir_result *result, struct dir_domain *domain,
    struct dir_account *account)
{
	struct answer *a = slot(r, q);
	bool found = false;

	pthread_mutex_lock(&r->lock);
	q->ticket = is_current(r) ? r->ticket : 0;
	if (q->ticket != 0 && a->ticket == q->ticket && is_about(a, q)) {
		found = true;
		*result = a->result;
		if (a->result == DIR_FOUND)
			copy_domain(pool, &a->domain, domain);
		if (a->result == DIR_FOUND && q->local.data != NULL)
			copy_account(pool, domain, &a->account, account);
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

static void
keep(struct answer *a, const struct recall_question *q, enum dir_result result,
    const struct dir_domain *domain, const struct dir_account *account)
{
	enum {
		USUAL_SIZE = 512
	};
	struct pool *pool = &a->pool;

	pool_release(pool);
	pool_expect(pool, USUAL_SIZE);
	a->ticket = q->ticket;
	a->name = pool_strdup(pool, q->domain);
	a->local = q->local;
	if (q->local.data != NULL)
		a->local.data = pool_strndup(pool, q->local.data, q->local.len);
	a->result = result;
	if (result == DIR_FOUND)
		copy_domain(pool, domain, &a->domain);
	if (result == DIR_FOUND && q->local.data != NULL)
		copy_account(pool, &a->domain, account, &a->account);
}

void
recall_keep(struct recall *r, const struct recall_question *q,
    enum dir_result result, const struct dir_domain *domain,
    const struct dir_account *account)
{
	if (q->ticket == 0 || result == DIR_TEMP)
		return;
	if (result == DIR_FOUND && q->local.data != NULL &&
	    (account->disabled || account->forward_count > RECALL_FORWARD_MAX))
		return;
	pthread_mutex_lock(&r->lock);
	if (r->ticket == q->ticket)
		keep(slot(r, q), q, result, domain, account);
	pthread_mutex_unlock(&r->lock);
}
