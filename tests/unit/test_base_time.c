/* Clocks, dates and ids. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"

#define LAST_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static void
test_clocks(void **state)
{
	int64_t mono = clock_mono_ms();
	int64_t wall = clock_wall_ms();

	(void)state;
	assert_true(clock_mono_ms() >= mono);
	assert_true(wall / 1000 >= time(NULL) - 2);
	assert_true(wall / 1000 <= time(NULL));
	assert_int_equal(clock_left_ms(mono - 1), 0);
	assert_true(clock_left_ms(mono + 60000) > 50000);
	assert_true(clock_left_ms(mono + 60000) <= 60000);
	assert_int_equal(clock_left_ms(INT64_MAX), INT_MAX);
	assert_int_equal(clock_left_ms(INT64_MIN), 0);
}

static void
test_formats(void **state)
{
	char s[CLOCK_RFC5322_SIZE], r[CLOCK_RFC3339_SIZE], d[CLOCK_DAY_SIZE];

	(void)state;
	clock_rfc5322(0, s);
	assert_string_equal(s, "Thu, 01 Jan 1970 00:00:00 +0000");
	clock_rfc3339(INT64_C(1795207463123), r);
	assert_string_equal(r, "2026-11-20T20:44:23.123Z");
	clock_rfc5322(INT64_C(1795207463123), s);
	assert_string_equal(s, "Fri, 20 Nov 2026 20:44:23 +0000");
	clock_day(INT64_C(951782400000), d);
	assert_string_equal(d, "2000-02-29");
	clock_rfc3339(LAST_MS, r);
	assert_string_equal(r, "9999-12-31T23:59:59.999Z");
	clock_rfc3339(LAST_MS + 1, r);
	assert_string_equal(r, "9999-12-31T23:59:59.999Z");
	clock_rfc3339(INT64_MAX, r);
	assert_string_equal(r, "9999-12-31T23:59:59.999Z");
	clock_rfc3339(-1, r);
	assert_string_equal(r, "1970-01-01T00:00:00.000Z");
}

/* Every day of the 8030 years, against the C library. */
static void
test_every_day(void **state)
{
	(void)state;
	for (int64_t ms = 86399123; ms <= LAST_MS; ms += 86400000) {
		char want[64], got[CLOCK_RFC5322_SIZE];
		time_t t = (time_t)(ms / 1000);
		struct tm tm;
		int64_t back;

		/* cmocka's own checks would take most of the time here */
		if (gmtime_r(&t, &tm) == NULL ||
		    strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S +0000",
			&tm) == 0)
			fail();
		clock_rfc5322(ms, got);
		if (strcmp(got, want) != 0)
			fail_msg("%s, not %s", got, want);
		if (!clock_parse_rfc5322(slice_str(got), &back) ||
		    back != ms - 123)
			fail_msg("%s", got);
		clock_rfc3339(ms, got);
		if (!clock_parse_rfc3339(slice_str(got), &back) || back != ms)
			fail_msg("%s", got);
	}
}

static void
test_parse_rfc5322(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "Fri, 20 Nov 2026 20:44:23 +0000",
		    "2026-11-20T20:44:23.000Z" },
		{ "20 Nov 2026 20:44 -0130", "2026-11-20T22:14:00.000Z" },
		{ "  FRI ,\r\n 1 nov 2026 20:44:23 +0200 (CEST)  ",
		    "2026-11-01T18:44:23.000Z" },
		{ "Fri, 21 Nov 97 09(c(n\\)))  :   55 : 06 -0600",
		    "1997-11-21T15:55:06.000Z" },
		{ "1 Jan 49 00:00 GMT", "2049-01-01T00:00:00.000Z" },
		{ "1 Jan 70 00:00 UT", "1970-01-01T00:00:00.000Z" },
		{ "1 Jan 126 00:00 Z", "2026-01-01T00:00:00.000Z" },
		{ "1 Jan 2026 00:00 EST", "2026-01-01T05:00:00.000Z" },
		{ "1 Jan 2026 00:00 pdt", "2026-01-01T07:00:00.000Z" },
		{ "1 Jan 2026 00:00 CET", "2026-01-01T00:00:00.000Z" },
		{ "1 Jan 2026 00:00:59", "2026-01-01T00:00:59.000Z" },
		{ "31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00.000Z" },
		{ "29 Feb 2000 00:00 +0000", "2000-02-29T00:00:00.000Z" },
		{ "31 Dec 1969 23:00 -0200", NULL },
		{ "1 Jan 1970 00:00 +0100", NULL },
		{ "31 Dec 9999 23:59 -0001", NULL },
		{ "29 Feb 2100 00:00 +0000", NULL },
		{ "31 Apr 2026 00:00 +0000", NULL },
		{ "0 Apr 2026 00:00 +0000", NULL },
		{ "1 Apr 2026 24:00 +0000", NULL },
		{ "1 Apr 2026 00:60 +0000", NULL },
		{ "1 Apr 2026 00:00:61 +0000", NULL },
		{ "1 Apr 2026 00:00 +0060", NULL },
		{ "1 Apr 2026 00:00 +000", NULL },
		{ "1 Apr 2026 00:00 +0000 x", NULL },
		{ "1 Apr 20260 00:00 +0000", NULL },
		{ "1 Apr 0026 00:00 +0000", NULL },
		{ "1 Foo 2026 00:00 +0000", NULL },
		{ "Foo, 1 Apr 2026 00:00 +0000", NULL },
		{ "Fri 1 Apr 2026 00:00 +0000", NULL },
		{ "1 Apr 2026 00:00 +0000 (open", NULL },
		{ "1 Apr 2026", NULL },
		{ "", NULL },
		{ "(", NULL },
		{ "(\\", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char got[CLOCK_RFC3339_SIZE];
		int64_t ms = 7;
		bool ok = clock_parse_rfc5322(slice_str(rows[i].text), &ms);

		if (ok != (rows[i].want != NULL))
			fail_msg("\"%s\": %d", rows[i].text, ok);
		if (!ok) {
			assert_int_equal(ms, 7);
			continue;
		}
		clock_rfc3339(ms, got);
		assert_string_equal(got, rows[i].want);
	}
}

static void
test_parse_rfc3339(void **state)
{
	static const char *const bad[] = { "", "2026-11-20",
		"2026-11-20T20:44:23", "2026-11-20T20:44:23.12Z",
		"2026-11-20T20:44:23.1234Z", "2026-11-20 20:44:23Z",
		"2026-11-20T20:44:23z", "2026-13-20T20:44:23Z",
		"2026-02-29T20:44:23Z", "2026-11-20T20:44:2xZ",
		"-026-11-20T20:44:23Z", "1969-11-20T20:44:23Z",
		"2026-11-20T20:44:23.123+", "2026-11-20T20:44:23+" };
	int64_t ms = 0;

	(void)state;
	assert_true(
	    clock_parse_rfc3339(SLICE_LIT("2026-11-20T20:44:23.123Z"), &ms));
	assert_true(ms == INT64_C(1795207463123));
	assert_true(
	    clock_parse_rfc3339(SLICE_LIT("2026-11-20T20:44:23Z"), &ms));
	assert_true(ms == INT64_C(1795207463000));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (clock_parse_rfc3339(slice_str(bad[i]), &ms))
			fail_msg("\"%s\" was taken", bad[i]);
	}
}

static void
test_id_order(void **state)
{
	static const int64_t times[] = { 0, 1, 31, 32, 1000, 1795207463122,
		1795207463123, (INT64_C(1) << 48) - 1 };
	char last[ID_SIZE] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		char id[ID_SIZE];

		id_new_at(times[i], id);
		assert_int_equal(strlen(id), ID_LEN);
		assert_true(id_is_valid(slice_str(id)));
		assert_true(id_wall_ms(id) == times[i]);
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(last));
	}
	assert_memory_equal(last, "7ZZZZZZZZZ", 10);
	id_new_at(-5, last);
	assert_memory_equal(last, "0000000000", 10);
}

static void
test_id_new(void **state)
{
	char a[ID_SIZE], b[ID_SIZE];
	int64_t before = clock_wall_ms();

	(void)state;
	id_new(a);
	id_new(b);
	assert_string_not_equal(a, b);
	assert_true(id_wall_ms(a) >= before);
	assert_true(id_wall_ms(a) <= clock_wall_ms());
}

static void
test_id_is_valid(void **state)
{
	(void)state;
	assert_true(id_is_valid(SLICE_LIT("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
	assert_false(id_is_valid(SLICE_LIT("81ARZ3NDEKTSV4RRFFQ69G5FAV")));
	assert_false(id_is_valid(SLICE_LIT("01arz3ndektsv4rrffq69g5fav")));
	assert_false(id_is_valid(SLICE_LIT("01ARZ3NDEKTSV4RRFFQ69G5FAU")));
	assert_false(id_is_valid(SLICE_LIT("01ARZ3NDEKTSV4RRFFQ69G5FA")));
	assert_false(id_is_valid(SLICE_LIT("01ARZ3NDEKTSV4RRFFQ69G5FAVX")));
	assert_false(id_is_valid(SLICE_LIT("../RZ3NDEKTSV4RRFFQ69G5FAV")));
	assert_false(id_is_valid(SLICE_LIT("01ARZ3NDEKTSV4RRFFQ69G5FA\0")));
	assert_false(id_is_valid((struct slice){ 0 }));
}

static void
test_random(void **state)
{
	char a[SESSION_ID_SIZE], b[SESSION_ID_SIZE], token[44];
	unsigned seen[3] = { 0 };

	(void)state;
	session_id_new(a);
	session_id_new(b);
	assert_int_equal(strlen(a), 12);
	assert_string_not_equal(a, b);
	token_new(token, sizeof(token), 32);
	assert_int_equal(strlen(token), 43);
	assert_int_equal(strspn(token,
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "abcdefghijklmnopqrstuvwxyz0123456789-_"),
	    43);
	for (int i = 0; i < 300; i++) {
		uint32_t n = random_below(3);

		assert_true(n < 3);
		seen[n]++;
	}
	assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
	assert_int_equal(random_below(1), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_every_day),
		cmocka_unit_test(test_parse_rfc5322),
		cmocka_unit_test(test_parse_rfc3339),
		cmocka_unit_test(test_id_order),
		cmocka_unit_test(test_id_new),
		cmocka_unit_test(test_id_is_valid),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
