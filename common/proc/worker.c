/*
 * A worker process: one thread that only accepts, the connection threads
 * (threads.c), and the main thread, which reads signals and ticks.
 *
 * SIGTERM: stop accepting, wait for connections and for the threads of
 * worker_thread(), which see service_stopping(), until the grace is over.
 * Retired (SIGUSR1): stop accepting, go on as before until the last
 * connection has ended, and only then stop.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/sock.h"
#include "proc/internal.h"
#include "proc/privilege.h"

enum {
	THREAD_STACK_SIZE = 256 * 1024,
	TICK_MS = 500,
	RETIRED_TICK_MS = 100,
	GRACE_MS = 7500, /* a little before the supervisor loses patience */
	ACCEPT_PAUSE_MS = 50, /* after EMFILE and the like */
	ACCEPT_BURST = 8,
	FULL_PAUSE_MS = 20,     /* let a worker with room accept */
	FULL_PATIENCE_MS = 500, /* then say that all is full */
	ARENAS = 4,
};

/* All of one worker; there is one per process. */
static struct {
	struct worker_setup *setup;
	pthread_mutex_t lock;
	pthread_cond_t ended; /* a thread */
	unsigned others;      /* threads of worker_thread() */
	bool accepting;       /* the accepting thread runs */
	unsigned place;       /* on the scoreboard; the main thread's */
	int accept_end;       /* event: no more connections */
	atomic_bool stopping;
	int64_t full_ms; /* the accepting thread's */
} self = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

bool
service_stopping(void)
{
	return atomic_load_explicit(&self.stopping, memory_order_relaxed);
}

unsigned
worker_connections(const struct worker *w)
{
	(void)w;
	return threads_connections();
}

/* --- accepting ------------------------------------------------------------------ */

static void
name_ends(struct connection *c, const struct listener *l)
{
	struct err e;

	if (l->path[0] == '\0' &&
	    sock_names(c->fd, &c->peer, &c->peer_port, &c->local,
		&c->local_port, &e) != 0)
		memset(&c->peer, 0, sizeof(c->peer)); /* gone already */
}

/* Wait a little, unless accepting ends. */
static void
pause_accepting(int ms)
{
	struct pollfd end = { .fd = self.accept_end, .events = POLLIN };

	(void)poll(&end, 1, ms);
}

static bool
is_full(void)
{
	return worker_connections(&self.setup->worker) >=
	    self.setup->worker.config->connections;
}

/*
 * This worker is full: shall it leave the connection to another that has
 * room?  Not for long: what says that it has room may be stuck.
 */
static bool
leave_to_others(void)
{
	const struct service_config *config = self.setup->worker.config;
	int64_t now = clock_mono_ms();
	bool room = false;

	for (unsigned i = 0; i < config->workers; i++)
		room = room ||
		    (i != self.setup->worker.index &&
			atomic_load_explicit(&self.setup->board->connections[i],
			    memory_order_relaxed) < config->connections);
	if (!room)
		return false;
	if (self.full_ms == 0)
		self.full_ms = now;
	return now - self.full_ms < FULL_PATIENCE_MS;
}

static void
accept_from(size_t index)
{
	const struct service *s = self.setup->worker.service;
	const struct listener *l = &self.setup->worker.config->listeners[index];

	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct connection c = { .kind = l->kind, .listener = index };

		if (!is_full()) {
			self.full_ms = 0;
		} else if (leave_to_others()) {
			pause_accepting(FULL_PAUSE_MS);
			return;
		}
		c.fd = accept4(
		    self.setup->listen_fds[index], NULL, NULL, SOCK_CLOEXEC);
		if (c.fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM) {
				complain("accept", errno);
				pause_accepting(ACCEPT_PAUSE_MS);
			}
			return;
		}
		name_ends(&c, l);
		if (threads_add(&c))
			continue;
		if (s->busy != NULL)
			s->busy(&self.setup->worker, &c);
		(void)close(c.fd);
	}
}

/* The sockets to wait for, numbered as the listeners, and the end. */
static int
open_epoll(const struct service_config *config)
{
	struct epoll_event want = { .events = EPOLLIN,
		.data.u64 = config->listener_count };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, self.accept_end, &want) != 0)
		abort();
	for (size_t i = 0; i < config->listener_count; i++) {
		/*
		 * Not EPOLLEXCLUSIVE, which gives most connections to one
		 * worker, and those that it leaves to nobody.
		 */
		want.data.u64 = i;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, self.setup->listen_fds[i],
			&want) != 0)
			abort();
	}
	return epoll;
}

static void *
accept_thread(void *arg)
{
	const struct service_config *config = self.setup->worker.config;
	struct epoll_event events[8];
	int epoll = open_epoll(config);
	bool ended = false;

	(void)arg;
	(void)prctl(PR_SET_NAME, "accept", 0, 0, 0);
	while (!ended) {
		int n = epoll_wait(epoll, events, ARRAY_LEN(events), -1);

		for (int i = 0; i < n; i++)
			ended = ended ||
			    events[i].data.u64 == config->listener_count;
		for (int i = 0; i < n && !ended; i++)
			accept_from(events[i].data.u64);
	}
	(void)close(epoll);
	/* or nobody could bind these while our connections last */
	for (size_t i = 0; i < config->listener_count; i++)
		(void)close(self.setup->listen_fds[i]);
	(void)pthread_mutex_lock(&self.lock);
	self.accepting = false;
	(void)pthread_cond_signal(&self.ended);
	(void)pthread_mutex_unlock(&self.lock);
	return NULL;
}

static void
start_accepting(void)
{
	self.accepting = true;
	if (thread_start(THREAD_STACK_SIZE, accept_thread, NULL) != 0)
		_exit(1);
}

static void
stop_accepting(void)
{
	uint64_t one = 1;

	if (write(self.accept_end, &one, sizeof(one)) < 0)
		_exit(1);
}

/* --- other threads ----------------------------------------------------------------- */

struct thread_start {
	char name[16];
	void (*run)(struct worker *w, void *arg);
	void *arg;
};

static void *
other_thread(void *arg)
{
	struct thread_start *start = arg;

	(void)prctl(PR_SET_NAME, start->name, 0, 0, 0);
	start->run(&self.setup->worker, start->arg);
	free(start);
	(void)pthread_mutex_lock(&self.lock);
	self.others--;
	(void)pthread_cond_signal(&self.ended);
	(void)pthread_mutex_unlock(&self.lock);
	return NULL;
}

static int
start_other(size_t stack_size, void *(*run)(void *), void *arg, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&self.lock);
	rc = thread_start(stack_size, run, arg);
	if (rc == 0)
		self.others++;
	(void)pthread_mutex_unlock(&self.lock);
	if (rc != 0)
		return err_set(
		    e, ERR_TEMP, "new thread: %s", strerrordesc_np(rc));
	return 0;
}

int
worker_thread(struct worker *w, const char *name, size_t stack_size,
    void (*run)(struct worker *w, void *arg), void *arg, struct err *e)
{
	struct thread_start *start = mem_zalloc(sizeof(*start));

	(void)w;
	strncpy(start->name, name, sizeof(start->name) - 1);
	start->run = run;
	start->arg = arg;
	if (start_other(stack_size ? stack_size : THREAD_STACK_SIZE,
		other_thread, start, e) == 0)
		return 0;
	free(start);
	return -1;
}

/* --- the main thread ----------------------------------------------------------------- */

static void
block_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGHUP);
	(void)sigaddset(set, SIGUSR1);
	(void)sigaddset(set, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, set, NULL);
	(void)sigdelset(set, SIGPIPE);
}

static int
become_worker(struct err *e)
{
	const struct worker *w = &self.setup->worker;
	const struct sandbox sandbox = {
		.read_paths = w->config->read_paths,
		.write_paths = w->config->write_paths,
		.deny_outgoing = w->service->deny_outgoing,
		.deny_exec = w->service->deny_exec,
		.jail = w->service->jail,
		.memory_max = w->service->memory_max,
	};

	/* before any thread */
	(void)mallopt(M_ARENA_MAX, ARENAS); /* NOLINT */
	if (privilege_drop(w->config->user, e) != 0)
		return -1;
	/*
	 * After changing users, which clears it.  While starting nobody reads
	 * signals, and a start may take long: the sockets would be kept from
	 * the next supervisor.
	 */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != self.setup->supervisor)
		return err_set(e, ERR_CLOSED, "the supervisor has gone");
	return privilege_sandbox(&sandbox, e);
}

/* Nothing is accepted any more and all that was has ended. */
static bool
is_drained(void)
{
	bool drained;

	(void)pthread_mutex_lock(&self.lock);
	drained = !self.accepting;
	(void)pthread_mutex_unlock(&self.lock);
	/* a worker that was retired may have written to our place */
	return threads_publish(self.place) == 0 && drained;
}

/* Until told to stop, or retired and drained. */
static void
run_until_stopped(const sigset_t *set)
{
	struct timespec wait = { 0, TICK_MS * 1000000L };
	struct worker *w = &self.setup->worker;
	bool retired = false;

	for (;;) {
		siginfo_t info;
		int signal = sigtimedwait(set, &info, &wait);

		if (signal == SIGTERM || signal == SIGINT ||
		    getppid() != self.setup->supervisor)
			return;
		if (signal == SIGUSR1 && !retired) {
			retired = true;
			stop_accepting();
			/* another worker comes in its place */
			self.place = (unsigned)info.si_value.sival_int;
			wait.tv_nsec = RETIRED_TICK_MS * 1000000L;
		}
		if (is_drained() && retired)
			return;
		log_catch_up();
		if (w->service->tick != NULL)
			w->service->tick(w);
	}
}

static void
tell_to_stop(struct worker *w)
{
	if (w->service->worker_stop != NULL)
		w->service->worker_stop(w);
}

/* End connections and threads, or wait for them until the grace is over. */
static void
stop_and_wait(void)
{
	struct worker *w = &self.setup->worker;
	unsigned ms = w->service->stop_grace_ms;
	int64_t end = clock_mono_ms() + (ms ? ms : GRACE_MS);
	struct timespec until;
	unsigned left;

	tell_to_stop(w);
	deadline_after(clock_left_ms(end), &until);
	(void)pthread_mutex_lock(&self.lock);
	while ((self.accepting || self.others > 0) &&
	    pthread_cond_timedwait(&self.ended, &self.lock, &until) == 0)
		;
	(void)pthread_mutex_unlock(&self.lock);
	do {
		deadline_after(
		    (int)num_min(TICK_MS, (size_t)clock_left_ms(end)), &until);
		left = threads_wait_end(&until);
		if (left > 0 && w->service->turn != NULL)
			tell_to_stop(w);
	} while (left > 0 && clock_left_ms(end) > 0);
	if (left > 0)
		log_info("%u connections were cut", left);
	log_catch_up();
}

static NORETURN void
fail(const struct err *e)
{
	struct worker_report report = { .pid = getpid() };

	log_error("worker %u: %s", self.setup->worker.index, e->text);
	(void)snprintf(report.failure, sizeof(report.failure), "%.*s",
	    (int)sizeof(report.failure) - 1,
	    e->text[0] != '\0' ? e->text : "unknown failure");
	if (write(self.setup->report_fd, &report, sizeof(report)) < 0)
		_exit(2);
	_exit(1);
}

void
worker_main(struct worker_setup *setup)
{
	struct worker *w = &setup->worker;
	struct worker_report up = { .pid = getpid() };
	sigset_t signals;
	struct err e;

	self.setup = setup;
	self.place = w->index;
	threads_start(setup);
	self.accept_end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	condition_init(&self.ended);
	block_signals(&signals);
	if (become_worker(&e) != 0 ||
	    (w->service->worker_start != NULL &&
		w->service->worker_start(w, &e) != 0))
		fail(&e);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (w->service->serve != NULL || w->service->turn != NULL)
		start_accepting();
	if (write(setup->report_fd, &up, sizeof(up)) < 0)
		_exit(1);
	(void)close(setup->report_fd);
	run_until_stopped(&signals);
	atomic_store(&self.stopping, true);
	stop_accepting();
	stop_and_wait();
	_exit(0);
}

int
worker_serve_one(struct worker_setup *setup, int fd, struct err *e)
{
	struct connection c = { .fd = fd, .kind = SERVICE_INHERITED };
	struct worker *w = &setup->worker;

	self.setup = setup;
	threads_start(setup);
	condition_init(&self.ended);
	if (w->service->worker_start != NULL &&
	    w->service->worker_start(w, e) != 0)
		return -1;
	if (!threads_add(&c))
		return err_set(e, ERR_TEMP, "no thread for the connection");
	(void)threads_wait_end(NULL);
	atomic_store(&self.stopping, true);
	stop_and_wait();
	return 0;
}
