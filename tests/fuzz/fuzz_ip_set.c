/* Sets of addresses: each contains where it begins; formatting is undone. */
#include <assert.h>

#include "base/ip.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of((const char *)data, size);
	char text[IP_TEXT_SIZE];
	struct ip_set set;
	struct ip again;
	struct err e = { 0 };

	if (ip_set_parse(s, &set, &e) != 0) {
		assert(e.kind == ERR_SYNTAX && e.text[0] != '\0');
		return 0;
	}
	assert(ip_set_has(&set, &set.low));
	ip_format(&set.low, text);
	assert(ip_parse(slice_str(text), &again) && ip_eq(&set.low, &again));
	return 0;
}
