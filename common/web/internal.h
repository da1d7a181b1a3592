#ifndef WEB_INTERNAL_H
#define WEB_INTERNAL_H

#include <sys/types.h>

#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "web/web.h"

/*
 * What the files of common/web share; nothing for programs.
 *
 * One request's connection to the web server, so that everything above it can
 * be tested without one.
 */
struct web_exchange {
	char *const *params; /* "NAME=value", NULL at the end */
	/* Up to `size` bytes of the body; 0 at its end, -1: broken off. */
	ssize_t (*read)(void *io, void *data, size_t size);
	int (*write)(void *io, const void *data, size_t len);
	void *io;
};

void web_handle(const struct web_app *app, void *ctx, struct web_exchange *x,
    const char *temp_dir);

/* --- request.c ------------------------------------------------------------- */

/*
 * Everything but the body.  On -1 *status_out says which error to answer; the
 * request is good enough for an error page.
 */
int web_request_init(struct web_request *r, const struct web_app *app,
    const struct web_exchange *x, int *status_out) MUST_CHECK;

/* The body of a POST into r->form and r->uploads (if `take_files`). */
/* A body of any type, at most 64 KiB, into r->raw; else -1. */
int web_read_raw(struct web_request *r, struct web_exchange *x) MUST_CHECK;

int web_read_body(struct web_request *r, struct web_exchange *x,
    const char *temp_dir, bool take_files, int *status_out) MUST_CHECK;

void web_request_release(struct web_request *r);

/* --- response.c -------------------------------------------------------------- */

void web_response_init(
    struct web_response *w, struct web_request *r, struct web_exchange *x);

/* Send what is not sent yet. */
void web_response_finish(struct web_response *w);
void web_response_release(struct web_response *w);

/* --- static.c ---------------------------------------------------------------- */

/* /static/<hash>/<name>. */
void web_static(struct web_request *r, struct web_response *w);

#endif /* WEB_INTERNAL_H */
