/*
 * Search: the page of results with the query as chips, and the form of "more
 * options", which only writes a query.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#include "maildir/search.h"

#include "webmail-cgi/list.h"
#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/user.h"

enum {
	TIME_MS = 2000,
	QUERY_SIZE = SEARCH_MAX * 3 + 64,
};

/* --- Understanding ------------------------------------------------------------- */

/* label:Name means the label's keyword. */
/* NOLINTNEXTLINE(misc-no-recursion): the parser bounds the depth */
static void
name_keywords(struct search_node *n, const json_t *labels, struct pool *pool)
{
	for (size_t i = 0; i < n->count; i++)
		name_keywords(n->children[i], labels, pool);
	for (size_t i = 0;
	     n->kind == SEARCH_LABEL && i < json_array_size(labels); i++) {
		const json_t *label = json_array_get(labels, i);
		const char *name =
		    json_string_value(json_object_get(label, "name"));

		if (name != NULL && slice_ieq_str(n->text, name)) {
			n->text = slice_str(pool_strdup(pool,
			    json_string_value(
				json_object_get(label, "keyword"))));
			break;
		}
	}
}

void
search_understand(
    struct web_request *r, const char *text, struct search_query *out)
{
	const char *zone = user_prefs(r)->value[PREF_ZONE];
	int64_t now = clock_wall_ms();
	struct search_clock clock = { now,
		template_zone_offset(zone, now / 1000) / 60 };
	json_t *labels = user_labels(r);

	search_parse(slice_str(text), &clock, &r->pool, out);
	name_keywords(out->root, labels, &r->pool);
	json_decref(labels);
}

/* --- The page ---------------------------------------------------------------------- */

static const char *
url_of(struct web_request *r, struct slice q, int64_t before)
{
	char id[INDEX_ID_SIZE];
	const char *out;
	struct buf url;

	buf_init(&url, QUERY_SIZE);
	buf_addf(&url, "%s/search?q=", r->base);
	web_escape_url(q, &url);
	if (before != 0) {
		index_id_format(before, id);
		buf_addf(&url, "&before=%s", id);
	}
	out = pool_strndup(&r->pool, url.data, url.len);
	buf_release(&url);
	return out;
}

/* The query without one of its pieces. */
static const char *
without(struct web_request *r, const struct search_query *q, size_t left_out)
{
	const char *out;
	struct buf text;

	buf_init(&text, QUERY_SIZE);
	for (size_t i = 0; i < q->token_count; i++) {
		if (i == left_out)
			continue;
		buf_addstr(&text, text.len > 0 ? " " : "");
		buf_addslice(&text, q->tokens[i].text);
	}
	out = url_of(r, buf_slice(&text), 0);
	buf_release(&text);
	return out;
}

static void
add_tokens(struct web_request *r, const struct search_query *q, json_t *out)
{
	json_t *array = json_array();
	bool unknown = false;

	for (size_t i = 0; i < q->token_count; i++) {
		struct slice text = q->tokens[i].text;

		json_array_append_new(array,
		    json_pack("{so,ss,sb}", "text",
			json_stringn(text.data, text.len), "without",
			without(r, q, i), "unknown", q->tokens[i].unknown));
		unknown |= q->tokens[i].unknown;
	}
	json_object_set_new(out, "tokens", array);
	json_object_set_new(out, "unknown", json_boolean(unknown));
}

static int
search(struct web_request *r, struct index **x, const struct search_query *q,
    struct index_found *out, struct err *e)
{
	const struct index_search s = { .query = q->root,
		.with_trash = q->says_where,
		.before = list_before(r),
		.limit = list_rows_wanted(r),
		.deadline_ms = clock_mono_ms() + TIME_MS,
		.talks = prefs_yes(user_prefs(r), PREF_TALKS) };

	int rc = index_search(*x, &s, &r->pool, out, e);

	if (rc != 0 && mailbox_renew(r, "", x))
		rc = index_search(*x, &s, &r->pool, out, e);
	return rc;
}

static void
add_found(struct web_request *r, const char *text, const struct search_query *q,
    const struct index_found *found, json_t *values)
{
	const struct index_rows *rows = &found->rows;
	struct slice all = slice_str(text);

	if (found->timed_out) {
		json_object_set_new(values, "keep_looking",
		    json_string(url_of(r, all, found->looked_to)));
	} else if (rows->more && rows->count > 0) {
		json_object_set_new(values, "next",
		    json_string(
			url_of(r, all, rows->list[rows->count - 1].newest.id)));
	}
	if (list_before(r) != 0)
		json_object_set_new(
		    values, "prev", json_string(url_of(r, all, 0)));
	if (!q->says_where)
		json_object_set_new(values, "anywhere",
		    json_string(url_of(r,
			slice_str(
			    pool_printf(&r->pool, "%s in:anywhere", text)),
			0)));
}

/* What "more options" filled in, as a query; NULL: it is not that form. */
static const char *
written(struct web_request *r)
{
	static const struct {
		const char *field, *before, *after;
	} fields[] = { { "f_words", "", "" }, { "f_from", "from:\"", "\"" },
		{ "f_to", "to:\"", "\"" }, { "f_subject", "subject:\"", "\"" },
		{ "f_in", "in:\"", "\"" }, { "f_after", "after:", "" },
		{ "f_before", "before:", "" }, { "f_larger", "larger:", "" },
		{ "f_files", "has:", "" } };

	const char *out = NULL;
	struct buf text;
	bool any = false;

	buf_init(&text, QUERY_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *value = web_query(r, fields[i].field);

		any |= value != NULL;
		if (value == NULL || value[0] == '\0')
			continue;
		buf_addf(
		    &text, "%s%s", text.len > 0 ? " " : "", fields[i].before);
		for (; *value != '\0'; value++) {
			if (*value != '"' || fields[i].before[0] == '\0')
				buf_addc(&text, *value);
		}
		buf_addstr(&text, fields[i].after);
	}
	if (any)
		out = pool_strndup(&r->pool, text.data, text.len);
	buf_release(&text);
	return out;
}

static void
send_found(struct web_request *r, struct web_response *w, struct index *x,
    const char *text, const struct search_query *q)
{
	struct index_found found = { .timed_out = false };
	json_t *values;
	struct err e;

	if (search(r, &x, q, &found, &e) != 0) {
		log_warning("search: %s", e.text);
		web_error(w, 503, page_text(r, "list.not_now"));
		return;
	}
	values = json_pack("{ss,sb,sb,so}", "q", text, "starred_list",
	    strcmp(text, "is:starred") == 0, "can_archive", 1, "groups",
	    list_groups(r, x, &found.rows, false));
	json_object_set_new(values, "can_junk", json_true());
	add_tokens(r, q, values);
	add_found(r, text, q, &found, values);
	list_add_common(r, x, values);
	mailbox_describe_folders(r, NULL, values);
	list_send(r, w, "search", page_text(r, "search.title"), values);
}

void
search_page(struct web_request *r, struct web_response *w)
{
	const char *text = web_query(r, "q");
	const char *form = written(r);
	struct search_query q;
	struct index *x;
	struct err e;

	if (form != NULL) {
		web_redirect(
		    w, url_of(r, slice_str(form), 0) + strlen(r->base));
		return;
	}
	if (mailbox_index(r, "", &x, &e) != 0) {
		log_error("%s", e.text);
		web_error(w, 503, page_text(r, "list.not_now"));
		return;
	}
	text = text != NULL ? text : "";
	search_understand(r, text, &q);
	send_found(r, w, x, text, &q);
}

/* GET /help/search, /help/keys: for who has no script. */
void
help_page(struct web_request *r, struct web_response *w)
{
	static const char *const operators[] = { "from:ingrid", "to:ada",
		"cc:", "subject:\"reading night\"", "body:lanterns",
		"filename:pdf", "list:", "in:archive", "in:anywhere",
		"label:", "has:attachment", "has:invite", "is:unread",
		"is:read", "is:starred", "is:answered", "is:forwarded",
		"is:first", "larger:5M", "smaller:100k", "after:2026-11-01",
		"before:2026-11", "on:2026-11-12", "newer_than:2w",
		"older_than:1y", "id:", "\"exact phrase\"", "-not", "a OR b",
		"(a b) OR c" };
	static const char *const keys[] = { "c", "/", "j k", "x", "Enter o",
		"u", "e", "#", "!", "I", "U", "r", "a", "f", "v", "l", "z",
		"g i", ".", "s", "n p", "* a" };
	json_t *shown = json_array(), *pressed = json_array();

	for (size_t i = 0; i < ARRAY_LEN(operators); i++)
		json_array_append_new(shown,
		    json_pack("{ss,ss}", "text", operators[i], "means",
			page_text(
			    r, pool_printf(&r->pool, "help.search.%zu", i))));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_array_append_new(pressed,
		    json_pack("{ss,ss}", "text", keys[i], "means",
			page_text(
			    r, pool_printf(&r->pool, "help.key.%zu", i))));
	page_send(r, w, "help", page_text(r, "help.title"),
	    json_pack("{so,so}", "operators", shown, "shortcuts", pressed));
}
