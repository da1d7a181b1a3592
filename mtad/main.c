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
#include "directory/config.h"

#include "queue/spool_stat.h"

#include "mtad/mtad.h"

enum {
	STAT_OLD_MS = 30 * 1000, /* an older queue.stat says nothing */
	/* least free space when messages have no size limit */
	FREE_MIN = 64 * 1024 * 1024,
	GENERATIONS = 4,
	ROTATE_MS = 3600 * 1000,
};

static struct {
	char directory[CONFIG_PATH_SIZE], tls[CONFIG_PATH_SIZE],
	    run[CONFIG_PATH_SIZE], spool[CONFIG_PATH_SIZE],
	    log[CONFIG_PATH_SIZE], notify[CONFIG_PATH_SIZE],
	    stat[CONFIG_PATH_SIZE];
	const char *read_paths[6], *write_paths[5];
	struct limits *limits;        /* shared with the workers */
	struct tls_ticket_keys *keys; /* shared with the workers */
	struct service_config previous;
	unsigned generation; /* of the workers */
	int64_t rotated_ms;
} setup; /* by configure(), before workers are forked */

static struct mtad mtad; /* of the worker */
static int64_t tls_stamp;

static const struct {
	enum setting_id port;
	const char *name; /* also what separates the session tickets */
} kinds[MTAD_LOCAL] = {
	[MTAD_MX] = { SET_SMTP_PORT, "mx" },
	[MTAD_SUBMISSION] = { SET_SMTP_SUBMISSION_PORT, "submission" },
	[MTAD_SUBMISSIONS] = { SET_SMTP_SUBMISSIONS_PORT, "submissions" },
};

/* --- the supervisor's ------------------------------------------------------------ */

/* All ports on one address. */
static int
add_listeners(const struct settings *set, const struct ip *ip,
    struct service_config *out, struct err *e)
{
	int64_t offset = settings_int(set, SET_PORT_OFFSET);

	for (unsigned kind = 0; kind < MTAD_LOCAL; kind++) {
		int64_t port = settings_int(set, kinds[kind].port);
		struct listener *l;

		if (port == 0)
			continue;
		if (port + offset > UINT16_MAX)
			return err_set(e, ERR_PERM, "no port %lld",
			    (long long)(port + offset));
		if (out->listener_count == SERVICE_LISTENERS_MAX)
			return err_set(e, ERR_PERM, "too many addresses");
		l = &out->listeners[out->listener_count++];
		l->ip = *ip;
		l->port = (uint16_t)(port + offset);
		l->kind = kind;
	}
	return 0;
}

static int
set_listeners(
    const struct settings *set, struct service_config *out, struct err *e)
{
	enum setting_id id = settings_count(set, SET_SMTP_LISTEN) > 0
	    ? SET_SMTP_LISTEN
	    : SET_LISTEN;
	size_t count = settings_count(set, id);
	struct ip all = { 0 };

	if (count == 0)
		return add_listeners(set, &all, out, e);
	for (size_t i = 0; i < count; i++) {
		const char *text = settings_item(set, id, i);
		struct ip ip;

		if (!ip_parse(slice_str(text), &ip))
			return err_set(e, ERR_PERM,
			    "%s: not a single address: %s",
			    setting_table[id].name, text);
		if (add_listeners(set, &ip, out, e) != 0)
			return -1;
	}
	return 0;
}

/* For programs of this machine; who they are the kernel says. */
static int
add_local_listener(
    const struct config *c, struct service_config *out, struct err *e)
{
	struct listener *l;

	if (out->listener_count == SERVICE_LISTENERS_MAX)
		return err_set(e, ERR_PERM, "too many addresses");
	l = &out->listeners[out->listener_count++];
	l->socktype = SOCK_STREAM;
	l->mode = 0666;
	l->kind = MTAD_LOCAL;
	return config_path(c, l->path, sizeof(l->path), e, "run/submit.sock");
}

static int
set_paths(const struct config *c, struct service_config *out, struct err *e)
{
	if (config_path(c, out->log_dir, sizeof(out->log_dir), e, "log/mtad") !=
		0 ||
	    config_path(c, setup.directory, sizeof(setup.directory), e,
		"directory") != 0 ||
	    config_path(c, setup.tls, sizeof(setup.tls), e, "tls") != 0 ||
	    config_path(c, setup.run, sizeof(setup.run), e, "run") != 0 ||
	    config_path(c, setup.spool, sizeof(setup.spool), e, "spool") != 0 ||
	    config_path(c, setup.notify, sizeof(setup.notify), e,
		"spool/notify.sock") != 0 ||
	    config_path(
		c, setup.stat, sizeof(setup.stat), e, "run/queue.stat") != 0)
		return -1;
	(void)snprintf(setup.log, sizeof(setup.log), "%s", out->log_dir);
	setup.read_paths[0] = setup.directory;
	setup.read_paths[1] = setup.tls;
	setup.read_paths[2] = "/etc";
	setup.read_paths[3] = "/usr";
	setup.write_paths[0] = setup.spool;
	setup.write_paths[1] = setup.run;
	setup.write_paths[2] = setup.log;
	out->read_paths = setup.read_paths;
	out->write_paths = setup.write_paths;
	return 0;
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
	if (setup.keys == NULL)
		setup.keys = tls_ticket_keys_new();
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
	struct config c;
	int rc;

	if (config_load(state_dir, &c, e) != 0 ||
	    directory_read_settings(state_dir, &set, e) != 0)
		return -1;
	memset(out, 0, sizeof(*out));
	out->enabled = settings_bool(set, SET_MTAD_ENABLED);
	out->log_days = settings_int(set, SET_LOG_DAYS);
	out->workers = (unsigned)settings_int(set, SET_MTAD_WORKERS);
	out->connections = (unsigned)settings_int(set, SET_MTAD_CONNECTIONS);
	(void)snprintf(out->user, sizeof(out->user), "%s", c.user_mta);
	if (settings_choice(set, SET_RELAY_MODE) == POLICY_RELAY_ANYONE)
		log_warning("relay.mode is anyone: this is an open relay");
	rc = set_listeners(set, out, e);
	settings_free(set);
	if (rc != 0 || add_local_listener(&c, out, e) != 0 ||
	    set_paths(&c, out, e) != 0)
		return -1;
	return prepare_workers(out, e);
}

static bool
changed(const char *state_dir)
{
	static uint64_t seen;
	uint64_t now = directory_stamp(state_dir);
	bool differs = now != seen;
	int64_t now_ms = clock_mono_ms();

	seen = now;
	if (now_ms - setup.rotated_ms > ROTATE_MS) {
		setup.rotated_ms = now_ms;
		tls_ticket_keys_rotate(setup.keys);
	}
	return differs;
}

/* --- the worker's ------------------------------------------------------------------ */

/* Load the certificates; without any, TLS is not offered. */
static void
load_tls(struct mtad *m)
{
	int dir = open(setup.tls, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e;

	if (dir < 0) {
		log_warning(
		    "no TLS: %s: %s", setup.tls, strerrordesc_np(errno));
		return;
	}
	for (unsigned kind = 0; kind < MTAD_LOCAL; kind++) {
		struct tls_context *next, *old;

		if (tls_server_context_new(
			dir, setup.keys, kinds[kind].name, &next, &e) != 0) {
			log_warning("TLS certificates: %s", e.text);
			break;
		}
		(void)pthread_mutex_lock(&m->lock);
		old = m->tls[kind];
		m->tls[kind] = next;
		(void)pthread_mutex_unlock(&m->lock);
		if (old != NULL)
			tls_context_free(old);
	}
	(void)close(dir);
}

static void
check_tls(struct mtad *m)
{
	struct stat st;
	int64_t stamp;

	if (stat(setup.tls, &st) != 0)
		return;
	stamp = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (stamp == tls_stamp)
		return;
	tls_stamp = stamp;
	load_tls(m);
}

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
	check_tls(m);
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct mtad *m = &mtad;
	struct settings *set;
	char name[32];
	int rc;

	m->worker = w;
	w->data = m;
	m->limits = setup.limits;
	if (!w->is_inherited)
		limits_join(m->limits, w->index);
	(void)pthread_mutex_init(&m->lock, NULL);
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

/* Wake the sessions that wait for a command; they say 421. */
static void
worker_stop(struct worker *w)
{
	struct mtad *m = w->data;

	(void)pthread_mutex_lock(&m->lock);
	for (struct session *s = m->sessions; s != NULL; s = s->next) {
		if (atomic_load(&s->idle))
			(void)shutdown(s->stream.fd, SHUT_RD);
	}
	(void)pthread_mutex_unlock(&m->lock);
}

int
main(int argc, char **argv)
{
	static const struct service service = {
		.name = "mtad",
		.deny_exec = true,
		.configure = configure,
		.changed = changed,
		.worker_start = worker_start,
		.serve = session_serve,
		.busy = busy,
		.tick = tick,
		.worker_stop = worker_stop,
	};

	return service_main(&service, argc, argv);
}
