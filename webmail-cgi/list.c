/*
 * The list of a folder, and what keeps an open one fresh.  A page costs the
 * same wherever in the folder it is, and nothing at all but the look at the
 * mailbox when the browser has it already (ETag).
 */
#include "webmail-cgi/list.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/user.h"

static const char *const filters[] = { "", "unread", "starred", "files" };

void
list_root(struct web_request *r, struct web_response *w)
{
	(void)r;
	web_redirect(w, "/m/inbox");
}

static enum index_filter
filter_of(const char *text)
{
	for (size_t i = 1; text != NULL && i < ARRAY_LEN(filters); i++) {
		if (strcmp(filters[i], text) == 0)
			return (enum index_filter)i;
	}
	return INDEX_ALL;
}

void
list_view(struct web_request *r, const char *dir, const char *filter,
    struct index_view *out)
{
	*out = (struct index_view){ .dir = dir,
		.filter = filter_of(filter),
		.talks = prefs_yes(user_prefs(r), PREF_TALKS) };
}

size_t
list_rows_wanted(struct web_request *r)
{
	uint64_t n;

	if (!num_parse(slice_str(user_prefs(r)->value[PREF_ROWS]), 100, &n) ||
	    n < 1)
		n = 50;
	return n;
}

int64_t
list_before(struct web_request *r)
{
	const char *text = web_query(r, "before");
	int64_t before;

	return text != NULL && index_id_parse(text, &before) ? before : 0;
}

/* "/webmail/m/inbox?filter=unread&before=..." */
static json_t *
page_url(struct web_request *r, const struct index_view *v, int64_t before)
{
	char id[INDEX_ID_SIZE];
	struct buf url;
	json_t *value;

	buf_init(&url, 4096);
	buf_addf(&url, "%s/m/", r->base);
	web_escape_url(slice_str(mailbox_id_of(r, v->dir)), &url);
	if (v->filter != INDEX_ALL)
		buf_addf(&url, "?filter=%s", filters[v->filter]);
	if (before != 0) {
		index_id_format(before, id);
		buf_addf(&url, "%cbefore=%s",
		    v->filter != INDEX_ALL ? '&' : '?', id);
	}
	value = json_string(url.data);
	buf_release(&url);
	return value;
}

static void
add_filters(struct web_request *r, const struct index_view *v, json_t *out)
{
	static const char *const keys[] = { "list.all", "list.filter.unread",
		"list.filter.starred", "list.filter.files" };
	json_t *array = json_array();

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct index_view other = { v->dir, (enum index_filter)i,
			v->talks };

		json_array_append_new(array,
		    json_pack("{ss,so,sb}", "name", page_text(r, keys[i]),
			"url", page_url(r, &other, 0), "current",
			v->filter == other.filter));
	}
	json_object_set_new(out, "filters", array);
}

static uint64_t
total_of(const struct index_folder *f, const struct index_view *v)
{
	const uint64_t totals[2][4] = {
		{ f->total, f->unread, f->starred, f->files },
		{ f->talks, f->talks_unread, f->talks_starred, f->talks_files },
	};

	return totals[v->talks][v->filter];
}

static void
add_range(struct web_request *r, const struct index_view *v,
    const struct index_rows *rows, uint64_t total, json_t *values)
{
	json_int_t from = (json_int_t)rows->index + 1;

	json_object_set_new(values, "total", json_integer((json_int_t)total));
	if (rows->count > 0) {
		json_object_set_new(values, "from", json_integer(from));
		json_object_set_new(values, "to",
		    json_integer(from + (json_int_t)rows->count - 1));
	}
	if (rows->more && rows->count > 0)
		json_object_set_new(values, "next",
		    page_url(r, v, rows->list[rows->count - 1].newest.id));
	if (rows->newer)
		json_object_set_new(
		    values, "prev", page_url(r, v, rows->newer_before));
}

/* What the folder is decides which verbs there are, and what an empty one says. */
static void
add_nature(struct web_request *r, const char *dir, json_t *values)
{
	static const struct {
		const char *dir, *name;
	} natures[] = { { "", "inbox" }, { INDEX_SENT, "sent" },
		{ INDEX_DRAFTS, "drafts" }, { MAILBOX_SCHEDULED, "scheduled" },
		{ INDEX_ARCHIVE, "archive" }, { INDEX_JUNK, "junk" },
		{ INDEX_TRASH, "trash" } };

	const char *nature = "own";

	for (size_t i = 0; i < ARRAY_LEN(natures); i++) {
		if (strcmp(natures[i].dir, dir) == 0)
			nature = natures[i].name;
	}
	json_object_set_new(
	    values, pool_printf(&r->pool, "is_%s", nature), json_true());
	json_object_set_new(values, "empty",
	    json_string(
		page_text(r, pool_printf(&r->pool, "list.empty.%s", nature))));
	if (strcmp(dir, INDEX_JUNK) != 0)
		json_object_set_new(values, "can_junk", json_true());
	if (strcmp(dir, INDEX_ARCHIVE) != 0 && strcmp(dir, INDEX_TRASH) != 0)
		json_object_set_new(values, "can_archive", json_true());
}

/*
 * The script has the page already (browsers keep none of it): a hash of all its values, of who asks
 * and of the day (dates are said in relation to it).
 */
static bool
is_known(struct web_request *r, struct web_response *w, const json_t *values)
{
	const struct prefs *p = user_prefs(r);
	char *text = json_dumps(values, JSON_COMPACT | JSON_SORT_KEYS);
	json_t *quota = user_quota(r), *labels = user_labels(r);
	char *more[] = { json_dumps(quota, JSON_COMPACT | JSON_ENCODE_ANY),
		json_dumps(labels, JSON_COMPACT) };
	struct buf all;
	char etag[40];
	bool known;

	buf_init(&all, WEB_BODY_MAX);
	buf_addf(&all, "%s %s %lld %s ", session_of(r)->token,
	    web_static_url(r), (long long)(clock_wall_ms() / 3600000), r->part);
	buf_addstr(&all, text != NULL ? text : "");
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		buf_addstr(&all, more[i] != NULL ? more[i] : "");
	for (int i = 0; i < PREF_COUNT; i++)
		buf_addf(&all, " %s", p->value[i]);
	(void)snprintf(etag, sizeof(etag), "\"%016llx\"",
	    (unsigned long long)index_hash(buf_slice(&all)));
	buf_release(&all);
	free(text);
	free(more[0]);
	free(more[1]);
	json_decref(quota);
	json_decref(labels);
	web_add_header(w, "ETag", etag);
	known = strcmp(web_header(r, "IF_NONE_MATCH"), etag) == 0;
	if (known)
		w->status = 304;
	return known;
}

void
list_send(struct web_request *r, struct web_response *w, const char *template,
    const char *title, json_t *out)
{
	json_t *flash = list_flash(r);

	if (flash != NULL) {
		json_object_set_new(out, "flash", flash);
	} else if (web_query(r, "flash") == NULL && is_known(r, w, out)) {
		json_decref(out);
		return;
	}
	page_send(r, w, strcmp(r->part, "rows") == 0 ? "_rows" : template,
	    title, out);
}

static const struct index_folder *
find_folder(struct web_request *r, struct index *x, const char *dir,
    struct index_folders *all, struct err *e)
{
	if (index_folders(x, &r->pool, all, e) != 0)
		return NULL;
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->list[i].dir, dir) == 0)
			return &all->list[i];
	}
	return NULL;
}

void
list_add_common(struct web_request *r, struct index *x, json_t *values)
{
	json_t *labels = user_labels(r);
	int64_t modseq = 0;
	struct err e;

	json_object_set_new(
	    values, "has_labels", json_boolean(json_array_size(labels) > 0));
	json_decref(labels);
	if (index_modseq(x, &modseq, &e) != 0)
		log_warning("%s", e.text);
	json_object_set_new(values, "modseq", json_integer(modseq));
	json_object_set_new(values, "list_url", json_string(list_url(r)));
	json_object_set_new(
	    values, "missing", json_integer((json_int_t)mailbox_missing(r)));
}

static void
send_list(struct web_request *r, struct web_response *w, struct index *x,
    const struct index_view *v, const struct index_rows *rows)
{
	struct index_folders all;
	struct err e;
	const struct index_folder *f = find_folder(r, x, v->dir, &all, &e);
	const char *name = mailbox_folder_name(r, v->dir);
	bool recipients = strcmp(v->dir, INDEX_SENT) == 0 ||
	    strcmp(v->dir, INDEX_DRAFTS) == 0 ||
	    strcmp(v->dir, MAILBOX_SCHEDULED) == 0;
	const char *title = name;
	json_t *values = json_pack("{ss,ss,so}", "folder",
	    mailbox_id_of(r, v->dir), "folder_name", name, "groups",
	    list_groups(r, x, rows, recipients));

	if (f != NULL) {
		add_range(r, v, rows, total_of(f, v), values);
		json_object_set_new(
		    values, "unread_here", json_integer((json_int_t)f->unread));
		if (f->unread > 0)
			title = pool_printf(&r->pool, "%s (%llu)", name,
			    (unsigned long long)f->unread);
	}
	json_object_set_new(values, "filter", json_string(filters[v->filter]));
	add_filters(r, v, values);
	add_nature(r, v->dir, values);
	list_add_common(r, x, values);
	mailbox_describe_folders(r, v->dir, values);
	list_send(r, w, "list", title, values);
}

static int
read_rows(struct web_request *r, struct index **x, const struct index_view *v,
    struct index_rows *out, struct err *e)
{
	int64_t before = list_before(r);
	size_t limit = list_rows_wanted(r);
	int rc = index_list(*x, v, before, limit, &r->pool, out, e);

	if (rc != 0 && mailbox_renew(r, v->dir, x))
		rc = index_list(*x, v, before, limit, &r->pool, out, e);
	return rc;
}

void
list_page(struct web_request *r, struct web_response *w)
{
	const char *dir = mailbox_dir_of(r, r->args[0]);
	struct index_rows rows = { .count = 0 };
	struct index_view v;
	struct index *x;
	struct err e;

	if (dir == NULL) {
		web_error(w, 404, page_text(r, "list.no_folder"));
		return;
	}
	if (mailbox_index(r, dir, &x, &e) != 0) {
		log_error("%s", e.text);
		web_error(w, 503, page_text(r, "list.not_now"));
		return;
	}
	list_view(r, dir, web_query(r, "filter"), &v);
	if (read_rows(r, &x, &v, &rows, &e) != 0 &&
	    /* the usual folders are there, even before they are */
	    (e.kind != ERR_PERM || r->args[0][0] == '~')) {
		log_warning("list %s: %s", dir, e.text);
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r,
			e.kind == ERR_PERM ? "list.no_folder"
					   : "list.not_now"));
		return;
	}
	send_list(r, w, x, &v, &rows);
}

/* GET /poll?since=: 204, or {"modseq", "unread"}. */
void
list_poll(struct web_request *r, struct web_response *w)
{
	const char *since = web_query(r, "since");
	const struct index_folder *inbox;
	struct index_folders all;
	int64_t modseq;
	struct index *x;
	struct err e;
	char now[24];

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_modseq(x, &modseq, &e) != 0) {
		w->status = 503;
		return;
	}
	(void)snprintf(now, sizeof(now), "%lld", (long long)modseq);
	if (since != NULL && strcmp(since, now) == 0) {
		w->status = 204;
		return;
	}
	inbox = find_folder(r, x, "", &all, &e);
	w->type = "application/json";
	buf_addf(&w->body, "{\"modseq\":%s,\"unread\":%llu}", now,
	    (unsigned long long)(inbox != NULL ? inbox->unread : 0));
}
