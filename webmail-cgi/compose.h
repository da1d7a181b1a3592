#ifndef WEBMAIL_CGI_COMPOSE_H
#define WEBMAIL_CGI_COMPOSE_H

#include <jansson.h>

#include "webmail-cgi/draft.h"
#include "webmail-cgi/webmail.h"

/*
 * The page on which a message is written.  A draft is stored by its first
 * POST; until then its fields are in the page alone.
 *
 *	GET  /compose?to=&cc=&bcc=&subject=&body=   303 to /d/<did>?new=1&...
 *	GET  /d/<did>
 *	POST /d/<did>  do = save, send, attach, discard, drop:<n>,
 *	               later:tomorrow, later:monday, later:pick (field when)
 *	POST /d/<did>/files, POST /d/<did>/files/<n>/drop
 *
 * With X-Part the answer to save is the new rev in the header X-Rev, to files
 * and drop the list of files; 409 when the draft is newer than `rev` says.
 */
void compose_new(struct web_request *r, struct web_response *w);
void compose_page(struct web_request *r, struct web_response *w);
void compose_post(struct web_request *r, struct web_response *w);
void compose_files_post(struct web_request *r, struct web_response *w);
void compose_drop_post(struct web_request *r, struct web_response *w);

/* The signature of an address with "-- " before it, or "". */
const char *compose_signature(struct web_request *r, const char *address);

/* --- answer.c: drafts made of other messages ------------------------------------------ */

/* POST /v/<id>/<verb>: makes a draft, 303 to it. */
void answer_post(struct web_request *r, struct web_response *w);

/*
 * The same message as a draft again, files and all; stored.  `fd`: the message.
 */
int answer_edit(
    struct web_request *r, int fd, struct draft *d, struct err *e) MUST_CHECK;

/*
 * For an answer that is no draft: the own address the message was written to
 * ("" if none; the request's), and mime_view() of it.
 */
int answer_original(struct web_request *r, int fd, const char **own_out,
    json_t **summary_out, struct err *e) MUST_CHECK;

#endif /* WEBMAIL_CGI_COMPOSE_H */
