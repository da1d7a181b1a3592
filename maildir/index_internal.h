#ifndef MAILDIR_INDEX_INTERNAL_H
#define MAILDIR_INDEX_INTERNAL_H

#include <sys/stat.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "directory/sql.h"

#include "maildir/index.h"

/* Shared by the files of the index only. */

enum {
	INDEX_PATH_SIZE = 4096,
	INDEX_BUSY_TRIES = 3,
};

/* Bits of messages.flags above those of maildir_flags. */
enum {
	INDEX_HAS_FILES = 0x100,
	INDEX_HAS_INVITE = 0x200,
	INDEX_UNREADABLE = 0x400,
};

/* What is counted of messages and of conversations, in this order. */
enum index_count {
	COUNT_TOTAL,
	COUNT_UNREAD,
	COUNT_STARRED,
	COUNT_FILES,
	COUNT_KINDS,
};

/* A folder's row, as read at the beginning of a call or transaction. */
struct index_dir {
	int64_t id;
	const char *dir;
	int64_t new_ns, cur_ns; /* mtime at the last look */
	int64_t looked_ms;      /* wall clock of it */
	int64_t missing;        /* messages not read yet */
	const char *letters;    /* of dovecot-keywords, as known */
	int64_t messages[COUNT_KINDS], talks[COUNT_KINDS];
	bool dirty;
};

struct index {
	const struct index_config *config;
	char mailbox[1024]; /* below the mail root */
	char file[INDEX_PATH_SIZE];
	dev_t dev;
	ino_t ino;
	struct sql *db;
	struct pool pool; /* of `dirs` and `keywords` */
	struct index_dir *dirs;
	size_t dir_count, dir_alloc;
	const char *keywords[INDEX_KEYWORDS_MAX];
	size_t keyword_count;
	int64_t root_ns; /* mtime of the mailbox when its folders were listed */
	int64_t recent_from;   /* `recent` has the words of all messages of this
			       * id and above */
	int64_t recent_count;  /* how many those are */
	struct index_own *own; /* index_own.c; NULL: nothing to take over */
	bool changed;          /* something a list shows, in this transaction */
};

/* --- index_store.c: the file, transactions, folders, conversations ------------ */

/* Read the folders' rows; pointers to earlier ones are void. */
int index_load(struct index *x, struct err *e) MUST_CHECK;

/* A write transaction: begin loads; commit stores the dirty folders. */
int index_begin(struct index *x, struct err *e) MUST_CHECK;
int index_commit(struct index *x, struct err *e) MUST_CHECK;
void index_abort(struct index *x);

struct index_dir *index_dir_find(struct index *x, const char *dir);
struct index_dir *index_dir_by_id(struct index *x, int64_t id);

/* In a transaction. */
struct index_dir *index_dir_add(
    struct index *x, const char *dir, struct err *e) MUST_CHECK;
int index_dir_forget(
    struct index *x, struct index_dir *d, struct err *e) MUST_CHECK;

/* Count a message of these flags in (1) or out (-1). */
void index_count_message(struct index_dir *d, int64_t flags, int sign);

/* Make a conversation's row of a folder say what its messages say. */
int index_head_update(
    struct index *x, int64_t dir, int64_t talk, struct err *e) MUST_CHECK;

/* Bit of a keyword, which is added if need be; -1: too many. */
int index_keyword_bit(
    struct index *x, const char *name, int *bit_out, struct err *e) MUST_CHECK;

int index_maildir_open(struct index *x, const char *dir, bool create,
    struct maildir *out, struct err *e) MUST_CHECK;

/* --- index_add.c: rows of messages ----------------------------------------------- */

/* A name found in a folder. */
struct index_name {
	const char *name;
	int64_t id; /* candidate, then real */
	bool in_new;
};

enum index_place {
	INDEX_PLACE_NEW,     /* not known: to be read */
	INDEX_PLACE_KNOWN,   /* exactly so */
	INDEX_PLACE_RENAMED, /* known under another name, which is gone */
};

/*
 * The id a name has if no other message has it: one that is not in the index
 * is new.
 */
int64_t index_candidate(
    struct index *x, const struct index_dir *d, const char *name);

/* What is known of a name; sets its id. */
int index_place(struct index *x, const struct index_dir *d,
    struct index_name *n, enum index_place *out, struct err *e) MUST_CHECK;

/* In a transaction.  The row of a message that was read. */
int index_add(struct index *x, struct index_dir *d, const struct index_name *n,
    const struct index_content *content, int64_t size,
    struct err *e) MUST_CHECK;

/* The message `id` now has this folder and name. */
int index_rename(struct index *x, int64_t id, struct index_dir *to,
    const char *name, bool in_new, struct err *e) MUST_CHECK;

/* The message is gone. */
int index_forget(struct index *x, int64_t id, struct err *e) MUST_CHECK;

/* --- index_read.c ------------------------------------------------------------------ */

struct index_people index_people_parse(const char *text, struct pool *pool);

/* Rows of this SELECT list, in this order. */
#define INDEX_COLUMNS                                                   \
	"m.id, m.talk, m.folder, m.name, m.flags, m.keywords, m.size,"  \
	" m.date, s.sender, s.recipient, s.copy, s.subject, s.snippet," \
	" s.files, s.message_id"

/* The rows of these messages; those that went meanwhile are left out. */
int index_fill_rows(struct index *x, const int64_t *ids, size_t count,
    bool talks, struct pool *pool, struct index_rows *out,
    struct err *e) MUST_CHECK;

/* --- index_change.c ---------------------------------------------------------- */

/*
 * In a transaction.  What was done to files cannot be taken back, so even on
 * -1 the transaction is to be committed.  `undo`: a token, or NULL.
 */
int index_change_some(struct index *x, const struct index_change *c,
    const int64_t *ids, size_t count, const char *undo, int64_t ends_ms,
    struct err *e) MUST_CHECK;

/* --- index_own.c: the next look need not find what we did ourselves ------------ */

/* In a transaction, before the first change to this folder's cur/. */
void index_own_watch(
    struct index *x, const struct index_dir *d, const struct maildir *m);

/* A name came to its cur/, or is not (or no more) in it. */
void index_own_note(
    struct index *x, const char *dir, const char *name, bool there);

/*
 * After the transaction: take the directories' new times over if nobody else
 * changed them.  Sleeps until the kernel's clock has ticked (4 ms, or 10).
 */
void index_own_settle(struct index *x);
void index_own_drop(struct index *x); /* the next look reads them */

/* --- index_sync.c, index_job.c ---------------------------------------------------- */

/* index_sync(); `working`: by index_work(), others leave it what is missing. */
int index_look(struct index *x, const char *first, bool working,
    int64_t deadline_ms, struct index_progress *out, struct err *e) MUST_CHECK;

int64_t index_mtime_ns(const struct stat *st);

/* May the file system's times be those of whole seconds? */
bool index_is_coarse(int64_t ns);

/* Was the last look so long after `ns` that a later change has another time? */
bool index_is_settled(const struct index_dir *d, int64_t ns);

/* When a look at `ns` is late enough for that, in milliseconds. */
int64_t index_settled_at(int64_t ns);

/* Is anybody in index_work()? */
bool index_is_worked(const struct index *x);

/* --- keywords.c --------------------------------------------------------------------- */

/* The text of a folder's dovecot-keywords, "" if there is none. */
const char *keywords_read(const struct maildir *m, struct pool *pool);

/* Bits of a name's letters. */
int keywords_of_name(struct index *x, const struct index_dir *d,
    const char *name, uint64_t *out, struct err *e) MUST_CHECK;

/* The letter (0 to 25) for a keyword, added to the file if need be. */
int keywords_letter(struct index *x, struct index_dir *d,
    const struct maildir *m, const char *keyword, unsigned *out,
    struct err *e) MUST_CHECK;

#endif /* MAILDIR_INDEX_INTERNAL_H */
