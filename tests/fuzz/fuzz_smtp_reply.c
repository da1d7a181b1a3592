/*
 * SMTP replies: whatever a server sends, what is kept of it is short,
 * printable, and of one code.
 */
#include <assert.h>
#include <string.h>

#include "queue/reply.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size), line;
	enum reply_event event = REPLY_MORE;
	struct reply r;
	size_t i;

	reply_reset(&r);
	while (rest.data != NULL && event == REPLY_MORE) {
		rest = slice_cut(rest, '\n', &line);
		event = reply_push(&r, line);
		if (event != REPLY_BAD)
			assert(reply_line_text(line).len <= line.len);
	}
	assert(event != REPLY_DONE || (r.code >= 200 && r.code <= 559));
	assert(r.lines <= REPLY_LINES_MAX + 1);
	assert(r.len == strlen(r.text) && r.len < sizeof(r.text));
	assert(strlen(r.status) < sizeof(r.status));
	for (i = 0; i < r.len; i++)
		assert(r.text[i] >= 0x20 && r.text[i] <= 0x7e);
	return 0;
}
