/*
 * Deliveries of earlier runners; see arrived.h.
 *
 * A hash table of mailboxes, each with the sorted delivery names found in it.  A
 * mailbox is read outside the lock by whoever asks first; others wait for it.
 * When there are too many, all are forgotten and read again when asked for.
 *
 * Run by the claiming threads.
 */
#include "queue/arrived.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slice.h"

enum {
	BUCKETS = 4096,
	BOXES_MAX = 20000,
	WALKS = 2, /* a name that is changed meanwhile may be missed once */
};

struct box {
	struct box *next;
	bool is_read;
	char **found; /* delivery names, sorted */
	size_t count, alloc;
	char path[];
};

struct arrived {
	struct spool *spool;
	pthread_mutex_t lock;
	pthread_cond_t read; /* some box was, or could not be */
	size_t boxes;
	struct box *buckets[BUCKETS];
};

struct arrived *
arrived_new(struct spool *s)
{
	struct arrived *a = mem_zalloc(sizeof(*a));

	a->spool = s;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->read, NULL);
	return a;
}

/* --- One mailbox ----------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct reading {
	struct spool *spool;
	struct box *box;
};

/* Keep the name, if it is a delivery of a message that is not settled. */
static bool
visit(void *arg, const char *name, size_t len)
{
	const struct reading *r = arg;
	struct box *b = r->box;
	struct spool_info info;
	char id[ID_SIZE];

	if (len <= ID_LEN || name[ID_LEN] != '.' ||
	    !slice_copy(slice_of(name, ID_LEN), id, sizeof(id)) ||
	    !spool_find(r->spool, id, &info))
		return true;
	b->found =
	    mem_grow(b->found, &b->alloc, b->count + 1, sizeof(*b->found));
	b->found[b->count++] = mem_strndup(name, strcspn(name, ":"));
	return true;
}

static int
read_box(struct spool *s, const struct maildir *m, struct box *b, struct err *e)
{
	struct reading r = { s, b };

	for (int i = 0; i < WALKS; i++)
		if (maildir_each_name(m, visit, &r, e) != 0)
			return -1;
	if (b->count > 1)
		qsort(b->found, b->count, sizeof(*b->found), compare);
	return 0;
}

/* --- All of them ------------------------------------------------------------------ */

static void
box_free(struct box *b)
{
	while (b->count > 0)
		free(b->found[--b->count]);
	free(b->found);
	free(b);
}

/* Under the lock: all but those that are just being read. */
static void
forget_all(struct arrived *a)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct box **at = &a->buckets[i];

		while (*at != NULL) {
			struct box *b = *at;

			if (!b->is_read) {
				at = &b->next;
				continue;
			}
			*at = b->next;
			a->boxes--;
			box_free(b);
		}
	}
}

static struct box **
find(struct arrived *a, const char *path)
{
	struct box **at = &a->buckets[slice_hash(slice_str(path)) % BUCKETS];

	while (*at != NULL && strcmp((*at)->path, path) != 0)
		at = &(*at)->next;
	return at;
}

/* Under the lock, which is left for the reading. */
static int
add(struct arrived *a, const char *path, const struct maildir *m, struct err *e)
{
	size_t len = strlen(path) + 1;
	struct box *b = mem_zalloc(sizeof(*b) + len), **at;
	int rc;

	memcpy(b->path, path, len);
	if (a->boxes >= BOXES_MAX)
		forget_all(a);
	*find(a, path) = b;
	a->boxes++;
	(void)pthread_mutex_unlock(&a->lock);
	rc = read_box(a->spool, m, b, e);
	(void)pthread_mutex_lock(&a->lock);
	b->is_read = true;
	if (rc != 0) {
		at = find(a, path);
		*at = b->next;
		a->boxes--;
		box_free(b);
	}
	(void)pthread_cond_broadcast(&a->read);
	return rc;
}

int
arrived_has(struct arrived *a, const char *path, const struct maildir *m,
    const char *name, bool *out, struct err *e)
{
	const struct box *b = NULL;
	int rc = 0;

	(void)pthread_mutex_lock(&a->lock);
	while (rc == 0 && ((b = *find(a, path)) == NULL || !b->is_read)) {
		if (b != NULL)
			(void)pthread_cond_wait(&a->read, &a->lock);
		else
			rc = add(a, path, m, e);
	}
	if (rc == 0)
		*out = b->count > 0 &&
		    bsearch(&name, b->found, b->count, sizeof(name), compare) !=
			NULL;
	(void)pthread_mutex_unlock(&a->lock);
	return rc;
}
