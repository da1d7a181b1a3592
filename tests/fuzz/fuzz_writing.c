/*
 * What an answer makes of a stranger's text, subject and addresses: growth is
 * bounded, lines are as long as promised, one prefix is left, people end.
 */
#include <assert.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "webmail-cgi/writing.h"

enum {
	QP_GROWTH = 4, /* "=XX" and a soft break every 75 columns */
	QP_COLUMNS = 76
};

static void
check_text(struct slice text)
{
	struct buf flowed, quoted, encoded;
	size_t column = 0;

	buf_init(&flowed, (text.len + 1) * WRITING_GROWTH);
	buf_init(&quoted, (text.len + 1) * WRITING_GROWTH);
	writing_flow(text, &flowed);
	writing_quote(text, &quoted);
	assert(!buf_overflowed(&flowed) && !buf_overflowed(&quoted));
	buf_init(&encoded, (flowed.len + 1) * QP_GROWTH);
	writing_quoted_printable(buf_slice(&flowed), &encoded);
	assert(!buf_overflowed(&encoded));
	for (size_t i = 0; i < encoded.len; i++) {
		column = encoded.data[i] == '\n' ? 0 : column + 1;
		assert(column <= QP_COLUMNS);
		assert(encoded.data[i] != '\r');
	}
	buf_release(&flowed);
	buf_release(&quoted);
	buf_release(&encoded);
}

static void
check_people(struct slice rest)
{
	struct pool pool = { 0 };
	struct writing_person p;
	struct buf out;
	size_t before = rest.len;

	buf_init(&out, 16 * 1024 * 1024);
	while (writing_next_person(&rest, &pool, &p)) {
		assert(rest.len < before || before == 0);
		before = rest.len;
		buf_reset(&out);
		writing_put_person(p.name, "a@example.org", &out);
		assert(!writing_is_plain(slice_str(p.name)) ||
		    memchr(out.data, '\n', out.len) == NULL);
	}
	buf_release(&out);
	pool_release(&pool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of((const char *)data, size), bare;

	check_text(s);
	check_people(s);
	bare = writing_bare_subject(s);
	assert(writing_bare_subject(bare).len == bare.len);
	(void)writing_mentions(s, "attach|enclose");
	return 0;
}
