/*
 * The SMTP server's pure parts: the dot reader (threat rows A01 to A06, A08,
 * A09) whole and cut at every byte, and the parameters of MAIL and RCPT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#include "queue/envelope.h"

#include "mtad/dot.h"
#include "mtad/params.h"

/* Feed `in` in two pieces; what comes out, and how much was taken. */
static size_t
feed(struct dot_reader *r, struct slice in, size_t cut, struct buf *out)
{
	struct slice parts[2] = { slice_of(in.data, cut), slice_skip(in, cut) };
	size_t taken = 0;

	*r = (struct dot_reader){ .max_line = 998 };
	for (int i = 0; i < 2; i++) {
		size_t used = 0;
		int idle = 0;

		while (used < parts[i].len && r->state != DOT_END) {
			struct dot_piece piece;
			size_t n =
			    dot_next(r, slice_skip(parts[i], used), &piece);

			idle = n == 0 ? idle + 1 : 0;
			assert_true(idle <= 2);
			used += n;
			buf_addslice(out, piece.text);
			if (piece.newline)
				buf_addc(out, '\n');
		}
		taken += used;
	}
	return taken;
}

struct vector {
	const char *in;
	size_t len;
	const char *out; /* NULL: not compared */
	bool ends;
	unsigned faults;
};

#define V(in, out, ends, faults)                      \
	{                                             \
		in, sizeof(in) - 1, out, ends, faults \
	}

/* clang-format off */
static const struct vector vectors[] = {
	V(".\r\n", "", true, 0),
	V("a\r\n.\r\n", "a\n", true, 0),
	V("a\r\n.b\r\n.\r\n", "a\nb\n", true, 0),
	V("..\r\n.\r\n", ".\n", true, 0),
	V("...\r\n.\r\n", "..\n", true, 0),
	V("\r\n.\r\nNEXT", "\n", true, 0),
	V("a\n.\nb", "a\n.\nb", false, DOT_BARE),
	V("a\n.\r\nb", "a\n.\nb", false, DOT_BARE),
	V("a\r\n.\nb", NULL, false, DOT_BARE),
	V("a\r.\rb", "a\n.\nb", false, DOT_BARE),
	V("a\r.\r\nb", "a\n.\nb", false, DOT_BARE),
	V("a\r.\nb", "a\n.\nb", false, DOT_BARE),
	V("a\n.\rb", "a\n.\nb", false, DOT_BARE),
	V("a\r\n.\rb", NULL, false, DOT_BARE),
	V("a\r\n.\r\r\nb", NULL, false, DOT_BARE),
	V("a\r\r\n.\r\r\nb", NULL, false, DOT_BARE),
	V("a\r\r\n.\r\n", "a\n\n", true, DOT_BARE),
	V("a\r\n\0.\r\nb", NULL, false, DOT_NUL),
	V("a\r\n.\0\r\nb", NULL, false, DOT_NUL),
	V("a\r\n\0\r\n.\r\n", NULL, true, DOT_NUL),
	V("a\r\n.\r.\r\nb", NULL, false, DOT_BARE),
};

/* clang-format on */

static void
test_dot_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];

		for (size_t cut = 0; cut <= v->len; cut++) {
			struct dot_reader r;
			struct buf out;

			buf_init(&out, 1000);
			(void)feed(&r, slice_of(v->in, v->len), cut, &out);
			if ((r.state == DOT_END) != v->ends ||
			    r.faults != v->faults)
				fail_msg("vector %zu cut at %zu", i, cut);
			if (v->out != NULL)
				assert_string_equal(out.data, v->out);
			buf_release(&out);
		}
	}
}

/* What follows the end is not touched. */
static void
test_dot_takes_no_more(void **state)
{
	struct dot_reader r;
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(feed(&r, slice_str("a\r\n.\r\nQUIT\r\n"), 0, &out), 6);
	assert_int_equal(r.size, 3);
	buf_release(&out);
}

static void
test_dot_long_line(void **state)
{
	char line[1010];

	(void)state;
	for (size_t len = 997; len <= 999; len++) {
		struct dot_reader r;
		struct buf out;

		memset(line, 'x', len);
		assert_true(slice_copy(SLICE_LIT("\r\n.\r\n"), line + len, 6));
		for (size_t cut = 0; cut < len; cut += 100) {
			buf_init(&out, 2000);
			(void)feed(&r, slice_of(line, len + 5), cut, &out);
			assert_int_equal(r.state, DOT_END);
			assert_int_equal(r.size, len + 2);
			assert_int_equal(
			    r.faults, len > 998 ? DOT_LONG_LINE : 0);
			buf_release(&out);
		}
	}
}

struct param_vector {
	const char *args;
	enum params_result want;
};

static void
test_mail_params(void **state)
{
	static const struct param_vector v[] = {
		{ "", PARAMS_OK },
		{ " SIZE=100 BODY=8BITMIME", PARAMS_OK },
		{ " size=0", PARAMS_OK },
		{ " SIZE=-1", PARAMS_SYNTAX },
		{ " SIZE=", PARAMS_SYNTAX },
		{ " SIZE", PARAMS_SYNTAX },
		{ " SIZE=9223372036854775808", PARAMS_SIZE },
		{ " SIZE=18446744073709551616", PARAMS_SIZE },
		{ " SIZE=1 SIZE=1", PARAMS_SYNTAX },
		{ " BODY=BINARYMIME", PARAMS_SYNTAX },
		{ " BODY", PARAMS_SYNTAX },
		{ " SMTPUTF8", PARAMS_OK },
		{ " SMTPUTF8=1", PARAMS_SYNTAX },
		{ " RET=FULL", PARAMS_OK },
		{ " RET=x", PARAMS_SYNTAX },
		{ " ENVID=a+2Bb", PARAMS_OK },
		{ " ENVID=+00", PARAMS_SYNTAX },
		{ " ENVID=+0A", PARAMS_SYNTAX },
		{ " ENVID=+", PARAMS_SYNTAX },
		{ " ENVID=+2", PARAMS_SYNTAX },
		{ " ENVID=+2b", PARAMS_SYNTAX },
		{ " AUTH=<>", PARAMS_OK },
		{ " AUTH=a+40b", PARAMS_OK },
		{ " AUTH=+0D", PARAMS_SYNTAX },
		{ " FOO=1", PARAMS_UNKNOWN },
		{ " NOTIFY=NEVER", PARAMS_UNKNOWN },
		{ "SIZE=1", PARAMS_SYNTAX },
		{ " =1", PARAMS_SYNTAX },
	};
	struct pool pool = { 0 };
	struct mail_params p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		if (mail_params_parse(slice_str(v[i].args), &pool, &p) !=
		    v[i].want)
			fail_msg("%s", v[i].args);
	}
	assert_int_equal(
	    mail_params_parse(
		slice_str(" SIZE=7 BODY=8BITMIME RET=HDRS ENVID=a+2Bb"), &pool,
		&p),
	    PARAMS_OK);
	assert_int_equal(p.size, 7);
	assert_true(p.body_8bit);
	assert_int_equal(p.ret, ENVELOPE_RET_HDRS);
	assert_string_equal(p.envid, "a+b");
	pool_release(&pool);
}

static void
test_rcpt_params(void **state)
{
	static const struct param_vector v[] = {
		{ " NOTIFY=NEVER", PARAMS_OK },
		{ " NOTIFY=SUCCESS,FAILURE", PARAMS_OK },
		{ " NOTIFY=NEVER,DELAY", PARAMS_SYNTAX },
		{ " NOTIFY=DELAY,DELAY", PARAMS_SYNTAX },
		{ " NOTIFY=", PARAMS_SYNTAX },
		{ " NOTIFY=x", PARAMS_SYNTAX },
		{ " ORCPT=rfc822;a+40b", PARAMS_OK },
		{ " ORCPT=rfc822;a@b", PARAMS_OK },
		{ " ORCPT=rfc822;+0Ax", PARAMS_SYNTAX },
		{ " ORCPT=;x", PARAMS_SYNTAX },
		{ " ORCPT=utf-8;\xc3\xbc@b", PARAMS_SYNTAX },
		{ " NOTIFY=\xc3\xbc", PARAMS_SYNTAX },
		{ " ORCPT=x", PARAMS_SYNTAX },
		{ " SIZE=1", PARAMS_UNKNOWN },
	};
	struct pool pool = { 0 };
	struct rcpt_params p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		if (rcpt_params_parse(slice_str(v[i].args), false, &pool, &p) !=
		    v[i].want)
			fail_msg("%s", v[i].args);
	}
	assert_int_equal(rcpt_params_parse(slice_str(" ORCPT=rfc822;a+40b"),
			     false, &pool, &p),
	    PARAMS_OK);
	assert_string_equal(p.original, "rfc822;a@b");
	/* RFC 6533 3 */
	assert_int_equal(rcpt_params_parse(slice_str(" ORCPT=utf-8;\xc3\xbc@b"),
			     true, &pool, &p),
	    PARAMS_OK);
	assert_string_equal(p.original, "utf-8;\xc3\xbc@b");
	assert_int_equal(
	    rcpt_params_parse(
		slice_str(" ORCPT=rfc822;\xc3\xbc@b"), true, &pool, &p),
	    PARAMS_SYNTAX);
	assert_int_equal(rcpt_params_parse(
			     slice_str(" ORCPT=utf-8;\xc3@b"), true, &pool, &p),
	    PARAMS_SYNTAX);
	pool_release(&pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dot_vectors),
		cmocka_unit_test(test_dot_takes_no_more),
		cmocka_unit_test(test_dot_long_line),
		cmocka_unit_test(test_mail_params),
		cmocka_unit_test(test_rcpt_params),
	};

	return cmocka_run_group_tests_name("mtad-parse", tests, NULL, NULL);
}
