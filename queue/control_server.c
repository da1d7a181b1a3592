/*
 * The control socket: who asks, and the connection; see control.h for the
 * protocol and control_verbs.c for what is done.  Also run/queue.stat and
 * resuming.  Runs on the connection threads and on the tick.
 */
#include "queue/control_server.h"

#include <sys/stat.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/json_text.h"
#include "net/sock.h"

#include "queue/age.h"
#include "queue/control.h"
#include "queue/control_owner.h"
#include "queue/control_verbs.h"
#include "queue/job.h"
#include "queue/lanes.h"
#include "queue/spool_stat.h"
#include "queue/tools.h"

enum {
	IDLE_MS = 300000,
	ANSWER_MS = 10000,
};

/* --- Who asks ------------------------------------------------------------------ */

static bool
is_operator(const struct control_session *s)
{
	struct stat st;

	return s->uid == 0 || s->uid == getuid() ||
	    (stat(s->runner->state_dir, &st) == 0 && st.st_uid == s->uid);
}

/* Others may connect, too, and would only take the places of these. */
static bool
has_business(const struct control_session *s)
{
	return s->uid == s->runner->web_uid || s->uid == s->runner->admin_uid ||
	    is_operator(s);
}

/* The domains of who asks, alias domains too: whose mail is theirs. */
static int
load_domains(struct control_session *s, json_t *domains)
{
	json_t *ask, *reply, *item, *next = NULL;
	struct err e;
	size_t i;

	do {
		ask = json_pack("{s:s, s:s, s:o*}", "verb", "domain list",
		    "session", s->token, "after", next);
		next = NULL;
		if (accountd_call(
			s->runner->accountd, ask, ANSWER_MS, &reply, &e) != 0)
			return -1;
		json_array_foreach(json_object_get(reply, "items"), i, item)
			json_array_append(
			    domains, json_object_get(item, "name"));
		if (json_is_string(json_object_get(reply, "next")))
			next = json_incref(json_object_get(reply, "next"));
		json_decref(reply);
	} while (next != NULL);
	return 0;
}

static bool
has_role(const json_t *user, const char *name)
{
	json_t *role;
	size_t i;

	json_array_foreach(json_object_get(user, "roles"), i, role)
		if (json_is_string(role) &&
		    strcmp(json_string_value(role), name) == 0)
			return true;
	return false;
}

static bool
may_by_session(struct control_session *s, json_t *domains)
{
	const char *account;
	json_t *reply, *user, *domain;
	bool may = false, all = false;
	struct err e;
	size_t i;

	if (accountd_call(s->runner->accountd,
		json_pack(
		    "{s:s, s:s}", "verb", "session check", "session", s->token),
		ANSWER_MS, &reply, &e) != 0)
		return false;
	account = json_string_value(json_object_get(reply, "account"));
	snprintf(
	    s->actor, sizeof(s->actor), "%s", account != NULL ? account : "?");
	user = json_object_get(reply, "user");
	all = may = has_role(user, "server_admin");
	if (!all && has_role(user, "domain_admin"))
		may = load_domains(s, domains) == 0;
	json_decref(reply);
	if (!may || all)
		return may;
	s->owners =
	    mem_alloc((json_array_size(domains) + 1) * sizeof(*s->owners));
	json_array_foreach(domains, i, domain)
		s->owners[s->owner_count++] = json_string_value(domain);
	return true;
}

/*
 * Anything, or (s->owners) only messages of own domains; `domains` keeps the
 * names.
 */
static bool
may_administer(struct control_session *s, json_t *request, json_t *domains)
{
	s->token = json_string_value(json_object_get(request, "session"));
	if (s->token != NULL)
		return may_by_session(s, domains);
	snprintf(s->actor, sizeof(s->actor), "uid %u", s->uid);
	return is_operator(s);
}

static json_t *
verb_statistics(struct control_session *s)
{
	struct runner *r = s->runner;
	struct spool_counts c;
	struct lanes_counts l;

	spool_count(r->spool, &c);
	lanes_count(r->lanes, &l);
	return json_pack(
	    "{s:b, s:I,s:I,s:I,s:I,s:I,s:I, s:I,s:I,s:I,s:I,s:I,s:I,"
	    " s:I,s:I,s:I,s:I}",
	    "ok", 1, "active", (json_int_t)c.active, "deferred",
	    (json_int_t)c.deferred, "held", (json_int_t)c.held, "corrupt",
	    (json_int_t)c.corrupt, "segments", (json_int_t)c.segments,
	    "journal_bytes", (json_int_t)c.journal_bytes, "jobs",
	    (json_int_t)atomic_load(&r->jobs), "lanes", (json_int_t)l.lanes,
	    "dead_lanes", (json_int_t)l.dead, "remote_waiting",
	    (json_int_t)l.queued, "remote_active", (json_int_t)l.active,
	    "remote_idle", (json_int_t)l.idle, "delivered",
	    (json_int_t)atomic_load(&r->delivered), "sent",
	    (json_int_t)atomic_load(&r->sent), "attempts_deferred",
	    (json_int_t)atomic_load(&r->deferred), "bounced",
	    (json_int_t)atomic_load(&r->bounced));
}

/* --- The connection -------------------------------------------------------------- */

/*
 * What the administrator of some domains may have done: the look at the DNS of
 * an own one, without connecting to anybody; and only such a job is shown.
 */
static json_t *
owners_tool(struct control_session *s, const char *verb, json_t *request)
{
	bool is_request =
	    strcmp(verb, "tool start") == 0 || strcmp(verb, "tool last") == 0;
	json_t *job = is_request ? json_incref(request)
	    : strcmp(verb, "tool show") == 0
	    ? tools_verb(s->runner, verb, request)
	    : NULL;
	json_t *args = json_object_get(job, "args");
	const char *domain = tool_arg(args, "domain");
	bool may = strcmp(tool_arg(job, "tool"), "domain") == 0 &&
	    json_object_get(args, "connect") == NULL;
	bool own = false;

	for (size_t i = 0; i < s->owner_count; i++)
		own |= strcmp(s->owners[i], domain) == 0;
	if (!may || !own) {
		json_decref(job);
		return control_refusal(
		    "forbidden", "only for server administrators");
	}
	if (!is_request)
		return job;
	json_decref(job);
	return tools_verb(s->runner, verb, request);
}

static json_t *
administer(struct control_session *s, const char *verb, json_t *request)
{
	json_t *a = control_verb(s, verb, request);

	if (a == NULL && s->owners != NULL)
		return owners_tool(s, verb, request);
	if (a == NULL)
		a = control_mailbox(s, verb, request);
	if (a == NULL && strcmp(verb, "statistics") == 0)
		a = verb_statistics(s);
	if (a == NULL)
		a = tools_verb(s->runner, verb, request);
	return a != NULL ? a : control_refusal("syntax", "no such verb");
}

static json_t *
answer(struct control_session *s, json_t *request)
{
	const char *verb = json_string_value(json_object_get(request, "verb"));
	json_t *a, *domains;

	if (verb == NULL)
		return control_refusal("syntax", "no verb");
	a = control_owner_verb(s, verb, request);
	if (a != NULL)
		return a;
	domains = json_array();
	if (may_administer(s, request, domains))
		a = administer(s, verb, request);
	else
		a = control_refusal("forbidden", "not an administrator");
	free(s->owners);
	s->owners = NULL;
	s->owner_count = 0;
	json_decref(domains);
	return a;
}

static int
send_answer(int fd, json_t *a)
{
	char *text = json_dumps(a, JSON_COMPACT);
	struct err e;
	int rc;

	if (text == NULL || strlen(text) > CONTROL_PACKET_MAX) {
		free(text);
		text = mem_strdup("{\"ok\":false,\"code\":\"temp\","
				  "\"text\":\"the answer is too long\"}");
	}
	rc = sock_send_packet(
	    fd, text, strlen(text), -1, clock_mono_ms() + ANSWER_MS, &e);
	free(text);
	return rc;
}

void
control_serve(struct runner *r, int fd)
{
	struct control_session s = { .runner = r };
	char *packet = mem_alloc(CONTROL_PACKET_MAX);
	json_t *request, *a;
	struct err e;
	ssize_t n;
	pid_t pid;
	int rc = sock_peer_uid(fd, &s.uid, &pid, &e);

	while (rc == 0 && has_business(&s)) {
		n = sock_recv_packet(fd, packet, CONTROL_PACKET_MAX, NULL,
		    clock_mono_ms() + IDLE_MS, &e);
		if (n <= 0)
			break;
		request = json_text_parse(slice_of(packet, (size_t)n));
		a = request == NULL
		    ? control_refusal("syntax", "not a JSON object")
		    : answer(&s, request);
		rc = send_answer(fd, a);
		json_decref(a);
		json_decref(request);
	}
	free(packet);
	close(fd);
}

void
control_wake_suspended(struct runner *r)
{
	const struct spool_filter suspended = { .states = 1U << SPOOL_DEFERRED,
		.awaits_resume = true };
	struct spool_info i = { 0 };
	struct err e;

	while (spool_page(r->spool, &suspended, i.id, &i, 1) == 1) {
		struct pool pool = { 0 };
		struct envelope v;

		if (spool_peek(r->spool, i.id, &pool, &v, &e) == 0) {
			if (spool_fits(&suspended, &v) &&
			    spool_schedule(
				r->spool, i.id, clock_wall_ms(), &e) != 0)
				log_warning("resuming %s: %s", i.id, e.text);
			envelope_release(&v);
		}
		pool_release(&pool);
	}
}

void
control_write_stat(struct runner *r)
{
	char path[300];
	struct spool_counts c;
	struct spool_stat st;
	struct err e;

	spool_count(r->spool, &c);
	st.active = c.active;
	st.deferred = c.deferred;
	st.held = c.held;
	st.written_ms = clock_wall_ms();
	st.steady_ms = age_steady_ms(r->age);
	st.flush_fails = atomic_load(&r->flush_fails);
	snprintf(path, sizeof(path), "%s/run/queue.stat", r->state_dir);
	if (spool_stat_write(path, &st, &e) != 0)
		log_warning("%s", e.text);
}
