#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include <jansson.h>

#include "web/template.h"
#include "web/web.h"

/*
 * Pages as both web programs send them: a template, its own values, and what
 * every page has (brand, user, language), which the program's look() says.
 */

/* Texts live as long as the request. */
struct page_look {
	struct template_set *templates;
	const char *brand;  /* {{brand.name}} */
	const char *css;    /* {{brand.css}}, its URL; NULL = none */
	const char *logo;   /* {{brand.logo}} */
	const char *domain; /* whose templates; "" = the server's */
	const char *zone;   /* "" = UTC */
	const char *lang;   /* "" = as the browser says */
	const char *theme, *density;
	const char *keys;           /* "no": no keyboard shortcuts */
	const char *address, *name; /* who is signed in; NULL = nobody */
};

/*
 * Answer with a page.  Takes `values` (a new reference), adds title, brand,
 * user, and what app->look() puts there.
 */
void page_send(struct web_request *r, struct web_response *w, const char *name,
    const char *title, json_t *values);

/* A translated text in the reader's language, in the request's pool. */
const char *page_text(struct web_request *r, const char *key);

/* The same with {n} filled in, and its plural. */
const char *page_count_text(struct web_request *r, const char *key, int64_t n);

/* For web_app.error_page: the template "error" with `text`. */
void page_error(
    struct web_request *r, struct web_response *w, const char *text);

/*
 * What to call somebody: by name, unless there is none, or it is made to look
 * like the address of somebody else.
 */
const char *person_name(const char *name, const char *address);

/* 0 to 7, always the same for an address; and two letters for it. */
int person_hue(const char *address);
json_t *person_initials(const char *name, const char *address);

#endif /* WEB_PAGE_H */
