/*
 * File names from strangers; see mime.h.  Pure.
 */
#include <string.h>

#include "mime/mime.h"

enum {
	NAME_MAX_BYTES = 200,
	EXTENSION_MAX = 20,
	CLEAN_MAX = 64 * 1024
};

/* Length of the valid UTF-8 character at the start of s, or 0. */
static size_t
character(struct slice s)
{
	size_t n = 1;

	while (n < 4 && n < s.len && ((unsigned char)s.data[n] & 0xc0) == 0x80)
		n++;
	while (n > 0 && !utf8_is_valid(slice_of(s.data, n)))
		n--;
	return n;
}

/* U+200E, 200F, 2028 to 202E, 2066 to 2069: they turn or break the text. */
static bool
is_turning(const unsigned char *p)
{
	if (p[0] != 0xe2)
		return false;
	if (p[1] == 0x81)
		return p[2] >= 0xa6 && p[2] <= 0xa9;
	return p[1] == 0x80 &&
	    (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae));
}

/* Controls, what file systems mind, and what turns the text's direction. */
static bool
is_unwanted(struct slice c)
{
	const unsigned char *p = (const unsigned char *)c.data;

	if (c.len == 1)
		return p[0] < ' ' || p[0] == 127 ||
		    strchr("\"*:<>?|%;`", p[0]) != NULL;
	if (c.len == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	return c.len == 3 && is_turning(p);
}

/* Shorten to the ceiling, keeping a short extension. */
static void
shorten(struct buf *name)
{
	char extension[EXTENSION_MAX + 1] = "";
	ptrdiff_t dot = slice_rchr(buf_slice(name), '.');
	size_t keep = NAME_MAX_BYTES;

	if (name->len <= NAME_MAX_BYTES)
		return;
	if (dot > 0 && name->len - (size_t)dot <= EXTENSION_MAX) {
		memcpy(extension, name->data + dot, name->len - (size_t)dot);
		keep -= name->len - (size_t)dot;
	}
	while (keep > 0 && ((unsigned char)name->data[keep] & 0xc0) == 0x80)
		keep--;
	buf_truncate(name, keep);
	buf_addstr(name, extension);
}

void
mime_scrub_name(struct slice name, struct buf *out)
{
	struct buf clean;

	buf_init(&clean, CLEAN_MAX);
	while (name.len > 0 && !buf_overflowed(&clean)) {
		size_t n = character(name);
		struct slice c = slice_of(name.data, n > 0 ? n : 1);

		if (c.data[0] == '/' || c.data[0] == '\\')
			buf_reset(&clean);
		else if (n == 0)
			buf_addc(&clean, '_');
		else if (!is_unwanted(c) &&
		    !(clean.len == 0 && (c.data[0] == '.' || c.data[0] == ' ')))
			buf_addslice(&clean, c);
		name = slice_skip(name, c.len);
	}
	while (clean.len > 0 &&
	    (clean.data[clean.len - 1] == ' ' ||
		clean.data[clean.len - 1] == '.'))
		buf_truncate(&clean, clean.len - 1);
	shorten(&clean);
	buf_addstr(out, clean.len > 0 ? clean.data : "file");
	buf_release(&clean);
}
