/* Slices, ASCII, UTF-8, numbers, encodings, checksums, errors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/num.h"
#include "base/slice.h"

static void
test_slice_compare(void **state)
{
	struct slice none = { 0 };
	struct slice s = SLICE_LIT("Mail From");

	(void)state;
	assert_true(slice_eq(none, SLICE_LIT("")));
	assert_true(slice_eq(slice_str(NULL), none));
	assert_true(slice_ieq(s, SLICE_LIT("MAIL from")));
	assert_false(slice_eq(s, SLICE_LIT("MAIL from")));
	assert_false(slice_eq_str(s, "Mail Fro"));
	assert_true(slice_ieq_str(s, "mail from"));
	assert_false(slice_ieq_str(s, "mail fron"));
	assert_true(slice_starts(s, "Mail"));
	assert_true(slice_starts(s, ""));
	assert_true(slice_starts(none, ""));
	assert_false(slice_starts(none, "x"));
	assert_true(slice_istarts(s, "MAIL FROM"));
	assert_false(slice_istarts(s, "MAIL FROM:"));
	assert_true(slice_ends(s, "From"));
	assert_true(slice_ends(none, ""));
	assert_true(slice_iends(s, "FROM"));
	assert_false(slice_iends(s, "xMail From"));
	assert_true(slice_icontains(s, SLICE_LIT("L f")));
	assert_true(slice_icontains(s, SLICE_LIT("from")));
	assert_true(slice_icontains(none, none));
	assert_false(slice_icontains(s, SLICE_LIT("fromm")));
}

static void
test_slice_cut(void **state)
{
	struct slice rest = SLICE_LIT("a,,b,"), item;
	const char *expected[] = { "a", "", "b", "" };
	size_t n = 0;

	(void)state;
	while (rest.data != NULL) {
		rest = slice_cut(rest, ',', &item);
		assert_true(n < 4 && slice_eq_str(item, expected[n]));
		n++;
	}
	assert_int_equal(n, 4);
	assert_true(slice_eq_str(slice_trim(SLICE_LIT(" \t a b\r\n")), "a b"));
	assert_int_equal(slice_trim(SLICE_LIT(" \r\n")).len, 0);
	assert_true(slice_eq_str(slice_skip(SLICE_LIT("abc"), 1), "bc"));
	assert_int_equal(slice_skip(SLICE_LIT("abc"), 9).len, 0);
	assert_int_equal(slice_skip((struct slice){ 0 }, 9).len, 0);
	assert_int_equal(slice_chr(SLICE_LIT("a.b.c"), '.'), 1);
	assert_int_equal(slice_rchr(SLICE_LIT("a.b.c"), '.'), 3);
	assert_int_equal(slice_chr(SLICE_LIT("abc"), '.'), -1);
	assert_int_equal(slice_rchr((struct slice){ 0 }, '.'), -1);
}

static void
test_slice_copy(void **state)
{
	char out[4] = "zzz";

	(void)state;
	assert_true(slice_copy(SLICE_LIT("abc"), out, sizeof(out)));
	assert_string_equal(out, "abc");
	assert_false(slice_copy(SLICE_LIT("abcd"), out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(slice_copy(SLICE_LIT("a\0b"), out, sizeof(out)));
	assert_string_equal(out, "");
	assert_true(slice_copy((struct slice){ 0 }, out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(slice_copy(SLICE_LIT(""), out, 0));
}

static void
test_ascii(void **state)
{
	char s[] = "AbZ\xc4[`{@";

	(void)state;
	ascii_lower_str(s);
	assert_string_equal(s, "abz\xc4[`{@");
	assert_int_equal(ascii_casecmp("HELO", "helo"), 0);
	assert_true(ascii_casecmp("a", "B") < 0);
	assert_true(ascii_casecmp("ab", "A") > 0);
	assert_true(ascii_casecmp("", "a") < 0);
	for (int c = -128; c < 256; c++) {
		bool upper = c >= 65 && c <= 90, lower = c >= 97 && c <= 122;
		bool digit = c >= 48 && c <= 57;

		assert_int_equal(ascii_is_alpha(c), upper || lower);
		assert_int_equal(ascii_is_digit(c), digit);
		assert_int_equal(ascii_is_alnum(c), upper || lower || digit);
		assert_int_equal(ascii_lower(c), upper ? c + 32 : c);
	}
}

static void
test_utf8(void **state)
{
	static const char *const good[] = { "", "plain", "\xc2\x80", "\xdf\xbf",
		"\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
		"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
		"12345678\xc3\xa4.12345678.234567\xe2\x82\xac" };
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80",
		"\xc1\xbf", "\xc2", "\xc2.", "\xe0\x9f\xbf", "\xe2\x82",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
		"1234567\xe2\x82", "12345678\xf0\x90\x80", "a\xe2\x28\xa1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(utf8_is_valid(slice_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(utf8_is_valid(slice_str(bad[i])));
	assert_true(utf8_is_valid(SLICE_LIT("a\0b")));
}

static void
test_num_parse(void **state)
{
	uint64_t u = 7;
	int64_t i = 7;

	(void)state;
	assert_true(num_parse(SLICE_LIT("0"), 0, &u));
	assert_int_equal(u, 0);
	assert_true(
	    num_parse(SLICE_LIT("18446744073709551615"), UINT64_MAX, &u));
	assert_true(u == UINT64_MAX);
	assert_true(num_parse(SLICE_LIT("00099"), 99, &u));
	u = 7;
	assert_false(
	    num_parse(SLICE_LIT("18446744073709551616"), UINT64_MAX, &u));
	assert_false(num_parse(SLICE_LIT("100"), 99, &u));
	assert_false(num_parse(SLICE_LIT(""), 99, &u));
	assert_false(num_parse(SLICE_LIT(" 1"), 99, &u));
	assert_false(num_parse(SLICE_LIT("1 "), 99, &u));
	assert_false(num_parse(SLICE_LIT("+1"), 99, &u));
	assert_false(num_parse(SLICE_LIT("-1"), 99, &u));
	assert_false(num_parse(SLICE_LIT("0x1"), 99, &u));
	assert_int_equal(u, 7);

	assert_true(num_parse_signed(
	    SLICE_LIT("-9223372036854775808"), INT64_MIN, INT64_MAX, &i));
	assert_true(i == INT64_MIN);
	assert_true(num_parse_signed(
	    SLICE_LIT("9223372036854775807"), INT64_MIN, INT64_MAX, &i));
	assert_true(i == INT64_MAX);
	assert_true(num_parse_signed(SLICE_LIT("-0"), 0, 0, &i));
	assert_int_equal(i, 0);
	assert_false(num_parse_signed(
	    SLICE_LIT("9223372036854775808"), INT64_MIN, INT64_MAX, &i));
	assert_false(num_parse_signed(
	    SLICE_LIT("-9223372036854775809"), INT64_MIN, INT64_MAX, &i));
	assert_false(num_parse_signed(SLICE_LIT("-6"), -5, 5, &i));
	assert_false(num_parse_signed(SLICE_LIT("-"), -5, 5, &i));
	assert_false(num_parse_signed(SLICE_LIT("--1"), -5, 5, &i));
	assert_int_equal(i, 0);
}

static void
test_num_units(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
		bool is_round;
	} sizes[] = {
		{ 0, "0 B", true },
		{ 1023, "1023 B", true },
		{ 1024, "1 kB", true },
		{ 1536, "1.5 kB", false },
		{ UINT64_C(50) << 20, "50 MB", true },
		{ (UINT64_C(1) << 20) - 1, "1.0 MB", false },
		{ UINT64_C(3) << 40, "3 TB", true },
		{ UINT64_MAX, "16777216 TB", false },
	};

	char text[NUM_SIZE_TEXT];
	uint64_t u = 7;

	(void)state;
	assert_true(num_parse_size(SLICE_LIT("50M"), UINT64_MAX, &u));
	assert_int_equal(u, 50U << 20);
	assert_true(num_parse_size(SLICE_LIT("2 GiB"), UINT64_MAX, &u));
	assert_true(u == UINT64_C(2) << 30);
	assert_true(num_parse_size(SLICE_LIT("10 bytes"), UINT64_MAX, &u));
	assert_int_equal(u, 10);
	assert_true(num_parse_size(SLICE_LIT("4k"), 4096, &u));
	assert_int_equal(u, 4096);
	/* what is shown for a round size is read back as that */
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		num_format_size(sizes[i].bytes, text);
		assert_string_equal(text, sizes[i].text);
		assert_int_equal(
		    num_parse_size(slice_str(text), UINT64_MAX, &u) &&
			u == sizes[i].bytes,
		    sizes[i].is_round);
	}
	u = 7;
	assert_false(num_parse_size(SLICE_LIT("4K"), 4095, &u));
	assert_false(num_parse_size(SLICE_LIT("17179869184G"), UINT64_MAX, &u));
	assert_false(num_parse_size(SLICE_LIT("1 "), UINT64_MAX, &u));
	assert_false(num_parse_size(SLICE_LIT("1P"), UINT64_MAX, &u));
	assert_false(num_parse_size(SLICE_LIT("M"), UINT64_MAX, &u));
	assert_false(num_parse_size(SLICE_LIT("1.5M"), UINT64_MAX, &u));
	assert_int_equal(u, 7);

	assert_true(num_parse_duration(SLICE_LIT("90"), 90, &u));
	assert_int_equal(u, 90);
	assert_true(num_parse_duration(SLICE_LIT("1h30m"), UINT64_MAX, &u));
	assert_int_equal(u, 5400);
	assert_true(num_parse_duration(SLICE_LIT("1w2d3s"), UINT64_MAX, &u));
	assert_int_equal(u, 9 * 86400 + 3);
	u = 7;
	assert_false(num_parse_duration(SLICE_LIT("1h30"), UINT64_MAX, &u));
	assert_false(num_parse_duration(SLICE_LIT("h"), UINT64_MAX, &u));
	assert_false(num_parse_duration(SLICE_LIT(""), UINT64_MAX, &u));
	assert_false(num_parse_duration(SLICE_LIT("91"), 90, &u));
	assert_false(num_parse_duration(SLICE_LIT("1h"), 3599, &u));
	assert_false(num_parse_duration(
	    SLICE_LIT("18446744073709551615s1s"), UINT64_MAX, &u));
	assert_false(num_parse_duration(
	    SLICE_LIT("18446744073709551615w"), UINT64_MAX, &u));
	assert_int_equal(u, 7);
}

static void
test_num_fields(void **state)
{
	uint8_t p[8];
	size_t n;

	(void)state;
	num_put_le32(p, 0x01020304);
	assert_memory_equal(p, "\4\3\2\1", 4);
	assert_int_equal(num_get_le32(p), 0x01020304);
	num_put_le64(p, UINT64_C(0xfedcba9876543210));
	assert_memory_equal(p, "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8);
	assert_true(num_get_le64(p) == UINT64_C(0xfedcba9876543210));
	assert_true(num_add_overflows(SIZE_MAX, 1, &n));
	assert_false(num_add_overflows(SIZE_MAX - 1, 1, &n));
	assert_true(num_mul_overflows(SIZE_MAX / 2, 3, &n));
	assert_int_equal(num_min(3, 4), 3);
}

static void
test_base64(void **state)
{
	/* RFC 4648 10 */
	static const char *const plain[] = { "", "f", "fo", "foo", "foob",
		"fooba", "foobar" };
	static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v",
		"Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zm8",
		"Zg===", "=",
		"====", "Z===", "Zh==", "Zm9=", "Zg==Zg==", " Zg==", "Zg==\n",
		"Zm9-", "Zm 9" };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		buf_reset(&b);
		base64_encode(plain[i], strlen(plain[i]), &b);
		assert_string_equal(b.data, coded[i]);
		buf_reset(&b);
		assert_true(base64_decode(slice_str(coded[i]), &b));
		assert_string_equal(b.data, plain[i]);
	}
	buf_reset(&b);
	buf_addstr(&b, "kept");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(base64_decode(slice_str(bad[i]), &b));
		assert_string_equal(b.data, "kept");
	}
	buf_reset(&b);
	base64url_encode("\xff\xef", 2, &b);
	assert_string_equal(b.data, "_-8");
	buf_reset(&b);
	assert_true(base64url_decode(SLICE_LIT("_-8"), &b));
	assert_memory_equal(b.data, "\xff\xef", 2);
	assert_false(base64url_decode(SLICE_LIT("_-8="), &b));
	assert_false(base64url_decode(SLICE_LIT("_-9"), &b));
	assert_false(base64url_decode(SLICE_LIT("/+8"), &b));
	buf_release(&b);
	buf_init(&b, 5);
	assert_true(base64_decode(SLICE_LIT("Zm9v"), &b));
	assert_false(base64_decode(SLICE_LIT("Zm9v"), &b));
	assert_string_equal(b.data, "foo");
	buf_release(&b);
}

static void
test_hex(void **state)
{
	char out[9];

	(void)state;
	hex_encode("\x00\x7f\x80\xff", 4, out);
	assert_string_equal(out, "007f80ff");
	hex_encode("", 0, out);
	assert_string_equal(out, "");
}

static void
test_crc32c(void **state)
{
	uint8_t data[300];

	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data)); /* RFC 3720 B.4 */
	assert_int_equal(crc32c(0, data, 32), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, 32), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(data); i++) {
		uint32_t whole = crc32c(5, data, sizeof(data));
		uint32_t part = crc32c(5, data, i);

		assert_int_equal(crc32c_portable(5, data, i), part);
		assert_int_equal(
		    crc32c(part, data + i, sizeof(data) - i), whole);
	}
}

static void
test_err(void **state)
{
	struct err e = { 0 };
	char long_text[400];

	(void)state;
	assert_int_equal(err_set(&e, ERR_PERM, "no %s\r\n", "x"), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_string_equal(e.text, "no x??");
	assert_int_equal(err_prefix(&e, "in %d", 3), -1);
	assert_string_equal(e.text, "in 3: no x??");
	assert_int_equal(e.kind, ERR_PERM);
	(void)err_set(&e, ERR_TEMP, "again %s", e.text);
	assert_string_equal(e.text, "again in 3: no x??");

	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	(void)err_prefix(&e, "%s", long_text);
	assert_int_equal(strlen(e.text), 128 + 2 + 18);
	(void)err_set(&e, ERR_TEMP, "%s", long_text);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);

	/* what is cut, and what a stranger said: never half a character */
	(void)err_set(&e, ERR_PERM, "\xc3\xa4 \xff\xe2\x82\xac\xe2\x82");
	assert_string_equal(e.text, "\xc3\xa4 ?\xe2\x82\xac??");
	for (size_t i = 0; i + 1 < sizeof(long_text); i += 2)
		memcpy(long_text + i, "\xc3\xa4", 2);
	(void)err_set(&e, ERR_TEMP, "x%.398s", long_text);
	assert_true(utf8_is_valid(slice_str(e.text)));
	(void)err_prefix(&e, "%.398s", long_text);
	assert_true(utf8_is_valid(slice_str(e.text)));

	errno = ENOSPC;
	assert_int_equal(err_errno(&e, "write %.398s", long_text), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_non_null(strstr(e.text, ": No space left on device"));
	assert_int_equal(errno, ENOSPC);
	errno = ETIMEDOUT;
	(void)err_errno(&e, "x");
	assert_int_equal(e.kind, ERR_TIMEOUT);
	errno = ECONNRESET;
	(void)err_errno(&e, "x");
	assert_int_equal(e.kind, ERR_CLOSED);
	errno = ENOENT; /* an unmounted disk must not bounce mail */
	(void)err_errno(&e, "x");
	assert_int_equal(e.kind, ERR_TEMP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice_compare),
		cmocka_unit_test(test_slice_cut),
		cmocka_unit_test(test_slice_copy),
		cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_num_parse),
		cmocka_unit_test(test_num_units),
		cmocka_unit_test(test_num_fields),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_err),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
