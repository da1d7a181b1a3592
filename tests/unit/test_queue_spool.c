/*
 * The spool from both sides: what was acknowledged is claimed exactly once,
 * whatever happened in between.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#include "base/num.h"

#include "queue/spool.h"
#include "queue/spool_format.h"
#include "queue/spool_runner.h"

static char top[64], dir[96], notify[128];

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static void
forget_marks(void)
{
	struct spool_dirs d;
	struct err e;
	char path[128];

	if (spool_dirs_open(dir, &d, &e) < 0)
		return;
	(void)snprintf(
	    path, sizeof(path), "/dev/shm/mailstead-%s", d.uuid_text);
	(void)unlink(path);
	spool_dirs_close(&d);
}

static int
setup(void **state)
{
	struct err e;

	(void)state;
	(void)strcpy(top, "/tmp/spool-test-XXXXXX");
	if (mkdtemp(top) == NULL)
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/spool", top);
	(void)snprintf(notify, sizeof(notify), "%s/queue.notify", top);
	return spool_create(dir, &e);
}

static int
teardown(void **state)
{
	(void)state;
	forget_marks();
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- small steps ---------------------------------------------------------------- */

static struct spool_writer *
writer(const char *name)
{
	struct spool_writer *w;
	struct err e = { 0 };

	if (spool_writer_open(dir, name, notify, 0, &w, &e) < 0)
		fail_msg("%s", e.text);
	return w;
}

static struct spool *
runner(void)
{
	struct spool *s;
	struct err e = { 0 };

	if (spool_open(dir, notify, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static int
try_commit(struct spool_writer *w, const char *id, const char *body, size_t len,
    int64_t not_before, char id_out[ID_SIZE], struct err *e)
{
	struct envelope v = { .sender = "a@example.org",
		.auth_user = "joe@example.org",
		.accepted_ms = clock_wall_ms(),
		.not_before_ms = not_before };
	struct spool_message *m;
	int rc;

	rc = id != NULL ? spool_begin_as(w, id, &m, e) : spool_begin(w, &m, e);
	if (rc < 0)
		return -1;
	if (id_out != NULL)
		memcpy(id_out, spool_id(m), ID_SIZE);
	envelope_add(&v)->address = "b@example.org";
	envelope_add(&v)->address = "c@example.net";
	if (spool_write(m, body, len, e) < 0) {
		spool_abort(m);
		rc = -1;
	} else {
		rc = spool_commit(m, &v, e);
	}
	envelope_release(&v);
	return rc;
}

static void
commit(struct spool_writer *w, const char *body, char id_out[ID_SIZE])
{
	struct err e = { 0 };

	if (try_commit(w, NULL, body, strlen(body), 0, id_out, &e) < 0)
		fail_msg("%s", e.text);
}

static struct spool_item *
claim(struct spool *s, int wait_ms)
{
	struct spool_item *it;
	struct err e = { 0 };

	if (spool_claim(s, wait_ms, &it, &e) < 0)
		fail_msg("%s", e.text);
	return it;
}

static void
check_body(struct spool_item *it, const char *want, size_t len)
{
	struct spool_body b;
	struct err e = { 0 };

	if (spool_body_open(it, &b, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(b.len, len);
	if (b.data != NULL) {
		assert_memory_equal(b.data, want, len);
	} else {
		char *got = malloc(len + 1);

		assert_int_equal(spool_read_at(b.fd, got, len, 0), 0);
		assert_memory_equal(got, want, len);
		assert_int_equal(faccessat(b.dir_fd, b.name, R_OK, 0), 0);
		free(got);
	}
	spool_body_close(&b);
}

static int stores_synced;

static int
sync_ok(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	stores_synced++;
	return 0;
}

static int
sync_fails(void *arg, struct err *e)
{
	(void)arg;
	return err_set(e, ERR_TEMP, "the store is broken");
}

static size_t
flush(struct spool *s)
{
	struct err e = { 0 };
	size_t n;

	if (spool_flush(s, sync_ok, NULL, &n, &e) < 0)
		fail_msg("%s", e.text);
	return n;
}

static size_t
count_files(const char *sub, const char *suffix)
{
	char path[256];
	struct dirent *de;
	size_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	assert_non_null(d);
	while ((de = readdir(d)) != NULL)
		n += de->d_name[0] != '.' &&
		    slice_ends(slice_str(de->d_name), suffix);
	(void)closedir(d);
	return n;
}

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
second_runner_and_second_writer(void **state)
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
	struct spool_info *list;
	struct spool_item *it;
	size_t count;
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
	assert_int_equal(spool_list(s, &list, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].state, SPOOL_HELD);
	free(list);
	/* Looked at and put back, it stays held. */
	assert_int_equal(spool_claim_id(s, id, &it, &e), 0);
	assert_string_equal(it->envelope.hold_reason, "looks odd");
	spool_release(it, 0);
	assert_null(claim(s, 0));
	assert_int_equal(spool_unhold(s, id, &e), 0);
	assert_int_equal(spool_unhold(s, id, &e), -1);
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

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(commit_claim_settle),
		T(second_runner_and_second_writer),
		T(large_bodies),
		T(defer_and_retry),
		T(hold_and_release),
		T(not_before_and_take_back),
		T(the_same_id_counts_once),
		T(expanded_recipients_stay),
	};

	(void)sync_fails;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
