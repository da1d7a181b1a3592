/*
 * Overview: what needs somebody, with one next step each, and how the server
 * is.  All numbers are kept by others; nothing is counted for the page.
 */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "proc/service.h"

#include "admin-cgi/admin.h"
#include "admin-cgi/flow.h"
#include "admin-cgi/health.h"
#include "admin-cgi/ops.h"

enum {
	DISK_BAD = 96, /* percent */
	STAT_FRESH_MS = 5000,
	DOMAINS_SHOWN = 6,
};

/* One thing to do: the texts todo.<key> and todo.<key>.next. */
static void
add_todo(struct web_request *r, json_t *list, bool bad, const char *key,
    const char *about, const char *path)
{
	json_array_append_new(list,
	    json_pack("{ss,ss,ss,ss,ss,ss}", "class", bad ? "bad" : "warn",
		"title", page_text(r, pool_printf(&r->pool, "todo.%s", key)),
		"about", about, "help",
		page_text(r, pool_printf(&r->pool, "todo.%s.help", key)),
		"next",
		page_text(r, pool_printf(&r->pool, "todo.%s.next", key)),
		"path", path));
}

/* --- Services ------------------------------------------------------------------- */

static const char *
ports_of(struct web_request *r, const struct service_status *s)
{
	const char *out = "";

	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		const char *port =
		    pool_printf(&r->pool, "%u", (unsigned)l->port);

		if (l->path[0] != '\0' || strstr(out, port) != NULL)
			continue;
		out = pool_printf(
		    &r->pool, "%s%s%s", out, out[0] != '\0' ? ", " : "", port);
	}
	return out;
}

static json_t *
service_row(struct web_request *r, const struct health_program *p,
    const struct settings *all, json_t *todo)
{
	struct service_status s = { 0 };
	struct err e;
	bool known =
	    service_status_read(admin_of(r)->state_dir, p->name, &s, &e) == 0;
	bool on = p->enabled == SETTING_COUNT || settings_bool(all, p->enabled);
	bool runs = known && s.state == SERVICE_RUNNING;
	const char *title = page_text(r, p->title);

	if (on && !runs)
		add_todo(r, todo, true, "service", title, "/");
	else if (!on)
		add_todo(r, todo, false, "service_off", title, "/");
	return json_pack("{ss,ss,ss,ss,ss,sI,sI,sI,sb,sb,sb}", "name", p->name,
	    "title", title, "class",
	    runs     ? "good"
		: on ? "bad"
		     : "warn",
	    "state",
	    page_text(r,
		pool_printf(&r->pool, "service.state.%s",
		    known ? service_state_name(s.state) : "unknown")),
	    "version", s.version, "started", (json_int_t)s.started_wall_ms,
	    "connections", (json_int_t)s.connections, "restarts",
	    (json_int_t)s.restarts, "runs", runs, "can_stop",
	    p->enabled != SETTING_COUNT && on, "can_start", !on);
}

static void
add_services(struct web_request *r, const struct settings *all, json_t *page,
    json_t *todo)
{
	json_t *list = json_array();

	for (size_t i = 0; i < HEALTH_PROGRAMS; i++) {
		struct service_status s = { 0 };
		json_t *row = service_row(r, &health_programs[i], all, todo);
		struct err e;

		if (service_status_read(admin_of(r)->state_dir,
			health_programs[i].name, &s, &e) == 0)
			json_object_set_new(
			    row, "ports", json_string(ports_of(r, &s)));
		json_array_append_new(list, row);
	}
	json_object_set_new(page, "services", list);
}

bool
overview_queue(struct web_request *r, struct spool_stat *out)
{
	const char *path =
	    pool_printf(&r->pool, "%s/run/queue.stat", admin_of(r)->state_dir);
	struct err e;

	return spool_stat_read(path, out, &e) == 0 &&
	    clock_wall_ms() - out->written_ms <= STAT_FRESH_MS;
}

/* --- Queue and disk --------------------------------------------------------------- */

static void
add_queue(struct web_request *r, const struct settings *all, json_t *values,
    json_t *todo)
{
	struct spool_stat st;

	if (strcmp(settings_text(all, SET_QUEUE_SUSPENDED), "no") != 0)
		add_todo(r, todo, false, "suspended", "", "/queue");
	if (strcmp(settings_text(all, SET_RELAY_MODE), "anyone") == 0)
		add_todo(r, todo, true, "relay", "", "/protection");
	if (!overview_queue(r, &st))
		return;
	json_object_set_new(values, "queue",
	    json_pack("{sI,sI,sI,sI}", "active", (json_int_t)st.active,
		"deferred", (json_int_t)st.deferred, "held",
		(json_int_t)st.held, "all",
		(json_int_t)st.active + (json_int_t)st.deferred +
		    (json_int_t)st.held));
}

static void
add_disk(struct web_request *r, const struct settings *all, json_t *values,
    json_t *todo)
{
	int64_t warn = settings_int(all, SET_ALERT_DISK);
	struct file_space space;
	struct err e;

	if (file_space(admin_of(r)->state_dir, &space, &e) != 0)
		return;
	json_object_set_new(values, "disk",
	    json_pack("{si,sI,sI}", "used", space.used_percent, "free",
		(json_int_t)space.free_bytes, "all",
		(json_int_t)space.total_bytes));
	if (warn > 0 && space.used_percent >= warn)
		add_todo(r, todo, space.used_percent >= DISK_BAD, "disk",
		    pool_printf(&r->pool, "%d%%", space.used_percent),
		    "/users");
}

/* --- What the runner's last look found ---------------------------------------------- */

static void
add_seen(struct web_request *r, json_t *todo)
{
	static const char prefix[] = "certificate.";
	json_t *health = health_read(admin_of(r)->state_dir), *check;
	size_t i;

	json_array_foreach(json_object_get(health, "checks"), i, check) {
		const char *id =
		    json_string_value(json_object_get(check, "id"));
		const char *state =
		    json_string_value(json_object_get(check, "state"));
		const char *found =
		    json_string_value(json_object_get(check, "found"));

		if (id == NULL || state == NULL || found == NULL ||
		    (strcmp(state, "bad") != 0 && strcmp(state, "warn") != 0))
			continue;
		if (strncmp(id, prefix, sizeof(prefix) - 1) == 0)
			add_todo(r, todo, strcmp(state, "bad") == 0,
			    "certificate",
			    pool_printf(&r->pool, "%s, %s",
				id + sizeof(prefix) - 1, found),
			    "/certificates");
		else if (strcmp(id, "queue") == 0)
			add_todo(r, todo, strcmp(state, "bad") == 0, "queue",
			    pool_strdup(&r->pool, found), "/queue");
		else if (strcmp(id, "address") == 0)
			add_todo(r, todo, false, "address",
			    pool_strdup(&r->pool, found), "/checks");
	}
	json_decref(health);
}

/* Asked for, not read from the last look: it should be gone when done. */
static void
add_waiting(struct web_request *r, json_t *todo)
{
	json_t *reply;
	const json_t *all;
	size_t count;
	struct err e;

	if (admin_ask(r,
		json_pack("{ss,sb}", "verb", "user list", "waiting", 1), &reply,
		&e) != 0)
		return;
	all = json_object_get(reply, "items");
	count = json_array_size(all);
	if (count > 0) {
		const char *first = json_string_value(
		    json_object_get(json_array_get(all, 0), "address"));

		add_todo(r, todo, false, "signup",
		    count == 1
			? pool_strdup(&r->pool, first)
			: pool_printf(&r->pool, "%s, +%zu", first, count - 1),
		    "/users?waiting=1");
	}
	json_decref(reply);
}

static void
add_trial(struct web_request *r, json_t *todo)
{
	json_t *reply;
	struct err e;

	if (admin_ask(
		r, json_pack("{ss}", "verb", "setting trial"), &reply, &e) != 0)
		return;
	if (json_array_size(json_object_get(reply, "items")) > 0)
		add_todo(r, todo, true, "trial", "", "/protection");
	json_decref(reply);
}

/* --- Domains ------------------------------------------------------------------------- */

static void
add_domains(struct web_request *r, json_t *page)
{
	json_t *reply, *items, *one;
	struct err e;
	size_t i;

	if (admin_ask(r,
		json_pack(
		    "{ss,si}", "verb", "domain list", "limit", DOMAINS_SHOWN),
		&reply, &e) != 0)
		return;
	items = json_object_get(reply, "items");
	domains_shape(items);
	json_array_foreach(items, i, one) {
		json_t *dns = dns_last(
		    r, json_string_value(json_object_get(one, "name")));

		if (dns != NULL)
			json_object_set_new(one, "dns", dns);
	}
	json_object_set_new(page, "domains",
	    json_pack("{sO,sb}", "rows", items, "more",
		json_object_get(reply, "next") != NULL));
	json_decref(reply);
}

/* --- The page ------------------------------------------------------------------------ */

static void
send_server(struct web_request *r, struct web_response *w, json_t *page)
{
	struct settings *all;
	json_t *todo = json_array();

	/* what was just stopped is shown as that */
	directory_refresh(admin_of(r)->directory);
	all = directory_settings(admin_of(r)->directory);

	json_object_set_new(page, "todo", todo);
	add_trial(r, todo);
	add_services(r, all, page, todo);
	add_queue(r, all, page, todo);
	add_disk(r, all, page, todo);
	add_seen(r, todo);
	add_domains(r, page);
	add_waiting(r, todo);
	settings_free(all);
	json_object_set_new(page, "flow", flow_json(admin_of(r)->flow));
	json_object_set_new(page, "todo_count",
	    json_integer((json_int_t)json_array_size(todo)));
	admin_page(r, w, "overview", "overview", page);
}

void
overview_page(struct web_request *r, struct web_response *w)
{
	unsigned roles = admin_roles(r);

	if (session_of(r)->must_enrol)
		web_redirect(w, "/me");
	else if ((roles & ROLE_SERVER) != 0)
		send_server(r, w, json_object());
	else if ((roles & ROLE_DOMAIN) != 0)
		web_redirect(w, "/domains");
	else
		web_redirect(w, "/lists");
}

/* do=start or stop, service=NAME: its setting. */
void
overview_post(struct web_request *r, struct web_response *w)
{
	const char *start = web_form(r, "start"), *stop = web_form(r, "stop");
	const char *name = start != NULL ? start : stop;
	struct problem p = { 0 };
	json_t *values;
	int rc = 1;

	for (size_t i = 0; name != NULL && i < HEALTH_PROGRAMS; i++) {
		if (strcmp(health_programs[i].name, name) != 0 ||
		    health_programs[i].enabled == SETTING_COUNT)
			continue;
		rc = admin_write(r, w,
		    json_pack("{ss,so,ss}", "verb", "setting set", "name",
			json_sprintf("service.%s.enabled", name), "value",
			start != NULL ? "yes" : "no"),
		    NULL, &p);
		if (rc == 0)
			admin_done(r, w,
			    start != NULL ? "service_started"
					  : "service_stopped",
			    "/");
		if (rc <= 0)
			return;
	}
	values = json_object();
	if (p.status == 0) {
		p.status = 422;
		p.text = page_text(r, "form.no_act");
	}
	form_problem(r, w, &p, values);
	send_server(r, w, values);
}
