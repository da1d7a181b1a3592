/*
 * Return paths: what is forwarded comes back the same; nobody's text is taken
 * for one of ours.
 */
#include <assert.h>
#include <string.h>

#include "mail/srs.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SRS_KEY_SIZE] = { 7 };
	struct slice all = slice_of((const char *)data, size), local;
	const int64_t now = INT64_C(1800000000000);
	struct pool pool = { 0 };
	char *path, *back = NULL;
	struct address from, to;
	struct err e;

	assert(srs_reverse(key, all, now, 21, &pool, &back) != SRS_GOOD);
	if (address_parse(all, ADDRESS_UTF8, &pool, &from, &e) == 0 &&
	    srs_forward(key, &from, "example.org", now, &pool, &path, &e) ==
		0) {
		assert(address_parse(
			   slice_str(path), ADDRESS_UTF8, &pool, &to, &e) == 0);
		local = slice_str(to.local);
		assert(srs_is(local));
		if (slice_starts(local, "SRS0=")) {
			assert(srs_reverse(key, local, now, 21, &pool, &back) ==
			    SRS_GOOD);
			assert(strcmp(back, address_format(&from, &pool)) == 0);
		}
	}
	pool_release(&pool);
	return 0;
}
