/*
 * The supervisor: binds, forks, watches, and nothing else.
 *
 * It has one thread and is the only process that forks.  A worker tells by a
 * pipe that it is up or why it is not.  A worker that dies is replaced at
 * once if it lived LIVED_MS, else after a pause that doubles; a replacement
 * has the dead one's index.
 *
 * A reload compares the new configuration with the old: listeners that stay
 * keep their sockets.  Only if workers or listeners differ are new workers
 * started and the old ones retired, which then serve what they have to its
 * end.  A service switched off stops its workers as at the end.  A reload that
 * fails is tried again, after a pause that doubles: the settings could not be
 * read for a moment, a port was still taken.
 */
#include "proc/service.h"

#include <sys/signalfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "proc/internal.h"
#include "proc/privilege.h"

enum {
	POLL_MS = 500,
	DAY_MS = 86400000,
	STOP_MS = 8000,
	START_MS = 30000,
	LIVED_MS = 10000,
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 10000,
	KILLED_MS = 2000, /* the kernel needs for a killed process */
	RELOAD_MIN_MS = 500,
	RELOAD_MAX_MS = 60000,
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
	pid_t retired[RETIRED_MAX]; /* 0: free */
	int report_pipe[2];
	int signal_fd;
	struct scoreboard *board;
	int board_fd;
	bool announced;
	int64_t reload_at_ms; /* again, because it failed; 0: it did not */
	int reload_pause_ms;
	char failure[256]; /* why a first worker did not start */
} sup;

/* The pause that follows on one of `ms`. */
static int
longer_pause(int ms, int min_ms, int max_ms)
{
	return ms == 0 ? min_ms : ms < max_ms / 2 ? ms * 2 : max_ms;
}

/* --- configuration ----------------------------------------------------------------- */

static bool
same_workers(const struct service_config *a, const struct service_config *b)
{
	return a->enabled == b->enabled && a->workers == b->workers &&
	    a->connections == b->connections && listeners_same(a, b);
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

/*
 * Let the workers go: after what they serve, or all soon.  Whoever finds no
 * place on the scoreboard goes soon, too.
 */
static void
retire_workers(bool soon)
{
	unsigned place = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		union sigval value;
		pid_t pid = sup.slots[i].pid;

		memset(&sup.slots[i], 0, sizeof(sup.slots[i]));
		if (pid == 0)
			continue;
		while (place < RETIRED_MAX && sup.retired[place] != 0)
			place++;
		value.sival_int = (int)(WORKERS_MAX + place);
		if (place < RETIRED_MAX)
			sup.retired[place] = pid;
		if (soon || place == RETIRED_MAX)
			(void)kill(pid, SIGTERM);
		else
			(void)sigqueue(pid, SIGUSR1, value);
	}
}

/* Bind as root, then be the service's user again, whatever came of it. */
static int
bind_as_root(const struct service_config *next, struct err *e)
{
	struct err again;
	int rc;

	if (privilege_resume(e) != 0)
		return -1;
	rc = listeners_bind(&sup.config, next, sup.listen_fds, e);
	if (rc != 0 && privilege_assume(sup.config.user, &again) != 0)
		log_error("%s", again.text);
	return rc;
}

/*
 * Ask the program again and put its answer into force.  A disabled service
 * has neither listeners nor workers.
 */
static int
configure(struct err *e)
{
	struct service_config *next = mem_zalloc(sizeof(*next));
	bool differs;
	int rc = -1;

	if (sup.service->configure(sup.state_dir, next, e) != 0)
		goto out;
	if (!next->enabled)
		next->workers = 0, next->listener_count = 0;
	if (next->workers > WORKERS_MAX)
		next->workers = WORKERS_MAX;
	differs = !same_workers(&sup.config, next);
	if (bind_as_root(next, e) != 0)
		goto out;
	log_open(sup.service->name, next->log_dir, sup.foreground);
	sup.config = *next;
	rc = privilege_assume(sup.config.user, e);
	if (differs)
		retire_workers(!next->enabled);
	if (differs || !sup.announced)
		publish(next->enabled ? SERVICE_STARTING : SERVICE_DISABLED);
	if (differs && sup.announced)
		log_info("reconfigured: %u workers, %zu listeners",
		    sup.config.workers, sup.config.listener_count);
out:
	free(next);
	return rc;
}

static void
reload(void)
{
	struct err e;

	if (configure(&e) == 0) {
		sup.reload_at_ms = 0;
		sup.reload_pause_ms = 0;
		return;
	}
	log_error("not reconfigured: %s", e.text);
	sup.reload_pause_ms =
	    longer_pause(sup.reload_pause_ms, RELOAD_MIN_MS, RELOAD_MAX_MS);
	sup.reload_at_ms = clock_mono_ms() + sup.reload_pause_ms;
}

static bool
reload_is_due(void)
{
	return (sup.reload_at_ms != 0 && clock_mono_ms() >= sup.reload_at_ms) ||
	    (sup.service->changed != NULL &&
		sup.service->changed(sup.state_dir));
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
	setup->report_fd = sup.report_pipe[1];
	setup->supervisor = supervisor;
	setup->board = sup.board;
	(void)close(sup.report_pipe[0]);
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
	slot->pause_ms =
	    longer_pause(slot->pause_ms, PAUSE_MIN_MS, PAUSE_MAX_MS);
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
		for (unsigned i = 0; i < RETIRED_MAX; i++) {
			if (sup.retired[i] != pid)
				continue;
			if (WIFSIGNALED(status) && !stopping)
				log_error("retired worker (pid %d) killed by "
					  "signal %d",
				    (int)pid, WTERMSIG(status));
			sup.retired[i] = 0;
			sup.board->connections[WORKERS_MAX + i] = 0;
		}
	}
}

/* What workers say, one at a time. */
static void
read_report(void)
{
	struct worker_report report;
	bool all = true;

	/* no more than PIPE_BUF, so whole or not at all */
	if (read(sup.report_pipe[0], &report, sizeof(report)) !=
	    (ssize_t)sizeof(report))
		return;
	report.failure[sizeof(report.failure) - 1] = '\0';
	if (report.failure[0] != '\0') {
		memcpy(sup.failure, report.failure, sizeof(report.failure));
		return;
	}
	for (unsigned i = 0; i < sup.config.workers; i++) {
		if (sup.slots[i].pid == report.pid)
			sup.slots[i].ready = true;
		all = all && sup.slots[i].ready;
	}
	if (all && sup.config.enabled)
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

/* Until the next look at the configuration or the start of a worker. */
static int
wait_time(int64_t next_look)
{
	int64_t until = next_look;

	for (unsigned i = 0; i < sup.config.workers; i++) {
		const struct slot *slot = &sup.slots[i];

		if (slot->pid == 0 && slot->start_at_ms < until)
			until = slot->start_at_ms;
	}
	return clock_left_ms(until);
}

static bool
wait_events(int timeout_ms, bool *hup_out)
{
	struct pollfd fds[2] = {
		{ .fd = sup.signal_fd, .events = POLLIN },
		{ .fd = sup.report_pipe[0], .events = POLLIN },
	};
	struct signalfd_siginfo info;
	bool stop = false;

	if (poll(fds, 2, timeout_ms) <= 0)
		return false;
	if (fds[1].revents & POLLIN)
		read_report();
	while (fds[0].revents &&
	    read(sup.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			*hup_out = true;
		else if (info.ssi_signo != SIGCHLD)
			stop = true;
	}
	return stop;
}

/* With each new day, and when it is said anew how long they are kept. */
static void
expire_logs(void)
{
	static int64_t done_day, done_for;
	int64_t day = clock_wall_ms() / DAY_MS;

	if (day == done_day && sup.config.log_days == done_for)
		return;
	done_day = day;
	done_for = sup.config.log_days;
	log_expire(sup.config.log_dir, done_for);
}

/* All workers, the retired too: send a signal (0: none), count them. */
static unsigned
signal_workers(int number)
{
	unsigned count = 0;

	for (unsigned i = 0; i < WORKERS_MAX + RETIRED_MAX; i++) {
		pid_t pid = i < WORKERS_MAX ? sup.slots[i].pid
					    : sup.retired[i - WORKERS_MAX];

		if (pid == 0)
			continue;
		count++;
		if (number != 0)
			(void)kill(pid, number);
	}
	return count;
}

static void
wait_for_workers(int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;
	bool hup;

	while (signal_workers(0) > 0 && clock_mono_ms() < end) {
		(void)wait_events(clock_left_ms(end), &hup);
		reap(true);
	}
}

static void
stop_workers(void)
{
	unsigned grace =
	    sup.service->stop_grace_ms ? sup.service->stop_grace_ms : STOP_MS;
	unsigned left;

	sup.board->state = SERVICE_STOPPING;
	notify_supervisor("STOPPING=1");
	listeners_close(&sup.config, sup.listen_fds);
	(void)signal_workers(SIGTERM);
	wait_for_workers((int64_t)grace + POLL_MS);
	left = signal_workers(SIGKILL);
	if (left > 0)
		log_warning("%u workers did not stop and were killed", left);
	wait_for_workers(KILLED_MS);
}

/* 0: asked to stop; -1: the first workers did not come up. */
static int
supervise(struct err *e)
{
	int64_t give_up = clock_mono_ms() + START_MS;
	int64_t next_look = clock_mono_ms();

	for (;;) {
		bool hup = false;

		start_due_workers();
		if (wait_events(wait_time(next_look), &hup))
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
		if (clock_mono_ms() < next_look && !hup)
			continue;
		next_look = clock_mono_ms() + POLL_MS;
		expire_logs();
		log_catch_up();
		if (hup || reload_is_due())
			reload();
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
	rc = process_prepare(sup.serve_fd, &sup.signal_fd, &e);
	if (rc == 0 && pipe2(sup.report_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		rc = err_errno(&e, "start");
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
