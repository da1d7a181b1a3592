/* Header fields, encoded words, addresses of a field, trace fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/header.h"
#include "mail/message.h"
#include "mail/verb.h"

static void
test_fields(void **state)
{
	static const char text[] = "Subject: one\r\n two\r\n"
				   "X-Space \t: v\n"
				   "Empty:\n"
				   "\n"
				   "body: no field\n";
	struct header_scan scan = { slice_str(text) };
	struct header_field f;
	struct slice body;
	bool empty;

	(void)state;
	assert_true(header_next(&scan, &f));
	assert_true(header_is(&f, "subject"));
	assert_true(slice_eq_str(f.value, " one\r\n two"));
	assert_true(slice_eq_str(f.raw, "Subject: one\r\n two\r\n"));
	assert_true(header_next(&scan, &f));
	assert_true(slice_eq_str(f.name, "X-Space"));
	assert_true(header_next(&scan, &f));
	assert_int_equal(f.value.len, 0);
	assert_false(header_next(&scan, &f));
	body = header_body(&scan, &empty);
	assert_true(empty);
	assert_true(slice_eq_str(body, "body: no field\n"));
}

/* A line that is no field ends the header without an empty line. */
static void
test_no_separator(void **state)
{
	static const char *const bad[] = { "no field here\n", "a b: c\n",
		": x\n", " x\n", "From joe@x Fri\n", "\xc3\xa4: x\n" };
	struct header_field f;
	bool empty;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct header_scan scan = { slice_str(bad[i]) };

		assert_false(header_next(&scan, &f));
		assert_true(slice_eq_str(header_body(&scan, &empty), bad[i]));
		assert_false(empty);
	}
}

struct pair {
	const char *in, *out;
};

static void
check_pairs(const struct pair *p, size_t n,
    void (*f)(struct slice value, struct buf *out))
{
	for (size_t i = 0; i < n; i++) {
		struct buf out;

		buf_init(&out, 10000);
		f(slice_str(p[i].in), &out);
		assert_string_equal(out.data, p[i].out);
		buf_release(&out);
	}
}

static void
test_decode(void **state)
{
	static const struct pair pairs[] = {
		{ " plain text ", "plain text" },
		{ "fol\r\n ded", "fol ded" },
		{ "=?utf-8?q?J=C3=B6_e?=", "J\xc3\xb6 e" },
		{ "=?UTF-8?B?SsO2?= x", "J\xc3\xb6 x" },
		{ "=?iso-8859-1?Q?J=F6?= =?iso-8859-1?q?e?=",
		    "J\xc3\xb6"
		    "e" },
		{ "=?iso-8859-1*de?Q?=F6?=", "\xc3\xb6" },
		{ "=?x-unknown?Q?=F6?=", "=?x-unknown?Q?=F6?=" },
		{ "=?utf-8?q?=F6?=", "=?utf-8?q?=F6?=" },
		{ "=?utf-8?b?!!?=", "=?utf-8?b?!!?=" },
		{ "=?utf-8?q?=0Abcc:x?=", " bcc:x" },
		{ "a \xf6 b", "a \xef\xbf\xbd b" },
		{ "=?", "=?" },
		{ "=?utf-8?q?x", "=?utf-8?q?x" },
		{ "=?../../x?q?x?=", "=?../../x?q?x?=" },
	};

	(void)state;
	check_pairs(pairs, ARRAY_LEN(pairs), header_decode);
}

static void
test_encode(void **state)
{
	static const struct pair pairs[] = {
		{ "plain", "plain" },
		{ "a\nBcc: x", "a Bcc: x" },
		{ "J\xc3\xb6", "=?UTF-8?B?SsO2?=" },
		{ "=?q", "=?UTF-8?B?PT9x?=" },
	};
	struct buf long_text, coded, back;

	(void)state;
	check_pairs(pairs, ARRAY_LEN(pairs), header_encode);
	buf_init(&long_text, 1000);
	buf_init(&coded, 10000);
	buf_init(&back, 10000);
	for (int i = 0; i < 100; i++)
		buf_addstr(&long_text, "\xe2\x82\xac");
	header_encode(buf_slice(&long_text), &coded);
	for (struct slice rest = buf_slice(&coded), line; rest.data != NULL;) {
		rest = slice_cut(rest, '\n', &line);
		assert_true(line.len <= 76);
	}
	header_decode(buf_slice(&coded), &back);
	assert_string_equal(back.data, long_text.data);
	buf_release(&long_text);
	buf_release(&coded);
	buf_release(&back);
}

static void
test_addresses(void **state)
{
	static const char value[] =
	    " Joe \"x,y\" <joe@a>, (c,d) bob@b (more), "
	    "\"Q <evil@x>\" <q@c>,, team: t1@d, T <t2@d>;, <>";
	static const char *const want[] = { "joe@a", "bob@b", "q@c", "t1@d",
		"t2@d" };
	struct slice rest = slice_str(value), addr;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(header_next_address(&rest, &addr));
		assert_true(slice_eq_str(addr, want[i]));
	}
	while (header_next_address(&rest, &addr))
		assert_int_equal(addr.len, 0);
}

static void
test_results_claim(void **state)
{
	static const char *const ours[] = { " mail.x.org; spf=pass",
		"MAIL.X.ORG;x", " (c) mail.x.org (d) 1; none",
		"\r\n mail.x.org\r\n ; none", "\"mail.x.org\"; none",
		"mail.x.org.; none", "mail.x.org", "", "\"mail\\.x.org\";",
		"mail.x.org/1; none" };
	static const char *const others[] = { " mx.google.com; spf=pass",
		"xmail.x.org; x", "mail.x.org.evil.net; x", "1;mail.x.org" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		assert_true(
		    message_results_claim(slice_str(ours[i]), "mail.x.org"));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(
		    message_results_claim(slice_str(others[i]), "mail.x.org"));
}

static void
test_received(void **state)
{
	struct message_trace t = { .helo = "h",
		.client_name = "n.example",
		.client_ip = "2001:db8::1",
		.host = "mx.example",
		.protocol = "ESMTPS",
		.id = "ID",
		.tls_version = "TLSv1.3",
		.tls_cipher = "C",
		.single_recipient = "a@b",
		.wall_ms = 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	message_received(&out, &t);
	assert_string_equal(out.data,
	    "Received: from h (n.example [IPv6:2001:db8::1])\n"
	    "\tby mx.example with ESMTPS id ID\n\t(TLSv1.3 C)\n"
	    "\tfor <a@b>; Thu, 01 Jan 1970 00:00:00 +0000\n");
	buf_release(&out);
}

static void
test_verb_split(void **state)
{
	struct slice name, args;

	(void)state;
	verb_split(slice_str("MAIL  FROM:<a> "), &name, &args);
	assert_true(slice_eq_str(name, "MAIL"));
	assert_true(slice_eq_str(args, "FROM:<a>"));
	verb_split(slice_str("QUIT"), &name, &args);
	assert_true(slice_eq_str(name, "QUIT"));
	assert_int_equal(args.len, 0);
	verb_split(slice_str(""), &name, &args);
	assert_int_equal(name.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_no_separator),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_results_claim),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_verb_split),
	};

	return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
