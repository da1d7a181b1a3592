/* Calendar files: any text gives one object that can be shown, or none. */
#include <assert.h>

#include "parse/invite.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	json_t *invite;

	if (!utf8_is_valid(text))
		return 0;
	invite = invite_read(text);
	if (invite != NULL) {
		assert(json_is_string(json_object_get(invite, "summary")));
		assert(
		    json_array_size(json_object_get(invite, "people")) <= 50);
		/* what 50 people and a few texts of 500 bytes can be */
		assert(json_dumpb(invite, NULL, 0, JSON_COMPACT) <= 512 * 1024);
	}
	json_decref(invite);
	return 0;
}
