/*
 * popd: the POP3 server.  Settings to listeners, and what workers share; the
 * protocol is in session.c.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "directory/setup.h"

#include "popd/popd.h"

/* Set by configure() in the supervisor, inherited by workers. */
static struct {
	struct setup common;
	struct tls_ticket_keys *keys;
	struct limits *limits;
	const char *tls, *cache;
} setup;

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *all;
	int rc;

	if (setup.keys == NULL)
		setup.keys = tls_ticket_keys_new();
	if (setup.limits == NULL)
		setup.limits = limits_new();
	if (setup.limits == NULL)
		return err_set(e, ERR_TEMP, "no shared memory");
	if (setup_begin(&setup.common, state_dir, out, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_POPD_ENABLED);
	out->workers = (unsigned)settings_int(all, SET_POPD_WORKERS);
	out->connections = (unsigned)settings_int(all, SET_POPD_CONNECTIONS);
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup.common.config.user_pop);
	rc = setup_listen(
	    all, SET_POPD_LISTEN, SET_POPD_PORT, POPD_PLAIN, out, e);
	if (rc == 0)
		rc = setup_listen(
		    all, SET_POPD_LISTEN, SET_POPD_TLS_PORT, POPD_TLS, out, e);
	settings_free(all);
	if (rc != 0)
		return -1;
	setup_paths(&setup.common, "log/popd", out);
	setup.tls = setup_read(&setup.common, "tls");
	(void)setup_read(&setup.common, "run");
	/* SQLite's readers write their marks into the -shm file */
	(void)setup_write(&setup.common, "directory");
	(void)setup_write(&setup.common, setup.common.config.mail_root);
	setup.cache = setup_write(&setup.common, "cache/pop");
	return 0;
}

static bool
changed(const char *state_dir)
{
	return setup_changed(&setup.common, state_dir);
}

/* --- the worker ------------------------------------------------------------------- */

static void
tick(struct worker *w)
{
	struct popd *p = w->data;

	tls_server_tick(&p->tls);
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
	    open(setup.cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->store.mail_root_fd = open(
	    setup.common.config.mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->store.mail_root_fd < 0)
		return err_errno(e, "%s", setup.common.config.mail_root);
	p->tls.dir = setup.tls;
	p->tls.keys = setup.keys;
	p->tls.purposes[0] = "pop3";
	/* nobody signs in without */
	if (tls_server_start(&p->tls, e) != 0 ||
	    directory_open(w->state_dir, &p->directory, e) != 0)
		return -1;
	p->accountd = accountd_new(w->state_dir, "popd");
	w->data = p;
	return 0;
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
