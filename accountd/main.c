/*
 * accountd: who is who.  Three ways to run:
 *
 *	accountd [--state DIR]                 the daemon: one worker, one
 *	                                       SOCK_SEQPACKET socket a program
 *	accountd --state DIR --create          make the files of a new state
 *	                                       directory, then end
 *	accountd --state DIR --serve-fd N      serve the one connection N and
 *	                                       end with it: how the command line
 *	                                       works while no daemon runs
 *
 * Daemon and --serve-fd may run at the same time: both write under SQLite's
 * lock and nothing is remembered between two requests that the other could
 * change.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/setup.h"
#include "net/sock.h"
#include "proc/limits.h"
#include "proc/privilege.h"

#include "connection.h"
#include "core.h"
#include "request.h"

enum {
	CONNECTIONS = 2048,
	STACK_SIZE = 256 * 1024,
	SWEEP_MS = 3600 * 1000,
	EXPIRE_MS = 5000,
};

/* --- The daemon ---------------------------------------------------------------- */

static const enum program programs[] = { FROM_MTAD, FROM_POPD, FROM_QUEUE,
	FROM_WEBMAIL, FROM_ADMIN, FROM_MAILSTEAD };

/* Set by configure() before workers are forked. */
static struct {
	bool installed; /* every program has a user of its own */
	uid_t uids[ARRAY_LEN(programs)];
	const char *audit;
	struct limits *sent; /* outlives the worker */
} setup;

static const char *
user_of(const struct config *c, enum program p)
{
	switch (p) {
	case FROM_MTAD:
		return c->user_mta;
	case FROM_POPD:
		return c->user_pop;
	case FROM_QUEUE:
		return c->user_queue;
	case FROM_WEBMAIL:
		return c->user_web;
	case FROM_ADMIN:
		return c->user_admin;
	case FROM_MAILSTEAD:
		break;
	}
	return "";
}

static int
configure_listener(size_t i, struct service_config *out, struct err *e)
{
	const char *user = user_of(setup_config(), programs[i]);
	char path[64];

	(void)snprintf(path, sizeof(path), "run/accountd/%s.sock",
	    program_name(programs[i]));
	if (setup_listen_at(path, SOCK_SEQPACKET, setup.installed ? 0666 : 0600,
		(unsigned)i, out, e) != 0)
		return -1;
	setup.uids[i] = 0;
	return user[0] ? privilege_find_uid(user, &setup.uids[i], e) : 0;
}

/*
 * Before certificates were installed through accountd they were root's: what
 * lies in tls/ becomes its own, so that it can be replaced.
 */
static int
own_tls(const char *tls, struct err *e)
{
	DIR *dir = opendir(tls);
	struct dirent *d;
	struct stat st;
	uid_t uid;
	int rc = privilege_find_uid(setup_config()->user_auth, &uid, e);

	while (rc == 0 && dir != NULL && (d = readdir(dir)) != NULL) {
		/* "." is the folder itself */
		if (strcmp(d->d_name, "..") == 0 ||
		    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) !=
			0 ||
		    st.st_uid == uid)
			continue;
		if (fchownat(dirfd(dir), d->d_name, uid, (gid_t)-1,
			AT_SYMLINK_NOFOLLOW) != 0)
			rc = err_errno(e, "tls/%s", d->d_name);
		else
			log_info(
			    "tls/%s was not accountd's: mended", d->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return rc;
}

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct settings *set;
	const char *tls;

	if (setup.sent == NULL)
		setup.sent = limits_new();
	if (setup.sent == NULL)
		return err_errno(e, "memory for limits");
	if (setup_begin(state_dir, out, &set, e) != 0)
		return -1;
	settings_free(set);
	out->enabled = true;
	out->workers = 1;
	out->connections = CONNECTIONS;
	out->log_days = 0; /* expire_logs() looks after them */
	(void)snprintf(
	    out->user, sizeof(out->user), "%s", setup_config()->user_auth);
	setup.installed = out->user[0] != '\0';
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (configure_listener(i, out, e) != 0)
			return -1;
	setup_paths("log/accountd", out);
	(void)setup_read("/etc/ssl");
	(void)setup_read("/usr");
	/* which groups there are */
	(void)setup_read("/etc/group");
	(void)setup_read("/etc/nsswitch.conf");
	(void)setup_write("directory");
	tls = setup_write("tls");
	(void)setup_write("cache/auth");
	setup.audit = setup_write("log/audit");
	return setup.installed && geteuid() == 0 ? own_tls(tls, e) : 0;
}

static int
worker_start(struct worker *w, struct err *e)
{
	struct core *core;

	if (core_open(w->state_dir, &core, e) != 0)
		return -1;
	core->sent = setup.sent;
	w->data = core;
	return 0;
}

static void
serve(struct worker *w, struct connection *c)
{
	struct core *core = w->data;
	struct caller caller = { .core = core, .program = programs[c->kind] };
	struct err e;
	uid_t uid;
	pid_t pid;

	if (sock_peer_uid(c->fd, &uid, &pid, &e) != 0) {
		log_error("%s", e.text);
	} else if (setup.uids[c->kind] != 0 && uid != setup.uids[c->kind] &&
	    uid != 0) {
		log_warning("uid %u is not %s", (unsigned)uid,
		    program_name(caller.program));
	} else {
		caller.is_operator = caller.program == FROM_MAILSTEAD &&
		    (uid == 0 || uid == core->owner);
		connection_serve(&caller, c->fd, service_stopping);
	}
	close(c->fd);
}

/* Its own log and the audit log, whenever the settings change. */
static void
expire_logs(const struct worker *w, const struct core *core)
{
	static int64_t next; /* the main thread's alone */
	struct settings *s;

	if (clock_mono_ms() < next)
		return;
	next = clock_mono_ms() + EXPIRE_MS;
	s = directory_settings(core->directory);
	log_expire(w->config->log_dir, settings_int(s, SET_LOG_DAYS));
	log_expire(setup.audit, settings_int(s, SET_LOG_AUDIT_DAYS));
	settings_free(s);
}

/* As soon as there are files to work with again, a new worker does. */
static void
renew(const struct core *gone)
{
	struct core *core;
	struct err e;

	if (core_open(gone->state_dir, &core, &e) != 0)
		return;
	core_close(core);
	(void)kill(getpid(), SIGTERM);
}

static void
tick(struct worker *w)
{
	static int64_t next; /* the main thread's alone */
	struct core *core = w->data;
	int64_t now = clock_wall_ms();
	struct err e;

	if (core_is_gone(core)) {
		renew(core);
		return;
	}
	expire_logs(w, core);
	trial_expire(core);
	if (clock_mono_ms() < next)
		return;
	next = clock_mono_ms() + SWEEP_MS;
	if (secrets_sweep(
		core->secrets, now, now - INT64_C(31) * 86400 * 1000, &e) != 0)
		log_warning("sweeping secrets.db: %s", e.text);
}

static const struct service service = {
	.name = "accountd",
	.stack_size = STACK_SIZE,
	.deny_outgoing = true,
	.deny_exec = true,
	.configure = configure,
	.worker_start = worker_start,
	.serve = serve,
	.tick = tick,
};

/* --- The other ways ---------------------------------------------------------------- */

static int
serve_fd(const char *state_dir, int fd, struct err *e)
{
	struct caller caller = { .program = FROM_MAILSTEAD };
	char log_dir[CONFIG_PATH_SIZE];
	uid_t uid = getuid();
	struct config c;

	if (config_load(state_dir, &c, e) != 0 ||
	    config_path(&c, log_dir, sizeof(log_dir), e, "log/accountd") != 0 ||
	    privilege_drop(c.user_auth, e) != 0)
		return -1;
	log_open("accountd", log_dir, false);
	if (core_open(c.state_dir, &caller.core, e) != 0)
		return -1;
	caller.is_operator = uid == 0 || uid == caller.core->owner;
	connection_serve(&caller, fd, NULL);
	core_close(caller.core);
	return 0;
}

/* Every freed JSON value may have held a password. */
static void
free_wiped(void *p)
{
	if (p != NULL)
		mem_wipe(p, malloc_usable_size(p));
	free(p);
}

struct options {
	const char *state_dir;
	bool create;
	uint64_t fd; /* 0 = none */
};

static bool
read_options(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
			o->state_dir = argv[++i];
		else if (strcmp(argv[i], "--create") == 0)
			o->create = true;
		else if (strcmp(argv[i], "--serve-fd") == 0 && i + 1 < argc &&
		    num_parse(slice_str(argv[i + 1]), 1000000, &o->fd))
			i++;
	}
	return o->create || o->fd != 0;
}

int
main(int argc, char **argv)
{
	struct options o = { .state_dir = getenv("MAILSTEAD_STATE") };
	struct err e;
	int r;

	json_set_alloc_funcs(malloc, free_wiped);
	if (!read_options(argc, argv, &o))
		return service_main(&service, argc, argv);
	if (o.create)
		r = o.state_dir != NULL
		    ? core_create(o.state_dir, &e)
		    : err_set(&e, ERR_PERM, "--create needs --state DIR");
	else
		r = serve_fd(o.state_dir, (int)o.fd, &e);
	if (r != 0)
		fprintf(stderr, "accountd: %s\n", e.text);
	return r == 0 ? 0 : 1;
}
