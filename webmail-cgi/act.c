/*
 * What is done to messages of a list: one form, whose verbs are rows of a
 * table.  A row is a conversation's part in its folder, so most verbs mean all
 * its messages there.  More than INLINE_MAX become a job.  Everything that can
 * be undone is; what cannot be is asked about once, with the number.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "maildir/search.h"

#include "webmail-cgi/list.h"
#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/user.h"

enum {
	INLINE_MAX = 200,
	SEARCH_MS = 10000,
	SEARCHED_MAX = 200000,
	REFRESH_S = 2,
};

/* Which messages of a row a verb means. */
enum reach {
	REACH_ALL,    /* of the conversation, in this folder */
	REACH_NEWEST, /* the one the row shows */
};

struct verb {
	const char *name;
	enum index_verb verb;
	enum reach reach;
	uint8_t add, remove;
	const char *dir;   /* of a move */
	const char *flash; /* what the next page says */
};

/* clang-format off */
static const struct verb verbs[] = {
	{ "archive", INDEX_MOVE,   REACH_ALL, 0, 0, INDEX_ARCHIVE, "archived" },
	{ "junk",    INDEX_MOVE,   REACH_ALL, 0, 0, INDEX_JUNK,    "junked" },
	{ "notjunk", INDEX_MOVE,   REACH_ALL, 0, 0, "",            "moved" },
	{ "trash",   INDEX_MOVE,   REACH_ALL, 0, 0, INDEX_TRASH,   "trashed" },
	{ "delete",  INDEX_REMOVE, REACH_ALL, 0, 0, NULL,          "deleted" },
	{ "read",    INDEX_FLAGS,  REACH_ALL, MAILDIR_SEEN, 0, NULL, "read" },
	{ "unread",  INDEX_FLAGS,  REACH_NEWEST, 0, MAILDIR_SEEN, NULL, "unread" },
	{ "star",    INDEX_FLAGS,  REACH_NEWEST, MAILDIR_FLAGGED, 0, NULL, "starred" },
	{ "unstar",  INDEX_FLAGS,  REACH_ALL, 0, MAILDIR_FLAGGED, NULL, "unstarred" },
};

static const struct verb move = { "move", INDEX_MOVE, REACH_ALL, 0, 0, NULL, "moved" };
static const struct verb copy = { "copy", INDEX_COPY, REACH_ALL, 0, 0, NULL, "copied" };
static const struct verb label = { "label", INDEX_KEYWORD, REACH_ALL, 0, 0, NULL, "labelled" };
static const struct verb unlabel = { "unlabel", INDEX_KEYWORD, REACH_ALL, 0, 0, NULL, "unlabelled" };

/* clang-format on */

/* What was asked for. */
struct deed {
	const struct verb *verb;
	struct index_change change;
	const char *dir;    /* the list's folder; NULL: a search */
	const char *single; /* the row button's id, or NULL */
	bool one;           /* ids are messages, not rows */
	int64_t *ids;       /* messages */
	size_t count, alloc;
	size_t rows;
};

/* --- Which verb --------------------------------------------------------------------- */

static int
folder_argument(struct web_request *r, struct deed *d, const char *id)
{
	char dir[MAILDIR_NAME_SIZE];
	const char *name = web_form(r, "new_name");

	if (strcmp(id, "new") != 0) {
		d->change.dir = mailbox_dir_of(r, id);
		return d->change.dir != NULL ? 0 : -1;
	}
	if (name == NULL ||
	    !maildir_folder_encode(slice_trim(slice_str(name)), dir))
		return -1;
	d->change.dir = pool_strdup(&r->pool, dir);
	return 0;
}

static int
label_argument(struct web_request *r, struct deed *d, const char *text)
{
	struct labels labels;
	struct sql *db;
	struct err e;
	uint64_t id;

	if (!num_parse(slice_str(text), INT64_MAX, &id) ||
	    user_store(r, false, &db, &e) != 0 ||
	    store_labels(db, &r->pool, &labels, &e) != 0)
		return -1;
	for (size_t i = 0; i < labels.count; i++) {
		if (labels.list[i].id == (int64_t)id) {
			d->change.keyword = labels.list[i].keyword;
			d->change.on = d->verb == &label;
			return 0;
		}
	}
	return -1;
}

/* "move:~Work", "label:3" */
static int
verb_with_argument(struct web_request *r, struct deed *d, const char *text)
{
	static const struct verb *const with[] = { &move, &copy, &label,
		&unlabel };
	struct slice name;
	struct slice rest = slice_cut(slice_str(text), ':', &name);

	for (size_t i = 0; rest.data != NULL && i < ARRAY_LEN(with); i++) {
		if (!slice_eq_str(name, with[i]->name))
			continue;
		d->verb = with[i];
		return i < 2 ? folder_argument(r, d, rest.data)
			     : label_argument(r, d, rest.data);
	}
	return -1;
}

/* The `do` of the form, or the button of a row ("archive=<id>"). */
static int
find_verb(struct web_request *r, struct deed *d)
{
	const char *text = web_form(r, "do");

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		const char *row = web_form(r, verbs[i].name);

		if (row != NULL) {
			d->verb = &verbs[i];
			d->single = row;
			return 0;
		}
		if (text != NULL && strcmp(text, verbs[i].name) == 0)
			d->verb = &verbs[i];
	}
	if (d->verb != NULL)
		return 0;
	return text != NULL ? verb_with_argument(r, d, text) : -1;
}

static int
understand(struct web_request *r, struct deed *d)
{
	const char *folder = web_form(r, "folder");
	const struct verb *v;

	if (find_verb(r, d) != 0)
		return -1;
	if (folder != NULL && folder[0] != '\0') {
		d->dir = mailbox_dir_of(r, folder);
		if (d->dir == NULL)
			return -1;
	}
	/* what is thrown away in the Trash is gone */
	if (d->dir != NULL && strcmp(d->dir, INDEX_TRASH) == 0 &&
	    d->verb->dir != NULL && strcmp(d->verb->dir, INDEX_TRASH) == 0)
		d->verb = &verbs[4];
	v = d->verb;
	d->one = web_form(r, "one") != NULL;
	d->change.verb = v->verb;
	d->change.add = v->add;
	d->change.remove = v->remove;
	if (v->dir != NULL)
		d->change.dir = v->dir;
	return 0;
}

/* --- Which messages ---------------------------------------------------------------------- */

static void
add_ids(struct web_request *r, struct deed *d, const int64_t *ids, size_t count)
{
	if (d->count + count > d->alloc) {
		size_t alloc = (d->count + count) * 2 + 64;
		int64_t *more = pool_alloc(&r->pool, alloc * sizeof(*more));

		if (d->count > 0)
			memcpy(more, d->ids, d->count * sizeof(*more));
		d->ids = more;
		d->alloc = alloc;
	}
	if (count > 0)
		memcpy(d->ids + d->count, ids, count * sizeof(*ids));
	d->count += count;
}

/* The messages of a row; rows that are gone have none. */
static int
add_row(struct web_request *r, struct index *x, struct deed *d, int64_t id,
    struct err *e)
{
	struct index_message m;
	const char *dir = d->dir;
	int64_t *ids;
	size_t count;
	int rc;

	d->rows++;
	if (d->one || d->verb->reach == REACH_NEWEST ||
	    !prefs_yes(user_prefs(r), PREF_TALKS)) {
		add_ids(r, d, &id, 1);
		return 0;
	}
	rc = dir == NULL ? index_find(x, id, &r->pool, &m, e) : 0;
	if (rc == 0 && dir == NULL)
		dir = m.dir;
	if (rc == 0)
		rc = index_talk_ids(x, id, dir, &r->pool, &ids, &count, e);
	if (rc == 0)
		add_ids(r, d, ids, count);
	return rc != 0 && e->kind != ERR_PERM ? -1 : 0;
}

static int
all_of_search(struct web_request *r, struct index *x, const char *text,
    struct deed *d, struct err *e)
{
	struct index_found found;
	struct search_query q;
	struct index_search s = { .limit = SEARCHED_MAX,
		.deadline_ms = clock_mono_ms() + SEARCH_MS,
		.ids_only = true };

	search_understand(r, text, &q);
	s.query = q.root;
	s.with_trash = q.says_where;
	if (index_search(x, &s, &r->pool, &found, e) != 0)
		return -1;
	d->rows = found.count;
	add_ids(r, d, found.ids, found.count);
	return 0;
}

/* Everything the list shows, on all its pages. */
static int
all_of_list(
    struct web_request *r, struct index *x, struct deed *d, struct err *e)
{
	const char *q = web_form(r, "q");
	struct index_view v;
	int64_t *ids;
	size_t count;
	int rc;

	if (d->dir == NULL)
		return q != NULL ? all_of_search(r, x, q, d, e) : 0;
	list_view(r, d->dir, web_form(r, "filter"), &v);
	if (v.filter == INDEX_ALL)
		v.talks = false;
	rc = index_view_ids(x, &v, &r->pool, &ids, &count, e);
	if (rc != 0)
		return e->kind == ERR_PERM ? 0 : -1;
	if (!v.talks) {
		d->rows = count;
		add_ids(r, d, ids, count);
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_row(r, x, d, ids[i], e);
	return rc;
}

static int
gather(struct web_request *r, struct index *x, struct deed *d, struct err *e)
{
	const char *text;
	int64_t id;

	if (d->single != NULL)
		return index_id_parse(d->single, &id) ? add_row(r, x, d, id, e)
						      : 0;
	if (web_form(r, "all") != NULL)
		return all_of_list(r, x, d, e);
	for (size_t i = 0; (text = web_form_next(r, "id", &i)) != NULL;) {
		if (index_id_parse(text, &id) && add_row(r, x, d, id, e) != 0)
			return -1;
	}
	return 0;
}

/* --- Answers --------------------------------------------------------------------------------- */

static const char *
back_of(struct web_request *r)
{
	const char *back = web_form(r, "back");

	if (back == NULL)
		back = web_query(r, "back");
	return back != NULL ? web_own_path(back) : "/m/inbox";
}

static void
go_back(struct web_request *r, struct web_response *w, const char *flash,
    uint64_t n, const char *undo)
{
	web_redirect(w,
	    pool_printf(&r->pool, "%s&n=%llu%s%s",
		web_flash_path(r, back_of(r), flash), (unsigned long long)n,
		undo[0] != '\0' ? "&undo=" : "", undo));
}

/* Once, with the number; the form is sent again with `confirm`. */
static void
ask(struct web_request *r, struct web_response *w, const struct deed *d)
{
	static const char *const names[] = { "all", "folder", "filter", "q",
		"one" };
	json_t *fields = json_array();
	const char *text;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = web_form(r, names[i]);

		if (value != NULL)
			json_array_append_new(fields,
			    json_pack(
				"{ss,ss}", "name", names[i], "value", value));
	}
	if (d->single != NULL)
		json_array_append_new(fields,
		    json_pack("{ss,ss}", "name", "id", "value", d->single));
	for (size_t i = 0;
	     d->single == NULL && (text = web_form_next(r, "id", &i)) != NULL;)
		json_array_append_new(
		    fields, json_pack("{ss,ss}", "name", "id", "value", text));
	page_send(r, w, "confirm", page_text(r, "confirm.title"),
	    json_pack("{so,sI,ss}", "fields", fields, "count",
		(json_int_t)d->count, "back", back_of(r)));
}

static void
start_job(struct web_request *r, struct web_response *w, struct index *x,
    const struct deed *d)
{
	char token[INDEX_TOKEN_SIZE];
	struct buf back;
	struct err e;

	if (index_job_new(x, &d->change, d->ids, d->count, token, &e) != 0) {
		log_error("job: %s", e.text);
		go_back(r, w, "failed", 0, "");
		return;
	}
	mailbox_work(r);
	buf_init(&back, 8192);
	web_escape_url(slice_str(back_of(r)), &back);
	web_redirect(w,
	    pool_printf(&r->pool, "/jobs/%s?flash=%s&back=%s", token,
		d->verb->flash, back.data));
	buf_release(&back);
}

/* What leaves Scheduled is not to be sent.  How many that was, or -1. */
static int
cancel(struct web_request *r, struct index *x, const struct deed *d)
{
	struct index_message m;
	struct err e;
	int n = 0, rc = 0;

	if ((d->change.verb != INDEX_MOVE && d->change.verb != INDEX_REMOVE) ||
	    (d->dir != NULL && strcmp(d->dir, MAILBOX_SCHEDULED) != 0))
		return 0;
	for (size_t i = 0; i < d->count && rc >= 0; i++) {
		if (index_find(x, d->ids[i], &r->pool, &m, &e) != 0)
			continue;
		rc = outgoing_cancel(r, &m, &e);
		n += rc > 0;
	}
	if (rc < 0)
		log_warning("take back: %s", e.text);
	return rc < 0 ? -1 : n;
}

static void
do_it(struct web_request *r, struct web_response *w, struct index *x,
    const struct deed *d)
{
	char undo[INDEX_TOKEN_SIZE];
	uint64_t changed = 0;
	int cancelled = cancel(r, x, d);
	struct err e;

	if (cancelled < 0) {
		go_back(r, w, "failed", 0, "");
		return;
	}
	if (d->count > INLINE_MAX) {
		start_job(r, w, x, d);
		return;
	}
	if (index_change(x, &d->change, d->ids, d->count, undo, &changed, &e) !=
	    0) {
		log_warning("%s: %s", d->verb->name, e.text);
		go_back(r, w, "failed", 0, undo);
		return;
	}
	if (d->change.verb == INDEX_REMOVE || d->change.verb == INDEX_COPY)
		mailbox_tell_usage(
		    webmail_of(r), session_of(r)->local, session_of(r)->domain);
	/* back in Scheduled it would look as if it were sent after all */
	if (cancelled > 0)
		go_back(r, w, "cancelled", d->rows, "");
	else
		go_back(r, w, changed > 0 ? d->verb->flash : "nothing", d->rows,
		    undo);
}

void
act_post(struct web_request *r, struct web_response *w)
{
	struct deed d = { .verb = NULL };
	struct index *x;
	struct err e;

	if (understand(r, &d) != 0) {
		go_back(r, w, "nothing", 0, "");
		return;
	}
	if (mailbox_index(r, d.dir != NULL ? d.dir : "", &x, &e) != 0 ||
	    gather(r, x, &d, &e) != 0) {
		log_error("%s", e.text);
		web_error(w, 503, page_text(r, "list.not_now"));
		return;
	}
	if (d.count == 0)
		go_back(r, w, "nothing", 0, "");
	else if (d.change.verb == INDEX_REMOVE &&
	    web_form(r, "confirm") == NULL)
		ask(r, w, &d);
	else
		do_it(r, w, x, &d);
}

void
undo_post(struct web_request *r, struct web_response *w)
{
	uint64_t changed = 0;
	struct index *x;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0) {
		log_error("%s", e.text);
		web_error(w, 503, page_text(r, "list.not_now"));
		return;
	}
	if (index_undo(x, r->args[0], &changed, &e) != 0) {
		if (e.kind != ERR_PERM)
			log_error("undo: %s", e.text);
		go_back(
		    r, w, e.kind == ERR_PERM ? "too-late" : "failed", 0, "");
		return;
	}
	go_back(r, w, "undone", changed, "");
}

/* --- Long ones ----------------------------------------------------------------------------------- */

void
job_page(struct web_request *r, struct web_response *w)
{
	const char *flash = web_query(r, "flash");
	struct index_job job;
	struct index *x;
	struct err e;
	char refresh[16];

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_job_find(x, r->args[0], &job, &e) != 0) {
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "job.unknown"));
		return;
	}
	if (job.error[0] != '\0') {
		log_warning("job: %s", job.error);
		go_back(r, w, "failed", job.done, r->args[0]);
		return;
	}
	if (job.done >= job.total) {
		go_back(r, w, flash != NULL ? flash : "nothing", job.done,
		    job.verb != INDEX_REMOVE && job.verb != INDEX_COPY
			? r->args[0]
			: "");
		return;
	}
	mailbox_work(r);
	(void)snprintf(refresh, sizeof(refresh), "%d", REFRESH_S);
	web_add_header(w, "Refresh", refresh);
	page_send(r, w, "job", page_text(r, "job.title"),
	    json_pack("{sI,sI,sI}", "done", (json_int_t)job.done, "total",
		(json_int_t)job.total, "percent",
		(json_int_t)(job.done * 100 / job.total)));
}
