/*
 * format=flowed; see flowed.h.  Pure, one pass.
 */
#include "parse/flowed.h"

static size_t
count_quotes(struct slice line)
{
	size_t n = 0;

	while (n < line.len && line.data[n] == '>')
		n++;
	return n;
}

static void
begin_line(struct buf *out, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		buf_addstr(out, "> ");
}

void
flowed_unfold(struct slice text, bool delsp, struct buf *out)
{
	struct slice rest = text, line;
	bool soft = false; /* the line before goes on in this one */
	size_t depth = 0;

	while (rest.len > 0) {
		size_t quotes;
		bool is_signature;

		rest = slice_cut(rest, '\n', &line);
		quotes = count_quotes(line);
		line = slice_skip(line, quotes);
		if (slice_starts(line, " "))
			line = slice_skip(line, 1); /* stuffed */
		is_signature = slice_eq_str(line, "-- ");
		if (soft && (quotes != depth || is_signature)) {
			buf_addc(out, '\n'); /* improper: RFC 3676 4.5 */
			soft = false;
		}
		if (!soft)
			begin_line(out, quotes);
		depth = quotes;
		soft = !is_signature && slice_ends(line, " ");
		if (soft && delsp)
			line.len--;
		buf_addslice(out, line);
		if (!soft)
			buf_addc(out, '\n');
	}
	if (soft)
		buf_addc(out, '\n');
}
