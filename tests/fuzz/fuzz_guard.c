/* The pre-parse guard: any bytes, cut anywhere, give one verdict. */
#include "fuzz.h"
#include "parse/guard.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guard whole, parts;
	size_t cut = size > 0 ? data[0] % (size + 1) : 0;

	guard_init(&whole);
	guard_init(&parts);
	bool a = guard_feed(&whole, (const char *)data, size);
	bool b = guard_feed(&parts, (const char *)data, cut) &&
	    guard_feed(&parts, (const char *)data + cut, size - cut);

	if (a != b)
		__builtin_trap();
	return 0;
}
