/*
 * Message ids, session ids, tokens: all randomness of the server.
 *
 * Every call asks the kernel.  A generator or a buffer of our own would be
 * faster by a microsecond, and after a fork would hand the same "random"
 * bytes to two workers.
 *
 * Runs in any thread.
 */
#include "base/id.h"

#include <sys/random.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

/* Crockford's: without I, L, O, U. */
static const char id_digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum {
	ID_TIME_LEN = 10,
	ID_RANDOM_BYTES = 10
};

#define ID_TIME_MAX ((INT64_C(1) << 48) - 1)

void
random_bytes(void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		p += n;
		len -= (size_t)n;
	}
}

/* `count` digits of five bits each, the lowest last. */
static void
put_digits(char *out, unsigned count, uint64_t value)
{
	while (count-- > 0) {
		out[count] = id_digits[value & 31];
		value >>= 5;
	}
}

void
id_new_at(int64_t wall_ms, char out[ID_SIZE])
{
	uint8_t random[ID_RANDOM_BYTES];
	uint64_t high = 0, low = 0;

	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > ID_TIME_MAX)
		wall_ms = ID_TIME_MAX;
	random_bytes(random, sizeof(random));
	for (unsigned i = 0; i < 5; i++) {
		high = high << 8 | random[i];
		low = low << 8 | random[i + 5];
	}
	put_digits(out, ID_TIME_LEN, (uint64_t)wall_ms);
	put_digits(out + ID_TIME_LEN, 8, high);
	put_digits(out + ID_TIME_LEN + 8, 8, low);
	out[ID_LEN] = '\0';
}

void
id_new(char out[ID_SIZE])
{
	id_new_at(clock_wall_ms(), out);
}

/* Value of a digit plus one: who lists mailboxes asks for millions. */
/* clang-format off */
static const int8_t digit_values[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5,
	['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15,
	['F'] = 16, ['G'] = 17, ['H'] = 18, ['J'] = 19, ['K'] = 20,
	['M'] = 21, ['N'] = 22, ['P'] = 23, ['Q'] = 24, ['R'] = 25,
	['S'] = 26, ['T'] = 27, ['V'] = 28, ['W'] = 29, ['X'] = 30,
	['Y'] = 31, ['Z'] = 32,
};

/* clang-format on */

/* The value of a digit, -1 if it is none. */
static int
digit_value(char c)
{
	return digit_values[(unsigned char)c] - 1;
}

bool
id_is_valid(struct slice s)
{
	/* ten digits hold 50 bits, the clock has 48 */
	if (s.len != ID_LEN || digit_value(s.data[0]) > 7)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (digit_value(s.data[i]) < 0)
			return false;
	}
	return true;
}

int64_t
id_wall_ms(const char *id)
{
	int64_t value = 0;

	for (size_t i = 0; i < ID_TIME_LEN; i++) {
		int digit = digit_value(id[i]);

		assert(digit >= 0);
		value = value * 32 + digit;
	}
	return value;
}

void
session_id_new(char out[SESSION_ID_SIZE])
{
	uint64_t random;

	random_bytes(&random, sizeof(random));
	put_digits(out, SESSION_ID_SIZE - 1, random);
	out[SESSION_ID_SIZE - 1] = '\0';
}

uint32_t
random_below(uint32_t below)
{
	/* numbers under this would make the small results more likely */
	uint32_t biased, random;

	assert(below > 0);
	biased = -below % below;
	do {
		random_bytes(&random, sizeof(random));
	} while (random < biased);
	return random % below;
}

void
token_new(char *out, size_t size, size_t nbytes)
{
	uint8_t random[96];
	struct buf text;

	assert(nbytes > 0 && nbytes <= sizeof(random));
	assert(size > (nbytes * 4 + 2) / 3);
	random_bytes(random, nbytes);
	buf_init(&text, 4 * sizeof(random));
	base64url_encode(random, nbytes, &text);
	memcpy(out, text.data, text.len + 1);
	mem_wipe(text.data, text.len);
	buf_release(&text);
	mem_wipe(random, sizeof(random));
}
