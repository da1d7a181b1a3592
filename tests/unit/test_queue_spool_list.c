/* What waits in the spool: listing, holding, releasing; many at once. */
#include <time.h>

#include "tests/lib/spooltest.h"

static void
hold_and_release(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct spool_info list[2];
	struct spool_item *it;
	struct err e;
	char id[ID_SIZE];

	(void)state;
	commit(w, "body\n", id);
	it = claim(s, 2000);
	spool_hold(it, "looks odd");
	flush(s);
	assert_null(claim(s, 0));
	spool_close(s);
	s = runner();
	assert_null(claim(s, 0));
	assert_int_equal(spool_page(s, NULL, "", list, 2), 1);
	assert_int_equal(list[0].state, SPOOL_HELD);
	/* Looked at and put back, it stays held. */
	assert_int_equal(spool_claim_id(s, id, &it, &e), 0);
	assert_string_equal(it->envelope.hold_reason, "looks odd");
	spool_release(it, 0);
	assert_null(claim(s, 0));
	assert_int_equal(spool_unhold(s, id, &e), 0);
	assert_int_equal(spool_unhold(s, id, &e), -1);
	flush(s);
	it = claim(s, 0);
	assert_non_null(it);
	check_body(it, "body\n", 5);
	spool_settle(it);
	flush(s);
	assert_int_equal(
	    count_files("hold", "") + count_files("deferred", ""), 0);
	assert_int_equal(spool_claim_id(s, id, &it, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	spool_writer_close(w);
	spool_close(s);
}

static void
commit_from(struct spool_writer *w, const char *sender)
{
	struct envelope v = { .sender = sender,
		.accepted_ms = clock_wall_ms() };
	struct spool_message *m;
	struct err e;

	envelope_add(&v)->address = "b@example.org";
	assert_int_equal(spool_begin(w, &m, &e), 0);
	assert_int_equal(spool_commit(m, &v, &e), 0);
	envelope_release(&v);
}

/* Letters pass the reports that came before them, but not all of them. */
static void
test_e11_letters_before_reports(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	const struct timespec pause = { .tv_nsec = 200000000 };
	struct spool *s = runner();
	struct spool_item *it;
	char order[9] = "";

	(void)state;
	for (int i = 0; i < 4; i++)
		commit_from(w, "");
	for (size_t i = 0; i < 8; i++) {
		/* they come when one of the reports has been given out */
		for (int k = 0; i == 1 && k < 4; k++)
			commit_from(w, "a@example.org");
		if (i == 1)
			(void)nanosleep(&pause, NULL);
		it = claim(s, 2000);
		order[i] = it->envelope.sender[0] == '\0' ? 'r' : 'l';
		spool_settle(it);
	}
	assert_string_equal(order, "rlllrlrr");
	spool_writer_close(w);
	spool_close(s);
}

static int
count_sync(void *arg, struct err *e)
{
	(void)e;
	++*(int *)arg;
	return 0;
}

/* Many are held, released and removed by one flush, and none is read. */
static void
many_at_once(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	char ids[3][ID_SIZE];
	struct spool_item *it;
	int flushes = 0;
	struct err e;

	(void)state;
	for (int i = 0; i < 3; i++)
		commit(w, "body\n", ids[i]);
	it = claim(s, 2000);
	spool_mark(it, 0, SPOOL_MARK_DONE, 250);
	spool_release(it, clock_wall_ms() + 100000);
	assert_false(spool_hold_waiting(s, ids[0])); /* in the journal */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(spool_claim_id(s, ids[i], &it, &e), 0);
		spool_defer(it, clock_wall_ms() + 100000);
	}
	flush(s);
	for (int i = 0; i < 3; i++) {
		assert_true(spool_hold_waiting(s, ids[i]));
		assert_true(spool_awaits_flush(s, ids[i]));
		assert_int_equal(spool_unhold(s, ids[i], &e), -1);
	}
	assert_int_equal(spool_flush(s, sync_fails, NULL, NULL, &e), -1);
	assert_int_equal(spool_flush(s, count_sync, &flushes, NULL, &e), 0);
	assert_int_equal(flushes, 1);
	assert_int_equal(count_files("hold", ".f"), 3);
	spool_close(s);
	s = runner();
	for (int i = 0; i < 3; i++)
		assert_int_equal(spool_unhold(s, ids[i], &e), 0);
	flush(s);
	assert_int_equal(count_files("deferred", ".f"), 3);
	assert_int_equal(spool_remove(s, ids[0], &e), 0);
	assert_int_equal(spool_remove(s, ids[0], &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	flush(s);
	assert_int_equal(spool_remove(s, ids[0], &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(claim_and_release_all(s), 2);
	spool_writer_close(w);
	spool_close(s);
}

static struct envelope_recipient *
add_recipient(struct envelope *v, const char *address)
{
	struct envelope_recipient *r = envelope_add(v);

	r->address = address;
	return r;
}

static size_t
found(struct spool *s, const struct spool_filter *f)
{
	struct spool_info list[16];

	return spool_page(s, f, "", list, ARRAY_LEN(list));
}

/* Pages and surveys say the same before and after a start. */
static void
check_queue(struct spool *s, const char *ids)
{
	static const char *const own[] = { "Example.org", "no.example" };
	const struct spool_filter all = { 0 };
	struct spool_survey v;
	struct spool_info one = { 0 };
	size_t n = 0;

	while (spool_page(s, NULL, one.id, &one, 1) == 1)
		assert_memory_equal(one.id, ids + n++ * ID_SIZE, ID_SIZE);
	assert_int_equal(n, 3);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .sender = "A@Example.org" }), 3);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .sender = "eve@example.org" }), 0);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .recipient = "b@two.example" }),
	    2);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .destination = "ONE.example" }),
	    3);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .destination = "example.org" }),
	    0);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .states = 1U << SPOOL_HELD }), 1);
	assert_int_equal(
	    found(s, &(struct spool_filter){ .owners = own, .owner_count = 2 }),
	    3);
	assert_int_equal(
	    found(s,
		&(struct spool_filter){ .owners = own + 1, .owner_count = 1 }),
	    0);
	assert_int_equal(found(s, &(struct spool_filter){ .owners = own }), 0);
	spool_survey(s, &all, &v);
	assert_int_equal(v.counts[SPOOL_DEFERRED], 2);
	assert_int_equal(v.counts[SPOOL_HELD], 1);
	/* one.example twice, two.example once: the other one is held */
	assert_int_equal(v.group_count, 2);
	assert_int_equal(v.groups[0].count, 2);
	assert_string_equal(v.groups[0].oldest, ids);
	assert_string_equal(v.groups[0].newest, ids + ID_SIZE);
	assert_int_equal(v.groups[1].count, 1);
	free(v.groups);
}

static void
pages_and_groups(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	char ids[3][ID_SIZE], at[ID_SIZE] = "";
	struct spool_item *it;

	(void)state;
	for (int i = 0; i < 3; i++) {
		usleep(2000); /* ids of one millisecond have no order */
		commit(w, "body\n", ids[i]);
		it = claim(s, 2000);
		it->envelope.recipient_count = 0;
		add_recipient(&it->envelope, "a@one.example");
		if (i > 0)
			add_recipient(&it->envelope, "b@two.example");
		if (i == 1)
			add_recipient(&it->envelope, "c@two.example");
		if (i < 2)
			spool_defer(it, clock_wall_ms() + 3600000);
		else
			spool_hold(it, "looks odd");
	}
	flush(s);
	check_queue(s, ids[0]);
	spool_close(s);
	s = runner();
	while (spool_read_on(s, at))
		;
	check_queue(s, ids[0]);
	spool_writer_close(w);
	spool_close(s);
}

/* 100,000 deferred messages: there at once. */
static void
many_deferred(void **state)
{
	enum {
		MANY = 100000
	};
	struct spool_counts c;
	struct spool *s;
	char path[200];
	clock_t start;
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < MANY; i++) {
		char name[80], id[ID_SIZE];

		id_new(id);
		(void)snprintf(name, sizeof(name), "%s.1.%d.f", id, 1000 + i);
		assert_int_equal(mknodat(fd, name, S_IFREG | 0600, 0), 0);
	}
	(void)close(fd);
	start = clock(); /* of the processor, however busy it is */
	s = runner();
	assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
	spool_count(s, &c);
	assert_int_equal(c.deferred, MANY);
	spool_close(s);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(hold_and_release),
		T(many_at_once),
		T(test_e11_letters_before_reports),
		T(pages_and_groups),
		T(many_deferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
