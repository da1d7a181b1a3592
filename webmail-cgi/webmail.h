#ifndef WEBMAIL_CGI_WEBMAIL_H
#define WEBMAIL_CGI_WEBMAIL_H

#include <jansson.h>

#include "directory/accountd.h"
#include "directory/directory.h"
#include "mime/mime.h"
#include "proc/limits.h"
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
	struct mailboxes *mailboxes; /* mailbox.h */
	const char *state_dir, *users_dir, *temp_dir;
	struct accountd *runner; /* the queue runner's control socket */
	struct limits *limits;   /* of all workers */
};

enum {
	ACCOUNTD_TIMEOUT_MS = 5000,
	/* of a request: a message of default size in base64, and a form */
	COMPOSE_BODY_MAX = 64 * 1024 * 1024,
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

#endif /* WEBMAIL_CGI_WEBMAIL_H */
