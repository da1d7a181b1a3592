/*
 * Alerts by mail; see watch.h.  One thread, which owns the list of causes.
 */
#include "queue/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/json_file.h"

#include "queue/tools.h"

enum {
	TELL_LOOKS = 2, /* how often a cause is seen before it is told, */
	OVER_LOOKS = 3, /* and missed before it is over */
	CAUSES_MAX = 200,
	TEXT_SIZE = 512,
	MAIL_MAX = 64 * 1024,
	NAP_MS = 200,
	RELAY_MS = 1000,
};

enum badness {
	GOOD,
	WARN,
	BAD
};

struct cause {
	char id[300];
	char text[TEXT_SIZE]; /* what was found, and what to do */
	enum badness now, told;
	int seen, missed; /* looks in a row */
};

struct watch {
	struct runner *r;
	struct cause *causes;
	size_t count, alloc;
	json_t *health; /* of the last look */
	bool relay_open;
};

static const char *const badness_names[] = { "ok", "warn", "bad" };

/* Unknown is no cause: nobody can do anything about it. */
static enum badness
badness_of(const char *state)
{
	return strcmp(state, "bad") == 0 ? BAD
	    : strcmp(state, "warn") == 0 ? WARN
					 : GOOD;
}

static struct cause *
find_or_add(struct watch *w, const char *id)
{
	struct cause *c;

	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->causes[i].id, id) == 0)
			return &w->causes[i];
	if (w->count == CAUSES_MAX)
		return NULL;
	w->causes =
	    mem_grow(w->causes, &w->alloc, w->count + 1, sizeof(*w->causes));
	c = &w->causes[w->count++];
	memset(c, 0, sizeof(*c));
	(void)snprintf(c->id, sizeof(c->id), "%s", id);
	return c;
}

/* --- one look ---------------------------------------------------------------------- */

static void
note_checks(struct watch *w, const json_t *checks)
{
	for (size_t i = 0; i < w->count; i++)
		w->causes[i].now = GOOD;
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *check = json_array_get(checks, i);
		enum badness b = badness_of(tool_arg(check, "state"));
		struct cause *c;

		if (b == GOOD ||
		    (c = find_or_add(w, tool_arg(check, "id"))) == NULL)
			continue;
		c->now = b;
		(void)snprintf(c->text, sizeof(c->text), "%s: %s. %s", c->id,
		    tool_arg(check, "found"), tool_arg(check, "fix"));
	}
	for (size_t i = 0; i < w->count; i++) {
		struct cause *c = &w->causes[i];

		c->seen = c->now == GOOD ? 0 : c->seen + 1;
		c->missed = c->now == GOOD ? c->missed + 1 : 0;
	}
}

static bool
is_news(const struct cause *c)
{
	return c->seen >= TELL_LOOKS && c->now > c->told;
}

static bool
is_over(const struct cause *c)
{
	return c->missed >= OVER_LOOKS && c->told != GOOD;
}

/* What happened, appended to the mail; how many lines. */
static size_t
list(const struct watch *w, bool (*which)(const struct cause *),
    const char *title, const char **first, struct buf *out)
{
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++) {
		if (!which(&w->causes[i]))
			continue;
		if (n++ == 0)
			buf_addf(out, "%s\n\n", title);
		if (*first == NULL)
			*first = w->causes[i].id;
		buf_addf(out, "  %s\n", w->causes[i].text);
	}
	if (n > 0)
		buf_addf(out, "\n");
	return n;
}

static int
send_all(struct watch *w, const struct settings *s, const char *subject,
    const char *text)
{
	size_t n = settings_count(s, SET_ALERT_ADDRESSES);
	struct err e;

	for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
		const char *to = n > 0
		    ? settings_item(s, SET_ALERT_ADDRESSES, i)
		    : "postmaster";

		if (tools_mail(w->r, to, subject, text, NULL, &e) != 0) {
			log_warning("alert to %s: %s", to, e.text);
			return -1;
		}
	}
	return 0;
}

static void
tell(struct watch *w, const struct settings *s)
{
	const char *first = NULL, *host = settings_text(s, SET_HOSTNAME);
	char subject[TEXT_SIZE];
	size_t news, over, kept = 0;
	struct buf text;

	buf_init(&text, MAIL_MAX);
	news = list(w, is_news, "This needs somebody:", &first, &text);
	over = list(w, is_over, "This is over:", &first, &text);
	buf_addf(&text,
	    "More: mailstead check, or the page Overview.\n"
	    "Told once; the settings alert.* say to whom and when.\n");
	(void)snprintf(subject, sizeof(subject), "%s: %s: %s%s", host,
	    news > 0 ? "needs attention" : "over", first ? first : "",
	    news + over > 1 ? " and more" : "");
	if (news + over > 0 &&
	    (!settings_bool(s, SET_ALERT_ENABLED) ||
		send_all(w, s, subject, text.data) == 0)) {
		for (size_t i = 0; i < w->count; i++) {
			struct cause *c = &w->causes[i];

			if (is_news(c)) {
				log_warning("needs attention: %s", c->text);
				c->told = c->now;
			} else if (is_over(c)) {
				log_info("over: %s", c->id);
				c->told = GOOD;
			}
		}
	}
	for (size_t i = 0; i < w->count; i++)
		if (w->causes[i].now != GOOD || w->causes[i].told != GOOD)
			w->causes[kept++] = w->causes[i];
	w->count = kept;
	buf_release(&text);
}

/* --- run/health.json --------------------------------------------------------------- */

static void
write_health(struct watch *w)
{
	json_t *told = json_array(), *all;
	char at[CLOCK_RFC3339_SIZE];
	struct err e;

	for (size_t i = 0; i < w->count; i++) {
		const struct cause *c = &w->causes[i];

		if (c->told != GOOD)
			json_array_append_new(told,
			    json_pack("{s:s,s:s,s:s}", "id", c->id, "state",
				badness_names[c->told], "text", c->text));
	}
	clock_rfc3339(clock_wall_ms(), at);
	all = json_pack("{s:s,s:O,s:O,s:O*,s:o,s:b}", "at", at, "checks",
	    json_object_get(w->health, "checks"), "certificates",
	    json_object_get(w->health, "certificates"), "address",
	    json_object_get(w->health, "address"), "told", told, "relay_open",
	    w->relay_open);
	if (json_file_write(w->r->state_dir, TOOLS_HEALTH, 0644, all, &e) != 0)
		log_warning(
		    "%s/" TOOLS_HEALTH ": not written", w->r->state_dir);
	json_decref(all);
}

/* What was told before a restart is not told again. */
static void
read_told(struct watch *w)
{
	json_t *all =
	    json_file_read(w->r->state_dir, TOOLS_HEALTH, TOOLS_HEALTH_MAX);
	const json_t *told = json_object_get(all, "told");

	for (size_t i = 0; i < json_array_size(told); i++) {
		const json_t *o = json_array_get(told, i);
		struct cause *c = find_or_add(w, tool_arg(o, "id"));

		if (c == NULL)
			break;
		c->told = badness_of(tool_arg(o, "state"));
		(void)snprintf(
		    c->text, sizeof(c->text), "%s", tool_arg(o, "text"));
	}
	json_decref(all);
}

/* --- the thread ---------------------------------------------------------------------- */

/* The whole look; nothing is told of one while all stop together. */
static void
look(struct watch *w, const struct settings *s)
{
	json_t *health = tools_health(w->r, s);

	if (service_stopping()) {
		json_decref(health);
		return;
	}
	json_decref(w->health);
	w->health = health;
	note_checks(w, json_object_get(health, "checks"));
	tell(w, s);
	write_health(w);
}

/* True: it is not as it was. */
static bool
look_at_relay(struct watch *w)
{
	struct err e;
	json_t *result = tool_relay(w->r, NULL, &e);
	bool was_open = w->relay_open;

	w->relay_open = json_is_true(json_object_get(result, "open"));
	json_decref(result);
	return was_open != w->relay_open;
}

static void
run(struct worker *worker, void *arg)
{
	struct watch w = { .r = arg };
	int64_t last = clock_mono_ms(), relay_ms = 0;
	uint64_t seen = 0;

	(void)worker;
	read_told(&w);
	while (!service_stopping()) {
		struct settings *s = directory_settings(w.r->directory);
		int64_t now = clock_mono_ms();

		if (w.health == NULL ||
		    (now - relay_ms >= RELAY_MS &&
			directory_changed(w.r->directory, &seen))) {
			relay_ms = now;
			/* the checks say the same of it */
			if (look_at_relay(&w) || w.health == NULL) {
				json_decref(w.health);
				w.health = tools_health(w.r, s);
				write_health(&w);
			}
		}
		if (now - last >= settings_int(s, SET_ALERT_INTERVAL) * 1000) {
			last = now;
			look(&w, s);
		}
		settings_free(s);
		(void)usleep(NAP_MS * 1000);
	}
	json_decref(w.health);
	free(w.causes);
}

int
watch_start(struct runner *r, struct err *e)
{
	return worker_thread(r->worker, "watch", 0, run, r, e);
}
