/*
 * The daily look at the DNS; see selfcheck.h.
 *
 * One thread works on a list of domains that only grows, up to a bound.  A
 * complaint is logged when it is new, by a fingerprint of the failed checks:
 * the same ones a day later are not news.
 */
#include "queue/selfcheck.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/accountd.h"
#include "directory/domain_check.h"
#include "mail/address.h"

enum {
	DOMAINS_MAX = 1000,
	DAY_MS = 86400000,
	AGAIN_MS = 300000, /* when accountd did not answer */
	ASK_MS = 10000,
};

struct entry {
	char name[ADDRESS_DOMAIN_MAX + 1];
	int64_t due_ms;
	uint64_t told;
};

struct selfcheck {
	pthread_mutex_t lock;
	struct entry *entries;
	size_t count, alloc;
};

struct selfcheck *
selfcheck_new(void)
{
	struct selfcheck *s = mem_zalloc(sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	return s;
}

static struct entry *
find(struct selfcheck *s, const char *domain)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->entries[i].name, domain) == 0)
			return &s->entries[i];
	return NULL;
}

void
selfcheck_note(struct selfcheck *s, const char *domain)
{
	pthread_mutex_lock(&s->lock);
	if (find(s, domain) == NULL && s->count < DOMAINS_MAX) {
		s->entries = mem_grow(
		    s->entries, &s->alloc, s->count + 1, sizeof(*s->entries));
		memset(&s->entries[s->count], 0, sizeof(*s->entries));
		(void)snprintf(s->entries[s->count].name,
		    sizeof(s->entries[s->count].name), "%s", domain);
		s->count++;
	}
	pthread_mutex_unlock(&s->lock);
}

/* A copy of one that is due. */
static bool
take_due(struct selfcheck *s, struct entry *out)
{
	int64_t now = clock_mono_ms();
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count && !found; i++) {
		found = s->entries[i].due_ms <= now;
		if (found)
			*out = s->entries[i];
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void
put_back(struct selfcheck *s, const struct entry *done, int64_t after_ms)
{
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = find(s, done->name);
	if (e != NULL) {
		e->told = done->told;
		e->due_ms = clock_mono_ms() + after_ms;
	}
	pthread_mutex_unlock(&s->lock);
}

static uint64_t
add_hash(uint64_t h, const char *s)
{
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ULL;
	return h;
}

/* Log the failed checks if they are not those of the last time. */
static void
tell(const char *domain, json_t *result, uint64_t *told)
{
	uint64_t h = 14695981039346656037ULL;
	bool speak = false;

	for (int round = 0; round < 2; round++) {
		const char *state, *text;
		json_t *check;
		size_t i;

		json_array_foreach(
		    json_object_get(result, "checks"), i, check) {
			if (json_unpack(check, "{ss,ss}", "state", &state,
				"text", &text) != 0 ||
			    strcmp(state, "failed") != 0)
				continue;
			if (round == 0)
				h = add_hash(h, text);
			else if (speak)
				log_warning("domain %s: %s", domain, text);
		}
		speak = h != *told;
	}
	*told = h;
}

static int
check(struct runner *r, struct entry *d, struct err *e)
{
	struct settings *settings;
	struct domain_check q = { .domain = d->name };
	json_t *reply = NULL, *result = NULL;
	int rc;

	if (accountd_call(r->accountd,
		json_pack("{ss,ss,sb}", "verb", "dkim keys", "domain", d->name,
		    "test", 1),
		ASK_MS, &reply, e) != 0)
		return -1;
	settings = directory_settings(r->directory);
	q.settings = settings;
	q.keys = json_object_get(reply, "items");
	rc = domain_check(&q, &result, e);
	if (rc == 0)
		tell(d->name, result, &d->told);
	json_decref(result);
	json_decref(reply);
	settings_free(settings);
	return rc;
}

static void
nap(void)
{
	const struct timespec t = { .tv_nsec = 200000000 };

	(void)nanosleep(&t, NULL);
}

static void
run(struct worker *w, void *arg)
{
	struct runner *r = arg;
	struct settings *s;
	struct entry due;
	struct err e;
	bool wanted;

	(void)w;
	while (!service_stopping()) {
		nap();
		if (!take_due(r->selfcheck, &due))
			continue;
		s = directory_settings(r->directory);
		wanted = settings_bool(s, SET_DNS_SELF_CHECK);
		settings_free(s);
		if (wanted && check(r, &due, &e) != 0) {
			log_warning("checking domain %s: %s", due.name, e.text);
			put_back(r->selfcheck, &due, AGAIN_MS);
			continue;
		}
		put_back(r->selfcheck, &due, DAY_MS);
	}
}

int
selfcheck_start(struct runner *r, struct err *e)
{
	return worker_thread(r->worker, "selfcheck", 0, run, r, e);
}
