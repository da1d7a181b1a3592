/*
 * Comma-separated values; see table.h.  Linear, one pass, nothing kept.
 */
#include "base/table.h"

#include <string.h>

void
table_init(struct table *c, struct slice text)
{
	size_t i = 0;

	if (slice_starts(text, "\xef\xbb\xbf"))
		text = slice_skip(text, 3);
	*c = (struct table){ .rest = text, .separator = ',', .next_line = 1 };
	while (i < text.len && strchr(",;\t\n", text.data[i]) == NULL)
		i++;
	if (i < text.len && text.data[i] != '\n')
		c->separator = text.data[i];
}

static void
take_line(struct table *c)
{
	struct slice line;

	c->rest = slice_cut(c->rest, '\n', &line);
	c->next_line++;
}

/* A quoted field from behind its quote; false: it does not end. */
static bool
quoted(struct table *c, struct buf *out)
{
	size_t i = 0;

	for (;; i++) {
		if (i == c->rest.len)
			return false;
		if (c->rest.data[i] == '"') {
			if (i + 1 == c->rest.len || c->rest.data[i + 1] != '"')
				break;
			i++;
		}
		if (c->rest.data[i] == '\n')
			c->next_line++;
		buf_addc(out, c->rest.data[i]);
	}
	c->rest = slice_skip(c->rest, i + 1);
	return true;
}

static bool
field(struct table *c, struct buf *out)
{
	size_t i = 0;

	buf_reset(out);
	if (c->rest.len > 0 && c->rest.data[0] == '"') {
		c->rest = slice_skip(c->rest, 1);
		if (!quoted(c, out))
			return false;
	}
	while (i < c->rest.len && c->rest.data[i] != c->separator &&
	    c->rest.data[i] != '\n')
		i++;
	buf_add(out, c->rest.data, i);
	c->rest = slice_skip(c->rest, i);
	if ((c->rest.len == 0 || c->rest.data[0] == '\n') && out->len > 0 &&
	    out->data[out->len - 1] == '\r')
		buf_truncate(out, out->len - 1);
	return true;
}

static int
row(struct table *c, struct pool *pool, struct buf *text, const char **fields,
    size_t *count_out, struct err *e)
{
	size_t count = 0;

	for (;;) {
		if (!field(c, text)) {
			c->rest = slice_of(NULL, 0);
			return err_set(e, ERR_SYNTAX, "a quote does not end");
		}
		if (count == TABLE_FIELDS_MAX || buf_overflowed(text)) {
			take_line(c);
			return err_set(e, ERR_SYNTAX,
			    count == TABLE_FIELDS_MAX ? "too many fields"
						      : "the line is too long");
		}
		if (memchr(text->data ? text->data : "", '\0', text->len) !=
			NULL ||
		    !utf8_is_valid(buf_slice(text))) {
			take_line(c);
			return err_set(e, ERR_SYNTAX, "not UTF-8 text");
		}
		fields[count++] =
		    pool_strndup(pool, text->data ? text->data : "", text->len);
		if (c->rest.len == 0 || c->rest.data[0] == '\n')
			break;
		c->rest = slice_skip(c->rest, 1);
	}
	if (c->rest.len > 0)
		take_line(c);
	*count_out = count;
	return 1;
}

int
table_next(struct table *c, struct pool *pool,
    const char *fields_out[TABLE_FIELDS_MAX], size_t *count_out, struct err *e)
{
	struct buf text;
	int got = 0;

	buf_init(&text, 64 * 1024);
	while (c->rest.len > 0) {
		c->line = c->next_line;
		got = row(c, pool, &text, fields_out, count_out, e);
		if (got != 1 || *count_out > 1 || fields_out[0][0] != '\0')
			break;
		got = 0;
	}
	buf_release(&text);
	return got;
}

void
table_put(struct buf *out, const char *text)
{
	if (strpbrk(text, ",;\t\"\r\n") == NULL) {
		buf_addstr(out, text);
		return;
	}
	buf_addc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_addc(out, '"');
		buf_addc(out, *text);
	}
	buf_addc(out, '"');
}
