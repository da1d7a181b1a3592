/*
 * A worker process: one thread that only accepts, a bounded pool of
 * connection threads, and the main thread, which reads signals and ticks.
 *
 * A thread is made when a connection finds no idle one and the limit allows,
 * and ends after IDLE_MS without work; so an idle server holds few stacks.
 * Threads started by worker_thread() end by themselves when
 * service_stopping(); the worker waits for them and for connections until its
 * grace is over.  Retired (SIGUSR1) it waits for connections as long as they
 * last.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/sock.h"
#include "proc/internal.h"
#include "proc/privilege.h"

enum {
	STACK_SIZE = 128 * 1024,
	THREAD_STACK_SIZE = 256 * 1024,
	IDLE_MS = 10000,
	TICK_MS = 500,
	GRACE_MS = 8000,
	ACCEPT_PAUSE_MS = 50, /* after EMFILE and the like */
	ACCEPT_BURST = 8,
	AHEAD = 64, /* connections: too far before another worker */
	ASIDE_MS = 1,
	ASIDE_TRIES = 20, /* with a full pool */
	COMPLAIN_MS = 60000,
	ARENAS = 4,
};

struct job {
	struct connection c;
	struct job *next;
};

/* All of one worker; there is one per process. */
static struct {
	struct worker_setup *setup;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* a job for an idle thread */
	pthread_cond_t ended; /* a thread or connection ended */
	struct job *first, **last;
	unsigned threads, idle, jobs; /* pool threads; queued jobs */
	unsigned others;              /* threads of worker_thread() */
	int stop_event;
	atomic_bool stopping;
	int64_t complained_ms;
} self = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.ended = PTHREAD_COND_INITIALIZER,
};

bool
service_stopping(void)
{
	return atomic_load_explicit(&self.stopping, memory_order_relaxed);
}

/* Under the lock. */
static unsigned
connection_count(void)
{
	return self.threads - self.idle + self.jobs;
}

unsigned
worker_connections(const struct worker *w)
{
	return atomic_load_explicit(
	    &self.setup->board->connections[w->index], memory_order_relaxed);
}

static void
publish_count(void)
{
	atomic_store_explicit(
	    &self.setup->board->connections[self.setup->worker.index],
	    connection_count(), memory_order_relaxed);
}

static void
deadline_after(int ms, struct timespec *out)
{
	(void)clock_gettime(CLOCK_REALTIME, out);
	out->tv_sec += ms / 1000;
	out->tv_nsec += (long)(ms % 1000) * 1000000;
	if (out->tv_nsec >= 1000000000) {
		out->tv_sec++;
		out->tv_nsec -= 1000000000;
	}
}

/* --- connection threads ------------------------------------------------------ */

/* The next job, or NULL after IDLE_MS without one.  Under the lock. */
static struct job *
next_job(void)
{
	struct timespec until;
	struct job *job;

	deadline_after(IDLE_MS, &until);
	while (self.first == NULL) {
		if (pthread_cond_timedwait(&self.work, &self.lock, &until) ==
			ETIMEDOUT &&
		    self.first == NULL)
			return NULL;
	}
	job = self.first;
	self.first = job->next;
	if (self.first == NULL)
		self.last = &self.first;
	self.jobs--;
	return job;
}

static void *
pool_thread(void *arg)
{
	struct job *job;

	(void)arg;
	(void)prctl(PR_SET_NAME, "connection", 0, 0, 0);
	(void)pthread_mutex_lock(&self.lock);
	while ((job = next_job()) != NULL) {
		struct connection c = job->c;

		self.idle--;
		(void)pthread_mutex_unlock(&self.lock);
		free(job);
		self.setup->worker.service->serve(&self.setup->worker, &c);
		(void)pthread_mutex_lock(&self.lock);
		self.idle++;
		publish_count();
		if (service_stopping())
			(void)pthread_cond_signal(&self.ended);
	}
	self.idle--;
	self.threads--;
	(void)pthread_cond_signal(&self.ended);
	(void)pthread_mutex_unlock(&self.lock);
	return NULL;
}

static int
start_thread(size_t stack_size, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, stack_size);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, run, arg);
	(void)pthread_attr_destroy(&attr);
	return rc;
}

/* Queue for an idle thread or a new one.  False: the pool is full. */
static bool
dispatch(const struct connection *c)
{
	const struct service *s = self.setup->worker.service;
	struct job *job = mem_alloc(sizeof(*job));
	bool taken = true;

	job->c = *c;
	job->next = NULL;
	(void)pthread_mutex_lock(&self.lock);
	if (self.idle <= self.jobs) {
		taken = self.threads < self.setup->worker.config->connections &&
		    start_thread(s->stack_size ? s->stack_size : STACK_SIZE,
			pool_thread, NULL) == 0;
		if (taken) {
			self.threads++;
			self.idle++; /* it is, until it takes the job */
		}
	}
	if (taken) {
		*self.last = job;
		self.last = &job->next;
		self.jobs++;
		publish_count();
		(void)pthread_cond_signal(&self.work);
	}
	(void)pthread_mutex_unlock(&self.lock);
	if (!taken)
		free(job);
	return taken;
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

/* Out of descriptors or memory: say so once a minute and do not spin. */
static void
pause_accepting(int code)
{
	int64_t now = clock_mono_ms();
	struct pollfd stop = { .fd = self.stop_event, .events = POLLIN };

	if (self.complained_ms == 0 || now - self.complained_ms > COMPLAIN_MS) {
		self.complained_ms = now;
		log_error("accept: %s", strerrordesc_np(code));
	}
	(void)poll(&stop, 1, ACCEPT_PAUSE_MS);
}

/* How many connections the worker with the fewest has. */
static unsigned
least_connections(void)
{
	const struct worker_setup *setup = self.setup;
	unsigned least = UINT_MAX;

	for (unsigned i = 0; i < setup->worker.config->workers; i++) {
		unsigned n = atomic_load_explicit(
		    &setup->board->connections[i], memory_order_relaxed);

		if (n < least)
			least = n;
	}
	return least;
}

/*
 * The kernel likes to wake the same worker again and again.  One that is far
 * ahead of another, or full while another has room, steps aside: it does not
 * wait for connections and only takes those that nobody else has taken for a
 * while.
 */
static bool
steps_aside(void)
{
	unsigned most = self.setup->worker.config->connections;
	unsigned own = worker_connections(&self.setup->worker);
	unsigned least = least_connections();
	struct pollfd stop = { .fd = self.stop_event, .events = POLLIN };

	if (own < least + AHEAD && (own < most || least >= most))
		return false;
	(void)poll(&stop, 1, ASIDE_MS);
	return true;
}

static void
accept_from(size_t index)
{
	const struct service *s = self.setup->worker.service;
	const struct listener *l = &self.setup->worker.config->listeners[index];

	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct connection c = { .kind = l->kind, .listener = index };

		c.fd = accept4(
		    self.setup->listen_fds[index], NULL, NULL, SOCK_CLOEXEC);
		if (c.fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(errno);
			return;
		}
		name_ends(&c, l);
		if (dispatch(&c))
			continue;
		if (s->busy != NULL)
			s->busy(&self.setup->worker, &c);
		(void)close(c.fd);
	}
}

static void *
accept_thread(void *arg)
{
	const struct service_config *config = self.setup->worker.config;
	struct epoll_event events[8];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	(void)arg;
	(void)prctl(PR_SET_NAME, "accept", 0, 0, 0);
	for (size_t i = 0; i <= config->listener_count; i++) {
		struct epoll_event want = { .data.u64 = i };
		bool stop = i == config->listener_count;

		/* EXCLUSIVE: a connection wakes one worker, not all */
		want.events = stop ? EPOLLIN : EPOLLIN | EPOLLEXCLUSIVE;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD,
			stop ? self.stop_event : self.setup->listen_fds[i],
			&want) != 0)
			abort();
	}
	while (!service_stopping()) {
		bool aside = steps_aside();
		int n = epoll_wait(
		    epoll, events, ARRAY_LEN(events), aside ? 0 : -1);

		for (int i = 0; i < n && !service_stopping(); i++) {
			if (events[i].data.u64 >= config->listener_count)
				continue;
			accept_from(events[i].data.u64);
		}
	}
	(void)close(epoll);
	(void)pthread_mutex_lock(&self.lock);
	self.others--;
	(void)pthread_cond_signal(&self.ended);
	(void)pthread_mutex_unlock(&self.lock);
	return NULL;
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
	rc = start_thread(stack_size, run, arg);
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
	(void)sigaddset(set, SIGUSR2);
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

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	/* before any thread */
	(void)mallopt(M_ARENA_MAX, ARENAS); /* NOLINT */
	if (privilege_drop(w->config->user, e) != 0)
		return -1;
	/* changing users cleared it */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != self.setup->supervisor)
		return err_set(e, ERR_CLOSED, "the supervisor has gone");
	return privilege_sandbox(&sandbox, e);
}

/* Until told to stop; returns the signal. */
static int
wait_for_signal(const sigset_t *set)
{
	const struct timespec tick = { 0, TICK_MS * 1000000L };
	struct worker *w = &self.setup->worker;

	for (;;) {
		int signal = sigtimedwait(set, NULL, &tick);

		if (signal == SIGTERM || signal == SIGINT || signal == SIGUSR1)
			return signal;
		if (getppid() != self.setup->supervisor)
			return SIGTERM;
		if (w->service->tick != NULL)
			w->service->tick(w);
	}
}

/* Wait for connections and threads; SIGTERM ends patience. */
static void
wait_for_end(const sigset_t *set, bool retired)
{
	const struct service *s = self.setup->worker.service;
	int64_t grace = s->stop_grace_ms ? s->stop_grace_ms : GRACE_MS;
	int64_t end = retired ? INT64_MAX : clock_mono_ms() + grace;
	const struct timespec now = { 0, 0 };

	(void)pthread_mutex_lock(&self.lock);
	while ((connection_count() > 0 || self.others > 0) &&
	    clock_mono_ms() < end) {
		struct timespec until;

		deadline_after(100, &until);
		(void)pthread_cond_timedwait(&self.ended, &self.lock, &until);
		if (retired &&
		    (sigtimedwait(set, NULL, &now) == SIGTERM ||
			getppid() != self.setup->supervisor)) {
			retired = false;
			end = clock_mono_ms() + grace;
		}
	}
	(void)pthread_mutex_unlock(&self.lock);
}

void
worker_main(struct worker_setup *setup)
{
	struct worker *w = &setup->worker;
	uint64_t one = 1;
	sigset_t signals;
	struct err e;
	int signal;

	self.setup = setup;
	self.last = &self.first;
	self.stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	block_signals(&signals);
	if (become_worker(&e) != 0 ||
	    (w->service->worker_start != NULL &&
		w->service->worker_start(w, &e) != 0)) {
		log_error("worker %u: %s", w->index, e.text);
		if (write(setup->ready_fd, e.text, strlen(e.text)) < 0)
			_exit(2);
		_exit(1);
	}
	if (w->service->serve != NULL &&
	    start_other(THREAD_STACK_SIZE, accept_thread, NULL, &e) != 0)
		_exit(1);
	if (write(setup->ready_fd, "", 1) != 1)
		_exit(1);
	(void)close(setup->ready_fd);
	signal = wait_for_signal(&signals);
	atomic_store(&self.stopping, true);
	if (write(self.stop_event, &one, sizeof(one)) < 0)
		_exit(1);
	if (w->service->worker_stop != NULL)
		w->service->worker_stop(w);
	wait_for_end(&signals, signal == SIGUSR1);
	_exit(0);
}

int
worker_serve_one(struct worker_setup *setup, int fd, struct err *e)
{
	struct connection c = { .fd = fd, .kind = SERVICE_INHERITED };
	struct worker *w = &setup->worker;

	self.setup = setup;
	self.last = &self.first;
	if (w->service->worker_start != NULL &&
	    w->service->worker_start(w, e) != 0)
		return -1;
	w->service->serve(w, &c);
	atomic_store(&self.stopping, true);
	if (w->service->worker_stop != NULL)
		w->service->worker_stop(w);
	wait_for_end(NULL, false);
	return 0;
}
