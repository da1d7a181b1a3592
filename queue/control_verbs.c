/*
 * What the control socket shows: messages by page, one of them, and who the
 * queue waits for; see control.h for the protocol.
 *
 * The spool's index says which messages may fit; envelopes are read one by one
 * as a page needs them.  Runs on the connection threads; nothing here holds up
 * delivery.
 */
#include "queue/control_verbs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"

enum {
	PAGE_BYTES = 28 * 1024, /* then a page ends, whatever its limit */
	PAGE_MAX = 1000,        /* brief rows of 50 bytes fit, too */
	LIST_RECIPIENTS = 20,
	SHOW_RECIPIENTS = 50,
	PEEK_TRIES = 5,
	RECIPIENT_BYTES = 700, /* about the most one takes in an answer */
	LIST_MS = 500,         /* then what was found so far is a page */
	GROUPS_SHOWN = 50,
};

json_t *
control_refusal(const char *code, const char *text)
{
	return json_pack("{s:b, s:s, s:s, s:s}", "ok", 0, "kind",
	    strcmp(code, "temp") == 0 ? "temp" : "perm", "code", code, "text",
	    text);
}

/* --- Selecting ----------------------------------------------------------------- */

static const char *const states[] = { [SPOOL_ACTIVE] = "active",
	[SPOOL_DEFERRED] = "deferred",
	[SPOOL_HELD] = "held" };

const char *
control_state_name(enum spool_state state)
{
	return states[state];
}

static bool
read_state(json_t *request, unsigned *out)
{
	const char *name = json_string_value(json_object_get(request, "state"));

	*out = 0;
	for (size_t i = 0; name != NULL && i < ARRAY_LEN(states); i++)
		if (strcmp(states[i], name) == 0)
			*out = 1U << i;
	return name == NULL || *out != 0;
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
read_ids(json_t *request, struct selection *out)
{
	json_t *ids = json_object_get(request, "ids"), *id;
	size_t i;

	if (ids == NULL)
		return true;
	if (!json_is_array(ids))
		return false;
	out->ids = mem_alloc((json_array_size(ids) + 1) * sizeof(*out->ids));
	json_array_foreach(ids, i, id)
		if (json_is_string(id))
			out->ids[out->id_count++] = json_string_value(id);
	if (out->id_count > 1)
		qsort(out->ids, out->id_count, sizeof(*out->ids), compare_ids);
	return true;
}

bool
selection_init(
    struct selection *out, const struct control_session *s, json_t *request)
{
	struct spool_filter *f = &out->filter;

	memset(out, 0, sizeof(*out));
	f->sender = json_string_value(json_object_get(request, "sender"));
	f->recipient = json_string_value(json_object_get(request, "recipient"));
	f->destination =
	    json_string_value(json_object_get(request, "destination"));
	f->owners = s->owners;
	f->owner_count = s->owner_count;
	if (!read_state(request, &f->states) || !read_ids(request, out))
		return false;
	out->is_given = json_is_true(json_object_get(request, "all")) ||
	    out->ids != NULL || f->sender != NULL || f->recipient != NULL ||
	    f->destination != NULL;
	return true;
}

void
selection_release(struct selection *sel)
{
	free(sel->ids);
	sel->ids = NULL;
}

/* The next candidate: of the ids that were given, or of all. */
static bool
next_candidate(struct control_session *s, struct selection *sel)
{
	const unsigned wanted = sel->filter.states;

	while (sel->ids != NULL && sel->at < sel->id_count) {
		const char *id = sel->ids[sel->at++];

		if (strcmp(id, sel->info.id) > 0 &&
		    spool_find(s->runner->spool, id, &sel->info) &&
		    (wanted == 0 || (wanted & 1U << sel->info.state) != 0))
			return true;
	}
	if (sel->ids != NULL)
		return false;
	if (sel->at == sel->batch_count && !sel->was_last) {
		sel->at = 0;
		sel->batch_count = spool_page(s->runner->spool, &sel->filter,
		    sel->info.id, sel->batch, ARRAY_LEN(sel->batch));
		sel->was_last = sel->batch_count < ARRAY_LEN(sel->batch);
	}
	if (sel->at == sel->batch_count)
		return false;
	sel->info = sel->batch[sel->at++];
	return true;
}

/* A message that moves from one file to another just now is not gone. */
static int
peek(struct control_session *s, const char *id, struct pool *pool,
    struct envelope *v)
{
	const struct timespec pause = { 0, 10000000 };
	struct spool_info info;
	struct err e;

	for (int left = PEEK_TRIES; left > 0; left--) {
		if (spool_peek(s->runner->spool, id, pool, v, &e) == 0)
			return 0;
		if (!spool_find(s->runner->spool, id, &info))
			break;
		nanosleep(&pause, NULL);
	}
	return -1;
}

bool
selection_next(struct control_session *s, struct selection *sel,
    struct pool *pool, struct envelope *v)
{
	const struct spool_filter *f = &sel->filter;
	bool must_read = v != NULL || f->sender != NULL ||
	    f->recipient != NULL || f->destination != NULL || f->owners != NULL;

	while (clock_mono_ms() < sel->until_ms && next_candidate(s, sel)) {
		struct envelope read;
		bool fits;

		if (!must_read)
			return true;
		pool_release(pool);
		if (peek(s, sel->info.id, pool, &read) != 0)
			continue;
		fits = spool_fits(f, &read);
		if (fits && v != NULL)
			*v = read;
		else
			envelope_release(&read);
		if (fits)
			return true;
	}
	return false;
}

/* --- Showing ------------------------------------------------------------------- */

static void
put_time(json_t *o, const char *key, int64_t ms)
{
	char text[CLOCK_RFC3339_SIZE];

	if (ms == 0) {
		json_object_set_new(o, key, json_null());
		return;
	}
	clock_rfc3339(ms, text);
	json_object_set_new(o, key, json_string(text));
}

const char *
control_recipient_state(const struct envelope_recipient *r)
{
	switch ((enum recipient_state)r->state) {
	case RECIPIENT_WAITING:
		return "waiting";
	case RECIPIENT_DONE:
		return "sent";
	case RECIPIENT_FAILED:
	case RECIPIENT_REPORTED:
		break;
	}
	return "failed";
}

static json_t *
show_recipients(const struct envelope *v, size_t most, uint32_t *attempts_out)
{
	json_t *array = json_array();
	size_t i;

	*attempts_out = 0;
	for (i = 0; i < v->recipient_count; i++) {
		const struct envelope_recipient *r = &v->recipients[i];

		if (r->attempts > *attempts_out)
			*attempts_out = r->attempts;
		if (i < most)
			json_array_append_new(array,
			    json_pack("{s:s, s:s, s:s}", "address", r->address,
				"state", control_recipient_state(r), "reply",
				r->reply != NULL ? r->reply : ""));
	}
	return array;
}

static json_t *
show_message(
    const struct spool_info *info, const struct envelope *v, size_t most)
{
	uint32_t attempts;
	json_t *recipients = show_recipients(v, most, &attempts);
	json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "id",
	    info->id, "state", states[info->state], "sender", v->sender, "size",
	    (json_int_t)v->body_size, "attempts", (json_int_t)attempts,
	    "recipient_count", (json_int_t)v->recipient_count, "recipients",
	    recipients);

	put_time(o, "accepted_at", v->accepted_ms);
	put_time(o, "next_try_at", info->next_try_ms);
	if (info->state == SPOOL_HELD && v->hold_reason != NULL)
		json_object_set_new(
		    o, "hold_reason", json_string(v->hold_reason));
	return o;
}

/* How many bytes a message adds to a page, roughly, from above. */
static size_t
page_cost(const struct envelope *v)
{
	size_t n = v->recipient_count < LIST_RECIPIENTS ? v->recipient_count
							: LIST_RECIPIENTS;

	return 600 + n * RECIPIENT_BYTES +
	    (v->hold_reason != NULL ? strlen(v->hold_reason) : 0);
}

/* One more row; false: that was all, or the page is full. */
static bool
add_row(struct control_session *s, struct selection *sel, bool brief,
    json_t *rows, size_t *bytes)
{
	struct pool pool = { 0 };
	struct envelope v;
	bool found = *bytes <= PAGE_BYTES &&
	    selection_next(s, sel, &pool, brief ? NULL : &v);

	if (found && brief) {
		json_array_append_new(rows,
		    json_pack("{s:s, s:s}", "id", sel->info.id, "state",
			states[sel->info.state]));
	} else if (found) {
		json_array_append_new(
		    rows, show_message(&sel->info, &v, LIST_RECIPIENTS));
		*bytes += page_cost(&v);
		envelope_release(&v);
	}
	pool_release(&pool);
	return found;
}

static json_t *
verb_list(struct control_session *s, json_t *request)
{
	const char *after =
	    json_string_value(json_object_get(request, "after"));
	size_t limit =
	    (size_t)json_integer_value(json_object_get(request, "limit"));
	bool brief = json_is_true(json_object_get(request, "brief"));
	json_t *rows, *answer;
	struct selection sel;
	char last[ID_SIZE];
	size_t bytes = 0;

	if (!selection_init(&sel, s, request)) {
		selection_release(&sel);
		return control_refusal("syntax", "not a selection");
	}
	if (after != NULL && id_is_valid(slice_str(after)))
		memcpy(sel.info.id, after, ID_SIZE);
	if (limit == 0 || limit > PAGE_MAX)
		limit = PAGE_MAX;
	sel.until_ms = clock_mono_ms() + LIST_MS;
	rows = json_array();
	while (json_array_size(rows) < limit &&
	    add_row(s, &sel, brief, rows, &bytes))
		;
	answer = json_pack("{s:b, s:o}", "ok", 1, "messages", rows);
	memcpy(last, sel.info.id, ID_SIZE);
	if (next_candidate(s, &sel))
		json_object_set_new(answer, "next", json_string(last));
	selection_release(&sel);
	return answer;
}

static json_t *
verb_show(struct control_session *s, json_t *request)
{
	const char *id = json_string_value(json_object_get(request, "id"));
	const struct spool_filter own = { .owners = s->owners,
		.owner_count = s->owner_count };
	struct spool_info info;
	struct pool pool = { 0 };
	json_t *message = NULL;
	struct envelope v;

	if (id == NULL)
		return control_refusal("syntax", "id is missing");
	if (id_is_valid(slice_str(id)) &&
	    spool_find(s->runner->spool, id, &info) &&
	    peek(s, id, &pool, &v) == 0) {
		if (spool_fits(&own, &v)) {
			message = show_message(&info, &v, SHOW_RECIPIENTS);
			json_object_set_new(
			    message, "client_ip", json_string(v.client_ip));
			json_object_set_new(
			    message, "auth_user", json_string(v.auth_user));
			json_object_set_new(
			    message, "session", json_string(v.session_id));
			put_time(message, "not_before", v.not_before_ms);
		}
		envelope_release(&v);
	}
	pool_release(&pool);
	if (message == NULL)
		return control_refusal(
		    "not-found", "no such message in the queue");
	return json_pack("{s:b, s:o}", "ok", 1, "message", message);
}

/* --- Destinations --------------------------------------------------------------- */

/* Its name and what was said last, from its newest message. */
static void
add_group(struct control_session *s, json_t *rows, const struct spool_group *g)
{
	const struct envelope_recipient *r = NULL;
	struct pool pool = { 0 };
	struct envelope v;

	if (peek(s, g->newest, &pool, &v) == 0) {
		r = spool_group_find(s->runner->spool, g, &v);
		if (r != NULL)
			json_array_append_new(rows,
			    json_pack("{s:s,s:I,s:I,s:I,s:s}", "destination",
				strrchr(r->address, '@') + 1, "count",
				(json_int_t)g->count, "next_ms",
				(json_int_t)g->next_try_ms, "oldest_ms",
				(json_int_t)id_wall_ms(g->oldest), "reply",
				r->reply != NULL ? r->reply : ""));
		envelope_release(&v);
	}
	pool_release(&pool);
}

static json_t *
verb_groups(struct control_session *s, json_t *request)
{
	const struct spool_filter own = { .owners = s->owners,
		.owner_count = s->owner_count };
	json_t *rows = json_array();
	struct spool_survey sv;

	(void)request;
	spool_survey(s->runner->spool, &own, &sv);
	for (size_t i = 0; i < sv.group_count && i < GROUPS_SHOWN; i++)
		add_group(s, rows, &sv.groups[i]);
	free(sv.groups);
	return json_pack("{s:b, s:I,s:I,s:I,s:I,s:I, s:o}", "ok", 1, "at_ms",
	    (json_int_t)clock_wall_ms(), "active",
	    (json_int_t)sv.counts[SPOOL_ACTIVE], "deferred",
	    (json_int_t)sv.counts[SPOOL_DEFERRED], "held",
	    (json_int_t)sv.counts[SPOOL_HELD], "total",
	    (json_int_t)sv.group_count, "groups", rows);
}

json_t *
control_verb(struct control_session *s, const char *verb, json_t *request)
{
	static const struct {
		const char *name;
		json_t *(*run)(struct control_session *s, json_t *request);
	} verbs[] = {
		{ "list", verb_list },
		{ "show", verb_show },
		{ "groups", verb_groups },
	};

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verb, verbs[i].name) == 0)
			return verbs[i].run(s, request);
	return control_act(s, verb, request);
}
