/* Files and the event log, in a folder of their own. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
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
#include "base/file.h"
#include "base/log.h"

#include "tests/lib/tree.h"

static char folder[64];
static int folder_fd = -1;

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/mailstead-test-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY);
	return folder_fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_open("", NULL, true);
	(void)close(folder_fd);
	return tree_remove(folder);
}

static mode_t
mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(folder_fd, name, &st, 0), 0);
	return st.st_mode & 07777;
}

static void
test_replace_and_read(void **state)
{
	char *big = calloc(1, 40000);
	mode_t mask = umask(077);
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 40000);
	assert_int_equal(file_replace(folder_fd, "f", 0664, "one", 3, &e), 0);
	(void)umask(mask);
	assert_int_equal(mode_of("f"), 0664);
	assert_int_equal(file_replace(folder_fd, "f", 0600, "two", 3, &e), 0);
	assert_int_equal(mode_of("f"), 0600);
	buf_addstr(&b, "is ");
	assert_int_equal(file_read(folder_fd, "f", &b, &e), 0);
	assert_string_equal(b.data, "is two");
	buf_reset(&b);
	assert_int_equal(file_replace(folder_fd, "f", 0600, NULL, 0, &e), 0);
	assert_int_equal(file_read(folder_fd, "f", &b, &e), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(file_replace(folder_fd, "f", 0600, big, 40000, &e), 0);
	assert_int_equal(file_read(folder_fd, "f", &b, &e), 0);
	assert_int_equal(b.len, 40000); /* exactly the ceiling */
	buf_release(&b);
	free(big);
}

static void
test_read_refuses(void **state)
{
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	buf_addstr(&b, "kept");
	assert_int_equal(file_read(folder_fd, "nothing", &b, &e), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(
	    file_replace(folder_fd, "long", 0600, "1234567", 7, &e), 0);
	assert_int_equal(file_read(folder_fd, "long", &b, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_string_equal(b.data, "kept");
	assert_false(buf_overflowed(&b));
	assert_int_equal(symlinkat("long", folder_fd, "link"), 0);
	assert_int_equal(file_read(folder_fd, "link", &b, &e), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(mkfifoat(folder_fd, "fifo", 0600), 0);
	assert_int_equal(file_read(folder_fd, "fifo", &b, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(file_read(folder_fd, ".", &b, &e), -1);
	assert_string_equal(b.data, "kept");
	buf_release(&b);
}

static void
test_replace_fails_cleanly(void **state)
{
	struct err e = { 0 };
	struct err ignored;

	(void)state;
	assert_int_equal(
	    file_replace(folder_fd, "no/such", 0600, "x", 1, &e), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(file_mkdir(folder_fd, "sub", 0700, &e), 0);
	assert_int_equal(file_mkdir(folder_fd, "sub/dir", 0700, &e), 0);
	assert_int_equal(
	    file_replace(folder_fd, "sub/dir", 0600, "x", 1, &e), -1);
	/* no temporary file stays behind: the folder can be removed */
	assert_int_equal(unlinkat(folder_fd, "sub/dir", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(folder_fd, "sub", AT_REMOVEDIR), 0);
	assert_int_equal(file_mkdir(folder_fd, "sub", 0700, &e), 0);
	assert_int_equal(
	    file_replace(folder_fd, "sub/f", 0600, "x", 1, &ignored), 0);
}

static void
test_mkdir(void **state)
{
	mode_t mask = umask(077);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(file_mkdir(folder_fd, "d", 02770, &e), 0);
	(void)umask(mask);
	assert_int_equal(mode_of("d"), 02770);
	assert_int_equal(file_mkdir(folder_fd, "d", 0700, &e), 0);
	assert_int_equal(mode_of("d"), 02770); /* left as it was */
	assert_int_equal(file_replace(folder_fd, "plain", 0600, "", 0, &e), 0);
	assert_int_equal(file_mkdir(folder_fd, "plain", 0700, &e), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(symlinkat("d", folder_fd, "dlink"), 0);
	assert_int_equal(file_mkdir(folder_fd, "dlink", 0700, &e), -1);
	assert_int_equal(file_mkdir(folder_fd, "a/b", 0700, &e), -1);
}

/* The day's log of program folder `name`. */
static void
log_path(const char *name, char out[128])
{
	char day[CLOCK_DAY_SIZE];

	clock_day(clock_wall_ms(), day);
	(void)snprintf(out, 128, "%s/%s/%s.log", folder, name, day);
}

static void
open_log(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	log_open("test", path, false);
}

static void
read_log(const char *name, struct buf *out)
{
	char path[128];
	struct err e = { 0 };

	log_path(name, path);
	buf_init(out, 64 << 20);
	if (file_read(AT_FDCWD, path, out, &e) != 0)
		fail_msg("%s", e.text);
}

static void
test_log_lines(void **state)
{
	struct log_line l;
	struct buf text;
	struct slice rest, line;
	char path[128];

	(void)state;
	open_log("lines");
	log_path("lines", path);
	assert_int_equal(access(path, F_OK), -1); /* opened by its first line */
	log_begin(&l, "connect", "SESSION", NULL);
	log_str(&l, "ip", "192.0.2.1");
	log_int(&l, "low", INT64_MIN);
	log_int(&l, "zero", 0);
	log_end(&l);
	log_begin(&l, "reject", NULL, "ID");
	log_str(&l, "none", "");
	log_str(&l, "null", NULL);
	log_str(&l, "space", "a b");
	log_str(&l, "quote", "a\"b\\c");
	log_slice(&l, "line", SLICE_LIT("x\r\nevent=fake\0\x7f\xc3\xa4"));
	log_end(&l);
	read_log("lines", &text);
	rest = slice_cut(buf_slice(&text), '\n', &line);
	assert_true(slice_ends(line,
	    "Z SESSION - event=connect ip=192.0.2.1 "
	    "low=-9223372036854775808 zero=0"));
	assert_int_equal(slice_chr(line, ' '), 24);
	rest = slice_cut(rest, '\n', &line);
	assert_true(slice_ends(line,
	    "Z - ID event=reject none=\"\" null=\"\" space=\"a b\" "
	    "quote=\"a\\\"b\\\\c\" "
	    "line=\"x\\x0d\\x0aevent=fake\\x00\\x7f\\xc3\\xa4\""));
	assert_int_equal(rest.len, 0);
	buf_release(&text);
	assert_int_equal(mode_of("lines") & 0750, 0750);
}

/* What one field becomes, without the head of the line. */
static struct slice
field_of(struct log_line *l, struct slice value)
{
	size_t before;

	log_begin(l, "x", NULL, NULL);
	before = l->len;
	log_slice(l, "k", value);
	return slice_of(l->text + before + 3, l->len - before - 3);
}

static void
test_log_cuts(void **state)
{
	static char value[5000];
	struct log_line l;
	struct slice got;

	(void)state;
	memset(value, 'x', sizeof(value));
	got = field_of(&l, slice_of(value, LOG_VALUE_MAX));
	assert_true(slice_eq(got, slice_of(value, LOG_VALUE_MAX)));
	got = field_of(&l, slice_of(value, LOG_VALUE_MAX + 1));
	assert_int_equal(got.len, LOG_VALUE_MAX);
	assert_true(slice_ends(got, "x..."));
	value[0] = ' ';
	got = field_of(&l, slice_of(value, LOG_VALUE_MAX - 2));
	assert_int_equal(got.len, LOG_VALUE_MAX);
	assert_true(slice_ends(got, "xx\""));
	got = field_of(&l, slice_of(value, LOG_VALUE_MAX - 1));
	assert_int_equal(got.len, LOG_VALUE_MAX);
	assert_true(slice_ends(got, "x...\""));
	memset(value, 1, sizeof(value)); /* no escape is cut in two */
	got = field_of(&l, slice_of(value, sizeof(value)));
	assert_true(got.len <= LOG_VALUE_MAX);
	assert_true(slice_ends(got, "\\x01...\""));

	open_log("cuts"); /* a line never grows beyond its size */
	log_begin(&l, "x", NULL, NULL);
	for (int i = 0; i < 100; i++)
		log_slice(&l, "key", slice_of(value, (size_t)i * 50));
	assert_true(l.len < LOG_LINE_SIZE);
	log_end(&l);
	assert_int_equal(l.text[l.len - 1], '\n');
}

static void
test_log_service(void **state)
{
	struct slice rest, line;
	struct buf text;
	int n = 0;

	(void)state;
	open_log("service");
	for (int i = 0; i < 1000; i++)
		log_error("disk %s", "full");
	log_warning("disk %s", "full");
	log_info("other");
	read_log("service", &text);
	rest = slice_cut(buf_slice(&text), '\n', &line);
	assert_true(slice_ends(
	    line, " - - event=service level=error text=\"disk full\""));
	for (; line.len > 0; n++)
		rest = slice_cut(rest, '\n', &line);
	/* a slow machine may need two seconds for the thousand */
	assert_true(n >= 3 && n < 10);
	buf_release(&text);
}

static void *
log_a_thousand(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		struct log_line l;

		log_begin(&l, "connect", arg, NULL);
		log_str(&l, "text", "a value of some length, with spaces");
		log_int(&l, "i", i);
		log_end(&l);
	}
	return NULL;
}

static void
test_log_threads_and_processes(void **state)
{
	static char names[4][4] = { "T0", "T1", "T2", "T3" };
	pthread_t threads[4];
	struct slice rest, line;
	struct buf text;
	size_t lines = 0;
	pid_t child;
	int status;

	(void)state;
	open_log("threads");
	(void)log_a_thousand(names[0]);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)log_a_thousand(names[1]);
		_exit(0);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, log_a_thousand, names[i]),
		    0);
	for (int i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	read_log("threads", &text);
	for (rest = buf_slice(&text); rest.len > 0; lines++) {
		rest = slice_cut(rest, '\n', &line);
		assert_int_equal(slice_chr(line, 'Z'), 23);
		assert_int_equal(line.data[25], 'T');
		assert_true(line.len > 80 && line.len < 100);
	}
	assert_int_equal(lines, 6000);
	buf_release(&text);
}

/* In a child, because the limit stays. */
static void
log_beyond_a_limit(void)
{
	struct rlimit limit;
	struct log_line l;

	(void)signal(SIGXFSZ, SIG_IGN);
	open_log("lost");
	log_info("first");
	if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
		_exit(1);
	limit.rlim_cur = 100; /* in the middle of the second line */
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		_exit(1);
	for (int i = 0; i < 3; i++) {
		log_begin(&l, "gone", NULL, NULL);
		log_end(&l);
	}
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		_exit(1);
	log_begin(&l, "back", NULL, NULL);
	log_end(&l);
	_exit(0);
}

static void
test_log_lost(void **state)
{
	static const char *const ends[] = { "text=first", NULL,
		"- - event=log-lost count=3", "- - event=back" };
	struct slice rest, line;
	struct buf text;
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		log_beyond_a_limit();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	read_log("lost", &text);
	rest = buf_slice(&text);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		rest = slice_cut(rest, '\n', &line);
		if (ends[i] != NULL)
			assert_true(slice_ends(line, ends[i]));
	}
	assert_int_equal(rest.len, 0);
	buf_release(&text);
}

static void
test_log_follows_no_link(void **state)
{
	char path[128], target[128];
	struct log_line l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(file_mkdir(folder_fd, "trap", 0750, &e), 0);
	log_path("trap", path);
	(void)snprintf(target, sizeof(target), "%s/target", folder);
	assert_int_equal(symlink(target, path), 0);
	open_log("trap");
	log_begin(&l, "x", NULL, NULL);
	log_end(&l);
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(unlink(path), 0);
	log_begin(&l, "y", NULL, NULL);
	log_end(&l);
	assert_int_equal(access(path, F_OK), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace_and_read),
		cmocka_unit_test(test_read_refuses),
		cmocka_unit_test(test_replace_fails_cleanly),
		cmocka_unit_test(test_mkdir),
		cmocka_unit_test(test_log_lines),
		cmocka_unit_test(test_log_cuts),
		cmocka_unit_test(test_log_service),
		cmocka_unit_test(test_log_threads_and_processes),
		cmocka_unit_test(test_log_lost),
		cmocka_unit_test(test_log_follows_no_link),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
