/*
 * The spool when calls fail and when the process is killed (threats.md H01 to
 * H07, I01 to I06): one scenario - accept, expand, deliver, defer, hold,
 * settle - is run once for every call it makes to the disk, with that call
 * failing, or with kill -9 in front of it.  Afterwards what was acknowledged
 * is in the mailbox exactly once, what was refused is nowhere.
 *
 * This file defines the calls itself; a program's own definition is the one
 * that counts.
 */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/lib/spooltest.h"

/* --- the calls ------------------------------------------------------------------- */

enum fault {
	FAULT_NONE,
	FAULT_COUNT,
	FAULT_KILL,
	FAULT_FAIL
};

static _Atomic int fault, fault_calls, fault_at, fault_errno;
static _Thread_local bool in_store; /* the test's mailbox never fails */

/* True: this call fails. */
static bool
strikes(void)
{
	int mode = fault;

	if (mode == FAULT_NONE || (in_store && mode == FAULT_FAIL))
		return false;
	if (atomic_fetch_add(&fault_calls, 1) + 1 != fault_at)
		return false;
	if (mode == FAULT_KILL)
		(void)syscall(SYS_kill, getpid(), SIGKILL);
	errno = fault_errno;
	return mode == FAULT_FAIL;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
int
fdatasync(int fd)
{
	return strikes() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	return strikes() ? -1 : (int)syscall(SYS_fsync, fd);
}

int
syncfs(int fd)
{
	return strikes() ? -1 : (int)syscall(SYS_syncfs, fd);
}

/* The disk does not give these bytes of this file. */
static ino_t bad_file;
static off_t bad_from, bad_to;

ssize_t
pread(int fd, void *data, size_t len, off_t at)
{
	struct stat st;

	if (bad_file != 0 && at < bad_to && at + (off_t)len > bad_from &&
	    fstat(fd, &st) == 0 && st.st_ino == bad_file) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, data, len, at);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	return strikes() ? -1 : syscall(SYS_pwrite64, fd, data, len, at);
}

/* A full disk writes a part first. */
ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	if (strikes()) {
		(void)syscall(
		    SYS_pwrite64, fd, iov->iov_base, iov->iov_len - 1, at);
		errno = fault_errno;
		return -1;
	}
	return syscall(SYS_pwritev, fd, iov, count, at, 0);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (strikes())
		return -1;
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int
unlinkat(int dir_fd, const char *name, int flags)
{
	if (strikes())
		return -1;
	return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

static void
arm(enum fault mode, int at, int error)
{
	fault = FAULT_NONE;
	fault_calls = 0;
	fault_at = at;
	fault_errno = error;
	fault = mode;
}

/* --- the mailbox --------------------------------------------------------------------- */

static int box;  /* with tmp/, new/ and seen/ */
static int acks; /* the ids that were acknowledged, and refused, a line each */

static bool
box_has(const char *name)
{
	return faccessat(box, name, F_OK, 0) == 0;
}

/* I2, as the runner does it. */
static void
deliver_one(struct spool_item *it, size_t i)
{
	enum spool_mark mark = spool_mark_get(it, i, NULL);
	char tmp[64], new[64];
	int fd;

	if (it->envelope.recipients[i].state != RECIPIENT_WAITING ||
	    mark == SPOOL_MARK_DONE)
		return;
	(void)snprintf(tmp, sizeof(tmp), "tmp/%s.%zu", it->id, i);
	(void)snprintf(new, sizeof(new), "new/%s.%zu", it->id, i);
	in_store = true;
	if (mark != SPOOL_MARK_PREPARED) {
		(void)unlinkat(box, tmp, 0);
		fd = openat(box, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_int_equal(pwrite(fd, "x", 1, 0), 1);
		(void)close(fd);
		spool_mark(it, i, SPOOL_MARK_PREPARED, 0);
	}
	if (box_has(tmp))
		(void)renameat(box, tmp, box, new);
	spool_mark(it, i, SPOOL_MARK_DONE, 250);
	in_store = false;
}

/*
 * Deliver as the sender's local part says: "b" in one go, "d" one recipient
 * and the other after a deferral, "h" after it was held, "l" to one more.
 */
static void
deliver(struct spool_item *it)
{
	struct envelope *v = &it->envelope;
	char kind = v->sender[0];
	struct spool_body b;
	struct err e;

	if (spool_body_open(it, &b, &e) < 0) {
		spool_release(it, clock_wall_ms() - 1);
		return;
	}
	spool_body_close(&b);
	if (kind == 'l' && v->recipient_count == 2) {
		envelope_add(v)->address = "member@example.org";
		if (spool_update(it, &e) < 0) {
			v->recipient_count = 2;
			spool_release(it, clock_wall_ms() - 1);
			return;
		}
	}
	if (kind == 'h' && v->attempts == 0) {
		v->attempts = 1;
		spool_hold(it, "test");
		return;
	}
	deliver_one(it, 0);
	if (kind == 'd' && v->attempts == 0) {
		v->attempts = 1;
		v->recipients[0].state = RECIPIENT_DONE;
		spool_defer(it, clock_wall_ms() - 1);
		return;
	}
	for (size_t i = 1; i < v->recipient_count; i++)
		deliver_one(it, i);
	spool_settle(it);
}

/* --- the scenario ------------------------------------------------------------------------ */

static void
send_one(struct spool_writer *w, const char *sender, size_t size)
{
	struct envelope v = { .sender = sender };
	char *body = calloc(1, size);
	char line[64];
	struct spool_message *m;
	struct err e;
	int rc;

	if (spool_begin(w, &m, &e) < 0) {
		free(body);
		return;
	}
	(void)snprintf(line, sizeof(line), " %s %c\n", spool_id(m), sender[0]);
	envelope_add(&v)->address = "b@example.org";
	envelope_add(&v)->address = "c@example.net";
	if (spool_write(m, body, size, &e) < 0) {
		spool_abort(m);
		rc = -1;
	} else {
		rc = spool_commit(m, &v, &e);
	}
	line[0] = rc == 0 ? '+' : '-';
	(void)syscall(SYS_write, acks, line, strlen(line));
	envelope_release(&v);
	free(body);
}

static void
release_held(struct spool *s)
{
	struct spool_info i = { 0 };
	struct err e;

	while (spool_page(s, NULL, i.id, &i, 1) == 1) {
		if (i.state == SPOOL_HELD)
			(void)!spool_unhold(s, i.id, &e);
		else if (i.state == SPOOL_DEFERRED)
			(void)!spool_schedule(s, i.id, 0, &e);
	}
}

static void
work(struct spool *s)
{
	struct spool_item *it;
	struct err e;

	for (int round = 0; round < 4; round++) {
		while (spool_claim(s, 0, &it, &e) == 0 && it != NULL)
			deliver(it);
		(void)!spool_flush(s, sync_ok, NULL, NULL, &e);
		release_held(s);
	}
}

static void
scenario(void)
{
	struct spool_writer *w;
	struct spool *s;
	struct err e;

	if (spool_writer_open(dir, "mtad-0", NULL, 0, &w, &e) < 0)
		return;
	send_one(w, "b", 100);
	if (spool_open(dir, NULL, &s, &e) == 0) {
		send_one(w, "d", 100);
		send_one(w, "h", 100);
		work(s);
		send_one(w, "l", 100);
		send_one(w, "b", SPOOL_INLINE_MAX + 1);
		send_one(w, "d", SPOOL_INLINE_MAX + 1);
		work(s);
		spool_close(s);
	}
	send_one(w, "b", 100);
	spool_writer_close(w);
}

/* --- the verdict -------------------------------------------------------------------------- */

/* What a reader does meanwhile: take everything away; a second one is ".1". */
static void
empty_mailbox(void)
{
	int fd = openat(box, "new", O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *de;

	while ((de = readdir(d)) != NULL) {
		char from[64], to[64];

		if (de->d_name[0] == '.')
			continue;
		(void)snprintf(from, sizeof(from), "new/%.40s", de->d_name);
		(void)snprintf(to, sizeof(to), "seen/%.40s.0", de->d_name);
		if (box_has(to))
			to[strlen(to) - 1] = '1';
		(void)renameat(box, from, box, to);
	}
	(void)closedir(d);
}

static int
count_seen(const char *id, size_t recipient)
{
	char name[64];
	int n;

	(void)snprintf(name, sizeof(name), "seen/%s.%zu.0", id, recipient);
	n = box_has(name);
	name[strlen(name) - 1] = '1';
	return n + box_has(name);
}

static void
judge(int k)
{
	size_t size = (size_t)lseek(acks, 0, SEEK_END);
	char *text = calloc(1, size + 1), *at = text;
	ssize_t len = pread(acks, text, size, 0);

	assert_true(len >= 0);
	text[len] = '\0';
	for (; *at != '\0'; at += 1 + ID_LEN + 3) {
		char id[ID_SIZE] = "";
		size_t recipients = at[1 + ID_LEN + 1] == 'l' ? 3 : 2;

		memcpy(id, at + 1, ID_LEN);
		for (size_t i = 0; i < recipients; i++) {
			int n = count_seen(id, i);

			if (at[0] == '+' ? n != 1 : n != 0)
				fail_msg("call %d: %.29s recipient %zu: "
					 "delivered %d times",
				    k, at, i, n);
		}
	}
	free(text);
}

/* Nothing may be there twice, also of what was never answered. */
static void
judge_doubles(int k)
{
	int fd = openat(box, "seen", O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *de;

	while ((de = readdir(d)) != NULL) {
		if (slice_ends(slice_str(de->d_name), ".1"))
			fail_msg(
			    "call %d: %s was delivered twice", k, de->d_name);
	}
	(void)closedir(d);
}

static void
open_box(void)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/box", top);
	assert_int_equal(mkdir(path, 0700), 0);
	box = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(box, "tmp", 0700), 0);
	assert_int_equal(mkdirat(box, "new", 0700), 0);
	assert_int_equal(mkdirat(box, "seen", 0700), 0);
	acks = openat(box, "acks", O_RDWR | O_CREAT | O_APPEND, 0600);
}

static void
finish(int k)
{
	struct spool *s;

	arm(FAULT_NONE, 0, 0);
	empty_mailbox();
	s = runner();
	work(s);
	spool_close(s);
	empty_mailbox();
	judge(k);
	judge_doubles(k);
	(void)close(acks);
	(void)close(box);
}

static int
count_calls(void)
{
	int n;

	open_box();
	arm(FAULT_COUNT, 0, 0);
	scenario();
	n = fault_calls;
	/* Undisturbed, all seven are accepted. */
	assert_int_equal(lseek(acks, 0, SEEK_END), 7 * (1 + ID_LEN + 3));
	finish(0);
	return n;
}

static void
run_killed(int k)
{
	pid_t pid;
	int status;

	open_box();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		arm(FAULT_KILL, k, 0);
		scenario();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	finish(k);
}

static void
each(void (*run)(int k, int error), int error)
{
	int n = count_calls();

	assert_true(n > 100);
	for (int k = 1; k <= n; k++) {
		void *none = NULL;

		(void)teardown(&none);
		assert_int_equal(setup(&none), 0);
		run(k, error);
	}
}

static void
killed_at(int k, int error)
{
	(void)error;
	run_killed(k);
}

static void
failed_at(int k, int error)
{
	open_box();
	arm(FAULT_FAIL, k, error);
	scenario();
	finish(k);
}

static void
killed_before_every_call(void **state)
{
	(void)state;
	each(killed_at, 0);
}

static void
every_call_fails_with_eio(void **state)
{
	(void)state;
	each(failed_at, EIO);
}

static void
every_call_fails_with_enospc(void **state)
{
	(void)state;
	each(failed_at, ENOSPC);
}

/*
 * H02: the flush of a commit fails, the next would succeed.  The refused one
 * stays refused when the power goes at once, and its segment is not used on.
 */
static void
failed_flush_stays_refused(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s;
	struct err e;
	char first[ID_SIZE], refused[ID_SIZE], last[ID_SIZE];

	(void)state;
	commit(w, "one\n", first);
	arm(FAULT_FAIL, 2, EIO); /* pwritev, then fdatasync */
	assert_int_equal(try_commit(w, NULL, "two\n", 4, 0, refused, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	arm(FAULT_NONE, 0, 0);
	assert_int_equal(count_files("journal", ".void"), 1);
	commit(w, "three\n", last);
	spool_writer_close(w);
	s = runner();
	for (int i = 0; i < 2; i++) {
		struct spool_item *it = claim(s, 0);

		assert_non_null(it);
		assert_string_equal(it->id, i == 0 ? first : last);
		spool_settle(it);
	}
	assert_null(claim(s, 0));
	assert_false(spool_knows(s, refused));
	flush(s);
	assert_int_equal(count_files("journal", ".void"), 0);
	assert_int_equal(count_files("journal", ".seg"), 0);
	spool_close(s);
}

/* Three messages of some blocks each, in a segment bad between two offsets. */
static struct spool *
runner_with_bad_blocks(off_t from, off_t to)
{
	struct spool_writer *w = writer("mtad-0");
	char body[12001], path[192];
	struct stat st;

	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 2] = '\n';
	body[sizeof(body) - 1] = '\0';
	for (int i = 0; i < 3; i++)
		commit(w, body, NULL);
	spool_writer_close(w);
	(void)snprintf(path, sizeof(path), "%s/journal/mtad-0-0.seg", dir);
	assert_int_equal(stat(path, &st), 0);
	bad_from = from;
	bad_to = to;
	bad_file = st.st_ino;
	return runner();
}

static size_t
settle_all(struct spool *s)
{
	struct spool_item *it;
	size_t n = 0;

	while ((it = claim(s, 0)) != NULL) {
		spool_settle(it);
		n++;
	}
	flush(s);
	return n;
}

/* I4, H08: one bad block costs the message it is in, and the file is kept. */
static void
H08_unreadable_block_in_the_journal(void **state)
{
	struct spool *s = runner_with_bad_blocks(20480, 24576);

	(void)state;
	assert_int_equal(settle_all(s), 2);
	bad_file = 0;
	assert_int_equal(count_files("corrupt", ".seg"), 1);
	assert_true(count_files("corrupt", "") >= 2); /* and what was read */
	spool_close(s);
}

static void
H08_unreadable_segment(void **state)
{
	struct spool *s = runner_with_bad_blocks(0, 4096);

	(void)state;
	assert_int_equal(settle_all(s), 0);
	bad_file = 0;
	assert_int_equal(count_files("corrupt", ".seg"), 1);
	assert_int_equal(count_files("journal", ".seg"), 0);
	spool_close(s);
}

/*
 * Writers killed at random instants beside a living runner: what their four
 * threads were told is accepted is claimed, once.
 */
static struct spool_writer *doomed;

static void *
commit_until_killed(void *arg)
{
	const struct timespec pause = { 0, 2000000 };

	(void)arg;
	for (;;) {
		send_one(doomed, "b", 600);
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static void
commit_in_child(void)
{
	pthread_t t;
	struct err e;

	if (spool_writer_open(dir, "mtad-0", notify, 0, &doomed, &e) < 0)
		_exit(3);
	for (int i = 0; i < 3; i++)
		(void)pthread_create(&t, NULL, commit_until_killed, NULL);
	(void)commit_until_killed(NULL);
}

static void
deliver_all(struct spool *s, int64_t until)
{
	struct spool_item *it;
	struct err e;

	while (clock_mono_ms() < until) {
		assert_int_equal(spool_claim(s, 10, &it, &e), 0);
		if (it != NULL)
			deliver(it);
	}
}

static void
writers_killed(void **state)
{
	struct spool *s = runner();
	struct err e;

	(void)state;
	open_box();
	for (int round = 0; round < 20; round++) {
		int64_t until = clock_mono_ms() + 20 + random() % 40;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			commit_in_child();
		deliver_all(s, until);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(spool_flush(s, sync_ok, NULL, NULL, &e), 0);
	}
	/* Long enough to notice the last one's death. */
	deliver_all(s, clock_mono_ms() + 1500);
	assert_int_equal(spool_flush(s, sync_ok, NULL, NULL, &e), 0);
	spool_close(s);
	finish(0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(failed_flush_stays_refused),
		T(H08_unreadable_block_in_the_journal),
		T(H08_unreadable_segment),
		T(writers_killed),
		T(killed_before_every_call),
		T(every_call_fails_with_eio),
		T(every_call_fails_with_enospc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
