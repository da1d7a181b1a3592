/*
 * queue-runner: takes messages out of the spool and brings them to mailboxes
 * and other servers.  One worker process, since one runner owns a spool; in it
 *
 *  - queue.local_threads claiming threads: resolve, deliver locally, hand the
 *    rest to the lanes;
 *  - remote.threads sending threads (deliver_remote.c);
 *  - one publishing thread: flushes what was delivered and publishes it;
 *  - one settling thread: about once a second, or after many messages, a shared
 *    flush of the store, and then the settled marks (I1);
 *  - one thread that reads what envelopes lay here at the start, then ends;
 *  - the connection threads of the control socket (control.c);
 *  - the main thread's tick: settings, idle connections, run/queue.stat.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/setup.h"
#include "net/tls.h"
#include "proc/privilege.h"

#include "queue/age.h"
#include "queue/arrived.h"
#include "queue/control_server.h"
#include "queue/deliver_local.h"
#include "queue/deliver_remote.h"
#include "queue/job.h"
#include "queue/lanes.h"
#include "queue/mailboxes.h"
#include "queue/quota.h"
#include "queue/resolve.h"
#include "queue/runner.h"
#include "queue/selfcheck.h"
#include "queue/sign.h"
#include "queue/spool_stat.h"
#include "queue/staging.h"
#include "queue/tools.h"
#include "queue/trail.h"
#include "queue/watch.h"

enum {
	CONTROL_CONNECTIONS = 32,
	CLAIM_WAIT_MS = 500,
	SPOOL_WAIT_MS = 10000,
	SPOOL_PAUSE_US = 50000,
	JOBS_RETRY_MAX = 4500, /* then retries wait for first attempts */
	JOBS_MAX = 10000,      /* then all do; the lanes are full before */
	BIG_LOCAL = 500,       /* recipients; one such message at a time */
	BIG_LOCAL_WAIT_MS = 200,
	PUBLISH_MS = 10,           /* a delivery waits so long for company, */
	PUBLISH_PAUSE_MAX_MS = 50, /* and as long as the last flush took */
	SETTLE_LOOK_MS = 50,
	SETTLE_EVERY_MS = 1000,
	SETTLE_PENDING = 3000,
	FORWARDS_LOGGED = 100,
	READ_PAUSE_MS = 2,
	STOP_HURRY_MS = 2000, /* transfers under way are cut, */
	STOP_LAST_MS = 5000,  /* those at their end as well */
	STOP_MS = 6000,
};

static struct {
	const char *spool, *run;
	uid_t web_uid, admin_uid;
	char ca_file[CONFIG_PATH_SIZE];
} setup; /* by configure(), before workers are forked */

static struct runner runner; /* of the worker */

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *set;

	if (setup_begin(state_dir, out, &set, e) != 0)
		return -1;
	out->enabled = settings_bool(set, SET_QUEUE_ENABLED);
	snprintf(setup.ca_file, sizeof(setup.ca_file), "%s",
	    settings_text(set, SET_REMOTE_CA_FILE));
	settings_free(set);
	out->workers = 1;
	out->connections = CONTROL_CONNECTIONS;
	snprintf(
	    out->user, sizeof(out->user), "%s", setup_config()->user_queue);
	if (privilege_find_uid(setup_config()->user_web, &setup.web_uid, e) !=
		0 ||
	    privilege_find_uid(
		setup_config()->user_admin, &setup.admin_uid, e) != 0 ||
	    setup_listen_at("run/queue.sock", SOCK_SEQPACKET,
		out->user[0] != '\0' ? 0666 : 0600, 0, out, e) != 0)
		return -1;
	setup_paths("log/queue-runner", out);
	(void)setup_read("directory");
	(void)setup_read("/etc");
	(void)setup_read("/usr");
	if (setup.ca_file[0] != '\0')
		(void)setup_read(setup.ca_file);
	setup.spool = setup_write("spool");
	(void)setup_write(setup_config()->mail_root);
	(void)setup_write("users"); /* what deleted accounts left */
	setup.run = setup_write("run");
	(void)setup_write("/dev/shm"); /* the live marks */
	return 0;
}

/* --- Claiming ---------------------------------------------------------------- */

struct visit {
	struct job *job;
	bool opened;
	struct buf head; /* the message's header */
};

/* Has the message been delivered at this address before (E03)? */
static bool
was_at(void *arg, const char *address)
{
	struct visit *v = arg;

	if (!v->opened) {
		v->opened = true;
		trail_read_head(v->job->item, &v->head);
	}
	return trail_was_at(buf_slice(&v->head), address);
}

/* Whom an alias, a forward or a list leads to; of a long list not all. */
static void
log_forwards(const struct job *j)
{
	const struct envelope *v = &j->item->envelope;
	struct log_line l;
	size_t n = 0;

	for (size_t i = 0; i < v->recipient_count && n < FORWARDS_LOGGED; i++) {
		const struct envelope_recipient *r = &v->recipients[i];

		if ((r->flags & RECIPIENT_FORWARDED) == 0)
			continue;
		n++;
		log_begin(&l, "forward", NULL, j->item->id);
		log_str(&l, "from", v->sender);
		log_str(&l, "to", r->address);
		log_str(&l, "orig_to", r->delivered_to);
		log_end(&l);
	}
}

/* Find out where the recipients are.  -1: not now. */
static int
resolve(struct job *j, struct pool *scratch)
{
	struct visit visit = { .job = j };
	struct resolve_context c = { j->runner->directory, j->settings, was_at,
		&visit, scratch };
	bool followed;
	struct err e;

	buf_init(&visit.head, TRAIL_HEAD_MAX);
	spool_item_danger(j->item, true);
	followed = resolve_recipients(&c, &j->item->envelope, &j->item->pool);
	spool_item_danger(j->item, false);
	buf_release(&visit.head);
	if (!followed)
		return 0;
	if (spool_update(j->item, &e) == 0) {
		log_forwards(j);
		return 0;
	}
	log_warning(
	    "%s: cannot record its recipients: %s", j->item->id, e.text);
	return -1;
}

static size_t
count_local(const struct envelope *v)
{
	size_t i, n = 0;

	for (i = 0; i < v->recipient_count; i++)
		n += v->recipients[i].state == RECIPIENT_WAITING &&
		    v->recipients[i].kind == RECIPIENT_LOCAL;
	return n;
}

/* Work on one message until nothing more can be done at once. */
static void
work(struct runner *r, struct spool_item *item, struct pool *scratch)
{
	struct job *j = job_new(r, item, directory_settings(r->directory));
	bool big;

	job_recover(j);
	if (resolve(j, scratch) != 0) {
		job_release(j, job_retry_ms(j->settings, 1));
		job_unref(j);
		return;
	}
	job_note_failures(j);
	big = count_local(&item->envelope) > BIG_LOCAL;
	if (big && atomic_fetch_add(&r->big_local, 1) > 0) {
		/* one such message at a time leaves a thread for letters */
		atomic_fetch_sub(&r->big_local, 1);
		job_release(j, BIG_LOCAL_WAIT_MS);
		job_unref(j);
		return;
	}
	deliver_local(j);
	if (big)
		atomic_fetch_sub(&r->big_local, 1);
	deliver_remote(j);
	job_unref(j);
}

static void
nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void
claim_thread(struct worker *w, void *arg)
{
	struct pool scratch = { 0 };
	struct runner *r = arg;
	struct spool_item *item;
	struct err e;

	(void)w;
	while (!service_stopping()) {
		if (atomic_load(&r->jobs) >= JOBS_MAX) {
			nap(20);
			continue;
		}
		if (spool_claim(r->spool, CLAIM_WAIT_MS, &item, &e) != 0) {
			log_error("claiming from the spool: %s", e.text);
			nap(1000);
			continue;
		}
		if (item != NULL)
			work(r, item, &scratch);
	}
	pool_release(&scratch);
}

/* --- Publishing and settling ------------------------------------------------------------------ */

/* The runner stops, and nothing is under way or its time is over. */
static bool
may_stop(struct runner *r, int64_t *stop_ms)
{
	int64_t now = clock_mono_ms();

	if (!service_stopping())
		return false;
	if (*stop_ms == 0)
		*stop_ms = now + STOP_MS;
	return now >= *stop_ms || atomic_load(&r->jobs) == 0;
}

static void
publish_thread(struct worker *w, void *arg)
{
	struct runner *r = arg;
	int64_t stop_ms = 0;

	(void)w;
	while (!may_stop(r, &stop_ms)) {
		int64_t began, took;

		nap(PUBLISH_MS);
		if (staging_count(r->staging) == 0)
			continue;
		began = clock_mono_ms();
		staging_publish(r);
		took = clock_mono_ms() - began;
		nap(took < PUBLISH_PAUSE_MAX_MS ? took : PUBLISH_PAUSE_MAX_MS);
	}
}

static void
settle_thread(struct worker *w, void *arg)
{
	struct runner *r = arg;
	int64_t last_ms = clock_mono_ms(), stop_ms = 0;

	(void)w;
	while (!may_stop(r, &stop_ms)) {
		nap(SETTLE_LOOK_MS);
		if (stop_ms != 0 &&
		    clock_left_ms(stop_ms) < STOP_MS - STOP_HURRY_MS)
			deliver_remote_hurry(
			    r, clock_left_ms(stop_ms) < STOP_MS - STOP_LAST_MS);
		mailboxes_expire(r->mailboxes);
		if (clock_mono_ms() - last_ms < SETTLE_EVERY_MS &&
		    spool_flush_pending(r->spool) < SETTLE_PENDING)
			continue;
		last_ms = clock_mono_ms();
		staging_settle(r);
	}
	staging_settle(r);
}

/* What lay in the spool at the start is read once, beside the delivery. */
static void
read_thread(struct worker *w, void *arg)
{
	const struct runner *r = arg;
	char at[ID_SIZE] = "";

	(void)w;
	while (!service_stopping() && spool_read_on(r->spool, at))
		nap(READ_PAUSE_MS);
}

/* --- The worker ---------------------------------------------------------------- */

static int
open_tls(struct runner *r, const struct settings *s, struct err *e)
{
	const char *ca = settings_text(s, SET_REMOTE_CA_FILE);

	if (ca[0] == '\0')
		ca = NULL;
	if (tls_client_context_new(TLS_VERIFY_NONE, NULL, &r->tls_any, e) != 0)
		return -1;
	return tls_client_context_new(TLS_VERIFY_NAME, ca, &r->tls_verified, e);
}

/*
 * A worker whose supervisor was killed may still be finishing: its successor
 * waits for the spool instead of giving up.
 */
static int
open_spool(const char *notify, struct spool **out, struct err *e)
{
	int64_t until = clock_mono_ms() + SPOOL_WAIT_MS;

	while (spool_open(setup.spool, notify, out, e) != 0) {
		if (e->kind != ERR_TEMP || clock_mono_ms() > until)
			return -1;
		usleep(SPOOL_PAUSE_US);
	}
	return 0;
}

static struct age *
open_age(const struct settings *s)
{
	char path[CONFIG_PATH_SIZE + 16];
	struct spool_stat st;
	struct err e;

	snprintf(path, sizeof(path), "%s/queue.stat", setup.run);
	if (spool_stat_read(path, &st, &e) != 0)
		st.steady_ms = 0;
	return age_new(
	    st.steady_ms, settings_int(s, SET_QUEUE_EXPIRE) * INT64_C(1000));
}

static int
open_all(struct runner *r, struct err *e)
{
	char notify[CONFIG_PATH_SIZE + 16];
	int fd;

	snprintf(notify, sizeof(notify), "%s/notify.sock", setup.spool);
	fd =
	    open(setup_config()->mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", setup_config()->mail_root);
	r->mail_root_fd = fd;
	r->mailboxes = mailboxes_new(fd);
	r->staging = staging_new(fd);
	if (directory_open(r->state_dir, &r->directory, e) != 0 ||
	    spool_create(setup.spool, e) != 0 ||
	    open_spool(notify, &r->spool, e) != 0)
		return -1;
	return spool_writer_open(
	    setup.spool, "queue-runner", notify, 0, &r->writer, e);
}

static int
start_threads(struct runner *r, const struct settings *s, struct err *e)
{
	unsigned local = (unsigned)settings_int(s, SET_QUEUE_LOCAL_THREADS);
	unsigned remote = (unsigned)settings_int(s, SET_REMOTE_THREADS);
	unsigned i;

	r->lanes = lanes_new(remote);
	if (worker_thread(r->worker, "publish", 0, publish_thread, r, e) != 0 ||
	    worker_thread(r->worker, "settle", 0, settle_thread, r, e) != 0 ||
	    worker_thread(r->worker, "read", 0, read_thread, r, e) != 0)
		return -1;
	for (i = 0; i < local; i++)
		if (worker_thread(r->worker, "claim", 0, claim_thread, r, e) !=
		    0)
			return -1;
	if (selfcheck_start(r, e) != 0 || tools_start(r, e) != 0 ||
	    watch_start(r, e) != 0)
		return -1;
	return deliver_remote_start(r, remote, e);
}

/*
 * What may be claimed, by the setting queue.suspended and the load.  A runner
 * for one command of the command line delivers nothing.
 */
static void
set_gate(struct runner *r, const struct settings *s)
{
	enum {
		NO,
		REMOTE,
		ALL
	};

	int was = r->suspended;

	r->suspended = settings_choice(s, SET_QUEUE_SUSPENDED);
	spool_set_gate(r->spool,
	    r->suspended == ALL || r->worker->is_inherited ? SPOOL_NOTHING
		: atomic_load(&r->jobs) > JOBS_RETRY_MAX   ? SPOOL_NEW_ONLY
							   : SPOOL_ALL);
	if (was != NO && r->suspended == NO)
		control_wake_suspended(r);
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct runner *r = &runner;
	struct settings *s;
	int rc;

	r->worker = w;
	r->state_dir = w->state_dir;
	r->web_uid = setup.web_uid;
	r->admin_uid = setup.admin_uid;
	r->started_ms = clock_wall_ms();
	w->data = r;
	if (open_all(r, e) != 0)
		return -1;
	r->accountd = accountd_new(w->state_dir, "queue-runner");
	r->arrived = arrived_new(r->spool);
	r->quota = quota_new();
	r->sign = sign_new(r->accountd);
	r->selfcheck = selfcheck_new();
	r->tools = tools_new();
	s = directory_settings(r->directory);
	r->age = open_age(s);
	set_gate(r, s);
	rc = open_tls(r, s, e);
	if (rc == 0)
		rc = start_threads(r, s, e);
	settings_free(s);
	return rc;
}

static void
tick(struct worker *w)
{
	struct runner *r = w->data;
	struct settings *s = directory_settings(r->directory);

	set_gate(r, s);
	settings_free(s);
	lanes_tick(r->lanes);
	control_write_stat(r);
}

static void
worker_stop(struct worker *w)
{
	struct runner *r = w->data;

	spool_set_gate(r->spool, SPOOL_NOTHING);
	spool_wake(r->spool);
	deliver_remote_stop(r);
}

static void
serve(struct worker *w, struct connection *c)
{
	control_serve(w->data, c->fd);
}

int
main(int argc, char **argv)
{
	static const struct service service = {
		.name = "queue-runner",
		.deny_exec = true,
		.configure = configure,
		.changed = setup_changed,
		.worker_start = worker_start,
		.serve = serve,
		.tick = tick,
		.worker_stop = worker_stop,
	};

	return service_main(&service, argc, argv);
}
