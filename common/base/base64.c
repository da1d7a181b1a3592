/*
 * Base64 and hexadecimal, RFC 4648.
 *
 * Decoding is strict because what is decoded here are credentials and tokens:
 * each value has exactly one text.  Bytes go straight into the caller's
 * buffer, so no copy of a password stays behind on the stack.  MIME bodies are
 * not decoded here (mailstead-parse does).
 *
 * Pure functions; any thread.
 */
#include "base/base64.h"

#include <stdint.h>

static const char base64_std[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(const char *alphabet, bool pad, const uint8_t *in, size_t len,
    struct buf *out)
{
	char *at;
	size_t n = 0;

	if (len == 0)
		return;
	at = buf_reserve(out, (len + 2) / 3 * 4);
	if (at == NULL)
		return;
	for (; len >= 3; len -= 3, in += 3) {
		at[n++] = alphabet[in[0] >> 2];
		at[n++] = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		at[n++] = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
		at[n++] = alphabet[in[2] & 63];
	}
	if (len > 0) {
		uint8_t second = len > 1 ? in[1] : 0;

		at[n++] = alphabet[in[0] >> 2];
		at[n++] = alphabet[(in[0] & 3) << 4 | second >> 4];
		if (len > 1)
			at[n++] = alphabet[(second & 15) << 2];
		for (; pad && n % 4 != 0; n++)
			at[n] = '=';
	}
	buf_commit(out, n);
}

static int
digit_value(char c, char c62, char c63)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == c62)
		return 62;
	return c == c63 ? 63 : -1;
}

/* Without padding; a last group has 2 or 3 digits and no stray bits. */
static bool
decode(struct slice s, char c62, char c63, struct buf *out)
{
	uint32_t bits = 0;
	unsigned nbits = 0;
	size_t n = 0;
	char *at;

	if (s.len % 4 == 1)
		return false;
	if (s.len == 0)
		return true;
	at = buf_reserve(out, s.len / 4 * 3 + 2);
	if (at == NULL)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int value = digit_value(s.data[i], c62, c63);

		if (value < 0)
			goto malformed;
		bits = bits << 6 | (uint32_t)value;
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			at[n++] = (char)(bits >> nbits & 0xff);
		}
	}
	if ((bits & ((1U << nbits) - 1)) != 0)
		goto malformed;
	buf_commit(out, n);
	return true;

malformed:
	buf_commit(out, 0);
	return false;
}

void
base64_encode(const void *data, size_t len, struct buf *out)
{
	encode(base64_std, true, data, len, out);
}

bool
base64_decode(struct slice s, struct buf *out)
{
	if (s.len % 4 != 0)
		return false;
	for (int pad = 0; pad < 2 && s.len > 0; pad++) {
		if (s.data[s.len - 1] == '=')
			s.len--;
	}
	return decode(s, '+', '/', out);
}

void
base64url_encode(const void *data, size_t len, struct buf *out)
{
	encode(base64_url, false, data, len, out);
}

bool
base64url_decode(struct slice s, struct buf *out)
{
	return decode(s, '-', '_', out);
}

void
hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}
