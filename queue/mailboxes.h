#ifndef QUEUE_MAILBOXES_H
#define QUEUE_MAILBOXES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#include "maildir/maildir.h"

/*
 * Opened mailboxes, kept for at most a second, so that a busy mailbox is not
 * walked to and opened for every message.  What an administrator moves or
 * removes is noticed within that second; a mailbox that made a delivery fail
 * is forgotten at once, so the next attempt opens it anew.  A bounded number
 * is kept; the others are opened and closed by their user.  Thread-safe.
 */
struct mailboxes;

struct mailbox {
	struct maildir dir;
	atomic_bool unlimited; /* its account has no quota */
	const char *path;
	int64_t opened_ms; /* monotonic */
	unsigned users;    /* threads; under the lock, as the next */
	bool kept;
};

struct mailboxes *mailboxes_new(int mail_root_fd);

/* The mailbox at "domain/local", made if missing; 0 or -1 as maildir_open(). */
int mailboxes_take(struct mailboxes *t, const char *path, struct mailbox **out,
    struct err *e) MUST_CHECK;

/* Give it back; `failed`: something in it did not work. */
void mailboxes_give(struct mailboxes *t, struct mailbox *m, bool failed);

/* Close what was opened more than a second ago; call now and then. */
void mailboxes_expire(struct mailboxes *t);

#endif /* QUEUE_MAILBOXES_H */
