/* The settings registry and the bootstrap file. */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ip.h"
#include "directory/config.h"
#include "directory/settings.h"
#include "directory/smarthost.h"

static void
canonical(const char *name, const char *text, const char *expected)
{
	char out[SETTING_VALUE_SIZE];
	struct err e;

	if (setting_check(setting_find(name), text, out, sizeof(out), &e) != 0)
		fail_msg("%s: %s", name, e.text);
	assert_string_equal(out, expected);
}

static void
wrong(const char *name, const char *text, const char *part)
{
	char out[SETTING_VALUE_SIZE] = "untouched";
	struct err e = { 0 };

	assert_int_equal(
	    setting_check(setting_find(name), text, out, sizeof(out), &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	if (strstr(e.text, part) == NULL)
		fail_msg("%s '%s': %s", name, text, e.text);
	assert_string_equal(out, "untouched");
}

static void
checking(void **state)
{
	(void)state;
	canonical("smtp.auth_on_25", " On ", "yes");
	canonical("message.max_bytes", "50 MiB", "52428800");
	canonical("message.max_bytes", "0", "0");
	canonical("queue.expire", "5d", "432000");
	canonical("queue.retry", "5m,10m  1h\n", "300 600 3600");
	canonical("relay.mode", "LOCAL-USERS", "local-users");
	canonical("relay.trusted", "10.0.0.0/8, 192.0.2.1-192.0.2.9",
	    "10.0.0.0/8 192.0.2.1-192.0.2.9");
	canonical("relay.trusted", "", "");
	canonical("dns.servers", "127.0.0.1:5353 ::1", "127.0.0.1:5353 ::1");
	canonical("server.hostname", "MX.Example.ORG.", "mx.example.org");
	wrong("smtp.auth_on_25", "maybe", "yes or no");
	wrong("remote.port", "0", "from 1 to 65535");
	wrong("remote.port", "1e9", "a number");
	wrong("remote.port", "0x10", "a number");
	wrong("remote.port", "", "a number");
	wrong("remote.port", "99999999999999999999", "a number");
	wrong("queue.retry", "", "at least one");
	wrong("queue.retry", "5m never", "duration");
	wrong("relay.mode", "open", "one of none|");
	wrong("relay.trusted", "10.0.0.0/33", "relay.trusted");
	wrong("dns.servers", "127.0.0.1:0", "forms like");
	wrong("dns.servers", "ns.example.org", "forms like");
	wrong("server.hostname", "a b", "server.hostname");
	wrong("address.subaddress", "++", "bytes");
	wrong("web.group", "a\nb", "control");
	wrong("web.group", "\xff", "UTF-8");
	assert_null(setting_find("no.such"));
}

static void
forms(void **state)
{
	/* clang-format off */
	static const char *const bad[][2] = {
		{ "server.listen", "10.0.0.0/8" },
		{ "smtp.listen", "192.0.2.1-192.0.2.4" },
		{ "address.subaddress", "@" },
		{ "address.subaddress", "a" },
		{ "smtp.names", "mail.example.org" },
		{ "smtp.names", "192.0.2.1=" },
		{ "smtp.names", "192.0.2.1=a.example other" },
		{ "smtp.names", "192.0.2.1=bad host!" },
		{ "smtp.names", "=mail.example.org" },
		{ "smtp.greetings", "300.1.1.1=Hello" },
		{ "smtp.greetings", "192.0.2.1" },
		{ "client.hosts", "example.org" },
		{ "client.hosts", "*=pop.example.org" },
		{ "remote.tls_policy", "example.org=always" },
		{ "remote.tls_policy", "example.org=wrapped" },
		{ "remote.sources", "example.org=" },
		{ "remote.sources", "example.org=192.0.2.1/" },
		{ "remote.sources", "example.org=x/mail.example.org" },
		{ "smarthost.host", "relay.example:0" },
		{ "smarthost.host", "two words" },
		{ "smarthost.senders", "example.org" },
		{ "smarthost.senders", "example.org=relay.example/always" },
		{ "smarthost.domains", "=relay.example" },
		{ "alert.addresses", "ann@example.org bob" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		wrong(bad[i][0], bad[i][1], "is not ");
	canonical("server.listen", "192.0.2.1,::1", "192.0.2.1 ::1");
	canonical("address.subaddress", "", "");
	canonical("address.subaddress", "-", "-");
	canonical("smtp.names", "192.0.2.1=Mail.Example.ORG ::1=b.example",
	    "192.0.2.1=mail.example.org ::1=b.example");
	canonical("smtp.greetings", "::1=It_is=me", "::1=It_is=me");
	canonical("client.hosts", "b\xc3\xbc.example=b.example",
	    "xn--b-eha.example=b.example");
	canonical("remote.tls_policy", "*=verify [192.0.2.1]=none",
	    "*=verify [192.0.2.1]=none");
	canonical("remote.sources", "a.example=192.0.2.1 b.example=/B.example",
	    "a.example=192.0.2.1 b.example=/b.example");
	canonical("smarthost.host", "", "");
	canonical("smarthost.domains", "a.example *=[::1]:25/none",
	    "a.example *=[::1]:25/none");
	canonical("alert.addresses", "ann@example.org", "ann@example.org");
}

static void
smarthost(void **state)
{
	static const char *const bad[] = { "", "h:0", "h:70000", "h/always",
		"h/rate=0", "h/rate=many", "h/speed=9", "h/may/isp/other",
		"two words", "[192.0.2]", ":25" };
	struct smarthost h;

	(void)state;
	assert_true(smarthost_parse(slice_str("Relay.example"), &h));
	assert_string_equal(h.host, "relay.example");
	assert_int_equal(h.port, 25);
	assert_int_equal(h.tls, SMARTHOST_TLS_MAY);
	assert_true(smarthost_parse(slice_str("192.0.2.7:2525"), &h));
	assert_string_equal(h.host, "[192.0.2.7]");
	assert_int_equal(h.port, 2525);
	assert_true(smarthost_parse(slice_str("[::1]:587/wrapped/isp"), &h));
	assert_string_equal(h.host, "[::1]");
	assert_int_equal(h.port, 587);
	assert_int_equal(h.tls, SMARTHOST_TLS_WRAPPED);
	assert_string_equal(h.credential, "isp");
	assert_int_equal(h.connections + h.rate, 0);
	assert_true(smarthost_parse(
	    slice_str("relay.example/rate=60/encrypt/isp/connections=2"), &h));
	assert_int_equal(h.tls, SMARTHOST_TLS_ENCRYPT);
	assert_string_equal(h.credential, "isp");
	assert_int_equal(h.connections, 2);
	assert_int_equal(h.rate, 60);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(smarthost_parse(slice_str(bad[i]), &h));
	assert_int_equal(h.rate, 60);
}

static void
values(void **state)
{
	const char *names[] = { "relay.trusted", "queue.retry", "relay.mode",
		"remote.port", "no.such" };
	const char *texts[] = { "10.0.0.0/8 2001:db8::/32", "60 120",
		"addresses", "70000", "x" };
	struct settings *s = settings_build(names, texts, 5);
	struct ip ip;

	(void)state;
	assert_true(ip_parse(SLICE_LIT("10.1.2.3"), &ip));
	assert_true(settings_has_ip(s, SET_RELAY_TRUSTED, &ip));
	assert_true(ip_parse(SLICE_LIT("2001:db8::9"), &ip));
	assert_true(settings_has_ip(s, SET_RELAY_TRUSTED, &ip));
	assert_true(ip_parse(SLICE_LIT("127.0.0.1"), &ip));
	assert_false(settings_has_ip(s, SET_RELAY_TRUSTED, &ip));
	assert_int_equal(settings_count(s, SET_QUEUE_RETRY), 2);
	assert_int_equal(settings_item_int(s, SET_QUEUE_RETRY, 1), 120);
	assert_string_equal(settings_item(s, SET_QUEUE_RETRY, 0), "60");
	assert_int_equal(settings_choice(s, SET_RELAY_MODE), 1);
	/* a row that does not check stays at its default */
	assert_int_equal(settings_int(s, SET_REMOTE_PORT), 25);
	assert_string_equal(settings_text(s, SET_HOSTNAME), "localhost");
	assert_ptr_equal(settings_ref(s), s);
	settings_free(s);
	settings_free(s);
	settings_free(NULL);
}

/* --- mailstead.conf ---------------------------------------------------------- */

static char dir[64];

static int
setup(void **state)
{
	char path[128];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mailstead-test-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/directory", dir);
	return mkdir(path, 0700);
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/mailstead.conf", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/directory", dir);
	rmdir(path);
	return rmdir(dir);
}

static void
write_conf(const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/mailstead.conf", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
bad_conf(const char *text, const char *part)
{
	struct config c;
	struct err e = { 0 };

	write_conf(text);
	assert_int_equal(config_load(dir, &c, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	if (strstr(e.text, part) == NULL)
		fail_msg("%s", e.text);
}

static void
bootstrap(void **state)
{
	char path[CONFIG_PATH_SIZE], expected[CONFIG_PATH_SIZE];
	struct config c;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(config_load(dir, &c, &e), 0);
	assert_string_equal(c.state_dir, dir);
	snprintf(expected, sizeof(expected), "%s/mail", dir);
	assert_string_equal(c.mail_root, expected);
	assert_string_equal(c.user_mta, "");
	write_conf("[mailstead]\nmail_root = /srv/mail ; there\n"
		   "[users]\nmta = mailstead-mta\n");
	assert_int_equal(config_load(dir, &c, &e), 0);
	assert_string_equal(c.mail_root, "/srv/mail");
	assert_string_equal(c.user_mta, "mailstead-mta");
	assert_int_equal(
	    config_path(&c, path, sizeof(path), &e, "run/%s", "x"), 0);
	snprintf(expected, sizeof(expected), "%s/run/x", dir);
	assert_string_equal(path, expected);
	assert_int_equal(config_path(&c, path, 10, &e, "run"), -1);
	bad_conf("[mailstead]\nmailroot = /x\n", ":2: unknown key 'mailroot'");
	bad_conf("[mailstead]\n\nmail_root = mail\n", ":3: not an absolute");
	bad_conf("nonsense\n", ":1: not understood");
	assert_int_equal(config_load("/nonexistent", &c, &e), -1);
	assert_int_equal(config_load("/tmp/..", &c, &e), -1);
	assert_non_null(strstr(e.text, "not a state directory"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checking),
		cmocka_unit_test(forms),
		cmocka_unit_test(smarthost),
		cmocka_unit_test(values),
		cmocka_unit_test_setup_teardown(bootstrap, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
