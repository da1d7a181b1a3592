/*
 * The form-data reader; see multipart.h.  It keeps what it cannot decide yet:
 * at most a header block, or the beginning of what may be a boundary.
 */
#include "web/multipart.h"

#include <string.h>

#include "base/num.h"

enum {
	PENDING_MAX = 256 * 1024,
	PIECE = 64 * 1024
};

/* --- Parameters ------------------------------------------------------------------ */

/* One value, quoted or not; what follows it. */
static struct slice
take_value(struct slice s, struct buf *out)
{
	size_t i = 0;

	if (!slice_starts(s, "\"")) {
		while (i < s.len && s.data[i] != ';')
			i++;
		buf_addslice(out, slice_trim(slice_of(s.data, i)));
		return slice_skip(s, i);
	}
	for (i = 1; i < s.len && s.data[i] != '"'; i++) {
		/* browsers only escape the quote; IE sent C:\paths */
		if (s.data[i] == '\\' && i + 1 < s.len &&
		    (s.data[i + 1] == '"' || s.data[i + 1] == '\\'))
			i++;
		buf_addc(out, s.data[i]);
	}
	return slice_skip(s, i + 1);
}

bool
multipart_parameter(struct slice header, const char *name, struct buf *out)
{
	struct slice rest = header, key;
	struct buf value;
	bool found = false;

	(void)slice_cut(rest, ';', &key);
	rest = slice_skip(rest, key.len);
	buf_init(&value, PENDING_MAX);
	while (rest.len > 0 && !found) {
		ptrdiff_t equals;

		rest = slice_skip(rest, 1);
		equals = slice_chr(rest, '=');
		if (equals < 0)
			break;
		key = slice_trim(slice_of(rest.data, (size_t)equals));
		buf_reset(&value);
		rest = take_value(
		    slice_trim(slice_skip(rest, (size_t)equals + 1)), &value);
		found = slice_ieq_str(key, name);
		while (rest.len > 0 && rest.data[0] != ';')
			rest = slice_skip(rest, 1);
	}
	if (found)
		buf_addslice(out, buf_slice(&value));
	buf_release(&value);
	return found;
}

/* --- Life ---------------------------------------------------------------------------- */

int
multipart_init(struct multipart *m, struct slice content_type,
    const struct multipart_events *events, struct err *e)
{
	struct buf boundary;
	int rc = 0;

	memset(m, 0, sizeof(*m));
	m->events = events;
	buf_init(&m->pending, PENDING_MAX);
	buf_init(&boundary, MULTIPART_BOUNDARY_MAX);
	if (!slice_istarts(content_type, "multipart/form-data") ||
	    !multipart_parameter(content_type, "boundary", &boundary) ||
	    boundary.len == 0 || buf_overflowed(&boundary)) {
		rc = err_set(e, ERR_SYNTAX, "not a form with a boundary");
	} else {
		memcpy(m->delimiter, "\r\n--", 4);
		memcpy(m->delimiter + 4, boundary.data, boundary.len);
		m->delimiter_len = boundary.len + 4;
		/* so that the first boundary needs no line before it */
		buf_addstr(&m->pending, "\r\n");
	}
	buf_release(&boundary);
	return rc;
}

void
multipart_release(struct multipart *m)
{
	buf_release(&m->pending);
}

int
multipart_finish(struct multipart *m, struct err *e)
{
	if (m->state != MULTIPART_END)
		return err_set(e, ERR_SYNTAX, "the form is cut off");
	return 0;
}

/* --- States ---------------------------------------------------------------------------- */

static void
drop_front(struct multipart *m, size_t n)
{
	memmove(m->pending.data, m->pending.data + n, m->pending.len - n);
	buf_truncate(&m->pending, m->pending.len - n);
}

/* Position of the delimiter, or how much surely is not one's beginning. */
static bool
find_delimiter(const struct multipart *m, size_t *at_out)
{
	const char *found = memmem(
	    m->pending.data, m->pending.len, m->delimiter, m->delimiter_len);

	if (found != NULL)
		*at_out = (size_t)(found - m->pending.data);
	else
		*at_out = m->pending.len < m->delimiter_len
		    ? 0
		    : m->pending.len - m->delimiter_len + 1;
	return found != NULL;
}

/* 1: something was done; 0: more input is needed. */
static int
do_data(struct multipart *m, struct err *e)
{
	size_t at;
	bool found = find_delimiter(m, &at);

	if (m->state == MULTIPART_DATA && at > 0 &&
	    m->events->data(m->events->arg, m->pending.data, at, e) != 0)
		return -1;
	drop_front(m, found ? at + m->delimiter_len : at);
	if (!found)
		return 0;
	if (m->state == MULTIPART_DATA &&
	    m->events->end(m->events->arg, e) != 0)
		return -1;
	m->state = MULTIPART_DELIMITER;
	return 1;
}

/* "--" ends it; else blanks and CRLF, which stays for the header. */
static int
do_delimiter(struct multipart *m, struct err *e)
{
	size_t i = 0;

	if (m->pending.len < 2)
		return 0;
	if (memcmp(m->pending.data, "--", 2) == 0) {
		m->state = MULTIPART_END;
		return 1;
	}
	while (i < m->pending.len &&
	    (m->pending.data[i] == ' ' || m->pending.data[i] == '\t'))
		i++;
	if (m->pending.len < i + 2 && i < MULTIPART_HEADER_MAX)
		return 0;
	if (m->pending.len < i + 2 ||
	    memcmp(m->pending.data + i, "\r\n", 2) != 0)
		return err_set(e, ERR_SYNTAX, "bytes behind a boundary");
	drop_front(m, i);
	if (++m->parts > MULTIPART_PARTS_MAX)
		return err_set(e, ERR_SYNTAX, "too many fields");
	m->state = MULTIPART_HEADER;
	return 1;
}

/* Browsers write %22 for a quote in a name, and nothing else so that matters:
 * line ends are scrubbed from names. */
static void
put_quotes_back(struct buf *name)
{
	char *at = name->data;

	while ((at = strstr(at, "%22")) != NULL) {
		*at++ = '"';
		memmove(at, at + 2, strlen(at + 2) + 1);
		buf_truncate(name, name->len - 2);
	}
}

static int
begin_part(struct multipart *m, struct slice disposition, struct slice type,
    struct err *e)
{
	struct buf name, file;
	struct slice no_file = { NULL, 0 };
	bool has_file;
	int rc;

	buf_init(&name, MULTIPART_HEADER_MAX);
	buf_init(&file, MULTIPART_HEADER_MAX);
	has_file = multipart_parameter(disposition, "filename", &file);
	put_quotes_back(&file);
	if (!slice_istarts(disposition, "form-data") ||
	    !multipart_parameter(disposition, "name", &name))
		rc = err_set(e, ERR_SYNTAX, "a field without a name");
	else
		rc = m->events->begin(m->events->arg, buf_slice(&name),
		    has_file ? buf_slice(&file) : no_file, type, e);
	buf_release(&name);
	buf_release(&file);
	return rc == 0 ? 1 : -1;
}

static int
do_header(struct multipart *m, struct err *e)
{
	const char *end = memmem(m->pending.data,
	    num_min(m->pending.len, MULTIPART_HEADER_MAX), "\r\n\r\n", 4);
	struct slice rest, line, disposition = { "", 0 }, type = { "", 0 };
	int rc;

	if (end == NULL && m->pending.len < MULTIPART_HEADER_MAX)
		return 0;
	if (end == NULL)
		return err_set(e, ERR_SYNTAX, "a header is too long");
	rest = slice_of(m->pending.data, (size_t)(end - m->pending.data));
	while (rest.data != NULL) {
		rest = slice_cut(rest, '\n', &line);
		if (slice_istarts(line, "content-disposition:"))
			disposition = slice_trim(slice_skip(line, 20));
		if (slice_istarts(line, "content-type:"))
			type = slice_trim(slice_skip(line, 13));
	}
	rc = begin_part(m, disposition, type, e);
	drop_front(m, (size_t)(end + 4 - m->pending.data));
	m->state = MULTIPART_DATA;
	return rc;
}

static int
run(struct multipart *m, struct err *e)
{
	int rc = 1;

	while (rc > 0) {
		switch (m->state) {
		case MULTIPART_PREAMBLE:
		case MULTIPART_DATA:
			rc = do_data(m, e);
			break;
		case MULTIPART_DELIMITER:
			rc = do_delimiter(m, e);
			break;
		case MULTIPART_HEADER:
			rc = do_header(m, e);
			break;
		case MULTIPART_END:
			buf_reset(&m->pending);
			rc = 0;
			break;
		}
	}
	return rc;
}

int
multipart_feed(struct multipart *m, const char *data, size_t len, struct err *e)
{
	while (len > 0) {
		size_t n = num_min(len, PIECE);

		buf_add(&m->pending, data, n);
		if (run(m, e) != 0)
			return -1;
		data += n;
		len -= n;
	}
	return 0;
}
