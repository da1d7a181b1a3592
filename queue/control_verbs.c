/*
 * What the control socket can show and do; see control.h for the protocol.
 *
 * A listing is taken once and paged from memory, so that 100,000 messages do
 * not cost a listing a page; envelopes are read one by one as a page needs
 * them.  Every administrative act is a log line with who did it.  Runs on the
 * connection threads; nothing here holds up delivery.
 */
#include "queue/control_verbs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

#include "queue/job.h"
#include "queue/lanes.h"

enum {
	PAGE_BYTES = 28 * 1024, /* then a page ends, whatever its limit */
	PAGE_MAX = 1000,
	LIST_RECIPIENTS = 20,
	SHOW_RECIPIENTS = 50,
	FAILED_MAX = 100,
	PEEK_TRIES = 5,
	RECIPIENT_BYTES = 700, /* about the most one takes in an answer */
};

/* What a request selects; NULL: not given. */
struct selection {
	json_t *ids;
	const char *sender, *recipient, *destination, *state;
	bool all;
};

json_t *
control_refusal(const char *code, const char *text)
{
	return json_pack("{s:b, s:s, s:s, s:s}", "ok", 0, "kind",
	    strcmp(code, "temp") == 0 ? "temp" : "perm", "code", code, "text",
	    text);
}

/* --- Selecting ----------------------------------------------------------------- */

static bool
read_selection(json_t *request, struct selection *out)
{
	memset(out, 0, sizeof(*out));
	out->ids = json_object_get(request, "ids");
	out->sender = json_string_value(json_object_get(request, "sender"));
	out->recipient =
	    json_string_value(json_object_get(request, "recipient"));
	out->destination =
	    json_string_value(json_object_get(request, "destination"));
	out->state = json_string_value(json_object_get(request, "state"));
	out->all = json_is_true(json_object_get(request, "all"));
	if (out->ids != NULL && !json_is_array(out->ids))
		return false;
	return out->all || out->ids != NULL || out->sender != NULL ||
	    out->recipient != NULL || out->destination != NULL;
}

static const char *
state_name(enum spool_state state)
{
	return state == SPOOL_ACTIVE  ? "active"
	    : state == SPOOL_DEFERRED ? "deferred"
				      : "held";
}

static bool
goes_to(const struct envelope_recipient *r, const struct selection *s)
{
	const char *at = strrchr(r->address, '@');

	if (s->recipient != NULL &&
	    ascii_casecmp(r->address, s->recipient) != 0)
		return false;
	return s->destination == NULL ||
	    (at != NULL && ascii_casecmp(at + 1, s->destination) == 0);
}

/* Does the envelope fit sender, recipient and destination? */
static bool
fits(const struct envelope *v, const struct selection *s)
{
	size_t i;

	if (s->sender != NULL && ascii_casecmp(v->sender, s->sender) != 0)
		return false;
	if (s->recipient == NULL && s->destination == NULL)
		return true;
	for (i = 0; i < v->recipient_count; i++)
		if (goes_to(&v->recipients[i], s))
			return true;
	return false;
}

static bool
needs_envelope(const struct selection *s)
{
	return s->sender != NULL || s->recipient != NULL ||
	    s->destination != NULL;
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
	    info->id, "state", state_name(info->state), "sender", v->sender,
	    "size", (json_int_t)v->body_size, "attempts", (json_int_t)attempts,
	    "recipient_count", (json_int_t)v->recipient_count, "recipients",
	    recipients);

	put_time(o, "accepted_at", v->accepted_ms);
	put_time(o, "next_try_at", info->next_try_ms);
	return o;
}

static int
compare_ids(const void *key, const void *item)
{
	return strcmp(key, ((const struct spool_info *)item)->id);
}

static struct spool_info *
find_info(const struct control_session *s, const char *id)
{
	if (s->count == 0)
		return NULL;
	return bsearch(id, s->list, s->count, sizeof(*s->list), compare_ids);
}

static int
take_listing(struct control_session *s, struct err *e)
{
	free(s->list);
	s->list = NULL;
	s->count = 0;
	return spool_list(s->runner->spool, &s->list, &s->count, e);
}

/* A message that moves from one file to another just now is not gone. */
static int
peek(struct control_session *s, const char *id, struct pool *pool,
    struct envelope *v, struct err *e)
{
	const struct timespec pause = { 0, 10000000 };
	int tries;

	for (tries = 0; tries < PEEK_TRIES; tries++) {
		if (spool_peek(s->runner->spool, id, pool, v, e) == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return -1;
}

/* How many bytes a message adds to a page, roughly, from above. */
static size_t
page_cost(const struct envelope *v)
{
	size_t n = v->recipient_count < LIST_RECIPIENTS ? v->recipient_count
							: LIST_RECIPIENTS;

	return 600 + n * RECIPIENT_BYTES;
}

static bool
is_selected(const struct selection *sel, const struct spool_info *info)
{
	size_t i;
	json_t *id;

	if (sel->state != NULL &&
	    strcmp(sel->state, state_name(info->state)) != 0)
		return false;
	if (sel->ids == NULL)
		return true;
	json_array_foreach(sel->ids, i, id)
		if (json_is_string(id) &&
		    strcmp(json_string_value(id), info->id) == 0)
			return true;
	return false;
}

static json_t *
verb_list(struct control_session *s, json_t *request)
{
	const char *after =
	    json_string_value(json_object_get(request, "after"));
	json_int_t limit =
	    json_integer_value(json_object_get(request, "limit"));
	json_t *answer, *messages;
	struct selection sel;
	size_t i = 0, bytes = 0;
	struct err e;

	(void)read_selection(request, &sel); /* none: all */
	if (limit <= 0 || limit > PAGE_MAX)
		limit = PAGE_MAX;
	if ((after == NULL || s->list == NULL) && take_listing(s, &e) != 0)
		return control_refusal("temp", e.text);
	while (
	    after != NULL && i < s->count && strcmp(s->list[i].id, after) <= 0)
		i++;
	messages = json_array();
	answer = json_pack("{s:b, s:o}", "ok", 1, "messages", messages);
	for (; i < s->count; i++) {
		const struct spool_info *info = &s->list[i];
		struct pool pool = { 0 };
		struct envelope v;

		if (!is_selected(&sel, info) ||
		    peek(s, info->id, &pool, &v, &e) != 0)
			continue;
		if (fits(&v, &sel)) {
			json_array_append_new(
			    messages, show_message(info, &v, LIST_RECIPIENTS));
			bytes += page_cost(&v);
		}
		envelope_release(&v);
		pool_release(&pool);
		if (bytes > PAGE_BYTES ||
		    json_array_size(messages) >= (size_t)limit) {
			if (i + 1 < s->count)
				json_object_set_new(
				    answer, "next", json_string(info->id));
			break;
		}
	}
	return answer;
}

static json_t *
verb_show(struct control_session *s, json_t *request)
{
	const char *id = json_string_value(json_object_get(request, "id"));
	struct spool_info *info, gone = { 0 };
	struct pool pool = { 0 };
	struct envelope v;
	json_t *message;
	struct err e;

	if (id == NULL || !id_is_valid(slice_str(id)))
		return control_refusal("syntax", "id is not a message id");
	if (take_listing(s, &e) != 0)
		return control_refusal("temp", e.text);
	info = find_info(s, id);
	if (info == NULL || peek(s, id, &pool, &v, &e) != 0) {
		pool_release(&pool);
		return control_refusal(
		    "not-found", "no such message in the queue");
	}
	gone = *info;
	message = show_message(&gone, &v, SHOW_RECIPIENTS);
	json_object_set_new(message, "client_ip", json_string(v.client_ip));
	json_object_set_new(message, "auth_user", json_string(v.auth_user));
	json_object_set_new(message, "session", json_string(v.session_id));
	put_time(message, "not_before", v.not_before_ms);
	envelope_release(&v);
	pool_release(&pool);
	return json_pack("{s:b, s:o}", "ok", 1, "message", message);
}

/* --- Acting -------------------------------------------------------------------- */

static int
act_retry(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	(void)text;
	return spool_schedule(s->runner->spool, id, clock_wall_ms(), e);
}

static int
act_release(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	(void)text;
	return spool_unhold(s->runner->spool, id, e);
}

static int
act_hold(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	struct spool_item *item;

	if (spool_claim_id(s->runner->spool, id, &item, e) != 0)
		return -1;
	spool_hold(item, text != NULL ? text : "held by an administrator");
	return 0;
}

static int
act_bounce(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	struct runner *r = s->runner;
	struct spool_item *item;
	struct job *j;

	if (spool_claim_id(r->spool, id, &item, e) != 0)
		return -1;
	j = job_new(r, item, directory_settings(r->directory));
	job_recover(j);
	job_bounce(j, text != NULL ? text : "returned by an administrator");
	return 0;
}

static int
act_delete(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	struct spool_item *item;

	(void)text;
	if (spool_claim_id(s->runner->spool, id, &item, e) != 0)
		return -1;
	spool_settle(item);
	return 0;
}

typedef int act_function(
    struct control_session *s, const char *id, const char *text, struct err *e);

/* One administrative request under way. */
struct deed {
	struct control_session *session;
	const char *verb;
	act_function *act;
	struct selection selection;
	const char *text; /* or NULL */
	json_int_t done;
	json_t *failed;
};

static void
deed_failed(struct deed *d, const char *id, const char *text)
{
	if (json_array_size(d->failed) < FAILED_MAX)
		json_array_append_new(
		    d->failed, json_pack("{s:s, s:s}", "id", id, "text", text));
}

static bool
deed_fits(struct deed *d, const struct spool_info *info)
{
	struct pool pool = { 0 };
	struct envelope v;
	struct err e;
	bool fit;

	if (!is_selected(&d->selection, info))
		return false;
	if (!needs_envelope(&d->selection))
		return true;
	if (peek(d->session, info->id, &pool, &v, &e) != 0) {
		pool_release(&pool);
		return false;
	}
	fit = fits(&v, &d->selection);
	envelope_release(&v);
	pool_release(&pool);
	return fit;
}

static void
act_on(struct deed *d, const struct spool_info *info)
{
	struct log_line l;
	struct err e;

	if (!deed_fits(d, info))
		return;
	if (d->act(d->session, info->id, d->text, &e) != 0) {
		deed_failed(d, info->id, e.text);
		return;
	}
	d->done++;
	log_begin(&l, "control", NULL, info->id);
	log_str(&l, "verb", d->verb);
	log_str(&l, "actor", d->session->actor);
	log_end(&l);
}

static json_t *
act(struct control_session *s, json_t *request, const char *verb,
    act_function *f)
{
	struct deed d = { .session = s, .verb = verb, .act = f };
	struct err e;
	json_t *id;
	size_t i;

	d.text = json_string_value(json_object_get(request, "reason"));
	if (!read_selection(request, &d.selection))
		return control_refusal("syntax", "nothing is selected");
	if (take_listing(s, &e) != 0)
		return control_refusal("temp", e.text);
	d.failed = json_array();
	if (f == act_retry)
		lanes_revive(s->runner->lanes);
	for (i = 0; d.selection.ids == NULL && i < s->count; i++)
		act_on(&d, &s->list[i]);
	json_array_foreach(d.selection.ids, i, id) {
		const char *name = json_string_value(id);
		struct spool_info *info = name ? find_info(s, name) : NULL;

		if (info != NULL)
			act_on(&d, info);
		else
			deed_failed(&d, name ? name : "",
			    "no such message in the queue");
	}
	return json_pack(
	    "{s:b, s:I, s:o}", "ok", 1, "done", d.done, "failed", d.failed);
}

json_t *
control_verb(struct control_session *s, const char *verb, json_t *request)
{
	static const struct {
		const char *name;
		act_function *act;
	} acts[] = {
		{ "retry", act_retry },
		{ "hold", act_hold },
		{ "release", act_release },
		{ "bounce", act_bounce },
		{ "delete", act_delete },
	};

	size_t i;

	if (strcmp(verb, "list") == 0)
		return verb_list(s, request);
	if (strcmp(verb, "show") == 0)
		return verb_show(s, request);
	for (i = 0; i < ARRAY_LEN(acts); i++)
		if (strcmp(verb, acts[i].name) == 0)
			return act(s, request, verb, acts[i].act);
	return NULL;
}
