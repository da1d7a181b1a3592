#ifndef WEBMAIL_CGI_COMPOSE_H
#define WEBMAIL_CGI_COMPOSE_H

#include <jansson.h>
#include <stdbool.h>

#include "webmail-cgi/draft.h"
#include "webmail-cgi/webmail.h"

/*
 * The page on which a message is written.  A draft is stored by its first
 * POST; until then its fields are in the page alone: whoever
 * leaves that without a word leaves nothing behind.
 *
 *	GET  /compose?to=&cc=&bcc=&subject=&body=   303 to /d/<did>?new=1&...
 *	GET  /d/<did>?new=reply&of=<id>             made of a message (answer.h)
 *	GET  /d/<did>
 *	POST /d/<did>  do = save, send, attach, discard, drop:<n>,
 *	               later:tomorrow, later:monday, later:pick (field when)
 *	POST /d/<did>/files   the same, do = save
 *	POST /d/<did>/check   what is said beside the recipients, as a part of
 *	               the page; nothing is stored
 *
 * With X-Part the answer is the new rev in the header X-Rev, with X-Part:
 * files and the list of files; 409 when the draft is newer than `rev` says.
 */
void compose_new(struct web_request *r, struct web_response *w);
void compose_page(struct web_request *r, struct web_response *w);
void compose_post(struct web_request *r, struct web_response *w);
void compose_check_post(struct web_request *r, struct web_response *w);

/* The signature of an address with "-- " before it, or "". */
const char *compose_signature(struct web_request *r, const char *address);

/* --- compose_page.c, for compose.c and answer.c ------------------------------------------------------ */

/* The form's fields into the draft.  False: something is too long. */
bool compose_read_form(struct web_request *r, struct draft *d);

/* What the page's template wants to know; compose_show() takes it. */
json_t *compose_values(struct web_request *r, struct draft *d);
void compose_show(
    struct web_request *r, struct web_response *w, json_t *values);

/* outgoing_bad_domains(), each with its text. */
json_t *compose_domain_notes(struct web_request *r, const struct draft *d,
    bool (*is_known)(const struct web_request *r, const char *domain));

/* 303 to its page; `more` of the query ends in '&'. */
void compose_go(struct web_request *r, struct web_response *w,
    const struct draft *d, const char *more);

/* The form again with an error on top, `what` in the place of {what}. */
void compose_show_error(struct web_request *r, struct web_response *w,
    struct draft *d, int status, const char *key, const char *what);

/* The draft is newer than what was sent to us: both, side by side. */
void compose_show_conflict(
    struct web_request *r, struct web_response *w, const struct draft *stored);

#endif /* WEBMAIL_CGI_COMPOSE_H */
