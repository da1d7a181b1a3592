#ifndef WEBMAIL_CGI_READ_H
#define WEBMAIL_CGI_READ_H

#include <jansson.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "directory/json_file.h"

#include "webmail-cgi/mailbox.h"

/*
 * Reading: the pages of messages and what hangs on them.  Everything that has
 * to understand a message is done by mailstead-parse.
 */

/* A message; lives in the request's pool. */
struct letter {
	const char *id;  /* in URLs */
	const char *url; /* "<base>/v/<id>" */
	struct index_message message;
	bool in_junk;
	bool quick; /* the box below the page answers it */
	int fd;     /* the caller closes it; -1: not opened */
};

/* How many of a route's arguments name the message. */
enum {
	LETTER_ARGS = 1
};

/* The message of this id; not opened.  ERR_PERM: there is none. */
int letter_by_id(struct web_request *r, const char *text, struct letter *out,
    struct err *e) MUST_CHECK;

/* The message the URL names.  False: answered already (404, 503). */
bool letter_find(struct web_request *r, struct web_response *w,
    struct letter *out) MUST_CHECK;

/* The same, opened. */
bool letter_open(struct web_request *r, struct web_response *w,
    struct letter *out) MUST_CHECK;

/* One the index knows, not opened. */
void letter_describe(
    struct web_request *r, const struct index_message *m, struct letter *out);

/* mime_view() of an opened one; ERR as there. */
int letter_view(struct web_request *r, const struct letter *l,
    bool prefer_plain, json_t **out, struct err *e) MUST_CHECK;

/* --- message.c: one message for the templates -------------------------------- */

/* What its folded form shows, from the index alone. */
json_t *message_head(struct web_request *r, const struct letter *l);

/*
 * Add the rest, from the opened message; `*room`: bytes of text the page has
 * room for, becomes what is left.
 */
int message_fill(struct web_request *r, const struct letter *l, size_t *room,
    json_t *msg, struct err *e) MUST_CHECK;

/* Nothing older from this address in any folder. */
bool message_is_first(struct web_request *r, const struct letter *l);

/* --- invite.c ------------------------------------------------------------------ */

/* What mime_view() says of an invitation, for the templates; NULL of NULL. */
json_t *invite_value(struct web_request *r, const json_t *invite);

/* --- receipt.c ----------------------------------------------------------------- */

/*
 * What the page says of a sender who wants to be told that this was read:
 * {to, elsewhere}, of what mime_view() says; NULL: nothing to decide.
 */
json_t *receipt_value(
    struct web_request *r, const struct letter *l, const json_t *view);

/* POST do=send|decline: tell them, or never. */
void receipt_post(struct web_request *r, struct web_response *w);

/* --- talk.c: pages ------------------------------------------------------------ */

void talk_page(struct web_request *r, struct web_response *w);
void message_page(struct web_request *r, struct web_response *w);
void message_print(struct web_request *r, struct web_response *w);
void message_headers(struct web_request *r, struct web_response *w);

/*
 * POST show=always|plain|designed: always show this sender's remote pictures;
 * mail as plain text, or as it was sent.
 */
void message_sender(struct web_request *r, struct web_response *w);

/* --- content.c: what is no page ------------------------------------------------ */

void message_body(struct web_request *r, struct web_response *w);
void message_part(struct web_request *r, struct web_response *w);
void message_picture(struct web_request *r, struct web_response *w);
void message_raw(struct web_request *r, struct web_response *w);
void message_eml(struct web_request *r, struct web_response *w);
void message_zip(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_READ_H */
