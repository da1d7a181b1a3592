/* The supervisor and its workers: dying, stopping, reloading, sharing. */
#include <sys/file.h>

#include "proc_fixture.h"

static void
probe(struct worker *w, char letter, char out[LINE_SIZE])
{
	(void)w;
	(void)snprintf(out, LINE_SIZE, "%d",
	    letter == 'p'       ? (int)getpid()
		: letter == 's' ? service_stopping()
				: (int)worker_connections(w));
}

static pid_t
pid_of(int fd)
{
	return (pid_t)ask_number(fd, 'p');
}

/* A connection that is served by another process than `pid`. */
static int
dial_other(pid_t pid)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	for (;;) {
		int fd = dial(knobs->ports[0]);

		assert_true(fd >= 0);
		if (pid_of(fd) != pid)
			return fd;
		(void)close(fd);
		assert_true(clock_mono_ms() < end);
	}
}

static void
wait_connections(uint32_t count)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (status_now().connections != count) {
		assert_true(clock_mono_ms() < end);
		nap_ms(5);
	}
}

static void
test_status(void **state)
{
	struct service_status st;
	int fd;

	(void)state;
	assert_int_equal(status_now().state, SERVICE_STOPPED);
	start();
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 'n'), 1);
	st = status_now();
	assert_int_equal(st.pid, supervisor);
	assert_string_equal(st.version, MAILSTEAD_VERSION);
	assert_int_equal(st.workers, 2);
	assert_int_equal(st.connections, 1);
	assert_int_equal(st.restarts, 0);
	assert_int_equal(st.listener_count, 1);
	assert_int_equal(st.listeners[0].port, knobs->ports[0]);
	(void)close(fd);
	wait_connections(0);
	assert_int_equal(stop(), 0);
	assert_int_equal(status_now().state, SERVICE_STOPPED);
}

static void
test_damaged_status(void **state)
{
	struct service_status st;
	struct err e;
	char path[sizeof(dir) + 24];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/run/fixture.stat", dir);
	assert_int_equal(
	    file_replace(AT_FDCWD, path, 0600, "rubbish", 7, &e), 0);
	assert_int_equal(service_status_read(dir, "fixture", &st, &e), -1);
	/* made, and neither locked nor written yet */
	assert_int_equal(file_replace(AT_FDCWD, path, 0600, "", 0, &e), 0);
	assert_int_equal(service_status_read(dir, "fixture", &st, &e), 0);
	assert_int_equal(st.state, SERVICE_STARTING);
	supervisor = launch(NULL);
	while (service_status_read(dir, "fixture", &st, &e) != 0)
		nap_ms(5);
	wait_state(SERVICE_RUNNING);
}

/* As the daemons of the version before or after it look to a command. */
static void
test_status_of_another_version(void **state)
{
	struct service_status st;
	struct err e;
	char path[sizeof(dir) + 24];
	uint32_t words[3];
	int fd;

	(void)state;
	start();
	(void)snprintf(path, sizeof(path), "%s/run/fixture.stat", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, words, sizeof(words)), sizeof(words));
	(void)close(fd);
	words[1]++;
	(void)snprintf(path, sizeof(path), "%s/run/other.stat", dir);
	assert_int_equal(
	    file_replace(AT_FDCWD, path, 0600, words, sizeof(words), &e), 0);
	assert_int_equal(service_status_read(dir, "other", &st, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
}

static void
test_killed_worker(void **state)
{
	int64_t end = clock_mono_ms() + WAIT_MS;
	char line[LINE_SIZE];
	int a, b;

	(void)state;
	start();
	a = dial(knobs->ports[0]);
	b = dial_other(pid_of(a));
	assert_int_equal(kill(pid_of(a), SIGKILL), 0);
	assert_false(try_ask(a, 'p', line));
	assert_true(try_ask(b, 'p', line));
	while (status_now().restarts != 1 || knobs->starts != 3) {
		assert_true(clock_mono_ms() < end);
		nap_ms(5);
	}
	(void)close(a);
	a = dial_other(pid_of(b));
	wait_connections(2);
	(void)close(a);
	(void)close(b);
}

static void
test_crash_loop(void **state)
{
	unsigned starts;
	int fd;

	(void)state;
	knobs->workers = 1;
	start();
	knobs->crash_start = true;
	fd = dial(knobs->ports[0]);
	assert_int_equal(kill(pid_of(fd), SIGKILL), 0);
	(void)close(fd);
	wait_state(SERVICE_FAILING);
	/* tried after 0, 0.1, 0.2, 0.4, 0.8, 1.6 s: not a spin */
	nap_ms(1500);
	starts = knobs->starts;
	assert_in_range(starts, 5, 8);
	knobs->crash_start = false;
	wait_state(SERVICE_RUNNING);
	fd = dial(knobs->ports[0]);
	assert_true(pid_of(fd) > 0);
	(void)close(fd);
}

static void
test_stop(void **state)
{
	int64_t begin;
	int fd;

	(void)state;
	start();
	nap_ms(700);
	assert_true(knobs->ticks > 0);
	assert_int_equal(knobs->threads, 2);
	begin = clock_mono_ms();
	assert_int_equal(stop(), 0);
	assert_true(clock_mono_ms() - begin < WAIT_MS / 10);
	assert_int_equal(knobs->threads, 0);
	assert_int_equal(knobs->stops, 2);
	/* with a connection that does not end: cut after the grace */
	start();
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 's'), 0);
	begin = clock_mono_ms();
	assert_int_equal(kill(supervisor, SIGTERM), 0);
	nap_ms(200);
	assert_int_equal(ask_number(fd, 's'), 1);
	assert_int_equal(dial(knobs->ports[0]), -1);
	assert_int_equal(exit_code(supervisor), 0);
	supervisor = 0;
	assert_in_range(
	    clock_mono_ms() - begin, GRACE_MS, GRACE_MS + WAIT_MS / 10);
	(void)close(fd);
}

/* A worker that does not react is killed. */
static void
test_stop_stuck_worker(void **state)
{
	int fd;

	(void)state;
	knobs->workers = 1;
	start();
	fd = dial(knobs->ports[0]);
	assert_int_equal(kill(pid_of(fd), SIGSTOP), 0);
	assert_int_equal(stop(), 0);
	(void)close(fd);
}

static void
test_reload(void **state)
{
	uint16_t first = knobs->ports[0];
	pid_t old;
	int fd, other;

	(void)state;
	start();
	fd = dial(first);
	old = pid_of(fd);
	knobs->ports[1] = free_port();
	change();
	other = dial(knobs->ports[1]);
	assert_int_not_equal(pid_of(other), old);
	/* the old connection goes on, and not as one that shall end */
	assert_int_equal(ask_number(fd, 's'), 0);
	wait_connections(2);
	knobs->ports[0] = 0;
	change();
	assert_int_equal(dial(first), -1);
	assert_int_equal(pid_of(fd), old);
	assert_int_equal(ask_number(other, 's'), 0);
	wait_connections(2);
	/* its worker ends with its last connection */
	(void)close(fd);
	wait_gone(old);
	assert_int_equal(ask_number(other, 's'), 0);
	(void)close(other);
	assert_int_equal(status_now().restarts, 0);
}

/* The same port again: it is still listened on by the old workers. */
static void
test_reload_same_port(void **state)
{
	int fd, other;

	(void)state;
	start();
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 'k'), 0);
	knobs->kind = 7;
	change();
	other = dial(knobs->ports[0]);
	assert_int_equal(ask_number(other, 'k'), 7);
	assert_int_equal(ask_number(fd, 'k'), 0);
	(void)close(fd);
	(void)close(other);
}

/*
 * Until the answer to 'k' is `kind`: a configuration is in force.  What was
 * connected to a socket that is given up is cut.
 */
static void
wait_kind(uint16_t at, const char *kind)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	for (;;) {
		char line[LINE_SIZE];
		int fd = dial(at);
		bool got = fd >= 0 && try_ask(fd, 'k', line) &&
		    strcmp(line, kind) == 0;

		(void)close(fd);
		if (got)
			return;
		assert_true(clock_mono_ms() < end);
		nap_ms(5);
	}
}

/*
 * A change that cannot be made changes nothing; it is made when it can be,
 * without another.
 */
static void
test_reload_refused(void **state)
{
	struct ip ip = { .bytes = {
			     [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	struct err e = { 0 };
	int taken, fd;

	(void)state;
	start();
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 's'), 0); /* it is with a worker */
	knobs->kind = 7; /* so that the first would be bound again */
	knobs->ports[1] = free_port();
	assert_int_equal(
	    sock_listen_tcp(&ip, knobs->ports[1], 1, &taken, &e), 0);
	change();
	knobs->bad_config = true;
	assert_int_equal(kill(supervisor, SIGHUP), 0);
	nap_ms(100);
	assert_int_equal(ask_number(fd, 's'), 0);
	(void)close(fd);
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 'k'), 0);
	(void)close(fd);
	(void)close(taken);
	knobs->bad_config = false;
	wait_kind(knobs->ports[1], "7");
}

static void
test_disabled(void **state)
{
	(void)state;
	knobs->disabled = true;
	supervisor = launch(NULL);
	wait_state(SERVICE_DISABLED);
	assert_int_equal(dial(knobs->ports[0]), -1);
	knobs->disabled = false;
	change();
	assert_int_equal(knobs->threads, 2);
	knobs->disabled = true;
	change();
	assert_int_equal(dial(knobs->ports[0]), -1);
	assert_int_equal(status_now().workers, 0);
	knobs->disabled = false;
	change();
	assert_true(dial(knobs->ports[0]) >= 0);
}

/* All places of all workers are used before anybody hears "busy". */
static void
test_full(void **state)
{
	enum {
		MOST = 3
	};

	char line[LINE_SIZE];
	int fds[2 * MOST], fd;

	(void)state;
	knobs->connections = MOST;
	start();
	for (int i = 0; i < 2 * MOST; i++) {
		fds[i] = dial(knobs->ports[0]);
		assert_true(pid_of(fds[i]) > 0);
	}
	fd = dial(knobs->ports[0]);
	assert_true(read_line(fd, line));
	assert_string_equal(line, "busy");
	assert_false(read_line(fd, line));
	(void)close(fd);
	(void)close(fds[0]);
	wait_connections(2 * MOST - 1);
	fds[0] = dial(knobs->ports[0]);
	assert_true(pid_of(fds[0]) > 0);
	for (int i = 0; i < 2 * MOST; i++)
		(void)close(fds[i]);
}

static void
test_g13_second_supervisor(void **state)
{
	(void)state;
	start();
	assert_int_equal(exit_code(launch(NULL)), 1);
	assert_stderr_has("fixture is running already");
	assert_int_equal(status_now().state, SERVICE_RUNNING);
	assert_int_equal(status_now().pid, supervisor);
}

/* One that is being killed lets go of the lock a while later. */
static void
test_second_while_first_dies(void **state)
{
	char path[sizeof(dir) + 24];
	pid_t dying;
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/run/fixture.stat", dir);
	start();
	assert_int_equal(stop(), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	dying = fork();
	if (dying == 0) {
		nap_ms(500);
		_exit(0);
	}
	(void)close(fd); /* the child has the lock now */
	start();
	assert_int_equal(exit_code(dying), 0);
}

/* kill -9 of the supervisor: its workers go, the next one starts at once. */
static void
test_g12_killed_supervisor(void **state)
{
	pid_t worker;
	int fd;

	(void)state;
	start();
	fd = dial(knobs->ports[0]);
	worker = pid_of(fd);
	assert_int_equal(kill(supervisor, SIGKILL), 0);
	assert_int_equal(exit_code(supervisor), -SIGKILL);
	assert_int_equal(status_now().state, SERVICE_STOPPED);
	start();
	assert_int_equal(status_now().connections, 0);
	wait_gone(worker);
	(void)close(fd);
	fd = dial(knobs->ports[0]);
	assert_true(pid_of(fd) > 0);
	assert_int_equal(status_now().connections, 1);
	(void)close(fd);
}

/*
 * The same while the workers are still starting, which may take long and
 * reads no signals: they do not keep the sockets either.
 */
static void
test_g12_killed_while_starting(void **state)
{
	int64_t end = clock_mono_ms() + WAIT_MS;
	int fd;

	(void)state;
	knobs->slow_start = true;
	supervisor = launch(NULL);
	while (knobs->starts < knobs->workers) {
		assert_true(clock_mono_ms() < end);
		nap_ms(5);
	}
	assert_int_equal(kill(supervisor, SIGKILL), 0);
	assert_int_equal(exit_code(supervisor), -SIGKILL);
	knobs->slow_start = false;
	start();
	fd = dial(knobs->ports[0]);
	assert_true(pid_of(fd) > 0);
	(void)close(fd);
}

static void
test_wrong_use(void **state)
{
	char name[] = "fixture", option[] = "--wrong";
	char *argv[] = { name, option, NULL };
	struct ip ip = { .bytes = {
			     [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	struct err e = { 0 };
	int taken;

	(void)state;
	assert_int_equal(service_main(&fixture_service, 2, argv), 2);
	assert_int_equal(
	    sock_listen_tcp(&ip, knobs->ports[0], 1, &taken, &e), 0);
	assert_int_equal(exit_code(launch(NULL)), 1);
	assert_stderr_has("address in use by test_proc_servi");
	(void)close(taken);
	knobs->bad_start = true;
	assert_int_equal(exit_code(launch(NULL)), 1);
	assert_stderr_has("bad start");
	knobs->bad_config = true;
	assert_int_equal(exit_code(launch(NULL)), 1);
	assert_stderr_has("bad configuration");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_status),
		TEST(test_damaged_status),
		TEST(test_status_of_another_version),
		TEST(test_killed_worker),
		TEST(test_crash_loop),
		TEST(test_stop),
		TEST(test_stop_stuck_worker),
		TEST(test_reload),
		TEST(test_reload_same_port),
		TEST(test_reload_refused),
		TEST(test_disabled),
		TEST(test_full),
		TEST(test_g13_second_supervisor),
		TEST(test_second_while_first_dies),
		TEST(test_g12_killed_supervisor),
		TEST(test_g12_killed_while_starting),
		TEST(test_wrong_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
