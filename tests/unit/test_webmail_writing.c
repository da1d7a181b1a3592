/* Subjects, quotes, flowed text, recipients: what webmail writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "webmail-cgi/writing.h"

static void
subject(const char *in, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	writing_subject("Re: ", slice_str(in), &out);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

static void
subjects(void **state)
{
	(void)state;
	subject("Hello", "Re: Hello");
	subject("RE: Aw: Re[2]: SV: Hello", "Re: Hello");
	subject("Antw: Odp: fwd: Hello", "Re: Hello");
	subject("Regarding: Hello", "Re: Regarding: Hello");
	subject("Re(3):", "Re: ");
	subject("[list] Re: x", "Re: [list] Re: x");
}

static void
flows(const char *in, const char *expected)
{
	struct buf out;

	buf_init(&out, 100000);
	writing_flow(slice_str(in), &out);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

static void
flowing(void **state)
{
	(void)state;
	flows("a\r\nb  \n", "a\nb\n");
	flows("From me\n x\n-- \nAnn\n", " From me\n  x\n-- \nAnn\n");
	flows("> > a\n>> b\n>c\n", ">> a\n>> b\n> c\n");
	flows("1234567890 1234567890 1234567890 1234567890 1234567890 "
	      "1234567890 1234567890 x",
	    "1234567890 1234567890 1234567890 1234567890 1234567890 "
	    "1234567890 \n1234567890 x\n");
	flows(">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>x\n",
	    ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>> >>x\n");
	assert_true(writing_is_plain(SLICE_LIT("a\nb")));
	assert_false(writing_is_plain(SLICE_LIT("\xc3\xa9")));
}

/* Marks are repeated on each line: a line of many does not grow endlessly. */
static void
flowing_deep_quotes(void **state)
{
	enum {
		HALF = 50000
	};

	struct buf in, out;

	(void)state;
	buf_init(&in, 2 * HALF + 1);
	buf_init(&out, (size_t)WRITING_GROWTH * (2 * HALF + 1));
	for (int i = 0; i < HALF; i++)
		buf_addc(&in, '>');
	for (int i = 0; i < HALF / 5; i++)
		buf_addstr(&in, "word ");
	writing_flow(buf_slice(&in), &out);
	assert_false(buf_overflowed(&out));
	buf_release(&in);
	buf_release(&out);
}

static void
quoting(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	writing_quote(SLICE_LIT("a\n\n> b\n\n-- \nAnn\n"), &out);
	assert_string_equal(out.data, "> a\n>\n>> b\n");
	buf_release(&out);
}

static void
people(void **state)
{
	struct slice rest = SLICE_LIT(
	    "\"Doe, Ann\" <ann@a.example>; bob@b.example,, Cy <c@c.example>");
	struct pool pool = { 0 };
	struct writing_person p;
	struct buf out;

	(void)state;
	assert_true(writing_next_person(&rest, &pool, &p));
	assert_string_equal(p.name, "Doe, Ann");
	assert_true(slice_eq_str(p.address, "ann@a.example"));
	assert_true(writing_next_person(&rest, &pool, &p));
	assert_true(slice_eq_str(p.address, "bob@b.example"));
	assert_true(writing_next_person(&rest, &pool, &p));
	assert_string_equal(p.name, "Cy");
	assert_false(writing_next_person(&rest, &pool, &p));
	buf_init(&out, 1000);
	writing_put_person("Doe, \"A\"", "a@a.example", &out);
	assert_string_equal(out.data, "\"Doe, \\\"A\\\"\" <a@a.example>");
	buf_release(&out);
	pool_release(&pool);
}

static void
mentions(void **state)
{
	(void)state;
	assert_true(writing_mentions(
	    SLICE_LIT("Hi\nsee the Attached plan"), "attach|enclosed"));
	assert_false(writing_mentions(
	    SLICE_LIT("Hi\n> attached\n-- \nattach"), "attach|enclosed"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subjects),
		cmocka_unit_test(flowing),
		cmocka_unit_test(flowing_deep_quotes),
		cmocka_unit_test(quoting),
		cmocka_unit_test(people),
		cmocka_unit_test(mentions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
