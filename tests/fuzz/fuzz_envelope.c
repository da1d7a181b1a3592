/* Envelopes: what decodes encodes to the same bytes, and nothing overruns. */
#include <assert.h>
#include <string.h>

#include "queue/envelope.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool pool = { 0 };
	struct envelope v;
	struct buf again;
	struct err e;

	if (envelope_decode(
		slice_of((const char *)data, size), &pool, &v, &e) == 0) {
		buf_init(&again, ENVELOPE_MAX);
		if (envelope_encode(&v, &again, &e) == 0 && again.len == size)
			assert(memcmp(again.data, data, size) == 0);
		buf_release(&again);
		envelope_release(&v);
	}
	pool_release(&pool);
	return 0;
}
