#ifndef WEBMAIL_CGI_READ_H
#define WEBMAIL_CGI_READ_H

#include <jansson.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "web/web.h"

#include "maildir/index.h"

/*
 * Reading: the pages of a message and what hangs on it.  Everything that has
 * to understand a message is done by mailstead-parse.
 */

/* The message a URL names, opened; lives in the request's pool. */
struct letter {
	const char *id;  /* in URLs */
	const char *url; /* "<base>/v/<id>" */
	struct index_message message;
	int fd; /* the caller closes it */
	bool in_junk;
};

/* How many of the route's arguments name the message. */
enum {
	LETTER_ARGS = 1
};

/* False: answered already (404, 503). */
bool letter_open(struct web_request *r, struct web_response *w,
    struct letter *out) MUST_CHECK;

/* mime_view() of it; ERR as there. */
int letter_view(struct web_request *r, const struct letter *l,
    bool prefer_plain, json_t **out, struct err *e) MUST_CHECK;

/* A text of an object, or "". */
const char *json_text(const json_t *object, const char *key);

/* --- message.c: pages ------------------------------------------------------------ */

void message_page(struct web_request *r, struct web_response *w);
void message_print(struct web_request *r, struct web_response *w);
void message_headers(struct web_request *r, struct web_response *w);

/* --- content.c: what is no page ----------------------------------------------------- */

void message_body(struct web_request *r, struct web_response *w);
void message_part(struct web_request *r, struct web_response *w);
void message_picture(struct web_request *r, struct web_response *w);
void message_raw(struct web_request *r, struct web_response *w);
void message_eml(struct web_request *r, struct web_response *w);
void message_zip(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_READ_H */
