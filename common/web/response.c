/*
 * Writing a response; see web.h.  The security headers of every response are
 * set here and nowhere else; an own CSP replaces the pages' one, nothing else
 * can be taken away.
 */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "web/internal.h"

enum {
	HEADERS_MAX = 32 * 1024
};

static const char page_csp[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "manifest-src 'self'; require-trusted-types-for 'script'";

static const char file_csp[] =
    "sandbox; default-src 'none'; frame-ancestors 'none'";

void
web_response_init(
    struct web_response *w, struct web_request *r, struct web_exchange *x)
{
	memset(w, 0, sizeof(*w));
	w->request = r;
	w->out = x;
	w->status = 200;
	w->type = "text/html; charset=utf-8";
	buf_init(&w->headers, HEADERS_MAX);
	buf_init(&w->body, WEB_BODY_MAX);
}

void
web_response_release(struct web_response *w)
{
	buf_release(&w->headers);
	buf_release(&w->body);
}

/* --- Header lines ------------------------------------------------------------------ */

static bool
is_header_value(const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 127)
			return false;
	}
	return true;
}

void
web_add_header(struct web_response *w, const char *name, const char *value)
{
	if (!is_header_value(value)) {
		log_error("web: a %s header with control characters", name);
		return;
	}
	buf_addf(&w->headers, "%s: %s\r\n", name, value);
}

const char *
web_own_path(const char *path)
{
	if (path == NULL || path[0] != '/' || path[1] == '/' ||
	    path[1] == '\\' || !is_header_value(path) ||
	    strchr(path, '\\') != NULL || strchr(path, ' ') != NULL)
		return "/";
	return path;
}

const char *
web_flash_path(struct web_request *r, const char *path, const char *flash)
{
	return pool_printf(&r->pool, "%s%cflash=%s", path,
	    strchr(path, '?') != NULL ? '&' : '?', flash);
}

void
web_redirect(struct web_response *w, const char *path)
{
	const char *own = web_own_path(path);

	w->status = 303;
	buf_reset(&w->body);
	buf_addf(&w->headers, "Location: %s%s\r\n", w->request->base, own);
}

/* --- Cookies ------------------------------------------------------------------------- */

/* "": no cookie can be kept safely on this connection. */
static const char *
cookie_prefix(const struct web_request *r)
{
	if (r->https)
		return r->base[0] == '\0' ? "__Host-" : "__Secure-";
	return r->loopback ? "" : NULL;
}

static const char *
cookie_name(struct pool *pool, const struct web_request *r, const char *stem)
{
	const char *prefix = cookie_prefix(r);

	return prefix ? pool_printf(pool, "%s%s", prefix, stem) : NULL;
}

bool
web_set_cookie(struct web_response *w, const char *name, const char *value,
    const struct web_cookie_options *o)
{
	struct web_request *r = w->request;
	const char *full = cookie_name(&r->pool, r, name);
	char age[40] = "";

	for (const char *p = value; *p != '\0'; p++) {
		if (!ascii_is_alnum((unsigned char)*p) &&
		    strchr("-_.~=", *p) == NULL)
			return false;
	}
	if (full == NULL)
		return false;
	if (o->max_age != 0)
		(void)snprintf(age, sizeof(age), "; Max-Age=%lld",
		    o->max_age > 0 ? (long long)o->max_age : 0);
	buf_addf(&w->headers,
	    "Set-Cookie: %s=%s; Path=%s; HttpOnly; SameSite=%s%s%s\r\n", full,
	    value, r->base[0] != '\0' ? r->base : "/",
	    o->strict ? "Strict" : "Lax", r->https ? "; Secure" : "", age);
	return true;
}

const char *
web_session_cookie(const struct web_request *r, const char *name)
{
	struct pool pool = { 0 };
	const char *full = cookie_name(&pool, r, name);
	const char *value = full ? web_cookie(r, full) : NULL;

	pool_release(&pool);
	return value;
}

/* --- Sending ------------------------------------------------------------------------------ */

static const char *
status_words(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 303:
		return "See Other";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	default:
		return status < 400 ? "OK" : "Error";
	}
}

static void
add_head(const struct web_response *w, struct buf *head)
{
	bool own_frames =
	    w->csp != NULL && strstr(w->csp, "frame-ancestors 'self'") != NULL;

	buf_addf(head, "Status: %d %s\r\n", w->status, status_words(w->status));
	if (w->status != 303 && w->status != 304)
		buf_addf(head, "Content-Type: %s\r\n", w->type);
	buf_addf(head, "Content-Security-Policy: %s\r\n",
	    w->csp != NULL ? w->csp : page_csp);
	buf_addf(head, "Cache-Control: %s\r\n",
	    w->cache != NULL ? w->cache : "no-store");
	buf_addf(head,
	    "X-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: no-referrer\r\n"
	    "Cross-Origin-Opener-Policy: same-origin\r\n"
	    "Cross-Origin-Resource-Policy: same-origin\r\n"
	    "X-Frame-Options: %s\r\n"
	    "Permissions-Policy: camera=(), microphone=(), geolocation=(), "
	    "payment=(), usb=()\r\n",
	    own_frames ? "SAMEORIGIN" : "DENY");
	buf_addslice(head, buf_slice(&w->headers));
}

static int
send_head(struct web_response *w, bool with_length)
{
	struct web_exchange *x = w->out;
	struct buf head;
	int rc;

	buf_init(&head, (size_t)HEADERS_MAX * 2);
	add_head(w, &head);
	if (with_length && w->status != 304)
		buf_addf(&head, "Content-Length: %zu\r\n", w->body.len);
	buf_addstr(&head, "\r\n");
	rc = buf_overflowed(&head) ? -1 : x->write(x->io, head.data, head.len);
	buf_release(&head);
	w->streaming = true;
	return rc;
}

int
web_stream(struct web_response *w, const void *data, size_t len, struct err *e)
{
	struct web_exchange *x = w->out;

	if ((!w->streaming && send_head(w, false) != 0) ||
	    (!w->request->head && len > 0 && x->write(x->io, data, len) != 0))
		return err_set(e, ERR_CLOSED, "the browser has gone");
	return 0;
}

void
web_response_finish(struct web_response *w)
{
	struct web_exchange *x = w->out;

	if (w->streaming)
		return;
	if (buf_overflowed(&w->body) || buf_overflowed(&w->headers)) {
		log_error("web: %s: the page is too large", w->request->path);
		buf_reset(&w->body);
		buf_reset(&w->headers);
		w->status = 503;
		w->type = "text/plain; charset=utf-8";
		buf_addstr(&w->body, "This page is too large.\n");
	}
	if (send_head(w, true) == 0 && !w->request->head && w->body.len > 0)
		(void)x->write(x->io, w->body.data, w->body.len);
}

/* --- Downloads ------------------------------------------------------------------------------ */

bool
web_type_is_safe(const char *type)
{
	static const char *const safe[] = { "image/png", "image/jpeg",
		"image/gif", "image/webp", "application/pdf", "text/plain" };

	for (size_t i = 0; i < ARRAY_LEN(safe); i++) {
		if (ascii_casecmp(type, safe[i]) == 0)
			return true;
	}
	return false;
}

void
web_download(struct web_response *w, const char *name, const char *type,
    bool want_inline)
{
	bool safe = web_type_is_safe(type);
	struct buf ascii, encoded;

	buf_init(&ascii, 1024);
	buf_init(&encoded, 8192);
	for (const char *p = name; *p != '\0'; p++) {
		bool plain = ascii_is_alnum((unsigned char)*p) ||
		    strchr(" ._-()+", *p) != NULL;

		buf_addc(&ascii, plain ? *p : '_');
	}
	web_escape_url(slice_str(name), &encoded);
	/* RFC 6266 4.1 */
	buf_addf(&w->headers,
	    "Content-Disposition: %s; filename=\"%s\"; "
	    "filename*=UTF-8''%s\r\n",
	    safe && want_inline ? "inline" : "attachment", ascii.data,
	    encoded.data);
	w->type = !safe ? "application/octet-stream"
	    : ascii_casecmp(type, "text/plain") == 0
	    ? "text/plain; charset=utf-8"
	    : pool_strdup(&w->request->pool, type);
	w->csp = file_csp;
	buf_release(&ascii);
	buf_release(&encoded);
}
