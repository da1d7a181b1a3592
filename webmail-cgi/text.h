#ifndef WEBMAIL_CGI_TEXT_H
#define WEBMAIL_CGI_TEXT_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * A plain text message as HTML, appended to `out`: paragraphs, links, quotes
 * ("> x") as nested blockquotes, long ones folded behind `fold_label`, the
 * signature (behind a line "-- ") dimmed.  Everything is escaped; nothing but
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

void text_to_html(struct slice text, const char *fold_label, struct buf *out);

/* A translated text with `value` in place of "{name}"; the pool's. */
const char *text_fill(
    struct pool *pool, const char *text, const char *name, const char *value);

#endif /* WEBMAIL_CGI_TEXT_H */
