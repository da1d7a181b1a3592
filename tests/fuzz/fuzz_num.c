/* Numbers, sizes, durations: never above the ceiling, never by overflow. */
#include <assert.h>
#include <stdio.h>

#include "base/num.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum {
		MAX = 1000000
	};
	struct slice s = slice_of((const char *)data, size);
	uint64_t value;
	int64_t number;
	char text[32];

	if (num_parse(s, UINT64_MAX, &value)) {
		assert(ascii_is_digit((unsigned char)s.data[0]));
		assert(num_parse_size(s, UINT64_MAX, &value));
	}
	if (num_parse_signed(s, INT64_MIN, INT64_MAX, &number)) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)number);
		assert(
		    num_parse_signed(slice_str(text), number, number, &number));
	}
	if (num_parse(s, MAX, &value))
		assert(value <= MAX);
	if (num_parse_size(s, MAX, &value))
		assert(value <= MAX);
	if (num_parse_duration(s, MAX, &value))
		assert(value <= MAX);
	return 0;
}
