#ifndef ACCOUNTD_BAN_H
#define ACCOUNTD_BAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"

/*
 * Client addresses that may not sign in for a while, after more failures than
 * ban.failures (IPv6: the /64).  A ban spares whoever signed in from there
 * within 30 days, so that a neighbour's guesses do not lock anybody out.
 *
 * Times are of the wall clock.  Kept in cache/auth/bans.json, so that a
 * restart forgives nobody; a missing or damaged file is an empty list.  The
 * number is bounded: beyond it the ban that ends first gives way.  Any thread.
 */
struct bans;

struct bans *bans_new(const char *state_dir);
void bans_free(struct bans *b);

/* Until when; 0 = not banned. */
int64_t bans_until(
    struct bans *b, const struct ip *ip, int64_t now_ms) MUST_CHECK;

/* `service` and `failures` say why.  What cannot be kept on disk is logged. */
void bans_add(struct bans *b, const struct ip *ip, const char *service,
    int64_t failures, int64_t now_ms, int64_t until_ms);

/* False: there was none. */
bool bans_lift(struct bans *b, const struct ip *ip, int64_t now_ms) MUST_CHECK;

/* [{address, service, failures, since, until}], the last first; new. */
json_t *bans_list(struct bans *b, int64_t now_ms);

#endif /* ACCOUNTD_BAN_H */
