/*
 * Web forms: however the bytes of a multipart body are cut, the same events
 * come out; urlencoded text decodes to what escaping it gives back.
 */
#include <assert.h>

#include "base/buf.h"
#include "web/multipart.h"
#include "web/web.h"

#include "tests/fuzz/fuzz.h"

enum {
	EVENTS_MAX = 4 * 1024 * 1024
};

static int
on_begin(void *arg, struct slice name, struct slice file, struct slice type,
    struct err *e)
{
	(void)e;
	buf_addc(arg, '(');
	buf_addslice(arg, name);
	buf_addc(arg, file.data != NULL ? 'F' : '-');
	buf_addslice(arg, file);
	buf_addslice(arg, type);
	return 0;
}

static int
on_data(void *arg, const char *data, size_t len, struct err *e)
{
	(void)e;
	buf_add(arg, data, len);
	return 0;
}

static int
on_end(void *arg, struct err *e)
{
	(void)e;
	buf_addc(arg, ')');
	return 0;
}

static int
run(struct slice body, size_t step, struct buf *out)
{
	const struct multipart_events events = { on_begin, on_data, on_end,
		out };
	struct multipart m;
	struct err e;
	int rc = multipart_init(
	    &m, SLICE_LIT("multipart/form-data; boundary=b"), &events, &e);

	while (rc == 0 && body.len > 0) {
		size_t n = body.len < step ? body.len : step;

		rc = multipart_feed(&m, body.data, n, &e);
		body = slice_skip(body, n);
	}
	if (rc == 0)
		rc = multipart_finish(&m, &e);
	multipart_release(&m);
	return rc;
}

static void
check_url(struct slice text)
{
	struct buf plain, escaped, again;

	buf_init(&plain, EVENTS_MAX);
	buf_init(&escaped, EVENTS_MAX);
	buf_init(&again, EVENTS_MAX);
	if (web_unescape_url(text, true, &plain)) {
		web_escape_url(buf_slice(&plain), &escaped);
		assert(web_unescape_url(buf_slice(&escaped), true, &again));
		assert(slice_eq(buf_slice(&plain), buf_slice(&again)));
	}
	buf_release(&plain);
	buf_release(&escaped);
	buf_release(&again);
}

/* Links in text: nothing but our own tags. */
static void
check_links(struct slice text)
{
	struct buf html;

	buf_init(&html, EVENTS_MAX);
	web_linkify(text, &html);
	for (size_t i = 0; i < html.len; i++) {
		struct slice rest = slice_of(html.data + i, html.len - i);

		assert(html.data[i] != '<' ||
		    slice_starts(rest, "<a href=\"http") ||
		    slice_istarts(rest, "<a href=\"http") ||
		    slice_istarts(rest, "<a href=\"mailto:") ||
		    slice_starts(rest, "</a>"));
		assert(html.data[i] != '\'');
	}
	buf_release(&html);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice body = slice_of((const char *)data, size);
	struct buf whole, parts;
	int rc;

	buf_init(&whole, EVENTS_MAX);
	buf_init(&parts, EVENTS_MAX);
	rc = run(body, SIZE_MAX, &whole);
	assert(run(body, 1, &parts) == rc);
	assert(rc != 0 || slice_eq(buf_slice(&whole), buf_slice(&parts)));
	buf_release(&whole);
	buf_release(&parts);
	check_url(body);
	check_links(body);
	return 0;
}
