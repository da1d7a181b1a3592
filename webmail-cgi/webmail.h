#ifndef WEBMAIL_CGI_WEBMAIL_H
#define WEBMAIL_CGI_WEBMAIL_H

#include <jansson.h>

#include "directory/accountd.h"
#include "directory/directory.h"
#include "mime/mime.h"
#include "web/login.h"
#include "web/page.h"
#include "web/template.h"
#include "web/web.h"

#include "maildir/maildir.h"
#include "queue/spool.h"

/* What the files of webmail share; all in a worker, on any of its threads. */

struct webmail {
	struct accountd *accountd;
	struct directory *directory;
	struct mime *mime;
	struct template_set *templates;
	struct spool_writer *spool;
	int mail_root_fd;
	int state_fd; /* the state directory */
	const char *users_dir;
	struct mailboxes *mailboxes; /* mailbox.h */
};

enum {
	ACCOUNTD_TIMEOUT_MS = 5000,
	TEXT_MAX = 2 * 1024 * 1024, /* of a message being written */
};

/* pages.c is made of the folder pages/. */
extern const struct web_assets webmail_assets;
extern const struct web_app webmail_app; /* app.c */

static inline struct webmail *
webmail_of(const struct web_request *r)
{
	return r->ctx;
}

/* --- folders.c --------------------------------------------------------------------- */

struct folder {
	const char *id;    /* in URLs */
	const char *title; /* key of its translation */
	const char *dir;   /* "" = the inbox */
};

/* NULL: there is no such folder. */
const struct folder *folder_find(const char *id);

int folder_open(const struct web_request *r, const struct folder *f,
    bool create, struct maildir *out, struct err *e) MUST_CHECK;

/* Title and which entry of the navigation is current. */
void folder_describe(
    struct web_request *r, const struct folder *f, json_t *out);

/* A message by its id in URLs, opened; ERR_PERM: not there. */
int folder_open_message(const struct web_request *r, const struct folder *f,
    const char *id, int *fd_out, struct err *e) MUST_CHECK;

void list_page(struct web_request *r, struct web_response *w);
void list_root(struct web_request *r, struct web_response *w);

/* --- compose.c ------------------------------------------------------------------------ */

void compose_page(struct web_request *r, struct web_response *w);
void compose_post(struct web_request *r, struct web_response *w);

/* --- outgoing.c ------------------------------------------------------------------------ */

/* A message somebody wrote; strings as typed. */
struct outgoing {
	const char *to, *cc, *bcc, *subject, *text;
	const char *in_reply_to, *references; /* ids without <>, or "" */
};

enum outgoing_result {
	OUTGOING_SENT,
	OUTGOING_NOT_FILED, /* sent, but there is no copy in Sent */
	OUTGOING_NO_RECIPIENT,
	OUTGOING_TOO_MANY,
	OUTGOING_BAD_ADDRESS, /* *bad_out, in the pool */
	OUTGOING_TOO_LARGE,
	OUTGOING_FAILED, /* nothing was sent; logged */
};

enum outgoing_result outgoing_send(
    struct web_request *r, const struct outgoing *m, const char **bad_out);

#endif /* WEBMAIL_CGI_WEBMAIL_H */
