/* Dates: what is understood, is written and understood again as the same. */
#include <assert.h>

#include "base/clock.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of((const char *)data, size);
	char text[CLOCK_RFC5322_SIZE];
	int64_t ms, again;

	if (clock_parse_rfc5322(s, &ms)) {
		clock_rfc5322(ms, text);
		assert(clock_parse_rfc5322(slice_str(text), &again));
		assert(again == ms);
	}
	if (clock_parse_rfc3339(s, &ms)) {
		clock_rfc3339(ms, text);
		assert(clock_parse_rfc3339(slice_str(text), &again));
		assert(again == ms);
	}
	return 0;
}
