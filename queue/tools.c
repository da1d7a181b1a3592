/*
 * Jobs of the tools: a ring of them, a few threads that work on it.  What a
 * tool does is in tools_net.c and tools_self.c.
 *
 * One lock over the ring; no tool runs under it.
 */
#include "queue/tools.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#include "queue/control_verbs.h"

enum {
	JOBS_KEPT = 64,
	THREADS = 3,
};

static const struct {
	const char *name;
	tool_function *run;
} tools[] = {
	{ "lookup", tool_lookup },
	{ "domain", tool_domain },
	{ "console", tool_console },
	{ "route", tool_route },
	{ "relay", tool_relay },
	{ "server", tool_server },
	{ "send", tool_send },
};

enum state {
	STATE_FREE,
	STATE_WAITING,
	STATE_RUNNING,
	STATE_DONE
};

struct tool_job {
	json_int_t number;
	enum state state;
	size_t tool;
	json_t *args, *result;
	int64_t done_ms;
};

struct tools {
	pthread_mutex_t lock;
	struct tool_job jobs[JOBS_KEPT];
	json_int_t last;
};

struct tools *
tools_new(void)
{
	struct tools *t = mem_zalloc(sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

const char *
tool_arg(const json_t *args, const char *name)
{
	const char *text = json_string_value(json_object_get(args, name));

	return text != NULL ? text : "";
}

/* --- the threads ------------------------------------------------------------------ */

static struct tool_job *
take(struct tools *t)
{
	struct tool_job *found = NULL;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < JOBS_KEPT; i++) {
		struct tool_job *j = &t->jobs[i];

		if (j->state == STATE_WAITING &&
		    (found == NULL || j->number < found->number))
			found = j;
	}
	if (found != NULL)
		found->state = STATE_RUNNING;
	pthread_mutex_unlock(&t->lock);
	return found;
}

static void
run(struct worker *w, void *arg)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	struct runner *r = arg;
	struct tool_job *j;
	json_t *result;
	struct err e;

	(void)w;
	while (!service_stopping()) {
		if ((j = take(r->tools)) == NULL) {
			(void)nanosleep(&pause, NULL);
			continue;
		}
		result = tools[j->tool].run(r, j->args, &e);
		if (result == NULL)
			result = json_pack("{s:s}", "error", e.text);
		pthread_mutex_lock(&r->tools->lock);
		j->result = result;
		j->done_ms = clock_wall_ms();
		j->state = STATE_DONE;
		pthread_mutex_unlock(&r->tools->lock);
	}
}

int
tools_start(struct runner *r, struct err *e)
{
	for (int i = 0; i < THREADS; i++) {
		if (worker_thread(r->worker, "tools", 0, run, r, e) != 0)
			return -1;
	}
	return 0;
}

/* --- the verbs -------------------------------------------------------------------- */

static bool
find_tool(const char *name, size_t *out)
{
	for (size_t i = 0; name != NULL && i < ARRAY_LEN(tools); i++) {
		if (strcmp(tools[i].name, name) == 0) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* A place for a new job: the oldest that is done. */
static struct tool_job *
free_place(struct tools *t)
{
	struct tool_job *found = NULL;

	for (size_t i = 0; i < JOBS_KEPT; i++) {
		struct tool_job *j = &t->jobs[i];

		if (j->state == STATE_FREE)
			return j;
		if (j->state == STATE_DONE &&
		    (found == NULL || j->number < found->number))
			found = j;
	}
	return found;
}

static json_t *
start(struct tools *t, json_t *request)
{
	json_t *args = json_object_get(request, "args"), *answer;
	struct tool_job *j;
	size_t tool;

	if (!find_tool(
		json_string_value(json_object_get(request, "tool")), &tool))
		return control_refusal("syntax", "no such tool");
	pthread_mutex_lock(&t->lock);
	j = free_place(t);
	if (j == NULL) {
		answer = control_refusal("temp", "too many tools are at work");
	} else {
		json_decref(j->args);
		json_decref(j->result);
		*j = (struct tool_job){ ++t->last, STATE_WAITING, tool,
			args != NULL ? json_deep_copy(args) : json_object(),
			NULL, 0 };
		answer = json_pack("{s:b,s:I}", "ok", 1, "job", j->number);
	}
	pthread_mutex_unlock(&t->lock);
	return answer;
}

/* Under the lock. */
static json_t *
describe(const struct tool_job *j)
{
	json_t *o =
	    json_pack("{s:b,s:I,s:s,s:o,s:s}", "ok", 1, "job", j->number,
		"tool", tools[j->tool].name, "args", json_deep_copy(j->args),
		"state", j->state == STATE_DONE ? "done" : "running");

	if (j->state == STATE_DONE) {
		json_object_set_new(o, "result", json_deep_copy(j->result));
		json_object_set_new(
		    o, "done_ms", json_integer((json_int_t)j->done_ms));
	}
	return o;
}

static json_t *
show(struct tools *t, json_int_t number)
{
	json_t *answer = NULL;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < JOBS_KEPT && answer == NULL; i++) {
		if (t->jobs[i].state != STATE_FREE &&
		    t->jobs[i].number == number)
			answer = describe(&t->jobs[i]);
	}
	pthread_mutex_unlock(&t->lock);
	return answer != NULL ? answer
			      : control_refusal("not-found", "no such job");
}

static json_t *
last(struct tools *t, json_t *request)
{
	const char *domain =
	    tool_arg(json_object_get(request, "args"), "domain");
	const struct tool_job *done = NULL, *running = NULL;
	json_t *answer;
	size_t tool;

	if (!find_tool(
		json_string_value(json_object_get(request, "tool")), &tool))
		return control_refusal("syntax", "no such tool");
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < JOBS_KEPT; i++) {
		const struct tool_job *j = &t->jobs[i];
		const struct tool_job **place =
		    j->state == STATE_DONE ? &done : &running;

		if (j->state != STATE_FREE && j->tool == tool &&
		    (domain[0] == '\0' ||
			strcmp(tool_arg(j->args, "domain"), domain) == 0) &&
		    (*place == NULL || j->number > (*place)->number))
			*place = j;
	}
	answer = done != NULL ? describe(done)
			      : json_pack("{s:b,s:i}", "ok", 1, "job", 0);
	if (running != NULL)
		json_object_set_new(
		    answer, "running", json_integer(running->number));
	pthread_mutex_unlock(&t->lock);
	return answer;
}

json_t *
tools_verb(struct runner *r, const char *verb, json_t *request)
{
	if (strcmp(verb, "tool start") == 0)
		return start(r->tools, request);
	if (strcmp(verb, "tool show") == 0)
		return show(r->tools,
		    json_integer_value(json_object_get(request, "job")));
	if (strcmp(verb, "tool last") == 0)
		return last(r->tools, request);
	return NULL;
}
