/*
 * The dot reader: a state machine over line starts, fast inside lines.
 *
 * The states hold back what cannot be judged yet (a CR, a dot, a dot and a
 * CR), so a piece may end anywhere.  Inside a line memchr() finds the next
 * CR or LF; what a CR means is known when the next byte is.
 *
 * Pure; one reader a message, used by its thread.
 */
#include "mtad/dot.h"

#include <assert.h>
#include <string.h>

/* Eight bytes at a time: this reads every byte of every message. */
static bool
has_8bit(struct slice s)
{
	uint64_t all = 0, word;
	size_t i = 0;

	for (; i + sizeof(word) <= s.len; i += sizeof(word)) {
		memcpy(&word, s.data + i, sizeof(word));
		all |= word;
	}
	for (; i < s.len; i++)
		all |= (unsigned char)s.data[i];
	return (all & 0x8080808080808080U) != 0;
}

static void
note_text(struct dot_reader *r, struct slice s)
{
	r->size += s.len;
	r->line_len += s.len;
	if (r->line_len > r->max_line)
		r->faults |= DOT_LONG_LINE;
	if (s.len > 0 && memchr(s.data, '\0', s.len) != NULL)
		r->faults |= DOT_NUL;
	if (!r->saw_8bit)
		r->saw_8bit = has_8bit(s);
}

/* End the line; `state` says what the next one is. */
static void
end_line(struct dot_reader *r, struct dot_piece *out, enum dot_state state)
{
	out->newline = true;
	r->size += 2;
	r->line_len = 0;
	r->state = state;
}

/* A CR or LF alone: a line end in what is stored, never one in the protocol. */
static void
end_bare(struct dot_reader *r, struct dot_piece *out)
{
	r->faults |= DOT_BARE;
	end_line(r, out, DOT_MIDDLE);
}

/* Text up to the next CR, LF or end of input. */
static size_t
take_text(struct dot_reader *r, struct slice in, struct dot_piece *out)
{
	const char *lf = memchr(in.data, '\n', in.len);
	size_t len = lf == NULL ? in.len : (size_t)(lf - in.data);
	const char *cr = len > 0 ? memchr(in.data, '\r', len) : NULL;
	size_t taken;

	if (cr == NULL) {
		out->text = slice_of(in.data, len);
		note_text(r, out->text);
		r->state = DOT_MIDDLE;
		if (lf == NULL)
			return len;
		end_bare(r, out);
		return len + 1;
	}
	len = (size_t)(cr - in.data);
	out->text = slice_of(in.data, len);
	note_text(r, out->text);
	taken = len + 1;
	if (cr + 1 == lf) {
		end_line(r, out, DOT_START);
		return taken + 1;
	}
	r->state = DOT_CR;
	return taken;
}

size_t
dot_next(struct dot_reader *r, struct slice in, struct dot_piece *out)
{
	*out = (struct dot_piece){ 0 };
	assert(in.len > 0 && r->state != DOT_END);
	switch (r->state) {
	case DOT_START:
		if (in.data[0] != '.')
			return take_text(r, in, out);
		r->state = DOT_DOT;
		return 1;
	case DOT_CR:
		if (in.data[0] == '\n') {
			end_line(r, out, DOT_START);
			return 1;
		}
		end_bare(r, out);
		return 0;
	case DOT_DOT:
		if (in.data[0] == '\r') {
			r->state = DOT_DOT_CR;
			return 1;
		}
		/* the dot was stuffing: it is gone, also before a bare LF */
		return take_text(r, in, out);
	case DOT_DOT_CR:
		if (in.data[0] == '\n') {
			r->state = DOT_END;
			return 1;
		}
		r->state = DOT_CR;
		return 0;
	case DOT_MIDDLE:
	case DOT_END:
		break;
	}
	return take_text(r, in, out);
}
