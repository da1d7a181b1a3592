/*
 * The connection threads of a worker.
 *
 * All connections stand in one epoll, each for one event at a time
 * (EPOLLONESHOT), so a connection is with one thread or with none.  A few
 * threads, the pollers, take what is ready and run it; under load they go
 * from connection to connection without ever being switched away.  A thread
 * that is going to wait for somebody says so (base/wait.h) and is no poller
 * from then on; another takes over: one that rests, or a new one.  So there
 * are as many threads as wait at the same time, and a connection at rest has
 * none.
 *
 * A new connection is put in as one that waits until it can be written to,
 * which it can: the kernel's list is the only queue.
 *
 * Threads that rest end after IDLE_MS.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "proc/internal.h"

enum {
	STACK_SIZE = 128 * 1024,
	IDLE_MS = 10000,
	COMPLAIN_MS = 60000,
};

/*
 * A connection is ready to be written to at once; or, where a client reads
 * nothing, when it is shut down.
 */
#define AT_ONCE (EPOLLIN | EPOLLOUT)

static struct {
	struct worker_setup *setup;
	int epoll;
	unsigned pollers_max;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work;  /* a poller is needed */
	pthread_cond_t ended; /* a connection */
	unsigned pollers, resting, connections;
	unsigned place; /* on the scoreboard */
} self = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

static _Thread_local bool is_poller;

void
complain(const char *what, int code)
{
	static _Atomic int64_t last_ms;
	int64_t now = clock_mono_ms();
	int64_t last = atomic_load(&last_ms);

	if ((last == 0 || now - last >= COMPLAIN_MS) &&
	    atomic_compare_exchange_strong(&last_ms, &last, now))
		log_error("%s: %s", what, strerrordesc_np(code));
}

/* --- threads and waiting ---------------------------------------------------- */

int
thread_start(size_t stack_size, void *(*run)(void *), void *arg)
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

void
condition_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(c, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void
deadline_after(int ms, struct timespec *out)
{
	int64_t at = clock_mono_ms() + ms;

	out->tv_sec = at / 1000;
	out->tv_nsec = (long)(at % 1000) * 1000000;
}

/* --- counting ---------------------------------------------------------------- */

/* Under the lock. */
static void
publish_count(void)
{
	struct scoreboard *board = self.setup->board;

	/* a new supervisor's scoreboard is not ours */
	if (board->pid == self.setup->supervisor)
		atomic_store_explicit(&board->connections[self.place],
		    self.connections, memory_order_relaxed);
}

unsigned
threads_connections(void)
{
	unsigned count;

	(void)pthread_mutex_lock(&self.lock);
	count = self.connections;
	(void)pthread_mutex_unlock(&self.lock);
	return count;
}

unsigned
threads_publish(unsigned place)
{
	unsigned count;

	(void)pthread_mutex_lock(&self.lock);
	if (place < WORKERS_MAX + RETIRED_MAX)
		self.place = place;
	publish_count();
	count = self.connections;
	(void)pthread_mutex_unlock(&self.lock);
	return count;
}

/* --- who polls ------------------------------------------------------------- */

static void *connection_thread(void *arg);

/* Under the lock: one poller more, where there are too few.  0 or an errno. */
static int
ensure_poller(void)
{
	const struct service *s = self.setup->worker.service;
	int code;

	if (self.pollers >= self.pollers_max)
		return 0;
	if (self.resting > 0) {
		(void)pthread_cond_signal(&self.work);
		return 0;
	}
	code = thread_start(s->stack_size ? s->stack_size : STACK_SIZE,
	    connection_thread, NULL);
	if (code == 0)
		self.pollers++; /* it is one from the start */
	return self.pollers > 0 ? 0 : code;
}

/* This thread is going to wait for somebody; false: it must not. */
static bool
step_aside(void)
{
	int code;

	(void)pthread_mutex_lock(&self.lock);
	self.pollers--;
	code = ensure_poller();
	if (code == 0)
		is_poller = false;
	else
		self.pollers++;
	(void)pthread_mutex_unlock(&self.lock);
	if (code != 0)
		complain("new thread", code);
	return code == 0;
}

/* Under the lock: false after a time in which nobody was needed. */
static bool
become_poller(void)
{
	struct timespec until;
	bool late = false;

	deadline_after(IDLE_MS, &until);
	while (self.pollers >= self.pollers_max) {
		if (late)
			return false;
		self.resting++;
		late = pthread_cond_timedwait(&self.work, &self.lock, &until) ==
		    ETIMEDOUT;
		self.resting--;
	}
	self.pollers++;
	is_poller = true;
	return true;
}

/* --- connections ------------------------------------------------------------ */

static void
forget_connection(struct connection *c)
{
	free(c);
	(void)pthread_mutex_lock(&self.lock);
	self.connections--;
	publish_count();
	(void)pthread_cond_signal(&self.ended);
	(void)pthread_mutex_unlock(&self.lock);
}

/*
 * Put a connection into the epoll, or again.  Whoever takes it out sees all
 * that was done to it: so does the kernel have it, but C knows no epoll.
 */
static int
watch(struct connection *c, int operation, uint32_t events)
{
	struct epoll_event want = { .events = events | EPOLLONESHOT,
		.data.ptr = c };
	int fd = c->fd;

	atomic_store_explicit(&c->handed_on, true, memory_order_release);
	return epoll_ctl(self.epoll, operation, fd, &want);
}

/* Where a connection has a thread of its own. */
static enum turn
serve(struct worker *w, struct connection *c)
{
	if (wait_begins()) {
		w->service->serve(w, c);
	} else {
		if (w->service->busy != NULL)
			w->service->busy(w, c);
		(void)close(c->fd);
	}
	return TURN_END;
}

/* Run a connection for as long as it need not wait, or to its end. */
static void
run(struct connection *c)
{
	struct worker *w = &self.setup->worker;
	const struct service *s = w->service;

	(void)atomic_load_explicit(&c->handed_on, memory_order_acquire);
	wait_hook = step_aside;
	switch (s->turn != NULL ? s->turn(w, c) : serve(w, c)) {
	case TURN_END:
		forget_connection(c);
		break;
	case TURN_READ:
		if (watch(c, EPOLL_CTL_MOD, EPOLLIN) != 0)
			abort();
		break;
	case TURN_LATER: /* it may be with another thread already */
		break;
	}
	wait_hook = NULL;
}

void
service_resume(struct connection *c)
{
	if (watch(c, EPOLL_CTL_MOD, AT_ONCE) != 0)
		abort();
}

static void *
connection_thread(void *arg)
{
	struct epoll_event event;

	(void)arg;
	(void)prctl(PR_SET_NAME, "connection", 0, 0, 0);
	is_poller = true;
	do {
		while (is_poller) {
			if (epoll_wait(self.epoll, &event, 1, -1) == 1)
				run(event.data.ptr);
		}
		(void)pthread_mutex_lock(&self.lock);
		(void)become_poller();
		(void)pthread_mutex_unlock(&self.lock);
	} while (is_poller);
	return NULL;
}

bool
threads_add(const struct connection *new)
{
	unsigned max = self.setup->worker.config->connections;
	struct connection *c;
	bool room;
	int code = 0;

	(void)pthread_mutex_lock(&self.lock);
	if (self.connections < max)
		code = ensure_poller();
	room = self.connections < max && code == 0;
	if (room) {
		self.connections++;
		publish_count();
	}
	(void)pthread_mutex_unlock(&self.lock);
	if (code != 0)
		complain("new thread", code);
	if (!room)
		return false;
	c = mem_alloc(sizeof(*c));
	*c = *new;
	if (watch(c, EPOLL_CTL_ADD, AT_ONCE) == 0)
		return true;
	complain("epoll", errno);
	forget_connection(c);
	return false;
}

/* Who only runs is not helped by more of them than there are cores. */
static unsigned
pollers_max(const struct worker *w)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	long workers = w->is_inherited ? 1 : (long)w->config->workers;

	if (w->service->turn == NULL || cores < workers)
		return 1;
	return (unsigned)((cores + workers - 1) / workers);
}

void
threads_start(struct worker_setup *setup)
{
	self.setup = setup;
	self.place = setup->worker.index;
	self.pollers_max = pollers_max(&setup->worker);
	condition_init(&self.work);
	condition_init(&self.ended);
	self.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (self.epoll < 0)
		abort();
}

unsigned
threads_wait_end(const struct timespec *until)
{
	unsigned left;

	(void)pthread_mutex_lock(&self.lock);
	while (self.connections > 0) {
		if (until == NULL)
			(void)pthread_cond_wait(&self.ended, &self.lock);
		else if (pthread_cond_timedwait(
			     &self.ended, &self.lock, until) != 0)
			break;
	}
	left = self.connections;
	(void)pthread_mutex_unlock(&self.lock);
	return left;
}
