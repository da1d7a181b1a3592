/*
 * Reading a request; see web.h.  Nothing the web server or browser says is
 * trusted: lengths are counted here, the path is taken from REQUEST_URI (the
 * one field all web servers agree on) and decoded exactly once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "mime/mime.h"
#include "web/internal.h"
#include "web/multipart.h"

enum {
	READ_SIZE = 16 * 1024,
	COOKIES_MAX = 100,
	FIELD_NAME_MAX = 256,
	RAW_MAX = 64 * 1024,
};

/* --- FastCGI parameters ---------------------------------------------------------- */

/* The parameter's value, or "". */
static const char *
web_param_of(const struct web_exchange *x, const char *name)
{
	size_t len = strlen(name);

	for (char *const *p = x->params; p != NULL && *p != NULL; p++) {
		if (strncmp(*p, name, len) == 0 && (*p)[len] == '=')
			return *p + len + 1;
	}
	return "";
}

/* 64 KB and 200 names are more than any browser sends. */
static bool
params_are_bounded(const struct web_exchange *x)
{
	size_t bytes = 0, count = 0;

	for (char *const *p = x->params; p != NULL && *p != NULL; p++) {
		bytes += strlen(*p);
		count++;
	}
	return bytes <= WEB_PARAMS_BYTES_MAX && count <= WEB_PARAMS_MAX;
}

const char *
web_header(const struct web_request *r, const char *name)
{
	const struct web_exchange x = { .params = r->params };
	char full[80] = "HTTP_";
	size_t len = strlen(name);

	if (len >= sizeof(full) - 5)
		return "";
	memcpy(full + 5, name, len + 1);
	return web_param_of(&x, full);
}

/* --- Names and values ---------------------------------------------------------------- */

static const char *
find_value(const struct web_params *params, const char *name)
{
	for (size_t i = 0; i < params->count; i++) {
		if (strcmp(params->list[i].name, name) == 0)
			return params->list[i].value;
	}
	return NULL;
}

const char *
web_query(const struct web_request *r, const char *name)
{
	return find_value(&r->query, name);
}

const char *
web_form(const struct web_request *r, const char *name)
{
	return find_value(&r->form, name);
}

const char *
web_query_text(const struct web_request *r, const char *name)
{
	const char *text = web_query(r, name);

	return text != NULL ? text : "";
}

const char *
web_form_text(const struct web_request *r, const char *name)
{
	const char *text = web_form(r, name);

	return text != NULL ? text : "";
}

const char *
web_cookie(const struct web_request *r, const char *name)
{
	return find_value(&r->cookies, name);
}

const char *
web_form_next(const struct web_request *r, const char *name, size_t *pos)
{
	while (*pos < r->form.count) {
		const struct web_param *p = &r->form.list[(*pos)++];

		if (strcmp(p->name, name) == 0)
			return p->value;
	}
	return NULL;
}

/* A NUL or what is no UTF-8 is refused, not mended: 400. */
static bool
is_text(struct slice s)
{
	return utf8_is_valid(s) && slice_chr(s, '\0') < 0;
}

/* Add one; texts are copied to the pool, scrubbed to valid UTF-8. */
static bool
web_add_param(struct web_request *r, struct web_params *params, size_t max,
    struct slice name, struct slice value)
{
	struct web_param *list = params->list;

	if (params->count >= max || name.len > FIELD_NAME_MAX ||
	    !is_text(name) || !is_text(value))
		return false;
	/* powers of two: the pool keeps the old arrays until the end */
	if ((params->count & (params->count - 1)) == 0) {
		size_t room = params->count == 0 ? 1 : params->count * 2;

		list = pool_alloc(&r->pool, room * sizeof(*list));
		if (params->count > 0)
			memcpy(
			    list, params->list, params->count * sizeof(*list));
		params->list = list;
	}
	list[params->count].name = pool_strndup(&r->pool, name.data, name.len);
	list[params->count].value =
	    pool_strndup(&r->pool, value.data, value.len);
	params->count++;
	return true;
}

static bool
add_encoded(struct web_request *r, struct slice item, struct web_params *params,
    size_t max)
{
	struct slice name, value = slice_cut(item, '=', &name);
	struct buf plain_name, plain_value;
	bool good;

	buf_init(&plain_name, item.len + 1);
	buf_init(&plain_value, item.len + 1);
	good = web_unescape_url(name, true, &plain_name) &&
	    web_unescape_url(value, true, &plain_value) &&
	    web_add_param(r, params, max, buf_slice(&plain_name),
		buf_slice(&plain_value));
	buf_release(&plain_name);
	buf_release(&plain_value);
	return good;
}

/* Append name=value&... to `params`.  False: malformed or too many. */
static bool
web_parse_fields(struct web_request *r, struct slice text,
    struct web_params *params, size_t max)
{
	struct slice item;

	while (text.len > 0) {
		text = slice_cut(text, '&', &item);
		if (item.len > 0 && !add_encoded(r, item, params, max))
			return false;
	}
	return true;
}

/* RFC 6265 4.2.1; odd ones are passed over: other programs set some too. */
static void
read_cookies(struct web_request *r, struct slice text)
{
	struct slice item, name, value;

	while (text.len > 0) {
		text = slice_cut(text, ';', &item);
		value = slice_cut(slice_trim(item), '=', &name);
		if (name.len > 0)
			(void)!web_add_param(
			    r, &r->cookies, COOKIES_MAX, name, value);
	}
}

/* --- Path ------------------------------------------------------------------------- */

/* Decoded: an absolute path without tricks. */
static bool
path_is_fine(struct slice path)
{
	struct slice rest = path, part;

	if (!slice_starts(path, "/") || !utf8_is_valid(path))
		return false;
	for (size_t i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.data[i];

		if (c < ' ' || c == 127 || c == '\\')
			return false;
	}
	while (rest.data != NULL) {
		rest = slice_cut(rest, '/', &part);
		if (slice_eq_str(part, ".") || slice_eq_str(part, ".."))
			return false;
	}
	return true;
}

static bool
read_path(struct web_request *r, struct slice uri)
{
	struct slice raw, query = slice_cut(uri, '?', &raw);
	const char *prefix = r->app->prefix;
	struct buf path;
	size_t skip = strlen(prefix);
	bool good;

	buf_init(&path, WEB_PARAMS_BYTES_MAX);
	good = web_unescape_url(raw, false, &path) &&
	    path_is_fine(buf_slice(&path)) &&
	    web_parse_fields(r, query, &r->query, WEB_QUERY_FIELDS_MAX);
	if (good) {
		r->elsewhere = strncmp(path.data, prefix, skip) != 0 ||
		    (path.data[skip] != '\0' && path.data[skip] != '/');
		r->path = pool_strdup(
		    &r->pool, path.data + (r->elsewhere ? 0 : skip));
		if (r->path[0] == '\0')
			r->path = "/";
		else if (!r->elsewhere && slice_istarts(uri, prefix))
			r->target = pool_strndup(
			    &r->pool, uri.data + skip, uri.len - skip);
	}
	buf_release(&path);
	return good;
}

/* --- The rest of the head --------------------------------------------------------- */

static const char *
clean_host(struct web_request *r, struct slice host)
{
	struct slice name = host;
	ptrdiff_t colon = slice_rchr(host, ':');
	char *copy;

	if (colon >= 0 && slice_chr(host, ']') < colon)
		name.len = (size_t)colon;
	for (size_t i = 0; i < name.len; i++) {
		if (!ascii_is_alnum((unsigned char)name.data[i]) &&
		    strchr(".-[]:", name.data[i]) == NULL)
			return "";
	}
	if (name.len > 255)
		return "";
	copy = pool_strndup(&r->pool, name.data, name.len);
	ascii_lower_str(copy);
	return copy;
}

/* A header as text for logs and sessions; odd bytes make it empty. */
static const char *
clean_text(const char *text, size_t max)
{
	struct slice s = slice_str(text);

	return s.len <= max && utf8_is_valid(s) ? text : "";
}

static enum web_method
read_method(struct web_request *r, const char *method)
{
	r->head = strcmp(method, "HEAD") == 0;
	if (r->head || strcmp(method, "GET") == 0)
		return WEB_GET;
	return strcmp(method, "POST") == 0 ? WEB_POST : 0;
}

int
web_request_init(struct web_request *r, const struct web_app *app,
    const struct web_exchange *x, int *status_out)
{
	r->app = app;
	r->params = x->params;
	r->base = app->prefix;
	r->path = r->target = "/";
	r->site = "";
	r->method = WEB_GET;
	r->host = r->user_agent = r->accept_language = r->part = "";
	r->remote_addr = clean_text(web_param_of(x, "REMOTE_ADDR"), 64);
	r->https = ascii_casecmp(web_param_of(x, "HTTPS"), "on") == 0 ||
	    strcmp(web_param_of(x, "REQUEST_SCHEME"), "https") == 0;
	r->loopback = strncmp(r->remote_addr, "127.", 4) == 0 ||
	    strcmp(r->remote_addr, "::1") == 0;
	*status_out = 431;
	if (!params_are_bounded(x))
		return -1;
	r->host = clean_host(r, slice_str(web_header(r, "HOST")));
	r->user_agent = clean_text(web_header(r, "USER_AGENT"), 500);
	r->accept_language = clean_text(web_header(r, "ACCEPT_LANGUAGE"), 500);
	r->part = clean_text(web_header(r, "X_PART"), 40);
	*status_out = 400;
	if (!read_path(r, slice_str(web_param_of(x, "REQUEST_URI"))))
		return -1;
	read_cookies(r, slice_str(web_header(r, "COOKIE")));
	*status_out = 405;
	r->method = read_method(r, web_param_of(x, "REQUEST_METHOD"));
	if (r->method != 0)
		return 0;
	r->method = WEB_GET;
	return -1;
}

void
web_request_release(struct web_request *r)
{
	for (size_t i = 0; i < r->upload_count; i++)
		(void)close(r->uploads[i].fd);
	pool_release(&r->pool);
}

/* --- The body -------------------------------------------------------------------------- */

struct body {
	struct web_request *r;
	const char *temp_dir;
	bool take_files;
	uint64_t text_left;    /* of app->form_max */
	struct web_upload *up; /* being written, or NULL */
	struct buf name, value;
	bool in_file; /* its bytes go to `up`, or nowhere */
	int status;
};

/* The next piece; -1 with the status: too large or broken off. */
static ssize_t
next_piece(struct body *b, struct web_exchange *x, char *piece, uint64_t *left)
{
	ssize_t n = x->read(x->io, piece, READ_SIZE);

	if (n < 0)
		b->status = 400;
	else if ((uint64_t)n > *left)
		b->status = 413;
	if (n < 0 || (uint64_t)n > *left)
		return -1;
	*left -= (uint64_t)n;
	return n;
}

static int
on_begin(void *arg, struct slice name, struct slice file, struct slice type,
    struct err *e)
{
	struct body *b = arg;
	struct web_request *r = b->r;
	struct web_upload *up;
	struct buf scrubbed;

	buf_reset(&b->name);
	buf_reset(&b->value);
	buf_addslice(&b->name, name);
	b->in_file = file.data != NULL;
	b->up = NULL;
	if (!b->in_file || !b->take_files || file.len == 0)
		return 0;
	b->status = 413;
	if (r->upload_count >= WEB_UPLOADS_MAX)
		return err_set(e, ERR_PERM, "too many files");
	if (r->uploads == NULL)
		r->uploads = pool_zalloc(
		    &r->pool, WEB_UPLOADS_MAX * sizeof(*r->uploads));
	up = &r->uploads[r->upload_count];
	b->status = 503;
	up->fd = open(b->temp_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (up->fd < 0)
		return err_errno(e, "%s", b->temp_dir);
	r->upload_count++;
	buf_init(&scrubbed, 1024);
	mime_scrub_name(file, &scrubbed);
	up->name = pool_strdup(&r->pool, scrubbed.data);
	buf_release(&scrubbed);
	up->field = pool_strndup(&r->pool, name.data, name.len);
	up->type = utf8_is_valid(type)
	    ? pool_strndup(&r->pool, type.data, num_min(type.len, 200))
	    : "";
	b->up = up;
	return 0;
}

static int
on_data(void *arg, const char *data, size_t len, struct err *e)
{
	struct body *b = arg;

	if (b->up != NULL) {
		b->status = 503; /* disk full, for one */
		if (file_write_all(b->up->fd, data, len) != 0)
			return err_errno(e, "upload");
		b->up->size += len;
		return 0;
	}
	if (b->in_file)
		return 0;
	b->status = 413;
	if (len > b->text_left)
		return err_set(e, ERR_PERM, "the form is too large");
	b->text_left -= len;
	buf_add(&b->value, data, len);
	return 0;
}

static int
on_end(void *arg, struct err *e)
{
	struct body *b = arg;

	if (b->up != NULL && lseek(b->up->fd, 0, SEEK_SET) != 0)
		return err_errno(e, "upload");
	b->up = NULL;
	if (b->in_file)
		return 0;
	b->status = 400;
	if (!web_add_param(b->r, &b->r->form, WEB_FORM_FIELDS_MAX,
		buf_slice(&b->name), buf_slice(&b->value)))
		return err_set(e, ERR_SYNTAX, "an odd field");
	return 0;
}

static int
read_multipart(struct body *b, struct web_exchange *x, struct slice type)
{
	const struct multipart_events events = { on_begin, on_data, on_end, b };
	uint64_t left = b->r->app->body_max;
	char *piece = mem_alloc(READ_SIZE);
	struct multipart m;
	struct err e;
	ssize_t n = 1;
	int rc = multipart_init(&m, type, &events, &e);

	while (rc == 0 && n > 0) {
		n = next_piece(b, x, piece, &left);
		if (n < 0) {
			rc = -1;
		} else if (multipart_feed(&m, piece, (size_t)n, &e) != 0) {
			rc = -1;
			if (e.kind == ERR_SYNTAX)
				b->status = 400;
		}
	}
	if (rc == 0 && multipart_finish(&m, &e) != 0) {
		b->status = 400;
		rc = -1;
	}
	multipart_release(&m);
	free(piece);
	return rc;
}

static int
read_urlencoded(struct body *b, struct web_exchange *x)
{
	uint64_t left = b->text_left;
	char *piece = mem_alloc(READ_SIZE);
	struct buf text;
	ssize_t n;
	int rc = -1;

	buf_init(&text, (size_t)left + 1);
	while ((n = next_piece(b, x, piece, &left)) > 0)
		buf_add(&text, piece, (size_t)n);
	if (n == 0) {
		b->status = 400;
		if (web_parse_fields(b->r, buf_slice(&text), &b->r->form,
			WEB_FORM_FIELDS_MAX))
			rc = 0;
	}
	buf_release(&text);
	free(piece);
	return rc;
}

int
web_read_body(struct web_request *r, struct web_exchange *x,
    const char *temp_dir, bool take_files, int *status_out)
{
	struct slice type = slice_str(web_param_of(x, "CONTENT_TYPE")), essence;
	struct body b = { .r = r,
		.temp_dir = temp_dir,
		.take_files = take_files,
		.text_left = r->app->form_max,
		.status = 400 };
	int rc;

	(void)slice_cut(type, ';', &essence);
	essence = slice_trim(essence);
	buf_init(&b.name, FIELD_NAME_MAX + 1);
	buf_init(&b.value, (size_t)b.text_left + 1);
	if (slice_ieq_str(essence, "application/x-www-form-urlencoded")) {
		rc = read_urlencoded(&b, x);
	} else if (slice_ieq_str(essence, "multipart/form-data")) {
		rc = read_multipart(&b, x, type);
	} else {
		b.status = 415;
		rc = -1;
	}
	buf_release(&b.name);
	buf_release(&b.value);
	*status_out = b.status;
	return rc;
}

int
web_read_raw(struct web_request *r, struct web_exchange *x)
{
	char *data = pool_alloc(&r->pool, RAW_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len <= RAW_MAX) {
		n = x->read(x->io, data + len, RAW_MAX + 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0 || len > RAW_MAX)
		return -1;
	r->raw = slice_of(data, len);
	return 0;
}
