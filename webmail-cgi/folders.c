/*
 * Folders and the list of what is in one: names from the Maildir, what a row
 * says from mailstead-parse.  The newest come first; a page ends with the id
 * the next one goes on behind.
 */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

#include "maildir/name.h"

#include "webmail-cgi/webmail.h"

enum {
	PAGE_ROWS = 50
};

static const struct folder folders[] = {
	{ "inbox", "folder.inbox", "" },
	{ "sent", "folder.sent", ".Sent" },
};

const struct folder *
folder_find(const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (strcmp(folders[i].id, id) == 0)
			return &folders[i];
	}
	return NULL;
}

int
folder_open(const struct web_request *r, const struct folder *f, bool create,
    struct maildir *out, struct err *e)
{
	const struct session *s = r->session;
	char path[1024];

	if (!maildir_path(
		slice_str(s->local), slice_str(s->domain), path, sizeof(path)))
		return err_set(e, ERR_PERM, "%s: no mailbox", s->address);
	return maildir_open(
	    webmail_of(r)->mail_root_fd, path, f->dir, create, out, e);
}

void
folder_describe(struct web_request *r, const struct folder *f, json_t *out)
{
	json_object_set_new(out, "folder", json_string(f->id));
	json_object_set_new(
	    out, "folder_name", json_string(page_text(r, f->title)));
	json_object_set_new(
	    out, "in_inbox", json_boolean(strcmp(f->id, "inbox") == 0));
	json_object_set_new(
	    out, "in_sent", json_boolean(strcmp(f->id, "sent") == 0));
}

int
folder_open_message(const struct web_request *r, const struct folder *f,
    const char *id, int *fd_out, struct err *e)
{
	struct maildir m;
	int rc;

	if (id[0] == '.' || strlen(id) >= MAILDIR_NAME_SIZE)
		return err_set(e, ERR_PERM, "no such message");
	if (folder_open(r, f, false, &m, e) != 0)
		return -1;
	rc = maildir_open_message(&m, id, fd_out, e);
	maildir_close(&m);
	return rc;
}

void
list_root(struct web_request *r, struct web_response *w)
{
	(void)r;
	web_redirect(w, "/m/inbox");
}

/* The first of `people`: name and address. */
static void
add_person(json_t *row, const json_t *people)
{
	const json_t *first = json_array_get(people, 0);
	const char *name = json_string_value(json_object_get(first, "name"));
	const char *address =
	    json_string_value(json_object_get(first, "address"));

	name = name != NULL ? name : "";
	address = address != NULL ? address : "";
	json_object_set_new(
	    row, "who", json_string(name[0] != '\0' ? name : address));
	json_object_set_new(row, "initials", person_initials(name, address));
	json_object_set_new(row, "hue", json_integer(person_hue(address)));
}

static json_t *
make_row(struct web_request *r, const struct folder *f, const struct maildir *m,
    const struct maildir_entry *entry)
{
	struct slice id = maildir_base_name(entry->name);
	json_t *row = json_pack("{ss%,sb,sI}", "id", id.data, id.len, "unread",
	    (entry->flags & MAILDIR_SEEN) == 0, "date",
	    (json_int_t)entry->arrived_ms);
	json_t *summary = NULL;
	struct err e;
	int fd;

	if (row == NULL) /* a name that is no UTF-8 has no URL */
		return NULL;
	if (maildir_open_message(m, entry->name, &fd, &e) != 0) {
		json_decref(row);
		return NULL;
	}
	if (mime_summary(webmail_of(r)->mime, fd, &summary, &e) != 0) {
		log_warning("%s: %s", entry->name, e.text);
		json_object_set_new(row, "subject",
		    json_string(page_text(r, "list.unreadable")));
	} else {
		add_person(row,
		    json_object_get(
			summary, f->dir[0] != '\0' ? "to" : "from"));
		json_object_set(
		    row, "subject", json_object_get(summary, "subject"));
		json_object_set(
		    row, "snippet", json_object_get(summary, "snippet"));
		json_object_set(
		    row, "files", json_object_get(summary, "has_attachments"));
	}
	json_decref(summary);
	(void)close(fd);
	return row;
}

/* How many of the list, oldest first, come before `before`; all if unknown. */
static size_t
count_before(const struct maildir_list *l, const char *before)
{
	for (size_t i = 0; before != NULL && i < l->count; i++) {
		if (slice_eq_str(maildir_base_name(l->items[i].name), before))
			return i;
	}
	return l->count;
}

/* The newest first; `items` has the oldest first. */
static json_t *
make_rows(struct web_request *r, const struct folder *f,
    const struct maildir *m, const struct maildir_entry *items, size_t count)
{
	json_t *array = json_array();

	while (count > 0) {
		json_t *row = make_row(r, f, m, &items[--count]);

		if (row != NULL)
			json_array_append_new(array, row);
	}
	return array;
}

static void
fill_list(struct web_request *r, const struct folder *f,
    const struct maildir *m, const struct maildir_list *l, json_t *values)
{
	size_t end = count_before(l, web_query(r, "before"));
	size_t start = end > PAGE_ROWS ? end - PAGE_ROWS : 0;
	json_int_t total = (json_int_t)l->count;

	json_object_set_new(
	    values, "rows", make_rows(r, f, m, l->items + start, end - start));
	json_object_set_new(values, "total", json_integer(total));
	json_object_set_new(
	    values, "from", json_integer(total - (json_int_t)end + 1));
	json_object_set_new(
	    values, "to", json_integer(total - (json_int_t)start));
	if (start > 0) {
		struct slice id = maildir_base_name(l->items[start].name);

		json_object_set_new(
		    values, "next", json_stringn(id.data, id.len));
	}
}

void
list_page(struct web_request *r, struct web_response *w)
{
	const struct folder *f = folder_find(r->args[0]);
	struct maildir_list l = { 0 };
	struct maildir m;
	struct err e;
	json_t *values;

	if (f == NULL) {
		web_error(w, 404, page_text(r, "list.empty"));
		return;
	}
	if (folder_open(r, f, true, &m, &e) != 0) {
		log_error("%s", e.text);
		web_error(w, 503, page_text(r, "error.title"));
		return;
	}
	if (maildir_list(&m, &l, &e) != 0) {
		maildir_close(&m);
		log_error("%s", e.text);
		web_error(w, 503, page_text(r, "error.title"));
		return;
	}
	values = json_object();
	folder_describe(r, f, values);
	fill_list(r, f, &m, &l, values);
	maildir_list_release(&l);
	maildir_close(&m);
	page_send(r, w, "list", page_text(r, f->title), values);
}
