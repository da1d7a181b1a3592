/*
 * Charsets; see charset.h.  In the jail nothing can be opened, so glibc's
 * conversion modules are loaded before and kept; names from mail are mapped
 * to exactly those.  charset_prepare() runs in the supervisor, the rest on any
 * thread.
 */
#include "parse/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

#include "base/compiler.h"

static const char replacement[] = "\xef\xbf\xbd";

/* As browsers do (WHATWG Encoding), supersets stand in for their subsets. */
/* clang-format off */
static const struct {
	const char *name, *module;
} charsets[] = {
	{ "iso-8859-1", "WINDOWS-1252" }, { "latin1", "WINDOWS-1252" },
	{ "windows-1252", "WINDOWS-1252" }, { "cp1252", "WINDOWS-1252" },
	{ "iso-8859-2", "ISO-8859-2" }, { "latin2", "ISO-8859-2" },
	{ "iso-8859-3", "ISO-8859-3" }, { "iso-8859-4", "ISO-8859-4" },
	{ "iso-8859-5", "ISO-8859-5" }, { "iso-8859-6", "ISO-8859-6" },
	{ "iso-8859-7", "ISO-8859-7" }, { "iso-8859-8", "ISO-8859-8" },
	{ "iso-8859-8-i", "ISO-8859-8" }, { "iso-8859-9", "WINDOWS-1254" },
	{ "iso-8859-10", "ISO-8859-10" }, { "iso-8859-13", "ISO-8859-13" },
	{ "iso-8859-14", "ISO-8859-14" }, { "iso-8859-15", "ISO-8859-15" },
	{ "iso-8859-16", "ISO-8859-16" }, { "windows-1250", "WINDOWS-1250" },
	{ "windows-1251", "WINDOWS-1251" }, { "cp1251", "WINDOWS-1251" },
	{ "windows-1253", "WINDOWS-1253" }, { "windows-1254", "WINDOWS-1254" },
	{ "windows-1255", "WINDOWS-1255" }, { "windows-1256", "WINDOWS-1256" },
	{ "windows-1257", "WINDOWS-1257" }, { "windows-1258", "WINDOWS-1258" },
	{ "windows-874", "TIS-620" }, { "tis-620", "TIS-620" },
	{ "koi8-r", "KOI8-R" }, { "koi8-u", "KOI8-U" }, { "ibm866", "IBM866" },
	{ "cp866", "IBM866" }, { "macintosh", "MACINTOSH" },
	{ "gb2312", "GB18030" }, { "gbk", "GB18030" },
	{ "gb18030", "GB18030" }, { "x-gbk", "GB18030" },
	{ "big5", "BIG5-HKSCS" }, { "big5-hkscs", "BIG5-HKSCS" },
	{ "shift_jis", "CP932" }, { "shift-jis", "CP932" },
	{ "x-sjis", "CP932" }, { "cp932", "CP932" },
	{ "windows-31j", "CP932" }, { "euc-jp", "EUC-JP" },
	{ "iso-2022-jp", "ISO-2022-JP" }, { "euc-kr", "UHC" },
	{ "ks_c_5601-1987", "UHC" }, { "cp949", "UHC" },
	{ "iso-2022-kr", "ISO-2022-KR" }, { "utf-16", "UTF-16" },
	{ "utf-16le", "UTF-16LE" }, { "utf-16be", "UTF-16BE" },
};

/* clang-format on */

/* GMime asks for these by their own names, in header fields. */
static const char *const for_headers[] = { "ISO-8859-1", "iso-8859-1",
	"ISO-8859-9", "GB2312", "gb2312", "GBK", "gbk", "BIG5", "SHIFT_JIS",
	"EUC-KR", "US-ASCII" };

/* Never closed: that is what keeps the modules loaded. */
static iconv_t kept[ARRAY_LEN(charsets) + ARRAY_LEN(for_headers)];

void
charset_prepare(void)
{
	for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
		kept[i] = iconv_open("UTF-8", charsets[i].module);
	for (size_t i = 0; i < ARRAY_LEN(for_headers); i++)
		kept[ARRAY_LEN(charsets) + i] =
		    iconv_open("UTF-8", for_headers[i]);
}

/* NULL: none we know. */
static const char *
find_module(const char *charset)
{
	for (size_t i = 0; i < ARRAY_LEN(charsets); i++) {
		if (ascii_casecmp(charset, charsets[i].name) == 0)
			return charsets[i].module;
	}
	return NULL;
}

static bool
is_utf8_name(const char *charset)
{
	return ascii_casecmp(charset, "utf-8") == 0 ||
	    ascii_casecmp(charset, "utf8") == 0;
}

/* Valid UTF-8 as it is, each other byte as U+FFFD. */
static void
add_valid(struct slice s, struct buf *out)
{
	while (s.len > 0) {
		size_t n = 1;

		if (utf8_is_valid(s)) {
			buf_addslice(out, s);
			return;
		}
		while (n < 4 && n < s.len && (s.data[n] & 0xc0) == 0x80)
			n++;
		if (utf8_is_valid(slice_of(s.data, n))) {
			buf_add(out, s.data, n);
		} else {
			buf_addstr(out, replacement);
			n = 1;
		}
		s = slice_skip(s, n);
	}
}

/* As above in pieces, so that one bad byte does not make it quadratic. */
static void
add_valid_pieces(struct slice s, struct buf *out)
{
	enum {
		PIECE = 256
	};

	while (s.len > 0) {
		size_t n = s.len < PIECE ? s.len : PIECE;

		while (n > 0 && n < s.len && (s.data[n] & 0xc0) == 0x80 &&
		    n > PIECE - 4)
			n--;
		add_valid(slice_of(s.data, n), out);
		s = slice_skip(s, n);
	}
}

static void
convert(iconv_t cd, struct slice bytes, struct buf *out)
{
	char chunk[4096];
	char *in;
	size_t left = bytes.len;

	memcpy(&in, &bytes.data, sizeof(in)); /* iconv() does not write there */
	while (left > 0 && !buf_overflowed(out)) {
		char *to = chunk;
		size_t room = sizeof(chunk);
		bool bad = iconv(cd, &in, &left, &to, &room) == (size_t)-1 &&
		    errno != E2BIG;

		buf_add(out, chunk, (size_t)(to - chunk));
		if (bad) {
			buf_addstr(out, replacement);
			in++;
			left--;
		}
	}
	if (left == 0) { /* some hold a character back for its accents */
		char *to = chunk;
		size_t room = sizeof(chunk);

		(void)iconv(cd, NULL, NULL, &to, &room);
		buf_add(out, chunk, (size_t)(to - chunk));
	}
}

void
charset_to_utf8(struct slice bytes, const char *charset, struct buf *out)
{
	const char *module = find_module(charset);
	iconv_t cd;

	if (slice_starts(bytes, "\xef\xbb\xbf")) {
		bytes = slice_skip(bytes, 3);
		charset = "utf-8";
	}
	if (module == NULL && utf8_is_valid(bytes))
		charset = "utf-8";
	if (is_utf8_name(charset)) {
		add_valid_pieces(bytes, out);
		return;
	}
	cd = iconv_open("UTF-8", module != NULL ? module : "WINDOWS-1252");
	if (cd == (iconv_t)-1) { // NOLINT(performance-no-int-to-ptr)
		add_valid_pieces(bytes, out);
		return;
	}
	convert(cd, bytes, out);
	(void)iconv_close(cd);
}

/* How many bytes at `p` (of valid UTF-8, so characters are whole) must go. */
static size_t
unwanted(const unsigned char *p, bool one_line)
{
	if (p[0] < ' ' || p[0] == 127)
		return 1;
	if (p[0] == 0xc2 && p[1] < 0xa0)
		return 2; /* C1 */
	if (one_line && utf8_is_turning(p))
		return 3;
	return 0;
}

/* A folded line is unfolded without its line end (RFC 5322 2.2.3). */
static void
add_space(unsigned char c, unsigned char next, bool one_line, struct buf *out)
{
	if (!one_line)
		buf_addc(out, c == '\t' ? '\t' : '\n');
	else if (c == '\t' || (next != ' ' && next != '\t'))
		buf_addc(out, ' ');
}

/* As charset_scrub(), of valid UTF-8. */
static void
scrub_valid(struct slice s, bool one_line, struct buf *out)
{
	size_t start = 0;

	for (size_t i = 0; i < s.len;) {
		const unsigned char *p = (const unsigned char *)s.data + i;
		unsigned char next = i + 1 < s.len ? p[1] : '\0';
		size_t bad = unwanted(p, one_line);

		if (bad == 0) {
			i++;
			continue;
		}
		buf_add(out, s.data + start, i - start);
		if (*p == '\t' || *p == '\n' || (*p == '\r' && next != '\n'))
			add_space(*p, next, one_line, out);
		i += bad;
		start = i;
	}
	if (start < s.len)
		buf_add(out, s.data + start, s.len - start);
}

void
charset_scrub(struct slice text, bool one_line, struct buf *out)
{
	struct buf valid;

	if (utf8_is_valid(text)) {
		scrub_valid(text, one_line, out);
		return;
	}
	buf_init(&valid, text.len * 3 + 1);
	add_valid_pieces(text, &valid);
	scrub_valid(buf_slice(&valid), one_line, out);
	buf_release(&valid);
}
