#ifndef ACCOUNTD_THROTTLE_H
#define ACCOUNTD_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/ip.h"

/*
 * Slowing down guessing, without ever locking anybody out.  Failures are
 * counted per client address (IPv6: per /64), per account, and per pair of
 * both.  Beyond `after` failures the next attempt has to wait 1, 2, 4... up
 * to `max_s` seconds; an hour without failure halves the count.
 *
 *  - An address waits for its own failures.
 *  - An address with failures of its own also waits for the account's, so
 *    many addresses guessing one account are slowed down together, while a
 *    stranger's guesses do not delay the owner's first attempt.
 *  - An address from which the account signed in within 30 days (`known`)
 *    waits only for the pair's failures, at four times the allowance.
 *
 * Unknown names count as accounts, so waiting tells nothing.  Memory is fixed;
 * when it is full the entries idle longest give way.  Any thread.
 */
struct throttle;

struct throttle *throttle_new(void);
void throttle_free(struct throttle *t);

struct throttle_policy {
	int64_t after, max_s;
};

/* Seconds to wait; 0 = go on.  `account` is the name in canonical form. */
int64_t throttle_wait(struct throttle *t, struct throttle_policy p,
    const struct ip *ip, const char *account, bool known,
    int64_t now_ms) MUST_CHECK;

/* True when this failure makes the address wait for the first time. */
bool throttle_failed(struct throttle *t, struct throttle_policy p,
    const struct ip *ip, const char *account, int64_t now_ms);

/* Forgets the account's and the pair's failures, not the address's. */
void throttle_succeeded(
    struct throttle *t, const struct ip *ip, const char *account);

/* Failures an address has to its name now; and none any more. */
int64_t throttle_failures(
    struct throttle *t, const struct ip *ip, int64_t now_ms);
void throttle_forget(struct throttle *t, const struct ip *ip);

#endif /* ACCOUNTD_THROTTLE_H */
