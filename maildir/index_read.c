/*
 * Reading the index: single messages, conversations, lists, neighbours.  All
 * lists go by id, which is arrival, with keys instead of offsets: a page costs
 * the same wherever it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/slice.h"

#include "maildir/index_internal.h"

/* --- Messages ------------------------------------------------------------------------ */

static void
index_message_take(struct index *x, struct sql_rows *r, struct pool *pool,
    struct index_message *out)
{
	const struct index_dir *d = index_dir_by_id(x, sql_int(r, 2));
	int64_t flags = sql_int(r, 4);

	*out = (struct index_message){
		.id = sql_int(r, 0),
		.talk = sql_int(r, 1),
		.dir = pool_strdup(pool, d != NULL ? d->dir : ""),
		.name = pool_strdup(pool, sql_text(r, 3)),
		.arrived_ms = sql_int(r, 0) >> 20,
		.flags = (uint8_t)(flags & 0xff),
		.keywords = (uint64_t)sql_int(r, 5),
		.size = (uint64_t)sql_int(r, 6),
		.date_ms = sql_int(r, 7),
		.has_files = (flags & INDEX_HAS_FILES) != 0,
		.has_invite = (flags & INDEX_HAS_INVITE) != 0,
		.unreadable = (flags & INDEX_UNREADABLE) != 0,
		.from = index_people_parse(sql_text(r, 8), pool),
		.to = index_people_parse(sql_text(r, 9), pool),
		.cc = index_people_parse(sql_text(r, 10), pool),
		.subject = pool_strdup(pool, sql_text(r, 11)),
		.snippet = pool_strdup(pool, sql_text(r, 12)),
		.files = pool_strdup(pool, sql_text(r, 13)),
		.message_id = pool_strdup(pool, sql_text(r, 14)),
	};
}

static int
find_loaded(struct index *x, int64_t id, struct pool *pool,
    struct index_message *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT " INDEX_COLUMNS " FROM messages m"
	    " JOIN summaries s ON s.id=m.id WHERE m.id=?",
	    "i", id);
	int got = sql_next(r, e);

	if (got == 1)
		index_message_take(x, r, pool, out);
	sql_done(r);
	if (got == 0)
		return err_set(e, ERR_PERM, "no such message");
	return got == 1 ? 0 : -1;
}

int
index_find(struct index *x, int64_t id, struct pool *pool,
    struct index_message *out, struct err *e)
{
	return index_load(x, e) != 0 ? -1 : find_loaded(x, id, pool, out, e);
}

static int
take_messages(struct index *x, struct sql_rows *r, struct pool *pool,
    size_t max, struct index_messages *out, struct err *e)
{
	struct index_message *list = pool_alloc(pool, max * sizeof(*list));
	size_t count = 0;
	int got = -1;

	while (count < max && (got = sql_next(r, e)) == 1)
		index_message_take(x, r, pool, &list[count++]);
	sql_done(r);
	if (got < 0)
		return -1;
	*out = (struct index_messages){ list, count };
	return 0;
}

/* The conversation of a message, or the one that had this id as its first. */
static int
talk_of(struct index *x, int64_t id, int64_t *out, struct err *e)
{
	int got = sql_get_int(x->db, e, out,
	    "SELECT talk FROM messages WHERE id=?1 UNION ALL"
	    " SELECT talk FROM messages WHERE talk=?1 LIMIT 1",
	    "i", id);

	if (got == 0)
		return err_set(e, ERR_PERM, "no such conversation");
	return got == 1 ? 0 : -1;
}

static int
talk_messages(struct index *x, int64_t talk, struct pool *pool,
    struct index_messages *out, struct err *e)
{
	return take_messages(x,
	    sql_query(x->db, e,
		"SELECT " INDEX_COLUMNS " FROM messages m"
		" JOIN summaries s ON s.id=m.id WHERE m.talk=? ORDER BY m.id",
		"i", talk),
	    pool, INDEX_TALK_MAX, out, e);
}

int
index_talk(struct index *x, int64_t id, struct pool *pool,
    struct index_messages *out, struct err *e)
{
	int64_t talk;

	if (index_load(x, e) != 0 || talk_of(x, id, &talk, e) != 0)
		return -1;
	return talk_messages(x, talk, pool, out, e);
}

int
index_talk_ids(struct index *x, int64_t id, const char *dir, struct pool *pool,
    int64_t **ids_out, size_t *count_out, struct err *e)
{
	const struct index_dir *d;
	struct sql_rows *r;
	int64_t talk, *ids;
	size_t count = 0;
	int got = -1;

	if (index_load(x, e) != 0 || talk_of(x, id, &talk, e) != 0)
		return -1;
	d = dir != NULL ? index_dir_find(x, dir) : NULL;
	if (dir != NULL && d == NULL)
		return err_set(e, ERR_PERM, "no such folder");
	ids = pool_alloc(pool, INDEX_TALK_MAX * sizeof(*ids));
	r = sql_query(x->db, e,
	    "SELECT id FROM messages WHERE talk=?1"
	    " AND (?2 = 0 OR folder=?2) ORDER BY id",
	    "ii", talk, d != NULL ? d->id : (int64_t)0);
	while (count < INDEX_TALK_MAX && (got = sql_next(r, e)) == 1)
		ids[count++] = sql_int(r, 0);
	sql_done(r);
	if (got < 0)
		return -1;
	*ids_out = ids;
	*count_out = count;
	return 0;
}

/* --- Folders -------------------------------------------------------------------------------- */

/* What ends here, then what lies within it, then names that go on. */
static int
rank_of(char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : 1 + (unsigned char)ascii_lower(c);
}

static int
compare_folders(const void *left, const void *right)
{
	const struct index_folder *l = left, *r = right;
	const char *a = l->name, *b = r->name;

	while (*a != '\0' && rank_of(*a) == rank_of(*b)) {
		a++;
		b++;
	}
	return rank_of(*a) != rank_of(*b) ? rank_of(*a) - rank_of(*b)
					  : strcmp(l->dir, r->dir);
}

int
index_folders(struct index *x, struct pool *pool, struct index_folders *out,
    struct err *e)
{
	if (index_load(x, e) != 0)
		return -1;
	out->list = pool_zalloc(pool, (x->dir_count + 1) * sizeof(*out->list));
	out->count = x->dir_count;
	for (size_t i = 0; i < x->dir_count; i++) {
		const struct index_dir *d = &x->dirs[i];
		char name[MAILDIR_NAME_SIZE * 4] = "";

		if (d->dir[0] != '\0' &&
		    !maildir_folder_decode(d->dir, name, sizeof(name)))
			(void)snprintf(name, sizeof(name), "%s", d->dir + 1);
		out->list[i] = (struct index_folder){
			.dir = pool_strdup(pool, d->dir),
			.name = pool_strdup(pool, name),
			.total =
			    (uint64_t)(d->messages[COUNT_TOTAL] + d->missing),
			.unread = (uint64_t)d->messages[COUNT_UNREAD],
			.starred = (uint64_t)d->messages[COUNT_STARRED],
			.files = (uint64_t)d->messages[COUNT_FILES],
			.talks = (uint64_t)(d->talks[COUNT_TOTAL] + d->missing),
			.talks_unread = (uint64_t)d->talks[COUNT_UNREAD],
			.talks_starred = (uint64_t)d->talks[COUNT_STARRED],
			.talks_files = (uint64_t)d->talks[COUNT_FILES],
			.incomplete = d->missing > 0,
		};
	}
	qsort(out->list, out->count, sizeof(*out->list), compare_folders);
	return 0;
}

/* --- Lists ------------------------------------------------------------------------------------- */

/* A view's queries: ids below and above a key, and how many above. */
struct view_sql {
	const char *below, *above, *count_from, *all;
};

#define VIEW(table, key, where)                                              \
	{                                                                    \
		"SELECT " key " FROM " table " WHERE folder=? AND " key      \
		"<?" where " ORDER BY " key " DESC LIMIT ?",                 \
		    "SELECT " key " FROM " table " WHERE folder=? AND " key  \
		    ">?" where " ORDER BY " key " LIMIT ?",                  \
		    "SELECT count(*) FROM " table " WHERE folder=? AND " key \
		    ">=?" where,                                             \
		    "SELECT " key " FROM " table " WHERE folder=?" where     \
		    " ORDER BY " key,                                        \
	}

/* By conversations or not, by enum index_filter. */
static const struct view_sql views[2][4] = {
	{ VIEW("messages", "id", ""),
	    VIEW("messages", "id", " AND (flags & 16) = 0"),
	    VIEW("messages", "id", " AND (flags & 2) <> 0"),
	    VIEW("messages", "id", " AND (flags & 256) <> 0") },
	{ VIEW("heads", "newest", ""),
	    VIEW("heads", "newest", " AND unread > 0"),
	    VIEW("heads", "newest", " AND starred > 0"),
	    VIEW("heads", "newest", " AND files > 0") },
};

static const struct view_sql *
sql_of(const struct index_view *v)
{
	return &views[v->talks][v->filter];
}

/* Room for ids, and those that are in it. */
struct ids {
	int64_t *list;
	size_t max, count;
};

static int
read_ids(struct index *x, const char *query, int64_t dir, int64_t key,
    struct ids *out, struct err *e)
{
	struct sql_rows *r =
	    sql_query(x->db, e, query, "iii", dir, key, (int64_t)out->max);
	int got = -1;

	out->count = 0;
	while ((got = sql_next(r, e)) == 1 && out->count < out->max)
		out->list[out->count++] = sql_int(r, 0);
	sql_done(r);
	return got < 0 ? -1 : 0;
}

static int
count_from(struct index *x, const struct view_sql *v, int64_t dir, int64_t key,
    uint64_t *out, struct err *e)
{
	int64_t count = 0;
	int got = sql_get_int(x->db, e, &count, v->count_from, "ii", dir, key);

	*out = (uint64_t)count;
	return got == 1 ? 0 : -1;
}

static bool
has_person(const struct index_people *p, const struct index_person *who)
{
	for (size_t i = 0; i < p->count; i++) {
		if (ascii_casecmp(p->list[i].address, who->address) == 0)
			return true;
	}
	return false;
}

/* Is it counted with a conversation that is listed in folder `here`? */
static bool
counts_here(const struct index_dir *d, const char *here)
{
	return d == NULL || strcmp(d->dir, here) == 0 ||
	    (strcmp(d->dir, INDEX_TRASH) != 0 &&
		strcmp(d->dir, INDEX_JUNK) != 0);
}

static void
add_sender(
    struct index_row *row, const char *text, size_t max, struct pool *pool)
{
	struct index_people from = index_people_parse(text, pool);

	if (from.count > 0 && row->people.count < max &&
	    !has_person(&row->people, &from.list[0]))
		row->people.list[row->people.count++] = from.list[0];
}

static int
complete_row(
    struct index *x, struct pool *pool, struct index_row *row, struct err *e)
{
	enum {
		SHOWN_MAX = 20
	};

	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT m.folder, m.flags, m.keywords, s.sender FROM messages m"
	    " JOIN summaries s ON s.id=m.id WHERE m.talk=? ORDER BY m.id",
	    "i", row->newest.talk);
	const char *here = row->newest.dir;
	int got;

	row->people.list =
	    pool_alloc(pool, SHOWN_MAX * sizeof(*row->people.list));
	while ((got = sql_next(r, e)) == 1) {
		const struct index_dir *d = index_dir_by_id(x, sql_int(r, 0));
		int64_t flags = sql_int(r, 1);

		if (!counts_here(d, here))
			continue;
		row->count++;
		add_sender(row, sql_text(r, 3), SHOWN_MAX, pool);
		if (d == NULL || strcmp(d->dir, here) != 0)
			continue;
		row->unread += (flags & MAILDIR_SEEN) == 0;
		row->starred |= (flags & MAILDIR_FLAGGED) != 0;
		row->files |= (flags & INDEX_HAS_FILES) != 0;
		row->keywords |= (uint64_t)sql_int(r, 2);
	}
	sql_done(r);
	return got < 0 ? -1 : 0;
}

static void
row_of_message(struct index_row *row)
{
	const struct index_message *m = &row->newest;

	row->count = 1;
	row->unread = (m->flags & MAILDIR_SEEN) == 0;
	row->starred = (m->flags & MAILDIR_FLAGGED) != 0;
	row->files = m->has_files;
	row->keywords = m->keywords;
	row->people = m->from;
}

static int
fill_rows(struct index *x, const int64_t *ids, size_t count, bool talks,
    struct pool *pool, struct index_rows *out, struct err *e)
{
	out->list = pool_zalloc(pool, (count + 1) * sizeof(*out->list));
	out->count = 0;
	for (size_t i = 0; i < count; i++) {
		struct index_row *row = &out->list[out->count];

		if (find_loaded(x, ids[i], pool, &row->newest, e) != 0) {
			if (e->kind == ERR_PERM) /* went just now */
				continue;
			return -1;
		}
		if (!talks)
			row_of_message(row);
		else if (complete_row(x, pool, row, e) != 0)
			return -1;
		out->count++;
	}
	return 0;
}

int
index_fill_rows(struct index *x, const int64_t *ids, size_t count, bool talks,
    struct pool *pool, struct index_rows *out, struct err *e)
{
	struct err ignored;
	int rc;

	if (sql_begin_read(x->db, e) != 0)
		return -1;
	rc = fill_rows(x, ids, count, talks, pool, out, e);
	return sql_commit(x->db, rc != 0 ? &ignored : e) != 0 ? -1 : rc;
}

/* Where the page of newer rows begins, and how many there are. */
static int
look_up_the_list(struct index *x, const struct view_sql *v, int64_t dir,
    int64_t before, struct ids *room, struct index_rows *out, struct err *e)
{
	if (read_ids(x, v->above, dir, before - 1, room, e) != 0 ||
	    count_from(x, v, dir, before, &out->index, e) != 0)
		return -1;
	out->newer = room->count > 0;
	out->newer_before =
	    room->count == room->max ? room->list[room->max - 1] : 0;
	return 0;
}

int
index_list(struct index *x, const struct index_view *view, int64_t before,
    size_t limit, struct pool *pool, struct index_rows *out, struct err *e)
{
	const struct view_sql *v = sql_of(view);
	struct ids room = { .max = limit + 1 };
	const struct index_dir *d;

	if (index_load(x, e) != 0)
		return -1;
	d = index_dir_find(x, view->dir);
	memset(out, 0, sizeof(*out));
	if (d == NULL)
		return err_set(e, ERR_PERM, "no such folder");
	room.list = pool_alloc(pool, room.max * sizeof(*room.list));
	if (before != 0 &&
	    look_up_the_list(x, v, d->id, before, &room, out, e) != 0)
		return -1;
	if (read_ids(x, v->below, d->id, before != 0 ? before : INT64_MAX,
		&room, e) != 0)
		return -1;
	out->more = room.count > limit;
	return index_fill_rows(x, room.list, num_min(room.count, limit),
	    view->talks, pool, out, e);
}

int
index_view_ids(struct index *x, const struct index_view *view,
    struct pool *pool, int64_t **ids_out, size_t *count_out, struct err *e)
{
	const struct index_dir *d;
	struct sql_rows *r;
	size_t count = 0, max;
	int64_t *ids;
	int got;

	if (index_load(x, e) != 0)
		return -1;
	d = index_dir_find(x, view->dir);
	if (d == NULL)
		return err_set(e, ERR_PERM, "no such folder");
	max = (size_t)d->messages[COUNT_TOTAL];
	ids = pool_alloc(pool, (max + 1) * sizeof(*ids));
	r = sql_query(x->db, e, sql_of(view)->all, "i", d->id);
	while ((got = sql_next(r, e)) == 1 && count < max)
		ids[count++] = sql_int(r, 0);
	sql_done(r);
	if (got < 0)
		return -1;
	*ids_out = ids;
	*count_out = count;
	return 0;
}

/* --- Neighbours --------------------------------------------------------------------------------- */

/* The key of `id` in the view: itself, or its conversation's newest here. */
static int
view_key(struct index *x, const struct index_view *view, int64_t dir,
    int64_t id, int64_t *out, struct err *e)
{
	int64_t talk;

	*out = id;
	if (!view->talks)
		return 0;
	if (talk_of(x, id, &talk, e) != 0)
		return -1;
	return sql_get_int(x->db, e, out,
		   "SELECT newest FROM heads WHERE folder=? AND talk=?", "ii",
		   dir, talk) < 0
	    ? -1
	    : 0;
}

int
index_neighbours(struct index *x, const struct index_view *view, int64_t id,
    struct index_neighbours *out, struct err *e)
{
	const struct view_sql *v = sql_of(view);
	const struct index_dir *d;
	struct ids older = { &out->older, 1, 0 };
	struct ids newer = { &out->newer, 1, 0 };
	int64_t key;

	memset(out, 0, sizeof(*out));
	if (index_load(x, e) != 0)
		return -1;
	d = index_dir_find(x, view->dir);
	if (d == NULL)
		return err_set(e, ERR_PERM, "no such folder");
	if (view_key(x, view, d->id, id, &key, e) != 0 ||
	    read_ids(x, v->below, d->id, key, &older, e) != 0 ||
	    read_ids(x, v->above, d->id, key, &newer, e) != 0 ||
	    count_from(x, v, d->id, key, &out->position, e) != 0)
		return -1;
	out->total =
	    (uint64_t)(view->talks ? d->talks : d->messages)[view->filter];
	return 0;
}
