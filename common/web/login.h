#ifndef WEB_LOGIN_H
#define WEB_LOGIN_H

#include <jansson.h>

#include "directory/accountd.h"
#include "web/web.h"

/*
 * Signing in and out, the same in both web programs: accountd makes and judges
 * sessions, the browser keeps the token in a cookie.  Before signing in there
 * is a cookie of its own, which only the token of the sign-in form hangs on.
 * A program says its rules in web_app.login and puts the handlers into its
 * table of routes.
 */
struct login_rules {
	/* stems of the cookies' names; `code`: between the steps */
	const char *cookie, *before, *code;
	/* of one more, which says who was signed in: then what is posted after
	 * a session's end can be posted again by the same user; or NULL */
	const char *who;
	bool strict;       /* SameSite=Strict */
	bool may_keep;     /* "keep me signed in" */
	bool domain_names; /* the name of a domain is a login */
	const char *home;  /* where one comes after signing in */
	int timeout_ms;    /* of a question to accountd */
	struct accountd *(*accountd)(const struct web_request *r);
};

/* Who is signed in (web_request.session); lives in the request's pool. */
struct session {
	const char *token;
	const char *address, *local, *domain, *name;
	int64_t id;   /* in the list of sessions */
	json_t *user; /* the account as accountd shows it; login_done() frees */
	bool must_enrol; /* a second step is required and not set up */
};

static inline const struct session *
session_of(const struct web_request *r)
{
	return r->session;
}

/* The hooks of struct web_app. */
int login_find_session(
    struct web_request *r, struct web_response *w, struct err *e);
void login_needed(struct web_request *r, struct web_response *w);
void login_done(struct web_request *r);

/*
 * GET and POST /login (page "login"), GET /login/2 and /login/3 the same; POST
 * /login/2 (of the page "login2", for who has a second step) and /login/3 (of
 * "login3", for who must choose a password); POST /logout.
 */
void login_page(struct web_request *r, struct web_response *w);
void login_post(struct web_request *r, struct web_response *w);
void login_code_post(struct web_request *r, struct web_response *w);
void login_choose_post(struct web_request *r, struct web_response *w);
void logout_post(struct web_request *r, struct web_response *w);

/*
 * Sign in with what was typed: a new session and its cookies.  NULL, or the
 * key of the text that says why not, with the response's status set; then
 * nothing has changed.  NULL with r->session still NULL: another step is asked for.
 */
const char *login_start(struct web_request *r, struct web_response *w,
    const char *login, const char *pass, bool keep);

/* The session has ended: its cookies go. */
void login_forget(struct web_response *w);

#endif /* WEB_LOGIN_H */
