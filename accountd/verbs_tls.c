/*
 * Certificates: what there is, put one in, make one, take one away.  The
 * daemons that speak TLS see the files change by themselves.
 *
 * The key goes in and never out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "directory/certs.h"
#include "mail/address.h"
#include "net/tls.h"

#include "request.h"

/* By name; "after" is the name that ended the last page. */
int
verb_tls_list(struct request *q, struct err *e)
{
	const char *after, *last = NULL;
	json_t *all, *item;
	struct page p;
	size_t i;

	if (req_optional(q, "after", &after, e) != 0 ||
	    certs_json(q->core->state_dir, &all, e) != 0)
		return -1;
	page_init(&p, q);
	json_array_foreach(all, i, item) {
		const char *name =
		    json_string_value(json_object_get(item, "name"));

		if (after != NULL && strcmp(name, after) <= 0)
			continue;
		if (!page_add(&p, json_incref(item))) {
			json_object_set_new(q->out, "next", json_string(last));
			break;
		}
		last = pool_strdup(&q->pool, name);
	}
	json_decref(all);
	return 0;
}

/* "name" of the request, and tls/. */
static int
open_named(struct request *q, char name[ADDRESS_DOMAIN_MAX + 1], int *fd_out,
    struct err *e)
{
	const char *text;

	if (req_string(q, "name", &text, e) != 0)
		return -1;
	if (domain_normalise(slice_str(text), name, e) != 0) {
		q->field = "name";
		return -1;
	}
	*fd_out = open(pool_printf(&q->pool, "%s/tls", q->core->state_dir),
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd_out < 0 ? err_errno(e, "tls") : 0;
}

static int
answer(struct request *q, const char *name, int64_t not_after)
{
	char until[CLOCK_RFC3339_SIZE];

	clock_rfc3339(not_after, until);
	q->after = json_pack("{ss,ss}", "name", name, "not_after", until);
	json_object_update(q->out, q->after);
	return 0;
}

static int
replace(int dir_fd, const char *name, const char *ending, const char *text,
    struct err *e)
{
	char file[ADDRESS_DOMAIN_MAX + 8];

	(void)snprintf(file, sizeof(file), "%s.%s", name, ending);
	return file_replace(dir_fd, file, 0640, text, strlen(text), e);
}

/* "certificate" and "key" in PEM, checked before anything is replaced. */
int
verb_tls_install(struct request *q, struct err *e)
{
	const char *cert =
	    json_string_value(json_object_get(q->in, "certificate"));
	const char *key = json_string_value(json_object_get(q->in, "key"));
	char name[ADDRESS_DOMAIN_MAX + 1];
	int64_t not_after;
	int fd, rc;

	if (cert == NULL || key == NULL)
		return refuse(
		    q, e, "missing", "a certificate and its key are needed");
	if (open_named(q, name, &fd, e) != 0)
		return -1;
	rc = tls_check_pair(slice_str(cert), slice_str(key), &not_after, e);
	/* The key first: a server that reloads between finds a pair or not. */
	if (rc == 0)
		rc = replace(fd, name, "key", key, e);
	if (rc == 0)
		rc = replace(fd, name, "crt", cert, e);
	(void)close(fd);
	return rc == 0 ? answer(q, name, not_after) : -1;
}

/* For "host" (absent: the name itself). */
int
verb_tls_self_signed(struct request *q, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1], host[ADDRESS_DOMAIN_MAX + 1];
	const char *text;
	int fd, rc;

	if (req_optional(q, "host", &text, e) != 0 ||
	    open_named(q, name, &fd, e) != 0)
		return -1;
	rc = domain_normalise(slice_str(text != NULL ? text : name), host, e);
	if (rc == 0)
		rc = tls_make_self_signed(fd, name, host, e);
	(void)close(fd);
	if (rc == 0)
		q->after = json_pack(
		    "{ss,ss,sb}", "name", name, "host", host, "self_signed", 1);
	return rc;
}

int
verb_tls_delete(struct request *q, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1], file[ADDRESS_DOMAIN_MAX + 8];
	int fd, rc = 0;

	if (open_named(q, name, &fd, e) != 0)
		return -1;
	/* .crt first: what has none is not read */
	for (int i = 0; i < 2 && rc == 0; i++) {
		(void)snprintf(
		    file, sizeof(file), "%s.%s", name, i == 0 ? "crt" : "key");
		if (strcmp(name, "default") == 0)
			rc = refuse(q, e, "needed",
			    "default serves all clients that name no host; "
			    "install another in its place");
		else if (unlinkat(fd, file, 0) != 0)
			rc = errno == ENOENT ? refuse(q, e, "not-found",
						   "no certificate %s", name)
					     : err_errno(e, "%s", file);
	}
	(void)close(fd);
	q->before = json_pack("{ss}", "name", name);
	return rc;
}
