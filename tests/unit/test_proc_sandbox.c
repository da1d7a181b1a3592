/*
 * What a worker cannot do, and what its supervisor does not hand down.  The
 * worker itself tries and reports; what needs root is skipped without it.
 */
#include <sys/resource.h>
#include <sys/syscall.h>

#include <pwd.h>

#include "proc_fixture.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED
#endif

static const char *run_as = "";

static int
configure_user(const char *state_dir, struct service_config *out, struct err *e)
{
	int rc = fixture_configure(state_dir, out, e);

	(void)snprintf(out->user, sizeof(out->user), "%s", run_as);
	return rc;
}

/* 0 or the error of an attempt. */
static int
error_of(long rc)
{
	return rc < 0 ? errno : 0;
}

static int
try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return error_of(pid);
}

static int
try_exec(void)
{
	char path[] = "/usr/bin/true";
	char *argv[] = { path, NULL }, *envp[] = { NULL };

	return error_of(execve(path, argv, envp));
}

static int
try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	int error = error_of(fd);

	if (fd >= 0)
		(void)close(fd);
	return error;
}

static int
try_inside(const char *name, int flags)
{
	char path[sizeof(dir) + 32];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return try_open(path, flags);
}

/* Maildirs deliver so. */
static int
try_move(void)
{
	char from[sizeof(dir) + 32], to[sizeof(dir) + 32];

	(void)snprintf(from, sizeof(from), "%s/log/made", dir);
	(void)snprintf(to, sizeof(to), "%s/run/made", dir);
	return error_of(rename(from, to));
}

/* One value of /proc/self/status. */
static void
status_value(const char *key, char out[LINE_SIZE])
{
	struct buf b;
	struct err e;
	const char *at;

	buf_init(&b, 65536);
	if (file_read(AT_FDCWD, "/proc/self/status", &b, &e) == 0 &&
	    (at = strstr(b.data, key)) != NULL)
		(void)snprintf(
		    out, LINE_SIZE, "%.*s", (int)strcspn(at, "\n"), at);
	buf_release(&b);
}

static int
descriptor_state(void)
{
	int state = 0;

	for (int fd = 0; fd < 3; fd++)
		state += fcntl(fd, F_GETFD) >= 0;
	/* what prepare_hostile() left open */
	return state + (fcntl(77, F_GETFD) >= 0 ? 10 : 0);
}

static long
attempt(char letter)
{
	struct rlimit limit = { 1, 1 };

	switch (letter) {
	case 'f':
		return try_fork();
	case 'x':
		return try_exec();
	case 'i':
		return error_of(socket(AF_INET, SOCK_STREAM, 0));
	case 'u':
		return error_of(socket(AF_UNIX, SOCK_STREAM, 0));
	case 't':
		return error_of(syscall(SYS_ptrace, 0, 0, 0, 0));
	case 'b':
		return error_of(syscall(SYS_bpf, 0, NULL, 0));
	case 'o':
		return try_open("/etc/passwd", O_RDONLY);
	case 'h':
		return try_open("/etc/hosts", O_RDONLY);
	case 'w':
		return try_open("/etc/hosts", O_WRONLY);
	case 'c':
		return try_inside("log/made", O_WRONLY | O_CREAT);
	case 'm':
		return try_move();
	case 'd':
		return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	case 'l':
		(void)getrlimit(RLIMIT_CORE, &limit);
		return (long)limit.rlim_max;
	case 'n':
		(void)getrlimit(RLIMIT_NOFILE, &limit);
		return limit.rlim_cur == limit.rlim_max;
	case 'v':
		/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
		return getenv("LD_LIBRARY_PATH") != NULL;
	default:
		return descriptor_state();
	}
}

static void
probe(struct worker *w, char letter, char out[LINE_SIZE])
{
	(void)w;
	switch (letter) {
	case 'N':
		status_value("NoNewPrivs:", out);
		break;
	case 'C':
		status_value("CapEff:", out);
		break;
	case 'P':
		status_value("CapPrm:", out);
		break;
	case 'U':
		status_value("Uid:", out);
		break;
	case 'G':
		status_value("Gid:", out);
		break;
	case 'S':
		status_value("Seccomp:", out);
		break;
	default:
		(void)snprintf(out, LINE_SIZE, "%ld", attempt(letter));
	}
}

static void
assert_answer(int fd, char letter, const char *wanted)
{
	char line[LINE_SIZE];

	assert_true(try_ask(fd, letter, line));
	assert_string_equal(line, wanted);
}

static void
test_limits(void **state)
{
	int fd;

	(void)state;
	start();
	fd = dial(knobs->ports[0]);
	assert_answer(fd, 'N', "NoNewPrivs:\t1");
	assert_int_equal(ask_number(fd, 'l'), 0);
	assert_int_equal(ask_number(fd, 'n'), 1);
	(void)close(fd);
}

static void
test_system_calls(void **state)
{
	int fd;

	(void)state;
	start();
	fd = dial(knobs->ports[0]);
	assert_answer(fd, 'S', "Seccomp:\t2");
#ifndef IS_SANITIZED /* the leak checker traces its own process */
	assert_int_equal(ask_number(fd, 'd'), 0);
#endif
	assert_int_equal(ask_number(fd, 'x'), EPERM);
	assert_int_equal(ask_number(fd, 'f'), EPERM);
	assert_int_equal(ask_number(fd, 'i'), EPERM);
	assert_int_equal(ask_number(fd, 'u'), 0);
	assert_int_equal(ask_number(fd, 't'), EPERM);
	assert_int_equal(ask_number(fd, 'b'), EPERM);
	(void)close(fd);
	/* threads can still be made: a second connection has one */
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 'u'), 0);
	(void)close(fd);
}

static void
test_paths(void **state)
{
	int fd;

	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
		skip();
	start();
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, 'o'), EACCES);
	assert_int_equal(ask_number(fd, 'h'), 0);
	assert_int_equal(ask_number(fd, 'w'), EACCES);
	assert_int_equal(ask_number(fd, 'c'), 0);
	assert_int_equal(ask_number(fd, 'm'), 0);
	(void)close(fd);
}

/* Ids, all of them, and no capability. */
static void
test_user(void **state)
{
	const struct passwd *nobody;
	char wanted[LINE_SIZE], log[sizeof(dir) + 8];
	unsigned uid, gid;
	int fd;

	(void)state;
	if (getuid() != 0)
		skip();
	nobody = getpwnam("nobody"); /* NOLINT(concurrency-mt-unsafe) */
	assert_non_null(nobody);
	uid = nobody->pw_uid;
	gid = nobody->pw_gid;
	(void)snprintf(log, sizeof(log), "%s/log", dir);
	assert_int_equal(mkdir(log, 0700), 0);
	assert_int_equal(chown(log, uid, gid), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	run_as = "nobody";
	start();
	run_as = "";
	fd = dial(knobs->ports[0]);
	(void)snprintf(
	    wanted, sizeof(wanted), "Uid:\t%u\t%u\t%u\t%u", uid, uid, uid, uid);
	assert_answer(fd, 'U', wanted);
	(void)snprintf(
	    wanted, sizeof(wanted), "Gid:\t%u\t%u\t%u\t%u", gid, gid, gid, gid);
	assert_answer(fd, 'G', wanted);
	assert_answer(fd, 'C', "CapEff:\t0000000000000000");
	assert_answer(fd, 'P', "CapPrm:\t0000000000000000");
	(void)close(fd);
	/* the log belongs to who writes it, and a reload still can bind */
	knobs->ports[1] = free_port();
	change();
	fd = dial(knobs->ports[1]);
	assert_answer(fd, 'C', "CapEff:\t0000000000000000");
	(void)close(fd);
	assert_int_equal(stop(), 0);
}

static void
test_wrong_user(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	run_as = "root";
	assert_int_equal(exit_code(launch(NULL)), 1);
	assert_stderr_has("user root is root");
	run_as = "no-such-user";
	assert_int_equal(exit_code(launch(NULL)), 1);
	assert_stderr_has("no user no-such-user");
	run_as = "";
}

/* Closed and stray descriptors, dead signals, a loaded environment. */
static void
prepare_hostile(void)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t all;

	(void)dup2(2, 77);
	(void)close(0);
	(void)close(1);
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	(void)setenv("LD_LIBRARY_PATH", "/tmp", 1);
}

static void
test_hostile_start(void **state)
{
	int fd;

	(void)state;
	supervisor = launch(prepare_hostile);
	wait_state(SERVICE_RUNNING);
	fd = dial(knobs->ports[0]);
	assert_int_equal(ask_number(fd, '0'), 3);
	assert_int_equal(ask_number(fd, 'v'), 0);
	(void)close(fd);
	assert_int_equal(stop(), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_limits),
		TEST(test_system_calls),
		TEST(test_paths),
		TEST(test_user),
		TEST(test_wrong_user),
		TEST(test_hostile_start),
	};

	fixture_service.configure = configure_user;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
