/*
 * webmail-cgi: webmail behind a web server's FastCGI.  Settings to the one
 * listener, and what workers share; the pages are in the other files.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "directory/setup.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/webmail.h"

enum {
	IO_TIMEOUT_MS = 30000,
	STACK_SIZE = 256 * 1024,
	MINIMUM_FREE = 64 * 1024 * 1024,
};

/* Set by configure() in the supervisor, inherited by workers. */
static struct {
	const char *spool, *cache, *index, *users;
	char notify[CONFIG_PATH_SIZE], runner[CONFIG_PATH_SIZE];
} setup;

static void
set_paths(struct service_config *out)
{
	setup_paths("log/webmail-cgi", out);
	(void)setup_read("web");
	(void)setup_read("domains");
	(void)setup_read("/usr/share/zoneinfo");
	/* SQLite's readers write their marks into the -shm file */
	(void)setup_write("directory");
	(void)setup_write(setup_config()->mail_root);
	setup.spool = setup_write("spool");
	setup.cache = setup_write("cache/web");
	setup.index = setup_write("cache/index");
	setup.users = setup_write("users");
	(void)snprintf(
	    setup.notify, sizeof(setup.notify), "%s/notify.sock", setup.spool);
	(void)snprintf(setup.runner, sizeof(setup.runner), "%s/queue.sock",
	    setup_write("run"));
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *all;

	if (setup_begin(state_dir, out, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_WEBMAIL_ENABLED);
	out->workers = (unsigned)settings_int(all, SET_WEBMAIL_WORKERS);
	out->connections = (unsigned)settings_int(all, SET_WEBMAIL_CONNECTIONS);
	(void)snprintf(out->listeners[0].group, sizeof(out->listeners[0].group),
	    "%s", settings_text(all, SET_WEB_GROUP));
	settings_free(all);
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup_config()->user_web);
	if (setup_listen_at(
		"run/web/webmail.sock", SOCK_STREAM, 0660, 0, out, e) != 0)
		return -1;
	set_paths(out);
	return 0;
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct webmail *m = mem_zalloc(sizeof(*m));
	char name[64];
	int rc;

	m->mail_root_fd =
	    open(setup_config()->mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->mail_root_fd < 0)
		return err_errno(e, "%s", setup_config()->mail_root);
	m->state_fd = open(w->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m->state_fd < 0)
		return err_errno(e, "%s", w->state_dir);
	if (directory_open(w->state_dir, &m->directory, e) != 0)
		return -1;
	m->accountd = accountd_new(w->state_dir, "webmail-cgi");
	m->state_dir = setup_config()->state_dir;
	m->temp_dir = setup.cache;
	m->users_dir = setup.users;
	m->runner = accountd_at(setup.runner);
	m->mime = mime_new(w->state_dir);
	m->templates = template_set_new(w->state_dir, &webmail_assets);
	/* a worker that is being replaced may still write under its name */
	(void)snprintf(
	    name, sizeof(name), "webmail-%u-%d", w->index, (int)getpid());
	rc = spool_writer_open(
	    setup.spool, name, setup.notify, MINIMUM_FREE, &m->spool, e);
	w->data = m;
	if (rc != 0 || mailbox_start(w, m, setup.index, e) != 0)
		return -1;
	return web_start(&webmail_app, e);
}

static void
serve(struct worker *w, struct connection *c)
{
	web_serve(&webmail_app, w->data, c->fd, setup.cache, IO_TIMEOUT_MS);
}

static const struct service service = {
	.name = "webmail-cgi",
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
