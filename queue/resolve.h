#ifndef QUEUE_RESOLVE_H
#define QUEUE_RESOLVE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "directory/directory.h"
#include "directory/settings.h"

#include "queue/envelope.h"

/*
 * From accepted recipients to final ones: accounts, aliases, distribution
 * lists, forwards, whole-domain forwards and catch-alls, followed until only
 * mailboxes (RECIPIENT_LOCAL, target = path) and remote domains
 * (RECIPIENT_REMOTE, target = domain) remain.  Chains end after
 * RESOLVE_DEPTH_MAX steps, lists at ENVELOPE_RECIPIENTS_MAX; a loop leads
 * nowhere (5.4.6 when nothing else is left); a mailbox or remote address that
 * came up already is not added again.
 *
 * A recipient the directory cannot judge now stays unresolved and waiting,
 * with the reason in `reply`.  Each one is resolved whole or not at all.
 */
enum {
	RESOLVE_DEPTH_MAX = 20
};

struct resolve_context {
	struct directory *directory;
	const struct settings *settings;
	/* Has the message been at this address (Delivered-To)?  May be NULL. */
	bool (*was_at)(void *arg, const char *address);
	void *arg;
	struct pool *scratch; /* for the time of the call; reset by it */
};

/*
 * Resolve what is unresolved; strings go to `pool`.  True when the envelope is
 * more than what would come out again next time (an alias, list or forward was
 * followed), so that it must be stored before the first delivery.
 */
bool resolve_recipients(const struct resolve_context *c, struct envelope *v,
    struct pool *pool) MUST_CHECK;

#endif /* QUEUE_RESOLVE_H */
