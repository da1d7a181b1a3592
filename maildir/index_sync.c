/*
 * Keeping the index level with the Maildir: which directories changed, which
 * names came and went, and reading the messages that are new.
 *
 * A directory is unchanged when its mtime is what it was at the last look, and
 * that look began so long after it that a later change has another mtime (one in
 * the same tick of the file system's clock would not show).  Of a changed one all names are
 * read and compared by hash with those known; each difference is checked
 * against the disk again inside the transaction that records it, so that two
 * processes at once, or one that changes files meanwhile, cannot make the
 * index forget a message that is there.
 *
 * New messages are read newest first and put in by batches.  What is not done
 * by the deadline stays `missing`, and the next call goes on.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

#include "maildir/index_internal.h"
#include "maildir/internal.h"
#include "maildir/name.h"

enum {
	TICK_NS = 10000000,            /* the longest of the kernel's clock */
	FINE_MS = 100,                 /* for times that are finer */
	COARSE_MS = 2000,              /* FAT counts two seconds, others one */
	BATCH_BYTES = 4 * 1024 * 1024, /* of messages read at once */
	MANY = 500,                    /* unknown names */
	CHANGES = 1000, /* renames and removals of a transaction */
};

int64_t
index_mtime_ns(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

bool
index_is_coarse(int64_t ns)
{
	return ns % TICK_NS == 0;
}

/* How long after `ns` a change may still leave that mtime. */
static int64_t
settling_ms(int64_t ns)
{
	return index_is_coarse(ns) ? COARSE_MS : FINE_MS;
}

int64_t
index_settled_at(int64_t ns)
{
	return ns / 1000000 + settling_ms(ns);
}

bool
index_is_settled(const struct index_dir *d, int64_t ns)
{
	return d->looked_ms >= index_settled_at(ns);
}

/* --- Names ------------------------------------------------------------------------- */

/* A hash table of the names found: 0 = free. */
struct found {
	char *names;
	size_t names_len, names_alloc;

	struct found_name {
		int64_t hash;
		uint32_t name; /* offset */
		bool in_new, known;
	} * list;

	size_t count, list_alloc;
	uint32_t *table; /* index in list + 1 */
	size_t mask;
	bool in_new;
};

static bool
take_name(void *arg, const char *name, size_t len)
{
	struct found *f = arg;

	if (f->names_len + len + 1 > UINT32_MAX)
		return false;
	f->names =
	    mem_grow(f->names, &f->names_alloc, f->names_len + len + 1, 1);
	f->list =
	    mem_grow(f->list, &f->list_alloc, f->count + 1, sizeof(*f->list));
	memcpy(f->names + f->names_len, name, len + 1);
	f->list[f->count++] = (struct found_name){
		.hash = index_hash(slice_of(name, len)),
		.name = (uint32_t)f->names_len,
		.in_new = f->in_new,
	};
	f->names_len += len + 1;
	return true;
}

static void
make_table(struct found *f)
{
	size_t size = 64;

	while (size < f->count * 2)
		size *= 2;
	f->mask = size - 1;
	f->table = mem_zalloc(size * sizeof(*f->table));
	for (size_t i = 0; i < f->count; i++) {
		size_t at = (size_t)f->list[i].hash & f->mask;

		while (f->table[at] != 0)
			at = (at + 1) & f->mask;
		f->table[at] = (uint32_t)i + 1;
	}
}

static struct found_name *
look_up(struct found *f, int64_t hash)
{
	size_t at = (size_t)hash & f->mask;

	for (; f->table[at] != 0; at = (at + 1) & f->mask) {
		struct found_name *n = &f->list[f->table[at] - 1];

		if (n->hash == hash)
			return n;
	}
	return NULL;
}

static void
found_release(struct found *f)
{
	free(f->names);
	free(f->list);
	free(f->table);
}

/* --- One folder --------------------------------------------------------------------- */

/* What is done with a folder in one call. */
struct look {
	struct index *x;
	char dir[MAILDIR_NAME_SIZE];
	struct maildir m;
	int64_t deadline_ms;
	int64_t started_ms;     /* wall clock */
	int64_t new_ns, cur_ns; /* mtimes before reading */
	bool read_cur;          /* both, else new/ alone */
	struct found found;
	int64_t *gone; /* ids whose name is not there */
	size_t gone_count, gone_alloc;
	int64_t *ids; /* of all folders, if has_ids */
	size_t id_count;
	bool has_ids;
	struct index_name *fresh; /* to be read */
	size_t fresh_count, fresh_alloc;
	bool first;      /* its newest messages are read whatever the time */
	bool catches_up; /* with messages that were not read before */
};

static int
read_once(struct look *l, struct err *e)
{
	struct stat st;

	l->found.count = l->found.names_len = 0;
	l->started_ms = clock_wall_ms();
	if (fstat(l->m.new_fd, &st) != 0)
		return err_errno(e, "new");
	l->new_ns = index_mtime_ns(&st);
	l->found.in_new = true;
	if (maildir_walk(l->m.new_fd, take_name, &l->found, e) != 0)
		return -1;
	if (fstat(l->m.cur_fd, &st) != 0)
		return err_errno(e, "cur");
	l->cur_ns = index_mtime_ns(&st);
	l->found.in_new = false;
	if (l->read_cur &&
	    maildir_walk(l->m.cur_fd, take_name, &l->found, e) != 0)
		return -1;
	return 0;
}

/* Again if cur/ changed meanwhile: a rename may hide a file from a reader. */
static int
read_names(struct look *l, struct err *e)
{
	struct stat st;

	for (int i = 0; i < INDEX_BUSY_TRIES; i++) {
		if (read_once(l, e) != 0)
			return -1;
		if (!l->read_cur || fstat(l->m.cur_fd, &st) != 0 ||
		    index_mtime_ns(&st) == l->cur_ns)
			break;
	}
	make_table(&l->found);
	return 0;
}

/* Mark what is known; collect what is known and not there. */
static int
compare(struct look *l, const struct index_dir *d, bool in_new, struct err *e)
{
	struct sql_rows *r = sql_query(l->x->db, e,
	    "SELECT hash, id FROM messages WHERE folder=? AND in_new=?", "ii",
	    d->id, (int64_t)in_new);
	int got;

	while ((got = sql_next(r, e)) == 1) {
		struct found_name *n = look_up(&l->found, sql_int(r, 0));

		if (n != NULL && n->in_new == in_new) {
			n->known = true;
			continue;
		}
		l->gone = mem_grow(l->gone, &l->gone_alloc, l->gone_count + 1,
		    sizeof(*l->gone));
		l->gone[l->gone_count++] = sql_int(r, 1);
	}
	sql_done(r);
	return got;
}

static int
compare_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int
compare_names(const void *a, const void *b)
{
	return compare_id(&((const struct index_name *)a)->id,
	    &((const struct index_name *)b)->id);
}

static int
flush_changes(struct look *l, struct index_dir **d, struct err *e)
{
	if (index_commit(l->x, e) != 0 || index_begin(l->x, e) != 0)
		return -1;
	*d = index_dir_find(l->x, l->dir);
	return *d != NULL ? 0 : err_set(e, ERR_TEMP, "the folder is gone");
}

/* Every id there is, in order, into an array of the caller's. */
static int
read_all_ids(struct index *x, int64_t **out, size_t *count, struct err *e)
{
	struct sql_rows *r =
	    sql_query(x->db, e, "SELECT id FROM messages ORDER BY id", "");
	size_t alloc = 0;
	int got;

	*count = 0;
	while ((got = sql_next(r, e)) == 1) {
		*out = mem_grow(*out, &alloc, *count + 1, sizeof(**out));
		(*out)[(*count)++] = sql_int(r, 0);
	}
	sql_done(r);
	return got;
}

/*
 * What is known of the names that are not known as they are.  Of very many
 * most are new: those are told by their ids, without a query each.
 */
static int
place_found(struct look *l, const struct index_dir *d, struct index_name *n,
    enum index_place *out, struct err *e)
{
	n->id = index_candidate(l->x, d, n->name);
	if (l->has_ids &&
	    (l->id_count == 0 ||
		bsearch(&n->id, l->ids, l->id_count, sizeof(n->id),
		    compare_id) == NULL)) {
		*out = INDEX_PLACE_NEW;
		return 0;
	}
	return index_place(l->x, d, n, out, e);
}

/* In a transaction: names that are known ones changed; others are fresh. */
static int
take_found(struct look *l, struct index_dir **d, struct err *e)
{
	size_t changes = 0, unknown = 0;

	for (size_t i = 0; i < l->found.count; i++)
		unknown += !l->found.list[i].known;
	l->has_ids = unknown > MANY;
	if (l->has_ids && read_all_ids(l->x, &l->ids, &l->id_count, e) != 0)
		return -1;
	for (size_t i = 0; i < l->found.count; i++) {
		const struct found_name *f = &l->found.list[i];
		struct index_name n = { l->found.names + f->name, 0,
			f->in_new };
		enum index_place place;

		if (f->known)
			continue;
		if (place_found(l, *d, &n, &place, e) != 0)
			return -1;
		if (place == INDEX_PLACE_RENAMED) {
			if (index_rename(l->x, n.id, *d, n.name, n.in_new, e) !=
			    0)
				return -1;
			if (++changes % CHANGES == 0 &&
			    flush_changes(l, d, e) != 0)
				return -1;
		}
		if (place != INDEX_PLACE_NEW)
			continue;
		l->fresh = mem_grow(l->fresh, &l->fresh_alloc,
		    l->fresh_count + 1, sizeof(*l->fresh));
		l->fresh[l->fresh_count++] = n;
	}
	return 0;
}

/* 1: the row is still of this folder, and its file is not there. */
static int
is_gone(struct look *l, const struct index_dir *d, int64_t id, struct err *e)
{
	char now[MAILDIR_NAME_SIZE];
	struct sql_rows *r = sql_query(l->x->db, e,
	    "SELECT name FROM messages WHERE id=? AND folder=?", "ii", id,
	    d->id);
	int got = sql_next(r, e);
	struct stat st;

	if (got == 1)
		(void)snprintf(now, sizeof(now), "%s", sql_text(r, 0));
	sql_done(r);
	if (got != 1)
		return got;
	return fstatat(l->m.cur_fd, now, &st, AT_SYMLINK_NOFOLLOW) != 0 &&
	    fstatat(l->m.new_fd, now, &st, AT_SYMLINK_NOFOLLOW) != 0;
}

static int
take_gone(struct look *l, struct index_dir **d, struct err *e)
{
	for (size_t i = 0; i < l->gone_count; i++) {
		int gone = is_gone(l, *d, l->gone[i], e);

		if (gone < 0 ||
		    (gone == 1 && index_forget(l->x, l->gone[i], e) != 0))
			return -1;
		if (i % CHANGES == CHANGES - 1 && flush_changes(l, d, e) != 0)
			return -1;
	}
	return 0;
}

/* The letters changed their meaning, or one was added: look at them all. */
static int
refresh_letters(struct look *l, struct index_dir *d, struct err *e)
{
	struct index *x = l->x;
	const char *now = keywords_read(&l->m, &x->pool);
	struct sql_rows *r;
	int64_t *ids = NULL;
	size_t count = 0, alloc = 0;
	int got;

	if (strcmp(now, d->letters) == 0)
		return 0;
	d->letters = now;
	d->dirty = true;
	r = sql_query(x->db, e,
	    "SELECT id FROM messages WHERE folder=?"
	    " AND name GLOB '*:2,*[a-z]*'",
	    "i", d->id);
	while ((got = sql_next(r, e)) == 1) {
		ids = mem_grow(ids, &alloc, count + 1, sizeof(*ids));
		ids[count++] = sql_int(r, 0);
	}
	sql_done(r);
	for (size_t i = 0; got == 0 && i < count; i++) {
		char name[MAILDIR_NAME_SIZE];

		r = sql_query(x->db, e, "SELECT name FROM messages WHERE id=?",
		    "i", ids[i]);
		got = sql_next(r, e);
		if (got == 1)
			(void)snprintf(
			    name, sizeof(name), "%s", sql_text(r, 0));
		sql_done(r);
		if (got == 1)
			got = index_rename(x, ids[i], d, name, false, e);
	}
	free(ids);
	return got < 0 ? -1 : 0;
}

/* Is there anything to write but the time of the look? */
static bool
is_different(const struct look *l)
{
	if (l->gone_count > 0)
		return true;
	for (size_t i = 0; i < l->found.count; i++) {
		if (!l->found.list[i].known)
			return true;
	}
	return false;
}

static void
note_look(const struct look *l, struct index_dir *d)
{
	d->missing = (int64_t)l->fresh_count;
	d->new_ns = l->new_ns;
	if (l->read_cur)
		d->cur_ns = l->cur_ns;
	d->looked_ms = l->started_ms;
	d->dirty = true;
}

static int
record_names(struct look *l, struct err *e)
{
	struct index *x = l->x;
	struct index_dir *d;

	if (index_begin(x, e) != 0)
		return -1;
	d = index_dir_find(x, l->dir);
	if (d == NULL)
		d = index_dir_add(x, l->dir, e);
	if (d == NULL || (l->read_cur && refresh_letters(l, d, e) != 0) ||
	    take_found(l, &d, e) != 0 || take_gone(l, &d, e) != 0) {
		index_abort(x);
		return -1;
	}
	note_look(l, d);
	if (l->fresh_count > 0)
		x->changed = true;
	return index_commit(x, e);
}

/* --- Reading messages ------------------------------------------------------------------ */

/* Messages that are asked for together and put in by one transaction. */
struct batch {
	struct index_name names[INDEX_ASK_MAX];
	struct index_content contents[INDEX_ASK_MAX];
	int64_t sizes[INDEX_ASK_MAX];
	int fds[INDEX_ASK_MAX];
	size_t count;
	size_t taken; /* those that are gone too; 0: nothing is asked */
	void *asked;
	struct pool pool;
};

/* The newest of the first `left` of `l->fresh`. */
static void
ask_batch(struct look *l, struct batch *b, size_t left)
{
	const struct index_config *c = l->x->config;
	int64_t bytes = 0;

	b->count = b->taken = 0;
	while (b->taken < left && b->count < INDEX_ASK_MAX &&
	    bytes < BATCH_BYTES) {
		size_t n = b->count;
		struct stat st;
		struct err gone;

		b->names[n] = l->fresh[left - ++b->taken];
		if (maildir_open_message(
			&l->m, b->names[n].name, &b->fds[n], &gone) != 0)
			continue;
		b->sizes[n] = fstat(b->fds[n], &st) == 0 ? st.st_size : 0;
		bytes += b->sizes[n];
		b->count++;
	}
	memset(b->contents, 0, b->count * sizeof(b->contents[0]));
	b->asked = c->ask(c->arg, b->fds, b->count);
}

static int
take_batch(struct look *l, struct batch *b, struct err *e)
{
	int rc;

	pool_reset(&b->pool);
	rc = l->x->config->take(b->asked, &b->pool, b->contents, e);
	for (size_t i = 0; i < b->count; i++)
		(void)close(b->fds[i]);
	b->asked = NULL;
	return rc;
}

/* The oldest first: the full-text index wants ascending ids. */
static int
store_batch(struct look *l, struct batch *b, struct err *e)
{
	struct index *x = l->x;
	struct index_dir *d;

	if (index_begin(x, e) != 0)
		return -1;
	d = index_dir_find(x, l->dir);
	if (d == NULL) {
		index_abort(x);
		return err_set(e, ERR_TEMP, "the folder is gone");
	}
	for (size_t i = b->count; i-- > 0;) {
		enum index_place place;

		if (index_place(x, d, &b->names[i], &place, e) != 0 ||
		    (place == INDEX_PLACE_NEW &&
			index_add(x, d, &b->names[i], &b->contents[i],
			    b->sizes[i], e) != 0)) {
			index_abort(x);
			return -1;
		}
	}
	d->missing -= (int64_t)b->taken;
	if (d->missing < 0)
		d->missing = 0;
	d->dirty = true;
	x->changed = true;
	return index_commit(x, e);
}

/*
 * From `l->fresh`, the newest first, until the deadline.  The reader is at the
 * next batch while this one is stored.
 */
static int
read_fresh(struct look *l, struct err *e)
{
	struct batch *two = mem_zalloc(2 * sizeof(*two));
	struct batch *b = &two[0], *next = &two[1], *done;
	size_t left = l->fresh_count;
	struct err ignored;
	int rc = 0;

	qsort(l->fresh, left, sizeof(*l->fresh), compare_names);
	if (l->first || clock_left_ms(l->deadline_ms) > 0)
		ask_batch(l, b, left);
	while (rc == 0 && b->taken > 0) {
		rc = take_batch(l, b, e);
		left -= b->taken;
		next->taken = 0;
		if (rc == 0 && left > 0 && clock_left_ms(l->deadline_ms) > 0)
			ask_batch(l, next, left);
		if (rc == 0)
			rc = store_batch(l, b, e);
		done = b;
		b = next;
		next = done;
	}
	if (b->asked != NULL)
		(void)take_batch(l, b, &ignored);
	pool_release(&b->pool);
	pool_release(&next->pool);
	free(two);
	return rc;
}

/* --- A look ------------------------------------------------------------------------------ */

/* 1: unchanged.  Sets which directories are to be read. */
static int
is_unchanged(struct look *l, const struct index_dir *d, int root_fd)
{
	char path[MAILDIR_NAME_SIZE + 8];
	struct stat st[2];
	static const char *const subs[] = { "new", "cur" };

	l->read_cur = true;
	if (d == NULL)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		(void)snprintf(path, sizeof(path), "%s%s%s", l->dir,
		    l->dir[0] != '\0' ? "/" : "", subs[i]);
		if (fstatat(root_fd, path, &st[i], 0) != 0)
			return 0;
	}
	l->read_cur = (d->missing > 0 && l->catches_up) ||
	    index_mtime_ns(&st[1]) != d->cur_ns ||
	    !index_is_settled(d, d->cur_ns);
	return !l->read_cur && index_mtime_ns(&st[0]) == d->new_ns &&
	    index_is_settled(d, d->new_ns);
}

static int
look_inside(struct look *l, const struct index_dir *d, struct err *e)
{
	bool settling;

	if (read_names(l, e) != 0 || (d != NULL && compare(l, d, true, e) != 0))
		return -1;
	if (l->gone_count > 0 && !l->read_cur) {
		/* it may have gone to cur/ just now */
		l->read_cur = true;
		l->gone_count = 0;
		free(l->found.table);
		l->found.table = NULL;
		if (read_names(l, e) != 0 || compare(l, d, true, e) != 0)
			return -1;
	}
	if (d != NULL && l->read_cur && compare(l, d, false, e) != 0)
		return -1;
	settling = d == NULL || d->missing > 0 || d->new_ns != l->new_ns ||
	    (l->read_cur && d->cur_ns != l->cur_ns) ||
	    l->started_ms - d->looked_ms >= settling_ms(l->new_ns);
	if (!settling && !is_different(l))
		return 0;
	if (record_names(l, e) != 0)
		return -1;
	return l->fresh_count > 0 ? read_fresh(l, e) : 0;
}

static int
look_at(struct index *x, const struct maildir *root, const char *dir,
    bool first, bool catches_up, int64_t deadline_ms, struct err *e)
{
	struct look l = { .x = x,
		.deadline_ms = deadline_ms,
		.first = first,
		.catches_up = catches_up && clock_left_ms(deadline_ms) > 0 };
	const struct index_dir *d = index_dir_find(x, dir);
	int rc;

	(void)snprintf(l.dir, sizeof(l.dir), "%s", dir);
	if (is_unchanged(&l, d, root->root_fd))
		return 0;
	if (dir[0] == '\0' ? index_maildir_open(x, "", false, &l.m, e) != 0
			   : maildir_open_sub(root, dir, &l.m, e) != 0)
		return e->kind == ERR_PERM && dir[0] != '\0' ? 0 : -1;
	rc = look_inside(&l, d, e);
	maildir_close(&l.m);
	found_release(&l.found);
	free(l.gone);
	free(l.ids);
	free(l.fresh);
	return rc;
}

/* --- All folders ---------------------------------------------------------------------------- */

static bool
is_listed(const struct maildir_folders *f, const char *dir)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->items[i].dir, dir) == 0)
			return true;
	}
	return dir[0] == '\0';
}

static int
record_folders(
    struct index *x, const struct maildir_folders *f, int64_t ns, struct err *e)
{
	if (index_begin(x, e) != 0)
		return -1;
	for (size_t i = x->dir_count; i-- > 0;) {
		if (!is_listed(f, x->dirs[i].dir) &&
		    index_dir_forget(x, &x->dirs[i], e) != 0)
			goto fail;
	}
	if (index_dir_add(x, "", e) == NULL)
		goto fail;
	for (size_t i = 0; i < f->count; i++) {
		if (index_dir_add(x, f->items[i].dir, e) == NULL)
			goto fail;
	}
	if (sql_run(x->db, e, "UPDATE meta SET root_ns=?", "i", ns) < 0)
		goto fail;
	return index_commit(x, e);
fail:
	index_abort(x);
	return -1;
}

/* Which folders there are, if the mailbox's directory changed. */
static int
sync_folders(struct index *x, const struct maildir *root, struct err *e)
{
	struct maildir_folders f;
	int64_t now_ms = clock_wall_ms(), ns;
	struct stat st;
	int rc;

	if (fstat(root->root_fd, &st) != 0)
		return err_errno(e, "mailbox");
	ns = index_mtime_ns(&st);
	if (ns == x->root_ns)
		return 0;
	if (maildir_folder_list(root, &f, e) != 0)
		return -1;
	/* a directory that has just changed is read again next time */
	if (now_ms - ns / 1000000 < settling_ms(ns))
		ns = 0;
	rc = 0;
	for (size_t i = 0; i < f.count && ns == 0; i++)
		rc |= index_dir_find(x, f.items[i].dir) == NULL;
	for (size_t i = 0; i < x->dir_count && ns == 0; i++)
		rc |= !is_listed(&f, x->dirs[i].dir);
	if (ns != 0 || rc != 0 || x->dir_count == 0)
		rc = record_folders(x, &f, ns, e);
	maildir_folders_release(&f);
	return rc;
}

static int
look_at_all(struct index *x, const struct maildir *root, const char *first,
    bool catches_up, int64_t deadline_ms, struct err *e)
{
	size_t count = x->dir_count;
	char(*dirs)[MAILDIR_NAME_SIZE];
	int rc;

	if (index_dir_find(x, first) == NULL)
		first = "";
	rc = look_at(x, root, first, true, catches_up, deadline_ms, e);
	if (rc != 0)
		return -1;
	/* looking reads the folders' rows anew: go by names of our own */
	dirs = mem_alloc((count + 1) * sizeof(*dirs));
	if (index_load(x, e) != 0)
		rc = -1;
	count = num_min(count, x->dir_count);
	for (size_t i = 0; rc == 0 && i < count; i++)
		(void)snprintf(dirs[i], sizeof(dirs[i]), "%s", x->dirs[i].dir);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (strcmp(dirs[i], first) != 0)
			rc = look_at(x, root, dirs[i], false, catches_up,
			    deadline_ms, e);
	}
	free(dirs);
	return rc;
}

static void
progress_of(const struct index *x, struct index_progress *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < x->dir_count; i++) {
		p->missing += (uint64_t)x->dirs[i].missing;
		p->total += (uint64_t)(x->dirs[i].missing +
		    x->dirs[i].messages[COUNT_TOTAL]);
	}
}

int
index_look(struct index *x, const char *first, bool working,
    int64_t deadline_ms, struct index_progress *out, struct err *e)
{
	struct maildir root;
	bool catches_up;
	int rc;

	if (index_maildir_open(x, "", false, &root, e) != 0)
		return -1;
	rc = index_load(x, e);
	if (rc == 0)
		rc = sync_folders(x, &root, e);
	progress_of(x, out);
	catches_up = working || (out->missing > 0 && !index_is_worked(x));
	if (rc == 0)
		rc = look_at_all(x, &root, first, catches_up, deadline_ms, e);
	maildir_close(&root);
	if (rc == 0)
		progress_of(x, out);
	return rc;
}

int
index_sync(struct index *x, const char *first, int64_t deadline_ms,
    struct index_progress *out, struct err *e)
{
	return index_look(x, first, false, deadline_ms, out, e);
}
