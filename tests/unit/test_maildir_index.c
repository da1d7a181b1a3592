/*
 * The mailbox index: keeping up with what others do to the Maildir,
 * conversations, lists, changes and undo, damage.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "maildir/index_internal.h"
#include "maildir/name.h"

#include "tests/unit/index_fixture.h"

static struct fixture f;
static struct index *x;
static struct pool pool;

static int
set_up(void **state)
{
	(void)state;
	fixture_init(&f);
	x = NULL;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	index_close(x);
	pool_release(&pool);
	fixture_release(&f);
	return 0;
}

static void
file_name(char out[200])
{
	(void)snprintf(out, 200, "%s/example.org/ann.db", f.cache);
}

static void
delete_index(void)
{
	char path[200];

	index_close(x);
	x = NULL;
	file_name(path);
	assert_int_equal(unlink(path), 0);
}

static void
sync_index(void)
{
	struct index_progress progress;
	struct err e;

	if (x == NULL)
		x = fixture_open(&f);
	if (index_sync(x, "", clock_mono_ms() + 10000, &progress, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(progress.missing, 0);
}

static void
deliver(const char *dir, const char *id, const char *refs, const char *subject)
{
	char text[1000], name[MAILDIR_NAME_SIZE];

	(void)snprintf(text, sizeof(text),
	    "From: bob@example.net\nTo: ann@example.org\nMessage-ID: %s\n"
	    "References: %s\nSubject: %s\n\nThe text of %s\n",
	    id, refs, subject, id);
	fixture_deliver(&f, dir, text, name);
}

static struct index_rows
list(const char *dir, enum index_filter filter, bool talks)
{
	const struct index_view v = { dir, filter, talks };
	struct index_rows rows;
	struct err e;

	if (index_list(x, &v, 0, 50, &pool, &rows, &e) != 0)
		fail_msg("%s", e.text);
	return rows;
}

static struct index_folder
folder(const char *dir)
{
	struct index_folders all;
	struct err e;

	assert_int_equal(index_folders(x, &pool, &all, &e), 0);
	for (size_t i = 0; i < all.count; i++) {
		if (strcmp(all.list[i].dir, dir) == 0)
			return all.list[i];
	}
	fail_msg("no folder %s", dir);
	return all.list[0];
}

/* What the index says of a folder is what its messages say. */
static void
check_counts(const char *dir)
{
	struct index_folder d = folder(dir);
	struct index_rows all = list(dir, INDEX_ALL, false);
	uint64_t unread = 0, starred = 0;

	for (size_t i = 0; i < all.count; i++) {
		unread += all.list[i].unread;
		starred += all.list[i].starred;
	}
	assert_int_equal(d.total, all.count);
	assert_int_equal(d.unread, unread);
	assert_int_equal(d.starred, starred);
	assert_int_equal(d.talks, list(dir, INDEX_ALL, true).count);
	assert_int_equal(d.talks_unread, list(dir, INDEX_UNREAD, true).count);
	assert_int_equal(d.talks_starred, list(dir, INDEX_STARRED, true).count);
	assert_int_equal(d.unread, list(dir, INDEX_UNREAD, false).count);
}

static void
test_ids(void **state)
{
	static const int64_t ids[] = { 1, 12345, INT64_C(1) << 61, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char text[INDEX_ID_SIZE];
		int64_t back;

		index_id_format(ids[i], text);
		assert_true(index_id_parse(text, &back));
		assert_int_equal(back, ids[i]);
	}
	assert_false(index_id_parse("", &(int64_t){ 0 }));
	assert_false(index_id_parse("zzzzzzzzzzzzz", &(int64_t){ 0 }));
	assert_false(index_id_parse("000000000000/", &(int64_t){ 0 }));
	assert_false(index_id_parse("0000000000000", &(int64_t){ 0 }));
}

static void
test_new_mail_newest_first(void **state)
{
	struct index_rows rows;

	(void)state;
	deliver("", "a", "", "one");
	deliver("", "b", "", "two");
	sync_index();
	rows = list("", INDEX_ALL, true);
	assert_int_equal(rows.count, 2);
	assert_string_equal(rows.list[0].newest.subject, "two");
	assert_string_equal(
	    rows.list[0].newest.from.list[0].address, "bob@example.net");
	assert_string_equal(rows.list[1].newest.subject, "one");
	deliver("", "c", "", "three");
	sync_index();
	assert_int_equal(f.reads, 3);
	rows = list("", INDEX_ALL, false);
	assert_string_equal(rows.list[0].newest.subject, "three");
	check_counts("");
}

static void
test_what_others_change(void **state)
{
	char name[MAILDIR_NAME_SIZE], out[MAILDIR_NAME_SIZE];
	struct index_rows rows;
	struct maildir inbox, archive;
	struct err e;
	int64_t id;

	(void)state;
	fixture_deliver(&f, "", "Message-ID: a\nSubject: one\n\nx\n", name);
	deliver("", "b", "", "two");
	sync_index();
	id = list("", INDEX_ALL, false).list[1].newest.id;

	/* a flag, by another program */
	fixture_maildir(&f, "", &inbox);
	assert_int_equal(
	    maildir_set_flags(&inbox, name, MAILDIR_SEEN, 0, out, &e), 0);
	sync_index();
	rows = list("", INDEX_ALL, false);
	assert_int_equal(rows.list[1].newest.flags, MAILDIR_SEEN);
	assert_int_equal(rows.list[1].newest.id, id);
	assert_int_equal(f.reads, 2);
	check_counts("");

	/* moved to a new folder: the same id, not read again */
	fixture_maildir(&f, ".Archive", &archive);
	assert_int_equal(maildir_move(&inbox, &archive, out, name, &e), 0);
	sync_index();
	rows = list(".Archive", INDEX_ALL, false);
	assert_int_equal(rows.count, 1);
	assert_int_equal(rows.list[0].newest.id, id);
	check_counts("");
	check_counts(".Archive");

	/* deleted */
	assert_int_equal(maildir_remove(&archive, name, &e), 0);
	sync_index();
	assert_int_equal(list(".Archive", INDEX_ALL, true).count, 0);
	check_counts(".Archive");

	/* a folder that is gone */
	maildir_close(&archive);
	deliver(".Archive", "c", "", "three");
	sync_index();
	assert_int_equal(maildir_folder_delete(&inbox, ".Archive", &e), 0);
	sync_index();
	assert_int_equal(
	    index_list(x, &(struct index_view){ ".Archive", 0, true }, 0, 5,
		&pool, &rows, &e),
	    -1);
	maildir_close(&inbox);
	check_counts("");
}

static void
test_ids_survive_a_new_index(void **state)
{
	struct index_rows before, after;

	(void)state;
	for (int i = 0; i < 20; i++)
		deliver("", "", "", "x");
	sync_index();
	before = list("", INDEX_ALL, false);
	delete_index();
	sync_index();
	after = list("", INDEX_ALL, false);
	assert_int_equal(before.count, after.count);
	for (size_t i = 0; i < after.count; i++)
		assert_int_equal(
		    before.list[i].newest.id, after.list[i].newest.id);
}

static void
test_talks_across_folders(void **state)
{
	struct index_rows rows;
	struct index_messages talk;
	struct index_neighbours n;
	struct err e;

	(void)state;
	deliver("", "q1", "", "question");
	deliver("", "other", "", "other");
	deliver(".Sent", "a1", "q1", "Re: question");
	deliver("", "q2", "a1", "Re: Re: question");
	deliver(".Trash", "t1", "q1", "thrown away");
	sync_index();
	rows = list("", INDEX_ALL, true);
	assert_int_equal(rows.count, 2);
	assert_string_equal(rows.list[0].newest.subject, "Re: Re: question");
	assert_int_equal(rows.list[0].count, 3);
	assert_int_equal(rows.list[0].unread, 2);
	assert_int_equal(
	    index_talk(x, rows.list[0].newest.id, &pool, &talk, &e), 0);
	assert_int_equal(talk.count, 4);
	assert_string_equal(talk.list[1].dir, ".Sent");
	check_counts("");
	check_counts(".Sent");

	assert_int_equal(
	    index_neighbours(x, &(struct index_view){ "", 0, true },
		talk.list[0].id, &n, &e),
	    0);
	assert_int_equal(n.position, 1);
	assert_int_equal(n.total, 2);
	assert_int_equal(n.newer, 0);
	assert_int_equal(n.older, rows.list[1].newest.id);

	/* what was missing joins two */
	deliver("", "x1", "", "begin");
	deliver("", "x3", "x2", "end");
	sync_index();
	assert_int_equal(list("", INDEX_ALL, true).count, 4);
	deliver("", "x2", "x1", "middle");
	sync_index();
	rows = list("", INDEX_ALL, true);
	assert_int_equal(rows.count, 3);
	assert_int_equal(rows.list[0].count, 3);
	check_counts("");
}

/* L: one id repeated for ever does not make one endless conversation. */
static void
test_a_talk_has_an_end(void **state)
{
	(void)state;
	for (int i = 0; i < INDEX_TALK_MAX + 50; i++)
		deliver("", "", "same", "x");
	sync_index();
	assert_true(list("", INDEX_ALL, true).count > 1);
	assert_int_equal(folder("").total, INDEX_TALK_MAX + 50);
}

static void
change(const struct index_change *c, int64_t id, char *undo)
{
	uint64_t changed;
	struct err e;

	if (index_change(x, c, &id, 1, undo, &changed, &e) != 0)
		fail_msg("%s", e.text);
}

static void
test_changes_and_undo(void **state)
{
	char undo[INDEX_TOKEN_SIZE];
	struct index_message m;
	const char *const *keywords;
	uint64_t changed;
	size_t count;
	struct err e;
	int64_t id;

	(void)state;
	deliver("", "a", "", "one");
	deliver("", "b", "", "two");
	deliver(".Work", "c", "", "three");
	sync_index();
	id = list("", INDEX_ALL, false).list[0].newest.id;
	change(&(struct index_change){ INDEX_FLAGS,
		   .add = MAILDIR_SEEN | MAILDIR_FLAGGED },
	    id, NULL);
	change(&(struct index_change){ INDEX_KEYWORD, .keyword = "$l1",
		   .on = true },
	    id, NULL);
	/* another letter in the other folder */
	change(&(struct index_change){ INDEX_KEYWORD, .keyword = "$l2",
		   .on = true },
	    list(".Work", INDEX_ALL, false).list[0].newest.id, NULL);
	check_counts("");
	change(&(struct index_change){ INDEX_MOVE, .dir = ".Work" }, id, undo);
	assert_int_equal(index_find(x, id, &pool, &m, &e), 0);
	assert_string_equal(m.dir, ".Work");
	assert_int_equal(index_keywords(x, &pool, &keywords, &count, &e), 0);
	assert_int_equal(count, 2);
	assert_string_equal(keywords[0], "$l1");
	assert_int_equal(m.keywords, 1);
	assert_int_equal(m.flags, MAILDIR_SEEN | MAILDIR_FLAGGED);
	assert_int_equal(maildir_letters(m.name), 2);
	sync_index();
	assert_int_equal(index_find(x, id, &pool, &m, &e), 0);
	assert_int_equal(m.keywords, 1);

	assert_int_equal(index_undo(x, undo, &changed, &e), 0);
	assert_int_equal(changed, 1);
	assert_int_equal(index_find(x, id, &pool, &m, &e), 0);
	assert_string_equal(m.dir, "");
	assert_int_equal(maildir_letters(m.name), 1);
	assert_int_equal(index_undo(x, undo, &changed, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);

	change(&(struct index_change){ .verb = INDEX_REMOVE }, id, undo);
	assert_string_equal(undo, "");
	assert_int_equal(index_find(x, id, &pool, &m, &e), -1);
	sync_index();
	check_counts("");
	check_counts(".Work");

	/* all of it is in the Maildir: a new index says the same */
	id = list(".Work", INDEX_ALL, false).list[0].newest.id;
	delete_index();
	sync_index();
	assert_int_equal(index_find(x, id, &pool, &m, &e), 0);
	assert_int_equal(index_keywords(x, &pool, &keywords, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_string_equal(keywords[0], "$l2");
	assert_int_equal(m.keywords, 1);
}

static void
test_pages(void **state)
{
	const struct index_view v = { "", INDEX_ALL, true };
	struct index_rows p1, p2, p3;
	struct err e;

	(void)state;
	for (int i = 0; i < 25; i++)
		deliver("", "", "", "x");
	sync_index();
	assert_int_equal(index_list(x, &v, 0, 10, &pool, &p1, &e), 0);
	assert_true(p1.more);
	assert_false(p1.newer);
	assert_int_equal(
	    index_list(x, &v, p1.list[9].newest.id, 10, &pool, &p2, &e), 0);
	assert_int_equal(p2.count, 10);
	assert_int_equal(p2.index, 10);
	assert_true(p2.newer);
	assert_int_equal(p2.newer_before, 0);
	assert_int_equal(
	    index_list(x, &v, p2.list[9].newest.id, 10, &pool, &p3, &e), 0);
	assert_int_equal(p3.count, 5);
	assert_false(p3.more);
	assert_int_equal(
	    index_list(x, &v, p3.newer_before, 10, &pool, &p1, &e), 0);
	assert_int_equal(p1.list[0].newest.id, p2.list[0].newest.id);
}

static void
test_a_damaged_file_is_made_anew(void **state)
{
	char path[200], junk[8192];
	int fd;

	(void)state;
	deliver("", "a", "", "one");
	sync_index();
	index_close(x);
	x = NULL;
	file_name(path);
	fd = open(path, O_WRONLY | O_TRUNC);
	memset(junk, 'x', sizeof(junk));
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	(void)close(fd);
	sync_index();
	assert_int_equal(list("", INDEX_ALL, true).count, 1);

	assert_false(index_is_stale(x));
	assert_int_equal(unlink(path), 0);
	assert_true(index_is_stale(x));
}

static void
test_a_dead_parser_loses_nothing(void **state)
{
	struct index_progress progress;
	struct err e;

	(void)state;
	deliver("", "a", "", "one");
	x = fixture_open(&f);
	f.parser_dead = true;
	assert_int_equal(
	    index_sync(x, "", clock_mono_ms() + 1000, &progress, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	f.parser_dead = false;
	sync_index();
	assert_int_equal(list("", INDEX_ALL, true).count, 1);
}

/* A large mailbox: the newest are there when the time is up. */
static void
test_the_newest_come_first(void **state)
{
	struct index_progress progress;
	struct index_rows rows;
	struct err e;

	(void)state;
	for (int i = 0; i < 700; i++)
		deliver("", "", "", i == 699 ? "newest" : "x");
	x = fixture_open(&f);
	assert_int_equal(index_sync(x, "", clock_mono_ms(), &progress, &e), 0);
	assert_true(progress.missing > 0);
	assert_int_equal(progress.total, 700);
	rows = list("", INDEX_ALL, true);
	assert_true(rows.count > 0);
	assert_string_equal(rows.list[0].newest.subject, "newest");
	sync_index();
	assert_int_equal(folder("").total, 700);
	assert_false(folder("").incomplete);
}

static size_t
search_all(const struct search_node *query, int64_t *ids, size_t max)
{
	struct index_search ask = { .query = query,
		.limit = 40,
		.ids_only = true,
		.deadline_ms = clock_mono_ms() + 20000 };
	struct index_found found;
	size_t count = 0;
	struct err e;

	do {
		if (index_search(x, &ask, &pool, &found, &e) != 0)
			fail_msg("%s", e.text);
		for (size_t i = 0; i < found.count && count < max; i++)
			ids[count++] = found.ids[i];
		ask.before = count > 0 ? ids[count - 1] : 0;
	} while (found.rows.more);
	return count;
}

/* The newest are looked at apart: nothing is found twice or left out. */
static void
test_search_in_recent_and_older(void **state)
{
	struct search_node text = {
		.kind = SEARCH_TEXT,
		.text = SLICE_LIT("comm"),
	};
	struct search_node *child = &text;
	const struct search_node not_old = {
		.kind = SEARCH_NOT,
		.children = &child,
		.count = 1,
	};
	int64_t ids[400];
	struct sql *db;
	struct err e;

	(void)state;
	for (int i = 0; i < 300; i++) {
		char id[20];

		(void)snprintf(id, sizeof(id), "m%d@x", i);
		deliver("", id, "", i % 3 == 0 ? "other" : "common");
		if (i != 200)
			continue;
		/* so many that `recent` begins anew */
		sync_index();
		assert_int_equal(sql_open(x->file, SQL_CACHE, &db, &e), 0);
		assert_int_equal(
		    sql_run(db, &e, "UPDATE meta SET recent_count=20000", ""),
		    1);
		sql_close(db);
	}
	sync_index();
	assert_int_equal(x->recent_count, 99);
	assert_int_equal(search_all(&text, ids, ARRAY_LEN(ids)), 200);
	for (size_t i = 1; i < 200; i++)
		assert_true(ids[i] < ids[i - 1]);
	assert_true(ids[0] >= x->recent_from && ids[199] < x->recent_from);
	assert_int_equal(search_all(&not_old, ids, ARRAY_LEN(ids)), 100);
}

static void
test_first_from_a_sender(void **state)
{
	struct index_view view = { .dir = "" };
	struct index_rows rows;
	bool first;
	struct err e;

	(void)state;
	deliver("", "a@x", "", "one");
	deliver("", "b@x", "", "two");
	sync_index();
	assert_int_equal(index_list(x, &view, 0, 10, &pool, &rows, &e), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
		    index_is_first(x, &rows.list[i].newest, &first, &e), 0);
		assert_int_equal(first, i == 1);
	}
}

/* Where the cache cannot be used. */
static void
test_in_memory(void **state)
{
	struct index_view view = { .dir = "" };
	struct index_rows rows;
	struct err e;

	(void)state;
	f.config.cache_dir = NULL;
	deliver("", "a@x", "", "one");
	sync_index();
	deliver("", "b@x", "", "two");
	sync_index();
	assert_false(index_is_stale(x));
	assert_int_equal(index_list(x, &view, 0, 10, &pool, &rows, &e), 0);
	assert_int_equal(rows.count, 2);
}

static void
in_folder(const char *name, const char *other)
{
	struct maildir m;

	fixture_maildir(&f, "", &m);
	if (other != NULL)
		assert_int_equal(renameat(m.new_fd, name, m.cur_fd, other), 0);
	else
		assert_int_equal(unlinkat(m.new_fd, name, 0), 0);
	maildir_close(&m);
}

static char victims[2][MAILDIR_NAME_SIZE];

static void
disturb(void)
{
	char seen[MAILDIR_NAME_SIZE + 8];

	in_folder(victims[0], NULL);
	(void)snprintf(seen, sizeof(seen), "%s:2,S", victims[1]);
	in_folder(victims[1], seen);
	deliver("", "late@x", "", "late");
}

/* Between being opened and being put in a message goes, one is read, one comes. */
static void
test_disturbed_while_reading(void **state)
{
	struct index_view view = { .dir = "" };
	struct index_rows rows;
	size_t seen = 0;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		char text[40], name[MAILDIR_NAME_SIZE];

		(void)snprintf(
		    text, sizeof(text), "Message-ID: d%zu@x\n\nx\n", i);
		fixture_deliver(&f, "", text, i < 2 ? victims[i] : name);
	}
	f.meanwhile = disturb;
	sync_index();
	sync_index();
	assert_int_equal(index_list(x, &view, 0, 10, &pool, &rows, &e), 0);
	assert_int_equal(rows.count, 5);
	assert_string_equal(rows.list[0].newest.subject, "late");
	for (size_t i = 0; i < rows.count; i++) {
		assert_string_not_equal(rows.list[i].newest.name, victims[0]);
		seen += (rows.list[i].newest.flags & MAILDIR_SEEN) != 0;
	}
	assert_int_equal(seen, 1);
}

static void *
sync_in_thread(void *arg)
{
	struct index *own = fixture_open(&f);
	struct index_progress p = { .missing = 1 };
	struct err e;

	for (int i = 0; i < 100 && p.missing > 0; i++) {
		if (index_sync(own, "", clock_mono_ms() + 10000, &p, &e) != 0)
			(void)snprintf(arg, 100, "%.99s", e.text);
	}
	index_close(own);
	return NULL;
}

/* Each message once, whoever puts it in. */
static void
test_two_at_once(void **state)
{
	char errors[2][100] = { "" };
	struct index_folders folders;
	pthread_t threads[2];
	struct err e;

	(void)state;
	for (int i = 0; i < 600; i++) {
		char id[20];

		(void)snprintf(id, sizeof(id), "t%d@x", i);
		deliver("", id, i % 2 != 0 ? "t0@x" : "", "x");
	}
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
				     sync_in_thread, errors[i]),
		    0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_string_equal(errors[0], "");
	assert_string_equal(errors[1], "");
	sync_index();
	assert_int_equal(index_folders(x, &pool, &folders, &e), 0);
	assert_int_equal(folders.list[0].total, 600);
	assert_int_equal(folders.list[0].talks, 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
		T(test_ids),
		T(test_new_mail_newest_first),
		T(test_what_others_change),
		T(test_ids_survive_a_new_index),
		T(test_talks_across_folders),
		T(test_a_talk_has_an_end),
		T(test_changes_and_undo),
		T(test_pages),
		T(test_a_damaged_file_is_made_anew),
		T(test_a_dead_parser_loses_nothing),
		T(test_the_newest_come_first),
		T(test_search_in_recent_and_older),
		T(test_first_from_a_sender),
		T(test_in_memory),
		T(test_disturbed_while_reading),
		T(test_two_at_once),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
