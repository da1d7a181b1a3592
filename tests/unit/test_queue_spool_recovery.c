/* What a start finds after a crash, a cut or damage, and its repair. */
#include "base/num.h"

#include "queue/spool_internal.h"

#include "tests/lib/spooltest.h"

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

/* Cut every file in deferred/ of this ending short, as before its flush. */
static void
cut_files(const char *ending)
{
	char path[400];
	struct dirent *de;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	d = opendir(path);
	while ((de = readdir(d)) != NULL)
		if (de->d_name[0] != '.' &&
		    slice_ends(slice_str(de->d_name), ending))
			assert_int_equal(cut_short(dirfd(d), de->d_name), 0);
	(void)closedir(d);
}

/*
 * The power goes while messages leave the journal: names are on the disk,
 * what is in them is not, nor the settled marks.  The records are.
 */
static void
test_h14_cut_on_the_way_out_of_the_journal(void **state)
{
	struct spool_writer *w = writer("mtad-0"); /* keeps its segment */
	struct spool *s = runner();
	struct err e;
	int fd;

	(void)state;
	for (int i = 0; i < 8; i++)
		commit(w, "body\n", NULL);
	for (int i = 0; i < 8; i++)
		spool_defer(claim(s, 2000), 1000);
	flush(s);
	spool_close(s);
	forget_marks();
	fd = open(dir, O_RDONLY);
	assert_int_equal(unlinkat(fd, "settled.log", 0), 0);
	(void)close(fd);
	cut_files("");
	s = runner();
	for (int i = 0; i < 8; i++) {
		struct spool_item *it = claim(s, 0);

		assert_non_null(it);
		check_body(it, "body\n", 5);
		/* what was left of the first try is not taken for the body */
		spool_hold(it, "later");
	}
	flush(s);
	assert_int_equal(count_files("deferred", ""), 0);
	assert_int_equal(count_files("corrupt", ""), 0);
	for (struct spool_info i = { "", 0, 0 };
	     spool_page(s, NULL, i.id, &i, 1) == 1;) {
		struct spool_item *it;

		assert_int_equal(spool_claim_id(s, i.id, &it, &e), 0);
		check_body(it, "body\n", 5);
		spool_settle(it);
	}
	flush(s);
	spool_close(s);
	spool_writer_close(w);
}

/* Put a second envelope file beside each, with the next serial. */
static void
add_newer(bool whole)
{
	char path[400], name[ENVELOPE_NAME_SIZE];
	struct envelope_name n;
	struct dirent *de;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	d = opendir(path);
	while ((de = readdir(d)) != NULL) {
		if (!envelope_name_get(de->d_name, &n) || n.serial != 1)
			continue;
		n.serial = 2;
		n.next_ms = 2000;
		envelope_name_put(name, &n);
		assert_int_equal(
		    linkat(dirfd(d), de->d_name, dirfd(d), name, 0), 0);
		if (!whole) {
			assert_int_equal(unlinkat(dirfd(d), name, 0), 0);
			(void)close(
			    openat(dirfd(d), name, O_CREAT | O_WRONLY, 0660));
		}
	}
	(void)closedir(d);
}

/* The same while a state of deferred messages is replaced by the next. */
static void
test_h14_cut_between_two_states(void **state)
{
	struct spool *s;

	(void)state;
	write_records(8, NULL);
	s = runner();
	for (int i = 0; i < 8; i++)
		spool_defer(claim(s, 0), 1000);
	flush(s);
	spool_close(s);
	add_newer(false);
	s = runner();
	assert_int_equal(count_files("deferred", ".1.1000.f"), 8);
	assert_int_equal(count_files("deferred", ".f"), 8);
	add_newer(true);
	spool_flush_failed(s); /* and it is killed: perhaps not on the disk */
	spool_close(s);
	s = runner();
	assert_int_equal(count_files("deferred", ".1.1000.f"), 8);
	assert_int_equal(count_files("deferred", ".f"), 8);
	spool_close(s);
	add_newer(true);
	s = runner();
	assert_int_equal(count_files("deferred", ".2.2000.f"), 8);
	assert_int_equal(count_files("deferred", ".f"), 8);
	spool_close(s);
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

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(expanded_recipients_stay),
		T(torn_tail),
		T(damage_inside),
		T(stale_records),
		T(foreign_segment),
		T(damaged_deferred),
		T(test_g11_three_crashes),
		T(failed_store_flush),
		T(test_h14_cut_on_the_way_out_of_the_journal),
		T(test_h14_cut_between_two_states),
		T(check_and_repair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
