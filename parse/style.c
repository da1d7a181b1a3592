/*
 * The style attribute's filter; see style.h.  It does not try to read CSS as
 * browsers do: a declaration that is not plainly simple is dropped, and what
 * is written consists of the bytes checked here.
 */
#include "parse/style.h"

#include <string.h>

#include "base/compiler.h"

enum {
	STYLE_MAX = 4096,
	VALUE_MAX = 256,
	DIGITS_MAX = 5
};

static const char *const properties[] = { "background-color", "border",
	"border-bottom", "border-bottom-color", "border-bottom-style",
	"border-bottom-width", "border-collapse", "border-color", "border-left",
	"border-left-color", "border-left-style", "border-left-width",
	"border-radius", "border-right", "border-right-color",
	"border-right-style", "border-right-width", "border-spacing",
	"border-style", "border-top", "border-top-color", "border-top-style",
	"border-top-width", "border-width", "clear", "color", "direction",
	"display", "float", "font", "font-family", "font-size", "font-style",
	"font-variant", "font-weight", "height", "letter-spacing",
	"line-height", "list-style-type", "margin", "margin-bottom",
	"margin-left", "margin-right", "margin-top", "max-height", "max-width",
	"min-height", "min-width", "overflow-wrap", "padding", "padding-bottom",
	"padding-left", "padding-right", "padding-top", "text-align",
	"text-decoration", "text-indent", "text-transform", "vertical-align",
	"white-space", "width", "word-break", "word-spacing", "word-wrap" };

static const char *const displays[] = { "block", "inline", "inline-block",
	"none", "table", "table-cell", "table-row", "table-row-group",
	"table-header-group", "table-footer-group", "table-column",
	"table-caption", "list-item", "inline-table" };

static const char *const functions[] = { "rgb", "rgba", "hsl", "hsla" };

static bool
is_one_of(struct slice s, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_ieq_str(s, list[i]))
			return true;
	}
	return false;
}

/* The letters just written: a function we know? */
static bool
ends_in_function(const struct buf *out, size_t from)
{
	size_t start = out->len;

	while (start > from && ascii_is_alpha(out->data[start - 1]))
		start--;
	return is_one_of(slice_of(out->data + start, out->len - start),
	    functions, ARRAY_LEN(functions));
}

/* A quoted font name; returns its length with quotes, 0 if it is not one. */
static size_t
add_quoted(struct slice s, struct buf *out)
{
	for (size_t i = 1; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == (unsigned char)s.data[0]) {
			buf_addc(out, '\'');
			buf_add(out, s.data + 1, i - 1);
			buf_addc(out, '\'');
			return i + 1;
		}
		if (!ascii_is_alnum(c) && c != ' ' && c != '-')
			return 0;
	}
	return 0;
}

/* One plain character of a value; false: not plain. */
static bool
add_plain(unsigned char c, struct buf *out, size_t from)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
		if (out->len > from && out->data[out->len - 1] != ' ')
			buf_addc(out, ' ');
		return true;
	}
	if (c == '(' && !ends_in_function(out, from))
		return false;
	if (!ascii_is_alnum(c) && memchr("#%.,()+-", c, 8) == NULL)
		return false;
	buf_addc(out, (char)ascii_lower(c));
	return true;
}

/* Append the value; false, with `out` longer, if it is not plainly simple. */
static bool
add_value(struct slice value, bool is_font, struct buf *out)
{
	size_t from = out->len, digits = 0;
	bool in_colour = false; /* its digits are no number */

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.data[i];

		in_colour = c == '#' || (in_colour && ascii_is_alnum(c));
		digits = ascii_is_digit(c) && !in_colour ? digits + 1 : 0;
		if (digits > DIGITS_MAX)
			return false;
		if (c == '"' || c == '\'') {
			size_t n =
			    is_font ? add_quoted(slice_skip(value, i), out) : 0;

			if (n == 0)
				return false;
			i += n - 1;
		} else if (!add_plain(c, out, from)) {
			return false;
		}
	}
	while (out->len > from && out->data[out->len - 1] == ' ')
		buf_truncate(out, out->len - 1);
	return out->len > from;
}

static bool
is_negative(struct slice value)
{
	for (size_t i = 0; i + 1 < value.len; i++) {
		if (value.data[i] == '-' &&
		    (ascii_is_digit(value.data[i + 1]) ||
			value.data[i + 1] == '.'))
			return true;
	}
	return false;
}

static bool
is_fitting(struct slice name, struct slice value)
{
	if (slice_istarts(name, "margin") || slice_ieq_str(name, "text-indent"))
		return !is_negative(value);
	if (slice_ieq_str(name, "display"))
		return is_one_of(value, displays, ARRAY_LEN(displays));
	return true;
}

/* Of the shorthand "background" only its colour counts. */
static struct slice
background_colour(struct slice value)
{
	static const char *const others[] = { "none", "repeat", "scroll",
		"fixed", "local", "center", "left", "right", "top", "bottom",
		"inherit", "initial", "auto", "contain", "cover" };
	struct slice rest = value, word;

	if (slice_istarts(value, "rgb") || slice_istarts(value, "hsl"))
		return slice_of(
		    value.data, (size_t)(slice_chr(value, ')') + 1));
	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &word);
		if (style_is_colour(word) &&
		    !is_one_of(word, others, ARRAY_LEN(others)))
			return word;
	}
	return slice_of(value.data, 0);
}

static void
add_declaration(struct slice declaration, struct buf *out)
{
	struct slice name, value;
	size_t start = out->len, from;

	value = slice_trim(slice_cut(declaration, ':', &name));
	name = slice_trim(name);
	if (slice_chr(value, '!') >= 0) /* "!important" counts for nothing */
		(void)slice_cut(value, '!', &value);
	value = slice_trim(value);
	if (slice_ieq_str(name, "background")) {
		name = SLICE_LIT("background-color");
		value = background_colour(value);
	}
	if (value.len == 0 || value.len > VALUE_MAX ||
	    !is_one_of(name, properties, ARRAY_LEN(properties)))
		return;
	for (size_t i = 0; i < name.len; i++)
		buf_addc(out, (char)ascii_lower((unsigned char)name.data[i]));
	buf_addc(out, ':');
	from = out->len;
	if (!add_value(value, slice_istarts(name, "font"), out) ||
	    !is_fitting(name, slice_of(out->data + from, out->len - from))) {
		buf_truncate(out, start);
		return;
	}
	buf_addc(out, ';');
}

void
style_filter(struct slice style, struct buf *out)
{
	struct slice rest = style, declaration;

	if (style.len > STYLE_MAX)
		return;
	/* a ';' within quotes or parentheses spoils both halves: fine */
	while (rest.data != NULL) {
		rest = slice_cut(rest, ';', &declaration);
		add_declaration(declaration, out);
	}
}

struct slice
style_value(struct slice filtered, const char *property)
{
	struct slice rest = filtered, declaration, name, value;

	while (rest.len > 0) {
		rest = slice_cut(rest, ';', &declaration);
		value = slice_cut(declaration, ':', &name);
		if (slice_eq_str(name, property))
			return value;
	}
	return slice_of(filtered.data, 0);
}

bool
style_is_coloured(struct slice filtered)
{
	return slice_icontains(filtered, SLICE_LIT("color:")) ||
	    slice_icontains(filtered, SLICE_LIT("background"));
}

bool
style_is_colour(struct slice s)
{
	bool is_hex = s.len > 0 && s.data[0] == '#';

	if (is_hex ? s.len != 4 && s.len != 7 : s.len < 3 || s.len > 20)
		return false;
	for (size_t i = is_hex; i < s.len; i++) {
		int c = ascii_lower((unsigned char)s.data[i]);

		if (!(c >= 'a' && c <= (is_hex ? 'f' : 'z')) &&
		    !(is_hex && ascii_is_digit(c)))
			return false;
	}
	return true;
}
