/*
 * Search: what the grammar makes of what is typed, and what the index finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include "tests/unit/index_fixture.h"

static struct pool pool;

static struct search_query
parse(const char *text)
{
	/* 2026-11-29 12:00 UTC, two hours east of it */
	const struct search_clock clock = { INT64_C(1795953600000), 120 };
	struct search_query q;

	search_parse(slice_str(text), &clock, &pool, &q);
	return q;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void
print(const struct search_node *n, struct buf *out)
{
	static const char *const names[] = { "and", "or", "not", "text", "in",
		"label", "flag", "files", "invite", "size", "date", "id",
		"first" };
	static const char *const fields[] = { "",
		"from:", "to:", "cc:", "subject:", "body:", "file:", "list:" };

	buf_addf(out, "(%s", names[n->kind]);
	if (n->text.len > 0)
		buf_addf(out, " %s%.*s%s", fields[n->field],
		    SLICE_ARGS(n->text), n->phrase ? "!" : "");
	if (n->kind == SEARCH_FLAG)
		buf_addf(out, " %u %u", n->set, n->clear);
	if (n->kind == SEARCH_SIZE)
		buf_addf(out, " %lld %lld", (long long)n->from,
		    n->to == INT64_MAX ? -1LL : (long long)n->to);
	for (size_t i = 0; i < n->count; i++) {
		buf_addc(out, ' ');
		print(n->children[i], out);
	}
	buf_addc(out, ')');
}

static void
test_grammar(void **state)
{
	static const char *const rows[][2] = {
		{ "", "(and)" },
		{ "a b", "(and (text a) (text b))" },
		{ "\"a b\" -c", "(and (text a b!) (not (text c)))" },
		{ "a OR b c", "(and (or (text a) (text b)) (text c))" },
		{ "a OR b OR c", "(and (or (text a) (text b) (text c)))" },
		{ "OR a OR", "(and (text a))" },
		{ "(a b) OR c", "(and (or (and (text a) (text b)) (text c)))" },
		{ "from:ann TO:\"b c\"",
		    "(and (text from:ann) (text to:b c!))" },
		{ "is:unread -is:starred",
		    "(and (flag 0 16) (not (flag 2 0)))" },
		{ "larger:5M smaller:1k",
		    "(and (size 5242880 -1) (size 0 1024))" },
		{ "has:files has:x", "(and (files) (text has:x))" },
		{ "in:anywhere in:trash", "(and (and) (in trash))" },
		{ "http://x.example/a", "(and (text http://x.example/a))" },
		{ "colour:red", "(and (text colour:red))" },
		{ "after:yesterday", "(and (text after:yesterday))" },
		{ "((a", "(and (and (and (text a))))" },
		{ "a)b", "(and (text a) (text b))" },
		{ "- --a ***", "(and (and) (text a) (and))" },
		{ "id:a@b label:x", "(and (id a@b) (label x))" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct search_query q = parse(rows[i][0]);
		struct buf out;

		buf_init(&out, 4096);
		print(q.root, &out);
		assert_string_equal(out.data, rows[i][1]);
		buf_release(&out);
	}
}

static void
test_dates(void **state)
{
	static const struct {
		const char *text;
		int64_t from_s, to_s; /* -1: open */
	} rows[] = {
		/* the days of somebody two hours east */
		{ "on:2026-11-12", 1794434400, 1794520800 },
		{ "on:2026-11", 1793484000, 1796076000 },
		{ "on:2026", 1767218400, 1798754400 },
		{ "after:2026/11/12", 1794434400, -1 },
		{ "before:2026-11-12", -1, 1794434400 },
		{ "newer_than:2d", 1795953600 - 2 * 86400, -1 },
		{ "older_than:1w", -1, 1795953600 - 7 * 86400 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct search_node *n =
		    parse(rows[i].text).root->children[0];

		assert_int_equal(n->kind, SEARCH_DATE);
		assert_int_equal(n->from,
		    rows[i].from_s < 0 ? INT64_MIN : rows[i].from_s * 1000);
		assert_int_equal(
		    n->to, rows[i].to_s < 0 ? INT64_MAX : rows[i].to_s * 1000);
	}
}

static void
test_tokens(void **state)
{
	struct search_query q =
	    parse("a  -from:\"x y\" b OR c foo:bar (d e) http://x");

	(void)state;
	assert_int_equal(q.token_count, 6);
	assert_true(slice_eq_str(q.tokens[1].text, "-from:\"x y\""));
	assert_true(q.tokens[1].negative);
	assert_true(slice_eq_str(q.tokens[2].text, "b OR c"));
	assert_true(q.tokens[3].unknown);
	assert_true(slice_eq_str(q.tokens[4].text, "(d e)"));
	assert_false(q.tokens[5].unknown);
	q = parse("a \"b c");
	assert_int_equal(q.token_count, 2);
	assert_true(slice_eq_str(q.tokens[1].text, "\"b c"));
}

/* --- Finding ------------------------------------------------------------------ */

static struct fixture f;
static struct index *x;

static void
put(const char *dir, const char *from, const char *subject, const char *rest)
{
	char text[1000], name[MAILDIR_NAME_SIZE];

	(void)snprintf(text, sizeof(text), "From: %s\nSubject: %s\n%s\n", from,
	    subject, rest);
	fixture_deliver(&f, dir, text, name);
}

static int
set_up(void **state)
{
	struct index_progress progress;
	struct err e;

	(void)state;
	fixture_init(&f);
	put("", "ann@a.example", "first", "Message-ID: m1\n\nred apples");
	put("", "bob@b.example", "second",
	    "Message-ID: m2\nReferences: m1\nFiles: plan.pdf\n\ngreen apples");
	put("", "ann@a.example", "third", "Message-ID: m3\n\nblue plums");
	put(".Trash", "ann@a.example", "fourth", "\nred plums");
	put(".Work", "cleo@c.example", "fifth", "\napple pie \"quoted\"");
	x = fixture_open(&f);
	return index_sync(x, "", clock_mono_ms() + 10000, &progress, &e);
}

static int
tear_down(void **state)
{
	(void)state;
	index_close(x);
	fixture_release(&f);
	pool_release(&pool);
	return 0;
}

/* First letters of the subjects found, newest first. */
static void
finds(const char *text, const char *expected)
{
	struct search_query q = parse(text);
	struct index_search s = { .query = q.root,
		.with_trash = q.says_where,
		.limit = 50,
		.deadline_ms = clock_mono_ms() + 10000 };
	struct index_found found;
	char got[64] = "";
	struct err e;

	if (index_search(x, &s, &pool, &found, &e) != 0)
		fail_msg("%s: %s", text, e.text);
	for (size_t i = 0; i < found.rows.count; i++) {
		got[2 * i] = found.rows.list[i].newest.subject[0];
		got[2 * i + 1] = found.rows.list[i].newest.subject[1];
	}
	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s, not %s", text, got, expected);
}

static void
test_finding(void **state)
{
	(void)state;
	finds("", "fithsefi");
	finds("apple", "fisefi");
	finds("\"apple\"", "fi");
	finds("plums", "th");
	finds("plums in:anywhere", "foth");
	finds("in:trash", "fo");
	finds("in:Work", "fi");
	finds("from:ann", "thfi");
	finds("from:ann apples", "fi");
	finds("from:ann -apples", "th");
	finds("-from:ann", "fise");
	finds("\"green apples\" OR plums", "thse");
	finds("(from:bob OR in:work) apple", "fise");
	finds("filename:plan", "se");
	finds("has:files", "se");
	finds("is:unread subject:third", "th");
	finds("id:m2", "se");
	finds("id:m9", "");
	finds("is:first apples", "fi");
	finds("larger:1k", "");
	finds("smaller:1k is:unread", "fithsefi");
	finds("smaller:1k larger:1", "fithsefi");
	finds("smaller:1k larger:2k", "");
	finds("is:unread is:read", "");
	finds("-is:read has:files", "se");
	finds("is:read OR has:files", "se");
	finds("is:unread in:work", "fi");
	finds("is:unread in:trash", "fo");
	finds("has:invite is:unread", "");
	finds("after:1970-01-01 has:files", "se");
	finds("before:1971 is:unread", "");
	finds("after:2990 is:unread", "");
	finds("\"\"\"quoted\"", "fi");
	finds("newer_than:3d", "");
	finds("older_than:3d apple", "fisefi");
}

static void
test_pages_of_results(void **state)
{
	struct index_search s = { .query = parse("apple").root,
		.limit = 1,
		.talks = true,
		.deadline_ms = clock_mono_ms() + 10000 };
	struct index_found found;
	struct err e;

	(void)state;
	assert_int_equal(index_search(x, &s, &pool, &found, &e), 0);
	assert_string_equal(found.rows.list[0].newest.subject, "fifth");
	assert_true(found.rows.more);
	s.before = found.rows.list[0].newest.id;
	s.limit = 5;
	assert_int_equal(index_search(x, &s, &pool, &found, &e), 0);
	/* one conversation */
	assert_int_equal(found.rows.count, 1);
	assert_string_equal(found.rows.list[0].newest.subject, "second");
	assert_false(found.rows.more);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_grammar, NULL),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test_setup_teardown(
		    test_finding, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_pages_of_results, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
