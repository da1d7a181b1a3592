#ifndef PARSE_LINK_H
#define PARSE_LINK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Where links of a stranger's HTML lead, and where they pretend to.  Pure.
 */

/* Printable and without space, so that what is checked is what is followed. */
bool link_is_plain_url(struct slice url);

/*
 * The host an http(s) or mailto URL, or one of link_mailto(), leads to; empty:
 * none.
 */
struct slice link_host(struct slice url);

/*
 * Does the text a reader sees name a host (an address or URL in it, or it is
 * one) other than `host`?  A subdomain of what is named is no other.
 */
bool link_is_misleading(struct slice text, struct slice host);

/*
 * "mailto:ann@a.b?subject=x" as a URL of our own page for writing, appended:
 * "<mail_url>?to=ann%40a.b&subject=x".  False: not a mailto URL.
 */
bool link_mailto(struct slice url, const char *mail_url, struct buf *out);

/* Is it what link_mailto() writes? */
bool link_is_own_mailto(struct slice url, const char *mail_url);

#endif /* PARSE_LINK_H */
