/*
 * Changing messages: in the Maildir first, then the row.  Both happen inside
 * one write transaction of the index, so a look at the folder by another
 * process (index_sync.c) cannot come in between and take the message for
 * gone.  A crash in between is put right by the next look.
 *
 * How things were is kept for a minute under a token, for undo.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/num.h"

#include "maildir/index_internal.h"
#include "maildir/name.h"

enum {
	CHUNK = 500,      /* messages of a transaction */
	WATCHED_MAX = 50, /* of more the directory is read again */
};

/* A message as it is before the change. */
struct before {
	int64_t id, folder, flags, keywords, size;
	char name[MAILDIR_NAME_SIZE];
	char dir[MAILDIR_NAME_SIZE];
};

/* Folders that are open for the time of a call. */
struct opened {
	char dir[MAILDIR_NAME_SIZE];
	struct maildir m;
	bool open;
};

struct work {
	struct index *x;
	bool watched; /* few changes, to be taken over by index_own.c */
	struct opened from, to;
	const char *undo;
	int64_t ends_ms;
	uint64_t changed;
};

static void
opened_close(struct opened *o)
{
	if (o->open)
		maildir_close(&o->m);
	o->open = false;
}

static const struct maildir *
opened_get(struct work *w, struct opened *o, const char *dir, bool create,
    struct err *e)
{
	if (o->open && strcmp(o->dir, dir) == 0)
		return &o->m;
	opened_close(o);
	if (index_maildir_open(w->x, dir, create, &o->m, e) != 0)
		return NULL;
	(void)snprintf(o->dir, sizeof(o->dir), "%s", dir);
	o->open = true;
	if (w->watched)
		index_own_watch(w->x, index_dir_find(w->x, dir), &o->m);
	return &o->m;
}

/* 1: it is there. */
static int
read_before(struct index *x, int64_t id, struct before *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT folder, flags, keywords, size, name FROM messages"
	    " WHERE id=?",
	    "i", id);
	int got = sql_next(r, e);

	if (got == 1) {
		const struct index_dir *d = index_dir_by_id(x, sql_int(r, 0));

		*out = (struct before){ .id = id,
			.folder = sql_int(r, 0),
			.flags = sql_int(r, 1),
			.keywords = sql_int(r, 2),
			.size = sql_int(r, 3) };
		(void)snprintf(
		    out->name, sizeof(out->name), "%s", sql_text(r, 4));
		(void)snprintf(
		    out->dir, sizeof(out->dir), "%s", d != NULL ? d->dir : "");
	}
	sql_done(r);
	return got;
}

static int
keep_before(struct work *w, const struct before *b, struct err *e)
{
	if (w->undo == NULL)
		return 0;
	return sql_run(w->x->db, e,
		   "INSERT INTO undo(token, ends_ms, id, dir, flags, keywords)"
		   " VALUES(?, ?, ?, ?, ?, ?)",
		   "siisii", w->undo, w->ends_ms, b->id, b->dir, b->flags,
		   b->keywords) < 0
	    ? -1
	    : 0;
}

/* --- Verbs: 1 changed, 0 not, -1 failed ------------------------------------------- */

static int
moved_on(struct work *w, const struct before *b, struct index_dir *d,
    const char *name, struct err *e)
{
	index_own_note(w->x, b->dir, b->name, false);
	index_own_note(w->x, d->dir, name, true);
	return keep_before(w, b, e) != 0 ||
		index_rename(w->x, b->id, d, name, false, e) != 0
	    ? -1
	    : 1;
}

static int
change_flags(struct work *w, const struct before *b, uint8_t add,
    uint8_t remove, struct err *e)
{
	struct index_dir *d = index_dir_find(w->x, b->dir);
	uint8_t now = (uint8_t)b->flags;
	char out[MAILDIR_NAME_SIZE];
	const struct maildir *m;

	if (d == NULL || ((now | add) & (uint8_t)~remove) == now)
		return 0;
	m = opened_get(w, &w->from, b->dir, false, e);
	if (m == NULL ||
	    maildir_set_flags(m, b->name, add, remove, out, e) != 0)
		return -1;
	return moved_on(w, b, d, out, e);
}

static int
change_keyword(struct work *w, const struct before *b, const char *keyword,
    bool on, struct err *e)
{
	struct index_dir *d = index_dir_find(w->x, b->dir);
	char out[MAILDIR_NAME_SIZE];
	const struct maildir *m;
	unsigned letter;
	int bit;

	if (d == NULL || index_keyword_bit(w->x, keyword, &bit, e) != 0)
		return d == NULL ? 0 : -1;
	if (bit < 0)
		return err_set(e, ERR_PERM, "too many labels");
	if (((b->keywords >> bit & 1) != 0) == on)
		return 0;
	m = opened_get(w, &w->from, b->dir, false, e);
	if (m == NULL || keywords_letter(w->x, d, m, keyword, &letter, e) != 0)
		return -1;
	if (maildir_set_letters(m, b->name, on ? UINT32_C(1) << letter : 0,
		on ? 0 : UINT32_C(1) << letter, out, e) != 0)
		return -1;
	return moved_on(w, b, d, out, e);
}

/* The name's letters mean something else in another folder. */
static int
map_letters(struct work *w, const struct before *b, struct index_dir *to,
    const struct maildir *m, char name[MAILDIR_NAME_SIZE], struct err *e)
{
	uint32_t letters = 0, old = maildir_letters(name);
	char out[MAILDIR_NAME_SIZE];
	unsigned letter;

	if (old == 0)
		return 0;
	for (size_t i = 0; i < w->x->keyword_count; i++) {
		if ((b->keywords >> i & 1) == 0)
			continue;
		if (keywords_letter(
			w->x, to, m, w->x->keywords[i], &letter, e) != 0)
			return -1;
		letters |= UINT32_C(1) << letter;
	}
	if (letters == old)
		return 0;
	if (maildir_set_letters(m, name, letters, ~letters, out, e) != 0)
		return -1;
	index_own_note(w->x, to->dir, name, false);
	memcpy(name, out, sizeof(out));
	return 0;
}

static int
move_to(struct work *w, const struct before *b, const char *dir, struct err *e)
{
	const struct maildir *from, *to;
	char out[MAILDIR_NAME_SIZE];
	struct index_dir *d;

	if (strcmp(dir, b->dir) == 0)
		return 0;
	from = opened_get(w, &w->from, b->dir, false, e);
	to = from != NULL ? opened_get(w, &w->to, dir, true, e) : NULL;
	d = to != NULL ? index_dir_add(w->x, dir, e) : NULL;
	if (d == NULL || maildir_move(from, to, b->name, out, e) != 0 ||
	    map_letters(w, b, d, to, out, e) != 0)
		return -1;
	return moved_on(w, b, d, out, e);
}

/* The copy is found by the next look. */
static int
copy_to(struct work *w, const struct before *b, const char *dir, struct err *e)
{
	const struct maildir *from, *to;
	char out[MAILDIR_NAME_SIZE];
	struct index_dir *d;
	struct maildir root;

	from = opened_get(w, &w->from, b->dir, false, e);
	to = from != NULL ? opened_get(w, &w->to, dir, true, e) : NULL;
	d = to != NULL ? index_dir_add(w->x, dir, e) : NULL;
	if (d == NULL || maildir_copy(from, to, b->name, out, e) != 0 ||
	    map_letters(w, b, d, to, out, e) != 0)
		return -1;
	if (index_maildir_open(w->x, "", false, &root, e) != 0)
		return -1;
	if (maildir_usage_add(&root, b->size, 1, e) != 0) {
		maildir_close(&root);
		return -1;
	}
	maildir_close(&root);
	return 1;
}

static int
remove_one(struct work *w, const struct before *b, struct err *e)
{
	const struct maildir *m = opened_get(w, &w->from, b->dir, false, e);
	struct maildir root;
	int rc;

	if (m == NULL || maildir_remove(m, b->name, e) != 0)
		return -1;
	index_own_note(w->x, b->dir, b->name, false);
	if (index_forget(w->x, b->id, e) != 0 ||
	    index_maildir_open(w->x, "", false, &root, e) != 0)
		return -1;
	rc = maildir_usage_add(&root, -b->size, -1, e);
	maildir_close(&root);
	return rc != 0 ? -1 : 1;
}

static int
change_one(
    struct work *w, const struct index_change *c, int64_t id, struct err *e)
{
	struct before b;
	int rc = read_before(w->x, id, &b, e);

	if (rc != 1)
		return rc;
	switch (c->verb) {
	case INDEX_FLAGS:
		rc = change_flags(w, &b, c->add, c->remove, e);
		break;
	case INDEX_KEYWORD:
		rc = change_keyword(w, &b, c->keyword, c->on, e);
		break;
	case INDEX_MOVE:
		rc = move_to(w, &b, c->dir, e);
		break;
	case INDEX_COPY:
		rc = copy_to(w, &b, c->dir, e);
		break;
	case INDEX_REMOVE:
		rc = remove_one(w, &b, e);
		break;
	}
	/* somebody else was faster: the next look sees what became of it */
	return rc < 0 && e->kind == ERR_PERM && c->verb != INDEX_KEYWORD ? 0
									 : rc;
}

static int
change_some(struct work *w, const struct index_change *c, const int64_t *ids,
    size_t count, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc >= 0; i++) {
		rc = change_one(w, c, ids[i], e);
		w->changed += rc == 1;
	}
	return rc < 0 ? -1 : 0;
}

int
index_change_some(struct index *x, const struct index_change *c,
    const int64_t *ids, size_t count, const char *undo, int64_t ends_ms,
    struct err *e)
{
	struct work w = { .x = x, .undo = undo, .ends_ms = ends_ms };
	int rc = change_some(&w, c, ids, count, e);

	opened_close(&w.from);
	opened_close(&w.to);
	return rc;
}

/* What was done to files cannot be taken back: it is recorded in any case. */
static int
change_chunk(struct work *w, const struct index_change *c, const int64_t *ids,
    size_t count, struct err *e)
{
	struct err first;
	int rc;

	if (index_begin(w->x, e) != 0)
		return -1;
	rc = change_some(w, c, ids, count, &first);
	if (index_commit(w->x, e) != 0)
		return -1;
	if (rc != 0)
		*e = first;
	return rc;
}

static int
forget_old(struct work *w, struct err *e)
{
	return sql_run(w->x->db, e, "DELETE FROM undo WHERE ends_ms < ?", "i",
		   clock_wall_ms()) < 0
	    ? -1
	    : 0;
}

static int
change_all(struct work *w, const struct index_change *c, const int64_t *ids,
    size_t count, struct err *e)
{
	int rc = forget_old(w, e);

	for (size_t done = 0; rc == 0 && done < count; done += CHUNK)
		rc = change_chunk(
		    w, c, ids + done, num_min(CHUNK, count - done), e);
	opened_close(&w->from);
	opened_close(&w->to);
	return rc;
}

int
index_change(struct index *x, const struct index_change *c, const int64_t *ids,
    size_t count, char *undo, uint64_t *changed_out, struct err *e)
{
	struct work w = { .x = x, .ends_ms = clock_wall_ms() + INDEX_UNDO_MS };
	char token[ID_SIZE];
	int rc;

	static_assert(INDEX_TOKEN_SIZE == (int)ID_SIZE, "a token is an id");
	id_new(token);
	if (undo != NULL && c->verb != INDEX_REMOVE && c->verb != INDEX_COPY)
		w.undo = token;
	w.watched = count <= WATCHED_MAX && c->verb != INDEX_COPY;
	rc = change_all(&w, c, ids, count, e);
	if (rc == 0)
		index_own_settle(x);
	else
		index_own_drop(x);
	if (undo != NULL)
		(void)snprintf(undo, INDEX_TOKEN_SIZE, "%s",
		    w.undo != NULL && w.changed > 0 ? token : "");
	if (changed_out != NULL)
		*changed_out = w.changed;
	return rc;
}

/* --- Undo -------------------------------------------------------------------------------- */

static int
put_back(struct work *w, const struct before *old, struct err *e)
{
	struct before now;
	int rc = read_before(w->x, old->id, &now, e), any = 0;

	if (rc != 1)
		return rc;
	rc =
	    change_flags(w, &now, (uint8_t)old->flags, (uint8_t)~old->flags, e);
	if (rc == 1)
		any = read_before(w->x, old->id, &now, e);
	for (size_t i = 0; rc >= 0 && any >= 0 && i < w->x->keyword_count;
	     i++) {
		rc = change_keyword(w, &now, w->x->keywords[i],
		    (old->keywords >> i & 1) != 0, e);
		if (rc == 1)
			any = read_before(w->x, old->id, &now, e);
	}
	if (rc >= 0 && any >= 0)
		rc = move_to(w, &now, old->dir, e);
	return rc < 0 || any < 0 ? -1 : any | rc;
}

/* Take up to CHUNK of them; their count. */
static int
take_undo(struct work *w, const char *token, struct before *list,
    size_t *count_out, struct err *e)
{
	struct sql_rows *r = sql_query(w->x->db, e,
	    "SELECT id, dir, flags, keywords FROM undo"
	    " WHERE token=? AND ends_ms>=? LIMIT 500",
	    "si", token, clock_wall_ms());
	size_t count = 0;
	int got = -1;

	while (count < CHUNK && (got = sql_next(r, e)) == 1) {
		struct before *b = &list[count++];

		b->id = sql_int(r, 0);
		(void)snprintf(b->dir, sizeof(b->dir), "%s", sql_text(r, 1));
		b->flags = sql_int(r, 2) & 0xff;
		b->keywords = sql_int(r, 3);
	}
	sql_done(r);
	*count_out = count;
	return got < 0 ? -1 : 0;
}

static int
undo_chunk(struct work *w, const char *token, struct before *list,
    size_t *count_out, struct err *e)
{
	struct err first;
	int rc = 0;

	if (index_begin(w->x, e) != 0)
		return -1;
	if (take_undo(w, token, list, count_out, e) != 0) {
		index_abort(w->x);
		return -1;
	}
	for (size_t i = 0; i < *count_out; i++) {
		rc = put_back(w, &list[i], &first);
		if (rc < 0 && first.kind != ERR_PERM)
			break;
		w->changed += rc == 1;
		rc = sql_run(w->x->db, &first,
		    "DELETE FROM undo WHERE token=? AND id=?", "si", token,
		    list[i].id);
		if (rc < 0)
			break;
	}
	if (index_commit(w->x, e) != 0)
		return -1;
	if (rc < 0)
		*e = first;
	return rc < 0 ? -1 : 0;
}

int
index_undo(
    struct index *x, const char *token, uint64_t *changed_out, struct err *e)
{
	struct before *list = mem_zalloc(CHUNK * sizeof(*list));
	struct work w = { .x = x, .watched = true };
	size_t count = 0, all = 0;
	int rc;

	do {
		rc = undo_chunk(&w, token, list, &count, e);
		all += count;
	} while (rc == 0 && count == CHUNK);
	opened_close(&w.from);
	opened_close(&w.to);
	free(list);
	if (rc == 0)
		index_own_settle(x);
	else
		index_own_drop(x);
	if (rc == 0 && all == 0)
		return err_set(e, ERR_PERM, "nothing to undo");
	if (changed_out != NULL)
		*changed_out = w.changed;
	return rc;
}
