/*
 * Changes of our own to a Maildir that the next look need not find by reading
 * it; and everybody else's, which it must find.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "maildir/index_internal.h"

#include "tests/unit/index_fixture.h"

enum {
	MESSAGES = 12,
	ROUNDS = 60,
	STRESS_MS = 1500,
};

static struct fixture f;
static struct index *x;
static struct pool pool;
static int64_t ids[MESSAGES];

static void
sync_index(struct index *index)
{
	struct index_progress progress;
	struct err e;

	if (index_sync(index, "", clock_mono_ms() + 10000, &progress, &e) != 0)
		fail_msg("%s", e.text);
}

/* Would the next look leave this cur/ alone? */
static bool
is_known(const char *dir)
{
	const struct index_dir *d;
	struct maildir m;
	struct stat st;
	bool known;
	struct err e;

	assert_int_equal(index_load(x, &e), 0);
	d = index_dir_find(x, dir);
	fixture_maildir(&f, dir, &m);
	assert_int_equal(fstat(m.cur_fd, &st), 0);
	maildir_close(&m);
	known = d != NULL && index_mtime_ns(&st) == d->cur_ns &&
	    index_is_settled(d, d->cur_ns);
	return known;
}

static void
settle(void)
{
	for (int i = 0; i < 1000 && !(is_known("") && is_known(".Archive"));
	     i++) {
		(void)usleep(5000);
		sync_index(x);
	}
	assert_true(is_known("") && is_known(".Archive"));
}

/* All in cur/, and looked at. */
static int
set_up(void **state)
{
	const struct index_change seen = { .verb = INDEX_FLAGS,
		.add = MAILDIR_SEEN };
	const struct index_view all = { "", INDEX_ALL, false };
	char name[MAILDIR_NAME_SIZE];
	struct index_rows rows;
	struct maildir m;
	struct err e;

	(void)state;
	fixture_init(&f);
	fixture_maildir(&f, ".Archive", &m);
	maildir_close(&m);
	for (int i = 0; i < MESSAGES; i++)
		fixture_deliver(&f, "", "Subject: s\n\nt\n", name);
	x = fixture_open(&f);
	sync_index(x);
	assert_int_equal(index_list(x, &all, 0, 50, &pool, &rows, &e), 0);
	assert_int_equal(rows.count, MESSAGES);
	for (int i = 0; i < MESSAGES; i++)
		ids[i] = rows.list[i].newest.id;
	assert_int_equal(
	    index_change(x, &seen, ids, MESSAGES, NULL, NULL, &e), 0);
	settle();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	index_close(x);
	x = NULL;
	pool_release(&pool);
	fixture_release(&f);
	return 0;
}

static struct index_message
message(int i)
{
	struct index_message m;
	struct err e;

	if (index_find(x, ids[i], &pool, &m, &e) != 0)
		fail_msg("message %d: %s", i, e.text);
	return m;
}

static void
change(int i, uint8_t add, uint8_t remove)
{
	const struct index_change c = {
		.verb = INDEX_FLAGS, .add = add, .remove = remove
	};
	uint64_t changed;
	struct err e;

	assert_int_equal(
	    index_change(x, &c, &ids[i], 1, NULL, &changed, &e), 0);
	assert_int_equal(changed, 1);
}

/* Another program's change; it knows the name. */
static void
foreign(const char *dir, const char *name, uint8_t add, uint8_t remove)
{
	char out[MAILDIR_NAME_SIZE];
	struct maildir m;
	struct err e;

	fixture_maildir(&f, dir, &m);
	if (maildir_set_flags(&m, name, add, remove, out, &e) != 0)
		fail_msg("%s", e.text);
	maildir_close(&m);
}

static void
move(int i, const char *dir)
{
	const struct index_change c = { .verb = INDEX_MOVE, .dir = dir };
	struct err e;

	assert_int_equal(index_change(x, &c, &ids[i], 1, NULL, NULL, &e), 0);
}

static void
test_own_changes_are_known(void **state)
{
	const struct index_change label = {
		.verb = INDEX_KEYWORD, .keyword = "$l1", .on = true
	};
	const struct index_change gone = { .verb = INDEX_REMOVE };
	char undo[INDEX_TOKEN_SIZE];
	const struct index_change star = { .verb = INDEX_FLAGS,
		.add = MAILDIR_FLAGGED };
	struct err e;

	(void)state;
	change(0, MAILDIR_REPLIED, 0);
	assert_true(is_known(""));
	change(0, 0, MAILDIR_SEEN);
	assert_true(is_known(""));
	assert_int_equal(index_change(x, &star, ids, 5, undo, NULL, &e), 0);
	assert_true(is_known(""));
	assert_int_equal(index_undo(x, undo, NULL, &e), 0);
	assert_true(is_known(""));
	move(1, ".Archive");
	assert_true(is_known("") && is_known(".Archive"));
	assert_int_equal(index_change(x, &label, ids, 2, NULL, NULL, &e), 0);
	assert_true(is_known("") && is_known(".Archive"));
	move(1, "");
	assert_true(is_known("") && is_known(".Archive"));
	assert_int_equal(index_change(x, &gone, &ids[2], 1, NULL, NULL, &e), 0);
	assert_true(is_known(""));
	sync_index(x);
	assert_string_equal(message(1).dir, "");
	assert_int_equal(message(0).flags, MAILDIR_REPLIED);
}

static void
test_a_change_before_is_seen(void **state)
{
	(void)state;
	foreign("", message(3).name, MAILDIR_FLAGGED, 0);
	change(4, MAILDIR_REPLIED, 0);
	assert_false(is_known(""));
	sync_index(x);
	assert_int_equal(message(3).flags & MAILDIR_FLAGGED, MAILDIR_FLAGGED);
}

/* Other messages, the same one, its end; all between our change and the time. */
static void
test_a_change_meanwhile_is_seen(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		char name[MAILDIR_NAME_SIZE];
		const char *old = message(i).name;
		struct index_dir *d;
		struct maildir m;
		struct err e;

		settle();
		fixture_maildir(&f, "", &m);
		assert_int_equal(index_begin(x, &e), 0);
		d = index_dir_find(x, "");
		index_own_watch(x, d, &m);
		assert_int_equal(
		    maildir_set_flags(&m, old, MAILDIR_REPLIED, 0, name, &e),
		    0);
		index_own_note(x, "", old, false);
		index_own_note(x, "", name, true);
		assert_int_equal(
		    index_rename(x, ids[i], d, name, false, &e), 0);
		if (i == 0)
			foreign("", message(5).name, MAILDIR_FLAGGED, 0);
		else if (i == 1)
			foreign("", name, MAILDIR_FLAGGED, 0);
		else
			assert_int_equal(maildir_remove(&m, name, &e), 0);
		assert_int_equal(index_commit(x, &e), 0);
		index_own_settle(x);
		maildir_close(&m);
		assert_false(is_known(""));
		sync_index(x);
	}
	assert_int_equal(message(5).flags & MAILDIR_FLAGGED, MAILDIR_FLAGGED);
	assert_int_equal(message(1).flags & MAILDIR_FLAGGED, MAILDIR_FLAGGED);
	{
		struct index_message m;
		struct err e;

		assert_int_equal(index_find(x, ids[2], &pool, &m, &e), -1);
	}
}

/* However soon: its time is another one. */
static void
test_a_change_right_after_is_seen(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t flag = i % 2 == 0 ? MAILDIR_FLAGGED : 0;
		const char *name = message(6).name;

		change(7, (uint8_t)(flag ? MAILDIR_REPLIED : 0),
		    (uint8_t)(flag ? 0 : MAILDIR_REPLIED));
		foreign("", name, flag, (uint8_t)(MAILDIR_FLAGGED & ~flag));
		assert_false(is_known(""));
		sync_index(x);
		assert_int_equal(message(6).flags & MAILDIR_FLAGGED, flag);
	}
}

/* --- All at once ---------------------------------------------------------------- */

static int64_t stress_end;

static void *
change_own(void *arg)
{
	unsigned n = *(const unsigned *)arg;
	struct index *mine = fixture_open(&f);
	struct err e;

	for (; clock_mono_ms() < stress_end; n = n * 1103515245 + 12345) {
		const struct index_change flag = { .verb = INDEX_FLAGS,
			.add = n >> 8 & MAILDIR_REPLIED,
			.remove = ~n >> 8 & MAILDIR_REPLIED };
		const struct index_change to = { .verb = INDEX_MOVE,
			.dir = (n >> 20 & 1) != 0 ? "" : ".Archive" };
		const int64_t *id = &ids[(n >> 12) % MESSAGES];

		if (n >> 24 & 1)
			sync_index(mine);
		if (index_change(mine, (n >> 28 & 1) != 0 ? &flag : &to, id, 1,
			NULL, NULL, &e) != 0 &&
		    e.kind != ERR_TEMP)
			break;
	}
	index_close(mine);
	return NULL;
}

static void *
change_foreign(void *arg)
{
	unsigned n = *(const unsigned *)arg;

	for (; clock_mono_ms() < stress_end; n = n * 1103515245 + 12345) {
		struct maildir_list list;
		char out[MAILDIR_NAME_SIZE];
		struct maildir m;
		struct err e;

		fixture_maildir(&f, (n >> 20 & 1) != 0 ? "" : ".Archive", &m);
		if (maildir_list(&m, &list, &e) == 0) {
			if (list.count > 0 &&
			    maildir_set_flags(&m,
				list.items[(n >> 8) % list.count].name,
				n >> 16 & MAILDIR_FLAGGED,
				~n >> 16 & MAILDIR_FLAGGED, out, &e) != 0)
				assert_int_not_equal(e.kind, ERR_SYNTAX);
			maildir_list_release(&list);
		}
		maildir_close(&m);
		(void)usleep(n >> 16 & 4095);
	}
	return NULL;
}

/* Every file is a row of this name, and there are no others. */
static void
is_level(const char *dir, size_t *total)
{
	const struct index_view all = { dir, INDEX_ALL, false };
	struct maildir_list list;
	struct index_rows rows;
	struct maildir m;
	struct err e;

	fixture_maildir(&f, dir, &m);
	assert_int_equal(maildir_list(&m, &list, &e), 0);
	assert_int_equal(index_list(x, &all, 0, 50, &pool, &rows, &e), 0);
	assert_int_equal(list.count, rows.count);
	for (size_t i = 0; i < rows.count; i++) {
		struct stat st;

		if (fstatat(m.cur_fd, rows.list[i].newest.name, &st, 0) != 0)
			fail_msg("%s is not there", rows.list[i].newest.name);
	}
	*total += rows.count;
	maildir_list_release(&list);
	maildir_close(&m);
}

/* What is known is right, whoever did what when. */
static void
test_own_and_foreign_at_once(void **state)
{
	static unsigned seeds[] = { 1, 77, 4242 };
	pthread_t threads[3];
	size_t total = 0;

	(void)state;
	stress_end = clock_mono_ms() + STRESS_MS;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL,
			i < 2 ? change_own : change_foreign, &seeds[i]),
		    0);
	for (size_t i = 0; i < 3; i++)
		(void)pthread_join(threads[i], NULL);
	sync_index(x);
	is_level("", &total);
	is_level(".Archive", &total);
	assert_int_equal(total, MESSAGES);
}

int
main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_own_changes_are_known),
		T(test_a_change_before_is_seen),
		T(test_a_change_meanwhile_is_seen),
		T(test_a_change_right_after_is_seen),
		T(test_own_and_foreign_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
