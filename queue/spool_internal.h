#ifndef QUEUE_SPOOL_INTERNAL_H
#define QUEUE_SPOOL_INTERNAL_H

#include <sys/un.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"

#include "queue/spool_format.h"
#include "queue/spool_marks.h"
#include "queue/spool_runner.h"

/*
 * What the files of the runner's side share: the index of all unsettled
 * messages, and the segments they lie in.  Private to the spool library.
 *
 * Locks: `lock` guards everything in struct spool and in the entries, except
 * that a CLAIMED entry's file fields are the claimer's and a PENDING one's
 * are the flusher's.  `scanning` (a flag under the lock) is held by the one
 * thread that reads segments on; the segments' scan state is its own.  No I/O
 * happens under the lock.
 */
enum entry_state {
	ENTRY_READY,   /* in the queue of new ones */
	ENTRY_WAITING, /* in the heap, until next_try_ms */
	ENTRY_HELD,
	ENTRY_CLAIMED,
	ENTRY_PENDING, /* its claim ended, the flush has not come by */
	ENTRY_SETTLED, /* only known until its segment is reused */
	ENTRY_STATES,
};

/* Where the body and the valid envelope are. */
enum entry_place {
	PLACE_JOURNAL,
	PLACE_FILES
};

/* Where its envelope file is, if it has one (serial > 0). */
enum entry_dir {
	DIR_DEFERRED,
	DIR_HOLD
};

struct spool_entry {
	/* First what walks through the index look at: one cache line. */
	char id[ID_SIZE];
	uint8_t state;     /* enum entry_state */
	uint8_t place;     /* enum entry_place */
	uint8_t dir;       /* enum entry_dir */
	bool is_duplicate; /* of an id we have; never given out */
	bool was_claimed;  /* marks are from a runner that died */
	struct spool_entry *left, *right; /* by id */
	struct spool_outline *outline;    /* or NULL: not read yet */
	uint64_t seen; /* the outline's names in brief; all ones without one */
	int64_t next_try_ms; /* 0 = now */
	uint32_t flags;      /* enum spool_record_flags, while in a segment */
	uint32_t serial;     /* of the envelope file, 0 = none */
	int64_t file_next;   /* the time in the envelope file's name */
	struct journal_segment *segment; /* or NULL */
	uint64_t offset;                 /* of its record */
	struct spool_entry *segment_next;
	struct spool_marks *marks;
	struct spool_entry *prev, *next; /* queue of READY */
	size_t heap_index;               /* WAITING */
};

struct journal_segment {
	struct journal_segment *next;
	char name[SEGMENT_NAME_SIZE];
	char writer[WRITER_NAME_MAX + 1];
	uint32_t n;
	uint32_t seed;
	int fd;
	uint64_t generation;
	uint64_t size;
	uint64_t scanned;   /* all before it was read */
	bool is_listed;     /* scratch of a rescan */
	bool is_ended;      /* its writer is done with it, all was read */
	bool is_void;       /* a flush failed: never used again */
	bool is_bad;        /* had damage below the acknowledged end */
	bool is_unreadable; /* the disk does not give all of it */
	size_t unsettled;   /* under the lock */
	struct spool_entry *entries; /* under the lock */
};

struct journal_writer {
	struct journal_writer *next;
	char name[WRITER_NAME_MAX + 1];
	int ctl_fd;
	uint64_t current; /* when it was last looked at */
};

/* What a claim's end asks the flush to do. */
enum end_action {
	END_SETTLE,
	END_DEFER,
	END_HOLD,
	END_MOVE, /* to the other of deferred/ and hold/, as it is */
	END_CORRUPT
};

struct spool_end {
	struct spool_end *next;
	struct spool_entry *entry;
	enum end_action action;
	int64_t next_try_ms, set_back_ms;
	char *reason;        /* END_CORRUPT */
	struct buf envelope; /* END_DEFER, END_HOLD: encoded */
	bool failed;         /* could not be done; goes back */
};

struct ready_queue {
	struct spool_entry *first, *last;
};

struct spool {
	struct spool_dirs dirs;
	int lock_fd;
	int notify_fd;
	int wake_fd; /* eventfd */
	char *notify_path;
	struct marks_arena arena;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_cond_t scan_idle;
	bool scanning;
	unsigned scan_waiters;
	uint64_t wakes;
	enum spool_gate gate;
	unsigned turn;        /* new ones and retries take turns, */
	unsigned report_turn; /* letters and reports */
	int64_t rescan_ms;
	int64_t looked_ms;     /* at the journal */
	int64_t wall_ahead_ms; /* of the monotonic clock, at the last look */
	int64_t set_back_ms;   /* by how much it was set back altogether */

	struct spool_entry *by_id;
	uint64_t name_seed;          /* of the outlines; const */
	struct ready_queue ready[2]; /* letters, reports */
	struct spool_entry **heap;
	size_t heap_count, heap_alloc;
	size_t state_counts[ENTRY_STATES];
	size_t corrupt;

	struct journal_segment *segments; /* list: lock and scanning */
	struct journal_writer *writers;   /* scanning */
	bool scan_is_partial;             /* scanning: some has to wait */

	struct spool_end *ends, **ends_last;
	size_t end_count;
	bool flush_asked;                     /* somebody waits for it */
	uint64_t flushes_begun, flushes_done; /* by number */
	size_t refused;                       /* ends of claims */
	pthread_cond_t flushed;

	/* The flusher's. */
	int settled_fd; /* -1: has to be written anew */
	uint64_t settled_size;
	uint64_t settled_base; /* its size when it was written anew */
	int64_t clean_ms;

	/* Of the start only: what settled.log said, sorted. */
	struct spool_place *settled;
	size_t settled_count, settled_alloc;
};

/* --- spool_index.c: entries, the queue, the heap; all under the lock -------- */

struct spool_entry *spool_index_find(struct spool *s, const char *id);
/* All behind an id, in order, while `each` says true. */
typedef bool spool_index_visit(void *arg, struct spool_entry *en);
void spool_index_walk(
    struct spool *s, const char *after, spool_index_visit *each, void *arg);
/* A new entry, SETTLED and in no queue; a known id makes it a duplicate. */
struct spool_entry *spool_index_add(struct spool *s, const char *id);
/* Take it out of the index and free it. */
void spool_index_remove(struct spool *s, struct spool_entry *en);
/* Move it to a state and its queue; `next_try_ms` for READY and WAITING. */
void spool_index_set(
    struct spool *s, struct spool_entry *en, enum entry_state st);
/*
 * The wall clock was set back by this (less than a second is nothing): what
 * waits does not wait so much longer.
 */
void spool_index_follow_clock(struct spool *s, int64_t back_ms);
/* The next one to give out, or NULL; *until_ms_out: when to look again. */
struct spool_entry *index_next_due(
    struct spool *s, int64_t now_ms, int64_t *until_ms_out);
void spool_index_release(struct spool *s);

/* --- spool_journal.c: reading the segments; by the scanning thread ---------- */

/* List the journal, meet new segments and writers, read all there is. */
int journal_rescan(struct spool *s, struct err *e) MUST_CHECK;
/* Only what the known writers have committed since. */
int journal_poll(struct spool *s, struct err *e) MUST_CHECK;
/* Give back the segments of which all is settled, durably. */
int journal_recycle(struct spool *s, struct err *e) MUST_CHECK;
void journal_release(struct spool *s);

/* A record's inline parts: body then envelope, for free(). */
int journal_read(const struct spool_entry *en, struct spool_record *r_out,
    char **payload_out, struct err *e) MUST_CHECK;

/* --- spool_files.c: envelope files, bodies in files, settled.log ------------- */

/*
 * Envelope files: <id>.<serial>.<next>.<j|f>, j: the body is in the journal.
 * The newest serial that reads well counts.
 */
enum {
	ENVELOPE_NAME_SIZE = 64,
	ENVELOPE_FILE_HEADER = 16
};

struct envelope_name {
	char id[ID_SIZE];
	uint32_t serial;
	int64_t next_ms;
	bool in_journal;
};

void envelope_name_put(
    char out[ENVELOPE_NAME_SIZE], const struct envelope_name *n);
bool envelope_name_get(const char *text, struct envelope_name *out);

int files_dir(const struct spool *s, enum entry_dir dir);
/* Write and give the name; flushed only if `flush`. */
int files_put_envelope(struct spool *s, enum entry_dir dir,
    const struct envelope_name *n, struct slice data, bool flush,
    struct err *e) MUST_CHECK;
/* ERR_SYNTAX: damaged.  Appends the encoded envelope to `out`. */
int files_get_envelope(struct spool *s, enum entry_dir dir,
    const struct envelope_name *n, struct buf *out, struct err *e) MUST_CHECK;
void files_drop_envelope(
    struct spool *s, enum entry_dir dir, const struct envelope_name *n);
/* Not flushed. */
int files_put_body(struct spool *s, enum entry_dir dir, const char *id,
    struct slice data, struct err *e) MUST_CHECK;
/* Open the file a body is in; *dir_fd_out says where it was found. */
int files_open_body(struct spool *s, const char *id, int *fd_out,
    int *dir_fd_out, struct err *e) MUST_CHECK;
/* The envelope file an entry has (serial > 0). */
struct envelope_name entry_envelope_name(const struct spool_entry *en);

/* The names in deferred/ and hold/, at the start, after the journal. */
int files_load(struct spool *s, struct err *e) MUST_CHECK;
/* Remove files in large/ and bodies nobody speaks of. */
int files_clean(struct spool *s, struct err *e) MUST_CHECK;

int settled_load(struct spool *s, struct err *e) MUST_CHECK;
bool settled_has(const struct spool *s, uint64_t generation, uint64_t offset);
/* Write a new log with what is settled in the segments in use. */
int settled_rewrite(struct spool *s, struct err *e) MUST_CHECK;
int settled_append(struct spool *s, const struct spool_place *places,
    size_t count, struct err *e) MUST_CHECK;

/* --- spool_list.c ------------------------------------------------------------------ */

/* What an envelope says, for free(). */
struct spool_outline *outline_new(
    const struct spool *s, const struct envelope *v);
/* Under the lock: for the entry, in place of what it had. */
void outline_set(struct spool_entry *en, struct spool_outline *o);

/* --- spool_claim.c --------------------------------------------------------------- */

/* Under the lock: something may be due, look again. */
void spool_kick(struct spool *s);

/* Claim this one if it is in the queue and nobody works on it. */
int entry_claim(struct spool *s, const char *id, struct spool_entry **out,
    struct err *e) MUST_CHECK;

/* Be the scanning thread; waits for the one that is. */
void scan_begin(struct spool *s);
void scan_finish(struct spool *s);

/* --- spool_item.c ---------------------------------------------------------------- */

/*
 * The encoded envelope that counts for an entry (a copy will do, with its
 * segment held).  ERR_TEMP: not now; other kinds: damaged or not there.
 */
int entry_read_envelope(struct spool *s, const struct spool_entry *en,
    struct buf *out, struct err *e) MUST_CHECK;

/*
 * Make an item of a claimed entry.  -1: the entry was dealt with, by giving it
 * back (ERR_TEMP) or by putting it aside as corrupt.
 */
int item_load(struct spool *s, struct spool_entry *en, struct spool_item **out,
    struct err *e) MUST_CHECK;

/* It stays what it was, marks and all, and comes again at this time. */
void entry_give_back(
    struct spool *s, struct spool_entry *en, int64_t next_try_ms);

/* --- spool_flush.c ---------------------------------------------------------------- */

/* End the claim of an entry; takes `envelope` (may be NULL) and `reason`. */
void end_add(struct spool *s, struct spool_entry *en, enum end_action action,
    struct buf *envelope, char *reason, int64_t next_try_ms);
void end_free(struct spool_end *end);

/* Put raw bytes that are damaged aside, durably; count it, log it. */
int corrupt_save(struct spool *s, const char *name, const void *data,
    size_t len, const char *reason);

/* spool_open() with the live marks under another name; NULL: the uuid. */
int spool_open_marked(const char *spool_dir, const char *notify_path,
    const char *marks_name, struct spool **out, struct err *e) MUST_CHECK;

/* Write spool.id with a fresh uuid. */
int spool_write_id(int spool_fd, struct err *e) MUST_CHECK;

#endif /* QUEUE_SPOOL_INTERNAL_H */
