/*
 * webmail-cgi: webmail behind a web server's FastCGI.  Settings to the one
 * listener, and what workers share; the pages are in the other files.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "directory/config.h"
#include "proc/service.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/webmail.h"

enum {
	PATHS_MAX = 10,
	IO_TIMEOUT_MS = 30000,
	STACK_SIZE = 256 * 1024,
	MINIMUM_FREE = 64 * 1024 * 1024,
	KEPT_FREE = 1024 * 1024, /* of a thread arena's memory */
};

/* Set by configure() in the supervisor, inherited by workers. */
static struct {
	struct config config;
	uint64_t stamp;
	char paths[PATHS_MAX][CONFIG_PATH_SIZE];
	char notify[CONFIG_PATH_SIZE], runner[CONFIG_PATH_SIZE];
	const char *read_paths[PATHS_MAX + 2], *write_paths[PATHS_MAX + 2];
} setup;

enum path {
	PATH_DIRECTORY,
	PATH_WEB,
	PATH_DOMAINS,
	PATH_RUN,
	PATH_SPOOL,
	PATH_CACHE,
	PATH_INDEX,
	PATH_USERS,
	PATH_LOG,
};

static int
set_paths(struct service_config *out, struct err *e)
{
	static const char *const inside[] = { "directory", "web", "domains",
		"run", "spool", "cache/web", "cache/index", "users",
		"log/webmail-cgi" };
	size_t readers = 0, writers = 0;

	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		if (config_path(&setup.config, setup.paths[i],
			sizeof(setup.paths[i]), e, "%s", inside[i]) != 0)
			return -1;
		if (i < PATH_RUN)
			setup.read_paths[readers++] = setup.paths[i];
		else
			setup.write_paths[writers++] = setup.paths[i];
	}
	setup.read_paths[readers] = "/usr/share/zoneinfo";
	/* SQLite's readers write their marks into the -shm file */
	setup.write_paths[writers++] = setup.paths[PATH_DIRECTORY];
	setup.write_paths[writers] = setup.config.mail_root;
	out->read_paths = setup.read_paths;
	out->write_paths = setup.write_paths;
	(void)snprintf(
	    out->log_dir, sizeof(out->log_dir), "%s", setup.paths[PATH_LOG]);
	if (config_path(&setup.config, setup.runner, sizeof(setup.runner), e,
		"run/queue.sock") != 0)
		return -1;
	return config_path(&setup.config, setup.notify, sizeof(setup.notify), e,
	    "spool/notify.sock");
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct listener *l = &out->listeners[0];
	struct settings *all;

	if (config_load(state_dir, &setup.config, e) != 0)
		return -1;
	setup.stamp = directory_stamp(state_dir);
	if (directory_read_settings(state_dir, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_WEBMAIL_ENABLED);
	out->log_days = settings_int(all, SET_LOG_DAYS);
	out->workers = (unsigned)settings_int(all, SET_WEBMAIL_WORKERS);
	out->connections = (unsigned)settings_int(all, SET_WEBMAIL_CONNECTIONS);
	(void)snprintf(l->group, sizeof(l->group), "%s",
	    settings_text(all, SET_WEB_GROUP));
	settings_free(all);
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup.config.user_web);
	if (config_path(&setup.config, l->path, sizeof(l->path), e,
		"run/web/webmail.sock") != 0)
		return -1;
	l->socktype = SOCK_STREAM;
	l->mode = 0660;
	out->listener_count = 1;
	return set_paths(out, e);
}

static bool
changed(const char *state_dir)
{
	return directory_stamp(state_dir) != setup.stamp;
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct webmail *m = mem_zalloc(sizeof(*m));
	char name[64];
	int rc;

	/*
	 * One batch of an index would teach malloc to keep 8 MB free at the end
	 * of each arena, which malloc_trim() does not give back.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_FREE); /* NOLINT */
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE); /* NOLINT */
	m->mail_root_fd =
	    open(setup.config.mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->mail_root_fd < 0)
		return err_errno(e, "%s", setup.config.mail_root);
	m->state_fd = open(w->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m->state_fd < 0)
		return err_errno(e, "%s", w->state_dir);
	if (directory_open(w->state_dir, &m->directory, e) != 0)
		return -1;
	m->accountd = accountd_new(w->state_dir, "webmail-cgi");
	m->state_dir = setup.config.state_dir;
	m->temp_dir = setup.paths[PATH_CACHE];
	m->users_dir = setup.paths[PATH_USERS];
	m->runner = accountd_at(setup.runner);
	m->mime = mime_new(w->state_dir);
	m->templates = template_set_new(w->state_dir, &webmail_assets);
	/* a worker that is being replaced may still write under its name */
	(void)snprintf(
	    name, sizeof(name), "webmail-%u-%d", w->index, (int)getpid());
	rc = spool_writer_open(setup.paths[PATH_SPOOL], name, setup.notify,
	    MINIMUM_FREE, &m->spool, e);
	w->data = m;
	if (rc != 0 || mailbox_start(w, m, setup.paths[PATH_INDEX], e) != 0)
		return -1;
	return web_start(&webmail_app, e);
}

static void
serve(struct worker *w, struct connection *c)
{
	web_serve(&webmail_app, w->data, c->fd, setup.paths[PATH_CACHE],
	    IO_TIMEOUT_MS);
}

static const struct service service = {
	.name = "webmail-cgi",
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
