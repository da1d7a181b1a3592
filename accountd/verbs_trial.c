/*
 * The trial of settings: a change by which an administrator may lock himself
 * out is in force at once, and goes back by itself unless somebody who still
 * gets in says within TRIAL_MS that it is to stay.
 *
 * The table `trial` has what each setting on trial was before.  It is written
 * in the transaction of the change, so that no end of this process leaves a
 * change without its way back.  There is one trial at a time: a change during
 * one joins it, and the time starts again.
 */
#include "base/clock.h"

#include "request.h"

enum {
	TRIAL_MS = 60000
};

/* What is left of the trial: 0 = it is over, -1 = there is none. */
static int
time_left(struct core *core, int64_t *ms_out, struct err *e)
{
	struct sql_rows *r =
	    sql_query(core->db, e, "SELECT max(since_ms) FROM trial", "");
	int got = sql_next(r, e);

	*ms_out = -1;
	if (got == 1 && !sql_is_null(r, 0)) {
		int64_t passed = clock_wall_ms() - sql_int(r, 0);
		/* a clock that was put back does not make it longer */
		*ms_out =
		    passed < 0 || passed >= TRIAL_MS ? 0 : TRIAL_MS - passed;
	}
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
trial_note(struct request *q, const char *name, const char *old,
    const char *value, bool was_set, struct err *e)
{
	int64_t left;

	/* what is as before is not on trial any more */
	if (sql_run(q->core->db, e,
		"INSERT OR IGNORE INTO trial (name, value, was_set, since_ms)"
		" VALUES (?1, ?2, ?3, 0)",
		"ssi", name, old, (int64_t)was_set) < 0 ||
	    sql_run(q->core->db, e,
		"DELETE FROM trial WHERE name = ?1 AND value = ?2", "ss", name,
		value) < 0 ||
	    sql_run(q->core->db, e, "UPDATE trial SET since_ms = ?1", "i",
		clock_wall_ms()) < 0 ||
	    time_left(q->core, &left, e) != 0)
		return -1;
	json_object_set_new(
	    q->out, "trial_s", json_integer(left < 0 ? 0 : TRIAL_MS / 1000));
	return 0;
}

int
trial_forget(struct request *q, const char *name, struct err *e)
{
	return sql_run(q->core->db, e, "DELETE FROM trial WHERE name = ?1", "s",
		   name) < 0
	    ? -1
	    : 0;
}

/* On trial: {name: what it is} into `now`, {name: what it was} into `old`. */
static int
load(struct request *q, json_t *now, json_t *old, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT t.name, t.value, s.value FROM trial t JOIN setting s"
	    " ON s.name = t.name AND s.domain_id = 0 ORDER BY t.name",
	    "");
	int got = sql_next(r, e);

	for (; got == 1; got = sql_next(r, e)) {
		json_object_set_new(
		    old, sql_text(r, 0), json_string(sql_text(r, 1)));
		json_object_set_new(
		    now, sql_text(r, 0), json_string(sql_text(r, 2)));
	}
	sql_done(r);
	if (got == 0 && json_object_size(now) == 0)
		return refuse(q, e, "no-trial", "no setting is on trial");
	return got;
}

int
verb_setting_trial(struct request *q, struct err *e)
{
	json_t *now = json_object(), *old = json_object(), *value;
	json_t *items = json_array();
	const char *name;
	int64_t left;
	int r = time_left(q->core, &left, e);

	if (r == 0 && left >= 0)
		r = load(q, now, old, e);
	json_object_foreach(now, name, value)
		json_array_append_new(items,
		    json_pack("{sssOsO}", "name", name, "value", value,
			"before", json_object_get(old, name)));
	json_object_set_new(q->out, "items", items);
	json_object_set_new(q->out, "left_s",
	    json_integer((json_int_t)((left < 0 ? 0 : left) + 999) / 1000));
	json_decref(now);
	json_decref(old);
	return r;
}

int
verb_setting_keep(struct request *q, struct err *e)
{
	q->before = json_object();
	q->after = json_object();
	return load(q, q->after, q->before, e) != 0 ||
		sql_run(q->core->db, e, "DELETE FROM trial", "") < 0
	    ? -1
	    : 0;
}

/* With `due` only what is over. */
int
verb_setting_undo(struct request *q, struct err *e)
{
	int64_t left;

	if (time_left(q->core, &left, e) != 0)
		return -1;
	if (req_bool(q, "due") && left != 0) {
		q->quiet = true;
		return 0;
	}
	q->before = json_object();
	q->after = json_object();
	q->has_settings = true;
	return load(q, q->before, q->after, e) != 0 ||
		sql_run(q->core->db, e,
		    "DELETE FROM setting WHERE domain_id = 0 AND name IN"
		    " (SELECT name FROM trial WHERE was_set = 0)",
		    "") < 0 ||
		sql_run(q->core->db, e,
		    "INSERT OR REPLACE INTO setting (name, domain_id, value)"
		    " SELECT name, 0, value FROM trial WHERE was_set = 1",
		    "") < 0 ||
		sql_run(q->core->db, e, "DELETE FROM trial", "") < 0
	    ? -1
	    : 0;
}

void
trial_expire(struct core *core)
{
	static const char packet[] = "{\"verb\":\"setting undo\",\"due\":true}";
	struct caller caller = { .core = core,
		.program = FROM_MAILSTEAD,
		.is_operator = true,
		.is_clock = true };
	json_t *reply;
	int64_t left;
	struct err e;
	int r;

	pthread_mutex_lock(&core->write_lock);
	r = time_left(core, &left, &e);
	pthread_mutex_unlock(&core->write_lock);
	if (r != 0 || left != 0)
		return; /* trouble with the file shows at the next request */
	request_answer(&caller, slice_str(packet), &reply);
	json_decref(reply);
}
