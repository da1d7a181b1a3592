#ifndef QUEUE_SPOOL_RUNNER_H
#define QUEUE_SPOOL_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"

#include "queue/envelope.h"

/*
 * The spool, runner's side.  One process owns it at a time; all functions are
 * thread-safe, an item belongs to the thread that claimed it.
 *
 * Life of a message here:
 *
 *	claim -> (update) -> mark... -> settle | defer | hold | release | corrupt
 *
 * and about once a second spool_flush(), which makes all that was settled,
 * deferred or held since the last one durable, in the right order: first the
 * stores (callback), then the deferred files, then the settled marks, then
 * old files and segments are let go.  Until its flush a message's progress
 * lives in the marks, in shared memory: they survive kill -9 of the runner
 * and die with the power (I1).
 */
struct spool;

/* One claimed message.  Read all; change only `envelope` (strings in `pool`). */
struct spool_item {
	char id[ID_SIZE];
	struct envelope envelope;
	struct pool pool;
	bool was_claimed; /* by a runner that died: look at the marks */
	uint32_t crashes; /* runners it took along, see spool_item_danger() */
	struct spool *spool; /* private from here on */
	struct spool_entry *entry;
	struct spool_marks *marks;
};

/*
 * Open `spool_dir` as the runner: ERR_TEMP when another one has it.  Binds the
 * notice socket (NULL: none, only scanning).  Recovery reads what is
 * unsettled in the journal and the names in deferred/ and hold/.
 */
int spool_open(const char *spool_dir, const char *notify_path,
    struct spool **out, struct err *e) MUST_CHECK;

/* No item may be claimed any more.  Nothing is flushed. */
void spool_close(struct spool *s);

/*
 * Claim the next message that is due: new ones by arrival, and due retries,
 * one for several new ones.  Waits up to `wait_ms`; 0 with *out NULL when
 * nothing was due or spool_wake() was called.  A message with a not-before time is put aside by
 * itself until then; one that cannot be understood goes to corrupt/ (I4).
 */
int spool_claim(struct spool *s, int wait_ms, struct spool_item **out,
    struct err *e) MUST_CHECK;

/* Which messages spool_claim() gives out. */
enum spool_gate {
	SPOOL_ALL,
	SPOOL_NEW_ONLY,
	SPOOL_NOTHING
};

void spool_set_gate(struct spool *s, enum spool_gate gate);

/* Let all who wait here return at once; for stopping. */
void spool_wake(struct spool *s);

/*
 * Claim this one whatever its time, also from hold/: for the control verbs.
 * ERR_PERM: not there; ERR_TEMP: just being worked on.
 */
int spool_claim_id(struct spool *s, const char *id, struct spool_item **out,
    struct err *e) MUST_CHECK;

/*
 * The body: envelope.body_size bytes with LF line ends.  A small one is read
 * into memory (`data`); a big one is a file: `fd` is open for reading, and
 * `dir_fd`/`name` say where, for a hard link into a mailbox.  One of both:
 * data == NULL means a file.
 */
struct spool_body {
	const char *data; /* or NULL */
	size_t len;
	int fd; /* or -1 */
	int dir_fd;
	char name[ID_SIZE];
	char *memory; /* private */
};

int spool_body_open(
    struct spool_item *it, struct spool_body *out, struct err *e) MUST_CHECK;
void spool_body_close(struct spool_body *b);

/*
 * Live marks, one per recipient by its index in the envelope, stored at once.
 * `outcome` is the caller's (a reply code).  A mark never goes back from DONE
 * or STORED, but when its runner died after a flush of the stores failed and
 * before the next good one: then the store has to be looked at.
 */
enum spool_mark {
	SPOOL_MARK_NONE,
	SPOOL_MARK_STARTED,
	SPOOL_MARK_PREPARED, /* in tmp/, or the last octet is being sent */
	SPOOL_MARK_DONE,     /* never again */
	SPOOL_MARK_FAILED,   /* permanently */
	SPOOL_MARK_STORED,   /* the same as DONE, in one of the stores */
	SPOOL_MARK_UNSURE,   /* was PREPARED or STORED, see below */
};

void spool_mark(struct spool_item *it, size_t recipient, enum spool_mark m,
    uint16_t outcome);
enum spool_mark spool_mark_get(
    const struct spool_item *it, size_t recipient, uint16_t *outcome_out);

/*
 * Beside the mark up to eight flags of the caller's, only ever added: of the
 * reports about this recipient that went out (1 << enum dsn_kind).
 */
void spool_mark_told(struct spool_item *it, size_t recipient, uint8_t flags);
uint8_t spool_mark_get_told(const struct spool_item *it, size_t recipient);

/*
 * Bracket work on the message's bytes that might kill the process (parsing),
 * never waiting.  A runner that dies inside counts; at three the message goes
 * to corrupt/ by itself at the next claim.
 */
void spool_item_danger(struct spool_item *it, bool inside);

/*
 * Store the changed envelope now (aliases and lists expanded, routes found),
 * so that a restart goes on with the same recipients.  Survives kill -9 at
 * return.  Call before the first delivery: it may not say that a local
 * delivery is done which no flush covered.  All marks are NONE afterwards.
 */
int spool_update(struct spool_item *it, struct err *e) MUST_CHECK;

/*
 * The ends of a claim; each takes the item.  They cannot fail: what they ask
 * for is done at the next flush, and until then the marks keep it true.
 *
 * settle: finished (or to be deleted), whatever its recipients' states.
 * defer:  `envelope` as it is now is stored (all recipients with their
 *         states), due again at `next_try_ms` (wall clock).
 * hold:   the same, into hold/, out of the way until spool_unhold().
 * release: as it was, due again at `next_try_ms`; marks are kept.
 * corrupt: to corrupt/ with the reason, never tried again.
 */
void spool_settle(struct spool_item *it);
void spool_defer(struct spool_item *it, int64_t next_try_ms);
void spool_hold(struct spool_item *it, const char *reason);
void spool_release(struct spool_item *it, int64_t next_try_ms);
void spool_corrupt(struct spool_item *it, const char *reason);

/*
 * One shared flush.  `sync_stores` must make durable every delivery marked
 * done before the call (syncfs); -1 from it fails the flush: what it would
 * have covered stays unsettled until one succeeds, before which the callback
 * has to write anew what may have been lost.  `settled_out`
 * (may be NULL) counts messages.  Does nothing, and calls nothing, when
 * nothing is pending.  One thread at a time.
 *
 * Of a failure the kernel tells once, so it is remembered, over kill -9, until
 * a later flush succeeds.  spool_flush_failed() is for one that failed
 * elsewhere, and any thread's; spool_is_unsure() tells whether one did.
 */
int spool_flush(struct spool *s, int (*sync_stores)(void *arg, struct err *e),
    void *arg, size_t *settled_out, struct err *e) MUST_CHECK;
void spool_flush_failed(struct spool *s);
bool spool_is_unsure(struct spool *s);

/* How many ends of claims wait for a flush; a high number asks for one. */
size_t spool_flush_pending(struct spool *s);

/* Has its claim ended, and does that wait for a flush? */
bool spool_awaits_flush(struct spool *s, const char *id);

/*
 * Ask for a flush and wait until one covers every end of a claim before this
 * call (but for those in spool_counts.refused).  ERR_TEMP: it fails or takes
 * too long.
 */
int spool_flush_wait(struct spool *s, int timeout_ms, struct err *e) MUST_CHECK;

/* Change when a waiting message is due; memory only.  ERR as spool_claim_id. */
int spool_schedule(struct spool *s, const char *id, int64_t next_try_ms,
    struct err *e) MUST_CHECK;

/*
 * For many at once; like the ends of claims these hold, all of one message or
 * nothing, from the next flush on, and nobody gets the message until then.
 *
 * unhold: from hold/ back to deferred/, due now.
 * hold_waiting: into hold/ without a reason; true also if it is there.  False:
 * it is not waiting, or has no file of its own yet; then claim it, and
 * spool_hold().
 * remove: as claimed and settled.
 */
int spool_unhold(struct spool *s, const char *id, struct err *e) MUST_CHECK;
bool spool_hold_waiting(struct spool *s, const char *id);
int spool_remove(struct spool *s, const char *id, struct err *e) MUST_CHECK;

/*
 * The owner takes a message back before its not-before time.  ERR_PERM: not
 * there, not theirs (same answer) or not waiting for its time any more.
 */
int spool_take_back(struct spool *s, const char *id, const char *auth_user,
    struct err *e) MUST_CHECK;

/*
 * Was this id ever accepted, as far as the disk still tells (unsettled, or in
 * a segment not yet reused)?  With ids derived from another message's this
 * makes a report exactly one (threats.md I05), see spool_begin_as().
 */
bool spool_knows(struct spool *s, const char *id);

enum spool_state {
	SPOOL_ACTIVE,
	SPOOL_DEFERRED,
	SPOOL_HELD
};

struct spool_counts {
	size_t active;   /* due, being worked on, or waiting for a flush */
	size_t deferred; /* waiting for a time */
	size_t held;
	size_t corrupt;  /* files in corrupt/ put there since the start */
	size_t refused;  /* ends of claims the disk did not take since then */
	size_t segments; /* in use */
	uint64_t journal_bytes; /* of the segments in use */
};

void spool_count(struct spool *s, struct spool_counts *out);

struct spool_info {
	char id[ID_SIZE];
	enum spool_state state;
	int64_t next_try_ms; /* 0: now */
};

/* Is it in the queue, and how? */
bool spool_find(struct spool *s, const char *id, struct spool_info *out);

/* Read the envelope of one; ERR_PERM when it is gone. */
int spool_peek(struct spool *s, const char *id, struct pool *pool,
    struct envelope *out, struct err *e) MUST_CHECK;

/*
 * Whose message it is: the domain of the account that signed in to send it,
 * else of its sender address; "" for reports.
 */
const char *spool_owner(const struct envelope *v);

/* Which messages. */
struct spool_filter {
	unsigned states;    /* 1 << enum spool_state...; 0 = all */
	const char *sender; /* or NULL, as the next ones */
	const char *recipient;
	const char *destination;   /* domain of a recipient */
	const char *const *owners; /* see spool_owner(); NULL: all */
	size_t owner_count;
	bool awaits_resume; /* only such as envelope_awaits_resume() */
	bool unread;        /* only such as spool_read_on() is there for */
};

/*
 * The next page by id behind `after` ("": from the start), up to `max`.  What
 * comes may fit the filter; whether it does, spool_fits() says of its
 * envelope.  What fits always comes.  NULL: all.
 */
size_t spool_page(struct spool *s, const struct spool_filter *f,
    const char *after, struct spool_info *out, size_t max);
bool spool_fits(const struct spool_filter *f, const struct envelope *v);

/*
 * Read some envelopes of what lay in the spool at the start, so that filters
 * and surveys need not; `at` begins as "".  False when all are read.
 */
bool spool_read_on(struct spool *s, char at[ID_SIZE]);

/* Deferred messages with recipients waiting for one domain. */
struct spool_group {
	uint64_t key; /* private */
	size_t count;
	int64_t next_try_ms; /* the earliest */
	char oldest[ID_SIZE], newest[ID_SIZE];
};

/* Groups by falling count, for free(); counts by enum spool_state. */
struct spool_survey {
	size_t counts[3];
	struct spool_group *groups;
	size_t group_count;
};

/* Of the filter only its owners count. */
void spool_survey(struct spool *s, const struct spool_filter *owners,
    struct spool_survey *out);

/* The recipient of one of its messages that stands for a group, or NULL. */
const struct envelope_recipient *spool_group_find(const struct spool *s,
    const struct spool_group *g, const struct envelope *v);

/*
 * Make a new spool in an existing parent: directories 2770, a fresh uuid.
 * An existing spool is left as it is.
 */
int spool_create(const char *spool_dir, struct err *e) MUST_CHECK;

/*
 * Make a copied spool one of its own that sends nothing by itself: all that
 * waits in it is held with `reason`, and it gets a uuid of its own, so that
 * it can lie beside the one it was copied from.  What is both in the journal
 * and finished elsewhere is held as well: a person decides.
 */
int spool_hold_all(const char *spool_dir, const char *reason, size_t *held_out,
    struct err *e) MUST_CHECK;

/*
 * Verify a spool; needs no runner, and with `repair` refuses while one runs.
 * `report` gets one line each finding.  *bad_out counts what is wrong (after
 * repair: what remains).
 */
int spool_check(const char *spool_dir, bool repair,
    void (*report)(void *arg, const char *line), void *arg, size_t *bad_out,
    struct err *e) MUST_CHECK;

#endif /* QUEUE_SPOOL_RUNNER_H */
