/* DKIM's canonical forms and key records, and return paths (SRS). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "mail/dkim.h"
#include "mail/srs.h"

static const char *
body_hash(struct slice text, size_t step)
{
	static char out[64];
	uint8_t hash[DKIM_HASH_SIZE];
	struct dkim_body b;
	struct buf t;

	dkim_body_start(&b);
	for (size_t at = 0; at < text.len; at += step)
		dkim_body_push(&b,
		    slice_of(text.data + at,
			text.len - at < step ? text.len - at : step));
	dkim_body_end(&b, hash);
	buf_init(&t, 64);
	base64_encode(hash, sizeof(hash), &t);
	snprintf(out, sizeof(out), "%s", t.data);
	buf_release(&t);
	return out;
}

static void
assert_same_body(const char *a, const char *b)
{
	char first[64];

	for (size_t step = 1; step < 9; step++) {
		snprintf(
		    first, sizeof(first), "%s", body_hash(slice_str(a), step));
		assert_string_equal(first, body_hash(slice_str(b), 1000));
	}
}

/* RFC 8463 A.3; RFC 6376 3.4.4 and 3.4.5. */
static void
bodies(void **state)
{
	(void)state;
	assert_string_equal(
	    body_hash(slice_str("Hi.\r\n\r\nWe lost the game.  Are you hungry "
				"yet?\r\n\r\nJoe.\r\n"),
		7),
	    "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
	assert_string_equal(body_hash(slice_str(""), 1),
	    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
	assert_same_body(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
	assert_same_body(" C \nD \t E\n\n\n", " C\r\nD E\r\n");
	assert_same_body("\n \n\t\n", "");
	assert_same_body("\n\na", "\r\n\r\na\r\n");
	assert_same_body("a\rb\r\r\n", "a b\r\n");
}

static void
assert_field(const char *text, const char *want)
{
	struct header_scan scan = { slice_str(text) };
	struct header_field f;
	struct buf out;

	buf_init(&out, 1000);
	assert_true(header_next(&scan, &f));
	dkim_relaxed_field(&f, &out);
	assert_string_equal(out.data, want);
	buf_release(&out);
}

static void
fields(void **state)
{
	(void)state;
	assert_field("A: X\r\n", "a:X\r\n");
	assert_field("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
	assert_field("Subject:\n", "subject:\r\n");
	assert_field("Subject: \n \n\n", "subject:\r\n");
	assert_field("X:a\r b\r\n", "x:a b\r\n");
}

static void
selection(void **state)
{
	static const char text[] =
	    "Received: x\nTo: a@b\nFrom: Joe <joe@Example.ORG>\n"
	    "Content-Type: t\nTo: c@d\n\nbody";
	struct dkim_message m;
	struct dkim_signature s = { DKIM_RSA_SHA256, "example.org", "s1", 5 };
	uint8_t hash[DKIM_HASH_SIZE];
	struct buf out;

	(void)state;
	dkim_message_init(&m);
	assert_int_equal(
	    dkim_scan(&m, slice_str(text)), strstr(text, "body") - text);
	assert_string_equal(m.from_domain, "example.org");
	assert_string_equal(
	    m.names.data, "From:From:To:To:To:Subject:Content-Type");
	assert_string_equal(m.fields.data,
	    "from:Joe <joe@Example.ORG>\r\nto:c@d\r\nto:a@b\r\n"
	    "content-type:t\r\n");
	buf_init(&out, 4096);
	dkim_field(&m, &s, &out, hash);
	dkim_field_finish(SLICE_LIT("signature"), &out);
	assert_non_null(strstr(out.data, "d=example.org; s=s1; t=5;\n"));
	assert_true(slice_ends(buf_slice(&out), "\tb=c2lnbmF0dXJl\n"));
	buf_release(&out);
	dkim_message_release(&m);
}

static int
parse(const char *text, struct dkim_key *k, struct buf *bytes)
{
	struct err e;

	return dkim_record_parse(slice_str(text), bytes, k, &e);
}

/* RFC 8463 A.2. */
static void
records(void **state)
{
	static const char ours[] =
	    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
	struct buf bytes, text;
	struct dkim_key k;

	(void)state;
	buf_init(&bytes, 4096);
	buf_init(&text, 4096);
	assert_int_equal(parse(ours, &k, &bytes), 0);
	assert_int_equal(k.algorithm, DKIM_ED25519_SHA256);
	assert_int_equal(k.key.len, 32);
	dkim_record(DKIM_ED25519_SHA256, k.key, &text);
	assert_string_equal(text.data, ours);
	assert_int_equal(parse("p=", &k, &bytes), 0);
	assert_true(k.revoked);
	assert_int_equal(
	    parse(" v = DKIM1 ; t=y:s ; p=AA AA ;", &k, &bytes), 0);
	assert_true(k.testing && !k.revoked && k.key.len == 3);
	assert_int_equal(parse("v=DKIM2; p=AAAA", &k, &bytes), -1);
	assert_int_equal(parse("v=DKIM1; k=rsa", &k, &bytes), -1);
	assert_int_equal(parse("v=DKIM1; h=sha1; p=AAAA", &k, &bytes), -1);
	assert_int_equal(parse("v=DKIM1; k=dsa; p=AAAA", &k, &bytes), -1);
	assert_int_equal(parse("nonsense", &k, &bytes), -1);
	assert_int_equal(parse("v=DKIM1; p=!!", &k, &bytes), -1);
	buf_release(&bytes);
	buf_release(&text);
	assert_true(dkim_selector_is_valid(SLICE_LIT("s2026-rsa")));
	assert_true(dkim_selector_is_valid(SLICE_LIT("a.b")));
	assert_false(dkim_selector_is_valid(SLICE_LIT("a..b")));
	assert_false(dkim_selector_is_valid(SLICE_LIT("A")));
	assert_false(dkim_selector_is_valid(SLICE_LIT("")));
}

#define DAY INT64_C(86400000)

static void
return_paths(void **state)
{
	static const uint8_t key[SRS_KEY_SIZE] = { 1 };
	static const uint8_t other[SRS_KEY_SIZE] = { 2 };
	struct address from = { .local = (char[]){ "Joe.X" },
		.domain = (char[]){ "far.example" } };
	struct pool pool = { 0 };
	struct slice local;
	char *path, *back;
	struct err e;

	(void)state;
	assert_int_equal(srs_forward(key, &from, "example.org", 2000 * DAY,
			     &pool, &path, &e),
	    0);
	(void)slice_cut(slice_str(path), '@', &local);
	assert_int_equal(
	    srs_reverse(key, local, 2021 * DAY, 21, &pool, &back), SRS_GOOD);
	assert_string_equal(back, "Joe.X@far.example");
	assert_int_equal(
	    srs_reverse(key, local, 2022 * DAY, 21, &pool, &back), SRS_EXPIRED);
	assert_int_equal(
	    srs_reverse(key, local, 1999 * DAY, 21, &pool, &back), SRS_GOOD);
	assert_int_equal(
	    srs_reverse(other, local, 2000 * DAY, 21, &pool, &back),
	    SRS_FORGED);
	for (size_t i = 0; i < local.len; i++) {
		char *bad = pool_strndup(&pool, local.data, local.len);

		bad[i] = bad[i] == 'q' ? 'w' : 'q';
		assert_int_equal(srs_reverse(key, slice_str(bad), 2000 * DAY,
				     21, &pool, &back),
		    SRS_FORGED);
	}
	pool_release(&pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies),
		cmocka_unit_test(fields),
		cmocka_unit_test(selection),
		cmocka_unit_test(records),
		cmocka_unit_test(return_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
