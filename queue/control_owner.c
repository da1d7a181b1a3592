/*
 * A user's own messages: taking one back before its time, and how far one is;
 * and whether those to come have a way (control_domains.c).
 *
 * Who asks follows from the webmail session in the request; whose a message
 * is, from its envelope while it is here, afterwards from the key user= of
 * our own log lines.  Another's message is the same as none.  Runs on the
 * connection threads.
 */
#include "queue/control_owner.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/logread.h"

enum {
	ANSWER_MS = 10000,
	EVENTS_MAX = 2000,
	RECIPIENTS_MAX = 200, /* what fits a packet */
	DAYS_MS = 10 * 86400 * 1000,
	VALUE_SIZE = 512,
	BUSY_PAUSE_MS = 50,
	BUSY_TRIES = 80,
	FLUSH_MS = 30000,
};

static json_t *
refuse(const char *kind, const char *code, const char *text)
{
	return json_pack("{s:b, s:s, s:s, s:s}", "ok", 0, "kind", kind, "code",
	    code, "text", text);
}

/* The account behind the session; false with the refusal in *out. */
static bool
find_owner(struct control_session *s, json_t *request, char *account,
    size_t size, json_t **out)
{
	const char *token =
	    json_string_value(json_object_get(request, "session"));
	json_t *reply;
	struct err e;

	*out = refuse("perm", "forbidden", "not signed in");
	if (token == NULL)
		return false;
	if (accountd_call(s->runner->accountd,
		json_pack("{s:s, s:s, s:s}", "verb", "session check", "session",
		    token, "program", "webmail-cgi"),
		ANSWER_MS, &reply, &e) != 0) {
		if (e.kind != ERR_PERM) {
			json_decref(*out);
			*out = refuse("temp", "temp", e.text);
		}
		return false;
	}
	snprintf(account, size, "%s",
	    json_string_value(json_object_get(reply, "account")));
	json_decref(reply);
	json_decref(*out);
	*out = NULL;
	return true;
}

/* A fresh message is put aside for its time, which takes until a flush. */
static int
take_out(struct runner *r, const char *id, const char *account, struct err *e)
{
	const struct timespec pause = { 0, BUSY_PAUSE_MS * 1000000 };

	for (int left = BUSY_TRIES; left > 0; left--) {
		if (spool_take_back(r->spool, id, account, e) == 0)
			return spool_flush_wait(r->spool, FLUSH_MS, e);
		if (e->kind != ERR_TEMP)
			return -1;
		nanosleep(&pause, NULL);
	}
	return -1;
}

static json_t *
take_back(struct control_session *s, const char *id, const char *account)
{
	struct log_line l;
	struct err e;

	if (take_out(s->runner, id, account, &e) != 0)
		return refuse(
		    e.kind == ERR_PERM ? "perm" : "temp", "refused", e.text);
	log_begin(&l, "control", NULL, id);
	log_str(&l, "verb", "take back");
	log_str(&l, "actor", account);
	log_end(&l);
	return json_pack("{s:b}", "ok", 1);
}

/* --- How far it is -------------------------------------------------------------- */

static json_t *
row(const char *address, const char *state, const char *reply,
    const char *remote, int64_t at_ms)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I}", "address", address,
	    "state", state, "reply", reply, "remote", remote, "at_ms",
	    (json_int_t)at_ms);
}

static const char *
state_of(const struct envelope_recipient *r)
{
	return r->state == RECIPIENT_WAITING && r->attempts > 0
	    ? "deferred"
	    : control_recipient_state(r);
}

/* From the envelope; NULL: it is not here, or not theirs. */
static json_t *
from_spool(struct control_session *s, const char *id, const char *account)
{
	struct pool pool = { 0 };
	struct envelope v;
	json_t *rows = NULL;
	struct err e;

	if (spool_peek(s->runner->spool, id, &pool, &v, &e) == 0) {
		if (strcmp(v.auth_user, account) == 0)
			rows = json_array();
		for (size_t i = 0; rows != NULL && i < v.recipient_count &&
		     i < RECIPIENTS_MAX;
		     i++) {
			const struct envelope_recipient *r = &v.recipients[i];

			json_array_append_new(rows,
			    row(r->delivered_to != NULL ? r->delivered_to
							: r->address,
				state_of(r), r->reply != NULL ? r->reply : "",
				r->remote != NULL ? r->remote : "",
				r->last_try_ms));
		}
		envelope_release(&v);
	}
	pool_release(&pool);
	return rows;
}

/* The last word about each recipient wins: lines come by time. */
static void
put_event(json_t *rows, const char *account, const struct log_event *ev)
{
	static const char *const states[][2] = { { "deliver", "sent" },
		{ "sent", "sent" }, { "defer", "deferred" },
		{ "bounce", "failed" } };
	char user[VALUE_SIZE] = "", event[32] = "", to[VALUE_SIZE] = "";
	char reply[VALUE_SIZE] = "", remote[VALUE_SIZE] = "";
	json_t *old;
	size_t i;

	if (!log_field(ev->line, "user", user, sizeof(user)) ||
	    strcmp(user, account) != 0 ||
	    !log_field(ev->line, "event", event, sizeof(event)))
		return;
	if (!log_field(ev->line, "orig_to", to, sizeof(to)))
		(void)log_field(ev->line, "to", to, sizeof(to));
	(void)log_field(ev->line, "reply", reply, sizeof(reply));
	(void)log_field(ev->line, "remote", remote, sizeof(remote));
	for (size_t k = 0; k < ARRAY_LEN(states); k++) {
		json_t *now;

		if (strcmp(states[k][0], event) != 0)
			continue;
		now = row(to, states[k][1], reply, remote, ev->wall_ms);
		json_array_foreach(rows, i, old) {
			if (strcmp(json_string_value(
				       json_object_get(old, "address")),
				to) == 0) {
				json_array_set_new(rows, i, now);
				return;
			}
		}
		if (json_array_size(rows) < RECIPIENTS_MAX)
			json_array_append_new(rows, now);
		else
			json_decref(now);
		return;
	}
}

static json_t *
from_log(struct control_session *s, const char *id, const char *account)
{
	const char *const needles[] = { id };
	struct log_query q = { .from_ms = id_wall_ms(id),
		.to_ms = id_wall_ms(id) + DAYS_MS,
		.needles = needles,
		.needle_count = 1,
		.max = EVENTS_MAX };
	char dir[300];
	struct log_events events;
	json_t *rows = json_array();

	if (q.to_ms > clock_wall_ms())
		q.to_ms = clock_wall_ms();
	snprintf(dir, sizeof(dir), "%s/log", s->runner->state_dir);
	log_search_program(dir, "queue-runner", &q, &events);
	for (size_t i = 0; i < events.count; i++)
		put_event(rows, account, &events.items[i]);
	log_events_release(&events);
	return rows;
}

static json_t *
delivery(struct control_session *s, const char *id, const char *account)
{
	json_t *rows = from_spool(s, id, account);

	if (rows == NULL)
		rows = from_log(s, id, account);
	if (json_array_size(rows) == 0) {
		json_decref(rows);
		return refuse("perm", "not-found", "no such message");
	}
	return json_pack("{s:b, s:o}", "ok", 1, "recipients", rows);
}

json_t *
control_owner_verb(struct control_session *s, const char *verb, json_t *request)
{
	const char *id = json_string_value(json_object_get(request, "id"));
	bool back = strcmp(verb, "take back") == 0;
	bool domains = strcmp(verb, "domains") == 0;
	char account[256];
	json_t *answer;

	if (!back && !domains && strcmp(verb, "delivery") != 0)
		return NULL;
	if (domains && s->uid != s->runner->web_uid)
		return refuse("perm", "forbidden", "for webmail alone");
	if (!find_owner(s, request, account, sizeof(account), &answer))
		return answer;
	if (domains)
		return control_domains(s, account, request);
	if (id == NULL || !id_is_valid(slice_str(id)))
		return refuse("perm", "not-found", "no such message");
	return back ? take_back(s, id, account) : delivery(s, id, account);
}
