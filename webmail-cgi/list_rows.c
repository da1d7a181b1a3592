/*
 * Rows of lists as the templates know them: who, what, when, and in which
 * group of dates.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"

#include "webmail-cgi/draft.h"
#include "webmail-cgi/list.h"
#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/user.h"

enum {
	DAY_S = 86400,
	PEOPLE_SHOWN = 3,
	WHO_MAX = 1000,
	WEEK = 7,
	MONTH = 30,
	NUMBER_MAX = 1000000000,
};

/* What all rows of a page need. */
struct maker {
	struct web_request *r;
	struct index *x;
	bool recipients;
	json_t *labels;
	const char *const *keywords;
	size_t keyword_count;
	const char *me;
	const char *zone;
	int64_t today; /* day number in the reader's zone */
};

/* --- Who ------------------------------------------------------------------------ */

/* A short name: the whole one if it stands alone, else its first word. */
static void
add_name(
    struct maker *k, const struct index_person *p, bool alone, struct buf *out)
{
	const char *shown = person_name(p->name, p->address);
	struct slice name = slice_str(shown), first;

	if (ascii_casecmp(p->address, session_of(k->r)->address) == 0)
		name = slice_str(k->me);
	else if (!alone && shown != p->address) {
		(void)slice_cut(name, ' ', &first);
		/* "Rivera, Tomas" */
		if (first.len > 0 && first.data[first.len - 1] != ',')
			name = first;
	}
	buf_addslice(out, name);
}

static json_t *
who(struct maker *k, const struct index_people *people)
{
	size_t count = people->count, shown = num_min(count, PEOPLE_SHOWN);
	struct buf out;
	json_t *value;

	buf_init(&out, WHO_MAX);
	for (size_t i = 0; i < shown; i++) {
		/* the first, and the last ones */
		size_t at = i == 0 ? 0 : count - shown + i;

		buf_addstr(&out, i > 0 ? ", " : "");
		add_name(k, &people->list[at], count == 1, &out);
	}
	value = json_stringn_nocheck(out.data, out.len);
	buf_release(&out);
	return value;
}

static void
add_who(struct maker *k, const struct index_row *row, json_t *out)
{
	const struct index_people *people = &row->people;
	static const struct index_person nobody = { "", "" };
	const struct index_person *face;

	if (k->recipients)
		people = &row->newest.to;
	face = people->count > 0 ? &people->list[0] : &nobody;
	/* of a conversation the face of who wrote last, if not oneself */
	if (!k->recipients && row->newest.from.count > 0)
		face = &row->newest.from.list[0];
	json_object_set_new(out, "who", who(k, people));
	json_object_set_new(out, "initials",
	    person_initials(
		person_name(face->name, face->address), face->address));
	json_object_set_new(
	    out, "hue", json_integer(person_hue(face->address)));
}

/* --- Rows ------------------------------------------------------------------------- */

static json_t *
row_labels(struct maker *k, uint64_t keywords)
{
	json_t *array = json_array();

	for (size_t i = 0; keywords != 0 && i < json_array_size(k->labels);
	     i++) {
		json_t *label = json_array_get(k->labels, i);
		const char *keyword =
		    json_string_value(json_object_get(label, "keyword"));

		for (size_t bit = 0; bit < k->keyword_count; bit++) {
			if ((keywords >> bit & 1) != 0 && keyword != NULL &&
			    strcmp(k->keywords[bit], keyword) == 0)
				json_array_append(array, label);
		}
	}
	return array;
}

static int
count_lines(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static json_t *
make_row(struct maker *k, const struct index_row *row)
{
	const struct index_message *m = &row->newest;
	char id[INDEX_ID_SIZE];
	const char *draft;
	json_t *out;

	index_id_format(m->id, id);
	out = json_pack("{ss,ss,ss,sb,sb,sb,sb,sb,sI,so}", "id", id, "subject",
	    m->subject, "snippet", m->snippet, "unread", row->unread > 0,
	    "starred", row->starred, "answered",
	    (m->flags & MAILDIR_REPLIED) != 0, "forwarded",
	    (m->flags & MAILDIR_PASSED) != 0, "files", row->files, "date",
	    (json_int_t)m->arrived_ms, "labels", row_labels(k, row->keywords));
	if (out == NULL) /* no UTF-8: cannot be, the parser cleans it */
		return json_object();
	draft = row->count == 1 ? draft_path(k->r, m) : "";
	json_object_set_new(out, "url",
	    json_string(draft[0] != '\0'
		    ? pool_printf(&k->r->pool, "%s%s", k->r->base, draft)
		    : pool_printf(&k->r->pool, "%s/%c/%s", k->r->base,
			  prefs_yes(user_prefs(k->r), PREF_TALKS) ? 'c' : 'v',
			  id)));
	if (row->count > 1)
		json_object_set_new(
		    out, "count", json_integer((json_int_t)row->count));
	if (m->has_files)
		json_object_set_new(
		    out, "file_count", json_integer(count_lines(m->files)));
	if (m->has_invite)
		json_object_set_new(out, "invite", json_true());
	add_who(k, row, out);
	return out;
}

/* --- Groups by date ------------------------------------------------------------------ */

static int64_t
day_of(const struct maker *k, int64_t ms)
{
	int64_t seconds = ms / 1000;

	return (seconds + template_zone_offset(k->zone, seconds)) / DAY_S;
}

/* "Nov 2026" */
static const char *
month_title(struct maker *k, int64_t day)
{
	time_t seconds = (time_t)(day * DAY_S);
	char key[24];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL)
		return "";
	(void)snprintf(key, sizeof(key), "month.%d", tm.tm_mon + 1);
	return pool_printf(
	    &k->r->pool, "%s %d", page_text(k->r, key), tm.tm_year + 1900);
}

/* Where a day belongs: the first day of its group, as a key. */
static int64_t
group_of(const struct maker *k, int64_t day)
{
	int64_t age = k->today - day;
	time_t seconds = (time_t)(day * DAY_S);
	struct tm tm;

	if (age <= 1)
		return age <= 0 ? INT64_MAX : INT64_MAX - 1;
	if (age <= MONTH)
		return age <= WEEK ? INT64_MAX - 2 : INT64_MAX - 3;
	if (gmtime_r(&seconds, &tm) == NULL)
		return 0;
	return tm.tm_year * 12 + tm.tm_mon;
}

static const char *
group_title(struct maker *k, int64_t group, int64_t day)
{
	static const char *const keys[] = { "list.today", "list.yesterday",
		"list.week", "list.month" };

	if (group > INT64_MAX - (int64_t)ARRAY_LEN(keys))
		return page_text(k->r, keys[INT64_MAX - group]);
	return month_title(k, day);
}

json_t *
list_groups(struct web_request *r, struct index *x,
    const struct index_rows *rows, bool recipients)
{
	struct maker k = { .r = r, .x = x, .recipients = recipients };
	json_t *groups = json_array(), *list = NULL;
	int64_t last = INT64_MIN;
	struct err e;

	k.zone = user_prefs(r)->value[PREF_ZONE];
	k.today = day_of(&k, clock_wall_ms());
	k.me = page_text(r, "list.me");
	k.labels = user_labels(r);
	if (index_keywords(x, &r->pool, &k.keywords, &k.keyword_count, &e) != 0)
		k.keyword_count = 0;
	for (size_t i = 0; i < rows->count; i++) {
		int64_t day = day_of(&k, rows->list[i].newest.arrived_ms);
		int64_t group = group_of(&k, day);

		if (group != last) {
			list = json_array();
			json_array_append_new(groups,
			    json_pack("{ss,so}", "title",
				group_title(&k, group, day), "rows", list));
			last = group;
		}
		json_array_append_new(list, make_row(&k, &rows->list[i]));
	}
	json_decref(k.labels);
	return groups;
}

/* --- What the page before has to say --------------------------------------------------- */

/* Fixed texts, whatever the URL has. */
static const char *const flashes[] = { "archived", "junked", "trashed", "moved",
	"copied", "deleted", "read", "unread", "starred", "unstarred",
	"labelled", "unlabelled", "cancelled", "undone", "too-late", "nothing",
	"failed" };

json_t *
list_flash(struct web_request *r)
{
	const char *name = web_query(r, "flash"), *n = web_query(r, "n");
	const char *undo = web_query(r, "undo");
	uint64_t count = 0;
	json_t *out;

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(flashes); i++) {
		if (strcmp(flashes[i], name) != 0)
			continue;
		if (n != NULL && !num_parse(slice_str(n), NUMBER_MAX, &count))
			count = 0;
		out = json_pack("{ss,sI}", "text",
		    page_count_text(r, pool_printf(&r->pool, "flash.%s", name),
			(int64_t)count),
		    "n", (json_int_t)count);
		if (undo != NULL && strlen(undo) == INDEX_TOKEN_SIZE - 1 &&
		    strspn(undo, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") ==
			strlen(undo))
			json_object_set_new(out, "undo", json_string(undo));
		json_object_set_new(out, "back", json_string(list_url(r)));
		return out;
	}
	return NULL;
}

const char *
list_url(struct web_request *r)
{
	static const char *const left_out[] = { "flash", "n", "undo", "id" };
	struct buf url;
	const char *out;
	char sign = '?';

	buf_init(&url, 8192);
	for (struct slice path = slice_str(r->path + 1), part;
	     path.data != NULL;) {
		path = slice_cut(path, '/', &part);
		buf_addc(&url, '/');
		web_escape_url(part, &url);
	}
	for (size_t i = 0; i < r->query.count; i++) {
		const struct web_param *p = &r->query.list[i];
		bool skip = false;

		for (size_t j = 0; j < ARRAY_LEN(left_out); j++)
			skip |= strcmp(p->name, left_out[j]) == 0;
		if (skip)
			continue;
		buf_addc(&url, sign);
		web_escape_url(slice_str(p->name), &url);
		buf_addc(&url, '=');
		web_escape_url(slice_str(p->value), &url);
		sign = '&';
	}
	out = pool_strndup(&r->pool, url.data, url.len);
	buf_release(&url);
	return out;
}
