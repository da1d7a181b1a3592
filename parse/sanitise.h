#ifndef PARSE_SANITISE_H
#define PARSE_SANITISE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * HTML from strangers made harmless.
 *
 * Safe by its output, not by how well the input is understood: only elements
 * and attributes of a short list are written, always balanced, every byte of
 * text and attribute value escaped, URLs checked and style values rewritten.
 * There is no script, style block, form, frame, svg or math in it, no id,
 * name or class, and no address a browser would fetch by itself except
 *  - pictures below `cid_prefix`,
 *  - data: pictures (png, jpeg, gif, webp up to 64 kB),
 *  - https: pictures, only with `remote_pictures`; else they are
 *    <img data-remote="..."> and counted as blocked;
 * pictures nobody would see (1x1, hidden) are left out in any case.  A link
 * whose text names another host than it leads to has data-host="real.host".
 *
 * The result is a fixed point: sanitising it again changes nothing.
 */
struct sanitise_options {
	bool remote_pictures;
	const char *cid_prefix; /* NULL: embedded pictures are left out */
	const char *mail_url;   /* page that mailto: links lead to, see
				 * link_mailto(); NULL: they are left out */
};

struct sanitise_info {
	unsigned pictures, blocked_pictures;
	bool truncated; /* too large or too complex */
	bool coloured;  /* it sets colours: needs a white sheet */
};

enum {
	SANITISE_INPUT_MAX = 2 * 1024 * 1024,
	SANITISE_ELEMENTS_MAX = 50000,
	SANITISE_DEPTH_MAX = 256,
};

/*
 * `html` is UTF-8 (other bytes become U+FFFD).  Appends to `out`, whose
 * ceiling cuts (and `truncated` says so).
 */
void sanitise_html(struct slice html, const struct sanitise_options *options,
    struct buf *out, struct sanitise_info *info);

/*
 * What a reader would see of it, as plain text: a block a line, quotes with
 * "> " before each.
 */
void sanitise_to_text(struct slice html, struct buf *out);

#endif /* PARSE_SANITISE_H */
