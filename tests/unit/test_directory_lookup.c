/*
 * Look-ups over a directory written by accountd: what an address leads to,
 * when a change is seen, and what a damaged store answers.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory/directory.h"
#include "directory/sql.h"

#include "accountd_fixture.h"

static struct fixture fx;
static struct link op;
static struct directory *d;
static struct pool pool;

static int
setup(void **state)
{
	struct err e;

	(void)state;
	fixture_setup(&fx);
	fixture_fill(&fx);
	link_open(&op, fx.core, FROM_MAILSTEAD, true);
	return directory_open(fx.dir, &d, &e);
}

static int
teardown(void **state)
{
	(void)state;
	directory_close(d);
	link_close(&op);
	pool_release(&pool);
	fixture_teardown(&fx);
	return 0;
}

static struct dir_target
resolve(const char *local, const char *domain, enum dir_result expected)
{
	struct dir_target t;
	struct err e = { 0 };
	enum dir_result r =
	    dir_resolve(d, slice_str(local), domain, &pool, &t, &e);

	if (r != expected)
		fail_msg("%s@%s: %d %s", local, domain, r, e.text);
	return t;
}

static void
accounts(void **state)
{
	struct dir_target t = resolve("JOE", "example.org", DIR_FOUND);

	(void)state;
	assert_int_equal(t.kind, TARGET_ACCOUNT);
	assert_string_equal(t.account.address, "Joe@example.org");
	assert_string_equal(t.account.name, "Joe");
	assert_true(t.account.allow_pop3);
	assert_false(t.account.disabled);
	t = resolve("joe", "alias.example", DIR_FOUND);
	assert_string_equal(t.account.address, "Joe@example.org");
	assert_string_equal(t.domain.asked, "alias.example");
	assert_true(t.domain.is_alias);
	t = resolve("joe+news", "example.org", DIR_FOUND);
	assert_string_equal(t.account.address, "Joe@example.org");
	t = resolve("joe", "", DIR_FOUND);
	assert_string_equal(t.domain.name, "example.org");
	t = resolve("joe", "example.net", DIR_NONE);
	assert_null(t.domain.name);
	t = resolve("nobody", "example.org", DIR_NONE);
	assert_string_equal(t.domain.name, "example.org");
	resolve("+joe", "example.org", DIR_NONE);
	resolve("' OR 1=1--", "example.org", DIR_NONE);
	resolve("%", "example.org", DIR_NONE);
}

static void
set_domain(const char *key, const char *value)
{
	do_ok(&op,
	    json_pack("{ss,ss,s{ss}}", "verb", "domain set", "domain",
		"example.org", "set", key, value));
}

static void
aliases_and_lists(void **state)
{
	struct dir_target t = resolve("postmaster", "example.org", DIR_FOUND);

	(void)state;
	assert_int_equal(t.kind, TARGET_ALIAS);
	assert_int_equal(t.target_count, 1);
	assert_string_equal(t.targets[0], "admin@example.org");
	do_ok(&op,
	    json_pack("{ss,ss,s[ss]}", "verb", "alias add", "address",
		"team@example.org", "targets", "joe@example.org",
		"far@example.net"));
	t = resolve("Team", "example.org", DIR_FOUND);
	assert_int_equal(t.target_count, 2);
	do_ok(&op,
	    json_pack("{ss,ss,sb,s[s]}", "verb", "list add", "address",
		"news@example.org", "members_only", 1, "add",
		"joe@example.org"));
	t = resolve("news", "example.org", DIR_FOUND);
	assert_int_equal(t.kind, TARGET_LIST);
	assert_true(t.list_members_only);
	assert_false(t.list_auth_required);
	assert_int_equal(t.target_count, 1);
	set_domain("catchall", "joe@example.org");
	t = resolve("nobody", "example.org", DIR_FOUND);
	assert_int_equal(t.kind, TARGET_CATCH_ALL);
	assert_string_equal(t.targets[0], "joe@example.org");
	set_domain("forward", "@example.net");
	t = resolve("nobody", "example.org", DIR_FOUND);
	assert_int_equal(t.kind, TARGET_FORWARD);
	assert_string_equal(t.targets[0], "nobody@example.net");
	set_domain("forward", "");
	set_domain("catchall", "");
	resolve("nobody", "example.org", DIR_NONE);
	do_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "user add", "address",
		"postmaster@example.org", "password", "catch them all"));
	t = resolve("nobody", "example.org", DIR_FOUND);
	assert_int_equal(t.kind, TARGET_CATCH_ALL);
	assert_string_equal(t.targets[0], "postmaster@example.org");
	do_ok(&op,
	    json_pack("{ss,ss}", "verb", "user delete", "address",
		"postmaster@example.org"));
	t = resolve("postmaster", "example.org", DIR_FOUND);
	assert_int_equal(t.kind, TARGET_ALIAS);
}

static enum dir_result
may_send(const char *who, const char *local, const char *domain)
{
	struct dir_account a;
	struct err e;

	assert_int_equal(
	    dir_find_login(d, slice_str(who), &pool, &a, &e), DIR_FOUND);
	return dir_may_send_as(d, &a, slice_str(local), domain, &e);
}

static void
senders(void **state)
{
	(void)state;
	assert_int_equal(may_send("joe", "joe", "example.org"), DIR_FOUND);
	assert_int_equal(may_send("joe", "JOE", "alias.example"), DIR_FOUND);
	assert_int_equal(may_send("joe", "team", "example.org"), DIR_FOUND);
	assert_int_equal(may_send("joe", "joe", "other.example"), DIR_NONE);
	assert_int_equal(may_send("joe", "admin", "example.org"), DIR_NONE);
	assert_int_equal(may_send("joe", "x", "example.net"), DIR_NONE);
	assert_int_equal(may_send("joe", "news", "example.org"), DIR_NONE);
}

/* A change is seen within a second, settings included. */
static void
changes(void **state)
{
	int64_t deadline = clock_mono_ms() + 1000;
	uint64_t seen = 0, stamp = directory_stamp(fx.dir);
	struct settings *s;
	int64_t value;

	(void)state;
	directory_changed(d, &seen);
	assert_false(directory_changed(d, &seen));
	do_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "setting set", "name",
		"remote.port", "value", "2525"));
	assert_true(directory_stamp(fx.dir) != stamp);
	do {
		s = directory_settings(d);
		value = settings_int(s, SET_REMOTE_PORT);
		settings_free(s);
		usleep(10000);
	} while (value != 2525 && clock_mono_ms() < deadline);
	assert_int_equal(value, 2525);
	assert_true(directory_changed(d, &seen));
}

static void
run(struct sql *db, const char *query)
{
	struct err e = { 0 };

	if (sql_run(db, &e, query, "") < 0)
		fail_msg("%s", e.text);
}

/*
 * A commit that no file's size or time tells: its log may have been written,
 * and looked at, a while before it is flushed and readers see it.
 */
static void
stamp_of_a_commit(void **state)
{
	char path[PATH_MAX], wal[PATH_MAX];
	struct timespec times[2];
	struct err e = { 0 };
	struct stat before, after;
	struct sql *db;
	uint64_t stamp;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/directory/directory.db", fx.dir);
	(void)snprintf(
	    wal, sizeof(wal), "%s/directory/directory.db-wal", fx.dir);
	assert_int_equal(sql_open(path, SQL_WRITE, &db, &e), 0);
	run(db, "CREATE TABLE big (x BLOB)");
	run(db, "INSERT INTO big VALUES (zeroblob(100000))");
	run(db, "PRAGMA wal_checkpoint(RESTART)");
	run(db, "DROP TABLE big"); /* the log begins anew, as large as it was */
	assert_int_equal(stat(wal, &before), 0);
	stamp = directory_stamp(fx.dir);
	assert_true(directory_stamp(fx.dir) == stamp);
	run(db, "INSERT INTO setting VALUES ('smtp.port', 0, '2527')");
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, wal, times, 0), 0);
	assert_int_equal(stat(wal, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_true(directory_stamp(fx.dir) != stamp);
	sql_close(db);
}

/* Answers are remembered, yet no change waits for anything. */
static void
changes_at_once(void **state)
{
	char name[32];

	(void)state;
	resolve("new", "fresh.example", DIR_NONE);
	do_ok(&op,
	    json_pack(
		"{ss,ss}", "verb", "domain add", "name", "fresh.example"));
	resolve("new", "fresh.example", DIR_NONE);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "Joe the %d.", i);
		do_ok(&op,
		    json_pack("{ss,ss,s{ss}}", "verb", "user set", "address",
			"joe@other.example", "set", "name", name));
		for (int again = 0; again < 3; again++)
			assert_string_equal(
			    resolve("joe", "other.example", DIR_FOUND)
				.account.name,
			    name);
	}
	set_domain("catchall", "admin@example.org");
	assert_int_equal(
	    resolve("who", "example.org", DIR_FOUND).kind, TARGET_CATCH_ALL);
	set_domain("catchall", "");
	resolve("who", "example.org", DIR_NONE);
}

static void
until(void **state)
{
	char time[CLOCK_RFC3339_SIZE];
	struct dir_target t;

	(void)state;
	clock_rfc3339(clock_wall_ms() + 1500, time);
	do_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "user disable", "address",
		"joe@other.example", "until", time));
	t = resolve("joe", "other.example", DIR_FOUND);
	assert_true(t.account.disabled);
	usleep(900000);
	usleep(700000);
	t = resolve("joe", "other.example", DIR_FOUND);
	assert_false(t.account.disabled);
}

/* What cannot be read is "cannot tell", never "nobody of that name". */
static void
damaged(void **state)
{
	char path[128], bad[64];
	struct directory *other;
	struct err e = { 0 };
	int fd;

	(void)state;
	snprintf(bad, sizeof(bad), "/tmp/mailstead-test-XXXXXX");
	assert_non_null(mkdtemp(bad));
	assert_int_equal(directory_open(bad, &other, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(core_create(bad, &e), 0);
	assert_int_equal(core_create(bad, &e), -1);
	assert_int_equal(directory_open(bad, &other, &e), 0);
	snprintf(path, sizeof(path), "%s/directory/directory.db", bad);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(write(fd, "no database, certainly not this", 31) == 31);
	close(fd);
	snprintf(path, sizeof(path), "%s/directory/directory.db-wal", bad);
	assert_int_equal(truncate(path, 0), 0);
	snprintf(path, sizeof(path), "%s/directory/directory.db-shm", bad);
	unlink(path);
	for (int i = 0; i < 3; i++) {
		struct dir_target t;

		assert_int_equal(dir_resolve(other, SLICE_LIT("joe"),
				     "example.org", &pool, &t, &e),
		    DIR_TEMP);
		assert_int_equal(e.kind, ERR_TEMP);
	}
	directory_close(other);
	assert_int_equal(directory_open(bad, &other, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	nftw(bad, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file of a newer version is left alone. */
static void
newer(void **state)
{
	static const char *const steps[] = { "CREATE TABLE x (y) STRICT", "" };
	char path[128];
	struct sql *db;
	struct err e = { 0 };

	(void)state;
	snprintf(path, sizeof(path), "%s/new.db", fx.dir);
	assert_int_equal(sql_create(path, 0600, &e), 0);
	assert_int_equal(sql_open(path, SQL_WRITE, &db, &e), 0);
	assert_int_equal(
	    sql_migrate(db, 77, (const char *const[]){ "" }, 1, &e), 0);
	assert_int_equal(sql_check_version(db, 77, 1, 1, &e), 0);
	assert_int_equal(sql_check_version(db, 78, 1, 1, &e), -1);
	assert_int_equal(sql_check_version(db, 77, 2, 3, &e), -1);
	assert_int_equal(sql_migrate(db, 77, steps, 2, &e), 0);
	assert_int_equal(sql_check_version(db, 77, 1, 1, &e), -1);
	assert_non_null(strstr(e.text, "newer"));
	assert_int_equal(sql_migrate(db, 77, steps, 1, &e), -1);
	sql_close(db);
}

static int
read_as_nobody(const char *path)
{
	struct sql *db;
	struct err e = { 0 };

	if (seteuid(65534) != 0 || sql_open(path, SQL_READ, &db, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	sql_close(db);
	return 0;
}

/* After a crash of all: accountd has -shm open, but did not fill it yet. */
static void
not_ready_yet(void **state)
{
	static const char *const steps[] = { "CREATE TABLE t (x)" };
	struct flock shared = { .l_type = F_RDLCK, .l_start = 128, .l_len = 1 };
	const char zeros[136] = { 0 };
	char path[PATH_MAX], shm[PATH_MAX + 8];
	struct sql *db;
	struct err e;
	int fd, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/early.db", fx.dir);
	snprintf(shm, sizeof(shm), "%s-shm", path);
	assert_int_equal(chmod(fx.dir, 0755), 0);
	assert_int_equal(sql_create(path, 0644, &e), 0);
	assert_int_equal(sql_open(path, SQL_WRITE, &db, &e), 0);
	assert_int_equal(sql_migrate(db, 78, steps, 1, &e), 0);
	sql_close(db);
	fd = open(shm, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETLK, &shared), 0);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
	pid = fork();
	if (pid == 0)
		_exit(read_as_nobody(path));
	usleep(200000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(sql_open(path, SQL_WRITE, &db, &e), 0);
	assert_int_equal(sql_check_version(db, 78, 1, 1, &e), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	sql_close(db);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accounts),
		cmocka_unit_test(aliases_and_lists),
		cmocka_unit_test(senders),
		cmocka_unit_test(changes),
		cmocka_unit_test(stamp_of_a_commit),
		cmocka_unit_test(changes_at_once),
		cmocka_unit_test(until),
		cmocka_unit_test(damaged),
		cmocka_unit_test(newer),
		cmocka_unit_test(not_ready_yet),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
