#ifndef WEBMAIL_CGI_TEXT_H
#define WEBMAIL_CGI_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * A plain text message as HTML, appended to `out`: paragraphs, links, quotes
 * ("> x") as nested blockquotes, long ones folded behind what `label` says of
 * so many lines, the signature (behind a line "-- ") dimmed.  Everything is escaped; nothing but
 * p, br, a, blockquote, details, summary and div is written, always balanced.
 * Linear.  `text`: UTF-8 with LF line ends, as of mime_text().  Pure.
 *
 * `out` needs room for TEXT_GROWTH bytes a byte of text, and as many more.
 */
enum {
	TEXT_QUOTE_DEPTH_MAX = 8, /* deeper ones are shown at this depth */
	TEXT_FOLD_LINES = 8,      /* quotes longer than this are folded */
	TEXT_GROWTH = 64,
};

struct text_label {
	const char *(*lines)(void *arg, int64_t n); /* plain text */
	void *arg;
};

void text_to_html(
    struct slice text, const struct text_label *label, struct buf *out);

/* A translated text with `value` in place of "{name}"; the pool's. */
const char *text_fill(
    struct pool *pool, const char *text, const char *name, const char *value);

#endif /* WEBMAIL_CGI_TEXT_H */
