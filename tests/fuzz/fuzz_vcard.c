/* vCard: any bytes give contacts; what is written is read again the same. */
#include <assert.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "webmail-cgi/vcard.h"

enum {
	OUT_MAX = 16 * 1024 * 1024
};

static void
check_again(const struct contact *c)
{
	struct pool pool = { 0 };
	struct contact again;
	struct buf one, two;
	unsigned line;

	buf_init(&one, OUT_MAX);
	buf_init(&two, OUT_MAX);
	vcard_write(c, &one);
	struct content_scan scan = { buf_slice(&one), 1 };

	if (vcard_next(&scan, &pool, &again, &line) == VCARD_CONTACT) {
		vcard_write(&again, &two);
		assert(vcard_next(&scan, &pool, &again, &line) == VCARD_END);
	}
	buf_release(&one);
	buf_release(&two);
	pool_release(&pool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct content_scan scan = { slice_of((const char *)data, size), 1 };
	struct pool pool = { 0 };
	enum vcard_result result;
	struct contact c;
	unsigned line;

	while ((result = vcard_next(&scan, &pool, &c, &line)) != VCARD_END) {
		if (result == VCARD_CONTACT)
			check_again(&c);
	}
	pool_release(&pool);
	return 0;
}
