/* Address books as CSV: any bytes give contacts, written within bounds. */
#include "tests/fuzz/fuzz.h"
#include "webmail-cgi/vcard.h"

enum {
	OUT_MAX = 16 * 1024 * 1024
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool pool = { 0 };
	struct csv_scan scan;
	struct contact c;
	struct buf out;
	unsigned line;

	buf_init(&out, OUT_MAX);
	(void)csv_begin(&scan, &pool, slice_of((const char *)data, size));
	while (csv_next(&scan, &pool, &c, &line) != 0) {
		buf_reset(&out);
		csv_write(&c, &out);
	}
	buf_release(&out);
	pool_release(&pool);
	return 0;
}
