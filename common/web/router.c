/*
 * From a request to its handler: who asks, may they, is it they who ask; see
 * web.h.  Handlers never check any of it again.  Any thread.
 */
#include <string.h>

#include "base/log.h"
#include "web/internal.h"

/* --- Routes ------------------------------------------------------------------------ */

/* "/v/{}/part/{}" against "/v/12/part/1.2". */
static bool
matches(struct web_request *r, const char *pattern)
{
	struct slice want = slice_str(pattern), have = slice_str(r->path);
	struct slice a, b;
	size_t count = 0;

	while (want.data != NULL && have.data != NULL) {
		want = slice_cut(want, '/', &a);
		have = slice_cut(have, '/', &b);
		if (!slice_eq_str(a, "{}")) {
			if (!slice_eq(a, b))
				return false;
			continue;
		}
		if (b.len == 0 || count >= WEB_PATH_ARGS_MAX)
			return false;
		r->args[count++] = pool_strndup(&r->pool, b.data, b.len);
	}
	return want.data == NULL && have.data == NULL;
}

/* NULL: none; *path_known_out: by another method there is. */
static const struct web_route *
find_route(struct web_request *r, bool *path_known_out)
{
	*path_known_out = false;
	for (size_t i = 0; i < r->app->route_count; i++) {
		const struct web_route *route = &r->app->routes[i];

		memset(r->args, 0, sizeof(r->args));
		if (!matches(r, route->path))
			continue;
		if (route->methods & r->method)
			return route;
		*path_known_out = true;
	}
	return NULL;
}

/* --- Errors ---------------------------------------------------------------------------- */

void
web_error(struct web_response *w, int status, const char *text)
{
	if (w->streaming)
		return; /* too late to say anything */
	w->status = status;
	w->type = "text/html; charset=utf-8";
	w->csp = w->cache = NULL;
	buf_reset(&w->body);
	buf_reset(&w->headers);
	if (status == 503)
		web_add_header(w, "Retry-After", "5");
	if (w->request->app->error_page != NULL)
		w->request->app->error_page(w->request, w, text);
	if (w->body.len == 0) {
		w->type = "text/plain; charset=utf-8";
		buf_addf(&w->body, "%s\n", text);
	}
}

static const char *
status_text(int status)
{
	switch (status) {
	case 403:
		return "This request did not come from one of our own pages. "
		       "Go back, reload the page and try again.";
	case 404:
		return "There is no such page.";
	case 405:
		return "This page does not work that way.";
	case 413:
		return "That is too large.";
	case 415:
		return "That is not a form.";
	case 431:
		return "The request is too long.";
	case 503:
		return "Not possible just now. Please try again.";
	default:
		return "The request is not understood.";
	}
}

static void
refuse(struct web_response *w, int status)
{
	web_error(w, status, status_text(status));
}

/* --- One request -------------------------------------------------------------------------- */

/* Is it the user who posts, from a page of ours. */
static bool
is_own_post(const struct web_request *r)
{
	return web_is_same_origin(r) &&
	    ((r->route->flags & WEB_NO_CSRF) ||
		web_csrf_check(r->csrf_secret, web_form(r, "csrf")));
}

/* Everything that must be true before the handler; 0 if it is. */
static int
check(struct web_request *r, struct web_response *w, struct web_exchange *x,
    const char *temp_dir)
{
	const struct web_app *app = r->app;
	bool signed_in = r->session != NULL;
	unsigned flags = r->route->flags;
	int status;

	/* a stranger's files are not kept; his text is, for "carry on" */
	if (r->method == WEB_POST &&
	    web_read_body(r, x, temp_dir,
		(flags & WEB_UPLOADS) && (signed_in || !(flags & WEB_SESSION)),
		&status) != 0)
		return status;
	if ((flags & WEB_SESSION) && !signed_in) {
		w->status = 401;
		app->sign_in(r, w);
		return -1;
	}
	if (r->method == WEB_POST && !is_own_post(r))
		return 403;
	if ((flags & WEB_ROLES) && app->may != NULL &&
	    !app->may(r, flags & WEB_ROLES))
		return 404; /* who may not, need not know */
	return 0;
}

static void
dispatch(struct web_request *r, struct web_response *w, struct web_exchange *x,
    const char *temp_dir)
{
	bool path_known;
	struct err e;
	int status;

	if (strncmp(r->path, "/static/", 8) == 0 && r->method == WEB_GET) {
		web_static(r, w);
		return;
	}
	r->route = find_route(r, &path_known);
	if (r->route == NULL) {
		refuse(w, path_known ? 405 : 404);
		return;
	}
	if (r->app->find_session != NULL &&
	    r->app->find_session(r, w, &e) != 0) {
		log_error("web: %s", e.text);
		refuse(w, 503);
		return;
	}
	status = check(r, w, x, temp_dir);
	if (status > 0)
		refuse(w, status);
	else if (status == 0)
		r->route->handler(r, w);
}

void
web_handle(const struct web_app *app, void *ctx, struct web_exchange *x,
    const char *temp_dir)
{
	struct web_request r = { .ctx = ctx };
	struct web_response w;
	int status;

	web_response_init(&w, &r, x);
	if (web_request_init(&r, app, x, &status) != 0)
		refuse(&w, status);
	else if (r.elsewhere && r.method == WEB_POST &&
	    app->elsewhere != NULL && web_read_raw(&r, x) != 0)
		refuse(&w, 413);
	else if (r.elsewhere && app->elsewhere != NULL)
		app->elsewhere(&r, &w);
	else if (r.elsewhere)
		refuse(&w, 404);
	else
		dispatch(&r, &w, x, temp_dir);
	web_response_finish(&w);
	if (app->done != NULL)
		app->done(&r);
	web_response_release(&w);
	web_request_release(&r);
}
