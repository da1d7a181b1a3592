/*
 * The dot reader: the same bytes cut differently give the same result, and
 * only CRLF "." CRLF ends the data.
 */
#include <assert.h>
#include <string.h>

#include "base/buf.h"

#include "mtad/dot.h"
#include "tests/fuzz/fuzz.h"

static size_t
feed(struct dot_reader *r, struct slice in, size_t step, struct buf *out)
{
	size_t used = 0;

	*r = (struct dot_reader){ .max_line = 100 };
	while (used < in.len && r->state != DOT_END) {
		struct slice part = slice_skip(in, used);
		struct dot_piece piece;

		part.len = part.len < step ? part.len : step;
		used += dot_next(r, part, &piece);
		buf_addslice(out, piece.text);
		if (piece.newline)
			buf_addc(out, '\n');
	}
	return used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct dot_reader whole, cut;
	struct buf a, b;
	size_t used, again, step = size > 0 ? 1 + data[0] % 7 : 1;

	buf_init(&a, 2 * size + 16);
	buf_init(&b, 2 * size + 16);
	used = feed(&whole, in, size + 1, &a);
	again = feed(&cut, in, step, &b);
	assert(again == used);
	assert(whole.state == cut.state && whole.faults == cut.faults);
	assert(whole.size == cut.size);
	assert(slice_eq(buf_slice(&a), buf_slice(&b)));
	if (whole.state == DOT_END) {
		assert(used >= 3);
		assert(memcmp(data + used - 3, ".\r\n", 3) == 0);
		assert(
		    used == 3 || memcmp(data + used - 5, "\r\n.\r\n", 5) == 0);
	}
	buf_release(&a);
	buf_release(&b);
	return 0;
}
