/*
 * The queue by destination, for somebody who looks at it: reads every waiting
 * envelope, so it is a job and no page waits for it.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "queue/tools.h"

enum {
	SHOWN_MAX = 50
};

struct group {
	char *name;
	size_t count;
	int64_t next_ms; /* the earliest; 0 = now */
	int64_t oldest_ms;
	char *reply; /* of the newest message that has one, or NULL */
};

struct groups {
	void *tree;
	struct group **list;
	size_t count, alloc;
};

static int
compare_names(const void *a, const void *b)
{
	return strcmp(
	    ((const struct group *)a)->name, ((const struct group *)b)->name);
}

static struct group *
group_of(struct groups *g, const char *name)
{
	struct group *fresh = mem_zalloc(sizeof(*fresh)), *found;

	fresh->name = mem_strdup(name);
	found = *(struct group **)tsearch(fresh, &g->tree, compare_names);
	if (found != fresh) {
		free(fresh->name);
		free(fresh);
		return found;
	}
	g->list = mem_grow(g->list, &g->alloc, g->count + 1, sizeof(void *));
	g->list[g->count++] = fresh;
	return fresh;
}

static void
add_message(
    struct groups *g, const struct spool_info *info, const struct envelope *v)
{
	const char *last = "";

	for (size_t i = 0; i < v->recipient_count; i++) {
		const struct envelope_recipient *r = &v->recipients[i];
		const char *at = strrchr(r->address, '@');
		struct group *group;

		if (r->state != RECIPIENT_WAITING)
			continue;
		/* a message counts once where its recipients stand together */
		if (i > 0 && strcmp(at != NULL ? at + 1 : "", last) == 0)
			continue;
		last = at != NULL ? at + 1 : "";
		group = group_of(g, last);
		if (group->count++ == 0 || info->next_try_ms < group->next_ms)
			group->next_ms = info->next_try_ms;
		if (group->oldest_ms == 0 || v->accepted_ms < group->oldest_ms)
			group->oldest_ms = v->accepted_ms;
		if (r->reply != NULL && r->reply[0] != '\0') {
			free(group->reply);
			group->reply = mem_strdup(r->reply);
		}
	}
}

static int
by_count(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a,
			   *y = *(struct group *const *)b;

	return (x->count < y->count) - (x->count > y->count);
}

static void
nothing(void *item)
{
	(void)item;
}

static json_t *
groups_json(struct groups *g)
{
	json_t *list = json_array();

	if (g->count > 0)
		qsort(g->list, g->count, sizeof(void *), by_count);
	for (size_t i = 0; i < g->count; i++) {
		struct group *x = g->list[i];

		if (i < SHOWN_MAX)
			json_array_append_new(list,
			    json_pack("{s:s,s:I,s:I,s:I,s:s}", "destination",
				x->name, "count", (json_int_t)x->count,
				"next_ms", (json_int_t)x->next_ms, "oldest_ms",
				(json_int_t)x->oldest_ms, "reply",
				x->reply != NULL ? x->reply : ""));
		free(x->name);
		free(x->reply);
		free(x);
	}
	tdestroy(g->tree, nothing);
	free(g->list);
	return list;
}

json_t *
tool_queue(struct runner *r, const json_t *args, struct err *e)
{
	struct groups g = { 0 };
	struct spool_info *list;
	int64_t started = clock_mono_ms();
	size_t count, total;
	json_t *groups;

	(void)args;
	if (spool_list(r->spool, &list, &count, e) != 0)
		return NULL;
	for (size_t i = 0; i < count && !service_stopping(); i++) {
		struct pool pool = { 0 };
		struct envelope v;
		struct err why;

		if (list[i].state != SPOOL_DEFERRED ||
		    spool_peek(r->spool, list[i].id, &pool, &v, &why) != 0) {
			pool_release(&pool);
			continue;
		}
		add_message(&g, &list[i], &v);
		envelope_release(&v);
		pool_release(&pool);
	}
	free(list);
	total = g.count;
	groups = groups_json(&g);
	return json_pack("{s:I,s:I,s:I,s:o}", "at_ms",
	    (json_int_t)clock_wall_ms(), "ms",
	    (json_int_t)(clock_mono_ms() - started), "total", (json_int_t)total,
	    "groups", groups);
}
