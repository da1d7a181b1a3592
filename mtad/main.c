/*
 * mtad: the SMTP server.  Here is only what makes a service of it: which
 * addresses and ports, what a worker opens, certificates that change while it
 * runs, and how it stops.  What is spoken is session.c.
 *
 * The supervisor runs configure() and changed(); the rest runs in workers:
 * tick() and stop on the main thread, sessions on pool threads.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "directory/setup.h"

#include "queue/spool_stat.h"

#include "mtad/mtad.h"

enum {
	STAT_OLD_MS = 30 * 1000, /* an older queue.stat says nothing */
	/* least free space when messages have no size limit */
	FREE_MIN = 64 * 1024 * 1024,
	GENERATIONS = 4,
};

static struct {
	const char *tls, *spool;
	char notify[CONFIG_PATH_SIZE], stat[CONFIG_PATH_SIZE];
	struct limits *limits; /* shared with the workers */
	struct service_config previous;
	unsigned generation; /* of the workers */
} setup;                     /* by configure(), before workers are forked */

static struct mtad mtad; /* of the worker */

static const struct {
	enum setting_id port;
	const char *name; /* also what separates the session tickets */
} kinds[MTAD_LOCAL] = {
	[MTAD_MX] = { SET_SMTP_PORT, "mx" },
	[MTAD_SUBMISSION] = { SET_SMTP_SUBMISSION_PORT, "submission" },
	[MTAD_SUBMISSIONS] = { SET_SMTP_SUBMISSIONS_PORT, "submissions" },
};

/* --- the supervisor's ------------------------------------------------------------ */

static int
set_listeners(
    const struct settings *set, struct service_config *out, struct err *e)
{
	for (unsigned kind = 0; kind < MTAD_LOCAL; kind++) {
		if (setup_listen(set, SET_SMTP_LISTEN, kinds[kind].port, kind,
			out, e) != 0)
			return -1;
	}
	/* for programs of this machine; who they are the kernel says */
	return setup_listen_at(
	    "run/submit.sock", SOCK_STREAM, 0666, MTAD_LOCAL, out, e);
}

static void
set_paths(struct service_config *out)
{
	setup_paths("log/mtad", out);
	(void)setup_read("directory");
	setup.tls = setup_read("tls");
	(void)setup_read("/etc");
	(void)setup_read("/usr");
	setup.spool = setup_write("spool");
	(void)snprintf(
	    setup.notify, sizeof(setup.notify), "%s/notify.sock", setup.spool);
	(void)snprintf(setup.stat, sizeof(setup.stat), "%s/queue.stat",
	    setup_write("run"));
}

static bool
same_listeners(const struct service_config *a, const struct service_config *b)
{
	for (size_t i = 0; i < a->listener_count; i++) {
		const struct listener *x = &a->listeners[i];
		const struct listener *y = &b->listeners[i];

		if (!ip_eq(&x->ip, &y->ip) || x->port != y->port ||
		    x->kind != y->kind)
			return false;
	}
	return true;
}

/* What workers share, made once; and which generation of them it will be. */
static int
prepare_workers(const struct service_config *next, struct err *e)
{
	struct service_config *old = &setup.previous;

	if (setup.limits == NULL)
		setup.limits = limits_new();
	if (setup.limits == NULL)
		return err_errno(e, "memory for limits");
	(void)setup_ticket_keys();
	if (next->workers != old->workers ||
	    next->connections != old->connections ||
	    next->listener_count != old->listener_count ||
	    !same_listeners(next, old))
		setup.generation++;
	*old = *next;
	return 0;
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *set;
	int rc;

	if (setup_begin(state_dir, out, &set, e) != 0)
		return -1;
	out->enabled = settings_bool(set, SET_MTAD_ENABLED);
	out->workers = (unsigned)settings_int(set, SET_MTAD_WORKERS);
	out->connections = (unsigned)settings_int(set, SET_MTAD_CONNECTIONS);
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup_config()->user_mta);
	if (settings_choice(set, SET_RELAY_MODE) == POLICY_RELAY_ANYONE)
		log_warning("relay.mode is anyone: this is an open relay");
	rc = set_listeners(set, out, e);
	settings_free(set);
	if (rc != 0 || prepare_workers(out, e) != 0)
		return -1;
	set_paths(out);
	return 0;
}

/* --- the worker's ------------------------------------------------------------------ */

static uint64_t
minimum_free(const struct settings *set)
{
	uint64_t max = (uint64_t)settings_int(set, SET_MESSAGE_MAX_BYTES);

	return max > 0 ? max + max / 2 : FREE_MIN;
}

static bool
is_queue_full(const struct settings *set)
{
	int64_t max = settings_int(set, SET_QUEUE_MAX_MESSAGES);
	struct spool_stat st;
	struct err e;

	return max > 0 && spool_stat_read(setup.stat, &st, &e) == 0 &&
	    clock_wall_ms() - st.written_ms < STAT_OLD_MS &&
	    st.active + st.deferred + st.held >= (uint64_t)max;
}

static void
tick(struct worker *w)
{
	struct mtad *m = w->data;
	struct settings *set = directory_settings(m->directory);

	atomic_store(&m->queue_full, is_queue_full(set));
	spool_writer_set_minimum_free(m->spool, minimum_free(set));
	settings_free(set);
	tls_server_tick(&m->tls);
	session_end_waits(m);
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct mtad *m = &mtad;
	struct settings *set;
	char name[32];
	int rc;

	m->worker = w;
	m->resume = service_resume;
	w->data = m;
	m->limits = setup.limits;
	if (!w->is_inherited)
		limits_join(m->limits, w->index);
	(void)pthread_mutex_init(&m->lock, NULL);
	m->tls.dir = setup.tls;
	m->tls.keys = setup_ticket_keys();
	for (unsigned kind = 0; kind < MTAD_LOCAL; kind++)
		m->tls.purposes[kind] = kinds[kind].name;
	if (tls_server_start(&m->tls, e) != 0)
		log_warning("no TLS: %s", e->text);
	if (directory_open(w->state_dir, &m->directory, e) != 0)
		return -1;
	m->accountd = accountd_new(w->state_dir, "mtad");
	/* a worker that is being replaced may still write under its name */
	(void)snprintf(name, sizeof(name), "mtad-%u%c", w->index,
	    (char)('a' + setup.generation % GENERATIONS));
	if (w->is_inherited)
		(void)snprintf(name, sizeof(name), "submit");
	set = directory_settings(m->directory);
	rc = spool_writer_open(
	    setup.spool, name, setup.notify, minimum_free(set), &m->spool, e);
	settings_free(set);
	if (rc != 0)
		return -1;
	tick(w);
	return 0;
}

/* No thread is left: say so and let the peer come again. */
static void
busy(struct worker *w, const struct connection *c)
{
	static const char text[] = "421 4.3.2 Too many connections\r\n";

	(void)w;
	if (c->kind != MTAD_SUBMISSIONS)
		(void)send(
		    c->fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
worker_stop(struct worker *w)
{
	session_end_waits(w->data);
}

int
main(int argc, char **argv)
{
	static const struct service service = {
		.name = "mtad",
		.deny_exec = true,
		.configure = configure,
		.changed = setup_changed,
		.worker_start = worker_start,
		.turn = session_turn,
		.busy = busy,
		.tick = tick,
		.worker_stop = worker_stop,
	};

	return service_main(&service, argc, argv);
}
