/* maildirsize as anybody may have left it: a sum that is possible, or damaged. */
#include <assert.h>

#include "maildir/maildir.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct maildir_usage u;

	if (maildir_usage_parse(slice_of((const char *)data, size), &u)) {
		assert(size > 0 && data[size - 1] == '\n');
		assert(u.bytes <= INT64_MAX && u.messages <= INT64_MAX);
		assert(u.messages > 0 || u.bytes == 0);
	}
	return 0;
}
