/*
 * The index's file: where it lies, its tables, transactions, and the two
 * things every change has to keep right, the folders' counters and the
 * conversations' rows (heads).
 *
 * Folders' rows are read whole at the beginning of each transaction, changed
 * in memory, and written before its commit: a batch of a thousand messages
 * costs one update.
 *
 * Not here: messages (index_add.c), the Maildir (index_sync.c).
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#include "maildir/index_internal.h"

enum {
	APPLICATION = 0x4d534979, /* "MSIy" */
	FOLDERS_MAX = 10000,
};

/*
 * heads has a row for each conversation of each folder.  senders: hash of an
 * address, and the first message from it.  refs: hash of every
 * Message-ID a conversation mentions.  words holds no text, only where words
 * stand; what it says of messages that are gone is never looked at.  recent is
 * the same for the newest messages alone: there a page of what is common is
 * found without going through where it stands in all the others.
 */
/* clang-format off */
#define WORDS(name)                                                           \
    "CREATE VIRTUAL TABLE " name " USING fts5(sender, recipient, copy,"       \
    " subject, files, list, body, content='', columnsize=0,"                  \
    " tokenize='unicode61 remove_diacritics 2');"                             \
    "INSERT INTO " name "(" name ", rank) VALUES('automerge', 8)"

static const char *const schema[] = {
    "CREATE TABLE meta(modseq INTEGER NOT NULL, root_ns INTEGER NOT NULL,"
    " recent_from INTEGER NOT NULL, recent_count INTEGER NOT NULL);"
    "INSERT INTO meta VALUES(1, 0, 0x7fffffffffffffff, 0);"
    "CREATE TABLE folders(id INTEGER PRIMARY KEY, dir TEXT NOT NULL UNIQUE,"
    " new_ns INTEGER NOT NULL, cur_ns INTEGER NOT NULL,"
    " looked_ms INTEGER NOT NULL, missing INTEGER NOT NULL,"
    " letters TEXT NOT NULL, m0 INTEGER NOT NULL, m1 INTEGER NOT NULL,"
    " m2 INTEGER NOT NULL, m3 INTEGER NOT NULL, t0 INTEGER NOT NULL,"
    " t1 INTEGER NOT NULL, t2 INTEGER NOT NULL, t3 INTEGER NOT NULL);"
    "CREATE TABLE messages(id INTEGER PRIMARY KEY, folder INTEGER NOT NULL,"
    " talk INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " keywords INTEGER NOT NULL, size INTEGER NOT NULL,"
    " date INTEGER NOT NULL, in_new INTEGER NOT NULL,"
    " hash INTEGER NOT NULL, name TEXT NOT NULL);"
    "CREATE INDEX by_name ON messages(folder, in_new, hash);"
    "CREATE INDEX by_talk ON messages(talk, folder);"
    "CREATE INDEX by_folder ON messages(folder, id);"
    "CREATE INDEX unread ON messages(folder, id) WHERE (flags & 16) = 0;"
    "CREATE INDEX starred ON messages(folder, id) WHERE (flags & 2) <> 0;"
    "CREATE INDEX files ON messages(folder, id) WHERE (flags & 256) <> 0;"
    "CREATE INDEX starred_all ON messages(id) WHERE (flags & 2) <> 0;"
    "CREATE INDEX labelled ON messages(id) WHERE keywords <> 0;"
    "CREATE TABLE summaries(id INTEGER PRIMARY KEY, sender TEXT NOT NULL,"
    " recipient TEXT NOT NULL, copy TEXT NOT NULL, subject TEXT NOT NULL,"
    " snippet TEXT NOT NULL, files TEXT NOT NULL, message_id TEXT NOT NULL);"
    "CREATE TABLE heads(folder INTEGER NOT NULL, talk INTEGER NOT NULL,"
    " newest INTEGER NOT NULL, unread INTEGER NOT NULL,"
    " starred INTEGER NOT NULL, files INTEGER NOT NULL,"
    " keywords INTEGER NOT NULL, PRIMARY KEY(folder, talk)) WITHOUT ROWID;"
    "CREATE INDEX heads_all ON heads(folder, newest);"
    "CREATE INDEX heads_unread ON heads(folder, newest) WHERE unread > 0;"
    "CREATE INDEX heads_starred ON heads(folder, newest) WHERE starred > 0;"
    "CREATE INDEX heads_files ON heads(folder, newest) WHERE files > 0;"
    "CREATE TABLE refs(hash INTEGER PRIMARY KEY, talk INTEGER NOT NULL);"
    "CREATE INDEX refs_talk ON refs(talk);"
    "CREATE TABLE senders(hash INTEGER PRIMARY KEY, first INTEGER NOT NULL);"
    "CREATE TABLE keywords(bit INTEGER PRIMARY KEY, name TEXT UNIQUE);"
    "CREATE TABLE undo(token TEXT NOT NULL, ends_ms INTEGER NOT NULL,"
    " id INTEGER NOT NULL, dir TEXT NOT NULL, flags INTEGER NOT NULL,"
    " keywords INTEGER NOT NULL);"
    "CREATE INDEX undo_token ON undo(token);"
    "CREATE TABLE jobs(token TEXT PRIMARY KEY, made_ms INTEGER NOT NULL,"
    " verb INTEGER NOT NULL, add_flags INTEGER NOT NULL,"
    " remove_flags INTEGER NOT NULL, keyword TEXT NOT NULL,"
    " keyword_on INTEGER NOT NULL, dir TEXT NOT NULL,"
    " total INTEGER NOT NULL, done INTEGER NOT NULL, error TEXT NOT NULL);"
    "CREATE TABLE job_items(token TEXT NOT NULL, place INTEGER NOT NULL,"
    " id INTEGER NOT NULL, PRIMARY KEY(token, place)) WITHOUT ROWID;"
    WORDS("words") ";" WORDS("recent"),
};

/* clang-format on */

/* --- The file ----------------------------------------------------------------- */

static int
make_path(const struct index_config *c, struct slice local, struct slice domain,
    struct index *x, struct err *e)
{
	if (!maildir_path(local, domain, x->mailbox, sizeof(x->mailbox)))
		return err_set(e, ERR_PERM, "no mailbox");
	if (c->cache_dir == NULL)
		(void)snprintf(x->file, sizeof(x->file), ":memory:");
	else if (snprintf(x->file, sizeof(x->file), "%s/%s.db", c->cache_dir,
		     x->mailbox) >= (int)sizeof(x->file))
		return err_set(e, ERR_PERM, "the path is too long");
	return 0;
}

static int
make_parent(struct index *x, struct err *e)
{
	char *slash = strrchr(x->file, '/');
	int rc;

	*slash = '\0';
	rc = file_mkdir(AT_FDCWD, x->file, 02770, e);
	*slash = '/';
	return rc;
}

static int
drop(const char *file, struct err *e)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	char path[INDEX_PATH_SIZE + 8];

	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", file, tails[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return err_errno(e, "%s", path);
	}
	return 0;
}

static int
note_identity(struct index *x, struct err *e)
{
	struct stat st;

	if (x->config->cache_dir == NULL)
		return 0;
	if (stat(x->file, &st) != 0)
		return err_errno(e, "%s", x->file);
	x->dev = st.st_dev;
	x->ino = st.st_ino;
	return 0;
}

static int
open_file(struct index *x, struct err *e)
{
	if (x->config->cache_dir != NULL && access(x->file, F_OK) != 0) {
		if (make_parent(x, e) != 0)
			return -1;
		/* another process may be faster */
		if (sql_create(x->file, 0660, e) != 0 &&
		    access(x->file, F_OK) != 0)
			return -1;
	}
	if (note_identity(x, e) != 0 ||
	    sql_open(x->file, SQL_CACHE, &x->db, e) != 0)
		return -1;
	if (sql_migrate(x->db, APPLICATION, schema, ARRAY_LEN(schema), e) ==
		0 &&
	    index_load(x, e) == 0)
		return 0;
	if (e->kind == ERR_TEMP && !sql_is_damaged(x->db))
		e->kind = ERR_TIMEOUT; /* busy: not the file's fault */
	sql_close(x->db);
	x->db = NULL;
	return -1;
}

int
index_open(const struct index_config *config, struct slice local,
    struct slice domain, struct index **out, struct err *e)
{
	struct index *x = mem_zalloc(sizeof(*x));

	x->config = config;
	if (make_path(config, local, domain, x, e) != 0) {
		free(x);
		return -1;
	}
	if (open_file(x, e) != 0 && e->kind != ERR_TIMEOUT) {
		log_warning("index %s is made anew: %s", x->mailbox, e->text);
		if (drop(x->file, e) == 0)
			(void)open_file(x, e);
	}
	if (x->db == NULL) {
		e->kind = ERR_TEMP;
		index_close(x);
		return -1;
	}
	*out = x;
	return 0;
}

static bool
is_replaced(const struct index *x)
{
	struct stat st;

	return x->config->cache_dir != NULL &&
	    (stat(x->file, &st) != 0 || st.st_dev != x->dev ||
		st.st_ino != x->ino);
}

void
index_close(struct index *x)
{
	struct err e;

	if (x == NULL)
		return;
	if (x->db != NULL && sql_is_damaged(x->db) && !is_replaced(x)) {
		log_warning("index %s is damaged: made anew", x->mailbox);
		if (drop(x->file, &e) != 0)
			log_error("%s", e.text);
	}
	index_own_drop(x);
	sql_close(x->db);
	pool_release(&x->pool);
	free(x->dirs);
	free(x);
}

bool
index_is_stale(const struct index *x)
{
	return sql_is_damaged(x->db) || is_replaced(x);
}

int
index_maildir_open(struct index *x, const char *dir, bool create,
    struct maildir *out, struct err *e)
{
	return maildir_open(
	    x->config->mail_root_fd, x->mailbox, dir, create, out, e);
}

/* FNV-1a, its bits spread; never negative. */
int64_t
index_hash(struct slice s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.data[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 29;
	return (int64_t)(h >> 1);
}

/* --- Folders --------------------------------------------------------------------- */

static void
take_dir(struct index *x, struct sql_rows *r)
{
	struct index_dir *d;

	x->dirs = mem_grow(
	    x->dirs, &x->dir_alloc, x->dir_count + 1, sizeof(*x->dirs));
	d = &x->dirs[x->dir_count++];
	*d = (struct index_dir){
		.id = sql_int(r, 0),
		.dir = pool_strdup(&x->pool, sql_text(r, 1)),
		.new_ns = sql_int(r, 2),
		.cur_ns = sql_int(r, 3),
		.looked_ms = sql_int(r, 4),
		.missing = sql_int(r, 5),
		.letters = pool_strdup(&x->pool, sql_text(r, 6)),
	};
	for (int i = 0; i < COUNT_KINDS; i++) {
		d->messages[i] = sql_int(r, 7 + i);
		d->talks[i] = sql_int(r, 7 + COUNT_KINDS + i);
	}
}

static int
load_keywords(struct index *x, struct err *e)
{
	struct sql_rows *r =
	    sql_query(x->db, e, "SELECT name FROM keywords ORDER BY bit", "");
	int got = -1;

	x->keyword_count = 0;
	while (x->keyword_count < INDEX_KEYWORDS_MAX &&
	    (got = sql_next(r, e)) == 1)
		x->keywords[x->keyword_count++] =
		    pool_strdup(&x->pool, sql_text(r, 0));
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
index_load(struct index *x, struct err *e)
{
	struct sql_rows *r;
	int got;

	pool_reset(&x->pool);
	x->dir_count = 0;
	r = sql_query(x->db, e,
	    "SELECT root_ns, recent_from, recent_count FROM meta", "");
	got = sql_next(r, e);
	if (got == 1) {
		x->root_ns = sql_int(r, 0);
		x->recent_from = sql_int(r, 1);
		x->recent_count = sql_int(r, 2);
	}
	sql_done(r);
	if (got < 0)
		return -1;
	r = sql_query(x->db, e,
	    "SELECT id, dir, new_ns, cur_ns, looked_ms, missing, letters,"
	    " m0, m1, m2, m3, t0, t1, t2, t3 FROM folders ORDER BY dir",
	    "");
	while ((got = sql_next(r, e)) == 1 && x->dir_count < FOLDERS_MAX)
		take_dir(x, r);
	sql_done(r);
	return r == NULL || got < 0 ? -1 : load_keywords(x, e);
}

struct index_dir *
index_dir_find(struct index *x, const char *dir)
{
	for (size_t i = 0; i < x->dir_count; i++) {
		if (strcmp(x->dirs[i].dir, dir) == 0)
			return &x->dirs[i];
	}
	return NULL;
}

struct index_dir *
index_dir_by_id(struct index *x, int64_t id)
{
	for (size_t i = 0; i < x->dir_count; i++) {
		if (x->dirs[i].id == id)
			return &x->dirs[i];
	}
	return NULL;
}

struct index_dir *
index_dir_add(struct index *x, const char *dir, struct err *e)
{
	struct index_dir *d = index_dir_find(x, dir);

	if (d != NULL)
		return d;
	if (x->dir_count >= FOLDERS_MAX) {
		(void)err_set(e, ERR_PERM, "too many folders");
		return NULL;
	}
	if (sql_run(x->db, e,
		"INSERT INTO folders(dir, new_ns, cur_ns, looked_ms, missing,"
		" letters, m0, m1, m2, m3, t0, t1, t2, t3)"
		" VALUES(?, 0, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, 0)",
		"s", dir) < 0)
		return NULL;
	x->changed = true;
	x->dirs = mem_grow(
	    x->dirs, &x->dir_alloc, x->dir_count + 1, sizeof(*x->dirs));
	d = &x->dirs[x->dir_count++];
	*d = (struct index_dir){ .id = sql_last_id(x->db),
		.dir = pool_strdup(&x->pool, dir),
		.letters = "" };
	return d;
}

int
index_dir_forget(struct index *x, struct index_dir *d, struct err *e)
{
	struct sql_rows *r;
	int64_t id = 0;
	int got;

	do {
		r = sql_query(x->db, e,
		    "SELECT id FROM messages WHERE folder=? LIMIT 1", "i",
		    d->id);
		got = sql_next(r, e);
		if (got == 1)
			id = sql_int(r, 0);
		sql_done(r);
		if (got == 1 && index_forget(x, id, e) != 0)
			return -1;
	} while (got == 1);
	if (got < 0 ||
	    sql_run(x->db, e, "DELETE FROM folders WHERE id=?", "i", d->id) < 0)
		return -1;
	x->changed = true;
	*d = x->dirs[--x->dir_count];
	return 0;
}

static int
store_dir(struct index *x, const struct index_dir *d, struct err *e)
{
	const int64_t *m = d->messages, *t = d->talks;

	return sql_run(x->db, e,
		   "UPDATE folders SET new_ns=?, cur_ns=?, looked_ms=?,"
		   " missing=?, letters=?, m0=?, m1=?, m2=?, m3=?, t0=?,"
		   " t1=?, t2=?, t3=? WHERE id=?",
		   "iiiisiiiiiiiii", d->new_ns, d->cur_ns, d->looked_ms,
		   d->missing, d->letters, m[0], m[1], m[2], m[3], t[0], t[1],
		   t[2], t[3], d->id) < 0
	    ? -1
	    : 0;
}

/* --- Transactions ------------------------------------------------------------------ */

int
index_begin(struct index *x, struct err *e)
{
	if (sql_begin(x->db, e) != 0)
		return -1;
	x->changed = false;
	if (index_load(x, e) == 0)
		return 0;
	index_abort(x);
	return -1;
}

int
index_commit(struct index *x, struct err *e)
{
	for (size_t i = 0; i < x->dir_count; i++) {
		if (x->dirs[i].dirty && store_dir(x, &x->dirs[i], e) != 0)
			goto fail;
		x->dirs[i].dirty = false;
	}
	if (x->changed &&
	    sql_run(x->db, e,
		"UPDATE meta SET modseq=modseq+1, recent_from=?,"
		" recent_count=?",
		"ii", x->recent_from, x->recent_count) < 0)
		goto fail;
	return sql_commit(x->db, e);
fail:
	index_abort(x);
	return -1;
}

void
index_abort(struct index *x)
{
	sql_rollback(x->db);
}

int
index_modseq(struct index *x, int64_t *out, struct err *e)
{
	int got = sql_get_int(x->db, e, out, "SELECT modseq FROM meta", "");

	return got == 1 ? 0 : -1;
}

/* --- Counters and conversations -------------------------------------------------------- */

static void
count(int64_t *counts, bool unread, bool starred, bool files, int sign)
{
	counts[COUNT_TOTAL] += sign;
	counts[COUNT_UNREAD] += unread ? sign : 0;
	counts[COUNT_STARRED] += starred ? sign : 0;
	counts[COUNT_FILES] += files ? sign : 0;
}

void
index_count_message(struct index_dir *d, int64_t flags, int sign)
{
	count(d->messages, (flags & MAILDIR_SEEN) == 0,
	    (flags & MAILDIR_FLAGGED) != 0, (flags & INDEX_HAS_FILES) != 0,
	    sign);
	d->dirty = true;
}

struct head {
	int64_t newest, unread, starred, files, keywords;
};

/* 1: there is one. */
static int
read_head(
    struct index *x, int64_t dir, int64_t talk, struct head *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT unread, starred, files FROM heads"
	    " WHERE folder=? AND talk=?",
	    "ii", dir, talk);
	int got = sql_next(r, e);

	if (got == 1) {
		out->unread = sql_int(r, 0);
		out->starred = sql_int(r, 1);
		out->files = sql_int(r, 2);
	}
	sql_done(r);
	return got;
}

/* 1: it has messages. */
static int
make_head(
    struct index *x, int64_t dir, int64_t talk, struct head *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT id, flags, keywords FROM messages"
	    " WHERE talk=? AND folder=?",
	    "ii", talk, dir);
	int got, any = 0;

	memset(out, 0, sizeof(*out));
	while ((got = sql_next(r, e)) == 1) {
		int64_t id = sql_int(r, 0), flags = sql_int(r, 1);

		any = 1;
		out->newest = id > out->newest ? id : out->newest;
		out->unread += (flags & MAILDIR_SEEN) == 0;
		out->starred |= (flags & MAILDIR_FLAGGED) != 0;
		out->files |= (flags & INDEX_HAS_FILES) != 0;
		out->keywords |= sql_int(r, 2);
	}
	sql_done(r);
	return got < 0 ? -1 : any;
}

int
index_head_update(struct index *x, int64_t dir, int64_t talk, struct err *e)
{
	struct index_dir *d = index_dir_by_id(x, dir);
	struct head old = { .newest = 0 }, now;
	int had = read_head(x, dir, talk, &old, e);
	int has = had < 0 ? -1 : make_head(x, dir, talk, &now, e);

	if (has < 0)
		return -1;
	if (had == 1 && d != NULL)
		count(d->talks, old.unread > 0, old.starred > 0, old.files > 0,
		    -1);
	if (has == 1 && d != NULL)
		count(d->talks, now.unread > 0, now.starred > 0, now.files > 0,
		    1);
	if (d != NULL)
		d->dirty = true;
	x->changed = true;
	if (has == 0)
		return sql_run(x->db, e,
			   "DELETE FROM heads WHERE folder=? AND talk=?", "ii",
			   dir, talk) < 0
		    ? -1
		    : 0;
	return sql_run(x->db, e,
		   "INSERT OR REPLACE INTO heads(folder, talk, newest, unread,"
		   " starred, files, keywords) VALUES(?, ?, ?, ?, ?, ?, ?)",
		   "iiiiiii", dir, talk, now.newest, now.unread, now.starred,
		   now.files, now.keywords) < 0
	    ? -1
	    : 0;
}

/* --- Keywords ---------------------------------------------------------------------------- */

int
index_keyword_bit(
    struct index *x, const char *name, int *bit_out, struct err *e)
{
	*bit_out = -1;
	for (size_t i = 0; i < x->keyword_count; i++) {
		if (strcmp(x->keywords[i], name) == 0) {
			*bit_out = (int)i;
			return 0;
		}
	}
	if (x->keyword_count >= INDEX_KEYWORDS_MAX)
		return 0;
	if (sql_run(x->db, e, "INSERT INTO keywords(bit, name) VALUES(?, ?)",
		"is", (int64_t)x->keyword_count, name) < 0)
		return -1;
	*bit_out = (int)x->keyword_count;
	x->keywords[x->keyword_count++] = pool_strdup(&x->pool, name);
	return 0;
}

int
index_keywords(struct index *x, struct pool *pool, const char *const **list,
    size_t *count_out, struct err *e)
{
	const char **copy = pool_alloc(pool, sizeof(x->keywords));

	if (index_load(x, e) != 0)
		return -1;
	for (size_t i = 0; i < x->keyword_count; i++)
		copy[i] = pool_strdup(pool, x->keywords[i]);
	*list = copy;
	*count_out = x->keyword_count;
	return 0;
}
