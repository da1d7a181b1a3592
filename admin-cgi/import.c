/*
 * Users as a table: the import with its dry run, which shows every line's
 * outcome, and the export.
 */
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "directory/user_csv.h"

#include "admin-cgi/admin.h"

enum {
	TABLE_MAX = 4 * 1024 * 1024,
	IMPORT_TIMEOUT_MS = 30000, /* for the hashes of one packet */
};

/* Where the rows of the result are put into the page. */
static const char rows_mark[] = "<!--rows-->";

struct run {
	struct web_request *r;
	struct web_response *w;
	struct buf row;
	bool streaming; /* the browser still listens */
};

static int
call(void *arg, json_t *request, json_t **reply_out, struct err *e)
{
	struct run *run = arg;

	json_object_set_new(
	    request, "session", json_string(session_of(run->r)->token));
	return accountd_call(admin_of(run->r)->accountd, request,
	    IMPORT_TIMEOUT_MS, reply_out, e);
}

static void
put_row(void *arg, size_t line, const char *address, const char *error)
{
	struct run *run = arg;
	struct err e;

	buf_addf(&run->row, "<tr><td class=\"num\">%zu</td><td>", line);
	web_escape_html(slice_str(address), &run->row);
	buf_addf(&run->row, "</td><td><span class=\"dot %s\"></span>",
	    error == NULL ? "good" : "bad");
	web_escape_html(
	    slice_str(error != NULL ? error : page_text(run->r, "import.ok")),
	    &run->row);
	buf_addstr(&run->row, "</td></tr>\n");
	if (run->row.len < 4096)
		return;
	if (run->streaming &&
	    web_stream(run->w, run->row.data, run->row.len, &e) != 0)
		run->streaming = false; /* nobody reads it; go on */
	buf_reset(&run->row);
}

static void
put_end(struct run *run, const struct user_import *i, const char *error,
    struct slice tail)
{
	struct err e;

	buf_addf(&run->row,
	    "<tr><td></td><td colspan=\"2\"><b id=\"sum\">%zu %s, %zu %s</b>",
	    i->good, page_text(run->r, "import.good"), i->bad,
	    page_text(run->r, "import.bad"));
	if (error != NULL) {
		buf_addstr(&run->row, "<p role=\"alert\">");
		web_escape_html(slice_str(error), &run->row);
		buf_addstr(&run->row, "</p>");
	}
	buf_addstr(&run->row, "</td></tr>");
	buf_addslice(&run->row, tail);
	if (run->streaming &&
	    web_stream(run->w, run->row.data, run->row.len, &e) != 0)
		log_warning("import: %s", e.text);
}

/* The page up to its rows, the rows as they come, and its end. */
static void
run_import(struct web_request *r, struct web_response *w, struct slice table,
    bool dry_run)
{
	struct run run = { .r = r, .w = w, .streaming = true };
	struct user_import i = {
		.dry_run = dry_run, .call = call, .line = put_row, .arg = &run
	};
	const char *mark, *error;
	struct slice head, tail;
	char *page;
	struct err e;
	int rc;

	admin_page(r, w, "import_result", "users",
	    json_pack("{sb,ss%,so}", "dry_run", dry_run, "table", table.data,
		table.len, "rows", template_html(SLICE_LIT(rows_mark))));
	page = pool_strndup(&r->pool, w->body.data, w->body.len);
	mark = strstr(page, rows_mark);
	if (mark == NULL)
		return; /* the owner's template shows no rows */
	head = slice_of(page, (size_t)(mark - page));
	tail = slice_str(mark + strlen(rows_mark));
	buf_reset(&w->body);
	buf_init(&run.row, 1024 * 1024);
	if (web_stream(w, head.data, head.len, &e) != 0)
		run.streaming = false;
	rc = user_import(&i, table, &e);
	error = rc == 0 ? NULL : e.text;
	if (rc != 0 && e.kind != ERR_PERM && e.kind != ERR_SYNTAX) {
		log_error("import of users broken off: %s", e.text);
		error = page_text(r, "import.broken");
	}
	put_end(&run, &i, error, tail);
	buf_release(&run.row);
}

void
import_page(struct web_request *r, struct web_response *w)
{
	admin_page(r, w, "import", "users", json_object());
}

/* The table: a file, or the text that was pasted or shown before. */
static bool
read_table(struct web_request *r, struct buf *out)
{
	const char *text = web_form(r, "table");

	if (text != NULL && text[0] != '\0') {
		buf_addstr(out, text);
		return true;
	}
	for (size_t i = 0; i < r->upload_count; i++) {
		const struct web_upload *u = &r->uploads[i];
		char *space;
		ssize_t n;

		if (strcmp(u->field, "file") != 0 || u->size == 0 ||
		    u->size > TABLE_MAX)
			continue;
		space = buf_reserve(out, (size_t)u->size);
		n = space != NULL ? pread(u->fd, space, (size_t)u->size, 0)
				  : -1;
		if (n < 0)
			return false;
		buf_commit(out, (size_t)n);
	}
	return out->len > 0 && utf8_is_valid(buf_slice(out)) &&
	    memchr(out->data, '\0', out->len) == NULL;
}

/* Roles need a fresh password: it is asked for before the first row. */
static bool
may_import(
    struct web_request *r, struct web_response *w, const struct buf *table)
{
	struct problem p = { 0 };
	struct user_csv c;
	struct err e;
	bool has_roles =
	    user_csv_init(&c, buf_slice(table), &e) == 0 && c.has_roles;

	user_csv_release(&c);
	return !has_roles ||
	    admin_write(r, w,
		json_pack("{ss,s[],sb,sb}", "verb", "user import", "users",
		    "dry_run", 1, "fresh", 1),
		NULL, &p) >= 0;
}

void
import_post(struct web_request *r, struct web_response *w)
{
	const char *act = web_form(r, "do");
	bool dry_run = act == NULL || strcmp(act, "import") != 0;
	struct buf table;
	json_t *values;

	buf_init(&table, TABLE_MAX);
	if (read_table(r, &table)) {
		if (dry_run || may_import(r, w, &table))
			run_import(r, w, buf_slice(&table), dry_run);
	} else {
		w->status = 422;
		values = json_pack(
		    "{ss}", "problem", page_text(r, "import.no_table"));
		admin_page(r, w, "import", "users", values);
	}
	buf_release(&table);
	(void)malloc_trim(0); /* thousands of users were in it */
}

/* --- Export ----------------------------------------------------------------------- */

/* All pages of the list; sent as they come. */
void
export_get(struct web_request *r, struct web_response *w)
{
	json_t *request = list_request(r, "user list"), *reply, *one;
	struct buf out;
	struct err e;
	bool more = true;
	size_t i;

	json_object_del(request, "limit");
	if (admin_need(r, w, json_incref(request), &reply) != 0) {
		json_decref(request);
		return;
	}
	buf_init(&out, 1024 * 1024);
	user_csv_put_header(&out);
	web_download(w, "users.csv", "text/csv", false);
	while (more) {
		json_t *next = json_object_get(reply, "next");

		json_array_foreach(json_object_get(reply, "items"), i, one)
			user_csv_put(&out, one);
		more =
		    next != NULL && web_stream(w, out.data, out.len, &e) == 0;
		if (next != NULL)
			buf_reset(&out);
		if (more)
			json_object_set(request, "after", next);
		json_decref(reply);
		reply = NULL;
		if (more &&
		    admin_ask(r, json_incref(request), &reply, &e) != 0) {
			log_error("export of users broken off: %s", e.text);
			more = false;
		}
	}
	if (out.len > 0 && web_stream(w, out.data, out.len, &e) != 0)
		log_warning("export: %s", e.text);
	json_decref(request);
	buf_release(&out);
}
