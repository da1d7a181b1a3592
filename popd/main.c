/*
 * popd: the POP3 server.  Settings to listeners, what workers share, and the
 * certificates' reload; the protocol is in session.c.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "directory/config.h"

#include "popd/popd.h"

enum {
	PATHS_MAX = 6
};

/* Set by configure() in the supervisor, inherited by workers. */
static struct {
	struct config config;
	struct tls_ticket_keys *keys;
	struct limits *limits;
	uint64_t stamp;
	char paths[PATHS_MAX][CONFIG_PATH_SIZE];
	const char *read_paths[PATHS_MAX + 1], *write_paths[PATHS_MAX + 1];
} setup;

/* --- configuration ------------------------------------------------------------- */

static void
add_listener(struct service_config *out, const struct ip *ip, int64_t port,
    int64_t offset, enum popd_kind kind)
{
	struct listener *l;

	if (port == 0 || port + offset > 65535 ||
	    out->listener_count >= SERVICE_LISTENERS_MAX)
		return;
	l = &out->listeners[out->listener_count++];
	l->ip = *ip;
	l->port = (uint16_t)(port + offset);
	l->kind = kind;
}

/* Both ports on each address; no address means all. */
static int
add_listeners(
    const struct settings *all, struct service_config *out, struct err *e)
{
	enum setting_id list = settings_count(all, SET_POPD_LISTEN) > 0
	    ? SET_POPD_LISTEN
	    : SET_LISTEN;
	int64_t offset = settings_int(all, SET_PORT_OFFSET);
	size_t count = settings_count(all, list);
	struct ip ip = { { 0 } };

	for (size_t i = 0; i < count || i == 0; i++) {
		if (count > 0 &&
		    !ip_parse(slice_str(settings_item(all, list, i)), &ip))
			return err_set(e, ERR_PERM, "%s: not an address",
			    settings_item(all, list, i));
		add_listener(out, &ip, settings_int(all, SET_POPD_PORT), offset,
		    POPD_PLAIN);
		add_listener(out, &ip, settings_int(all, SET_POPD_TLS_PORT),
		    offset, POPD_TLS);
	}
	return 0;
}

static int
set_paths(struct service_config *out, struct err *e)
{
	static const char *const inside[] = { "directory", "tls", "run",
		"log/popd", "cache/pop" };

	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		if (config_path(&setup.config, setup.paths[i],
			sizeof(setup.paths[i]), e, "%s", inside[i]) != 0)
			return -1;
	}
	setup.read_paths[0] = setup.paths[0];
	setup.read_paths[1] = setup.paths[1];
	setup.read_paths[2] = setup.paths[2];
	/* SQLite's readers write their marks into the -shm file */
	setup.write_paths[0] = setup.paths[0];
	setup.write_paths[1] = setup.paths[3];
	setup.write_paths[2] = setup.config.mail_root;
	setup.write_paths[3] = setup.paths[4];
	out->read_paths = setup.read_paths;
	out->write_paths = setup.write_paths;
	(void)snprintf(
	    out->log_dir, sizeof(out->log_dir), "%s", setup.paths[3]);
	return 0;
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *all;
	int rc;

	if (config_load(state_dir, &setup.config, e) != 0)
		return -1;
	if (setup.keys == NULL)
		setup.keys = tls_ticket_keys_new();
	if (setup.limits == NULL)
		setup.limits = limits_new();
	if (setup.limits == NULL)
		return err_set(e, ERR_TEMP, "no shared memory");
	setup.stamp = directory_stamp(state_dir);
	if (directory_read_settings(state_dir, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_POPD_ENABLED);
	out->log_days = settings_int(all, SET_LOG_DAYS);
	out->workers = (unsigned)settings_int(all, SET_POPD_WORKERS);
	out->connections = (unsigned)settings_int(all, SET_POPD_CONNECTIONS);
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup.config.user_pop);
	rc = add_listeners(all, out, e);
	settings_free(all);
	return rc == 0 ? set_paths(out, e) : -1;
}

static bool
changed(const char *state_dir)
{
	return directory_stamp(state_dir) != setup.stamp;
}

/* --- the worker ------------------------------------------------------------------- */

static int
open_below_state(struct err *e, const char *name, int *out)
{
	char path[CONFIG_PATH_SIZE * 2];

	if (config_path(&setup.config, path, sizeof(path), e, "%s", name) != 0)
		return -1;
	*out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *out < 0 ? err_errno(e, "%s", path) : 0;
}

/* A context of what lies in tls/ now, and when that was last changed. */
static int
load_certificates(
    struct tls_context **out, struct timespec *changed_out, struct err *e)
{
	struct stat st;
	int fd, rc = -1;

	if (open_below_state(e, "tls", &fd) != 0)
		return -1;
	if (fstat(fd, &st) != 0)
		(void)err_errno(e, "tls");
	else
		rc = tls_server_context_new(fd, setup.keys, "pop3", out, e);
	(void)close(fd);
	if (rc == 0)
		*changed_out = st.st_mtim;
	return rc;
}

/* New certificates are taken up; connections keep what they began with. */
static void
tick(struct worker *w)
{
	struct popd *p = w->data;
	struct tls_context *next, *old;
	struct stat st;
	struct err e;

	if (stat(setup.paths[1], &st) != 0 ||
	    (st.st_mtim.tv_sec == p->tls_changed.tv_sec &&
		st.st_mtim.tv_nsec == p->tls_changed.tv_nsec))
		return;
	if (load_certificates(&next, &p->tls_changed, &e) != 0) {
		p->tls_changed = st.st_mtim; /* say it once */
		log_error("certificates not reloaded: %s", e.text);
		return;
	}
	(void)pthread_mutex_lock(&p->lock);
	old = p->tls;
	p->tls = next;
	(void)pthread_mutex_unlock(&p->lock);
	tls_context_free(old);
	log_info("certificates reloaded");
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct popd *p = mem_zalloc(sizeof(*p));

	p->worker = w;
	p->limits = setup.limits;
	limits_join(p->limits, w->index);
	(void)pthread_mutex_init(&p->lock, NULL);
	/* a cache that is not there is not used */
	p->store.cache_fd =
	    open(setup.paths[4], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->store.mail_root_fd =
	    open(setup.config.mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->store.mail_root_fd < 0)
		return err_errno(e, "%s", setup.config.mail_root);
	if (load_certificates(&p->tls, &p->tls_changed, e) != 0 ||
	    directory_open(w->state_dir, &p->directory, e) != 0)
		return -1;
	p->accountd = accountd_new(w->state_dir, "popd");
	w->data = p;
	return 0;
}

struct tls_context *
popd_tls(struct popd *p)
{
	struct tls_context *ctx;

	(void)pthread_mutex_lock(&p->lock);
	ctx = p->tls != NULL ? tls_context_ref(p->tls) : NULL;
	(void)pthread_mutex_unlock(&p->lock);
	return ctx;
}

/* Wake the sessions that wait for their clients; nothing is deleted. */
static void
worker_stop(struct worker *w)
{
	struct popd *p = w->data;

	(void)pthread_mutex_lock(&p->lock);
	for (struct session *s = p->sessions; s != NULL; s = s->next) {
		if (atomic_load(&s->idle))
			(void)shutdown(s->stream.fd, SHUT_RD);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

static const struct service service = {
	.name = "popd",
	.deny_outgoing = true,
	.deny_exec = true,
	.configure = configure,
	.changed = changed,
	.worker_start = worker_start,
	.tick = tick,
	.serve = pop3_serve,
	.busy = pop3_busy,
	.worker_stop = worker_stop,
};

int
main(int argc, char **argv)
{
	return service_main(&service, argc, argv);
}
