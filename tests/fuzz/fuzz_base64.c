/*
 * Base64: what decodes, encodes to the very same text; what does not, leaves
 * the buffer alone.
 */
#include <assert.h>

#include "base/base64.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of((const char *)data, size);
	struct buf bytes, text;

	buf_init(&bytes, size + 8);
	buf_init(&text, 2 * size + 8);
	buf_addstr(&bytes, "before");
	if (base64_decode(s, &bytes)) {
		base64_encode(bytes.data + 6, bytes.len - 6, &text);
		assert(slice_eq(buf_slice(&text), s));
	} else {
		assert(slice_eq_str(buf_slice(&bytes), "before"));
	}
	buf_reset(&bytes);
	buf_reset(&text);
	if (base64url_decode(s, &bytes)) {
		base64url_encode(bytes.data, bytes.len, &text);
		assert(slice_eq(buf_slice(&text), s));
	}
	buf_release(&text);
	buf_release(&bytes);
	return 0;
}
