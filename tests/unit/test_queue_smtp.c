/*
 * The pure parts of sending: reply parser, wire text, outcomes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#include "queue/outcome.h"
#include "queue/reply.h"
#include "queue/wire.h"

static enum reply_event
push(struct reply *r, const char *line)
{
	return reply_push(r, slice_str(line));
}

static void
test_replies(void **state)
{
	struct reply r;

	(void)state;
	reply_reset(&r);
	assert_int_equal(push(&r, "250-mx.test greets you"), REPLY_MORE);
	assert_int_equal(push(&r, "250-SIZE 100"), REPLY_MORE);
	assert_int_equal(push(&r, "250 PIPELINING"), REPLY_DONE);
	assert_int_equal(r.code, 250);
	assert_string_equal(r.text, "mx.test greets you SIZE 100 PIPELINING");
	reply_reset(&r);
	assert_int_equal(push(&r, "550 5.1.1 no \x1b[2J\xff"), REPLY_DONE);
	assert_string_equal(r.status, "5.1.1");
	assert_string_equal(r.text, "no  [2J?");
	reply_reset(&r);
	assert_int_equal(push(&r, "250"), REPLY_DONE);
	assert_string_equal(r.status, "");
	assert_string_equal(r.text, "");
	reply_reset(&r);
	assert_int_equal(push(&r, "550 5.7.2"), REPLY_DONE);
	assert_string_equal(r.status, "5.7.2");
	reply_reset(&r);
	assert_int_equal(push(&r, "450 5.7.2 other class"), REPLY_DONE);
	assert_string_equal(r.status, "");
}

static void
test_bad_replies(void **state)
{
	static const char *const lines[] = { "", "2", "25", "hello", "199 x",
		"600 x", "260 x", "250x", "250\tx", " 250 x", "2500 x" };
	struct reply r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(lines); i++) {
		reply_reset(&r);
		assert_int_equal(push(&r, lines[i]), REPLY_BAD);
	}
	reply_reset(&r);
	assert_int_equal(push(&r, "250-a"), REPLY_MORE);
	assert_int_equal(push(&r, "251 b"), REPLY_BAD);
	reply_reset(&r);
	for (i = 0; i < REPLY_LINES_MAX; i++)
		assert_int_equal(push(&r, "250-x"), REPLY_MORE);
	assert_int_equal(push(&r, "250-x"), REPLY_BAD);
}

/* What `text` becomes, pushed in pieces of every size. */
static void
check_wire(const char *text, const char *expected)
{
	size_t len = strlen(text), step, at;
	struct buf out;

	buf_init(&out, 4096);
	for (step = 1; step <= len + 1; step++) {
		struct wire w = { 0 };

		buf_reset(&out);
		for (at = 0; at < len; at += step)
			wire_push(&w,
			    slice_of(
				text + at, len - at < step ? len - at : step),
			    &out);
		wire_end(&w, &out);
		assert_string_equal(out.data, expected);
	}
	buf_release(&out);
}

static void
test_wire(void **state)
{
	(void)state;
	check_wire("", ".\r\n");
	check_wire("a\n", "a\r\n.\r\n");
	check_wire("a", "a\r\n.\r\n");
	check_wire(".\n..a\nb.\n", "..\r\n...a\r\nb.\r\n.\r\n");
	check_wire("a\rb\r\nc\r", "a b\r\nc\r\n.\r\n");
	check_wire("\r.\r\n\n", " .\r\n\r\n.\r\n");
	check_wire("\n.\r\r\n", "\r\n.. \r\n.\r\n");
}

static void
test_xtext(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	wire_xtext("a+b=c d\x7f\xc3\xa9", &out);
	assert_string_equal(out.data, "a+2Bb+3Dc+20d+7F\xc3\xa9");
	buf_release(&out);
}

static void
test_outcomes(void **state)
{
	struct outcome o = { 0 };
	struct err e;

	(void)state;
	outcome_set(&o, OUTCOME_PERM, "5.1.1", "a%cb\xff", 7);
	assert_string_equal(o.text, "a b?");
	err_set(&e, ERR_TIMEOUT, "late");
	outcome_from_err(&o, &e);
	assert_int_equal(o.kind, OUTCOME_TEMP);
	err_set(&e, ERR_PERM, "never");
	outcome_from_err(&o, &e);
	assert_int_equal(o.kind, OUTCOME_PERM);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_bad_replies),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_xtext),
		cmocka_unit_test(test_outcomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
