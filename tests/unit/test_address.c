/*
 * Addresses: what is taken, what is refused and what becomes of it; rows
 * C03 to C07 of the threat catalogue are here as tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/address.h"

struct form {
	const char *path;
	const char *text; /* canonical, NULL = refused */
	unsigned allow;
};

#define A10 "aaaaaaaaaa"
#define L63 A10 A10 A10 A10 A10 A10 "aaa"

/* clang-format off */
static const struct form forms[] = {
	{ "<joe@example.org>", "joe@example.org", 0 },
	{ "<JOE@Example.ORG>", "JOE@example.org", 0 },
	{ "<joe@example.org.>", "joe@example.org", 0 },
	{ "<joe@example.org..>", NULL, 0 },
	{ "<joe@.example.org>", NULL, 0 },
	{ "<joe@..>", NULL, 0 },
	{ "<joe@.>", NULL, 0 },
	{ "<joe@>", NULL, 0 },
	{ "<@example.org>", NULL, 0 },
	{ "<joe>", NULL, 0 },
	{ "<joe>", "joe", ADDRESS_NO_DOMAIN },
	{ "<>", NULL, 0 },
	{ "<>", "", ADDRESS_NULL },
	{ "joe@example.org", NULL, 0 },
	{ "<joe@example.org", NULL, 0 },
	{ "< joe@example.org>", NULL, 0 },
	{ "<joe @example.org>", NULL, 0 },
	{ "<.a@b>", NULL, 0 },
	{ "<a.@b>", NULL, 0 },
	{ "<a..b@c>", NULL, 0 },
	{ "<a.b@c>", "a.b@c", 0 },
	{ "<\"\"@c>", NULL, 0 },
	{ "<\"a b\"@d>", "\"a b\"@d", 0 },
	{ "<\"a\\\"b\"@d>", "\"a\\\"b\"@d", 0 },
	{ "<\"a\\\\b\"@d>", "\"a\\\\b\"@d", 0 },
	{ "<\"a@b\"@d>", "\"a@b\"@d", 0 },
	{ "<\"plain\"@d>", "plain@d", 0 },
	{ "<\"pl\\ain\"@d>", "plain@d", 0 },
	{ "<\"a\r\nb\"@d>", NULL, 0 },
	{ "<\"a\\\nb\"@d>", NULL, 0 },
	{ "<\"a\x7f\"@d>", NULL, 0 },
	{ "<\"a@d>", NULL, 0 },
	{ "<\"a\"b@d>", NULL, 0 },
	{ "<\"../x\"@d>", "\"../x\"@d", 0 },
	{ "<../../../tmp/x@d>", NULL, 0 },
	{ "<a/b@d>", "a/b@d", 0 },
	{ "<user%remote@local>", "user%remote@local", 0 },
	{ "<remote!user@local>", "remote!user@local", 0 },
	{ "<user@remote@local>", NULL, 0 },
	{ "<\"user@remote\"@local>", "\"user@remote\"@local", 0 },
	{ "<u@[127.0.0.1]>", "u@[127.0.0.1]", 0 },
	{ "<u@[IPv6:::1]>", "u@[IPv6:::1]", 0 },
	{ "<u@[ipv6:2001:DB8::1]>", "u@[IPv6:2001:db8::1]", 0 },
	{ "<u@[IPv6:::ffff:192.0.2.1]>", "u@[192.0.2.1]", 0 },
	{ "<u@[::1]>", NULL, 0 },
	{ "<u@[IPv6:1.2.3.4]>", NULL, 0 },
	{ "<u@[1.2.3]>", NULL, 0 },
	{ "<u@[1.2.3.4>", NULL, 0 },
	{ "<u@[1.2.3.4]x>", NULL, 0 },
	{ "<u@[foo:bar]>", NULL, 0 },
	{ "<u@127.0.0.1>", NULL, 0 },
	{ "<@a,@b:user@remote>", "user@remote", 0 },
	{ "<@local:user@remote>", "user@remote", 0 },
	{ "<@a@b:user@remote>", NULL, 0 },
	{ "<@:user@remote>", NULL, 0 },
	{ "<@a,:user@remote>", "user@remote", 0 },
	{ "<u@" L63 ".org>", "u@" L63 ".org", 0 },
	{ "<u@" L63 "a.org>", NULL, 0 },
	{ "<" L63 "a@d>", L63 "a@d", 0 },
	{ "<" L63 "aa@d>", NULL, 0 },
	{ "<u@a_b.org>", "u@a_b.org", 0 },
	{ "<u@-a.org>", NULL, 0 },
	{ "<u@a-.org>", NULL, 0 },
	{ "<u@b\xc3\xbc" "cher.example>", NULL, 0 },
	{ "<u@b\xc3\xbc" "cher.example>", "u@xn--bcher-kva.example", ADDRESS_UTF8 },
	{ "<u@BU\xcc\x88" "CHER.example>", "u@xn--bcher-kva.example", ADDRESS_UTF8 },
	{ "<u@XN--BCHER-KVA.example>", "u@xn--bcher-kva.example", 0 },
	{ "<u@xn--a-.example>", NULL, 0 },
	{ "<u@xn--99999999.example>", NULL, 0 },
	{ "<j\xc3\xb6@d>", NULL, 0 },
	{ "<j\xc3\xb6@d>", "j\xc3\xb6@d", ADDRESS_UTF8 },
	{ "<j\xc3@d>", NULL, ADDRESS_UTF8 },
	{ "<j\xc2\x85@d>", NULL, ADDRESS_UTF8 },
	{ "<user+../../x@d>", NULL, 0 },
	{ "<user+@d>", "user+@d", 0 },
	{ "<-x@d>", "-x@d", 0 },
};

/* clang-format on */

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *f = &forms[i];
		struct pool pool = { 0 };
		struct address a = { 0 };
		struct slice rest;
		struct err e;
		int rc = address_parse_path(
		    slice_str(f->path), f->allow, &pool, &a, &rest, &e);

		if ((rc == 0) != (f->text != NULL))
			fail_msg("%s: %s", f->path, rc == 0 ? "taken" : e.text);
		if (rc == 0) {
			assert_string_equal(address_format(&a, &pool), f->text);
			assert_int_equal(rest.len, 0);
		} else {
			assert_int_equal(e.kind, ERR_SYNTAX);
			assert_null(a.local);
		}
		pool_release(&pool);
	}
}

/* The text form parses back to the same address. */
static void
test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct pool pool = { 0 };
		struct address a, b;
		struct slice rest;
		struct err e;

		if (address_parse_path(slice_str(forms[i].path), forms[i].allow,
			&pool, &a, &rest, &e) == 0) {
			assert_int_equal(
			    address_parse(slice_str(address_format(&a, &pool)),
				forms[i].allow, &pool, &b, &e),
			    0);
			assert_true(address_same(&a, &b));
			assert_int_equal(a.is_literal, b.is_literal);
		}
		pool_release(&pool);
	}
}

static void
test_rest_and_nul(void **state)
{
	struct pool pool = { 0 };
	struct address a;
	struct slice rest;
	struct err e;

	(void)state;
	assert_int_equal(address_parse_path(slice_str("<a@b> SIZE=1"), 0, &pool,
			     &a, &rest, &e),
	    0);
	assert_true(slice_eq_str(rest, " SIZE=1"));
	assert_int_equal(
	    address_parse_path(SLICE_LIT("<a\0b@d>"), 0, &pool, &a, &rest, &e),
	    -1);
	assert_int_equal(address_parse_path(SLICE_LIT("<a@local\0evil>"), 0,
			     &pool, &a, &rest, &e),
	    -1);
	assert_int_equal(
	    address_parse(slice_str("a@b>"), 0, &pool, &a, &e), -1);
	pool_release(&pool);
}

/* The whole path has 256 octets at most. */
static void
test_path_length(void **state)
{
	char path[400];
	struct pool pool = { 0 };
	struct address a;
	struct slice rest;
	struct err e;

	(void)state;
	for (int domain = 240; domain < 256; domain++) {
		int len = 0;

		path[len++] = '<';
		memset(path + len, 'u', 10);
		len += 10;
		path[len++] = '@';
		for (int i = 0; i < domain; i++)
			path[len++] =
			    i % 50 == 49 && i + 1 < domain ? '.' : 'd';
		path[len++] = '>';
		assert_int_equal(address_parse_path(slice_of(path, (size_t)len),
				     0, &pool, &a, &rest, &e) == 0,
		    len <= 256);
	}
	pool_release(&pool);
}

static void
test_same(void **state)
{
	struct pool pool = { 0 };
	struct address a, b;
	struct err e;

	(void)state;
	assert_int_equal(
	    address_parse(slice_str("Joe@X.org"), 0, &pool, &a, &e), 0);
	assert_int_equal(
	    address_parse(slice_str("\"jOE\"@x.ORG"), 0, &pool, &b, &e), 0);
	assert_true(address_same(&a, &b));
	assert_false(address_is_utf8(&a));
	/* an accent as one character and as two; a capital; not without it */
	assert_int_equal(address_parse(slice_str("j\xc3\xb6@x.org"),
			     ADDRESS_UTF8, &pool, &a, &e),
	    0);
	assert_int_equal(address_parse(slice_str("JO\xcc\x88@x.org"),
			     ADDRESS_UTF8, &pool, &b, &e),
	    0);
	assert_true(address_same(&a, &b));
	b.local[2] = '\0';
	assert_false(address_same(&a, &b));
	pool_release(&pool);
}

static void
test_domain(void **state)
{
	char name[ADDRESS_DOMAIN_MAX + 1] = "old", text[64];
	struct err e;

	(void)state;
	assert_int_equal(domain_normalise(slice_str(""), name, &e), -1);
	assert_string_equal(name, "old");
	assert_int_equal(domain_normalise(slice_str("Stra\xc3\x9f"
						    "e.Example."),
			     name, &e),
	    0);
	assert_string_equal(name, "xn--strae-oqa.example");
	domain_display(name, text, sizeof(text));
	assert_string_equal(text,
	    "stra\xc3\x9f"
	    "e.example");
	domain_display("xn--99999999.example", text, sizeof(text));
	assert_string_equal(text, "xn--99999999.example");
}

static void
test_helo(void **state)
{
	static const char *const good[] = { "x", "localhost", "a.b", "a_b",
		"a.b.", "[1.2.3.4]", "[IPv6:::1]", "1.2.3.4", "-" };
	static const char *const bad[] = { "", ".", "a b", "a..b", "[IPv6:..]",
		"[1.2.3]", "a\tb", "%n%s", "\xc3\xbc", "[", "[]", "a@b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(helo_is_valid(slice_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(helo_is_valid(slice_str(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_rest_and_nul),
		cmocka_unit_test(test_path_length),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_helo),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
