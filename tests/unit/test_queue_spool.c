/* The spool: commit, claim and the ends of claims. */
#include <pthread.h>

#include "tests/lib/spooltest.h"

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

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(commit_claim_settle),
		T(test_g13_second_runner_and_second_writer),
		T(large_bodies),
		T(defer_and_retry),
		T(not_before_and_take_back),
		T(the_same_id_counts_once),
		T(many_threads),
		T(segments_go_round),
		T(huge_envelope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
