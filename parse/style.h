#ifndef PARSE_STYLE_H
#define PARSE_STYLE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * A style attribute made harmless: only allow-listed properties with literal
 * values survive, written anew in lower case ("color:#123456;").  No function
 * but rgb() and hsl(), no url, escape, at-rule, variable or !important, no
 * negative margin, no number over five digits.  Pure and idempotent.
 */
void style_filter(struct slice style, struct buf *out);

/* Would it set a colour or background (after style_filter())? */
bool style_is_coloured(struct slice filtered);

/* A property's value in a filtered style; empty: it is not there. */
struct slice style_value(struct slice filtered, const char *property);

/* "#abc", "#aabbcc" or a colour's name. */
bool style_is_colour(struct slice s);

#endif /* PARSE_STYLE_H */
