/*
 * admin-cgi: administration behind a web server's FastCGI.  Settings to the
 * one listener, and what workers share; the pages are in the other files.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory/setup.h"

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

/* Set by configure() in the supervisor, inherited by workers. */
static struct {
	const char *cache;
} setup;

static void
set_paths(struct service_config *out)
{
	setup_paths("log/admin-cgi", out);
	(void)setup_read("/usr/share/zoneinfo");
	/* SQLite's readers write their marks into the -shm file */
	(void)setup_write("directory");
	(void)setup_write("web");
	(void)setup_write("domains");
	(void)setup_write("run");
	(void)setup_write("log");
	setup.cache = setup_write("cache/admin");
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *all;
	int rc;

	if (setup_begin(state_dir, out, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_ADMIN_ENABLED);
	out->workers = WORKERS;
	out->connections = CONNECTIONS;
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup_config()->user_admin);
	rc = setup_listen_at(
	    "run/web/admin.sock", SOCK_STREAM, 0660, KIND_WEB, out, e);
	if (rc == 0)
		rc = setup_listen(all, SET_METRICS_LISTEN, SET_METRICS_PORT,
		    KIND_METRICS, out, e);
	(void)snprintf(out->listeners[0].group, sizeof(out->listeners[0].group),
	    "%s", settings_text(all, SET_WEB_GROUP));
	settings_free(all);
	if (rc != 0)
		return -1;
	set_paths(out);
	return 0;
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
		web_serve(
		    &admin_app, w->data, c->fd, setup.cache, IO_TIMEOUT_MS);
}

static const struct service service = {
	.name = "admin-cgi",
	.stack_size = STACK_SIZE,
	.deny_outgoing = true,
	.deny_exec = true,
	.configure = configure,
	.changed = setup_changed,
	.worker_start = worker_start,
	.serve = serve,
};

int
main(int argc, char **argv)
{
	return service_main(&service, argc, argv);
}
