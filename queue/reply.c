/*
 * The SMTP reply parser; see reply.h.  Pure and re-entrant.  It never looks
 * beyond the line it was given and keeps nothing of an earlier reply: stale
 * bytes in exactly this parser were other servers' bugs (threats.md F12).
 */
#include "queue/reply.h"

#include <string.h>

void
reply_reset(struct reply *r)
{
	r->code = 0;
	r->status[0] = '\0';
	r->text[0] = '\0';
	r->len = 0;
	r->lines = 0;
}

/* The code of a line, or 0 if it is not a reply line. */
static int
line_code(struct slice line)
{
	const char *p = line.data;

	if (line.len < 3 || p[0] < '2' || p[0] > '5' || p[1] < '0' ||
	    p[1] > '5' || !ascii_is_digit(p[2]))
		return 0;
	if (line.len > 3 && p[3] != ' ' && p[3] != '-')
		return 0;
	return (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
}

struct slice
reply_line_text(struct slice line)
{
	return slice_skip(line, 4);
}

/* One to three digits; how many, or 0. */
static size_t
digits(struct slice s)
{
	size_t n = 0;

	while (n < s.len && n < 4 && ascii_is_digit(s.data[n]))
		n++;
	return n <= 3 ? n : 0;
}

/* RFC 3463: the status at the start of `s`, of the code's class; its length. */
static size_t
enhanced(int code, struct slice s, char out[12])
{
	size_t subject, detail, len;

	if (s.len < 5 || s.data[0] != '0' + code / 100 || s.data[1] != '.')
		return 0;
	subject = digits(slice_skip(s, 2));
	if (subject == 0 || s.len <= 2 + subject || s.data[2 + subject] != '.')
		return 0;
	detail = digits(slice_skip(s, 3 + subject));
	len = 3 + subject + detail;
	if (detail == 0 || (len < s.len && s.data[len] != ' '))
		return 0;
	memcpy(out, s.data, len);
	out[len] = '\0';
	return len;
}

static void
add_text(struct reply *r, struct slice s)
{
	size_t i;

	s = slice_trim(s);
	if (s.len == 0)
		return;
	if (r->len > 0 && r->len < sizeof(r->text) - 1)
		r->text[r->len++] = ' ';
	for (i = 0; i < s.len && r->len < sizeof(r->text) - 1; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c < 0x20)
			c = ' ';
		else if (c > 0x7e)
			c = '?';
		r->text[r->len++] = (char)c;
	}
	r->text[r->len] = '\0';
}

enum reply_event
reply_push(struct reply *r, struct slice line)
{
	int code = line_code(line);
	struct slice text;
	size_t len;

	if (code == 0 || (r->code != 0 && code != r->code) ||
	    ++r->lines > REPLY_LINES_MAX)
		return REPLY_BAD;
	r->code = code;
	text = reply_line_text(line);
	len = enhanced(code, text, r->status);
	add_text(r, slice_skip(text, len));
	return line.len > 3 && line.data[3] == '-' ? REPLY_MORE : REPLY_DONE;
}
