/*
 * Content lines; see content_line.h.
 */
#include "mail/content_line.h"

bool
content_next(struct content_scan *s, struct buf *out)
{
	struct slice line;

	buf_reset(out);
	if (s->rest.len == 0)
		return false;
	do {
		s->rest = slice_cut(s->rest, '\n', &line);
		s->line++;
		if (slice_ends(line, "\r"))
			line.len--;
		buf_addslice(out, line);
		if (!slice_starts(s->rest, " ") && !slice_starts(s->rest, "\t"))
			return true;
		s->rest = slice_skip(s->rest, 1);
	} while (true);
}

/* Up to an `end` that is not within quotes; false: there is none. */
static bool
cut_unquoted(struct slice *rest, char end, struct slice *head_out)
{
	bool quoted = false;
	size_t i = 0;

	while (i < rest->len && (quoted || rest->data[i] != end)) {
		quoted ^= rest->data[i] == '"';
		i++;
	}
	*head_out = slice_of(rest->data, i);
	if (i == rest->len) {
		*rest = slice_skip(*rest, i);
		return false;
	}
	*rest = slice_skip(*rest, i + 1);
	return true;
}

bool
content_split(struct slice line, struct content_line *out)
{
	struct slice head;

	out->value = line;
	if (!cut_unquoted(&out->value, ':', &head))
		return false;
	out->params = slice_cut(head, ';', &out->name);
	if (slice_chr(out->name, '.') >= 0)
		out->name = slice_skip(
		    out->name, (size_t)slice_chr(out->name, '.') + 1);
	return true;
}

struct slice
content_param(const struct content_line *l, const char *name)
{
	struct slice rest = l->params, one, key, value;

	while (rest.len > 0) {
		(void)cut_unquoted(&rest, ';', &one);
		value = slice_cut(one, '=', &key);
		if (!slice_ieq_str(slice_trim(key), name))
			continue;
		(void)cut_unquoted(&value, ',', &one);
		one = slice_trim(one);
		if (one.len > 1 && slice_starts(one, "\"") &&
		    slice_ends(one, "\""))
			one = slice_of(one.data + 1, one.len - 2);
		return one;
	}
	return slice_of(NULL, 0);
}

struct slice
content_text(struct slice value, char end, bool keep_lines, struct buf *out)
{
	size_t i = 0;

	for (; i < value.len && (end == '\0' || value.data[i] != end); i++) {
		unsigned char c = (unsigned char)value.data[i];

		if (c == '\\' && i + 1 < value.len) {
			c = (unsigned char)value.data[++i];
			if (c == 'n' || c == 'N')
				c = '\n';
		}
		if (c == '\n' && !keep_lines)
			c = ' ';
		if (c >= ' ' ? c != 127 : c == '\n')
			buf_addc(out, (char)c);
	}
	return slice_skip(value, i + 1);
}
