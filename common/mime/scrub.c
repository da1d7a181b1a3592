/*
 * File names from strangers; see mime.h.  Pure.
 */
#include <string.h>

#include "base/compiler.h"
#include "mime/mime.h"

enum {
	NAME_MAX_BYTES = 200,
	EXTENSION_MAX = 20
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

/* Controls, what file systems mind, and what turns the text's direction. */
static bool
is_unwanted(struct slice c)
{
	static const char *const turning[] = { "\xe2\x80\xaa", "\xe2\x80\xab",
		"\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6",
		"\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9", "\xe2\x80\x8e",
		"\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9" };
	unsigned char first = (unsigned char)c.data[0];

	if (c.len == 1)
		return first < ' ' || first == 127 ||
		    strchr("\"*:<>?|%;`", first) != NULL;
	if (c.len == 2 && first == 0xc2 && (unsigned char)c.data[1] < 0xa0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(turning); i++) {
		if (slice_eq_str(c, turning[i]))
			return true;
	}
	return false;
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

	buf_init(&clean, 64 * 1024);
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
