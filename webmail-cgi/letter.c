/*
 * The message a URL names; see read.h.
 */
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include "webmail-cgi/read.h"

int
letter_by_id(
    struct web_request *r, const char *text, struct letter *out, struct err *e)
{
	struct index_message m;
	struct index *x;
	int64_t id;

	if (!index_id_parse(text, &id))
		return err_set(e, ERR_PERM, "no such message");
	if (mailbox_index(r, "", &x, e) != 0)
		return -1;
	if (index_find(x, id, &r->pool, &m, e) != 0 &&
	    (!mailbox_renew(r, "", &x) ||
		index_find(x, id, &r->pool, &m, e) != 0))
		return -1;
	letter_describe(r, &m, out);
	return 0;
}

void
letter_describe(
    struct web_request *r, const struct index_message *m, struct letter *out)
{
	char id[INDEX_ID_SIZE];

	index_id_format(m->id, id);
	out->message = *m;
	out->id = pool_strdup(&r->pool, id);
	out->url = pool_printf(&r->pool, "%s/v/%s", r->base, id);
	out->in_junk = strcmp(m->dir, INDEX_JUNK) == 0;
	out->fd = -1;
}

bool
letter_find(struct web_request *r, struct web_response *w, struct letter *out)
{
	struct err e;

	if (letter_by_id(r, r->args[0], out, &e) == 0)
		return true;
	web_error(w, e.kind == ERR_PERM ? 404 : 503, page_text(r, "read.gone"));
	return false;
}

bool
letter_open(struct web_request *r, struct web_response *w, struct letter *out)
{
	struct err e;

	if (!letter_find(r, w, out))
		return false;
	if (mailbox_open_message(r, &out->message, &out->fd, &e) == 0)
		return true;
	web_error(w, e.kind == ERR_PERM ? 404 : 503, page_text(r, "read.gone"));
	return false;
}

int
letter_view(struct web_request *r, const struct letter *l, bool prefer_plain,
    json_t **out, struct err *e)
{
	if (lseek(l->fd, 0, SEEK_SET) != 0)
		return err_errno(e, "%s", l->id);
	return mime_view(webmail_of(r)->mime, l->fd, prefer_plain, out, e);
}
