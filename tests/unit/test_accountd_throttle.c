/* Waiting after failed logins, with a clock of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/compiler.h"

#include "accountd/login_cache.h"
#include "accountd/throttle.h"

static const struct throttle_policy policy = { .after = 5, .max_s = 300 };

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(slice_str(text), &ip));
	return ip;
}

static void
fail_times(
    struct throttle *t, const char *ip, const char *account, int n, int64_t now)
{
	struct ip a = ip_of(ip);

	for (int i = 0; i < n; i++)
		(void)throttle_failed(t, policy, &a, account, now);
}

static int64_t
wait(struct throttle *t, const char *ip, const char *account, bool known,
    int64_t now)
{
	struct ip a = ip_of(ip);

	return throttle_wait(t, policy, &a, account, known, now);
}

static void
grows(void **state)
{
	struct throttle *t = throttle_new();
	int64_t now = 1000000, expected = 1;

	(void)state;
	fail_times(t, "192.0.2.1", "joe", 4, now);
	assert_int_equal(wait(t, "192.0.2.1", "joe", false, now), 0);
	for (int i = 0; i < 12; i++) {
		fail_times(t, "192.0.2.1", "joe", 1, now);
		assert_int_equal(
		    wait(t, "192.0.2.1", "joe", false, now), expected);
		/* also for another account from there */
		assert_int_equal(
		    wait(t, "192.0.2.1", "ann", false, now), expected);
		now += expected * 1000;
		assert_int_equal(wait(t, "192.0.2.1", "joe", false, now), 0);
		expected = expected * 2 > 300 ? 300 : expected * 2;
	}
	/* never for good */
	now += INT64_C(12) * 3600 * 1000;
	fail_times(t, "192.0.2.1", "joe", 1, now);
	assert_int_equal(wait(t, "192.0.2.1", "joe", false, now), 0);
	throttle_free(t);
}

/* Two hundred addresses, one account: together they wait. */
static void
test_d11_distributed(void **state)
{
	struct throttle *t = throttle_new();
	int64_t now = 1000000;
	char ip[48];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(ip, sizeof(ip), "127.0.0.%d", i + 1);
		fail_times(t, ip, "joe", 1, now);
	}
	assert_int_equal(wait(t, "127.0.0.1", "joe", false, now), 300);
	/* the owner: at a known address, or anywhere he has not failed */
	assert_int_equal(wait(t, "127.0.0.1", "joe", true, now), 0);
	assert_int_equal(wait(t, "198.51.100.1", "joe", false, now), 0);
	/* others are not concerned */
	assert_int_equal(wait(t, "127.0.0.1", "ann", false, now), 0);
	throttle_free(t);
}

static void
test_d12_known_address(void **state)
{
	struct throttle *t = throttle_new();
	struct ip ip = ip_of("192.0.2.1");
	int64_t now = 1000000;

	(void)state;
	fail_times(t, "192.0.2.1", "joe", 19, now);
	assert_int_equal(wait(t, "192.0.2.1", "joe", true, now), 0);
	fail_times(t, "192.0.2.1", "joe", 1, now);
	assert_int_equal(wait(t, "192.0.2.1", "joe", true, now), 1);
	throttle_succeeded(t, &ip, "joe");
	assert_int_equal(wait(t, "192.0.2.1", "joe", true, now), 0);
	assert_true(wait(t, "192.0.2.1", "joe", false, now) > 0);
	throttle_free(t);
}

static void
ipv6_prefix(void **state)
{
	struct throttle *t = throttle_new();
	int64_t now = 1000000;

	(void)state;
	fail_times(t, "2001:db8::1", "joe", 5, now);
	assert_int_equal(wait(t, "2001:db8::ffff", "ann", false, now), 1);
	assert_int_equal(wait(t, "2001:db8:0:1::1", "ann", false, now), 0);
	throttle_free(t);
}

static void
test_d15_cache(void **state)
{
	struct login_cache *c = login_cache_new();

	(void)state;
	login_cache_add(c, 1, "hash", SLICE_LIT("secret"), 1000);
	assert_true(login_cache_has(c, 1, "hash", SLICE_LIT("secret"), 999));
	assert_false(login_cache_has(c, 1, "hash", SLICE_LIT("secret"), 1000));
	assert_false(login_cache_has(c, 2, "hash", SLICE_LIT("secret"), 1));
	assert_false(login_cache_has(c, 1, "other", SLICE_LIT("secret"), 1));
	assert_false(login_cache_has(c, 1, "hash", SLICE_LIT("Secret"), 1));
	assert_false(login_cache_has(c, 1, "hashs", SLICE_LIT("ecret"), 1));
	login_cache_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows),
		cmocka_unit_test(test_d11_distributed),
		cmocka_unit_test(test_d12_known_address),
		cmocka_unit_test(ipv6_prefix),
		cmocka_unit_test(test_d15_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
