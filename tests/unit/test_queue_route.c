/*
 * Routes from settings, and the order of mail exchangers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/route.h"

static struct settings *
with(const char *mode, const char *host, const char *senders,
    const char *domains)
{
	const char *names[] = { "smarthost.mode", "smarthost.host",
		"smarthost.senders", "smarthost.domains", "remote.sources",
		"remote.tls_policy", "server.hostname", "smtp.names" };
	static const char sources[] =
	    "s.example=192.0.2.5/mail.s.example, t.example=192.0.2.6,"
	    " *=/out.example.org";
	const char *values[] = { mode, host, senders, domains, sources,
		"strict.example=verify", "mail.example.org",
		"192.0.2.6=mail.t.example" };

	return settings_build(names, values, ARRAY_LEN(names));
}

static void
test_direct(void **state)
{
	struct settings *s = with("off", "relay.example", "", "");
	struct route r, q;

	(void)state;
	route_plan(s, "a@s.example", "far.example", 9, &r);
	assert_string_equal(r.host, "");
	assert_true(r.has_source);
	assert_string_equal(r.helo, "mail.s.example");
	/* the name that address has for those who come to it */
	route_plan(s, "a@t.example", "far.example", 0, &q);
	assert_string_equal(q.helo, "mail.t.example");
	route_plan(s, "", "far.example", 0, &q);
	assert_false(q.has_source);
	assert_string_equal(q.helo, "out.example.org");
	assert_string_not_equal(r.key, q.key);
	route_plan(s, "", "strict.example", 0, &q);
	assert_int_equal(q.tls, CLIENT_TLS_VERIFY);
	settings_free(s);
}

static void
test_smarthost_modes(void **state)
{
	struct settings *s = with("always", "relay.example:26", "", "");
	struct route r;

	(void)state;
	route_plan(s, "a@b.example", "far.example", 0, &r);
	assert_string_equal(r.host, "relay.example");
	assert_int_equal(r.port, 26);
	settings_free(s);
	s = with("listed", "relay.example", "b.example=own.example",
	    "l.example, m.example=m-relay.example");
	route_plan(s, "a@c.example", "far.example", 0, &r);
	assert_string_equal(r.host, "");
	route_plan(s, "a@c.example", "l.example", 0, &r);
	assert_string_equal(r.host, "relay.example");
	route_plan(s, "a@c.example", "m.example", 0, &r);
	assert_string_equal(r.host, "m-relay.example");
	route_plan(s, "a@b.example", "far.example", 0, &r);
	assert_string_equal(r.host, "own.example");
	settings_free(s);
	s = with("fallback", "relay.example", "", "");
	route_plan(s, "a@c.example", "far.example", 2, &r);
	assert_string_equal(r.host, "");
	route_plan(s, "a@c.example", "far.example", 3, &r);
	assert_string_equal(r.host, "relay.example");
	settings_free(s);
	s = with("always", "", "", "");
	route_plan(s, "a@c.example", "far.example", 0, &r);
	assert_string_equal(r.host, "smart-host.invalid");
	settings_free(s);
}

static bool
is_me(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "me") == 0;
}

static void
test_order(void **state)
{
	static char a[] = "a", b[] = "b", c[] = "c", me[] = "me", none[] = "";
	struct dns_mx items[] = { { 5, a }, { 10, none }, { 10, b }, { 20, me },
		{ 20, c }, { 30, c } };
	struct dns_mx ours[] = { { 5, me }, { 10, a } };
	struct dns_mx equal[] = { { 5, a }, { 5, b }, { 5, c } };
	size_t first[3] = { 0 }, i;
	bool looped;

	(void)state;
	assert_int_equal(route_order(items, 6, is_me, NULL, &looped), 2);
	assert_false(looped);
	assert_string_equal(items[0].name, "a");
	assert_string_equal(items[1].name, "b");
	assert_int_equal(route_order(ours, 2, is_me, NULL, &looped), 0);
	assert_true(looped);
	for (i = 0; i < 600; i++) {
		assert_int_equal(
		    route_order(equal, 3, is_me, NULL, &looped), 3);
		first[equal[0].name[0] - 'a']++;
	}
	for (i = 0; i < 3; i++)
		assert_in_range(first[i], 100, 300);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_smarthost_modes),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
