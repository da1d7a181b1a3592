#ifndef WEBMAIL_CGI_LIST_H
#define WEBMAIL_CGI_LIST_H

#include <jansson.h>

#include "maildir/index.h"

#include "webmail-cgi/webmail.h"

/*
 * Lists of messages: folders, search results, and what is done to their rows.
 */

/* GET /m/<folder>, /search, /jobs/<token>, /poll; POST /act, /undo/<token> */
void list_page(struct web_request *r, struct web_response *w);
void list_root(struct web_request *r, struct web_response *w);
void list_poll(struct web_request *r, struct web_response *w);
void search_page(struct web_request *r, struct web_response *w);
void help_page(struct web_request *r, struct web_response *w);
void act_post(struct web_request *r, struct web_response *w);
void undo_post(struct web_request *r, struct web_response *w);
void job_page(struct web_request *r, struct web_response *w);

/* --- list.c -------------------------------------------------------------------- */

/* The view a folder and the query's `filter` name, as the user likes it. */
void list_view(struct web_request *r, const char *dir, const char *filter,
    struct index_view *out);
size_t list_rows_wanted(struct web_request *r);
int64_t list_before(struct web_request *r); /* of the query; 0: none */

/* What all lists' templates need: modseq, list_url, missing. */
void list_add_common(struct web_request *r, struct index *x, json_t *values);

/*
 * Send a list, or its rows alone (X-Part: rows), or 304.  Takes `out`.
 */
void list_send(struct web_request *r, struct web_response *w,
    const char *template, const char *title, json_t *out);

/* --- list_rows.c ------------------------------------------------------------- */

/*
 * groups: [{title, rows: [...]}] by date in the reader's zone.  `recipients`:
 * rows say whom a message went to (Sent, Drafts).  `back` is the list's query
 * for links to go back to it.
 */
json_t *list_groups(struct web_request *r, struct index *x,
    const struct index_rows *rows, bool recipients);

/*
 * Of the page before: {text, undo, back} of the query's flash, n and undo; or
 * NULL.
 */
json_t *list_flash(struct web_request *r);

/* "/m/inbox?filter=unread": where this list is, without flash. */
const char *list_url(struct web_request *r);

/* --- search_page.c ------------------------------------------------------------ */

/* A query as the user types it, its labels made keywords. */
struct search_query;
void search_understand(
    struct web_request *r, const char *text, struct search_query *out);

#endif /* WEBMAIL_CGI_LIST_H */
