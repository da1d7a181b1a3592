/*
 * What the control socket does to messages: retry, hold, release, bounce,
 * delete; see control.h for the protocol.
 *
 * Acts go by batches: first their line in the audit log, with what each
 * message was, then the deeds.  accountd says who acts, from the
 * session; an operator's acts are put down by the operator's own program,
 * which accountd knows by its credentials (mailstead/queue.c).  Each deed also
 * is a line in our log.  Runs on the connection threads.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "queue/control_verbs.h"
#include "queue/job.h"
#include "queue/lanes.h"

enum {
	BATCH = 1000, /* so many are one line of the audit log: a packet */
	FAILED_MAX = 100,
	AUDIT_MS = 10000,
	FLUSH_MS = 30000,
	PENDING_MAX = 5000, /* then what was done goes to the disk first */
};

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

/* Claim it, as a job that knows what was done; NULL: not now, or not there. */
static struct job *
claim_job(struct runner *r, const char *id, struct err *e)
{
	struct spool_item *item;
	struct job *j;

	if (spool_claim_id(r->spool, id, &item, e) != 0)
		return NULL;
	j = job_new(r, item, directory_settings(r->directory));
	job_recover(j);
	return j;
}

static int
act_hold(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	struct job *j;

	if (text == NULL && spool_hold_waiting(s->runner->spool, id))
		return 0;
	j = claim_job(s->runner, id, e);
	if (j == NULL)
		return -1;
	job_hold(j, text != NULL ? text : "held by an administrator");
	return 0;
}

static int
act_bounce(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	struct job *j = claim_job(s->runner, id, e);

	if (j == NULL)
		return -1;
	job_bounce(j, text != NULL ? text : "returned by an administrator");
	return 0;
}

static int
act_delete(
    struct control_session *s, const char *id, const char *text, struct err *e)
{
	(void)text;
	return spool_remove(s->runner->spool, id, e);
}

typedef int act_function(
    struct control_session *s, const char *id, const char *text, struct err *e);

struct act {
	const char *name;
	act_function *run;
	bool is_everybodys; /* else for server administrators only */
};

static const struct act acts[] = {
	{ "retry", act_retry, true },
	{ "hold", act_hold, true },
	{ "release", act_release, true },
	{ "bounce", act_bounce, false },
	{ "delete", act_delete, true },
};

/* One administrative request under way. */
struct deed {
	struct control_session *session;
	const struct act *act;
	const char *text; /* or NULL */
	json_int_t done;
	json_t *failed;
	struct spool_info batch[BATCH];
	size_t count;
	size_t looked;   /* of the ids that were asked for */
	char owner[256]; /* of all in the batch, for a domain's administrator */
};

static void
deed_failed(struct deed *d, const char *id, const char *code, const char *text)
{
	if (json_array_size(d->failed) < FAILED_MAX)
		json_array_append_new(d->failed,
		    json_pack("{s:s, s:s, s:s}", "id", id, "code", code, "text",
			text));
}

static int
audit(struct deed *d, struct err *e)
{
	struct control_session *s = d->session;
	json_t *before, *ask, *reply;

	if (s->token == NULL)
		return 0;
	before = json_object();
	for (size_t i = 0; i < d->count; i++) {
		const struct spool_info *info = &d->batch[i];

		json_object_set_new(before, info->id,
		    json_string(control_state_name(info->state)));
	}
	ask = json_pack("{s:s, s:s, s:s, s:o}", "verb", "queue act", "session",
	    s->token, "act", d->act->name, "before", before);
	if (s->owners != NULL)
		json_object_set_new(ask, "domain", json_string(d->owner));
	if (accountd_call(s->runner->accountd, ask, AUDIT_MS, &reply, e) != 0)
		return err_prefix(e, "audit log");
	json_decref(reply);
	return 0;
}

static void
act_on(struct deed *d, const char *id)
{
	struct log_line l;
	struct err e;

	if (d->act->run(d->session, id, d->text, &e) != 0) {
		deed_failed(
		    d, id, e.kind == ERR_PERM ? "refused" : "temp", e.text);
		return;
	}
	d->done++;
	log_begin(
	    &l, d->act->run == act_delete ? "delete" : "control", NULL, id);
	log_str(&l, "verb", d->act->name);
	log_str(&l, "actor", d->session->actor);
	log_end(&l);
}

/* What was deferred a moment ago can be acted on when it is on the disk. */
static bool
some_await_flush(const struct deed *d)
{
	struct spool *s = d->session->runner->spool;

	for (size_t i = 0; i < d->count; i++)
		if (spool_awaits_flush(s, d->batch[i].id))
			return true;
	return false;
}

static int
finish_batch(struct deed *d, struct err *e)
{
	struct spool *s = d->session->runner->spool;

	if (d->count > 0 && audit(d, e) != 0)
		return -1;
	if ((spool_flush_pending(s) >= PENDING_MAX || some_await_flush(d)) &&
	    spool_flush_wait(s, FLUSH_MS, e) != 0)
		return -1;
	for (size_t i = 0; i < d->count; i++)
		act_on(d, d->batch[i].id);
	d->count = 0;
	return 0;
}

/* The ids up to this one (NULL: all that are left) were not found. */
static void
not_found(struct deed *d, const struct selection *sel, const char *found)
{
	while (d->looked < sel->id_count) {
		const char *id = sel->ids[d->looked];
		int order = found != NULL ? strcmp(id, found) : -1;

		if (order > 0)
			return;
		d->looked++;
		if (order < 0)
			deed_failed(
			    d, id, "not-found", "no such message in the queue");
	}
}

/* One message more; with its owner where that matters. */
static int
add_to_batch(struct deed *d, const struct spool_info *info, const char *owner,
    struct err *e)
{
	if ((d->count == BATCH || ascii_casecmp(owner, d->owner) != 0) &&
	    finish_batch(d, e) != 0)
		return -1;
	if (!slice_copy(slice_str(owner), d->owner, sizeof(d->owner)))
		return err_set(e, ERR_PERM, "too long: %s", owner);
	d->batch[d->count++] = *info;
	return 0;
}

static int
act_on_all(struct deed *d, struct selection *sel, struct err *e)
{
	struct control_session *s = d->session;
	bool by_owner = s->owners != NULL;
	struct pool pool = { 0 };
	struct envelope v;
	int rc = 0;

	while (rc == 0 && selection_next(s, sel, &pool, by_owner ? &v : NULL)) {
		not_found(d, sel, sel->info.id);
		rc = add_to_batch(
		    d, &sel->info, by_owner ? spool_owner(&v) : "", e);
		if (by_owner)
			envelope_release(&v);
	}
	pool_release(&pool);
	not_found(d, sel, NULL);
	return rc == 0 ? finish_batch(d, e) : rc;
}

static size_t
count_refused(const struct control_session *s)
{
	struct spool_counts c;

	spool_count(s->runner->spool, &c);
	return c.refused;
}

/* All that was done since the first act is on the disk. */
static int
end_acts(struct control_session *s, struct err *e)
{
	s->is_acting = false;
	if (spool_flush_wait(s->runner->spool, FLUSH_MS, e) != 0)
		return -1;
	return count_refused(s) == s->refused
	    ? 0
	    : err_set(e, ERR_TEMP, "the disk did not take all of it");
}

static json_t *
answer(int rc, json_t *done, const struct err *e)
{
	if (rc == 0)
		return done;
	json_decref(done);
	return control_refusal(
	    e->kind == ERR_PERM ? "refused" : "temp", e->text);
}

static json_t *
run(struct control_session *s, const struct act *act, json_t *request)
{
	struct deed *d = mem_zalloc(sizeof(*d));
	struct selection sel;
	json_t *done;
	struct err e;
	int rc;

	if (!selection_init(&sel, s, request) || !sel.is_given) {
		selection_release(&sel);
		free(d);
		return control_refusal("syntax", "nothing is selected");
	}
	d->session = s;
	d->act = act;
	d->text = json_string_value(json_object_get(request, "reason"));
	d->failed = json_array();
	sel.until_ms = INT64_MAX;
	if (!s->is_acting)
		s->refused = count_refused(s);
	s->is_acting = true;
	if (act->run == act_retry && s->owners == NULL)
		lanes_revive(s->runner->lanes);
	rc = act_on_all(d, &sel, &e);
	selection_release(&sel);
	if (rc == 0 && !json_is_true(json_object_get(request, "more")))
		rc = end_acts(s, &e);
	done = json_pack(
	    "{s:b, s:I, s:o}", "ok", 1, "done", d->done, "failed", d->failed);
	free(d);
	return answer(rc, done, &e);
}

json_t *
control_act(struct control_session *s, const char *verb, json_t *request)
{
	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		if (strcmp(verb, acts[i].name) != 0)
			continue;
		if (s->owners != NULL && !acts[i].is_everybodys)
			return NULL;
		return run(s, &acts[i], request);
	}
	return NULL;
}
