/*
 * Looking at the queue as a whole: pages of it, and who it waits for.
 *
 * The index keeps an outline of each envelope that was stored or looked at
 * since the start: the addresses as a Bloom filter, the domains as numbers.
 * It says no for sure and yes nearly always; whoever needs to be sure reads
 * the envelope.  An entry without one may always fit.  Half of the filter,
 * folded, stands in the entry itself: a search that finds nothing waits for
 * one cache line a message.
 *
 * Everything here walks the index in steps, so that the lock is never held
 * for longer than a step takes.  Any thread.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	STEP = 8000,           /* some 0.4 ms */
	STEP_PAUSE_NS = 10000, /* lets those in who wait for the lock */
	PLACES_MAX = 1000,     /* domains of one message that are counted */
	READ_AT_ONCE = 64,
	GROUPS_START = 256,
};

struct spool_outline {
	uint64_t seen[2]; /* Bloom filter of sender and recipients */
	uint64_t owner;
	uint32_t count;
	bool awaits_resume;
	uint64_t places[]; /* domains for which recipients wait, each once */
};

/* --- outlines ------------------------------------------------------------------- */

enum name_kind {
	NAME_SENDER = 1,
	NAME_RECIPIENT,
	NAME_DOMAIN
};

static uint64_t
name_hash(const struct spool *s, enum name_kind kind, const char *name)
{
	uint64_t h = s->name_seed + kind;

	for (; *name != '\0'; name++) {
		h ^= (unsigned char)ascii_lower(*name);
		h *= UINT64_C(0x100000001b3);
		h ^= h >> 29;
	}
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

static const char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL ? at + 1 : "";
}

const char *
spool_owner(const struct envelope *v)
{
	/* a local program's is a user name without a domain */
	return domain_of(
	    strchr(v->auth_user, '@') != NULL ? v->auth_user : v->sender);
}

static void
bloom_bits(uint64_t h, uint64_t out[2])
{
	out[0] = out[1] = 0;
	for (int i = 0; i < 4; i++, h >>= 7)
		out[h >> 6 & 1] |= UINT64_C(1) << (h & 63);
}

static void
bloom_add(struct spool_outline *o, uint64_t h)
{
	uint64_t bits[2];

	bloom_bits(h, bits);
	o->seen[0] |= bits[0];
	o->seen[1] |= bits[1];
}

static bool
bloom_has(const struct spool_outline *o, uint64_t h)
{
	uint64_t bits[2];

	bloom_bits(h, bits);
	return (o->seen[0] & bits[0]) == bits[0] &&
	    (o->seen[1] & bits[1]) == bits[1];
}

static int
compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint32_t
sort_once(uint64_t *list, uint32_t count)
{
	uint32_t kept = 0;

	if (count > 1)
		qsort(list, count, sizeof(*list), compare_numbers);
	for (uint32_t i = 0; i < count; i++)
		if (kept == 0 || list[kept - 1] != list[i])
			list[kept++] = list[i];
	return kept;
}

struct spool_outline *
outline_new(const struct spool *s, const struct envelope *v)
{
	size_t most =
	    v->recipient_count < PLACES_MAX ? v->recipient_count : PLACES_MAX;
	struct spool_outline *o =
	    mem_zalloc(sizeof(*o) + most * sizeof(o->places[0]));

	o->awaits_resume = envelope_awaits_resume(v);
	o->owner = name_hash(s, NAME_DOMAIN, spool_owner(v));
	bloom_add(o, name_hash(s, NAME_SENDER, v->sender));
	for (size_t i = 0; i < v->recipient_count; i++) {
		const struct envelope_recipient *r = &v->recipients[i];
		uint64_t place =
		    name_hash(s, NAME_DOMAIN, domain_of(r->address));

		bloom_add(o, name_hash(s, NAME_RECIPIENT, r->address));
		bloom_add(o, place);
		if (r->state == RECIPIENT_WAITING && o->count < most)
			o->places[o->count++] = place;
	}
	o->count = sort_once(o->places, o->count);
	return mem_realloc(o, sizeof(*o) + o->count * sizeof(o->places[0]));
}

void
outline_set(struct spool_entry *en, struct spool_outline *o)
{
	free(en->outline);
	en->outline = o;
	en->seen = o->seen[0] | o->seen[1];
}

/* --- what fits -------------------------------------------------------------------- */

static bool
owner_fits(const struct spool_filter *f, const char *domain)
{
	size_t i = 0;

	while (i < f->owner_count && ascii_casecmp(f->owners[i], domain) != 0)
		i++;
	return f->owners == NULL || i < f->owner_count;
}

bool
spool_fits(const struct spool_filter *f, const struct envelope *v)
{
	if (!owner_fits(f, spool_owner(v)) ||
	    (f->awaits_resume && !envelope_awaits_resume(v)) ||
	    (f->sender != NULL && ascii_casecmp(v->sender, f->sender) != 0))
		return false;
	if (f->recipient == NULL && f->destination == NULL)
		return true;
	for (size_t i = 0; i < v->recipient_count; i++) {
		const char *a = v->recipients[i].address;

		if ((f->recipient == NULL ||
			ascii_casecmp(a, f->recipient) == 0) &&
		    (f->destination == NULL ||
			ascii_casecmp(domain_of(a), f->destination) == 0))
			return true;
	}
	return false;
}

/* A filter in terms of outlines. */
struct sieve {
	const struct spool_filter *filter;
	uint64_t names[3];
	size_t name_count;
	uint64_t seen;    /* what all names have in spool_entry.seen */
	uint64_t *owners; /* sorted */
	uint32_t owner_count;
};

static void
sieve_init(struct sieve *v, const struct spool *s, const struct spool_filter *f)
{
	*v = (struct sieve){ .filter = f };
	if (f->sender != NULL)
		v->names[v->name_count++] =
		    name_hash(s, NAME_SENDER, f->sender);
	if (f->recipient != NULL)
		v->names[v->name_count++] =
		    name_hash(s, NAME_RECIPIENT, f->recipient);
	if (f->destination != NULL)
		v->names[v->name_count++] =
		    name_hash(s, NAME_DOMAIN, f->destination);
	for (size_t i = 0; i < v->name_count; i++) {
		uint64_t bits[2];

		bloom_bits(v->names[i], bits);
		v->seen |= bits[0] | bits[1];
	}
	if (f->owners == NULL)
		return;
	v->owners = mem_alloc((f->owner_count + 1) * sizeof(*v->owners));
	for (size_t i = 0; i < f->owner_count; i++)
		v->owners[i] = name_hash(s, NAME_DOMAIN, f->owners[i]);
	v->owner_count = sort_once(v->owners, (uint32_t)f->owner_count);
}

static bool
sieve_owner(const struct sieve *v, const struct spool_outline *o)
{
	return v->owners == NULL ||
	    bsearch(&o->owner, v->owners, v->owner_count, sizeof(*v->owners),
		compare_numbers) != NULL;
}

static bool
sieve_passes(const struct sieve *v, const struct spool_entry *en)
{
	const struct spool_outline *o = en->outline;

	if ((en->seen & v->seen) != v->seen)
		return false; /* most, without a look at the outline */
	if (v->filter->unread || o == NULL)
		return o == NULL;
	if (v->filter->awaits_resume && !o->awaits_resume)
		return false;
	for (size_t i = 0; i < v->name_count; i++)
		if (!bloom_has(o, v->names[i]))
			return false;
	return sieve_owner(v, o);
}

/* --- walking ------------------------------------------------------------------------ */

static enum spool_state
state_of(const struct spool_entry *en)
{
	return en->state == ENTRY_HELD   ? SPOOL_HELD
	    : en->state == ENTRY_WAITING ? SPOOL_DEFERRED
					 : SPOOL_ACTIVE;
}

static void
fill_info(struct spool_info *out, const struct spool_entry *en)
{
	memcpy(out->id, en->id, ID_SIZE);
	out->state = state_of(en);
	out->next_try_ms = out->state == SPOOL_DEFERRED ? en->next_try_ms : 0;
}

bool
spool_find(struct spool *s, const char *id, struct spool_info *out)
{
	const struct spool_entry *en = NULL;

	(void)pthread_mutex_lock(&s->lock);
	if (id_is_valid(slice_str(id)))
		en = spool_index_find(s, id);
	if (en != NULL && en->state == ENTRY_SETTLED)
		en = NULL;
	if (en != NULL)
		fill_info(out, en);
	(void)pthread_mutex_unlock(&s->lock);
	return en != NULL;
}

struct walk {
	spool_index_visit *each; /* false: enough */
	void *arg;
	char at[ID_SIZE]; /* all up to here was seen */
	unsigned seen;    /* in this step */
	bool has_more;
};

static bool
walk_one(void *arg, struct spool_entry *en)
{
	struct walk *w = arg;

	w->has_more = w->seen++ == STEP;
	if (w->has_more)
		return false;
	memcpy(w->at, en->id, ID_SIZE);
	return en->state == ENTRY_SETTLED || w->each(w->arg, en);
}

/* All unsettled messages behind an id, in steps. */
static void
walk_all(struct spool *s, const char *after, spool_index_visit *each, void *arg)
{
	const struct timespec pause = { 0, STEP_PAUSE_NS };
	struct walk w = { .each = each, .arg = arg };

	if (!slice_copy(slice_str(after), w.at, sizeof(w.at)))
		return; /* no id */
	for (;;) {
		w.has_more = false;
		w.seen = 0;
		(void)pthread_mutex_lock(&s->lock);
		spool_index_walk(s, w.at, walk_one, &w);
		(void)pthread_mutex_unlock(&s->lock);
		if (!w.has_more)
			return;
		(void)nanosleep(&pause, NULL);
	}
}

struct page {
	struct sieve sieve;
	struct spool_info *out;
	size_t count, max;
};

static bool
page_one(void *arg, struct spool_entry *en)
{
	struct page *p = arg;
	unsigned states = p->sieve.filter->states;

	if (states != 0 && (states & 1U << state_of(en)) == 0)
		return true;
	if (sieve_passes(&p->sieve, en))
		fill_info(&p->out[p->count++], en);
	return p->count < p->max;
}

size_t
spool_page(struct spool *s, const struct spool_filter *f, const char *after,
    struct spool_info *out, size_t max)
{
	static const struct spool_filter everything;
	struct page p = { .out = out, .max = max };

	sieve_init(&p.sieve, s, f != NULL ? f : &everything);
	walk_all(s, after, page_one, &p);
	free(p.sieve.owners);
	return p.count;
}

bool
spool_read_on(struct spool *s, char at[ID_SIZE])
{
	const struct spool_filter unread = { .unread = true };
	struct spool_info list[READ_AT_ONCE];
	size_t count = spool_page(s, &unread, at, list, READ_AT_ONCE);

	for (size_t i = 0; i < count; i++) {
		struct pool pool = { 0 };
		struct envelope v;
		struct err e;

		if (spool_peek(s, list[i].id, &pool, &v, &e) == 0)
			envelope_release(&v);
		pool_release(&pool);
		memcpy(at, list[i].id, ID_SIZE);
	}
	return count == READ_AT_ONCE;
}

/* --- by destination ------------------------------------------------------------------- */

struct survey {
	struct sieve sieve;
	struct spool_survey *out;
	struct spool_group *table; /* open addressing; count 0: free */
	size_t size, used;
};

static struct spool_group *
group_slot(struct survey *v, uint64_t key)
{
	size_t i = (size_t)key & (v->size - 1);

	while (v->table[i].count > 0 && v->table[i].key != key)
		i = (i + 1) & (v->size - 1);
	return &v->table[i];
}

static void
grow_groups(struct survey *v)
{
	struct spool_group *old = v->table;
	size_t size = v->size;

	v->size = size == 0 ? GROUPS_START : size * 2;
	v->table = mem_zalloc(v->size * sizeof(*v->table));
	for (size_t i = 0; i < size; i++)
		if (old[i].count > 0)
			*group_slot(v, old[i].key) = old[i];
	free(old);
}

static void
count_place(struct survey *v, uint64_t key, const struct spool_entry *en)
{
	struct spool_group *g;

	if (2 * (v->used + 1) > v->size)
		grow_groups(v);
	g = group_slot(v, key);
	if (g->count++ == 0) {
		v->used++;
		g->key = key;
		g->next_try_ms = en->next_try_ms;
		memcpy(g->oldest, en->id, ID_SIZE);
	}
	if (en->next_try_ms < g->next_try_ms)
		g->next_try_ms = en->next_try_ms;
	memcpy(g->newest, en->id, ID_SIZE);
}

static bool
survey_one(void *arg, struct spool_entry *en)
{
	struct survey *v = arg;
	const struct spool_outline *o = en->outline;
	enum spool_state state = state_of(en);

	if (o == NULL ? v->sieve.owners != NULL : !sieve_owner(&v->sieve, o))
		return true;
	v->out->counts[state]++;
	for (uint32_t i = 0;
	     o != NULL && state == SPOOL_DEFERRED && i < o->count; i++)
		count_place(v, o->places[i], en);
	return true;
}

static int
by_count(const void *a, const void *b)
{
	const struct spool_group *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

void
spool_survey(struct spool *s, const struct spool_filter *owners,
    struct spool_survey *out)
{
	struct survey v = { .out = out };
	size_t kept = 0;

	memset(out, 0, sizeof(*out));
	sieve_init(&v.sieve, s, owners);
	walk_all(s, "", survey_one, &v);
	free(v.sieve.owners);
	for (size_t i = 0; i < v.size; i++)
		if (v.table[i].count > 0)
			v.table[kept++] = v.table[i];
	if (kept > 1)
		qsort(v.table, kept, sizeof(*v.table), by_count);
	out->groups = v.table;
	out->group_count = kept;
}

const struct envelope_recipient *
spool_group_find(const struct spool *s, const struct spool_group *g,
    const struct envelope *v)
{
	for (size_t i = 0; i < v->recipient_count; i++) {
		const struct envelope_recipient *r = &v->recipients[i];

		if (r->state == RECIPIENT_WAITING &&
		    name_hash(s, NAME_DOMAIN, domain_of(r->address)) == g->key)
			return r;
	}
	return NULL;
}
