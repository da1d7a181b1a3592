#ifndef POPD_MAILBOX_H
#define POPD_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#include "maildir/maildir.h"

#include "popd/listing.h"

/*
 * A mailbox as one POP3 session sees it: the messages that were there when it
 * signed in, numbered from 1, and which of them it wants deleted.
 *
 * Packed, because thousands of clients stay signed in.  A zeroed mailbox is
 * closed and empty.
 */
struct mailbox_store {
	int mail_root_fd;
	int cache_fd; /* cache/pop; -1: not there */
};

struct mailbox {
	struct maildir dir; /* open only from the first message read on */
	bool is_open;
	int lock_fd;    /* 0: not locked */
	char path[512]; /* "domain/local" */
	const struct mailbox_store *store;
	struct listing all; /* LISTING_MARK: to be deleted */
	size_t deleted;
	uint64_t deleted_bytes; /* on the wire */
	uint64_t expired;       /* deleted for their age */
	struct listing_key key; /* of when it was read */
	bool is_fresh;          /* cache/pop does not know it yet */
};

enum mailbox_result {
	MAILBOX_FAILED, /* disk; the error says what */
	MAILBOX_BUSY,   /* another session has the lock */
	MAILBOX_SOON,   /* the last sign-in is less than `delay_s` ago */
	MAILBOX_OPEN
};

struct mailbox_rules {
	int64_t expire_before_ms; /* delete what arrived before; 0: nothing */
	int64_t delay_s;          /* between two sign-ins; 0: any */
};

/*
 * Take the lock and the snapshot; makes the mailbox if it is not there.  Once
 * a day it also cleans the mailbox's tmp/.
 */
enum mailbox_result mailbox_open(struct mailbox *b,
    const struct mailbox_store *store, const char *account,
    const struct mailbox_rules *rules, struct err *e);
void mailbox_close(struct mailbox *b);

/* Let the next session in; only counts may be asked for any more. */
void mailbox_unlock(struct mailbox *b);

/* Messages are 1..count. */
bool mailbox_is_deleted(const struct mailbox *b, size_t number);
uint64_t mailbox_size(const struct mailbox *b, size_t number);
void mailbox_uidl(
    const struct mailbox *b, size_t number, char out[MAILDIR_UIDL_SIZE]);

/*
 * Somebody goes through all messages and is at this one: names lie in the
 * order of the directory, so each costs a cache miss unless asked for ahead.
 */
void mailbox_prefetch(const struct mailbox *b, size_t number);

void mailbox_delete(struct mailbox *b, size_t number);
void mailbox_undelete_all(struct mailbox *b);

/*
 * Open for reading, with the size of the file and the size on the wire, both
 * true of what is opened.  ERR_PERM: gone meanwhile.
 */
int mailbox_read(struct mailbox *b, size_t number, int *fd_out,
    uint64_t *size_out, uint64_t *wire_out, struct err *e) MUST_CHECK;

/* Is all that is in the mailbox below a quota (0: none)? */
bool mailbox_has_room(struct mailbox *b, uint64_t bytes, uint64_t messages);

/*
 * Delete what is marked.  *left_out counts those that are still there because
 * of errors; one that somebody else deleted is as good as deleted.
 */
void mailbox_update(struct mailbox *b, size_t *left_out);

#endif /* POPD_MAILBOX_H */
