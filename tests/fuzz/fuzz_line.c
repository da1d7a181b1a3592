/*
 * The line reader: the first byte is the longest line allowed, the second how
 * much is sent at a time.  The lines are compared with a plain search.
 */
#include <sys/socket.h>

#include <assert.h>
#include <unistd.h>

#include "base/num.h"
#include "net/stream.h"

#include "tests/fuzz/fuzz.h"

enum {
	INPUT_MAX = 60000
};

/* What the next line must be; the rest behind it. */
static struct slice
next_line(struct slice rest, struct slice *line_out)
{
	rest = slice_cut(rest, '\n', line_out);
	if (line_out->len > 0 && line_out->data[line_out->len - 1] == '\r')
		line_out->len--;
	return rest;
}

static size_t
count_lines(struct slice s)
{
	size_t count = 0;

	for (size_t i = 0; i < s.len; i++)
		count += s.data[i] == '\n';
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input, left, line, want;
	struct err e = { 0 };
	struct stream s;
	size_t max, part, lines_sent = 0, lines_read = 0;
	int fds[2];

	if (size < 2 || size > INPUT_MAX)
		return 0;
	max = data[0];
	part = 1 + data[1] * 16U;
	input = left = slice_of((const char *)data + 2, size - 2);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return 0;
	stream_init(&s, fds[0]);
	stream_set_timeout(&s, 10000);
	while (slice_chr(input, '\n') >= 0) {
		int rc;

		/* never so little that the reader waits for ever */
		while (lines_sent <= lines_read) {
			size_t n = num_min(left.len, part);

			assert(send(fds[1], left.data, n, MSG_NOSIGNAL) ==
			    (ssize_t)n);
			lines_sent += count_lines(slice_of(left.data, n));
			left = slice_skip(left, n);
		}
		rc = stream_read_line(&s, max, &line, NULL, &e);
		lines_read++;
		input = next_line(input, &want);
		assert((rc == 0) == (want.len <= max));
		assert(rc == 0 ? slice_eq(line, want) : e.kind == ERR_SYNTAX);
	}
	(void)close(fds[1]);
	while (stream_read_line(&s, max, &line, NULL, &e) != 0 &&
	    e.kind == ERR_SYNTAX)
		;
	assert(e.kind == ERR_CLOSED);
	stream_release(&s);
	return 0;
}
