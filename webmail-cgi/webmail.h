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
	int state_fd;                /* the state directory */
	struct mailboxes *mailboxes; /* mailbox.h */
	const char *state_dir, *users_dir, *temp_dir;
	struct accountd *runner; /* the queue runner's control socket */
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

#endif /* WEBMAIL_CGI_WEBMAIL_H */
