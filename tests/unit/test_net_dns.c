/*
 * DNS: answers from crafted bytes, and whole look-ups against the scripted
 * server tests/e2e/lib/fakedns.py with its faults.
 */
#include <sys/wait.h>

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/dns.h"

static const char zone[] =
    "{'mx.example': {'MX': ['20 Two.mx.example.', '10 one.mx.example.',"
    "   '10 uno.mx.example.'], 'TXT': ['\"v=spf1 \" \"-all\"', 'second'],"
    "   'A': ['192.0.2.1', '192.0.2.2'], 'AAAA': ['2001:db8::1'], 'ttl': 77},"
    " 'null.example': {'MX': ['0 .']},"
    " 'only-a.example': {'A': ['192.0.2.3']},"
    " 'c1.example': {'CNAME': ['c2.example.']},"
    " 'c2.example': {'CNAME': ['only-a.example.']},"
    " 'loop1.example': {'CNAME': ['loop2.example.']},"
    " 'loop2.example': {'CNAME': ['loop1.example.']},"
    " 'dangling.example': {'CNAME': ['nowhere.example.']},"
    " 'bad-mx.example': {'MX': [{'hex': '000a'}, {'hex': '000a03612f6200'},"
    "   {'hex': '000ac00c00'}, {'hex': '000a016101620000'}]},"
    " 'half-bad.example': {'MX': [{'hex': '000a'}, '5 good.example.'],"
    "   'TXT': [{'hex': '05616263'}, {'hex': '0261000161'}, 'good']},"
    " 'many.example': {'MX': [@5000@], 'A': [@A@]},"
    " 'big.example': {'MX': [@2000@]},"
    " 'servfail.example': {'fault': 'servfail'},"
    " 'refused.example': {'fault': 'refused'},"
    " 'formerr.example': {'fault': 'formerr'},"
    " 'notimp.example': {'fault': 'notimp'},"
    " 'drop.example': {'fault': 'drop'},"
    " 'garbage.example': {'fault': 'garbage'},"
    " 'wrong-id.example': {'A': ['192.0.2.9'], 'fault': 'wrong_id'},"
    " 'wrong-q.example': {'A': ['192.0.2.9'], 'fault': 'wrong_question'},"
    " 'tc.example': {'A': ['192.0.2.4'], 'fault': 'truncate'},"
    " 'tc-only.example': {'A': ['192.0.2.4'], 'fault': 'truncate_only'},"
    " 'flaky.example': {'A': ['192.0.2.5'], 'fault': 'flaky:1'},"
    " 'host.example': {'A': ['192.0.2.80'], 'AAAA': ['2001:db8::80']},"
    " 'liar.example': {'A': ['192.0.2.99']},"
    " '80.2.0.192.in-addr.arpa': {'PTR': ['liar.example.', 'Host.example.']},"
    " '81.2.0.192.in-addr.arpa': {'PTR': ['host.example.']},"
    " '82.2.0.192.in-addr.arpa': {'PTR': ['servfail.example.']},"
    " '83.2.0.192.in-addr.arpa': {'fault': 'servfail'},"
    " '84.2.0.192.in-addr.arpa': {'PTR': [{'hex': '0361003c00'}]},"
    " '0.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    ".ip6.arpa': {'PTR': ['host.example.']}}";

static char zone_path[] = "/tmp/test-dns-XXXXXX";
static pid_t server;
static struct dns_config config, hasty; /* for what does not answer */
static struct pool pool;

/* "@2000@": MX records of falling preference; "@A@": addresses. */
static const char *
write_list(FILE *f, const char *what)
{
	if (what[1] == 'A') {
		for (int i = 0; i < 300; i++)
			(void)fprintf(f, "%s\"10.0.%d.%d\"", i > 0 ? "," : "",
			    i / 250, i % 250);
		return what + 2;
	}
	for (int i = what[1] == '5' ? 5000 : 2000; i > 0; i--)
		(void)fprintf(
		    f, "\"%d m%d.example.\"%s", i, i, i > 1 ? "," : "");
	return what + 5;
}

/* The zone as JSON. */
static void
write_zone(FILE *f)
{
	for (const char *p = zone; *p != '\0'; p++) {
		if (*p == '@')
			p = write_list(f, p);
		else if (*p == '"')
			(void)fputs("\\\"", f);
		else
			(void)fputc(*p == '\'' ? '"' : *p, f);
	}
}

static int
setup(void **state)
{
	char text[32] = "", servers[64];
	int out[2], fd = mkstemp(zone_path);
	struct err e;
	FILE *f;

	(void)state;
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	write_zone(f);
	(void)fclose(f);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	server = fork();
	if (server == 0) {
		(void)dup2(out[1], STDOUT_FILENO);
		(void)execl("/usr/bin/python3", "python3", "-B",
		    "tests/e2e/lib/fakedns.py", "--zone", zone_path, NULL);
		_exit(127);
	}
	(void)close(out[1]);
	/* the whole line: it may come in pieces, and needs a reader */
	f = fdopen(out[0], "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	(void)fclose(f);
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%s", text);
	assert_int_equal(dns_config_parse(servers, &config, &e), 0);
	config.timeout_s = 15;
	config.tries = 1;
	hasty = config;
	hasty.timeout_s = 1;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)kill(server, SIGTERM);
	(void)waitpid(server, NULL, 0);
	pool_release(&pool);
	return unlink(zone_path);
}

static struct ip
ip_of(const char *text)
{
	struct ip ip = { 0 };

	assert_true(ip_parse(slice_str(text), &ip));
	return ip;
}

static void
test_config(void **state)
{
	struct dns_config c;
	struct err e = { 0 };
	struct ip one = ip_of("::1");

	(void)state;
	assert_int_equal(
	    dns_config_parse("127.0.0.1:5353, [::1]:54 , ::1", &c, &e), 0);
	assert_int_equal(c.server_count, 3);
	assert_int_equal(c.servers[0].port, 5353);
	assert_int_equal(c.servers[1].port, 54);
	assert_true(ip_eq(&c.servers[1].ip, &one));
	assert_int_equal(c.servers[2].port, 53);
	assert_true(ip_eq(&c.servers[2].ip, &one));
	assert_int_equal(dns_config_parse("", &c, &e), 0);
	assert_int_equal(c.server_count, 0);
	assert_int_equal(dns_config_parse("[::1]", &c, &e), 0);
	assert_int_equal(c.servers[0].port, 53);
	assert_int_equal(dns_config_parse("9.9.9.9", &c, &e), 0);
	assert_int_equal(c.server_count, 1);
	c.server_count = 42;
	assert_int_equal(dns_config_parse("a.example", &c, &e), -1);
	assert_int_equal(dns_config_parse("1.2.3.4:0", &c, &e), -1);
	assert_int_equal(dns_config_parse("1.2.3.4:65536", &c, &e), -1);
	assert_int_equal(dns_config_parse("[::1]x", &c, &e), -1);
	assert_int_equal(dns_config_parse("[", &c, &e), -1);
	assert_int_equal(
	    dns_config_parse("1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1", &c, &e), -1);
	assert_int_equal(e.kind, ERR_SYNTAX);
	assert_int_equal(c.server_count, 42);
}

static void
test_mx(void **state)
{
	struct dns_mx_list l = { 0 };

	(void)state;
	assert_int_equal(dns_mx(&config, "MX.example.", &pool, &l), DNS_OK);
	assert_int_equal(l.count, 3);
	assert_string_equal(l.items[0].name, "one.mx.example");
	assert_string_equal(l.items[1].name, "uno.mx.example");
	assert_string_equal(l.items[2].name, "two.mx.example");
	assert_int_equal(l.items[2].preference, 20);
	assert_int_equal(l.ttl_s, 77);

	assert_int_equal(dns_mx(&config, "null.example", &pool, &l), DNS_OK);
	assert_int_equal(l.count, 1);
	assert_string_equal(l.items[0].name, "");

	assert_int_equal(
	    dns_mx(&config, "only-a.example", &pool, &l), DNS_NODATA);
	assert_int_equal(
	    dns_mx(&config, "nowhere.example", &pool, &l), DNS_NXDOMAIN);
	/* all records bad: later; some: without them */
	assert_int_equal(
	    dns_mx(&config, "bad-mx.example", &pool, &l), DNS_TEMP);
	assert_int_equal(
	    dns_mx(&config, "half-bad.example", &pool, &l), DNS_OK);
	assert_int_equal(l.count, 1);
	assert_string_equal(l.items[0].name, "good.example");
}

static void
test_takes_mail(void **state)
{
	static const struct {
		const char *domain;
		enum dns_mail expected;
	} cases[] = {
		{ "mx.example", DNS_MAIL_GOOD },
		{ "only-a.example", DNS_MAIL_GOOD },
		{ "nowhere.example", DNS_MAIL_NO_DOMAIN },
		{ "81.2.0.192.in-addr.arpa", DNS_MAIL_NO_HOST },
		{ "null.example", DNS_MAIL_NULL_MX },
		{ "servfail.example", DNS_MAIL_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
		    dns_takes_mail(&config, cases[i].domain, &pool),
		    cases[i].expected);
}

/* Over 64 KiB there is no answer; of a large one the best are kept. */
static void
test_many(void **state)
{
	struct dns_mx_list l = { 0 };
	struct dns_ip_list ips = { 0 };

	(void)state;
	assert_int_equal(dns_mx(&hasty, "many.example", &pool, &l), DNS_TEMP);
	assert_int_equal(dns_mx(&config, "big.example", &pool, &l), DNS_OK);
	assert_int_equal(l.count, 100);
	assert_string_equal(l.items[0].name, "m1.example");
	assert_string_equal(l.items[99].name, "m100.example");
	assert_int_equal(
	    dns_ip(&config, "many.example", false, &pool, &ips), DNS_OK);
	assert_int_equal(ips.count, 200);
}

static void
test_ip_and_cname(void **state)
{
	struct dns_ip_list l = { 0 };
	struct ip one = ip_of("192.0.2.1"), six = ip_of("2001:db8::1");
	struct ip three = ip_of("192.0.2.3");

	(void)state;
	assert_int_equal(
	    dns_ip(&config, "mx.example", false, &pool, &l), DNS_OK);
	assert_int_equal(l.count, 2);
	assert_true(ip_eq(&l.items[0], &one));
	assert_int_equal(
	    dns_ip(&config, "mx.example", true, &pool, &l), DNS_OK);
	assert_int_equal(l.count, 1);
	assert_true(ip_eq(&l.items[0], &six));
	assert_int_equal(
	    dns_ip(&config, "c1.example", false, &pool, &l), DNS_OK);
	assert_int_equal(l.count, 1);
	assert_true(ip_eq(&l.items[0], &three));
	assert_int_equal(
	    dns_ip(&config, "c1.example", true, &pool, &l), DNS_NODATA);
	assert_int_equal(
	    dns_ip(&config, "loop1.example", false, &pool, &l), DNS_TEMP);
	assert_int_equal(dns_ip(&config, "dangling.example", false, &pool, &l),
	    DNS_NXDOMAIN);
}

static void
test_txt(void **state)
{
	struct dns_text_list l = { 0 };

	(void)state;
	assert_int_equal(dns_txt(&config, "mx.example", &pool, &l), DNS_OK);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.items[0], "v=spf1 -all");
	assert_string_equal(l.items[1], "second");
	assert_int_equal(
	    dns_txt(&config, "half-bad.example", &pool, &l), DNS_OK);
	assert_int_equal(l.count, 1);
	assert_string_equal(l.items[0], "good");
}

static void
test_F01_F09_faults(void **state)
{
	static const char *const temporary[] = { "servfail", "refused",
		"formerr", "notimp", "drop", "garbage", "wrong-id", "wrong-q",
		"tc-only" };
	struct dns_ip_list l = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(temporary); i++) {
		int64_t start = clock_mono_ms();
		char name[64];
		enum dns_status status;

		(void)snprintf(name, sizeof(name), "%s.example", temporary[i]);
		status = dns_ip(&hasty, name, false, &pool, &l);
		if (status != DNS_TEMP)
			fail_msg("%s: %d", name, status);
		assert_in_range(clock_mono_ms() - start, 0, 5000);
	}
	assert_int_equal(l.count, 0);
	assert_int_equal(
	    dns_ip(&config, "tc.example", false, &pool, &l), DNS_OK);
	assert_int_equal(l.count, 1);
	assert_int_equal(
	    dns_ip(&hasty, "flaky.example", false, &pool, &l), DNS_TEMP);
	assert_int_equal(
	    dns_ip(&config, "flaky.example", false, &pool, &l), DNS_OK);
}

static void
test_no_server(void **state)
{
	struct dns_config c = {
		.server_count = 2, .timeout_s = 15, .tries = 1
	};
	struct dns_mx_list l;

	(void)state;
	c.servers[0].ip = ip_of("127.0.0.1");
	c.servers[0].port = 1;
	c.servers[1].ip = ip_of("::1");
	c.servers[1].port = 1;
	assert_int_equal(dns_mx(&c, "mx.example", &pool, &l), DNS_TEMP);
	/* the next one is asked */
	c.servers[1] = config.servers[0];
	assert_int_equal(dns_mx(&c, "mx.example", &pool, &l), DNS_OK);
	c.servers[0].ip = ip_of("::1");
	assert_int_equal(dns_mx(&c, "mx.example", &pool, &l), DNS_OK);
}

static void
test_bad_names(void **state)
{
	static const char *const names[] = { "", ".", "a..b", ".a", "a b",
		"a/b.example", "a\\000.example", "\xc3\xa4.example" };
	struct dns_mx_list l;
	char longest[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(
		    dns_mx(&config, names[i], &pool, &l), DNS_NXDOMAIN);
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	/* a label of 64, then labels of 49 but more than 253 in all */
	longest[64] = '.';
	longest[70] = '\0';
	assert_int_equal(dns_mx(&config, longest, &pool, &l), DNS_NXDOMAIN);
	longest[70] = 'a';
	longest[64] = 'a';
	for (size_t i = 50; i < sizeof(longest); i += 50)
		longest[i] = '.';
	assert_int_equal(dns_mx(&config, longest, &pool, &l), DNS_NXDOMAIN);
}

static void
test_reverse(void **state)
{
	struct dns_text_list l = { 0 };
	struct ip ip = ip_of("192.0.2.80");
	char *name = NULL;

	(void)state;
	assert_int_equal(dns_ptr(&config, &ip, &pool, &l), DNS_OK);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.items[1], "host.example");
	assert_int_equal(
	    dns_confirmed_name(&config, &ip, &pool, &name), DNS_OK);
	assert_string_equal(name, "host.example");
	ip = ip_of("2001:db8::80");
	assert_int_equal(
	    dns_confirmed_name(&config, &ip, &pool, &name), DNS_OK);
	ip = ip_of("192.0.2.81");
	assert_int_equal(
	    dns_confirmed_name(&config, &ip, &pool, &name), DNS_NODATA);
	ip = ip_of("192.0.2.82");
	assert_int_equal(
	    dns_confirmed_name(&config, &ip, &pool, &name), DNS_TEMP);
	ip = ip_of("192.0.2.83");
	assert_int_equal(
	    dns_confirmed_name(&config, &ip, &pool, &name), DNS_TEMP);
	ip = ip_of("192.0.2.84");
	assert_int_equal(dns_ptr(&config, &ip, &pool, &l), DNS_TEMP);
	ip = ip_of("192.0.2.85");
	assert_int_equal(
	    dns_confirmed_name(&config, &ip, &pool, &name), DNS_NODATA);
}

/* --- crafted answers ------------------------------------------------------ */

#define HEAD "\x12\x34\x81\x80\0\1\0\1\0\0\0\0"
#define QUESTION         \
	"\1a\7example\0" \
	"\0\x0f\0\1"
#define MX_HEAD "\xc0\x0c\0\x0f\0\1\0\0\0\x3c"

static enum dns_status
parse_mx(const char *data, size_t len, struct dns_mx_list *out)
{
	/* exactly as large, so that an over-read is seen */
	char *copy = malloc(len + (len == 0));
	enum dns_status status;

	assert_non_null(copy);
	memcpy(copy, data, len);
	status = dns_parse_mx(slice_of(copy, len), "A.example", &pool, out);
	free(copy);
	return status;
}

static void
test_F08_F09_crafted(void **state)
{
	static const char good[] = HEAD QUESTION MX_HEAD "\0\6\0\7\1b\xc0\x0c";
	static const char loop[] = HEAD QUESTION MX_HEAD "\0\4\0\7\xc0\x29";
	static const char other_owner[] =
	    HEAD QUESTION "\1x\xc0\x0e\0\x0f\0\1\0\0\0\x3c"
			  "\0\6\0\7\1b\xc0\x0c";
	static const char markup[] =
	    HEAD QUESTION MX_HEAD "\0\x0b\0\7\x08<script>\0";
	static const char newline[] = HEAD QUESTION MX_HEAD "\0\6\0\7\2a\n\0";
	struct dns_mx_list l = { 0 };
	char head[] = HEAD QUESTION MX_HEAD "\0\7\0\7\1b\xc0\x0c";

	(void)state;
	/* seven bytes announced, six there */
	assert_int_equal(parse_mx(head, sizeof(head) - 1, &l), DNS_TEMP);
	head[sizeof(HEAD QUESTION MX_HEAD)] = 6;
	assert_int_equal(parse_mx(head, sizeof(head) - 1, &l), DNS_OK);
	assert_string_equal(l.items[0].name, "b.a.example");
	assert_int_equal(parse_mx(good, sizeof(good) - 1, &l), DNS_OK);
	assert_int_equal(l.items[0].preference, 7);
	for (size_t n = 0; n < sizeof(good) - 1; n++)
		assert_int_equal(parse_mx(good, n, &l), DNS_TEMP);
	assert_int_equal(parse_mx(loop, sizeof(loop) - 1, &l), DNS_TEMP);
	assert_int_equal(
	    parse_mx(other_owner, sizeof(other_owner) - 1, &l), DNS_NODATA);
	assert_int_equal(parse_mx(markup, sizeof(markup) - 1, &l), DNS_TEMP);
	assert_int_equal(parse_mx(newline, sizeof(newline) - 1, &l), DNS_TEMP);
}

/* --- threads -------------------------------------------------------------- */

static void *
look_up_often(void *arg)
{
	struct pool own = { 0 };
	int *found = arg;

	for (int i = 0; i < 50; i++) {
		struct dns_ip_list l;

		*found +=
		    dns_ip(&config, "c1.example", false, &own, &l) == DNS_OK;
		pool_reset(&own);
	}
	pool_release(&own);
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[8];
	int found[8] = { 0 }, sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, look_up_often, &found[i]),
		    0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		sum += found[i];
	}
	assert_int_equal(sum, 400);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_mx),
		cmocka_unit_test(test_takes_mail),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_ip_and_cname),
		cmocka_unit_test(test_txt),
		cmocka_unit_test(test_F01_F09_faults),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_F08_F09_crafted),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
