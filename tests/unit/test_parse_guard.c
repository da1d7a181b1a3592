/* The pre-parse guard and the summary job, against generated bombs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

#include "parse/guard.h"

enum {
	BOMB_MAX = 32 * 1024 * 1024
};

static bool
passes(const struct buf *b)
{
	struct guard g;

	guard_init(&g);
	return guard_feed(&g, b->data, b->len);
}

static void
repeat(struct buf *b, const char *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buf_addstr(b, s);
}

static void
test_ordinary(void **state)
{
	static const char text[] =
	    "From: Ann <ann@example.org>\r\nTo: list: a@b, c@d;\r\n"
	    "Subject: hello\r\nContent-Type: multipart/mixed; "
	    "boundary=\"x\"\r\n\r\n--x\r\nContent-Type: text/plain; "
	    "charset=utf-8\r\n\r\nHello: you\r\n--x\r\nContent-Type: "
	    "image/png; name=\"a.png\"\r\n\r\nxx\r\n--x--\r\n";
	struct guard g;

	(void)state;
	guard_init(&g);
	assert_true(guard_feed(&g, text, sizeof(text) - 1));
	/* byte by byte is the same */
	guard_init(&g);
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		assert_true(guard_feed(&g, text + i, 1));
	assert_int_equal(g.boundaries, 1);
	assert_int_equal(g.dash_lines, 3);
}

/* Large ordinary mail: logs, patches, HTML, base64. */
static void
test_bodies_are_free(void **state)
{
	static const char *const lines[] = {
		"2026-11-20 22:01:02 host daemon[1]: text: more\n",
		"key: value\n", "--- a/file\n", "-- comment\n",
		"<td style='color: red'>x</td>\n",
		"boundary=x message digest\n",
		"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\n", " continued: x\n",
		"To: g:g:g:g:\n"
	};
	struct buf b;

	(void)state;
	buf_init(&b, BOMB_MAX);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		buf_reset(&b);
		buf_addstr(&b, "Subject: x\nContent-Type: text/plain\n\n");
		repeat(&b, lines[i], 50000);
		if (!passes(&b))
			fail_msg("%s", lines[i]);
		buf_reset(&b);
		buf_addstr(&b,
		    "Content-Type: multipart/mixed; boundary=x\n\n"
		    "--x\nContent-Type: text/plain\n\n");
		/* some thousand "--" lines in a row are rather empty parts */
		repeat(&b, lines[i], strncmp(lines[i], "--", 2) ? 5000 : 900);
		if (!passes(&b))
			fail_msg("in a part: %s", lines[i]);
	}
	buf_release(&b);
}

/* Each of these kills or stalls the library behind the guard. */
static void
make_bomb(struct buf *b, unsigned number)
{
	buf_reset(b);
	switch (number) {
	case 0: /* nested groups */
		buf_addstr(b, "To: ");
		repeat(b, "g:", 5000);
		break;
	case 1: /* the same, folded, in an embedded message */
		buf_addstr(b, "Content-Type: message/rfc822\n\nTo: ");
		repeat(b, "aaaaaaaa:\n ", 5000);
		break;
	case 2: /* parameters */
		buf_addstr(b, "Content-Type: text/plain");
		repeat(b, "; a=b", 60000);
		break;
	case 3: /* boundaries */
		for (unsigned i = 0; i < 1000; i++)
			buf_addf(b,
			    "Content-Type: multipart/mixed; boundary=b%u\n\n"
			    "--b%u\n",
			    i, i);
		repeat(b, "--\n", 100000);
		break;
	case 4: /* empty parts */
		buf_addstr(b, "Content-Type: multipart/mixed; boundary=x\n\n");
		repeat(b, "--x\n\n", 200000);
		break;
	case 5: /* many short headers */
		repeat(b, "A: b\n", 500000);
		break;
	case 6: /* one large header */
		buf_addstr(b, "Subject: ");
		repeat(b, "0123456789", 200000);
		break;
	case 7: /* addresses */
		buf_addstr(b, "To: ");
		repeat(b, "a@b,", 500000);
		break;
	case 8: /* comments */
		buf_addstr(b, "From: ");
		repeat(b, "(", 100000);
		break;
	case 9: /* folds */
		buf_addstr(b, "To: a@b\n");
		repeat(b, " \n", 10);
		repeat(b, " x\n", 1200000);
		break;
	default:
		break;
	}
	buf_addstr(b, "\n\nbody\n");
}

enum {
	BOMBS = 10
};

static void
test_bombs_are_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, BOMB_MAX);
	for (unsigned i = 0; i < BOMBS; i++) {
		make_bomb(&b, i);
		if (passes(&b))
			fail_msg("bomb %u passes", i);
	}
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary),
		cmocka_unit_test(test_bodies_are_free),
		cmocka_unit_test(test_bombs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
