/*
 * Answering a search from the index.  Candidates come newest first from one
 * driver: the full-text index for the words that must be there, a
 * conversation for a Message-ID, else the messages (or the starred, or the
 * labelled ones) in order of id.  What the driver does not decide is decided
 * for each candidate by walking the tree over its row.
 *
 * Words are handed to FTS5 as quoted strings, so nothing that is typed is
 * syntax there.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#include "maildir/index_internal.h"

enum {
	MATCH_MAX = 16 * 1024,
	PREFIX_MIN = 3, /* characters of a word that may go on */
	CLOCK_EVERY = 256,
	TIME_SHIFT = 20, /* of an id: milliseconds above, a hash below */
};

/* A candidate. */
struct row {
	int64_t id, folder, talk, flags, keywords, size;
};

struct search {
	struct index *x;
	const struct index_search *ask;
	struct buf match;                /* of the driver, "" = none */
	const struct search_node *about; /* SEARCH_ID of the driver */
	bool starred, labelled;
	/* what the conjunction at the top asks of every row, for SQLite */
	int64_t set, clear;         /* of flags */
	int64_t size_from, size_to; /* from <= size < to */
	int64_t id_from, id_to;     /* the same of the id: arrival */
	int64_t dir, trash, junk;   /* folders' ids, 0 = none */
	int64_t *ids, *talks;       /* found */
	size_t count;
	struct pool *pool;
};

/* --- FTS5 expressions ----------------------------------------------------------------- */

static const char *
column_of(enum search_field field)
{
	switch (field) {
	case SEARCH_FROM:
		return "sender : ";
	case SEARCH_TO:
		return "recipient : ";
	case SEARCH_CC:
		return "copy : ";
	case SEARCH_SUBJECT:
		return "subject : ";
	case SEARCH_BODY:
		return "body : ";
	case SEARCH_FILENAME:
		return "files : ";
	case SEARCH_LIST:
		return "list : ";
	case SEARCH_ANY:
		break;
	}
	return "";
}

static void
add_match(struct buf *out, const struct search_node *n)
{
	buf_addstr(out, column_of(n->field));
	buf_addc(out, '"');
	for (size_t i = 0; i < n->text.len; i++) {
		if (n->text.data[i] == '"')
			buf_addc(out, '"');
		buf_addc(out, n->text.data[i]);
	}
	buf_addstr(
	    out, !n->phrase && n->text.len >= PREFIX_MIN ? "\" *" : "\"");
}

/* A word, or a choice of words: what FTS5 can drive. */
static bool
is_words(const struct search_node *n)
{
	if (n->kind == SEARCH_TEXT)
		return true;
	if (n->kind != SEARCH_OR || n->count == 0)
		return false;
	for (size_t i = 0; i < n->count; i++) {
		if (n->children[i]->kind != SEARCH_TEXT)
			return false;
	}
	return true;
}

static void
add_words(struct buf *out, const struct search_node *n)
{
	buf_addstr(out, out->len > 0 ? " AND (" : "(");
	if (n->kind == SEARCH_TEXT)
		add_match(out, n);
	for (size_t i = 0; i < n->count; i++) {
		buf_addstr(out, i > 0 ? " OR " : "");
		add_match(out, n->children[i]);
	}
	buf_addc(out, ')');
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The first id of that time. */
static int64_t
id_at(int64_t ms)
{
	return ms <= 0                       ? 0
	    : ms > (INT64_MAX >> TIME_SHIFT) ? INT64_MAX
					     : ms << TIME_SHIFT;
}

/* A row without this need not be looked at. */
static void
narrow(struct search *s, const struct search_node *n)
{
	switch (n->kind) {
	case SEARCH_FLAG:
		s->set |= n->set;
		s->clear |= n->clear;
		break;
	case SEARCH_FILES:
		s->set |= INDEX_HAS_FILES;
		break;
	case SEARCH_INVITE:
		s->set |= INDEX_HAS_INVITE;
		break;
	case SEARCH_SIZE:
		s->size_from = later(s->size_from, n->from);
		s->size_to = earlier(s->size_to, n->to);
		break;
	case SEARCH_DATE:
		s->id_from = later(s->id_from, id_at(n->from));
		s->id_to = earlier(s->id_to, id_at(n->to));
		break;
	case SEARCH_AND:
	case SEARCH_OR:
	case SEARCH_NOT:
	case SEARCH_TEXT:
	case SEARCH_IN:
	case SEARCH_LABEL:
	case SEARCH_ID:
	case SEARCH_FIRST:
		break;
	}
}

/* What the conjunction at the top says about where candidates come from. */
static void
choose_driver(struct search *s)
{
	const struct search_node *root = s->ask->query;

	for (size_t i = 0; root->kind == SEARCH_AND && i < root->count; i++) {
		const struct search_node *n = root->children[i];

		if (is_words(n))
			add_words(&s->match, n);
		if (n->kind == SEARCH_ID)
			s->about = n;
		if (n->kind == SEARCH_FLAG && (n->set & MAILDIR_FLAGGED) != 0)
			s->starred = true;
		if (n->kind == SEARCH_LABEL)
			s->labelled = true;
		narrow(s, n);
	}
}

/* `recent`: of words, the messages that are in that table. */
static struct sql_rows *
start_driver(struct search *s, bool recent, int64_t before, struct err *e)
{
	struct sql *db = s->x->db;

#define ROW      "SELECT m.id, m.folder, m.talk, m.flags, m.keywords, m.size FROM "
#define NEWEST   "m.id < ? ORDER BY m.id DESC"
#define MESSAGES "messages m WHERE "
#define NARROW                                                             \
	" AND (m.flags & ?1) = ?1 AND (m.flags & ?2) = 0 AND m.size >= ?3" \
	" AND m.size < ?4 AND m.id >= ?5 AND m.id < ?6"                    \
	" AND (?7 = 0 OR m.folder = ?7) ORDER BY m.id DESC"

	if (s->about != NULL)
		return sql_query(db, e,
		    ROW "messages m WHERE m.talk = (SELECT talk FROM refs"
			" WHERE hash=?) AND " NEWEST,
		    "ii", index_hash(s->about->text), before);
	if (recent)
		return sql_query(db, e,
		    ROW "recent w JOIN messages m ON m.id=w.rowid"
			" WHERE recent MATCH ? AND w.rowid >= ?"
			" AND w.rowid < ? ORDER BY w.rowid DESC",
		    "vii", buf_slice(&s->match), s->x->recent_from, before);
	if (s->match.len > 0)
		return sql_query(db, e,
		    ROW "words w JOIN messages m ON m.id=w.rowid"
			" WHERE words MATCH ? AND w.rowid < ?"
			" ORDER BY w.rowid DESC",
		    "vi", buf_slice(&s->match), before);
	return sql_query(db, e,
	    s->starred        ? ROW MESSAGES "(m.flags & 2) <> 0" NARROW
		: s->labelled ? ROW MESSAGES "m.keywords <> 0" NARROW
		: s->dir != 0 ? ROW MESSAGES "m.folder=?7" NARROW
			      : ROW MESSAGES "1" NARROW,
	    "iiiiiii", s->set, s->clear, s->size_from, s->size_to, s->id_from,
	    earlier(before, s->id_to), s->dir);
#undef ROW
#undef NEWEST
#undef MESSAGES
#undef NARROW
}

/* --- One candidate: 1 yes, 0 no, -1 failed ----------------------------------------------- */

static int
has_row(struct sql_rows *r, struct err *e)
{
	int got = sql_next(r, e);

	sql_done(r);
	return got;
}

static int
judge_text(struct search *s, const struct search_node *n, const struct row *m,
    struct err *e)
{
	struct buf match;
	int got;

	buf_init(&match, MATCH_MAX);
	add_match(&match, n);
	got = has_row(sql_query(s->x->db, e,
			  m->id >= s->x->recent_from
			      ? "SELECT 1 FROM recent WHERE recent MATCH ?"
				" AND rowid=?"
			      : "SELECT 1 FROM words WHERE words MATCH ?"
				" AND rowid=?",
			  "vi", buf_slice(&match), m->id),
	    e);
	buf_release(&match);
	return got;
}

static int
judge_folder(struct search *s, const struct search_node *n, const struct row *m)
{
	static const struct {
		const char *name, *dir;
	} known[] = {
		{ "inbox", "" },
		{ "sent", INDEX_SENT },
		{ "drafts", INDEX_DRAFTS },
		{ "archive", INDEX_ARCHIVE },
		{ "junk", INDEX_JUNK },
		{ "spam", INDEX_JUNK },
		{ "trash", INDEX_TRASH },
		{ "bin", INDEX_TRASH },
	};
	const struct index_dir *d = index_dir_by_id(s->x, m->folder);
	char name[MAILDIR_NAME_SIZE * 4];

	if (d == NULL)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (slice_ieq_str(n->text, known[i].name))
			return strcmp(d->dir, known[i].dir) == 0;
	}
	return d->dir[0] != '\0' &&
	    maildir_folder_decode(d->dir, name, sizeof(name)) &&
	    slice_ieq_str(n->text, name);
}

static int
judge_label(struct search *s, const struct search_node *n, const struct row *m)
{
	for (size_t i = 0; i < s->x->keyword_count; i++) {
		if ((m->keywords >> i & 1) != 0 &&
		    slice_ieq_str(n->text, s->x->keywords[i]))
			return 1;
	}
	return 0;
}

static int
judge_id(struct search *s, const struct search_node *n, const struct row *m,
    struct err *e)
{
	return has_row(sql_query(s->x->db, e,
			   "SELECT 1 FROM summaries WHERE id=? AND"
			   " message_id=?",
			   "iv", m->id, n->text),
	    e);
}

static int
judge_first(struct search *s, const struct row *m, struct err *e)
{
	int older =
	    has_row(sql_query(s->x->db, e,
			"SELECT 1 FROM messages WHERE talk=? AND id<? LIMIT 1",
			"ii", m->talk, m->id),
		e);

	return older < 0 ? -1 : !older;
}

static int judge(struct search *s, const struct search_node *n,
    const struct row *m, struct err *e);

/* AND, OR and NOT; the parser bounds how deep they nest. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static int
judge_children(struct search *s, const struct search_node *n,
    const struct row *m, struct err *e)
{
	for (size_t i = 0; i < n->count; i++) {
		int yes = judge(s, n->children[i], m, e);

		if (yes < 0)
			return -1;
		if (n->kind == SEARCH_NOT)
			return !yes;
		if (yes == (n->kind == SEARCH_OR))
			return yes;
	}
	return n->kind != SEARCH_OR;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int
judge(struct search *s, const struct search_node *n, const struct row *m,
    struct err *e)
{
	int64_t arrived = m->id >> 20;

	switch (n->kind) {
	case SEARCH_AND:
	case SEARCH_OR:
	case SEARCH_NOT:
		return judge_children(s, n, m, e);
	case SEARCH_TEXT:
		return judge_text(s, n, m, e);
	case SEARCH_IN:
		return judge_folder(s, n, m);
	case SEARCH_LABEL:
		return judge_label(s, n, m);
	case SEARCH_FLAG:
		return (m->flags & n->set) == n->set &&
		    (m->flags & n->clear) == 0;
	case SEARCH_FILES:
		return (m->flags & INDEX_HAS_FILES) != 0;
	case SEARCH_INVITE:
		return (m->flags & INDEX_HAS_INVITE) != 0;
	case SEARCH_SIZE:
		return m->size >= n->from && m->size < n->to;
	case SEARCH_DATE:
		return arrived >= n->from && arrived < n->to;
	case SEARCH_ID:
		return judge_id(s, n, m, e);
	case SEARCH_FIRST:
		return judge_first(s, m, e);
	}
	return 0;
}

static int
judge_row(struct search *s, const struct row *m, struct err *e)
{
	const struct search_node *root = s->ask->query;

	if ((s->dir != 0 && m->folder != s->dir) ||
	    (s->dir == 0 && !s->ask->with_trash &&
		(m->folder == s->trash || m->folder == s->junk)))
		return 0;
	if (root->kind != SEARCH_AND)
		return judge(s, root, m, e);
	for (size_t i = 0; i < root->count; i++) {
		int yes;

		/* the driver has seen to its words, but for a Message-ID's */
		if (s->about == NULL && is_words(root->children[i]))
			continue;
		yes = judge(s, root->children[i], m, e);
		if (yes != 1)
			return yes;
	}
	return 1;
}

/* --- The search --------------------------------------------------------------------------------- */

static bool
is_known_talk(const struct search *s, int64_t talk)
{
	for (size_t i = 0; s->ask->talks && i < s->count; i++) {
		if (s->talks[i] == talk)
			return true;
	}
	return false;
}

/* Collects limit + 1 ids, or until the time is up. */
static int
run(struct search *s, bool recent, int64_t before, struct index_found *out,
    struct err *e)
{
	struct sql_rows *r = start_driver(s, recent, before, e);
	int got = -1;
	unsigned seen = 0;

	while (s->count <= s->ask->limit && (got = sql_next(r, e)) == 1) {
		const struct row m = { sql_int(r, 0), sql_int(r, 1),
			sql_int(r, 2), sql_int(r, 3), sql_int(r, 4),
			sql_int(r, 5) };
		int yes = judge_row(s, &m, e);

		out->looked_to = m.id;
		if (yes < 0) {
			got = -1;
			break;
		}
		if (yes == 1 && !is_known_talk(s, m.talk)) {
			s->talks[s->count] = m.talk;
			s->ids[s->count++] = m.id;
		}
		if (++seen % CLOCK_EVERY == 0 &&
		    clock_left_ms(s->ask->deadline_ms) == 0) {
			out->timed_out = true;
			break;
		}
	}
	sql_done(r);
	return got < 0 ? -1 : 0;
}

/* Words are looked for among the newest messages first. */
static int
run_all(struct search *s, struct index_found *out, struct err *e)
{
	int64_t from = s->x->recent_from;
	int64_t before = s->ask->before != 0 ? s->ask->before : INT64_MAX;

	if (s->about == NULL && s->match.len > 0 && before > from) {
		if (run(s, true, before, out, e) != 0)
			return -1;
		if (s->count > s->ask->limit || out->timed_out)
			return 0;
		before = from;
	}
	return run(s, false, before, out, e);
}

static int64_t
id_of(struct index *x, const char *dir)
{
	const struct index_dir *d = dir != NULL ? index_dir_find(x, dir) : NULL;

	return d != NULL ? d->id : 0;
}

int
index_search(struct index *x, const struct index_search *ask, struct pool *pool,
    struct index_found *out, struct err *e)
{
	struct search s = { .x = x,
		.ask = ask,
		.pool = pool,
		.size_to = INT64_MAX,
		.id_to = INT64_MAX };
	size_t shown;
	int rc;

	memset(out, 0, sizeof(*out));
	if (index_load(x, e) != 0)
		return -1;
	s.dir = id_of(x, ask->dir);
	s.trash = id_of(x, INDEX_TRASH);
	s.junk = id_of(x, INDEX_JUNK);
	if (ask->dir != NULL && s.dir == 0)
		return err_set(e, ERR_PERM, "no such folder");
	s.ids = pool_alloc(pool, (ask->limit + 1) * sizeof(*s.ids));
	s.talks = pool_alloc(pool, (ask->limit + 1) * sizeof(*s.talks));
	buf_init(&s.match, MATCH_MAX);
	choose_driver(&s);
	rc = run_all(&s, out, e);
	buf_release(&s.match);
	if (rc != 0)
		return -1;
	shown = s.count > ask->limit ? ask->limit : s.count;
	out->ids = s.ids;
	out->count = shown;
	if (!ask->ids_only)
		rc = index_fill_rows(
		    x, s.ids, shown, ask->talks, pool, &out->rows, e);
	out->rows.more = s.count > ask->limit;
	return rc;
}
