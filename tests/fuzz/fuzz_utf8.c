/*
 * UTF-8: the fast checks agree with the definitions, decoded step by step.
 */
#include <assert.h>
#include <stdbool.h>

#include "base/slice.h"

#include "tests/fuzz/fuzz.h"

/* How many bytes follow this first one; 4 if it is none. */
static unsigned
following(uint8_t first)
{
	static const uint8_t masks[] = { 0x80, 0xe0, 0xf0, 0xf8 };
	static const uint8_t heads[] = { 0x00, 0xc0, 0xe0, 0xf0 };
	unsigned n = 0;

	while (n < 4 && (first & masks[n]) != heads[n])
		n++;
	return n;
}

/* What no line has: controls, ends of lines, what turns the text around. */
static bool
is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
	    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* RFC 3629 3, by decoding and looking at the result. */
static bool
is_valid_slowly(const uint8_t *p, size_t size, bool *plain_out)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	*plain_out = true;
	while (size > 0) {
		unsigned more = following(*p);
		uint32_t c;

		if (more == 4 || size <= more)
			return false;
		c = more == 0 ? *p : *p & (0x3fU >> more);
		for (unsigned i = 1; i <= more; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i] & 0x3fU);
		}
		if (c < least[more] || c > 0x10ffff ||
		    (c >= 0xd800 && c <= 0xdfff))
			return false;
		*plain_out &= !is_control(c);
		p += more + 1;
		size -= more + 1;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	bool is_plain, is_valid = is_valid_slowly(data, size, &is_plain);

	assert(utf8_is_valid(text) == is_valid);
	assert(utf8_is_plain(text) == (is_valid && is_plain));
	return 0;
}
