#ifndef QUEUE_QUOTA_H
#define QUEUE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "directory/directory.h"
#include "directory/settings.h"

#include "maildir/maildir.h"

/*
 * How full mailboxes with a quota are.  The truth is the mailbox's names; what
 * was measured is remembered for half a minute and counted up with every
 * delivery, so that a busy mailbox is not listed for each message.  Mailboxes
 * without a quota cost nothing.  Thread-safe.
 */
struct quota;

struct quota *quota_new(void);

enum quota_verdict {
	QUOTA_FITS,
	QUOTA_WARN, /* fits, and crosses the share the owner is warned at */
	QUOTA_FULL,
};

/*
 * Does a message of `size` bytes still go in?  Counts it if so, as promised
 * until quota_arrived().  A mailbox that cannot be listed fits: delivery
 * itself will say what is wrong.
 */
enum quota_verdict quota_take(struct quota *q, const struct maildir *m,
    const char *path, const struct dir_account *a, uint64_t size,
    const struct settings *s);

/* What quota_take() let in is among the mailbox's names now, or never will. */
void quota_arrived(struct quota *q, const char *path, uint64_t size);

#endif /* QUEUE_QUOTA_H */
