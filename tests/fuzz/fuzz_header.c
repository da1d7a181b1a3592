/*
 * Header fields: nothing is lost between fields and body; what is decoded is
 * clean UTF-8; what is encoded decodes to the same.  Where a message has been
 * (Delivered-To) is found, and nothing else.
 */
#include <assert.h>
#include <string.h>

#include "mail/header.h"
#include "mail/message.h"

#include "queue/trail.h"

#include "tests/fuzz/fuzz.h"

static void
check_value(struct slice value)
{
	struct buf text, coded, again;
	struct slice rest = value, address;

	buf_init(&text, 8 * value.len + 64);
	buf_init(&coded, 16 * value.len + 256);
	buf_init(&again, 16 * value.len + 256);
	header_decode(value, &text);
	assert(!buf_overflowed(&text));
	assert(utf8_is_valid(buf_slice(&text)));
	assert(slice_chr(buf_slice(&text), '\n') < 0);
	header_encode(buf_slice(&text), &coded);
	assert(!buf_overflowed(&coded));
	header_decode(buf_slice(&coded), &again);
	assert(slice_eq(
	    slice_trim(buf_slice(&again)), slice_trim(buf_slice(&text))));
	while (header_next_address(&rest, &address))
		assert(address.len > 0);
	(void)message_results_claim(value, "mail.example.org");
	buf_release(&text);
	buf_release(&coded);
	buf_release(&again);
}

static void
check_trail(struct slice all)
{
	static const char address[] = "a@d.example";
	struct buf text;

	buf_init(&text, all.len + 64);
	if (memmem(all.data, all.len, ":", 1) == NULL)
		assert(!trail_was_at(all, address));
	/* what follows must not go on with it */
	buf_addstr(&text, "delivered-TO: <A@D.example>\r\nX");
	buf_addslice(&text, all);
	assert(trail_was_at(buf_slice(&text), address));
	buf_release(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of((const char *)data, size), body;
	struct header_scan scan = { all };
	struct header_field f;
	size_t seen = 0;
	bool empty;

	while (header_next(&scan, &f)) {
		assert(f.raw.data == all.data + seen);
		seen += f.raw.len;
		check_value(f.value);
	}
	body = header_body(&scan, &empty);
	assert(seen + body.len + (empty ? 2 : 0) >= size);
	check_trail(all);
	return 0;
}
