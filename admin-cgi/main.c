/*
 * admin-cgi: administration behind a web server's FastCGI.  Settings to the
 * one listener, and what workers share; the pages are in the other files.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory/config.h"
#include "proc/service.h"

#include "admin-cgi/admin.h"
#include "admin-cgi/flow.h"
#include "admin-cgi/metrics.h"

enum {
	WORKERS = 2,
	CONNECTIONS = 16,
	IO_TIMEOUT_MS = 30000,
	STACK_SIZE = 256 * 1024,
	FLOW_EVERY_MS = 2000,
	FLOW_PAUSE_MS = 50,
};

enum kind {
	KIND_WEB,
	KIND_METRICS
};

enum path {
	PATH_DIRECTORY,
	PATH_WEB,
	PATH_DOMAINS,
	PATH_RUN,
	PATH_CACHE,
	PATH_LOGS,
	PATH_COUNT
};

/* Set by configure() in the supervisor, inherited by workers. */
static struct {
	struct config config;
	uint64_t stamp;
	char paths[PATH_COUNT][CONFIG_PATH_SIZE];
	const char *read_paths[4], *write_paths[8];
} setup;

static int
set_paths(struct service_config *out, struct err *e)
{
	static const char *const inside[PATH_COUNT] = { "directory", "web",
		"domains", "run", "cache/admin", "log" };

	for (size_t i = 0; i < PATH_COUNT; i++) {
		if (config_path(&setup.config, setup.paths[i],
			sizeof(setup.paths[i]), e, "%s", inside[i]) != 0)
			return -1;
		/* SQLite's readers write their marks into the -shm file */
		setup.write_paths[i] = setup.paths[i];
	}
	setup.read_paths[0] = "/usr/share/zoneinfo";
	out->read_paths = setup.read_paths;
	out->write_paths = setup.write_paths;
	return config_path(&setup.config, out->log_dir, sizeof(out->log_dir), e,
	    "log/admin-cgi");
}

/* The port of monitoring, on each address; behind the listener of pages. */
static int
add_metrics(
    const struct settings *all, struct service_config *out, struct err *e)
{
	int64_t port = settings_int(all, SET_METRICS_PORT);
	enum setting_id id = settings_count(all, SET_METRICS_LISTEN) > 0
	    ? SET_METRICS_LISTEN
	    : SET_LISTEN;
	size_t n = settings_count(all, id);

	out->listener_count = 1;
	if (port == 0)
		return 0;
	port += settings_int(all, SET_PORT_OFFSET);
	if (port > 65535)
		return err_set(e, ERR_PERM, "metrics.port is too large");
	for (size_t i = 0;
	     i < (n > 0 ? n : 1) && out->listener_count < SERVICE_LISTENERS_MAX;
	     i++) {
		struct listener *l = &out->listeners[out->listener_count++];

		if (n > 0 &&
		    !ip_parse(slice_str(settings_item(all, id, i)), &l->ip))
			return err_set(e, ERR_PERM, "%s: not an address",
			    settings_item(all, id, i));
		l->port = (uint16_t)port;
		l->kind = KIND_METRICS;
	}
	return 0;
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct listener *l = &out->listeners[0];
	struct settings *all;
	int rc;

	if (config_load(state_dir, &setup.config, e) != 0)
		return -1;
	setup.stamp = directory_stamp(state_dir);
	if (directory_read_settings(state_dir, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_ADMIN_ENABLED);
	out->log_days = settings_int(all, SET_LOG_DAYS);
	rc = add_metrics(all, out, e);
	(void)snprintf(l->group, sizeof(l->group), "%s",
	    settings_text(all, SET_WEB_GROUP));
	settings_free(all);
	if (rc != 0)
		return -1;
	out->workers = WORKERS;
	out->connections = CONNECTIONS;
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup.config.user_admin);
	if (config_path(&setup.config, l->path, sizeof(l->path), e,
		"run/web/admin.sock") != 0)
		return -1;
	l->socktype = SOCK_STREAM;
	l->mode = 0660;
	return set_paths(out, e);
}

static bool
changed(const char *state_dir)
{
	return directory_stamp(state_dir) != setup.stamp;
}

/* The overview's numbers: at once what is there, then what comes. */
static void
count_flow(struct worker *w, void *arg)
{
	struct admin *a = w->data;
	int64_t next = 0;

	(void)arg;
	while (!service_stopping()) {
		if (clock_mono_ms() >= next && !flow_read(a->flow))
			next = clock_mono_ms() + FLOW_EVERY_MS;
		(void)usleep(FLOW_PAUSE_MS * 1000);
	}
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct admin *a = mem_zalloc(sizeof(*a));
	char path[CONFIG_PATH_SIZE + 32];

	a->state_dir = w->state_dir;
	if (directory_open(w->state_dir, &a->directory, e) != 0)
		return -1;
	a->accountd = accountd_new(w->state_dir, "admin-cgi");
	(void)snprintf(path, sizeof(path), "%s/run/queue.sock", w->state_dir);
	a->runner = accountd_at(path);
	a->templates = template_set_new(w->state_dir, &admin_assets);
	a->flow = flow_new(w->state_dir);
	w->data = a;
	if (worker_thread(w, "flow", 0, count_flow, NULL, e) != 0)
		return -1;
	return web_start(&admin_app, e);
}

static void
serve(struct worker *w, struct connection *c)
{
	if (c->kind == KIND_METRICS)
		metrics_serve(w->data, c);
	else
		web_serve(&admin_app, w->data, c->fd, setup.paths[PATH_CACHE],
		    IO_TIMEOUT_MS);
}

static const struct service service = {
	.name = "admin-cgi",
	.stack_size = STACK_SIZE,
	.deny_outgoing = true,
	.deny_exec = true,
	.configure = configure,
	.changed = changed,
	.worker_start = worker_start,
	.serve = serve,
};

int
main(int argc, char **argv)
{
	return service_main(&service, argc, argv);
}
