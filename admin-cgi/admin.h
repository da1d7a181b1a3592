#ifndef ADMIN_CGI_ADMIN_H
#define ADMIN_CGI_ADMIN_H

#include <jansson.h>

#include "directory/accountd.h"
#include "directory/directory.h"
#include "web/login.h"
#include "web/page.h"
#include "web/web.h"

/*
 * What the files of admin-cgi share; all in a worker, on any of its threads.
 *
 * How a page is added:
 *  1. a handler `void NAME(struct web_request *, struct web_response *)`,
 *     declared below, in a file of its own area;
 *  2. a row in routes[] (app.c): method, path, who may, handler.  The router
 *     checks session, role and csrf token before the handler runs, and the
 *     matrix test (tests/e2e/test_admin_matrix.py) tries every row by itself;
 *  3. a template in pages/templates/, which begins with {{>_start}} and ends
 *     with {{>_end}} (the frame around every page), and its texts in
 *     pages/lang/<area>/en.json;
 *  4. a link in pages/templates/_side.html, inside the section of who may.
 *
 * GET shows, POST changes and answers with web_redirect() (303), or with the
 * form again, status 422 and what is wrong.  A page never asks accountd's
 * database itself: it asks a verb with admin_ask(), which carries the session,
 * so that accountd judges who acts; route roles only decide what is shown.
 * {{#can.server}}, {{#can.domain}}, {{#can.list}} say it in templates.
 */
struct admin {
	const char *state_dir;
	struct accountd *accountd;
	struct directory *directory;
	struct template_set *templates;
};

enum {
	ROLE_SERVER = WEB_ROLE_1,
	ROLE_DOMAIN = WEB_ROLE_2,
	ROLE_LIST = WEB_ROLE_3,
	ROLE_ANY = ROLE_SERVER | ROLE_DOMAIN | ROLE_LIST,
	ROLE_MANAGER = ROLE_SERVER | ROLE_DOMAIN,
	/* No page waits longer for another program. */
	ASK_TIMEOUT_MS = 2000,
};

/* pages.c is made of the folder pages/. */
extern const struct web_assets admin_assets;
extern const struct web_app admin_app; /* app.c */

static inline struct admin *
admin_of(const struct web_request *r)
{
	return r->ctx;
}

/* --- app.c ---------------------------------------------------------------------- */

/* The ROLE_ bits of who is signed in. */
unsigned admin_roles(const struct web_request *r);

/*
 * Send the page `name` with its translated title ("title.<name>" in the
 * catalogue) and `section` of the navigation current.  Takes `values`.  The
 * query's flash=KEY is shown as the text "flash.KEY".
 */
void admin_page(struct web_request *r, struct web_response *w, const char *name,
    const char *section, json_t *values);

/* --- ask.c ---------------------------------------------------------------------- */

/*
 * Ask accountd as who is signed in.  Takes `request` (a new reference); on 0
 * *reply_out is the caller's.  -1: refused or no answer (e->kind ERR_TEMP or
 * ERR_TIMEOUT), the text may be shown.
 */
int admin_ask(struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e) MUST_CHECK;

/* The same where no answer ends the page: an error page is sent. */
int admin_need(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out) MUST_CHECK;

/* An error page for `e`: 503 without an answer, else 404. */
void admin_refuse(
    struct web_request *r, struct web_response *w, const struct err *e);

/* --- overview.c ------------------------------------------------------------------- */

void overview_page(struct web_request *r, struct web_response *w);

#endif /* ADMIN_CGI_ADMIN_H */
