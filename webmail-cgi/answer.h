#ifndef WEBMAIL_CGI_ANSWER_H
#define WEBMAIL_CGI_ANSWER_H

#include "webmail-cgi/draft.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/webmail.h"

/*
 * Drafts made of other messages: replies, forwards, the same once more.
 * Pressing Reply stores nothing: the page is made of the original, and what
 * the draft takes of its files stands in the form until it is first stored.
 */

/*
 * POST /v/<id>/<verb>: 303 to a new draft that is made of the message; with
 * the field `quote`, what was selected of it, its page at once.
 */
void answer_post(struct web_request *r, struct web_response *w);

/*
 * Fill a new draft as the verb ("reply", "forward-eml"...) wants it; nothing is
 * stored.  "quick": a reply to all, unless one got a hidden copy.  Its files
 * are pending; what d->text has already stands where a reply is written.
 * `selected`: quote only this, or NULL.  ERR_PERM: there is no such message.
 */
int answer_fill(struct web_request *r, const char *id, const char *verb,
    const char *selected, struct draft *d, struct err *e) MUST_CHECK;

/* Some a quick reply to a message goes to, of its mime_view(); "": nobody. */
const char *answer_names(struct web_request *r, json_t *view);

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

/* --- answer_files.c: the files that come along ---------------------------------------- */

/*
 * The pending files of a draft whose form is posted for the first time: those
 * of the fields `take`, parts of the message of the field `of`.  ERR_PERM: the
 * message is gone, and the files are none now; ERR_TEMP: they are unnamed.
 */
int answer_take(
    struct web_request *r, struct draft *d, struct err *e) MUST_CHECK;

/* As draft_save(), with the pending files and what was uploaded. */
int answer_save(
    struct web_request *r, struct draft *d, struct err *e) MUST_CHECK;

/* --- Between the two ------------------------------------------------------------------- */

/* The message an answer is made of. */
struct original {
	struct web_request *r;
	int fd;              /* -1: not open */
	const char *id;      /* in URLs; "" if it has none */
	const char *answers; /* for the draft: where it is */
	json_t *summary;     /* mime_view() */
	json_t *headers;
	struct identities own;
};

/* Found and open, nothing read; ERR_PERM: there is no such message. */
int original_open(struct web_request *r, const char *id, struct original *out,
    struct err *e) MUST_CHECK;
void original_close(struct original *o);

/* Pending: all that the text does not show; or the message as one file. */
void answer_add_files(const struct original *o, struct draft *d);
void answer_add_whole(const struct original *o, struct draft *d);

/* As answer_save(), of an original that is open; nothing was uploaded. */
int answer_save_of(
    struct original *o, struct draft *d, struct err *e) MUST_CHECK;

#endif /* WEBMAIL_CGI_ANSWER_H */
