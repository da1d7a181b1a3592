/*
 * Signing in, spoken as a client speaks it: every mechanism, every login form,
 * what is refused and how.
 */
#include <gsasl.h>

#include "base/base64.h"

#include "accountd_fixture.h"

static struct fixture fx;
static struct link mta;

static const uint8_t exporter[32] = { 1, 2, 3 };
static struct auth_peer peer = { "smtp", "192.0.2.1", "S1", true, exporter };

static int
setup(void **state)
{
	(void)state;
	fixture_setup(&fx);
	fixture_fill(&fx);
	link_open(&mta, fx.core, FROM_MTAD, false);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	link_close(&mta);
	fixture_teardown(&fx);
	return 0;
}

static enum auth_result
login_from(const char *ip, const char *name, const char *password,
    char *account, size_t size)
{
	struct auth_peer p = peer;
	struct auth_exchange x;
	enum auth_result r;

	p.ip = ip;
	r = auth_password(
	    mta.client, slice_str(name), slice_str(password), &p, &x);
	snprintf(account, size, "%s", x.account ? x.account : "");
	auth_release(&x);
	return r;
}

static void
good_login(const char *name, const char *password, const char *expected)
{
	char account[300];
	enum auth_result r =
	    login_from("192.0.2.1", name, password, account, sizeof(account));

	if (r != AUTH_OK || strcmp(account, expected) != 0)
		fail_msg("%s: %d %s", name, r, account);
}

static void
bad_login(const char *name, const char *password)
{
	char account[300];
	/* an address of its own for each, so that nothing is throttled */
	static unsigned n;
	char ip[32];
	enum auth_result r;

	n++;
	snprintf(ip, sizeof(ip), "198.51.%u.%u", n / 200, n % 200 + 1);
	r = login_from(ip, name, password, account, sizeof(account));
	if (r != AUTH_FAILED || account[0] != '\0')
		fail_msg("%s: %d %s", name, r, account);
}

static void
login_forms(void **state)
{
	(void)state;
	good_login("Joe@example.org", JOE_PASSWORD, "Joe@example.org");
	good_login("joe@EXAMPLE.org", JOE_PASSWORD, "Joe@example.org");
	good_login("joe", JOE_PASSWORD, "Joe@example.org");
	good_login("joe@mail.example.org", JOE_PASSWORD, "Joe@example.org");
	good_login("joe@mx.example.org", JOE_PASSWORD, "Joe@example.org");
	good_login("joe@alias.example", JOE_PASSWORD, "Joe@example.org");
	good_login("joe#example.org", JOE_PASSWORD, "Joe@example.org");
	good_login("joe$example.org", JOE_PASSWORD, "Joe@example.org");
	good_login("joe%example.org", JOE_PASSWORD, "Joe@example.org");
	good_login(
	    "joe%other.example", "another password", "joe@other.example");
	good_login(
	    "joe@other.example", "another password", "joe@other.example");
}

static void
wrong_logins(void **state)
{
	(void)state;
	peer.ip = "192.0.2.3";
	bad_login("joe", "wrong");
	bad_login("joe@other.example", JOE_PASSWORD);
	bad_login("nobody@example.org", JOE_PASSWORD);
	bad_login("joe@example.net", JOE_PASSWORD);
	bad_login("", JOE_PASSWORD);
	bad_login("joe", "");
	bad_login("joe' OR 1=1--", "x");
	bad_login("joe\n@example.org", JOE_PASSWORD);
	bad_login("../joe", JOE_PASSWORD);
	bad_login("postmaster@example.org", JOE_PASSWORD);
	bad_login("j\xc3\xb6@example.org", "x");
	bad_login("joe\xff@example.org", "x");
}

/* Processor time in a wrong login, in milliseconds. */
static double
cost_of(const char *name)
{
	clock_t start = clock();

	bad_login(name, "wrong");
	return 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void
test_d10_unknown_users_cost_the_same(void **state)
{
	double known = 0, unknown = 0;

	(void)state;
	for (int i = 0; i < 4; i++) {
		known += cost_of("joe@other.example");
		unknown += cost_of("nobody@other.example");
	}
	if (known < 0.8 * unknown || known > 1.25 * unknown)
		fail_msg("known %.1f ms, unknown %.1f ms", known, unknown);
}

static void
long_fields(void **state)
{
	char *text = mem_alloc(10001);

	(void)state;
	memset(text, 'x', 10000);
	text[10000] = '\0';
	bad_login("joe", text);
	bad_login(text, JOE_PASSWORD);
	free(text);
}

/* Every byte counts, however the password comes. */
static void
test_d14_passwords_count_whole(void **state)
{
	static const char *const passwords[] = {
		"gr\xc3\xbc\xc3\x9f"
		"e vom meer\xc3\xa9",
		/* 73 bytes */
		"a long one, as long as some functions look and then one byte"
		" more than it",
		" three blind mice ",
	};
	char name[64], shorter[128];
	struct link cli;

	(void)state;
	link_open(&cli, fx.core, FROM_MAILSTEAD, true);
	for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
		(void)snprintf(name, sizeof(name), "d14-%zu@example.org", i);
		do_ok(&cli,
		    json_pack("{ss,ss,ss}", "verb", "user add", "address", name,
			"password", passwords[i]));
		good_login(name, passwords[i], name);
		assert_true(
		    slice_copy(slice_of(passwords[i], strlen(passwords[i]) - 1),
			shorter, sizeof(shorter)));
		bad_login(name, shorter);
		bad_login(name, passwords[i] + 1);
	}
	link_close(&cli);
}

static enum auth_result
plain(const char *data, size_t len, struct auth_exchange *x)
{
	struct buf b;
	enum auth_result r;

	buf_init(&b, 4096);
	base64_encode(data, len, &b);
	r = auth_start(mta.client, "PLAIN", buf_slice(&b), &peer, x);
	buf_release(&b);
	return r;
}

static void
sasl_plain(void **state)
{
	static const char good[] = "\0joe\0" JOE_PASSWORD;
	static const char same[] = "joe@example.org\0joe\0" JOE_PASSWORD;
	static const char other[] = "admin\0joe\0" JOE_PASSWORD;
	static const char no_nul[] = "joe" JOE_PASSWORD;
	static const char nuls[] = "\0joe\0" JOE_PASSWORD "\0";
	struct auth_exchange x;

	(void)state;
	assert_int_equal(plain(good, sizeof(good) - 1, &x), AUTH_OK);
	assert_string_equal(x.account, "Joe@example.org");
	auth_release(&x);
	assert_int_equal(plain(same, sizeof(same) - 1, &x), AUTH_OK);
	auth_release(&x);
	assert_int_equal(plain(other, sizeof(other) - 1, &x), AUTH_FAILED);
	auth_release(&x);
	assert_int_equal(plain(no_nul, sizeof(no_nul) - 1, &x), AUTH_SYNTAX);
	auth_release(&x);
	assert_int_equal(plain(nuls, sizeof(nuls) - 1, &x), AUTH_SYNTAX);
	auth_release(&x);
	assert_int_equal(
	    auth_start(mta.client, "PLAIN", SLICE_LIT("!!"), &peer, &x),
	    AUTH_SYNTAX);
	auth_release(&x);
	assert_int_equal(
	    auth_start(mta.client, "ANONYMOUS", SLICE_LIT(""), &peer, &x),
	    AUTH_SYNTAX);
	auth_release(&x);
	/* without an initial response */
	assert_int_equal(
	    auth_start(mta.client, "PLAIN", slice_of(NULL, 0), &peer, &x),
	    AUTH_MORE);
	assert_string_equal(x.text, "");
	assert_int_equal(
	    auth_step(&x, SLICE_LIT("AGpvZQBzZWUgaG93IHRoZXkgcnVu")), AUTH_OK);
	auth_release(&x);
}

static void
sasl_login(void **state)
{
	struct auth_exchange x;

	(void)state;
	assert_int_equal(
	    auth_start(mta.client, "LOGIN", slice_of(NULL, 0), &peer, &x),
	    AUTH_MORE);
	assert_int_equal(auth_step(&x, SLICE_LIT("am9l")), AUTH_MORE);
	assert_int_equal(
	    auth_step(&x, SLICE_LIT("c2VlIGhvdyB0aGV5IHJ1bg==")), AUTH_OK);
	auth_release(&x);
	assert_int_equal(
	    auth_start(mta.client, "LOGIN", SLICE_LIT("am9l"), &peer, &x),
	    AUTH_MORE);
	assert_string_equal(x.text, "UGFzc3dvcmQ=");
	assert_int_equal(
	    auth_step(&x, SLICE_LIT("c2VlIGhvdyB0aGV5IHJ1bg==")), AUTH_OK);
	auth_release(&x);
}

static struct {
	const char *user, *password;
	bool bind;
} scram_client;

static int
client_property(Gsasl *ctx, Gsasl_session *s, Gsasl_property p)
{
	struct buf b;

	(void)ctx;
	if (p == GSASL_AUTHID)
		return gsasl_property_set(s, p, scram_client.user);
	if (p == GSASL_PASSWORD)
		return gsasl_property_set(s, p, scram_client.password);
	if (p == GSASL_CB_TLS_EXPORTER && scram_client.bind) {
		buf_init(&b, 128);
		base64_encode(exporter, sizeof(exporter), &b);
		(void)gsasl_property_set(s, p, b.data);
		buf_release(&b);
		return GSASL_OK;
	}
	return GSASL_NO_CALLBACK;
}

static enum auth_result
scram(const char *mechanism, const char *user, const char *password, bool bind)
{
	struct auth_exchange x;
	enum auth_result r;
	Gsasl_session *s;
	Gsasl *ctx;
	char *out;
	int code;

	scram_client.user = user;
	scram_client.password = password;
	scram_client.bind = bind;
	assert_int_equal(gsasl_init(&ctx), GSASL_OK);
	gsasl_callback_set(ctx, client_property);
	assert_int_equal(gsasl_client_start(ctx, mechanism, &s), GSASL_OK);
	code = gsasl_step64(s, "", &out);
	assert_int_equal(code, GSASL_NEEDS_MORE);
	r = auth_start(mta.client, mechanism, slice_str(out), &peer, &x);
	gsasl_free(out);
	while (r == AUTH_MORE) {
		code = gsasl_step64(s, x.text, &out);
		if (code != GSASL_OK && code != GSASL_NEEDS_MORE)
			break;
		r = auth_step(&x, slice_str(out));
		gsasl_free(out);
	}
	if (r == AUTH_OK)
		assert_int_equal(code, GSASL_OK); /* the server proved itself */
	gsasl_finish(s);
	gsasl_done(ctx);
	auth_release(&x);
	return r;
}

static void
sasl_scram(void **state)
{
	struct auth_exchange x;

	(void)state;
	peer.ip = "192.0.2.5";
	assert_int_equal(
	    scram("SCRAM-SHA-256", "joe", JOE_PASSWORD, false), AUTH_OK);
	assert_int_equal(
	    scram("SCRAM-SHA-256", "joe", "wrong", false), AUTH_FAILED);
	assert_int_equal(
	    scram("SCRAM-SHA-256", "nobody", "wrong", false), AUTH_FAILED);
	assert_int_equal(
	    scram("SCRAM-SHA-256-PLUS", "joe", JOE_PASSWORD, true), AUTH_OK);
	assert_int_equal(
	    scram("SCRAM-SHA-256-PLUS", "joe", "wrong", true), AUTH_FAILED);
	/* "y,,": could bind and was not offered to, so somebody cut the offer */
	assert_int_equal(
	    auth_start(mta.client, "SCRAM-SHA-256",
		SLICE_LIT("eSwsbj1qb2Uscj1hYmNkZWZnaA=="), &peer, &x),
	    AUTH_FAILED);
	auth_release(&x);
}

/* Half-way exchanges die with their connection; nothing else notices. */
static void
abandoned(void **state)
{
	struct auth_exchange x;

	(void)state;
	assert_int_equal(
	    auth_start(mta.client, "LOGIN", slice_of(NULL, 0), &peer, &x),
	    AUTH_MORE);
	auth_release(&x);
	assert_int_equal(x.fd, 0);
	accountd_free(mta.client);
	pthread_join(mta.thread, NULL);
	link_open(&mta, fx.core, FROM_MTAD, false);
	good_login("joe", JOE_PASSWORD, "Joe@example.org");
}

static void
switches(void **state)
{
	struct link op;

	(void)state;
	link_open(&op, fx.core, FROM_MAILSTEAD, true);
	do_ok(&op,
	    json_pack("{ss,ss,s{ss}}", "verb", "user set", "address",
		"joe@example.org", "set", "smtp", "no"));
	bad_login("joe", JOE_PASSWORD);
	do_ok(&op,
	    json_pack("{ss,ss,s{sb}}", "verb", "user set", "address",
		"joe@example.org", "set", "access.smtp", 1));
	good_login("joe", JOE_PASSWORD, "Joe@example.org");
	do_ok(&op,
	    json_pack("{ss,ss}", "verb", "user disable", "address",
		"joe@example.org"));
	bad_login("joe", JOE_PASSWORD);
	assert_int_equal(
	    scram("SCRAM-SHA-256", "joe", JOE_PASSWORD, false), AUTH_FAILED);
	do_ok(&op,
	    json_pack("{ss,ss}", "verb", "user enable", "address",
		"joe@example.org"));
	do_ok(&op,
	    json_pack("{ss,ss}", "verb", "domain disable", "domain",
		"other.example"));
	bad_login("joe@other.example", "another password");
	do_ok(&op,
	    json_pack(
		"{ss,ss}", "verb", "domain enable", "domain", "other.example"));
	good_login(
	    "joe@other.example", "another password", "joe@other.example");
	do_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "user passwd", "address",
		"joe@example.org", "password", "up the drowned clock"));
	bad_login("joe", JOE_PASSWORD);
	good_login("joe", "up the drowned clock", "Joe@example.org");
	link_close(&op);
}

/* Guessing is slowed down; the owner at his usual place is not. */
static void
throttled(void **state)
{
	char account[300];
	enum auth_result r = AUTH_FAILED;
	int tries = 0;

	(void)state;
	assert_int_equal(login_from("192.0.2.9", "admin", ADMIN_PASSWORD,
			     account, sizeof(account)),
	    AUTH_OK);
	while (r == AUTH_FAILED && tries++ < 50)
		r = login_from(
		    "203.0.113.9", "admin", "guess", account, sizeof(account));
	assert_int_equal(r, AUTH_BUSY);
	assert_int_equal(tries, 6);
	/* the right password has to wait there too */
	assert_int_equal(login_from("203.0.113.9", "admin", ADMIN_PASSWORD,
			     account, sizeof(account)),
	    AUTH_BUSY);
	/* the same for a name nobody has */
	r = AUTH_FAILED;
	for (tries = 0; r == AUTH_FAILED && tries < 50; tries++)
		r = login_from(
		    "203.0.113.10", "noone", "guess", account, sizeof(account));
	assert_int_equal(r, AUTH_BUSY);
	assert_int_equal(tries, 6);
	/* a known address, and a stranger's first try */
	assert_int_equal(login_from("192.0.2.9", "admin", ADMIN_PASSWORD,
			     account, sizeof(account)),
	    AUTH_OK);
	assert_int_equal(login_from("203.0.113.77", "admin", ADMIN_PASSWORD,
			     account, sizeof(account)),
	    AUTH_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(login_forms),
		cmocka_unit_test(wrong_logins),
		cmocka_unit_test(test_d14_passwords_count_whole),
		cmocka_unit_test(test_d10_unknown_users_cost_the_same),
		cmocka_unit_test(long_fields),
		cmocka_unit_test(sasl_plain),
		cmocka_unit_test(sasl_login),
		cmocka_unit_test(sasl_scram),
		cmocka_unit_test(abandoned),
		cmocka_unit_test(switches),
		cmocka_unit_test(throttled),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
