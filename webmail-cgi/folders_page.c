/*
 * The page of folders: new ones, other names, away with them.  Emptying is
 * a verb of lists (act.c), which asks with the number.
 */
#include "webmail-cgi/folders_page.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/mailbox.h"

enum {
	NAME_MAX_BYTES = 200
};

/* --- The page ------------------------------------------------------------------ */

static bool
is_own(struct web_request *r, const char *dir)
{
	return mailbox_id_of(r, dir)[0] == '~';
}

static json_t *
folder_json(struct web_request *r, const struct index_folder *f)
{
	bool own = is_own(r, f->dir);
	const char *name = own ? f->name : mailbox_folder_name(r, f->dir);

	return json_pack("{ss,ss,sI,sI,sb,sb}", "id", mailbox_id_of(r, f->dir),
	    "name", name, "total", (json_int_t)f->total, "unread",
	    (json_int_t)f->unread, "own", own, "may_empty",
	    f->total > 0 && f->dir[0] != '\0');
}

/* What the request before did: a fixed text, whatever the URL has. */
static const char *
said(struct web_request *r)
{
	static const char *const known[] = { "created", "renamed", "deleted",
		"there", "bad", "gone" };
	const char *flash = web_query(r, "said");

	for (size_t i = 0; flash != NULL && i < ARRAY_LEN(known); i++) {
		if (strcmp(flash, known[i]) == 0)
			return page_text(
			    r, pool_printf(&r->pool, "folders.said.%s", flash));
	}
	return "";
}

/* How an import ended: numbers, whatever the URL has. */
static void
add_import(struct web_request *r, json_t *out)
{
	static const char *const counts[] = { "imported", "skipped", "full" };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const char *text = web_query(r, counts[i]);
		uint64_t n;

		if (text != NULL && num_parse(slice_str(text), 10000, &n) &&
		    (n > 0 || i == 0))
			json_object_set_new(out, counts[i],
			    json_pack("{sI}", "n", (json_int_t)n));
	}
}

static void
failed(struct web_request *r, struct web_response *w, const struct err *e)
{
	log_warning("folders: %s", e->text);
	web_error(w, 503, page_text(r, "folders.failed"));
}

void
folders_page(struct web_request *r, struct web_response *w)
{
	json_t *list = json_array(), *values;
	struct index_folders all;
	struct index *x;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_folders(x, &r->pool, &all, &e) != 0) {
		json_decref(list);
		failed(r, w, &e);
		return;
	}
	for (size_t i = 0; i < all.count; i++)
		json_array_append_new(list, folder_json(r, &all.list[i]));
	values = json_pack(
	    "{so,ss,sb}", "tree", list, "said", said(r), "in_folders", true);
	add_import(r, values);
	mailbox_describe_folders(r, NULL, values);
	page_send(r, w, "folders", page_text(r, "folders.title"), values);
}

/* --- Changes ---------------------------------------------------------------------- */

/* The form's `folder`, one of the user's own; NULL: it is none. */
static const char *
asked_folder(struct web_request *r)
{
	const char *dir = mailbox_dir_of(r, web_form_text(r, "folder"));

	return dir != NULL && is_own(r, dir) ? dir : NULL;
}

/* "Work" + "Plans" = ".Work.Plans" */
static bool
name_to_dir(struct web_request *r, char dir[MAILDIR_NAME_SIZE])
{
	struct slice name = slice_trim(slice_str(web_form_text(r, "name")));
	const char *parent = web_form_text(r, "parent");
	const char *dir_above = mailbox_dir_of(r, parent);
	char above[MAILDIR_NAME_SIZE * 4];

	if (name.len == 0 || name.len > NAME_MAX_BYTES)
		return false;
	if (parent[0] != '\0') {
		if (dir_above == NULL ||
		    !maildir_folder_decode(dir_above, above, sizeof(above)))
			return false;
		name = slice_str(
		    pool_printf(&r->pool, "%s/%.*s", above, SLICE_ARGS(name)));
	}
	return maildir_folder_encode(name, dir) && is_own(r, dir);
}

static const char *
create(struct web_request *r, const struct maildir *root, struct err *e)
{
	char dir[MAILDIR_NAME_SIZE];

	if (!name_to_dir(r, dir))
		return "bad";
	if (maildir_folder_create(root, dir, e) == 0)
		return "created";
	return e->kind == ERR_PERM ? "there" : NULL;
}

static const char *
rename_it(struct web_request *r, const struct maildir *root, struct err *e)
{
	const char *from = asked_folder(r);
	char dir[MAILDIR_NAME_SIZE];

	if (from == NULL)
		return "gone";
	if (!name_to_dir(r, dir))
		return "bad";
	if (maildir_folder_rename(root, from, dir, e) == 0)
		return "renamed";
	return e->kind == ERR_PERM ? "there" : NULL;
}

static uint64_t
count_messages(struct web_request *r, const char *dir)
{
	struct index_folders all;
	struct index *x;
	struct err e;

	if (mailbox_index(r, dir, &x, &e) != 0 ||
	    index_folders(x, &r->pool, &all, &e) != 0)
		return 1; /* unknown: ask */
	for (size_t i = 0; i < all.count; i++) {
		if (strcmp(all.list[i].dir, dir) == 0)
			return all.list[i].total;
	}
	return 0;
}

/* Asks once, with the number, if there is anything in it; "" = asked. */
static const char *
delete_it(struct web_request *r, struct web_response *w,
    const struct maildir *root, struct err *e)
{
	const char *dir = asked_folder(r);
	uint64_t count = dir != NULL ? count_messages(r, dir) : 0;
	struct maildir_usage usage;

	if (dir == NULL)
		return "gone";
	if (count > 0 && web_form(r, "confirm") == NULL) {
		page_send(r, w, "folder_delete", page_text(r, "folders.delete"),
		    json_pack("{ss,ss,sI}", "folder",
			web_form_text(r, "folder"), "name",
			mailbox_folder_name(r, dir), "count",
			(json_int_t)count));
		return "";
	}
	if (maildir_folder_delete(root, dir, e) == 0) {
		/* kept where there is a quota */
		if (faccessat(root->root_fd, "maildirsize", F_OK, 0) == 0 &&
		    maildir_usage_recount(root, &usage, e) != 0)
			log_warning("%s: %s", session_of(r)->address, e->text);
		return "deleted";
	}
	return e->kind == ERR_PERM ? "gone" : NULL;
}

void
folders_post(struct web_request *r, struct web_response *w)
{
	const char *what = web_form_text(r, "do");
	const char *flash = NULL;
	struct maildir root;
	struct err e = { .kind = ERR_TEMP };

	if (mailbox_open_folder(r, "", true, &root, &e) != 0) {
		failed(r, w, &e);
		return;
	}
	if (strcmp(what, "create") == 0)
		flash = create(r, &root, &e);
	else if (strcmp(what, "rename") == 0)
		flash = rename_it(r, &root, &e);
	else if (strcmp(what, "delete") == 0)
		flash = delete_it(r, w, &root, &e);
	else
		flash = "bad";
	maildir_close(&root);
	if (flash == NULL)
		failed(r, w, &e);
	else if (flash[0] != '\0')
		web_redirect(
		    w, pool_printf(&r->pool, "/folders?said=%s", flash));
}
