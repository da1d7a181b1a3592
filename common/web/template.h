#ifndef WEB_TEMPLATE_H
#define WEB_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "web/web.h"

/*
 * Page templates, which the owner may change: a logic-free language that
 * always escapes.
 *
 *	{{name}} {{a.b}} {{.}}     value, HTML-escaped; missing = nothing
 *	{{name|url}}               percent-encoded
 *	{{#x}}..{{/x}} {{^x}}..{{/x}}  repeat or if; if empty or false
 *	{{>part}}                  another template, [a-z0-9_-]+
 *	{{t "key" n=count a=b.c}}  translation, plural by n, {a} filled in
 *	{{csrf}}                   hidden input with the token
 *	{{icon "trash"}}           from the sprite
 *	{{date x "short"}} {{size x}} {{num x}}
 *	{{! comment }}
 *
 * "date" takes milliseconds (integer) and "short", "long", "day", "time"
 * or "exact" (to the second).
 * Inside a section the item's names come first, then those outside.
 *
 * There is no raw form: the few values that are HTML are made in C by
 * template_html() and known by a secret of the process.
 *
 * Lookup per file, first hit wins:
 * domains/<domain>/templates/<lang>/x.html, domains/<domain>/templates/x.html,
 * web/templates/<lang>/x.html, web/templates/x.html (below the state
 * directory), built-in (asset "templates/x.html").  A file that does not pass
 * the check is logged and passed over.  Compiled once, looked at again every
 * second at most (mtime).  Catalogues: assets
 * "lang/<lang>.json", see template_lang.c.
 *
 * Thread-safe; open it after fork.
 */
struct template_set;

enum {
	TEMPLATE_FILE_MAX = 256 * 1024,
	TEMPLATE_DEPTH_MAX = 32, /* sections and parts */
};

struct template_set *template_set_new(
    const char *state_dir, const struct web_assets *assets);
void template_set_free(struct template_set *s);

/* How this reader wants things said; all must outlive the call. */
struct template_env {
	const char *domain;      /* "" = the server's look */
	const char *lang;        /* "en"; unknown = "en" */
	const char *zone;        /* "Europe/Oslo"; "" = UTC */
	const char *base;        /* {{base}} */
	const char *static_url;  /* {{static}} and icons */
	const char *csrf_secret; /* NULL: {{csrf}} prints nothing */
	int64_t now_ms;          /* for "today"; 0 = the clock */
};

/*
 * Append the page.  ERR_PERM: no such template; ERR_TEMP: too deep or the
 * ceiling of `out` was met.
 */
int template_render(struct template_set *s, const char *name,
    const json_t *values, const struct template_env *env, struct buf *out,
    struct err *e) MUST_CHECK;

/*
 * What a zone ("Europe/Oslo") adds to UTC at that time, in seconds; an unknown
 * zone, and "", is UTC.
 */
int32_t template_zone_offset(const char *zone, int64_t seconds);

/* Seconds of UTC when clocks of that zone show this. */
int64_t template_zone_utc(const char *zone, int64_t local_s);

bool template_has_zone(const char *zone);

/* A value that is HTML, made by a function that escapes (new reference). */
json_t *template_html(struct slice html) MUST_CHECK;

/* One translated text, escaped nowhere; `n` < 0: no plural. */
void template_text(struct template_set *s, const char *lang, const char *key,
    int64_t n, struct buf *out);

/* The catalogues there are: "en", "ar"...; is one right-to-left? */
bool template_has_lang(const struct template_set *s, const char *lang);
bool template_is_rtl(const char *lang);

/*
 * The language of Accept-Language (RFC 9110 12.5.4) there is a catalogue for;
 * "en" else.  Static storage of the set.
 */
const char *template_choose_lang(
    const struct template_set *s, const char *accept_language);

/*
 * Is this text a template we would use?  ERR_SYNTAX says "NAME:LINE: what is
 * wrong": the language itself, an unquoted attribute value, a script body,
 * on...= and style= attributes, a POST form without {{csrf}}.
 */
int template_check(
    const char *name, struct slice text, struct err *e) MUST_CHECK;

/*
 * All files of the state directory and the built-in ones; `report` is called
 * for each with NULL or what is wrong.  The number of bad ones.
 */
unsigned template_check_all(struct template_set *s,
    void (*report)(void *arg, const char *file, const char *error), void *arg);

#endif /* WEB_TEMPLATE_H */
