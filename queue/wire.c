/*
 * Text for the wire; see wire.h.  Pure.  The invariant: whatever is pushed,
 * the output up to wire_end() has CR only before LF, LF only after CR, and
 * the line "." only as its very last one (threats.md A).
 */
#include "queue/wire.h"

#include <string.h>

/* Bytes of one line, without its end. */
static void
push_text(struct wire *w, struct slice s, struct buf *out)
{
	const char *cr;

	while (s.len > 0) {
		if (w->cr) {
			if (!w->in_line)
				w->in_line = true;
			buf_addc(out, ' ');
			w->cr = false;
		}
		cr = memchr(s.data, '\r', s.len);
		if (cr != s.data) {
			size_t n = cr != NULL ? (size_t)(cr - s.data) : s.len;

			if (!w->in_line && s.data[0] == '.')
				buf_addc(out, '.');
			w->in_line = true;
			buf_add(out, s.data, n);
			s = slice_skip(s, n);
		}
		if (cr != NULL) {
			w->cr = true;
			s = slice_skip(s, 1);
		}
	}
}

void
wire_push(struct wire *w, struct slice piece, struct buf *out)
{
	while (piece.len > 0) {
		const char *lf = memchr(piece.data, '\n', piece.len);
		size_t n = lf != NULL ? (size_t)(lf - piece.data) : piece.len;

		push_text(w, slice_of(piece.data, n), out);
		if (lf == NULL)
			return;
		buf_add(out, "\r\n", 2);
		w->in_line = false;
		w->cr = false;
		piece = slice_skip(piece, n + 1);
	}
}

void
wire_end(struct wire *w, struct buf *out)
{
	if (w->in_line || w->cr)
		buf_add(out, "\r\n", 2);
	buf_add(out, ".\r\n", 3);
	w->in_line = false;
	w->cr = false;
}

void
wire_xtext(const char *s, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c > 0x20 && c != 0x7f && c != '+' && c != '=') {
			buf_addc(out, (char)c);
			continue;
		}
		buf_addc(out, '+');
		buf_addc(out, hex[c >> 4]);
		buf_addc(out, hex[c & 15]);
	}
}
