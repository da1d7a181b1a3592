#ifndef MAILDIR_INDEX_H
#define MAILDIR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

#include "maildir/maildir.h"
#include "maildir/search.h"

/*
 * The index of a mailbox: what a list, a conversation or a search needs to
 * know of every message without opening it.  One SQLite file an account,
 * `<cache>/<domain>/<local-part>.db`, which may be deleted at any time and is
 * made anew from the Maildir; a damaged one is dropped and made anew.  Nothing
 * in it is the only copy of anything but undo and jobs, which live minutes.
 *
 * The Maildir stays the truth: whoever wants to show something first calls
 * index_sync(), which compares directories with what is known (cheap when
 * nothing changed: two stat() a folder) and reads what is new.  The runner,
 * POP3 and others never touch the index.
 *
 * Several processes and threads may have the same index open; each handle is
 * used by one thread at a time, and not across a fork.
 *
 * Errors: ERR_PERM: there is no such message (folder, job...); ERR_TEMP: disk,
 * busy, or the reader of messages does not answer.
 */
struct index;

/* --- What a message says ---------------------------------------------------- */

struct index_person {
	const char *name, *address; /* UTF-8, may be empty; never NULL */
};

struct index_people {
	struct index_person *list;
	size_t count;
};

/*
 * What the reader (below) finds in a message; strings in the pool it is given,
 * never NULL.
 */
struct index_content {
	struct index_people from, to, cc;
	const char *subject, *snippet;
	const char *text;        /* for full-text search */
	const char *files;       /* names of attachments, one a line */
	const char *list_id;     /* of its mailing list, or "" */
	const char *message_id;  /* without <> */
	const char *const *refs; /* ids: References and In-Reply-To */
	size_t ref_count;
	int64_t date_ms; /* of the Date field; 0: none */
	bool has_files;
	bool has_invite;
	bool unreadable; /* nothing else is known; it is listed all the same */
};

enum {
	INDEX_ASK_MAX = 256
};

struct index_config {
	const char *cache_dir; /* must exist; NULL: in memory, until closed */
	int mail_root_fd;
	/*
	 * The reader of messages.  ask() begins with up to INDEX_ASK_MAX opened
	 * ones; `fds` are the index's, open until take(), which always follows
	 * and ends it.  -1 with ERR_TEMP: not now; the messages are asked for
	 * again at the next index_sync().
	 */
	void *(*ask)(void *arg, const int *fds, size_t count);
	int (*take)(void *asked, struct pool *pool, struct index_content *out,
	    struct err *e);
	void *arg;
};

/* Local part and domain as for maildir_path(); `config` must outlive it. */
int index_open(const struct index_config *config, struct slice local,
    struct slice domain, struct index **out, struct err *e) MUST_CHECK;
void index_close(struct index *x);

/* Its file is damaged, replaced or deleted: close it and open it again. */
bool index_is_stale(const struct index *x);

/* --- Ids --------------------------------------------------------------------- */

/*
 * A message's id: the milliseconds of its arrival and a hash of its unique
 * name, so ids sort by arrival, and stay the same when flags change, when the
 * message moves to another folder and when the index is made anew.  A
 * conversation is named by the id of any of its messages.  In URLs an id is
 * 13 characters of lower-case base32.
 */
enum {
	INDEX_ID_SIZE = 14
};

void index_id_format(int64_t id, char out[INDEX_ID_SIZE]);
bool index_id_parse(const char *text, int64_t *out) MUST_CHECK;

/* A 63-bit hash that spreads well; not for secrets. */
int64_t index_hash(struct slice s);

/* --- Keeping up ---------------------------------------------------------------- */

struct index_progress {
	uint64_t missing; /* messages that are not yet in the index */
	uint64_t total;   /* messages there are, missing ones too */
};

/*
 * Bring the index up to date, the folder `first` before the others, the
 * newest messages first, until all is known or `deadline_ms` (monotonic) has
 * passed; of `first` some messages are read even then.  While any are missing
 * index_work() should be called again and again; meanwhile this looks only at
 * directories that change.  One that changed within the last 2 s is always
 * read.
 * ERR_PERM: there is no mailbox.
 */
int index_sync(struct index *x, const char *first, int64_t deadline_ms,
    struct index_progress *out, struct err *e) MUST_CHECK;

/*
 * Grows with every change of anything a list shows: for ETags and polling.
 */
int index_modseq(struct index *x, int64_t *out, struct err *e) MUST_CHECK;

/* The folders all mail programs agree on; "" is the inbox. */
#define INDEX_SENT    ".Sent"
#define INDEX_DRAFTS  ".Drafts"
#define INDEX_ARCHIVE ".Archive"
#define INDEX_JUNK    ".Junk"
#define INDEX_TRASH   ".Trash"

/* --- Folders --------------------------------------------------------------------- */

struct index_folder {
	const char *dir;  /* "" = the inbox */
	const char *name; /* UTF-8, "/" between levels; "" = the inbox */
	uint64_t total, unread, starred, files;      /* messages */
	uint64_t talks, talks_unread, talks_starred, /* conversations that */
	    talks_files;                             /* have one here */
	bool incomplete; /* some of its messages are not read yet */
};

struct index_folders {
	struct index_folder *list; /* by name, the inbox first, what
				    * lies within one after it */
	size_t count;
};

/* As of the last index_sync(). */
int index_folders(struct index *x, struct pool *pool, struct index_folders *out,
    struct err *e) MUST_CHECK;

/* --- Messages ---------------------------------------------------------------------- */

struct index_message {
	int64_t id;
	int64_t talk;     /* its conversation; any id of it will do in URLs */
	const char *dir;  /* folder; "" = the inbox */
	const char *name; /* file name, for maildir_open_message() */
	int64_t arrived_ms, date_ms;
	uint64_t size;
	uint8_t flags;     /* enum maildir_flags */
	uint64_t keywords; /* bits: index_keywords() */
	bool has_files, has_invite, unreadable;
	struct index_people from, to, cc; /* the first INDEX_PEOPLE_MAX */
	const char *subject, *snippet, *files, *message_id;
};

enum {
	INDEX_PEOPLE_MAX = 50,
	INDEX_TALK_MAX = 500, /* messages shown of one conversation */
	INDEX_KEYWORDS_MAX = 60,
};

int index_find(struct index *x, int64_t id, struct pool *pool,
    struct index_message *out, struct err *e) MUST_CHECK;

/*
 * Is this the first message from its sender, of those there are or were since
 * the index was made?
 */
int index_is_first(struct index *x, const struct index_message *m, bool *out,
    struct err *e) MUST_CHECK;

struct index_messages {
	struct index_message *list;
	size_t count;
};

/*
 * All messages of the conversation that `id` belongs to, of all folders,
 * oldest first; the newest INDEX_TALK_MAX.  ERR_PERM: `id` is not there.
 */
int index_talk(struct index *x, int64_t id, struct pool *pool,
    struct index_messages *out, struct err *e) MUST_CHECK;

/* --- Lists -------------------------------------------------------------------------- */

enum index_filter {
	INDEX_ALL,
	INDEX_UNREAD,
	INDEX_STARRED,
	INDEX_FILES,
};

struct index_view {
	const char *dir; /* the folder */
	enum index_filter filter;
	bool talks; /* a row a conversation; else a row a message */
};

/* A row: the newest message here, and what its conversation is. */
struct index_row {
	struct index_message newest;
	unsigned count;             /* messages of the conversation, all folders
				* but Trash and Junk (and this one) */
	unsigned unread;            /* of those in this folder */
	bool starred, files;        /* any of those in this folder */
	uint64_t keywords;          /* of all of those in this folder */
	struct index_people people; /* senders of the conversation, in order,
				     * each once */
};

struct index_rows {
	struct index_row *list; /* newest first */
	size_t count;
	bool more;  /* older ones follow: ask with `before` = last id */
	bool newer; /* there are newer ones than the first */
	int64_t newer_before; /* `before` of the page of newer ones; 0: the
			       * first page */
	uint64_t index;       /* how many of the view are newer than these */
};

/*
 * At most `limit` rows older than `before` (an id; 0: from the newest on).
 */
int index_list(struct index *x, const struct index_view *view, int64_t before,
    size_t limit, struct pool *pool, struct index_rows *out,
    struct err *e) MUST_CHECK;

/*
 * The neighbours of a conversation (or message) in a view: ids for URLs, 0
 * where there is none.
 */
struct index_neighbours {
	int64_t newer, older;
	uint64_t position, total; /* 1 = the newest; 0: not in the view */
};

int index_neighbours(struct index *x, const struct index_view *view, int64_t id,
    struct index_neighbours *out, struct err *e) MUST_CHECK;

/* --- Search ---------------------------------------------------------------------------- */

struct index_search {
	const struct search_node *query; /* search_parse(); the text of
					  * SEARCH_LABEL is a keyword */
	const char *dir;                 /* within this folder; NULL: all */
	bool with_trash;                 /* else not in Trash and Junk (of all
					  * folders) */
	int64_t before;                  /* an id; 0: from the newest on */
	size_t limit;
	int64_t deadline_ms; /* monotonic */
	bool ids_only;       /* rows are not read */
	bool talks;          /* of a conversation only the newest match */
};

struct index_found {
	int64_t *ids; /* the newest first */
	size_t count;
	struct index_rows rows;
	bool timed_out;    /* what there was until then; go on with `before` */
	int64_t looked_to; /* where to go on then */
};

int index_search(struct index *x, const struct index_search *ask,
    struct pool *pool, struct index_found *out, struct err *e) MUST_CHECK;

/* --- Changing ---------------------------------------------------------------------------- */

enum index_verb {
	INDEX_FLAGS,   /* set and clear maildir_flags */
	INDEX_KEYWORD, /* set or clear one keyword */
	INDEX_MOVE,    /* to `dir`, which is made if it is not there */
	INDEX_COPY,
	INDEX_REMOVE, /* for good */
};

struct index_change {
	enum index_verb verb;
	uint8_t add, remove; /* INDEX_FLAGS */
	const char *keyword; /* INDEX_KEYWORD: "$l1" */
	bool on;
	const char *dir; /* INDEX_MOVE, INDEX_COPY */
};

enum {
	INDEX_TOKEN_SIZE = 27,
	INDEX_UNDO_MS = 60000,
};

/*
 * Change messages in the Maildir and in the index.  Messages that are gone
 * are passed over; *changed_out (may be NULL) counts the others.  `undo`, if
 * not NULL, becomes a token for index_undo() ("" if nothing can be undone).
 * On -1 what was done so far stays done.
 */
int index_change(struct index *x, const struct index_change *c,
    const int64_t *ids, size_t count, char *undo, uint64_t *changed_out,
    struct err *e) MUST_CHECK;

/*
 * Put back folders, flags and keywords as they were.  ERR_PERM: unknown, too
 * late, or done already.
 */
int index_undo(struct index *x, const char *token, uint64_t *changed_out,
    struct err *e) MUST_CHECK;

/*
 * A change of so many messages that nobody should wait for it: kept in the
 * index, done piece by piece by whoever calls index_work(), undone by its
 * token.  A job is known for a day.
 */
struct index_job {
	uint64_t total, done; /* messages */
	char error[160];      /* why it ended early, or "" */
	enum index_verb verb;
};

int index_job_new(struct index *x, const struct index_change *c,
    const int64_t *ids, size_t count, char token[INDEX_TOKEN_SIZE],
    struct err *e) MUST_CHECK;
int index_job_find(struct index *x, const char *token, struct index_job *out,
    struct err *e) MUST_CHECK;

/*
 * Go on with jobs or with reading messages that are missing, for a second or
 * two; false: there is nothing (more) to do, or another process is at it.
 */
bool index_work(struct index *x);

/* Is there anything for index_work()?  Cheap. */
bool index_has_work(struct index *x);

/*
 * All ids of a conversation's messages in a folder (`dir` NULL: everywhere),
 * for verbs that mean the whole row.
 */
int index_talk_ids(struct index *x, int64_t id, const char *dir,
    struct pool *pool, int64_t **ids_out, size_t *count_out,
    struct err *e) MUST_CHECK;

/* Every message of a view or search, for "select all". */
int index_view_ids(struct index *x, const struct index_view *view,
    struct pool *pool, int64_t **ids_out, size_t *count_out,
    struct err *e) MUST_CHECK;

/*
 * Keywords (labels) lie in the Maildir as Dovecot writes them: a letter a to z
 * in the name, and `dovecot-keywords` in each folder.  Bit n of `keywords`
 * is list[n] here.
 */
int index_keywords(struct index *x, struct pool *pool, const char *const **list,
    size_t *count, struct err *e) MUST_CHECK;

#endif /* MAILDIR_INDEX_H */
