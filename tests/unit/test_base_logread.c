/* Reading the event log back: search by time and text, fields. */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/logread.h"

static char top[] = "/tmp/logread-XXXXXX";

static int64_t
at(const char *text)
{
	int64_t ms;
	assert_true(clock_parse_rfc3339(slice_str(text), &ms));
	return ms;
}

static int
make_logs(void **state)
{
	char path[256];
	(void)state;
	assert_non_null(mkdtemp(top));
	for (int p = 0; p < 2; p++) {
		snprintf(path, sizeof(path), "%s/%s", top, p ? "mtad" : "popd");
		assert_int_equal(mkdir(path, 0700), 0);
		strncat(
		    path, "/2026-11-20.log", sizeof(path) - strlen(path) - 1);
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		for (int i = 0; i < 20000; i++)
			fprintf(f,
			    "2026-11-20T%02d:%02d:%02d.%03dZ s%d m%d "
			    "event=accept n=%d text=\"a \\\"b\\\\\\x0a\"\n",
			    i / 3600, i / 60 % 60, i % 60, p, i, i, i);
		fputs("damaged line m77 \n", f);
		fclose(f);
	}
	return 0;
}

static int
remove_logs(void **state)
{
	char command[300];
	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", top);
	return system(command) == 0 ? 0 : -1;
}

static size_t
search(const char *from, const char *to, const char *const *needles,
    size_t count, size_t max, struct log_events *found)
{
	struct log_query q = { .from_ms = at(from),
		.to_ms = at(to),
		.needles = needles,
		.needle_count = count,
		.max = max };
	struct err e;

	assert_int_equal(log_search(top, &q, found, &e), 0);
	return found->count;
}

static void
test_search(void **state)
{
	const char *needle = " m12345 ";
	struct log_events found;
	(void)state;

	assert_int_equal(search("2026-11-19T00:00:00Z", "2026-11-21T00:00:00Z",
			     &needle, 1, 10, &found),
	    2);
	assert_string_equal(found.items[0].program, "popd");
	assert_string_equal(found.items[1].program, "mtad");
	assert_false(found.truncated);
	log_events_release(&found);

	/* a program that tells nothing so late */
	struct log_query q = { .from_ms = at("2026-11-20T00:00:00Z"),
		.to_ms = at("2026-11-20T23:00:00Z"),
		.needles = &needle,
		.needle_count = 1,
		.max = 10,
		.early = "mtad",
		.early_to_ms = at("2026-11-20T01:00:00Z") };
	struct err e;
	assert_int_equal(log_search(top, &q, &found, &e), 0);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.items[0].program, "popd");
	log_events_release(&found);

	/* outside the window */
	assert_int_equal(search("2026-11-20T04:00:00Z", "2026-11-20T05:00:00Z",
			     &needle, 1, 10, &found),
	    0);
	log_events_release(&found);
}

static void
test_several_and_limit(void **state)
{
	static const char from[] = "2026-11-20T00:00:00Z";
	static const char to[] = "2026-11-20T23:59:59Z";
	const char *needles[] = { " m7 ", " m19999 " };
	const char *all = "event=";
	struct log_query q = {
		.to_ms = 1, .needles = &all, .needle_count = 1, .max = 5
	};
	struct log_events found;
	struct err e;
	(void)state;

	assert_int_equal(search(from, to, needles, 2, 10, &found), 4);
	log_events_release(&found);
	assert_int_equal(search(from, to, &all, 1, 5, &found), 5);
	assert_true(found.truncated);
	log_events_release(&found);
	assert_int_equal(log_search("/nowhere", &q, &found, &e), -1);
}

static void
test_fields(void **state)
{
	const char *line = "2026-11-20T00:00:07.000Z s7 m7 event=accept n=7 "
			   "text=\"a \\\"b\\\\\\x0a\" last=";
	char out[32];
	(void)state;

	assert_true(log_field(line, "session", out, sizeof(out)));
	assert_string_equal(out, "s7");
	assert_true(log_field(line, "event", out, sizeof(out)));
	assert_string_equal(out, "accept");
	assert_true(log_field(line, "text", out, sizeof(out)));
	assert_string_equal(out, "a \"b\\\n");
	assert_true(log_field(line, "last", out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(log_field(line, "none", out, sizeof(out)));
	assert_true(log_field(line, "text", out, 3));
	assert_string_equal(out, "a ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_several_and_limit),
		cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, make_logs, remove_logs);
}
