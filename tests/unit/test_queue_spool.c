/*
 * The spool from both sides: what was acknowledged is claimed exactly once,
 * whatever happened in between.
 */
#include <pthread.h>

#include "base/num.h"

#include "tests/lib/spooltest.h"

/* --- the plain path --------------------------------------------------------------- */

static void
commit_claim_settle(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct spool_counts c;
	struct spool_item *it;
	char id[ID_SIZE];

	(void)state;
	assert_null(claim(s, 0));
	commit(w, "Subject: x\n\nhello\n", id);
	it = claim(s, 2000);
	assert_non_null(it);
	assert_string_equal(it->id, id);
	assert_false(it->was_claimed);
	assert_string_equal(it->envelope.sender, "a@example.org");
	assert_int_equal(it->envelope.recipient_count, 2);
	assert_int_equal(it->envelope.body_size, 18);
	check_body(it, "Subject: x\n\nhello\n", 18);
	spool_mark(it, 0, SPOOL_MARK_DONE, 250);
	spool_settle(it);
	assert_int_equal(spool_flush_pending(s), 1);
	assert_int_equal(flush(s), 1);
	assert_true(spool_knows(s, id));
	assert_null(claim(s, 0));
	spool_writer_close(w);
	spool_close(s);

	s = runner();
	assert_null(claim(s, 0));
	spool_count(s, &c);
	assert_int_equal(c.active + c.deferred + c.held, 0);
	spool_close(s);
}

static void
test_g13_second_runner_and_second_writer(void **state)
{
	struct spool_writer *w = writer("submit"), *w2;
	struct spool *s = runner(), *s2;
	struct err e;

	(void)state;
	assert_int_equal(spool_open(dir, NULL, &s2, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(
	    spool_writer_open(dir, "submit", notify, 0, &w2, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(
	    spool_writer_open(dir, "../x", notify, 0, &w2, &e), -1);
	spool_writer_close(w);
	w = writer("submit");
	commit(w, "x\n", NULL);
	spool_writer_close(w);
	spool_close(s);
	assert_int_equal(
	    spool_writer_open("/nonexistent", "x", NULL, 0, &w, &e), -1);
	assert_int_equal(spool_open("/nonexistent", NULL, &s, &e), -1);
}

static void
large_bodies(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	size_t len = SPOOL_INLINE_MAX + 70001;
	char *body = malloc(len);
	struct spool_message *m;
	struct spool_item *it;
	struct err e;

	(void)state;
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i % 23);
	assert_int_equal(try_commit(w, NULL, body, len, 0, NULL, &e), 0);
	assert_int_equal(
	    try_commit(w, NULL, body, SPOOL_INLINE_MAX, 0, NULL, &e), 0);
	assert_int_equal(count_files("large", ""), 1);
	it = claim(s, 2000);
	check_body(it, body, len);
	spool_defer(it, clock_wall_ms() - 1);
	it = claim(s, 2000);
	check_body(it, body, SPOOL_INLINE_MAX);
	spool_settle(it);
	flush(s);
	it = claim(s, 2000);
	assert_non_null(it);
	check_body(it, body, len);
	spool_settle(it);
	flush(s);
	assert_int_equal(count_files("large", ""), 0);

	/* Aborted, or its writer died: nothing stays. */
	assert_int_equal(spool_begin(w, &m, &e), 0);
	assert_int_equal(spool_write(m, body, len, &e), 0);
	assert_int_equal(count_files("large", ""), 1);
	spool_abort(m);
	assert_int_equal(count_files("large", ""), 0);
	free(body);
	spool_writer_close(w);
	spool_close(s);
}

static void
defer_and_retry(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct spool_item *it;
	struct spool_counts c;
	struct envelope v;
	struct pool pool = { 0 };
	struct err e;
	char id[ID_SIZE];

	(void)state;
	commit(w, "body\n", id);
	it = claim(s, 2000);
	it->envelope.recipients[0].state = RECIPIENT_DONE;
	it->envelope.recipients[1].reply = "451 later";
	it->envelope.attempts = 1;
	spool_defer(it, clock_wall_ms() + 3600000);
	assert_int_equal(
	    spool_schedule(s, id, 0, &e), -1); /* until the flush */
	flush(s);
	assert_null(claim(s, 0));
	spool_count(s, &c);
	assert_int_equal(c.deferred, 1);
	assert_int_equal(count_files("deferred", ".f"), 1);

	/* A new runner knows it from its name, without a word of the journal. */
	spool_close(s);
	s = runner();
	assert_null(claim(s, 0));
	assert_int_equal(spool_peek(s, id, &pool, &v, &e), 0);
	assert_string_equal(v.recipients[1].reply, "451 later");
	envelope_release(&v);
	pool_release(&pool);
	assert_int_equal(spool_schedule(s, id, 0, &e), 0);
	it = claim(s, 0);
	assert_non_null(it);
	assert_int_equal(it->envelope.attempts, 1);
	assert_int_equal(it->envelope.recipients[0].state, RECIPIENT_DONE);
	check_body(it, "body\n", 5);
	it->envelope.attempts = 2;
	spool_defer(it, clock_wall_ms() + 50);
	flush(s);
	assert_int_equal(count_files("deferred", ".f"), 1);
	it = claim(s, 3000);
	assert_int_equal(it->envelope.attempts, 2);
	spool_settle(it);
	flush(s);
	assert_int_equal(count_files("deferred", ""), 0);
	spool_writer_close(w);
	spool_close(s);
}

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

/* Letters pass the reports that came before them, but not all of them. */
static void
test_e11_letters_before_reports(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct spool_message *m;
	struct spool_item *it;
	char order[9] = "";
	struct err e;

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct envelope v = { .sender = i < 4 ? "" : "a@example.org",
			.accepted_ms = clock_wall_ms() };

		envelope_add(&v)->address = "b@example.org";
		assert_int_equal(spool_begin(w, &m, &e), 0);
		assert_int_equal(spool_commit(m, &v, &e), 0);
		envelope_release(&v);
	}
	for (size_t i = 0; i < 8; i++) {
		it = claim(s, 2000);
		order[i] = it->envelope.sender[0] == '\0' ? 'r' : 'l';
		spool_settle(it);
	}
	assert_string_equal(order, "lllrlrrr");
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

/* --- looking at the queue --------------------------------------------------------- */

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

static void
not_before_and_take_back(void **state)
{
	struct spool_writer *w = writer("webmail-0");
	struct spool *s = runner();
	int64_t later = clock_wall_ms() + 3600000;
	struct err e;
	char id[ID_SIZE], soon[ID_SIZE];
	struct spool_item *it;

	(void)state;
	assert_int_equal(try_commit(w, NULL, "x\n", 2, later, id, &e), 0);
	assert_int_equal(
	    try_commit(w, NULL, "y\n", 2, clock_wall_ms() + 300, soon, &e), 0);
	assert_null(claim(s, 0));
	flush(s);
	assert_int_equal(spool_take_back(s, id, "eve@example.org", &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(spool_take_back(s, id, "joe@example.org", &e), 0);
	flush(s);
	assert_int_equal(spool_take_back(s, id, "joe@example.org", &e), -1);
	it = claim(s, 3000);
	assert_non_null(it);
	assert_string_equal(it->id, soon);
	assert_true(clock_wall_ms() >= it->envelope.not_before_ms);
	spool_settle(it);
	flush(s);
	spool_writer_close(w);
	spool_close(s);
}

static void
the_same_id_counts_once(void **state)
{
	struct spool_writer *w = writer("runner");
	struct spool *s = runner();
	struct spool_item *it;
	struct err e;
	char id[ID_SIZE];

	(void)state;
	id_new(id);
	assert_int_equal(try_commit(w, id, "dsn\n", 4, 0, NULL, &e), 0);
	it = claim(s, 2000);
	assert_true(spool_knows(s, id));
	assert_int_equal(try_commit(w, id, "dsn\n", 4, 0, NULL, &e), 0);
	assert_null(claim(s, 50));
	spool_settle(it);
	flush(s);
	flush(s);
	spool_close(s);
	s = runner();
	assert_null(claim(s, 0));
	spool_close(s);
	spool_writer_close(w);
}

static void
expanded_recipients_stay(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct spool_item *it;
	struct err e;

	(void)state;
	commit(w, "list\n", NULL);
	it = claim(s, 2000);
	it->envelope.recipients[0].state = RECIPIENT_DONE;
	for (int i = 0; i < 20; i++)
		envelope_add(&it->envelope)->address = "member@example.org";
	assert_int_equal(spool_update(it, &e), 0);
	spool_mark(it, 21, SPOOL_MARK_DONE, 0);
	/* Gone without a word, as after kill -9. */
	spool_close(s);
	envelope_release(&it->envelope);
	pool_release(&it->pool);
	free(it);
	s = runner();
	it = claim(s, 0);
	assert_true(it->was_claimed);
	assert_int_equal(it->envelope.recipient_count, 22);
	assert_int_equal(it->envelope.recipients[0].state, RECIPIENT_DONE);
	assert_int_equal(spool_mark_get(it, 21, NULL), SPOOL_MARK_DONE);
	assert_int_equal(spool_mark_get(it, 20, NULL), SPOOL_MARK_NONE);
	/* A mark never goes back from done. */
	spool_mark(it, 21, SPOOL_MARK_STARTED, 0);
	assert_int_equal(spool_mark_get(it, 21, NULL), SPOOL_MARK_DONE);
	check_body(it, "list\n", 5);
	spool_settle(it);
	flush(s);
	assert_int_equal(count_files("deferred", ""), 0);
	spool_close(s);
	spool_writer_close(w);
}

/* --- what a restart finds ------------------------------------------------------ */

/* A segment's path; there is exactly one. */
static void
find_segment_file(char out[300])
{
	char path[200];
	struct dirent *de;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	d = opendir(path);
	out[0] = '\0';
	while ((de = readdir(d)) != NULL) {
		if (slice_ends(slice_str(de->d_name), "-0.seg"))
			(void)snprintf(out, 300, "%s/%.80s", path, de->d_name);
	}
	(void)closedir(d);
	assert_true(out[0] != '\0');
}

#define FIRST_SEGMENT ((size_t)1024 * 1024)

/* Write `n` messages and tell where each one's record ends. */
static void
write_records(size_t n, uint64_t *ends)
{
	struct spool_writer *w = writer("mtad-0");

	for (size_t i = 0; i < n; i++)
		commit(w, "Subject: torn\n\nbody\n", NULL);
	spool_writer_close(w);
	if (ends != NULL) {
		struct spool_record r;
		uint64_t at = SEGMENT_HEADER, generation, size;
		char path[300];
		struct spool_dirs d;
		struct err e;
		char *data = malloc(FIRST_SEGMENT);
		int fd;

		find_segment_file(path);
		fd = open(path, O_RDONLY);
		assert_int_equal(spool_read_at(fd, data, FIRST_SEGMENT, 0), 0);
		assert_int_equal(spool_dirs_open(dir, &d, &e), 0);
		assert_true(segment_header_get(
		    (uint8_t *)data, SEGMENT_HEADER, &d, &generation, &size));
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(record_next(slice_of(data, size), 0,
					     segment_seed(&d, generation),
					     generation, &at, &r),
			    RECORD_OK);
			ends[i] = at;
		}
		spool_dirs_close(&d);
		(void)close(fd);
		free(data);
	}
}

static void
overwrite(uint64_t at, const void *data, size_t len)
{
	char path[300];
	int fd;

	find_segment_file(path);
	fd = open(path, O_RDWR);
	assert_int_equal(spool_write_at(fd, data, len, at), 0);
	(void)close(fd);
}

/* The last record is cut at every byte (zeros behind it): it never was. */
static void
torn_tail(void **state)
{
	uint64_t ends[3];
	char *saved;
	size_t len;
	const char zeros[1024] = { 0 };
	char path[300];
	int fd;

	(void)state;
	write_records(3, ends);
	len = (size_t)(ends[2] - ends[1]);
	assert_true(len < sizeof(zeros));
	saved = malloc(len);
	find_segment_file(path);
	fd = open(path, O_RDONLY);
	assert_int_equal(spool_read_at(fd, saved, len, ends[1]), 0);
	(void)close(fd);
	for (size_t cut = 0; cut <= len; cut++) {
		struct spool *s;
		size_t n;

		overwrite(ends[1], saved, cut);
		overwrite(ends[1] + cut, zeros, len - cut);
		forget_marks();
		s = runner();
		n = claim_and_release_all(s);
		/* Cut where only zeros follow, nothing is missing. */
		assert_int_equal(
		    n, memcmp(saved + cut, zeros, len - cut) == 0 ? 3 : 2);
		spool_close(s);
	}
	assert_int_equal(count_files("corrupt", ""), 0);
	free(saved);
}

/* Damage in what was acknowledged goes to corrupt/; the rest is delivered. */
static void
damage_inside(void **state)
{
	uint64_t ends[3];
	struct spool *s;

	(void)state;
	write_records(3, ends);
	/* a byte of the second one's payload, then of its header */
	overwrite(ends[0] + RECORD_HEADER + 3, "\xff", 1);
	s = runner();
	assert_int_equal(claim_and_release_all(s), 2);
	spool_close(s);
	assert_int_equal(count_files("corrupt", ""), 1);
	overwrite(ends[0] + 20, "\xff", 1);
	s = runner();
	assert_int_equal(claim_and_release_all(s), 2);
	spool_close(s);
}

/* A record of another generation or place, however whole, is not there. */
static void
stale_records(void **state)
{
	uint64_t ends[2];
	char *saved = malloc(4096);
	struct spool *s;
	struct spool_item *it;
	char path[300];
	size_t len;
	int fd;

	(void)state;
	write_records(2, ends);
	len = (size_t)(ends[1] - ends[0]);
	find_segment_file(path);
	fd = open(path, O_RDONLY);
	assert_int_equal(spool_read_at(fd, saved, len, ends[0]), 0);
	(void)close(fd);
	overwrite(ends[1], saved, len);
	s = runner();
	for (int i = 0; i < 2; i++) {
		it = claim(s, 0);
		assert_non_null(it);
		spool_settle(it);
	}
	assert_null(claim(s, 0));
	flush(s);
	spool_close(s);
	/* The segment is free now; the next writer's use of it hides the old. */
	assert_int_equal(count_files("journal", ".free"), 1);
	write_records(1, NULL);
	s = runner();
	assert_int_equal(claim_and_release_all(s), 1);
	assert_null(claim(s, 0));
	spool_close(s);
	free(saved);
}

static void
foreign_segment(void **state)
{
	struct spool *s;
	char path[300];
	int fd;

	(void)state;
	write_records(1, NULL);
	find_segment_file(path);
	fd = open(path, O_RDWR);
	assert_int_equal(spool_write_at(fd, "x", 1, 20), 0);
	(void)close(fd);
	s = runner();
	assert_int_equal(claim_and_release_all(s), 0);
	assert_int_equal(count_files("corrupt", ".seg"), 1);
	spool_close(s);
}

/* A damaged envelope file of a deferred message: quarantine, no crash. */
static void
damaged_deferred(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	char path[400];
	struct dirent *de;
	struct spool_item *it;
	DIR *d;

	(void)state;
	commit(w, "x\n", NULL);
	it = claim(s, 2000);
	spool_defer(it, 1000);
	flush(s);
	spool_close(s);
	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	d = opendir(path);
	while ((de = readdir(d)) != NULL) {
		int fd;

		if (!slice_ends(slice_str(de->d_name), ".f"))
			continue;
		fd = openat(dirfd(d), de->d_name, O_RDWR);
		assert_int_equal(spool_write_at(fd, "\xff", 1, 40), 0);
		(void)close(fd);
	}
	(void)closedir(d);
	s = runner();
	assert_null(claim(s, 0));
	flush(s);
	assert_int_equal(count_files("deferred", ""), 0);
	assert_int_equal(count_files("corrupt", ""), 2);
	spool_close(s);
	spool_writer_close(w);
}

static void
test_g11_three_crashes(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s;
	struct spool_item *it;

	(void)state;
	commit(w, "bomb\n", NULL);
	spool_writer_close(w);
	for (int i = 0; i < 3; i++) {
		s = runner();
		it = claim(s, 0);
		assert_non_null(it);
		assert_int_equal(it->crashes, i);
		spool_item_danger(it, true);
		spool_close(s);
		envelope_release(&it->envelope);
		pool_release(&it->pool);
		free(it);
	}
	s = runner();
	assert_null(claim(s, 0));
	flush(s);
	assert_int_equal(count_files("corrupt", ".record"), 1);
	spool_close(s);
}

/* What a failed store flush would have covered is never called settled. */
static void
failed_store_flush(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct spool_item *it;
	struct err e;

	(void)state;
	commit(w, "x\n", NULL);
	it = claim(s, 2000);
	spool_mark(it, 0, SPOOL_MARK_DONE, 250);
	spool_settle(it);
	assert_int_equal(spool_flush(s, sync_fails, NULL, NULL, &e), -1);
	assert_int_equal(spool_flush_pending(s), 1);
	spool_close(s);
	forget_marks(); /* the power went */
	s = runner();
	it = claim(s, 2000);
	spool_mark(it, 0, SPOOL_MARK_DONE, 250);
	spool_settle(it);
	assert_int_equal(spool_flush(s, sync_fails, NULL, NULL, &e), -1);
	flush(s); /* the next one covers it */
	assert_int_equal(spool_flush_pending(s), 0);
	spool_close(s);
	forget_marks();
	s = runner();
	assert_int_equal(claim_and_release_all(s), 0);
	spool_close(s);
	spool_writer_close(w);
}

/* --- many at once ----------------------------------------------------------------- */

enum {
	WRITERS = 2,
	THREADS = 4,
	EACH = 150
};

static struct spool_writer *many_writers[WRITERS];

static void *
commit_many(void *arg)
{
	struct spool_writer *w = arg;
	struct err e;

	for (int i = 0; i < EACH; i++) {
		if (try_commit(w, NULL, "Subject: n\n\nn\n", 15, 0, NULL, &e) <
		    0)
			return w;
	}
	return NULL;
}

static struct spool *many_spool;
static _Atomic int many_claimed;

static void *
claim_many(void *arg)
{
	struct spool_item *it;
	struct err e;

	(void)arg;
	while (many_claimed < WRITERS * THREADS * EACH) {
		if (spool_claim(many_spool, 200, &it, &e) < 0)
			return many_spool;
		if (it == NULL)
			continue;
		many_claimed++;
		spool_mark(it, 0, SPOOL_MARK_DONE, 250);
		spool_settle(it);
	}
	return NULL;
}

static void
many_threads(void **state)
{
	pthread_t committers[WRITERS][THREADS], claimers[3];
	size_t settled = 0;
	void *failed;

	(void)state;
	many_spool = runner();
	many_claimed = 0;
	many_writers[0] = writer("mtad-0");
	many_writers[1] = writer("mtad-1");
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    pthread_create(&claimers[i], NULL, claim_many, NULL), 0);
	for (int i = 0; i < WRITERS * THREADS; i++)
		assert_int_equal(
		    pthread_create(&committers[i / THREADS][i % THREADS], NULL,
			commit_many, many_writers[i / THREADS]),
		    0);
	while (settled < (size_t)WRITERS * THREADS * EACH)
		settled += flush(many_spool);
	for (int i = 0; i < WRITERS * THREADS; i++) {
		(void)pthread_join(
		    committers[i / THREADS][i % THREADS], &failed);
		assert_null(failed);
	}
	for (int i = 0; i < 3; i++) {
		(void)pthread_join(claimers[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(many_claimed, WRITERS * THREADS * EACH);
	assert_null(claim(many_spool, 0));
	spool_writer_close(many_writers[0]);
	spool_writer_close(many_writers[1]);
	/* Writers gone, all settled: every segment is free. */
	flush(many_spool);
	assert_null(claim(many_spool, 1200));
	flush(many_spool);
	assert_int_equal(count_files("journal", ".seg"), 0);
	spool_close(many_spool);
}

/* Bodies that fill segments several times over: the ring goes round. */
static void
segments_go_round(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	char *body = malloc(SPOOL_INLINE_MAX);
	struct spool_counts c;
	struct err e;

	(void)state;
	memset(body, 'x', SPOOL_INLINE_MAX);
	for (int i = 0; i < 600; i++) {
		struct spool_item *it;

		assert_int_equal(
		    try_commit(w, NULL, body, SPOOL_INLINE_MAX, 0, NULL, &e),
		    0);
		it = claim(s, 2000);
		assert_non_null(it);
		spool_settle(it);
		if (i % 40 == 0) {
			assert_null(claim(s, 0));
			flush(s);
		}
	}
	/* The once-a-second look closes what its writer has left. */
	assert_null(claim(s, 1200));
	flush(s);
	spool_count(s, &c);
	assert_true(c.segments <= 3);
	assert_true(count_files("journal", "") <= 9);
	free(body);
	spool_writer_close(w);
	spool_close(s);
}

/* 100,000 recipients: the envelope is a file of its own. */
static void
huge_envelope(void **state)
{
	struct spool_writer *w = writer("mtad-0");
	struct spool *s = runner();
	struct envelope v = { .sender = "a@example.org" };
	struct spool_message *m;
	struct spool_item *it;
	struct err e;

	(void)state;
	for (int i = 0; i < ENVELOPE_RECIPIENTS_MAX; i++)
		envelope_add(&v)->address = "member@example.org";
	assert_int_equal(spool_begin(w, &m, &e), 0);
	assert_int_equal(spool_write(m, "x\n", 2, &e), 0);
	assert_int_equal(spool_commit(m, &v, &e), 0);
	envelope_release(&v);
	assert_int_equal(count_files("large", ".env"), 1);
	it = claim(s, 2000);
	assert_int_equal(it->envelope.recipient_count, ENVELOPE_RECIPIENTS_MAX);
	spool_mark(it, ENVELOPE_RECIPIENTS_MAX - 1, SPOOL_MARK_DONE, 250);
	check_body(it, "x\n", 2);
	spool_settle(it);
	flush(s);
	assert_int_equal(count_files("large", ""), 0);
	spool_writer_close(w);
	spool_close(s);
}

static void
count_line(void *arg, const char *line)
{
	(void)line;
	++*(size_t *)arg;
}

static int
cut_short(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_WRONLY);
	int rc = ftruncate(fd, 20);

	(void)close(fd);
	return rc;
}

/* Verify, repair, verify: damage is found and put aside. */
static void
check_and_repair(void **state)
{
	struct spool *s;
	size_t lines = 0, bad = 9;
	char path[400], name[300];
	struct dirent *de;
	struct spool_item *it;
	struct err e = { 0 };
	DIR *d;

	(void)state;
	write_records(2, NULL);
	s = runner();
	it = claim(s, 0);
	spool_defer(it, clock_wall_ms() + 3600000);
	assert_int_equal(
	    spool_check(dir, true, count_line, &lines, &bad, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	flush(s);
	spool_close(s);
	assert_int_equal(
	    spool_check(dir, false, count_line, &lines, &bad, &e), 0);
	assert_int_equal(bad, 0);
	assert_true(lines > 0);

	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	d = opendir(path);
	name[0] = '\0';
	while ((de = readdir(d)) != NULL) {
		if (slice_ends(slice_str(de->d_name), ".f"))
			(void)snprintf(name, sizeof(name), "%s", de->d_name);
	}
	assert_int_equal(cut_short(dirfd(d), name), 0);
	(void)closedir(d);
	assert_int_equal(
	    spool_check(dir, false, count_line, &lines, &bad, &e), 0);
	assert_int_equal(bad, 1);
	assert_int_equal(
	    spool_check(dir, true, count_line, &lines, &bad, &e), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(count_files("deferred", ""), 0);
	assert_int_equal(count_files("corrupt", ""), 2);
	s = runner();
	assert_int_equal(claim_and_release_all(s), 1);
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
	int64_t start;
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
	start = clock_mono_ms();
	s = runner();
	assert_true(clock_mono_ms() - start < 5000);
	spool_count(s, &c);
	assert_int_equal(c.deferred, MANY);
	spool_close(s);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(commit_claim_settle),
		T(test_g13_second_runner_and_second_writer),
		T(large_bodies),
		T(defer_and_retry),
		T(hold_and_release),
		T(many_at_once),
		T(test_e11_letters_before_reports),
		T(pages_and_groups),
		T(not_before_and_take_back),
		T(the_same_id_counts_once),
		T(expanded_recipients_stay),
		T(torn_tail),
		T(damage_inside),
		T(stale_records),
		T(foreign_segment),
		T(damaged_deferred),
		T(test_g11_three_crashes),
		T(failed_store_flush),
		T(many_threads),
		T(segments_go_round),
		T(huge_envelope),
		T(check_and_repair),
		T(many_deferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
