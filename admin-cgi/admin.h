#ifndef ADMIN_CGI_ADMIN_H
#define ADMIN_CGI_ADMIN_H

#include <jansson.h>

#include "directory/accountd.h"
#include "directory/directory.h"
#include "web/login.h"
#include "web/page.h"
#include "web/web.h"

#include "queue/spool_stat.h"

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
struct flow;

struct admin {
	const char *state_dir;
	struct accountd *accountd;
	struct accountd *runner; /* queue/control.h */
	struct directory *directory;
	struct template_set *templates;
	struct flow *flow; /* flow.h */
};

enum {
	ROLE_SERVER = WEB_ROLE_1,
	ROLE_DOMAIN = WEB_ROLE_2,
	ROLE_LIST = WEB_ROLE_3,
	ROLE_ANY = ROLE_SERVER | ROLE_DOMAIN | ROLE_LIST,
	ROLE_MANAGER = ROLE_SERVER | ROLE_DOMAIN,
	PROBLEM_FIELDS_MAX = 16,
	/* No page waits longer for another program. */
	ASK_TIMEOUT_MS = 2000,
	/* A change may be work: keys of a domain, the hash of a password. */
	WRITE_TIMEOUT_MS = 8000,
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

/* Why a form is shown again; zeroed = nothing wrong. */
struct problem {
	int status;       /* 422, or 409: somebody else changed it meanwhile */
	const char *text; /* of the whole form, or NULL; in the pool */
	const char *code; /* accountd's, or NULL */

	struct {
		const char *field, *text;
	} wrong[PROBLEM_FIELDS_MAX];

	size_t wrong_count;
};

extern const struct problem no_problem;

/* One more field is wrong (422). */
void problem_add(struct problem *p, const char *field, const char *text);

/*
 * Ask for a change.  0: done, *reply_out is the caller's unless it is NULL.
 * 1: refused, *p says why: show the form again with form_problem().  -1: an
 * answer is sent already: no answer from accountd (503), or the page that asks
 * for the password once more (it carries the whole form, and the same handler
 * runs again with it).  Takes `request`.
 */
int admin_write(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out, struct problem *p) MUST_CHECK;

/*
 * The page that asks for the password once more, and comes back here with the
 * whole form and "confirm".
 */
void admin_confirm(struct web_request *r, struct web_response *w);

/* Back to `path` (printf) with the text "flash.<flash>" shown there. */
void admin_done(struct web_request *r, struct web_response *w,
    const char *flash, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Percent-encoded, for paths and queries; in the pool. */
const char *admin_url(struct web_request *r, const char *text);

/* --- form.c --------------------------------------------------------------------- */

/*
 * Forms are tables: each field is one input, named as the key of accountd's
 * "set", which is also where its value stands in the object shown (dotted:
 * "access.pop3").  Templates get it as f.access_pop3 and write it with
 * {{#f.access_pop3}}{{>_field}}{{/f.access_pop3}}; label and help are the
 * texts "f.access.pop3" and "f.access.pop3.help" (the latter may be missing).
 *
 * Only fields that are in the POST are written.  A switch or a list of lines
 * says so by a hidden input "has" with its name, since an empty one is not
 * sent.  Values that were typed are shown again.
 */
enum form_type {
	FORM_TEXT,
	FORM_ZONE, /* of time: "Europe/Oslo" */
	FORM_NUMBER,
	FORM_SIZE, /* bytes: "50M" */
	FORM_SWITCH,
	FORM_LINES, /* several, one a line: an array */
	FORM_SECRET,
};

struct form_field {
	const char *name;
	enum form_type type;
	unsigned roles; /* who may change it, others see it; 0 = all */
};

struct form {
	const struct form_field *fields;
	size_t count;
	const char
	    *area; /* "f.<area>.<name>" goes before "f.<name>"; or NULL */
};

/* The object "f" of the page. */
json_t *form_show(struct web_request *r, const struct form *f,
    const json_t *object, const struct problem *p);

/* What was posted, as a "set"; numbers are judged here (p->status 422). */
json_t *form_read(
    struct web_request *r, const struct form *f, struct problem *p);

/* Status, "problem" and "rev" of a page that shows the form again. */
void form_problem(struct web_request *r, struct web_response *w,
    const struct problem *p, json_t *values);

/* --- users.c, user.c, import.c ----------------------------------------------------- */

/* The domain a page is about: of its path, or "domain" of its query; or NULL. */
const char *domain_of_page(struct web_request *r);

/* A list verb with domain, match ("q"), after and limit of the page. */
json_t *list_request(struct web_request *r, const char *verb);

/* What list pages have: rows (stolen), q, domain, next (URL of the next page). */
json_t *list_values(struct web_request *r, const json_t *reply, json_t *rows);

/* The roles of a user as accountd tells it, in words (new). */
json_t *admin_role_words(struct web_request *r, const json_t *user);

/* What the form says of a password: "password", or "generate"; "must_change". */
void password_take(const struct web_request *r, json_t *request);

/*
 * It was set: back to the user with `flash`, or, when accountd made it up, the
 * one page that shows it.
 */
void password_done(struct web_request *r, struct web_response *w,
    const char *address, const json_t *reply, const char *flash);

void users_page(struct web_request *r, struct web_response *w);
void users_act(struct web_request *r, struct web_response *w);
void user_new_page(struct web_request *r, struct web_response *w);
void user_new_post(struct web_request *r, struct web_response *w);
void user_page(struct web_request *r, struct web_response *w);
void user_post(struct web_request *r, struct web_response *w);
void user_delete_page(struct web_request *r, struct web_response *w);
void user_delete_post(struct web_request *r, struct web_response *w);
void import_page(struct web_request *r, struct web_response *w);
void import_post(struct web_request *r, struct web_response *w);
void export_get(struct web_request *r, struct web_response *w);

/* --- domains.c ------------------------------------------------------------------- */

/* Rows of "domain list": `shown` is how a name is written where it differs. */
void domains_shape(json_t *items);
void domains_page(struct web_request *r, struct web_response *w);
void domain_new_page(struct web_request *r, struct web_response *w);
void domain_new_post(struct web_request *r, struct web_response *w);
void domain_page(struct web_request *r, struct web_response *w);
void domain_post(struct web_request *r, struct web_response *w);
void domain_delete_page(struct web_request *r, struct web_response *w);
void domain_delete_post(struct web_request *r, struct web_response *w);
void look_page(struct web_request *r, struct web_response *w);
void look_post(struct web_request *r, struct web_response *w);

/* --- lists.c, admins.c, me.c --------------------------------------------------------- */

void aliases_page(struct web_request *r, struct web_response *w);
void aliases_post(struct web_request *r, struct web_response *w);
void alias_page(struct web_request *r, struct web_response *w);
void alias_post(struct web_request *r, struct web_response *w);
void lists_page(struct web_request *r, struct web_response *w);
void lists_post(struct web_request *r, struct web_response *w);
void list_page(struct web_request *r, struct web_response *w);
void list_post(struct web_request *r, struct web_response *w);
void admins_page(struct web_request *r, struct web_response *w);
void audit_page(struct web_request *r, struct web_response *w);
void me_page(struct web_request *r, struct web_response *w);
void me_post(struct web_request *r, struct web_response *w);

/* --- overview.c ------------------------------------------------------------------- */

/* How full the queue is; false: the runner does not say. */
bool overview_queue(struct web_request *r, struct spool_stat *out);
void overview_page(struct web_request *r, struct web_response *w);
void overview_post(struct web_request *r, struct web_response *w);

#endif /* ADMIN_CGI_ADMIN_H */
