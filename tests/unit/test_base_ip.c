/* Addresses and sets of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ip.h"

static struct ip
ip_of(const char *text)
{
	struct ip ip = { 0 };

	if (!ip_parse(slice_str(text), &ip))
		fail_msg("%s is not taken", text);
	return ip;
}

static void
test_parse_and_format(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::ffff:c000:201", "192.0.2.1" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "192.0.2", NULL },
		{ "192.0.2.256", NULL },
		{ "192.0.2.01", NULL },
		{ "192.0.2.1.", NULL },
		{ " 192.0.2.1", NULL },
		{ "0x7f.1", NULL },
		{ "fe80::1%eth0", NULL },
		{ "[::1]", NULL },
		{ "1:2:3:4:5:6:7", NULL },
		{ "", NULL },
		{ "2001:db8:1111:2222:3333:4444:5555:6666:7777:8888:9999",
		    NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip ip;
		char text[IP_TEXT_SIZE];
		bool ok = ip_parse(slice_str(rows[i].text), &ip);

		if (ok != (rows[i].want != NULL))
			fail_msg("\"%s\": %d", rows[i].text, ok);
		if (!ok)
			continue;
		ip_format(&ip, text);
		assert_string_equal(text, rows[i].want);
	}
}

static void
test_kinds(void **state)
{
	static const struct {
		const char *text;
		bool v4, loopback, unroutable;
	} rows[] = {
		{ "192.0.2.1", true, false, false },
		{ "127.0.0.1", true, true, false },
		{ "127.255.3.4", true, true, false },
		{ "128.0.0.1", true, false, false },
		{ "0.1.2.3", true, false, true },
		{ "169.254.169.254", true, false, true },
		{ "224.0.0.1", true, false, true },
		{ "255.255.255.255", true, false, true },
		{ "10.0.0.1", true, false, false },
		{ "::1", false, true, false },
		{ "::", false, false, true },
		{ "::127.0.0.1", false, false, true },
		{ "ff02::1", false, false, true },
		{ "fe80::1", false, false, true },
		{ "febf::1", false, false, true },
		{ "fec0::1", false, false, false },
		{ "2001:db8::1", false, false, false },
		{ "64:ff9b::1.2.3.4", false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip ip = ip_of(rows[i].text);

		if (ip_is_v4(&ip) != rows[i].v4 ||
		    ip_is_loopback(&ip) != rows[i].loopback ||
		    ip_is_unroutable(&ip) != rows[i].unroutable)
			fail_msg("%s", rows[i].text);
	}
}

static void
test_sets(void **state)
{
	static const struct {
		const char *set, *ip;
		bool has;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "10.0.0.0/8", "10.0.0.0", true },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "9.255.255.255", false },
		{ "10.1.2.3/8", "10.200.0.1", true },
		{ "192.0.2.129/25", "192.0.2.128", true },
		{ "192.0.2.129/25", "192.0.2.127", false },
		{ "192.0.2.1/32", "192.0.2.1", true },
		{ "192.0.2.1/32", "192.0.2.0", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "203.0.113.9", false },
		{ "::ffff:0:0/96", "203.0.113.9", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.77", true },
		{ "::ffff:192.0.2.0/120", "192.0.3.77", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "10.0.0.1-10.0.0.99", "10.0.0.1", true },
		{ "10.0.0.1-10.0.0.99", "10.0.0.99", true },
		{ "10.0.0.1-10.0.0.99", "10.0.0.100", false },
		{ "10.0.0.1-10.0.0.99", "10.0.0.0", false },
		{ "10.0.0.250-10.0.1.5", "10.0.1.1", true },
		{ "2001:db8::1-2001:db8::f", "2001:db8::a", true },
		{ "2001:db8::1-2001:db8::f", "2001:db8::10", false },
		{ "10.0.0.0/255.0.0.0", "10.9.9.9", true },
		{ "10.0.0.0/255.0.0.0", "11.9.9.9", false },
		{ "10.0.0.5/255.0.0.255", "10.77.88.5", true },
		{ "10.0.0.5/255.0.0.255", "10.77.88.6", false },
		{ "10.0.0.5/255.0.0.255", "::a:0:5", false },
		{ "10.1.2.5/0.0.0.1", "203.0.113.9", true },
		{ "10.1.2.5/0.0.0.1", "203.0.113.8", false },
		{ "2001:db8::5/ffff:ffff::ffff", "2001:db8:1::5", true },
		{ "2001:db8::5/ffff:ffff::ffff", "2001:db8:1::6", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip ip = ip_of(rows[i].ip);
		struct ip_set set;
		struct err e;

		if (ip_set_parse(slice_str(rows[i].set), &set, &e) != 0)
			fail_msg("%s: %s", rows[i].set, e.text);
		if (ip_set_has(&set, &ip) != rows[i].has)
			fail_msg("%s in %s", rows[i].ip, rows[i].set);
	}
}

static void
test_bad_sets(void **state)
{
	static const char *const bad[] = { "", "/", "-", "x", "10.0.0.0/",
		"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8",
		"10.0.0.0/ffff::", "2001:db8::/129", "2001:db8::/255.0.0.0",
		"10.0.0.1-", "10.0.0.9-10.0.0.1", "10.0.0.1-2001:db8::1",
		"10.0.0.1 - ", "10.0.0.1-10.0.0.2-10.0.0.3",
		"10.0.0.0/8-10.0.0.9" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct ip_set set = { .is_mask = true };
		struct err e = { 0 };

		if (ip_set_parse(slice_str(bad[i]), &set, &e) == 0)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(e.kind, ERR_SYNTAX);
		assert_true(set.is_mask); /* unchanged */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_bad_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
