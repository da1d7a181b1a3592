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
	struct limits *limits;
	const char *tls, *cache;
} setup;

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *all;
	int rc;

	(void)setup_ticket_keys(); /* before workers are forked */
	if (setup.limits == NULL)
		setup.limits = limits_new();
	if (setup.limits == NULL)
		return err_set(e, ERR_TEMP, "no shared memory");
	if (setup_begin(state_dir, out, &all, e) != 0)
		return -1;
	out->enabled = settings_bool(all, SET_POPD_ENABLED);
	out->workers = (unsigned)settings_int(all, SET_POPD_WORKERS);
	out->connections = (unsigned)settings_int(all, SET_POPD_CONNECTIONS);
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup_config()->user_pop);
	rc = setup_listen(
	    all, SET_POPD_LISTEN, SET_POPD_PORT, POPD_PLAIN, out, e);
	if (rc == 0)
		rc = setup_listen(
		    all, SET_POPD_LISTEN, SET_POPD_TLS_PORT, POPD_TLS, out, e);
	settings_free(all);
	if (rc != 0)
		return -1;
	setup_paths("log/popd", out);
	setup.tls = setup_read("tls");
	(void)setup_read("run");
	/* SQLite's readers write their marks into the -shm file */
	(void)setup_write("directory");
	(void)setup_write(setup_config()->mail_root);
	setup.cache = setup_write("cache/pop");
	return 0;
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
	p->store.mail_root_fd =
	    open(setup_config()->mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->store.mail_root_fd < 0)
		return err_errno(e, "%s", setup_config()->mail_root);
	p->tls.dir = setup.tls;
	p->tls.keys = setup_ticket_keys();
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
	.changed = setup_changed,
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
