#ifndef TESTS_PROC_FIXTURE_H
#define TESTS_PROC_FIXTURE_H

/*
 * A small service in a fresh state directory: its supervisor is a child of
 * the test.  What its configuration says is in memory shared with the test
 * (struct knobs).  A connection sends one letter and gets one line back; the
 * answers to letters are `probe`, which each test program has.  For cmocka
 * programs, included once.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "net/sock.h"
#include "proc/service.h"

enum {
	LINE_SIZE = 512,
	WAIT_MS = 30000, /* for what happens at once, on a busy machine */
	GRACE_MS = 700,
	PORTS = 4,
};

/* What the test tells the service, and what the service counts. */
struct knobs {
	atomic_uint generation, seen; /* of the configuration */
	atomic_bool disabled, bad_config, bad_start, crash_start, slow_start;
	atomic_uint workers, connections, kind;
	uint16_t ports[PORTS]; /* 0: none */
	atomic_uint starts, ticks, threads, stops;
};

static struct knobs *knobs;
static char dir[64];
static pid_t supervisor;

/* The reply to one letter. */
static void probe(struct worker *w, char letter, char out[LINE_SIZE]);

/* --- the service ----------------------------------------------------------- */

static int
fixture_configure(
    const char *state_dir, struct service_config *out, struct err *e)
{
	static const char *const read_paths[] = { "/proc/self", "/usr",
		"/etc/hosts", NULL };
	static const char *write_paths[] = { dir, NULL };

	if (atomic_load(&knobs->bad_config))
		return err_set(e, ERR_PERM, "bad configuration");
	knobs->seen = atomic_load(&knobs->generation);
	memset(out, 0, sizeof(*out));
	out->enabled = !atomic_load(&knobs->disabled);
	out->workers = atomic_load(&knobs->workers);
	out->connections = atomic_load(&knobs->connections);
	(void)snprintf(out->log_dir, sizeof(out->log_dir), "%s/log", state_dir);
	out->read_paths = read_paths;
	out->write_paths = write_paths;
	for (int i = 0; i < PORTS; i++) {
		struct listener *l = &out->listeners[out->listener_count];

		if (knobs->ports[i] == 0)
			continue;
		out->listener_count++;
		l->ip = (struct ip){ .bytes = { [10] = 0xff,
					 [11] = 0xff,
					 [12] = 127,
					 [15] = 1 } };
		l->port = knobs->ports[i];
		l->kind = atomic_load(&knobs->kind);
	}
	return 0;
}

static bool
fixture_changed(const char *state_dir)
{
	(void)state_dir;
	return atomic_load(&knobs->generation) != atomic_load(&knobs->seen);
}

static void
fixture_thread(struct worker *w, void *arg)
{
	const struct timespec nap = { 0, 10 * 1000000 };

	(void)w;
	(void)arg;
	knobs->threads++;
	while (!service_stopping())
		(void)nanosleep(&nap, NULL);
	knobs->threads--;
}

static int
fixture_start(struct worker *w, struct err *e)
{
	knobs->starts++;
	if (atomic_load(&knobs->crash_start))
		abort();
	if (atomic_load(&knobs->slow_start))
		(void)poll(NULL, 0, WAIT_MS);
	if (atomic_load(&knobs->bad_start))
		return err_set(e, ERR_PERM, "bad start");
	return worker_thread(w, "fixture", 0, fixture_thread, NULL, e);
}

static void
fixture_serve(struct worker *w, struct connection *c)
{
	char letter, line[LINE_SIZE];

	while (recv(c->fd, &letter, 1, 0) == 1) {
		line[0] = '\0';
		if (letter == 'k')
			(void)snprintf(line, sizeof(line), "%u", c->kind);
		else
			probe(w, letter, line);
		line[LINE_SIZE - 2] = '\0';
		(void)strcat(line, "\n"); /* NOLINT */
		if (send(c->fd, line, strlen(line), MSG_NOSIGNAL) < 0)
			break;
	}
	(void)close(c->fd);
}

static void
fixture_busy(struct worker *w, const struct connection *c)
{
	(void)w;
	(void)send(c->fd, "busy\n", 5, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
fixture_tick(struct worker *w)
{
	(void)w;
	knobs->ticks++;
}

static void
fixture_stop(struct worker *w)
{
	(void)w;
	knobs->stops++;
}

static struct service fixture_service = {
	.name = "fixture",
	.stop_grace_ms = GRACE_MS,
	.deny_outgoing = true,
	.deny_exec = true,
	.configure = fixture_configure,
	.changed = fixture_changed,
	.worker_start = fixture_start,
	.serve = fixture_serve,
	.busy = fixture_busy,
	.tick = fixture_tick,
	.worker_stop = fixture_stop,
};

/* --- steps ------------------------------------------------------------------ */

static inline void
nap_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

/* A port of 127.0.0.1 that is free now. */
static inline uint16_t
free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
	    bind(fd, (const struct sockaddr *)(const void *)&a, len), 0);
	assert_int_equal(
	    getsockname(fd, (struct sockaddr *)(void *)&a, &len), 0);
	(void)close(fd);
	return ntohs(a.sin_port);
}

/*
 * service_main() in a child; what it says goes to DIR/stderr.  `prepare` runs
 * before it and may be NULL.
 */
static inline pid_t
launch(void (*prepare)(void))
{
	char name[] = "fixture", option[] = "--state", path[sizeof(dir) + 8];
	char *argv[] = { name, option, dir, NULL };
	pid_t pid;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/stderr", dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || dup2(fd, 2) != 2)
		_exit(99);
	if (prepare != NULL)
		prepare();
	_exit(service_main(&fixture_service, 3, argv));
}

static inline int
exit_code(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline struct service_status
status_now(void)
{
	struct service_status st;
	struct err e = { 0 };

	if (service_status_read(dir, "fixture", &st, &e) != 0)
		fail_msg("%s", e.text);
	return st;
}

static inline void
wait_state(enum service_state state)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (status_now().state != state) {
		if (clock_mono_ms() > end)
			fail_msg("state is %s, not %s",
			    service_state_name(status_now().state),
			    service_state_name(state));
		nap_ms(5);
	}
}

static inline void
start(void)
{
	supervisor = launch(NULL);
	wait_state(SERVICE_RUNNING);
}

/* SIGTERM; the exit code. */
static inline int
stop(void)
{
	pid_t pid = supervisor;

	supervisor = 0;
	assert_int_equal(kill(pid, SIGTERM), 0);
	return exit_code(pid);
}

/* A new configuration; returns when it is in force. */
static inline void
change(void)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	knobs->generation++;
	while (fixture_changed(NULL)) {
		assert_true(clock_mono_ms() < end);
		nap_ms(5);
	}
	nap_ms(50); /* configure() has been asked; now it is acted upon */
	wait_state(knobs->disabled ? SERVICE_DISABLED : SERVICE_RUNNING);
}

/* -1: refused. */
static inline int
dial(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)) ==
	    0)
		return fd;
	(void)close(fd);
	return -1;
}

/* A line; false at the end of the connection. */
static inline bool
read_line(int fd, char out[LINE_SIZE])
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	while (len < LINE_SIZE - 1) {
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		if (recv(fd, out + len, 1, 0) != 1)
			return false;
		if (out[len] == '\n')
			break;
		len++;
	}
	out[len] = '\0';
	return true;
}

static inline bool
try_ask(int fd, char letter, char out[LINE_SIZE])
{
	return send(fd, &letter, 1, MSG_NOSIGNAL) == 1 && read_line(fd, out);
}

/* The number in the answer to a letter. */
static inline long
ask_number(int fd, char letter)
{
	char line[LINE_SIZE];

	assert_true(try_ask(fd, letter, line));
	return strtol(line, NULL, 10);
}

/* Has the process gone (a zombie of nobody's counts)? */
static inline void
wait_gone(pid_t pid)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (kill(pid, 0) == 0) {
		assert_true(clock_mono_ms() < end);
		nap_ms(5);
	}
}

static inline void
assert_stderr_has(const char *text)
{
	struct buf b;
	struct err e;
	char path[sizeof(dir) + 8];

	(void)snprintf(path, sizeof(path), "%s/stderr", dir);
	buf_init(&b, 65536);
	assert_int_equal(file_read(AT_FDCWD, path, &b, &e), 0);
	if (strstr(b.data, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, b.data);
	buf_release(&b);
}

/* --- set-up ------------------------------------------------------------------ */

static int
fixture_remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline int
setup(void **state)
{
	char path[sizeof(dir) + 8];

	(void)state;
	knobs = mmap(NULL, sizeof(*knobs), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS,
	    /* cppcheck-suppress invalidFunctionArg */
	    -1, 0);
	assert_ptr_not_equal(knobs, MAP_FAILED);
	knobs->workers = 2;
	knobs->connections = 20;
	knobs->ports[0] = free_port();
	(void)snprintf(dir, sizeof(dir), "/tmp/test-proc-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	return mkdir(path, 0700);
}

static inline int
teardown(void **state)
{
	(void)state;
	if (supervisor > 0)
		(void)stop();
	(void)munmap(knobs, sizeof(*knobs));
	return nftw(dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#endif /* TESTS_PROC_FIXTURE_H */
