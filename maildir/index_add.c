/*
 * Rows of messages: put in, renamed, taken out, and the conversation a message
 * belongs to.
 *
 * A conversation is found by Message-IDs: `refs` knows for the hash of each id
 * that any of its messages has or mentions which conversation that is.  A
 * message that mentions two joins them.  One that would make a conversation
 * longer than INDEX_TALK_MAX begins another, so a stranger who repeats one id
 * for ever costs no more than that.
 */
#include <sys/stat.h>

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

#include "maildir/index_internal.h"
#include "maildir/name.h"

enum {
	HASH_BITS = 20,
	PROBES = 64, /* ids behind the one that is taken */
	ID_DIGITS = INDEX_ID_SIZE - 1,
	TEXT_MAX = 64 * 1024,
	FILES_MAX = 4096,
	SNIPPET_MAX = 400,
	SUBJECT_MAX = 2000,
	ADDRESS_SIZE = 320,
	RECENT_FILL =
	    5000, /* messages in `recent`: it takes older ones until */
	RECENT_MAX = 20000, /* it has so many, and begins anew at so many */
};

/* --- Ids -------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void
index_id_format(int64_t id, char out[INDEX_ID_SIZE])
{
	uint64_t n = (uint64_t)id;

	for (int i = ID_DIGITS - 1; i >= 0; i--, n >>= 5)
		out[i] = digits[n & 31];
	out[ID_DIGITS] = '\0';
}

bool
index_id_parse(const char *text, int64_t *out)
{
	uint64_t n = 0;

	if (strlen(text) != ID_DIGITS || text[0] > '7')
		return false;
	for (size_t i = 0; i < ID_DIGITS; i++) {
		const char *at = strchr(digits, text[i]);

		if (at == NULL)
			return false;
		n = n << 5 | (uint64_t)(at - digits);
	}
	*out = (int64_t)n;
	return *out > 0;
}

/* What makes a name unique: all before its sizes and flags. */
static struct slice
unique_part(const char *name)
{
	return slice_of(name, strcspn(name, ",:"));
}

/* Names without a time: that of the file. */
int64_t
index_candidate(struct index *x, const struct index_dir *d, const char *name)
{
	int64_t hash = index_hash(unique_part(name));
	struct maildir_entry entry = { .arrived_ms = 0 };
	struct maildir m;
	struct stat st;
	struct err e;

	(void)maildir_parse_name(name, &entry);
	if (entry.arrived_ms <= 0 &&
	    index_maildir_open(x, d->dir, false, &m, &e) == 0) {
		if (fstatat(m.cur_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
		    fstatat(m.new_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			entry.arrived_ms = st.st_mtim.tv_sec * 1000 +
			    st.st_mtim.tv_nsec / 1000000;
		maildir_close(&m);
	}
	if (entry.arrived_ms < 0 || entry.arrived_ms >> 42 != 0)
		entry.arrived_ms = 0;
	return entry.arrived_ms << HASH_BITS | (hash & ((1 << HASH_BITS) - 1)) |
	    1;
}

/* --- Where a name belongs ------------------------------------------------------------ */

struct known {
	int64_t folder;
	bool in_new;
	char name[MAILDIR_NAME_SIZE];
};

/* 1: there is such a row. */
static int
read_known(struct index *x, int64_t id, struct known *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT folder, name, in_new FROM messages WHERE id=?", "i", id);
	int got = sql_next(r, e);

	if (got == 1) {
		out->folder = sql_int(r, 0);
		out->in_new = sql_int(r, 2) != 0;
		(void)snprintf(
		    out->name, sizeof(out->name), "%s", sql_text(r, 1));
	}
	sql_done(r);
	return got;
}

static bool
is_there(struct index *x, int64_t folder, const char *name)
{
	struct index_dir *d = index_dir_by_id(x, folder);
	struct maildir m;
	struct stat st;
	struct err e;
	bool there;

	if (d == NULL || index_maildir_open(x, d->dir, false, &m, &e) != 0)
		return false;
	there = fstatat(m.cur_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    fstatat(m.new_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	maildir_close(&m);
	return there;
}

int
index_place(struct index *x, const struct index_dir *d, struct index_name *n,
    enum index_place *out, struct err *e)
{
	struct slice unique = unique_part(n->name);
	struct known k;
	int got;

	n->id = index_candidate(x, d, n->name);
	for (int i = 0; i < PROBES; i++, n->id += 2) {
		got = read_known(x, n->id, &k, e);
		if (got < 0)
			return -1;
		if (got == 0) {
			*out = INDEX_PLACE_NEW;
			return 0;
		}
		if (!slice_eq(unique_part(k.name), unique))
			continue;
		if (k.folder == d->id && strcmp(k.name, n->name) == 0) {
			*out = k.in_new == n->in_new ? INDEX_PLACE_KNOWN
						     : INDEX_PLACE_RENAMED;
			return 0;
		}
		if (!is_there(x, k.folder, k.name)) {
			*out = INDEX_PLACE_RENAMED;
			return 0;
		}
	}
	return err_set(e, ERR_TEMP, "%s: too many alike", n->name);
}

/* --- Conversations ---------------------------------------------------------------------- */

static int
find_ref(
    struct index *x, const char *message_id, int64_t *talk_out, struct err *e)
{
	return sql_get_int(x->db, e, talk_out,
	    "SELECT talk FROM refs WHERE hash=?", "i",
	    index_hash(slice_str(message_id)));
}

static int
add_ref(struct index *x, const char *message_id, int64_t talk, struct err *e)
{
	return sql_run(x->db, e,
		   "INSERT OR IGNORE INTO refs(hash, talk) VALUES(?, ?)", "ii",
		   index_hash(slice_str(message_id)), talk) < 0
	    ? -1
	    : 0;
}

/* Messages of a conversation, counted up to its longest. */
static int
talk_length(struct index *x, int64_t talk, int64_t *out, struct err *e)
{
	static_assert(INDEX_TALK_MAX == 500, "the query below");
	return sql_get_int(x->db, e, out,
		   "SELECT count(*) FROM (SELECT 1 FROM messages WHERE talk=?"
		   " LIMIT 500)",
		   "i", talk) == 1
	    ? 0
	    : -1;
}

/* All of `from` becomes part of `to`. */
static int
join_talks(struct index *x, int64_t to, int64_t from, struct err *e)
{
	int64_t to_length = 0, from_length = 0;

	if (talk_length(x, to, &to_length, e) != 0 ||
	    talk_length(x, from, &from_length, e) != 0)
		return -1;
	if (to_length + from_length >= INDEX_TALK_MAX)
		return 0;
	if (sql_run(x->db, e, "UPDATE messages SET talk=? WHERE talk=?", "ii",
		to, from) < 0 ||
	    sql_run(x->db, e, "UPDATE refs SET talk=? WHERE talk=?", "ii", to,
		from) < 0)
		return -1;
	for (size_t i = 0; i < x->dir_count; i++) {
		if (index_head_update(x, x->dirs[i].id, from, e) != 0 ||
		    index_head_update(x, x->dirs[i].id, to, e) != 0)
			return -1;
	}
	return 0;
}

static int
join_by(struct index *x, const char *message_id, int64_t *talk, struct err *e)
{
	int64_t other = 0;
	int got;

	if (message_id[0] == '\0')
		return 0;
	got = find_ref(x, message_id, &other, e);
	if (got <= 0 || other == *talk)
		return got < 0 ? -1 : 0;
	if (*talk != 0)
		return join_talks(x, *talk, other, e);
	*talk = other;
	return 0;
}

static int
find_talk(struct index *x, const struct index_content *c, int64_t id,
    int64_t *out, struct err *e)
{
	int64_t talk = 0, length = 0;

	if (join_by(x, c->message_id, &talk, e) != 0)
		return -1;
	for (size_t i = 0; i < c->ref_count; i++) {
		if (join_by(x, c->refs[i], &talk, e) != 0)
			return -1;
	}
	if (talk != 0 && talk_length(x, talk, &length, e) != 0)
		return -1;
	if (talk == 0 || length >= INDEX_TALK_MAX)
		talk = id;
	if (c->message_id[0] != '\0' && add_ref(x, c->message_id, talk, e) != 0)
		return -1;
	for (size_t i = 0; i < c->ref_count; i++) {
		if (c->refs[i][0] != '\0' &&
		    add_ref(x, c->refs[i], talk, e) != 0)
			return -1;
	}
	*out = talk;
	return 0;
}

/* --- Senders --------------------------------------------------------------------------------- */

static int64_t
sender_hash(const struct index_people *from)
{
	char lower[ADDRESS_SIZE];
	size_t len = 0;

	for (const char *at = from->list[0].address;
	     *at != '\0' && len < sizeof(lower); at++)
		lower[len++] = (char)ascii_lower((unsigned char)*at);
	return index_hash(slice_of(lower, len));
}

static int
note_sender(
    struct index *x, int64_t id, const struct index_people *from, struct err *e)
{
	if (from->count == 0)
		return 0;
	return sql_run(x->db, e,
		   "INSERT INTO senders(hash, first) VALUES(?, ?)"
		   " ON CONFLICT(hash) DO UPDATE"
		   " SET first=min(first, excluded.first)",
		   "ii", sender_hash(from), id) < 0
	    ? -1
	    : 0;
}

int
index_is_first(
    struct index *x, const struct index_message *m, bool *out, struct err *e)
{
	int got;

	*out = false;
	if (m->from.count == 0)
		return 0;
	got = sql_get_int(x->db, e, NULL,
	    "SELECT 1 FROM senders WHERE hash=? AND first<?", "ii",
	    sender_hash(&m->from), m->id);
	*out = got == 0;
	return got < 0 ? -1 : 0;
}

/* --- Rows ------------------------------------------------------------------------------------ */

/* Text on one line, at most `max` bytes. */
static void
add_clean(struct buf *out, const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len > max) {
		len = max;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++)
		buf_addc(out, (unsigned char)text[i] < ' ' ? ' ' : text[i]);
}

/* "name \t address" a line. */
static void
add_people(struct buf *out, const struct index_people *p)
{
	size_t count = num_min(p->count, INDEX_PEOPLE_MAX);

	for (size_t i = 0; i < count; i++) {
		add_clean(out, p->list[i].name, SUBJECT_MAX);
		buf_addc(out, '\t');
		add_clean(out, p->list[i].address, SUBJECT_MAX);
		buf_addc(out, '\n');
	}
}

struct index_people
index_people_parse(const char *text, struct pool *pool)
{
	struct index_people p = { .count = 0 };
	struct slice rest = slice_str(text), line, name, address;
	size_t lines = 0;

	for (const char *at = text; *at != '\0'; at++)
		lines += *at == '\n';
	p.list = pool_zalloc(pool, (lines + 1) * sizeof(*p.list));
	while (p.count < lines) {
		rest = slice_cut(rest, '\n', &line);
		address = slice_cut(line, '\t', &name);
		p.list[p.count++] = (struct index_person){
			pool_strndup(pool, name.data, name.len),
			pool_strndup(
			    pool, address.data ? address.data : "", address.len)
		};
	}
	return p;
}

/*
 * Does the message belong into `recent`?  Another may only go below those
 * that are there if none is missing in between.  1: yes.
 */
static int
take_recent(struct index *x, int64_t id, struct err *e)
{
	int got;

	if (x->recent_count >= RECENT_MAX) {
		if (sql_run(x->db, e,
			"INSERT INTO recent(recent) VALUES('delete-all')",
			"") < 0)
			return -1;
		x->recent_from = INT64_MAX;
		x->recent_count = 0;
	}
	if (id < x->recent_from) {
		if (x->recent_count >= RECENT_FILL)
			return 0;
		got = sql_get_int(x->db, e, NULL,
		    "SELECT 1 FROM messages WHERE id>? AND id<? LIMIT 1", "ii",
		    id, x->recent_from);
		if (got != 0)
			return got < 0 ? -1 : 0;
		x->recent_from = id;
	}
	x->recent_count++;
	return 1;
}

/* What is kept of a message's texts. */
struct texts {
	struct buf people[3]; /* sender, recipient, copy */
	struct buf subject, snippet, files;
};

#define ADD_WORDS(table)                                        \
	"INSERT INTO " table "(rowid, sender, recipient, copy," \
	" subject, files, list, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"

static int
add_words(struct index *x, const char *query, int64_t id,
    const struct index_content *c, const struct texts *t, struct err *e)
{
	return sql_run(x->db, e, query, "ivvvvvss", id,
		   buf_slice(&t->people[0]), buf_slice(&t->people[1]),
		   buf_slice(&t->people[2]), buf_slice(&t->subject),
		   buf_slice(&t->files), c->list_id, c->text) < 0
	    ? -1
	    : 0;
}

static int
store_texts(struct index *x, int64_t id, const struct index_content *c,
    const struct texts *t, struct err *e)
{
	int recent;

	if (sql_run(x->db, e,
		"INSERT OR REPLACE INTO summaries(id, sender, recipient, copy,"
		" subject, snippet, files, message_id)"
		" VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
		"ivvvvvvs", id, buf_slice(&t->people[0]),
		buf_slice(&t->people[1]), buf_slice(&t->people[2]),
		buf_slice(&t->subject), buf_slice(&t->snippet),
		buf_slice(&t->files), c->message_id) < 0 ||
	    add_words(x, ADD_WORDS("words"), id, c, t, e) != 0)
		return -1;
	recent = take_recent(x, id, e);
	return recent == 1 ? add_words(x, ADD_WORDS("recent"), id, c, t, e)
			   : recent;
}

static int
add_texts(
    struct index *x, int64_t id, const struct index_content *c, struct err *e)
{
	const struct index_people *fields[] = { &c->from, &c->to, &c->cc };
	struct texts t;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		buf_init(&t.people[i], TEXT_MAX);
		add_people(&t.people[i], fields[i]);
	}
	buf_init(&t.subject, SUBJECT_MAX + 1);
	buf_init(&t.snippet, SNIPPET_MAX + 1);
	buf_init(&t.files, FILES_MAX + 1);
	add_clean(&t.subject, c->subject, SUBJECT_MAX);
	add_clean(&t.snippet, c->snippet, SNIPPET_MAX);
	buf_add(&t.files, c->files, num_min(strlen(c->files), FILES_MAX));
	rc = store_texts(x, id, c, &t, e);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		buf_release(&t.people[i]);
	buf_release(&t.subject);
	buf_release(&t.snippet);
	buf_release(&t.files);
	return rc;
}

int
index_add(struct index *x, struct index_dir *d, const struct index_name *n,
    const struct index_content *c, int64_t size, struct err *e)
{
	struct maildir_entry entry = { .flags = 0 };
	uint64_t keywords;
	int64_t talk, flags;

	(void)maildir_parse_name(n->name, &entry);
	flags = entry.flags | (c->has_files ? INDEX_HAS_FILES : 0) |
	    (c->has_invite ? INDEX_HAS_INVITE : 0) |
	    (c->unreadable ? INDEX_UNREADABLE : 0);
	if (keywords_of_name(x, d, n->name, &keywords, e) != 0 ||
	    find_talk(x, c, n->id, &talk, e) != 0)
		return -1;
	if (sql_run(x->db, e,
		"INSERT INTO messages(id, folder, talk, flags, keywords, size,"
		" date, in_new, hash, name)"
		" VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"iiiiiiiiis", n->id, d->id, talk, flags, (int64_t)keywords,
		size, c->date_ms, (int64_t)n->in_new,
		index_hash(slice_str(n->name)), n->name) < 0)
		return -1;
	index_count_message(d, flags, 1);
	if (add_texts(x, n->id, c, e) != 0 ||
	    note_sender(x, n->id, &c->from, e) != 0)
		return -1;
	return index_head_update(x, d->id, talk, e);
}

/* What a change of a row has to know of it. */
struct row {
	int64_t folder, talk, flags;
};

static int
read_row(struct index *x, int64_t id, struct row *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT folder, talk, flags FROM messages WHERE id=?", "i", id);
	int got = sql_next(r, e);

	if (got == 1) {
		out->folder = sql_int(r, 0);
		out->talk = sql_int(r, 1);
		out->flags = sql_int(r, 2);
	}
	sql_done(r);
	return got;
}

int
index_rename(struct index *x, int64_t id, struct index_dir *to,
    const char *name, bool in_new, struct err *e)
{
	struct maildir_entry entry = { .flags = 0 };
	struct index_dir *from;
	struct row old;
	uint64_t keywords;
	int64_t flags;
	int got = read_row(x, id, &old, e);

	if (got != 1)
		return got;
	(void)maildir_parse_name(name, &entry);
	flags = (old.flags & ~(int64_t)0xff) | entry.flags;
	if (keywords_of_name(x, to, name, &keywords, e) != 0 ||
	    sql_run(x->db, e,
		"UPDATE messages SET folder=?, flags=?, keywords=?, in_new=?,"
		" hash=?, name=? WHERE id=?",
		"iiiiisi", to->id, flags, (int64_t)keywords, (int64_t)in_new,
		index_hash(slice_str(name)), name, id) < 0)
		return -1;
	from = index_dir_by_id(x, old.folder);
	if (from != NULL)
		index_count_message(from, old.flags, -1);
	index_count_message(to, flags, 1);
	if (old.folder != to->id &&
	    index_head_update(x, old.folder, old.talk, e) != 0)
		return -1;
	return index_head_update(x, to->id, old.talk, e);
}

int
index_forget(struct index *x, int64_t id, struct err *e)
{
	struct index_dir *d;
	struct row old;
	int64_t length = 0;
	int got = read_row(x, id, &old, e);

	if (got != 1)
		return got;
	if (sql_run(x->db, e, "DELETE FROM messages WHERE id=?", "i", id) < 0 ||
	    sql_run(x->db, e, "DELETE FROM summaries WHERE id=?", "i", id) < 0)
		return -1;
	d = index_dir_by_id(x, old.folder);
	if (d != NULL)
		index_count_message(d, old.flags, -1);
	if (index_head_update(x, old.folder, old.talk, e) != 0 ||
	    talk_length(x, old.talk, &length, e) != 0)
		return -1;
	if (length > 0)
		return 0;
	return sql_run(
		   x->db, e, "DELETE FROM refs WHERE talk=?", "i", old.talk) < 0
	    ? -1
	    : 0;
}
