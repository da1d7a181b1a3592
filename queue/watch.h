#ifndef QUEUE_WATCH_H
#define QUEUE_WATCH_H

#include "base/compiler.h"
#include "base/err.h"

#include "queue/runner.h"

/*
 * Looks after the server every alert.interval: what tools_health() (tools.h)
 * finds bad or in need of a look is told by mail to alert.addresses (empty:
 * the postmaster), once per cause, again when it gets worse, and once more
 * when it is over.  A cause must be there at two looks and gone at three,
 * so a restart is no news.  What cannot be mailed now is mailed at a later
 * look.
 *
 * After each look run/health.json is replaced, for pages and for metrics:
 *
 *	{at, checks[{id, state, found, fix}], certificates[], address?{now,
 *	before, changed_at}, told[{id, state, text}], relay_open}
 *
 * `told` is what was told and is not over; it is read again at start.
 * `address` is our public address as last seen (tools_address()).
 * Whether the server is an open relay (the tool "relay") is also tried right
 * after each change of the directory.
 */
int watch_start(struct runner *r, struct err *e) MUST_CHECK;

#endif /* QUEUE_WATCH_H */
