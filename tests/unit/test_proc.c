/*
 * The daemon skeleton with a small echo service: start, replacement of killed
 * workers, reload, full pool, stop; and what the sandbox takes away.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/sock.h"
#include "net/stream.h"
#include "proc/privilege.h"
#include "proc/service.h"

enum {
	WAIT_MS = 20000
};

static char top[32];
static uint16_t port;

/* --- the echo service ----------------------------------------------------------- */

/* "extra" in the state directory: a second listener; "off": disabled. */
static int
echo_configure(const char *dir, struct service_config *out, struct err *e)
{
	struct ip ip;
	char path[128];

	(void)e;
	assert(ip_parse(slice_str("127.0.0.1"), &ip));
	(void)snprintf(path, sizeof(path), "%s/off", dir);
	out->enabled = access(path, F_OK) != 0;
	out->workers = 2;
	out->connections = 2;
	(void)snprintf(out->log_dir, sizeof(out->log_dir), "%s/log", dir);
	out->listeners[out->listener_count].ip = ip;
	out->listeners[out->listener_count++].port = port;
	(void)snprintf(path, sizeof(path), "%s/extra", dir);
	if (access(path, F_OK) == 0) {
		struct listener *l = &out->listeners[out->listener_count++];

		(void)snprintf(l->path, sizeof(l->path), "%s/sock", dir);
		l->socktype = SOCK_STREAM;
		l->mode = 0600;
	}
	return 0;
}

static void
echo_serve(struct worker *w, struct connection *c)
{
	struct stream s;
	struct slice line;
	struct err e;

	(void)w;
	stream_init(&s, c->fd);
	stream_set_timeout(&s, WAIT_MS);
	if (stream_printf(&s, &e, "pid %d\r\n", (int)getpid()) == 0) {
		while (stream_read_line(&s, 100, &line, NULL, &e) == 0 &&
		    stream_printf(&s, &e, "%.*s\r\n", SLICE_ARGS(line)) == 0)
			;
	}
	stream_release(&s);
}

static void
echo_busy(struct worker *w, const struct connection *c)
{
	(void)w;
	(void)!write(c->fd, "busy\r\n", 6);
}

static const struct service echo = {
	.name = "echo",
	.stop_grace_ms = 1000,
	.configure = echo_configure,
	.serve = echo_serve,
	.busy = echo_busy,
};

/* --- helpers ---------------------------------------------------------------------- */

static void
pause_ms(int ms)
{
	(void)usleep((useconds_t)ms * 1000);
}

static pid_t
start(void)
{
	static char name[] = "echo", option[] = "--state";
	char *argv[] = { name, option, top, NULL };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		(void)dup2(null, 2);
		_exit(service_main(&echo, 3, argv));
	}
	return pid;
}

static void
status(struct service_status *out)
{
	struct err e;

	/* a supervisor that just starts may be half-way through the file */
	for (int i = 0; i < 100; i++) {
		if (service_status_read(top, "echo", out, &e) == 0)
			return;
		pause_ms(10);
	}
	fail_msg("%s", e.text);
}

static void
wait_state(enum service_state want)
{
	int64_t end = clock_mono_ms() + WAIT_MS;
	struct service_status st;

	for (status(&st); st.state != want; status(&st)) {
		assert_true(clock_mono_ms() < end);
		pause_ms(10);
	}
}

/* Connect; the process that serves, or 0 when it says it is busy. */
static int
say_hello(struct stream *s)
{
	struct slice line;
	struct err e;
	struct ip ip;
	char text[64];
	int fd, pid = 0;

	assert_true(ip_parse(slice_str("127.0.0.1"), &ip));
	assert_int_equal(sock_connect_tcp(&ip, port, NULL,
			     clock_mono_ms() + WAIT_MS, NULL, &fd, &e),
	    0);
	stream_init(s, fd);
	stream_set_timeout(s, WAIT_MS);
	assert_int_equal(stream_read_line(s, 60, &line, NULL, &e), 0);
	assert_true(slice_copy(line, text, sizeof(text)));
	if (strcmp(text, "busy") != 0)
		assert_int_equal(sscanf(text, "pid %d", &pid), 1);
	return pid;
}

static bool
echoes(struct stream *s)
{
	struct slice line;
	struct err e;

	return stream_printf(s, &e, "still there\r\n") == 0 &&
	    stream_read_line(s, 60, &line, NULL, &e) == 0 &&
	    slice_eq_str(line, "still there");
}

static int
stop(pid_t pid)
{
	int code;

	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &code, 0), pid);
	return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

static void
touch(const char *name)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
}

/* Was a descriptor to be had? */
static bool
opened(int fd)
{
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static int
prepare(void **state)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(any);
	char path[64];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/proc-XXXXXX");
	if (fd < 0 || mkdtemp(top) == NULL ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&any, &len) != 0) {
		(void)opened(fd);
		return -1;
	}
	port = ntohs(any.sin_port);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/run", top);
	return mkdir(path, 0700);
}

static int
clean(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command) == 0 ? 0 : -1;
}

/* --- tests ------------------------------------------------------------------------- */

static void
test_life(void **state)
{
	struct service_status st;
	struct stream a, b;
	pid_t pid = start();
	int first, again;

	(void)state;
	wait_state(SERVICE_RUNNING);
	status(&st);
	assert_int_equal(st.pid, pid);
	assert_int_equal(st.workers, 2);
	assert_int_equal(st.listener_count, 1);
	first = say_hello(&a);
	assert_true(first != pid);
	assert_true(echoes(&a));
	status(&st);
	assert_int_equal(st.connections, 1);

	/* a second supervisor is refused */
	again = start();
	assert_int_equal(waitpid(again, &again, 0) > 0, 1);
	assert_int_equal(WEXITSTATUS(again), 1);

	/* a killed worker costs its own connections and is replaced */
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_false(echoes(&a));
	stream_release(&a);
	for (status(&st); st.restarts == 0; status(&st))
		pause_ms(10);
	wait_state(SERVICE_RUNNING);
	assert_true(say_hello(&a) > 0);

	/* a new listener: old connections stay, new workers serve */
	touch("extra");
	assert_int_equal(kill(pid, SIGHUP), 0);
	for (status(&st); st.listener_count != 2; status(&st))
		pause_ms(10);
	wait_state(SERVICE_RUNNING);
	assert_true(echoes(&a));
	assert_true(say_hello(&b) > 0);
	assert_true(echoes(&b));
	stream_release(&a);
	stream_release(&b);
	assert_int_equal(stop(pid), 0);
	wait_state(SERVICE_STOPPED);
}

static void
test_full_pool_and_switch(void **state)
{
	struct stream s[5];
	pid_t pid = start();

	(void)state;
	wait_state(SERVICE_RUNNING);
	/* two workers of two connections each: fill them */
	for (unsigned i = 0; i < 4; i++) {
		while (say_hello(&s[i]) == 0)
			stream_release(&s[i]);
	}
	assert_int_equal(say_hello(&s[4]), 0);
	for (unsigned i = 0; i < 5; i++)
		stream_release(&s[i]);

	/* switched off: the supervisor stays, nothing listens */
	touch("off");
	assert_int_equal(kill(pid, SIGHUP), 0);
	wait_state(SERVICE_DISABLED);
	assert_int_equal(stop(pid), 0);
}

/* Run `body` in a child under the sandbox; its exit code. */
static int
in_sandbox(const struct sandbox *s, int (*body)(void))
{
	pid_t pid = fork();
	struct err e;
	int code;

	if (pid == 0)
		_exit(privilege_sandbox(s, &e) == 0 ? body() : 99);
	assert_int_equal(waitpid(pid, &code, 0), pid);
	return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

static void *
do_nothing(void *arg)
{
	return arg;
}

static int
jailed(void)
{
	char *argv[] = { NULL };
	pthread_t thread;
	int bad = 0;

	bad |= opened(open("/etc/passwd", O_RDONLY)) ? 1 : 0;
	bad |= opened(socket(AF_UNIX, SOCK_STREAM, 0)) ? 2 : 0;
	bad |= opened(socket(AF_INET, SOCK_STREAM, 0)) ? 4 : 0;
	bad |= execv("/bin/true", argv) == 0 ? 8 : 0;
	bad |= fork() >= 0 ? 16 : 0;
	bad |= prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ? 32 : 0;
	/* threads it may have */
	if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		bad |= 64;
	return bad;
}

static int
confined(void)
{
	char path[64];
	int bad = 0;

	(void)snprintf(path, sizeof(path), "%s/file", top);
	bad |= !opened(open(path, O_WRONLY | O_CREAT, 0600)) ? 1 : 0;
	bad |= opened(open("/etc/passwd", O_RDONLY)) ? 2 : 0;
	bad |= opened(socket(AF_INET, SOCK_STREAM, 0)) ? 4 : 0;
	bad |= !opened(socket(AF_UNIX, SOCK_STREAM, 0)) ? 8 : 0;
	return bad;
}

static void
test_sandbox(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)state;
	(void)in_sandbox;
	(void)jailed;
	(void)confined;
	skip(); /* sanitizers need what it takes away */
#else
	const char *const paths[] = { top, NULL };
	const struct sandbox jail = { .jail = true };
	const struct sandbox box = {
		.write_paths = paths, .deny_outgoing = true, .deny_exec = true
	};

	(void)state;
	assert_int_equal(in_sandbox(&jail, jailed), 0);
	assert_int_equal(in_sandbox(&box, confined), 0);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, prepare, clean),
		cmocka_unit_test_setup_teardown(test_sandbox, prepare, clean),
		cmocka_unit_test_setup_teardown(
		    test_full_pool_and_switch, prepare, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
