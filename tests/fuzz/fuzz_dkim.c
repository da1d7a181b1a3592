/*
 * DKIM: relaxed fields and bodies stay as they are when made relaxed again, a
 * body's hash does not depend on how it is cut, key records of anybody.
 */
#include <assert.h>
#include <string.h>

#include "mail/dkim.h"

#include "tests/fuzz/fuzz.h"

static void
check_fields(struct slice all)
{
	struct header_scan scan = { all }, again;
	struct header_field f;
	struct buf once, twice;

	buf_init(&once, all.len + 16);
	buf_init(&twice, all.len + 16);
	while (header_next(&scan, &f)) {
		buf_reset(&once);
		buf_reset(&twice);
		dkim_relaxed_field(&f, &once);
		assert(!buf_overflowed(&once));
		assert(slice_ends(buf_slice(&once), "\r\n"));
		assert(memchr(once.data, '\n', once.len) ==
		    once.data + once.len - 1);
		again.rest = buf_slice(&once);
		assert(header_next(&again, &f));
		dkim_relaxed_field(&f, &twice);
		assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
	}
	buf_release(&once);
	buf_release(&twice);
}

static void
check_body(struct slice all)
{
	uint8_t whole[DKIM_HASH_SIZE], cut[DKIM_HASH_SIZE];
	struct dkim_body b;

	dkim_body_start(&b);
	dkim_body_push(&b, all);
	dkim_body_end(&b, whole);
	dkim_body_start(&b);
	for (size_t i = 0; i < all.len; i++)
		dkim_body_push(&b, slice_of(all.data + i, 1));
	dkim_body_end(&b, cut);
	assert(memcmp(whole, cut, sizeof(whole)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of((const char *)data, size);
	static const uint8_t hash[DKIM_HASH_SIZE];
	struct dkim_message m;
	struct dkim_key key;
	struct buf bytes;
	struct err e;

	check_fields(all);
	check_body(all);
	if (size <= DKIM_HEADER_MAX) {
		dkim_message_init(&m);
		assert(dkim_scan(&m, all) <= size);
		dkim_message_release(&m);
	}
	buf_init(&bytes, 65536);
	if (dkim_record_parse(all, &bytes, &key, &e) == 0)
		(void)dkim_verify(&key, hash, slice_of("signature", 9));
	buf_release(&bytes);
	return 0;
}
