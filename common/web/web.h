#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * Requests and responses of the web programs.  A program is a struct web_app:
 * a table of routes and a few hooks; it hands each FastCGI connection the
 * daemon skeleton accepted to web_serve(), which answers one request.
 *
 * Everything of a request lives in its pool and ends with it.
 */
enum web_method {
	WEB_GET = 1, /* HEAD too: the body is made and not sent */
	WEB_POST = 2,
};

/* --- Names and values ----------------------------------------------------- */

struct web_param {
	const char *name, *value; /* UTF-8, NUL-terminated, no NUL inside */
};

struct web_params {
	struct web_param *list; /* in the order of the request */
	size_t count;
};

/* A file of a multipart form, in an unlinked temporary file. */
struct web_upload {
	const char *field;
	const char *name; /* scrubbed, never empty */
	const char *type; /* as the browser said: hostile; "" = none */
	int fd;           /* at offset 0; closed with the request */
	uint64_t size;
};

enum {
	WEB_QUERY_FIELDS_MAX = 200,
	WEB_FORM_FIELDS_MAX = 10000, /* "select all" posts an id each */
	WEB_UPLOADS_MAX = 100,
	WEB_PARAMS_MAX = 200, /* FastCGI parameters */
	WEB_PARAMS_BYTES_MAX = 64 * 1024,
	WEB_PATH_ARGS_MAX = 4,
};

struct web_route;
struct page_look;
struct login_rules;

struct web_request {
	struct pool pool;
	const struct web_app *app;
	void *ctx; /* of web_serve() */
	const struct web_route *route;
	enum web_method method;
	const char *base;   /* mount prefix, "" or "/webmail" */
	const char *path;   /* below base, decoded once, begins with '/' */
	const char *target; /* as asked for: path below base and query */
	const char *args[WEB_PATH_ARGS_MAX]; /* what {} of the route matched */
	struct web_params query, form, cookies;
	struct web_upload *uploads;
	size_t upload_count;
	const char *host;        /* lower case, without port, "" if odd */
	const char *remote_addr; /* as the web server says */
	const char *user_agent, *accept_language;
	struct slice raw; /* of a POST outside the prefix: its body */
	const char *part; /* X-Part, or "" */
	bool https;
	bool loopback;       /* the browser is on this machine, by loopback */
	bool head;           /* HEAD */
	bool elsewhere;      /* outside the prefix; then path is all of it */
	char *const *params; /* private: FastCGI parameters */

	/* Set by the app's session hook. */
	void *session;
	const char *csrf_secret; /* NULL: there is none */
	const char *site; /* nobody is signed in: the domain that the host's
			   * name means, or "" */

	struct page_look *look; /* private to page.c, with its session */
	const void *look_session;

	void *own; /* the program's, NULL at first; app->done() ends it */
};

/* First value, or NULL if there is none. */
const char *web_query(const struct web_request *r, const char *name);
const char *web_form(const struct web_request *r, const char *name);
/* The same, or "". */
const char *web_query_text(const struct web_request *r, const char *name);
const char *web_form_text(const struct web_request *r, const char *name);
const char *web_cookie(const struct web_request *r, const char *name);

/*
 * All values of one name, one a call, from *pos == 0 on; NULL at the end:
 *	for (size_t i = 0; (id = web_form_next(r, "id", &i)) != NULL;)
 */
const char *web_form_next(
    const struct web_request *r, const char *name, size_t *pos);

/* A header of the request ("HTTP_" form: "SEC_FETCH_SITE"), or "". */
const char *web_header(const struct web_request *r, const char *name);

/* --- The response ----------------------------------------------------------- */

struct web_cookie_options {
	int64_t max_age; /* seconds; 0: until the browser ends; < 0: delete */
	bool strict;     /* SameSite=Strict instead of Lax */
};

struct web_response {
	struct web_request *request;
	int status;         /* 200 unless set */
	const char *type;   /* "text/html; charset=utf-8" unless set */
	const char *csp;    /* own Content-Security-Policy; NULL: of pages */
	const char *cache;  /* Cache-Control; NULL: no-store */
	struct buf headers; /* private: further header lines */
	struct buf body;
	bool streaming; /* private */
	void *out;      /* private: the FastCGI stream */
};

enum {
	WEB_BODY_MAX = 16 * 1024 * 1024,
};

/*
 * Add a header line; a value with control characters is dropped whole and
 * logged: header injection ends here.
 */
void web_add_header(
    struct web_response *w, const char *name, const char *value);

/*
 * See Other, to a path of our own below the base ("/m/inbox?x=1"); anything
 * else (a host, "//", "\", control characters) goes to "/" instead.
 */
void web_redirect(struct web_response *w, const char *path);

/* A `back` value made safe the same way: it, or "/". */
const char *web_own_path(const char *path);

/* The path whose page says this flash (a word that needs no escaping). */
const char *web_flash_path(
    struct web_request *r, const char *path, const char *flash);

/*
 * A session cookie, HttpOnly.  `name` is the stem: sent as __Host-<stem> on
 * HTTPS when mounted at "/", __Secure-<stem> with Path=base below a prefix,
 * the plain stem only for HTTP on loopback; elsewhere no cookie is set and
 * false returned.  web_session_cookie() reads the same name back.
 */
bool web_set_cookie(struct web_response *w, const char *name, const char *value,
    const struct web_cookie_options *o);
const char *web_session_cookie(const struct web_request *r, const char *name);

/*
 * For what is too big for `body`: sends status and headers, then data as it
 * comes.  ERR_CLOSED: the browser has gone.
 */
int web_stream(struct web_response *w, const void *data, size_t len,
    struct err *e) MUST_CHECK;

/*
 * Headers of a download: type from the short list of safe ones or
 * application/octet-stream, Content-Disposition (inline only for safe types),
 * its own sandbox CSP.  `name` may be hostile.
 */
void web_download(struct web_response *w, const char *name, const char *type,
    bool want_inline);

/* Is it shown inline on request: raster pictures, PDF, plain text. */
bool web_type_is_safe(const char *type);

/* --- Escaping ------------------------------------------------------------------ */

void web_escape_html(struct slice s, struct buf *out); /* & < > " ' */
void web_escape_url(struct slice s, struct buf *out);  /* RFC 3986 2.3 stays */

/* Percent-decode; '+' is a space if `form`.  False: bad digits. */
bool web_unescape_url(struct slice s, bool form, struct buf *out) MUST_CHECK;

/* http, https, mailto, tel or own path ("/x"): may stand in an href. */
bool web_url_is_safe(struct slice url);

/* Plain text as HTML with its links as <a>; linear, nothing unescaped. */
void web_linkify(struct slice text, struct buf *out);

/* --- Cross-site requests --------------------------------------------------------- */

/*
 * A token bound to `secret` (a session's, or of the cookie before sign-in),
 * different each time it is printed.
 */
void web_csrf_token(const char *secret, struct buf *out);
bool web_csrf_check(const char *secret, const char *token) MUST_CHECK;

/* Sec-Fetch-Site is same-origin (or absent) and Origin, if any, is ours. */
bool web_is_same_origin(const struct web_request *r);

/* --- Routes ------------------------------------------------------------------------ */

/* What must be true before the handler runs. */
enum {
	WEB_OPEN = 0,         /* everybody */
	WEB_SESSION = 1 << 0, /* signed in, else app->sign_in() */
	WEB_NO_CSRF = 1 << 1, /* POST without a token (none so far) */
	WEB_UPLOADS = 1 << 2, /* multipart files are taken */
	WEB_ROLE_1 = 1 << 8,  /* the program's own; app->may() judges */
	WEB_ROLE_2 = 1 << 9,
	WEB_ROLE_3 = 1 << 10,
	WEB_ROLES = 0xff00,
};

struct web_route {
	unsigned methods; /* WEB_GET | WEB_POST */
	const char *path; /* "/v/{}/part/{}": {} is one non-empty component */
	unsigned flags;
	void (*handler)(struct web_request *r, struct web_response *w);
};

/* One of the program's built-in files: common/web/embed.sh makes the list. */
struct web_asset {
	const char *name; /* "templates/list.html", "static/app.css", ... */
	const char *data;
	size_t len;
};

struct web_assets {
	const struct web_asset *list; /* by name */
	size_t count;
};

struct web_app {
	const char *name;   /* "webmail" */
	const char *prefix; /* where it is mounted if the web server does not
			     * say (SCRIPT_NAME is not trusted): "/webmail" */
	const struct web_route *routes;
	size_t route_count;
	const struct web_assets *assets; /* static/ is served by itself */
	uint64_t body_max;               /* of a request; 413 beyond */
	uint64_t form_max;               /* all its text fields together */

	/*
	 * Find out who asks: fill in session and csrf_secret if there is a
	 * live session (or a cookie before sign-in).  ERR_TEMP gives 503.
	 * The response is for cookies.
	 */
	int (*find_session)(
	    struct web_request *r, struct web_response *w, struct err *e);
	/* WEB_SESSION without one: 401 and the sign-in page. */
	void (*sign_in)(struct web_request *r, struct web_response *w);
	/* Has the session this role?  403 if not; may be NULL. */
	bool (*may)(const struct web_request *r, unsigned roles);
	/* A page for `status`, body empty so far. */
	void (*error_page)(
	    struct web_request *r, struct web_response *w, const char *text);
	/* A path outside the prefix; NULL: 404.  Nobody's session, no token. */
	void (*elsewhere)(struct web_request *r, struct web_response *w);
	/*
	 * For web/page.h: whose look the page has; `values` of the page (or
	 * NULL) get what all pages of the program show.
	 */
	void (*look)(
	    struct web_request *r, struct page_look *out, json_t *values);
	const struct login_rules *login; /* for web/login.h */
	/* After each request, for the session's data; may be NULL. */
	void (*done)(struct web_request *r);
};

/* Once in a worker, before web_serve(). */
int web_start(const struct web_app *app, struct err *e) MUST_CHECK;

/*
 * Answer the one request that comes by this FastCGI connection (RFC 3875
 * variables), any thread.  Owns `fd`.  Reads and writes end after
 * `io_timeout_ms` without progress.  `temp_dir` is for uploads.
 */
void web_serve(const struct web_app *app, void *ctx, int fd,
    const char *temp_dir, int io_timeout_ms);

/* Fill in status, and body through app->error_page(). */
void web_error(struct web_response *w, int status, const char *text);

/* The media type of a file of ours by its name's ending. */
const char *web_file_type(struct slice name);

/* "{{base}}/static/<hash>": for templates. */
const char *web_static_url(struct web_request *r);

const struct web_asset *web_asset_find(
    const struct web_assets *a, const char *name);

#endif /* WEB_WEB_H */
