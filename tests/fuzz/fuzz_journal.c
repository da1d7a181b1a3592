/*
 * The journal's reader over any bytes: it stays inside them and always moves.
 * The checksums are made to fit first, or no input would get past them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/num.h"

#include "queue/spool_format.h"

#include "tests/fuzz/fuzz.h"

enum {
	GENERATION = 7,
	SEED = 11
};

/* Make the record at `at` fit, as far as its sizes allow. */
static void
mend(uint8_t *p, size_t left, uint64_t at)
{
	struct spool_record r;

	num_put_le64(p + 8, GENERATION);
	num_put_le64(p + 16, at);
	memcpy(p + 64, "01ARZ3NDEKTSV4RRFFQ69G5FAV", ID_LEN);
	num_put_le32(p + 4, crc32c(SEED, p + 8, RECORD_HEADER - 8));
	if (!record_header_get(p, SEED, GENERATION, at, &r) ||
	    record_inline_size(&r) > left - RECORD_HEADER)
		return;
	/* Some payloads stay wrong. */
	if (r.payload_crc % 4 != 0)
		num_put_le32(p + 44,
		    crc32c(SEED, p + RECORD_HEADER,
			(size_t)record_inline_size(&r)));
	num_put_le32(p + 4, crc32c(SEED, p + 8, RECORD_HEADER - 8));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	uint64_t at = 0, before;
	struct spool_record r;
	enum record_step step;

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	do {
		before = at;
		if (size - at >= RECORD_HEADER && copy[at] == 'S')
			mend(copy + at, size - (size_t)at, at);
		step = record_next(slice_of((const char *)copy, size), 0, SEED,
		    GENERATION, &at, &r);
		assert(at <= size + SEGMENT_ALIGN);
		if (step == RECORD_OK || step == RECORD_BAD) {
			assert(at >= before + RECORD_HEADER && at <= size);
			assert(record_total(&r) == at - before);
			assert(strlen(r.id) == ID_LEN);
		} else {
			assert(at == before);
		}
	} while (step == RECORD_OK || step == RECORD_BAD);
	free(copy);
	return 0;
}
