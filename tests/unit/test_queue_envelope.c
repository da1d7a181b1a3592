/*
 * Envelopes: what is written reads back the same, anything else is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/envelope.h"

static void
fill(struct envelope *v)
{
	struct envelope_recipient *r;

	*v = (struct envelope){
		.sender = "",
		.envid = "QQ314159",
		.flags = ENVELOPE_8BIT | ENVELOPE_RET_HDRS,
		.client_ip = "192.0.2.1",
		.client_name = "mail.example.org",
		.helo = "mail",
		.auth_user = "",
		.session_id = "ABCDEF",
		.accepted_ms = 1700000000000,
		.not_before_ms = -1,
		.body_size = 100,
		.body_lines = 7,
		.local_prefix = 20,
		.attempts = 3,
		.next_try_ms = INT64_MAX,
		.hold_reason = "by hand",
	};
	r = envelope_add(v);
	r->address = "joe@example.org";
	r->original = "rfc822;Joe@example.org";
	r->notify = NOTIFY_FAILURE | NOTIFY_DELAY;
	r = envelope_add(v);
	r->address = "j\xc3\xb6@example.net";
	r->state = RECIPIENT_FAILED;
	r->kind = RECIPIENT_REMOTE;
	r->code = 550;
	r->attempts = 4;
	r->last_try_ms = 5;
	r->target = "example.net";
	r->status = "5.1.1";
	r->reply = "no\r\nsuch user";
	r->remote = "mx.example.net";
}

static void
encode(const struct envelope *v, struct buf *b)
{
	struct err e;

	buf_init(b, ENVELOPE_MAX);
	assert_int_equal(envelope_encode(v, b, &e), 0);
}

static void
reads_back(void **state)
{
	struct envelope v, w;
	struct pool pool = { 0 };
	struct buf b, again;
	struct err e;

	(void)state;
	fill(&v);
	encode(&v, &b);
	assert_int_equal(envelope_decode(buf_slice(&b), &pool, &w, &e), 0);
	assert_string_equal(w.sender, "");
	assert_string_equal(w.envid, "QQ314159");
	assert_string_equal(w.hold_reason, "by hand");
	assert_int_equal(w.recipient_count, 2);
	assert_string_equal(w.recipients[0].original, "rfc822;Joe@example.org");
	assert_null(w.recipients[0].target);
	assert_int_equal(w.recipients[1].state, RECIPIENT_FAILED);
	assert_int_equal(w.recipients[1].code, 550);
	/* A remote's words are cleaned, not refused. */
	assert_string_equal(w.recipients[1].reply, "no  such user");
	encode(&w, &again);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	buf_release(&again);
	buf_release(&b);
	envelope_release(&v);
	envelope_release(&w);
	pool_release(&pool);
}

static void
long_words_end_with_a_character(void **state)
{
	struct envelope v, w;
	struct pool pool = { 0 };
	char reason[1200];
	struct buf b;
	struct err e;

	(void)state;
	fill(&v);
	reason[0] = 'x';
	for (size_t i = 1; i + 2 < sizeof(reason); i += 2)
		memcpy(reason + i, "\xc3\xa4", 3);
	v.hold_reason = reason;
	encode(&v, &b);
	assert_int_equal(envelope_decode(buf_slice(&b), &pool, &w, &e), 0);
	assert_int_equal(strlen(w.hold_reason), 1023);
	assert_memory_equal(w.hold_reason, reason, 1023);
	buf_release(&b);
	envelope_release(&v);
	envelope_release(&w);
	pool_release(&pool);
}

static void
control_bytes_are_refused(void **state)
{
	struct envelope v;
	struct buf b;
	struct err e;

	(void)state;
	fill(&v);
	buf_init(&b, ENVELOPE_MAX);
	v.recipients[0].address = "joe@example.org\nS<x@y>";
	assert_int_equal(envelope_encode(&v, &b, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	v.recipients[0].address = NULL;
	assert_int_equal(envelope_encode(&v, &b, &e), -1);
	buf_release(&b);
	envelope_release(&v);
}

/* Every truncation and an addition are refused, and leave nothing behind. */
static void
only_the_whole_is_read(void **state)
{
	struct envelope v, w;
	struct pool pool = { 0 };
	struct buf b;
	struct err e;

	(void)state;
	fill(&v);
	encode(&v, &b);
	for (size_t len = 0; len < b.len; len++) {
		assert_int_equal(
		    envelope_decode(slice_of(b.data, len), &pool, &w, &e), -1);
		assert_int_equal(e.kind, ERR_SYNTAX);
		assert_null(w.recipients);
	}
	buf_addc(&b, 0);
	assert_int_equal(envelope_decode(buf_slice(&b), &pool, &w, &e), -1);
	buf_release(&b);
	envelope_release(&v);
	pool_release(&pool);
}

/* A flipped bit is refused or gives some envelope, never anything worse. */
static void
flipped_bits(void **state)
{
	struct envelope v, w;
	struct buf b;
	struct err e;

	(void)state;
	fill(&v);
	encode(&v, &b);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		struct pool pool = { 0 };

		b.data[bit / 8] ^= (char)(1 << bit % 8);
		if (envelope_decode(buf_slice(&b), &pool, &w, &e) == 0)
			envelope_release(&w);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
		pool_release(&pool);
	}
	buf_release(&b);
	envelope_release(&v);
}

static void
bounds(void **state)
{
	struct envelope v;
	struct buf b;
	struct err e;
	char *big = malloc(70000);

	(void)state;
	assert_non_null(big);
	memset(big, 'a', 70000);
	big[69999] = '\0';
	fill(&v);
	v.recipients[0].address = big;
	buf_init(&b, ENVELOPE_MAX);
	assert_int_equal(envelope_encode(&v, &b, &e), -1);
	v.recipients[0].address = "a@b";
	while (v.recipient_count <= ENVELOPE_RECIPIENTS_MAX)
		envelope_add(&v)->address = "a@b";
	buf_reset(&b);
	assert_int_equal(envelope_encode(&v, &b, &e), -1);
	v.recipient_count--;
	buf_reset(&b);
	assert_int_equal(envelope_encode(&v, &b, &e), 0);
	free(big);
	buf_release(&b);
	envelope_release(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_back),
		cmocka_unit_test(long_words_end_with_a_character),
		cmocka_unit_test(control_bytes_are_refused),
		cmocka_unit_test(only_the_whole_is_read),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
