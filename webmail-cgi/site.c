/*
 * A domain's own look and the addresses it had before; see site.h.  Brand
 * files are read at each request (they are small, and browsers keep them for
 * an hour); their names are checked here, so nothing else of the state
 * directory can be asked for.
 */
#include "webmail-cgi/site.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#include "webmail-cgi/autoconfig.h"

enum {
	BRAND_FILE_MAX = 4 * 1024 * 1024,
};

/* --- The host's name ----------------------------------------------------------- */

static const char *
known_domain(struct web_request *r, const char *name)
{
	struct dir_domain domain;
	struct err e;

	return name[0] != '\0' &&
		dir_find_domain(webmail_of(r)->directory, name, &r->pool,
		    &domain, &e) == DIR_FOUND &&
		!domain.disabled
	    ? domain.name
	    : NULL;
}

/* example.org itself, or a host in it: mail.example.org. */
const char *
site_of_host(struct web_request *r)
{
	const char *parent = strchr(r->host, '.');
	const char *name = known_domain(r, r->host);

	if (name == NULL && parent != NULL)
		name = known_domain(r, parent + 1);
	return name != NULL ? name : "";
}

int
site_find_session(struct web_request *r, struct web_response *w, struct err *e)
{
	if (login_find_session(r, w, e) != 0)
		return -1;
	if (r->session == NULL)
		r->site = site_of_host(r);
	return 0;
}

void
site_elsewhere(struct web_request *r, struct web_response *w)
{
	static const char client[] = "/IClient";
	struct slice path = slice_str(r->path);

	if (slice_istarts(path, client) &&
	    (path.len == sizeof(client) - 1 ||
		path.data[sizeof(client) - 1] == '/'))
		web_redirect(w, "/");
	else if (ascii_casecmp(r->path, "/addnewuser") == 0)
		web_redirect(w, "/signup");
	else if (!autoconfig_answer(r, w))
		web_error(w, 404, page_text(r, "error.no_page"));
}

/* --- Brand files --------------------------------------------------------------- */

/* One component that is neither hidden nor a way out. */
static bool
is_file_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 100 || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!ascii_is_alnum((unsigned char)name[i]) &&
		    strchr("._-", name[i]) == NULL)
			return false;
	}
	return true;
}

/* The domain's file, else the server's; relative to the state directory. */
static const char *
brand_path(struct web_request *r, const char *domain, const char *file,
    struct stat *st)
{
	int dir = webmail_of(r)->state_fd;
	const char *path = pool_printf(&r->pool, "domains/%s/%s", domain, file);

	if (domain[0] != '\0' &&
	    fstatat(dir, path, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st->st_mode))
		return path;
	path = pool_printf(&r->pool, "web/%s", file);
	return fstatat(dir, path, st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st->st_mode)
	    ? path
	    : NULL;
}

static const char *
brand_url(struct web_request *r, const char *domain, const char *file)
{
	struct stat st;

	if (brand_path(r, domain, file, &st) == NULL)
		return NULL;
	return pool_printf(&r->pool, "%s/brand/%s/%s?v=%llx", r->base,
	    domain[0] != '\0' ? domain : "-", file,
	    (unsigned long long)st.st_mtim.tv_sec ^
		(unsigned long long)st.st_mtim.tv_nsec);
}

void
site_add_brand(struct web_request *r, const char *domain, struct page_look *out)
{
	out->css = brand_url(r, domain, "brand.css");
	out->logo = brand_url(r, domain, "images/logo.svg");
	if (out->logo == NULL)
		out->logo = brand_url(r, domain, "images/logo.png");
}

static void
send_brand(struct web_request *r, struct web_response *w, const char *file,
    const char *type)
{
	const char *domain = r->args[0], *path = NULL;
	struct stat st;
	struct buf data;
	struct err e;

	buf_init(&data, BRAND_FILE_MAX);
	if (strcmp(domain, "-") == 0)
		domain = "";
	if (domain[0] == '\0' || is_file_name(domain))
		path = brand_path(r, domain, file, &st);
	if (path == NULL ||
	    file_read(webmail_of(r)->state_fd, path, &data, &e) != 0) {
		web_error(w, 404, page_text(r, "error.no_page"));
	} else {
		w->type = type;
		w->cache = "public, max-age=3600";
		/* an SVG must not run anything when it is opened by itself */
		w->csp =
		    "default-src 'none'; style-src 'unsafe-inline'; sandbox";
		buf_add(&w->body, data.data, data.len);
	}
	buf_release(&data);
}

void
brand_css(struct web_request *r, struct web_response *w)
{
	send_brand(r, w, "brand.css", "text/css; charset=utf-8");
}

void
brand_image(struct web_request *r, struct web_response *w)
{
	const char *name = r->args[1];
	const char *type = web_file_type(slice_str(name));

	if (is_file_name(name) && strncmp(type, "image/", 6) == 0)
		send_brand(
		    r, w, pool_printf(&r->pool, "images/%s", name), type);
	else
		web_error(w, 404, page_text(r, "error.no_page"));
}
