/*
 * Folder names: UTF-8 with '/' between levels, and the directory of the
 * folder in modified UTF-7 (RFC 3501 5.1.3).
 *
 * Printable ASCII stands for itself but for '&', and for '.', which separates
 * levels on disk and is therefore written like a foreign letter ("&AC4-").
 * So every name has exactly one directory, none begins with "..", and none
 * contains a slash.  Decoding refuses what encoding would not write.
 *
 * Pure; any thread.
 */
#include <string.h>

#include "base/slice.h"

#include "maildir/maildir.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* The next character of valid UTF-8; moves on. */
static uint32_t
next_char(const char **p)
{
	const unsigned char *s = (const unsigned char *)*p;
	unsigned more = s[0] < 0x80 ? 0 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
	uint32_t c = more == 0 ? s[0] : s[0] & (0x3fU >> more);

	for (unsigned i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3fU);
	*p += more + 1;
	return c;
}

static bool
is_direct(uint32_t c)
{
	return c >= 0x20 && c < 0x7f && c != '&' && c != '.';
}

/* Base64 being written: bits not yet put out. */
struct shift {
	bool on;
	uint32_t bits;
	unsigned count;
};

struct out {
	char *text;
	size_t len, size;
};

static void
put(struct out *o, char c)
{
	if (o->len < o->size)
		o->text[o->len] = c;
	o->len++;
}

static void
put_unit(struct out *o, struct shift *s, uint32_t unit)
{
	if (!s->on)
		put(o, '&');
	s->on = true;
	s->bits = s->bits << 16 | unit;
	s->count += 16;
	while (s->count >= 6) {
		s->count -= 6;
		put(o, digits[s->bits >> s->count & 63]);
	}
}

static void
end_shift(struct out *o, struct shift *s)
{
	if (!s->on)
		return;
	if (s->count > 0)
		put(o, digits[s->bits << (6 - s->count) & 63]);
	put(o, '-');
	memset(s, 0, sizeof(*s));
}

static void
put_char(struct out *o, struct shift *s, uint32_t c)
{
	if (is_direct(c) || c == '/') {
		end_shift(o, s);
		put(o, c == '/' ? '.' : (char)c);
	} else if (c == '&') {
		end_shift(o, s);
		put(o, '&');
		put(o, '-');
	} else if (c >= 0x10000) {
		put_unit(o, s, 0xd800 + ((c - 0x10000) >> 10));
		put_unit(o, s, 0xdc00 + ((c - 0x10000) & 0x3ff));
	} else {
		put_unit(o, s, c);
	}
}

bool
maildir_folder_encode(struct slice name, char out[MAILDIR_NAME_SIZE])
{
	const char *p = name.data, *end = name.data + name.len;
	struct out o = { .size = MAILDIR_NAME_SIZE };
	struct shift s = { false, 0, 0 };
	bool level_start = true;

	if (name.len == 0 || !utf8_is_valid(name) ||
	    slice_ieq_str(name, "inbox"))
		return false;
	o.text = out;
	put(&o, '.');
	while (p < end) {
		uint32_t c = next_char(&p);

		if (c < 0x20 || c == 0x7f || (c == '/' && level_start))
			return false;
		level_start = c == '/';
		put_char(&o, &s, c);
	}
	end_shift(&o, &s);
	put(&o, '\0');
	return !level_start && o.len <= o.size;
}

static void
put_utf8(struct out *o, uint32_t c)
{
	if (c < 0x80) {
		put(o, (char)c);
	} else if (c < 0x800) {
		put(o, (char)(0xc0 | c >> 6));
		put(o, (char)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		put(o, (char)(0xe0 | c >> 12));
		put(o, (char)(0x80 | (c >> 6 & 63)));
		put(o, (char)(0x80 | (c & 63)));
	} else {
		put(o, (char)(0xf0 | c >> 18));
		put(o, (char)(0x80 | (c >> 12 & 63)));
		put(o, (char)(0x80 | (c >> 6 & 63)));
		put(o, (char)(0x80 | (c & 63)));
	}
}

/* What stands between '&' and '-': UTF-16 in base64. */
static bool
decode_shift(const char *p, size_t len, struct out *o)
{
	uint32_t bits = 0, high = 0;
	unsigned count = 0;

	for (size_t i = 0; i < len; i++) {
		const char *at = strchr(digits, p[i]);
		uint32_t unit;

		if (at == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(at - digits);
		count += 6;
		if (count < 16)
			continue;
		count -= 16;
		unit = bits >> count & 0xffff;
		if (high != 0 && (unit < 0xdc00 || unit > 0xdfff))
			return false;
		if (unit >= 0xd800 && unit < 0xdc00) {
			high = unit;
			continue;
		}
		if (high != 0)
			unit =
			    0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
		high = 0;
		put_utf8(o, unit);
	}
	return high == 0;
}

bool
maildir_folder_decode(const char *dir, char *out, size_t size)
{
	struct out o = { out, 0, size };
	char again[MAILDIR_NAME_SIZE];

	if (dir[0] != '.' || dir[1] == '\0')
		return false;
	for (const char *p = dir + 1; *p != '\0'; p++) {
		size_t len;

		if (*p != '&') {
			put(&o, *p == '.' ? '/' : *p);
			continue;
		}
		len = strcspn(p + 1, "-");
		if (p[1 + len] == '\0')
			return false;
		if (len == 0)
			put(&o, '&');
		else if (!decode_shift(p + 1, len, &o))
			return false;
		p += 1 + len;
	}
	if (o.len + 1 > size)
		return false;
	out[o.len] = '\0';
	/* One name, one directory: what encodes otherwise is not of ours. */
	return strlen(out) == o.len &&
	    maildir_folder_encode(slice_str(out), again) &&
	    strcmp(dir, again) == 0;
}
