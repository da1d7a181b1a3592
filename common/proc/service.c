/*
 * The supervisor: binds, forks, watches, and nothing else.
 *
 * It has one thread and is the only process that forks.  A worker tells by a
 * pipe that it is up (one zero byte) or why it is not (a text).  A worker
 * that dies is replaced at once if it lived LIVED_MS, else after a pause that
 * doubles; a replacement has the dead one's index.
 *
 * A reload compares the new configuration with the old: listeners that stay
 * keep their sockets.  Only if workers or listeners differ are new workers
 * started and the old ones retired, which then finish what they serve.
 */
#include "proc/service.h"

#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/sock.h"
#include "proc/internal.h"
#include "proc/privilege.h"

enum {
	POLL_MS = 500,
	STOP_MS = 8000,
	START_MS = 30000,
	LIVED_MS = 10000,
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 10000,
	BACKLOG = 4096,
	RETIRED_MAX = 4 * WORKERS_MAX,
};

struct slot {
	pid_t pid; /* 0: not running */
	bool ready;
	int64_t started_ms;
	int64_t start_at_ms;
	int pause_ms;
};

static struct {
	const struct service *service;
	char state_dir[PATH_MAX];
	bool foreground;
	int serve_fd; /* -1, or the one connection to serve */
	struct service_config config;
	int listen_fds[SERVICE_LISTENERS_MAX];
	struct slot slots[WORKERS_MAX];
	pid_t retired[RETIRED_MAX];
	size_t retired_count;
	int ready_pipe[2];
	int signal_fd;
	struct scoreboard *board;
	int board_fd;
	bool announced;
	char failure[256]; /* why the first workers did not start */
} sup;

/* --- listeners ------------------------------------------------------------------ */

static bool
same_listener(const struct listener *a, const struct listener *b)
{
	return ip_eq(&a->ip, &b->ip) && a->port == b->port &&
	    strcmp(a->path, b->path) == 0 && a->kind == b->kind;
}

static int
open_listener(const struct listener *l, int *fd_out, struct err *e)
{
	int rc, fd, flags;

	if (l->path[0] != '\0')
		rc = sock_listen_unix(l->path, l->socktype, l->mode, &fd, e);
	else
		rc = sock_listen_tcp(&l->ip, l->port, BACKLOG, &fd, e);
	if (rc != 0)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		(void)err_errno(e, "listening socket");
		(void)close(fd);
		return -1;
	}
	*fd_out = fd;
	return 0;
}

static int
find_listener(const struct service_config *c, const struct listener *l)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		if (same_listener(&c->listeners[i], l))
			return (int)i;
	}
	return -1;
}

/*
 * Sockets for `next`: taken over where they are, else bound.  On failure the
 * old ones are as they were.
 */
static int
bind_listeners(const struct service_config *next, struct err *e)
{
	int fds[SERVICE_LISTENERS_MAX] = { 0 };
	bool kept[SERVICE_LISTENERS_MAX] = { false };

	for (size_t i = 0; i < next->listener_count; i++) {
		int at = find_listener(&sup.config, &next->listeners[i]);

		if (at >= 0 && !kept[at]) {
			fds[i] = sup.listen_fds[at];
			kept[at] = true;
		} else if (open_listener(&next->listeners[i], &fds[i], e) !=
		    0) {
			for (size_t k = 0; k < i; k++) {
				if (find_listener(
					&sup.config, &next->listeners[k]) < 0)
					(void)close(fds[k]);
			}
			return -1;
		}
	}
	for (size_t i = 0; i < sup.config.listener_count; i++) {
		if (!kept[i])
			(void)close(sup.listen_fds[i]);
	}
	memcpy(sup.listen_fds, fds, sizeof(fds[0]) * next->listener_count);
	return 0;
}

/* --- configuration ----------------------------------------------------------------- */

static bool
same_workers(const struct service_config *a, const struct service_config *b)
{
	if (a->workers != b->workers || a->connections != b->connections ||
	    a->listener_count != b->listener_count)
		return false;
	for (size_t i = 0; i < a->listener_count; i++) {
		if (!same_listener(&a->listeners[i], &b->listeners[i]))
			return false;
	}
	return true;
}

static void
publish(enum service_state state)
{
	struct scoreboard *b = sup.board;

	b->state = state;
	b->workers = sup.config.workers;
	b->listener_count = 0;
	memcpy(b->listeners, sup.config.listeners, sizeof(b->listeners));
	b->listener_count = (uint32_t)sup.config.listener_count;
}

static void
retire_workers(void)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		struct slot *slot = &sup.slots[i];

		if (slot->pid > 0 && sup.retired_count < RETIRED_MAX) {
			(void)kill(slot->pid, SIGUSR1);
			sup.retired[sup.retired_count++] = slot->pid;
		} else if (slot->pid > 0) {
			(void)kill(slot->pid, SIGTERM);
		}
		memset(slot, 0, sizeof(*slot));
	}
}

/*
 * Ask the program again and put its answer into force.  A disabled service
 * has neither listeners nor workers.
 */
static int
configure(struct err *e)
{
	struct service_config *next = mem_zalloc(sizeof(*next));
	bool changed;
	int rc = -1;

	if (sup.service->configure(sup.state_dir, next, e) != 0)
		goto out;
	if (!next->enabled)
		next->workers = 0, next->listener_count = 0;
	if (next->workers > WORKERS_MAX)
		next->workers = WORKERS_MAX;
	changed = !same_workers(&sup.config, next);
	if (privilege_resume(e) != 0 || bind_listeners(next, e) != 0)
		goto out;
	log_open(sup.service->name, next->log_dir, sup.foreground);
	sup.config = *next;
	if (changed)
		retire_workers();
	rc = privilege_assume(sup.config.user, e);
	publish(sup.config.enabled ? (enum service_state)sup.board->state
				   : SERVICE_DISABLED);
out:
	free(next);
	return rc;
}

static void
reload(void)
{
	struct err e;

	if (configure(&e) != 0) {
		log_error("not reconfigured: %s", e.text);
		return;
	}
	log_info("reconfigured: %u workers, %zu listeners", sup.config.workers,
	    sup.config.listener_count);
	if (sup.config.enabled && sup.board->state == SERVICE_DISABLED)
		publish(SERVICE_STARTING);
}

/* --- workers -------------------------------------------------------------------------- */

static void
run_worker(unsigned index, pid_t supervisor)
{
	struct worker_setup *setup = mem_zalloc(sizeof(*setup));
	struct err e;

	setup->worker.service = sup.service;
	setup->worker.config = &sup.config;
	setup->worker.state_dir = sup.state_dir;
	setup->worker.index = index;
	setup->listen_fds = sup.listen_fds;
	setup->ready_fd = sup.ready_pipe[1];
	setup->supervisor = supervisor;
	setup->board = sup.board;
	(void)close(sup.ready_pipe[0]);
	(void)close(sup.signal_fd);
	(void)close(sup.board_fd); /* the lock is the supervisor's alone */
	if (privilege_resume(&e) != 0) {
		log_error("%s", e.text);
		_exit(1);
	}
	worker_main(setup);
}

static void
start_worker(unsigned index)
{
	struct slot *slot = &sup.slots[index];
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		run_worker(index, parent);
	slot->started_ms = clock_mono_ms();
	slot->ready = false;
	if (pid < 0) {
		log_error("fork: %s", strerrordesc_np(errno));
		slot->start_at_ms = slot->started_ms + PAUSE_MAX_MS;
		return;
	}
	slot->pid = pid;
}

static void
start_due_workers(void)
{
	for (unsigned i = 0; i < sup.config.workers; i++) {
		if (sup.slots[i].pid == 0 &&
		    clock_mono_ms() >= sup.slots[i].start_at_ms)
			start_worker(i);
	}
}

static void
worker_died(struct slot *slot, unsigned index, int status)
{
	int64_t now = clock_mono_ms();
	bool lived = now - slot->started_ms >= LIVED_MS;

	sup.board->connections[index] = 0;
	sup.board->restarts++;
	if (WIFSIGNALED(status))
		log_error("worker %u (pid %d) killed by signal %d", index,
		    (int)slot->pid, WTERMSIG(status));
	else
		log_error("worker %u (pid %d) ended with code %d", index,
		    (int)slot->pid, WEXITSTATUS(status));
	if (lived)
		slot->pause_ms = 0;
	slot->start_at_ms = now + slot->pause_ms;
	slot->pause_ms = slot->pause_ms == 0 ? PAUSE_MIN_MS
	    : slot->pause_ms < PAUSE_MAX_MS  ? slot->pause_ms * 2
					     : PAUSE_MAX_MS;
	if (slot->pause_ms > 4 * PAUSE_MIN_MS)
		sup.board->state = SERVICE_FAILING;
	slot->pid = 0;
	slot->ready = false;
}

static void
reap(bool stopping)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned i = 0; i < WORKERS_MAX; i++) {
			if (sup.slots[i].pid != pid)
				continue;
			if (stopping)
				sup.slots[i].pid = 0;
			else
				worker_died(&sup.slots[i], i, status);
		}
		for (size_t i = 0; i < sup.retired_count; i++) {
			if (sup.retired[i] == pid)
				sup.retired[i] =
				    sup.retired[--sup.retired_count];
		}
	}
}

/* What workers say: a zero byte each when up, else a text. */
static void
read_ready(void)
{
	char text[sizeof(sup.failure)];
	ssize_t n = read(sup.ready_pipe[0], text, sizeof(text) - 1);
	unsigned up = 0;

	for (ssize_t i = 0; i < n; i++)
		up += text[i] == '\0';
	if (n > 0 && up < (size_t)n && sup.failure[0] == '\0') {
		const char *from = text;

		text[n] = '\0';
		while (*from == '\0' && from < text + n)
			from++;
		(void)snprintf(sup.failure, sizeof(sup.failure), "%s", from);
	}
	for (unsigned i = 0; i < sup.config.workers && up > 0; i++) {
		if (sup.slots[i].pid > 0 && !sup.slots[i].ready) {
			sup.slots[i].ready = true;
			up--;
		}
	}
	for (unsigned i = 0; i < sup.config.workers; i++) {
		if (!sup.slots[i].ready)
			return;
	}
	if (sup.config.enabled)
		sup.board->state = SERVICE_RUNNING;
}

static void
announce(void)
{
	sup.announced = true;
	log_info("started, version %s, %u workers, %zu listeners",
	    MAILSTEAD_VERSION, sup.config.workers, sup.config.listener_count);
	notify_supervisor("READY=1");
}

/* --- the loop ------------------------------------------------------------------------- */

static bool
wait_events(int timeout_ms, bool *hup_out)
{
	struct pollfd fds[2] = {
		{ .fd = sup.signal_fd, .events = POLLIN },
		{ .fd = sup.ready_pipe[0], .events = POLLIN },
	};
	struct signalfd_siginfo info;
	bool stop = false;

	if (poll(fds, 2, timeout_ms) <= 0)
		return false;
	if (fds[1].revents & POLLIN)
		read_ready();
	while (fds[0].revents &&
	    read(sup.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			*hup_out = true;
		else if (info.ssi_signo != SIGCHLD)
			stop = true;
	}
	return stop;
}

static void
signal_workers(int number)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		if (sup.slots[i].pid > 0)
			(void)kill(sup.slots[i].pid, number);
	}
	for (size_t i = 0; i < sup.retired_count; i++)
		(void)kill(sup.retired[i], number);
}

static bool
any_worker(void)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		if (sup.slots[i].pid > 0)
			return true;
	}
	return sup.retired_count > 0;
}

static void
stop_workers(void)
{
	int64_t grace =
	    sup.service->stop_grace_ms ? sup.service->stop_grace_ms : STOP_MS;
	int64_t end = clock_mono_ms() + grace + POLL_MS;
	bool hup;

	notify_supervisor("STOPPING=1");
	signal_workers(SIGTERM);
	while (any_worker() && clock_mono_ms() < end) {
		(void)wait_events(50, &hup);
		reap(true);
	}
	signal_workers(SIGKILL);
	while (any_worker()) {
		(void)wait_events(50, &hup);
		reap(true);
	}
}

/* 0: asked to stop; -1: the first workers did not come up. */
static int
supervise(struct err *e)
{
	int64_t give_up = clock_mono_ms() + START_MS;
	int64_t next_look = 0;

	for (;;) {
		bool hup = false;

		start_due_workers();
		if (wait_events(sup.announced ? POLL_MS : 20, &hup))
			return 0;
		reap(false);
		if (!sup.announced &&
		    (sup.board->state == SERVICE_RUNNING ||
			!sup.config.enabled))
			announce();
		if (!sup.announced &&
		    (sup.failure[0] != '\0' || clock_mono_ms() > give_up))
			return err_set(e, ERR_PERM, "%s",
			    sup.failure[0] ? sup.failure
					   : "the workers do not start");
		if (hup ||
		    (clock_mono_ms() >= next_look &&
			sup.service->changed != NULL &&
			sup.service->changed(sup.state_dir)))
			reload();
		if (clock_mono_ms() >= next_look)
			next_look = clock_mono_ms() + POLL_MS;
	}
}

/*
 * --serve-fd: one connection that the starter hands over, in this process,
 * without a supervisor; for the command line while the service does not run.
 */
static int
serve_inherited(struct err *e)
{
	struct worker_setup *setup = mem_zalloc(sizeof(*setup));

	if (sup.service->configure(sup.state_dir, &sup.config, e) != 0)
		return -1;
	log_open(sup.service->name, sup.config.log_dir, false);
	setup->worker.service = sup.service;
	setup->worker.config = &sup.config;
	setup->worker.state_dir = sup.state_dir;
	setup->worker.is_inherited = true;
	setup->supervisor = getppid();
	setup->board = mem_zalloc(sizeof(*setup->board));
	return worker_serve_one(setup, sup.serve_fd, e);
}

/* --- start ------------------------------------------------------------------------------ */

/* Nothing of the starter's environment is of use but where to say READY. */
static void
clean_environment(void)
{
	/* NOLINTBEGIN(concurrency-mt-unsafe): before any thread */
	const char *notify = getenv("NOTIFY_SOCKET");
	char *kept = notify ? mem_strdup(notify) : NULL;

	(void)clearenv();
	(void)setenv("PATH", "/usr/bin:/bin", 1);
	if (kept != NULL)
		(void)setenv("NOTIFY_SOCKET", kept, 1);
	free(kept);
	/* NOLINTEND(concurrency-mt-unsafe) */
}

static int
prepare_process(struct err *e)
{
	sigset_t set;
	int fd;

	do { /* 0, 1 and 2 must be something */
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		(void)close(fd);
	clean_environment();
	(void)umask(007);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	if (pthread_sigmask(SIG_SETMASK, &set, NULL) != 0)
		return err_errno(e, "signals");
	sup.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sup.signal_fd < 0 ||
	    pipe2(sup.ready_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_errno(e, "start");
	return 0;
}

static int
parse_arguments(int argc, char **argv)
{
	/* single-threaded: nothing runs yet */
	const char *state = getenv("MAILSTEAD_STATE"); /* NOLINT */
	uint64_t fd;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--state") == 0 && i + 1 < argc) {
			state = argv[++i];
		} else if (strcmp(argv[i], "--foreground") == 0) {
			sup.foreground = true;
		} else if (strcmp(argv[i], "--serve-fd") == 0 && i + 1 < argc &&
		    num_parse(slice_str(argv[++i]), INT_MAX, &fd)) {
			sup.serve_fd = (int)fd;
		} else {
			(void)fprintf(stderr,
			    "usage: %s [--state DIR] [--foreground] "
			    "[--serve-fd N] [--version]\n",
			    sup.service->name);
			return -1;
		}
	}
	if (state == NULL)
		state = "/var/lib/mailstead";
	if (strlen(state) >= sizeof(sup.state_dir))
		return -1;
	memcpy(sup.state_dir, state, strlen(state) + 1);
	return 0;
}

int
service_main(const struct service *s, int argc, char **argv)
{
	struct err e;
	int rc;

	sup.service = s;
	sup.serve_fd = -1;
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("%s %s\n", s->name, MAILSTEAD_VERSION);
		return 0;
	}
	if (parse_arguments(argc, argv) != 0)
		return 2;
	log_open(s->name, NULL, true);
	rc = prepare_process(&e);
	if (rc == 0 && sup.serve_fd >= 0) {
		rc = serve_inherited(&e);
		if (rc != 0)
			(void)fprintf(stderr, "%s: %s\n", s->name, e.text);
		return rc == 0 ? 0 : 1;
	}
	if (rc == 0)
		rc = scoreboard_open(
		    sup.state_dir, s->name, &sup.board, &sup.board_fd, &e);
	if (rc == 0)
		rc = configure(&e);
	if (rc == 0)
		rc = supervise(&e);
	if (rc != 0)
		(void)fprintf(stderr, "%s: %s\n", s->name, e.text);
	if (sup.board != NULL) {
		stop_workers();
		log_info("stopped");
		sup.board->state = SERVICE_STOPPED;
	}
	return rc == 0 ? 0 : 1;
}
