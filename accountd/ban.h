#ifndef ACCOUNTD_BAN_H
#define ACCOUNTD_BAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"
#include "mail/address.h"

/*
 * Who may not do something for a while.  A client address (IPv6: the /64) with
 * more failures than ban.failures may not sign in; one that went on beyond a
 * limit of messages may not deliver either.  A user who went on beyond his
 * limit may not send.  A ban of an address spares whoever signed in from there
 * within 30 days, so that a neighbour's guesses do not lock anybody out.
 *
 * Times are of the wall clock.  Kept in cache/auth/bans.json, so that a
 * restart forgives nobody; a missing or damaged file is an empty list.  The
 * number is bounded: beyond it the ban that ends first gives way.  Any thread.
 */
struct bans;

enum {
	/* the text of an address or a user */
	BAN_WHO_SIZE = ADDRESS_TEXT_SIZE
};

struct ban {
	char who[BAN_WHO_SIZE];
	char service[8];  /* of the last failure */
	int64_t failures; /* why: wrong passwords, or refusals by a limit */
	bool by_limit;
	int64_t since_ms, until_ms;
};

struct bans *bans_new(const char *state_dir);
void bans_free(struct bans *b);

/* Whom a ban is about: the address's network, or the user in lower case. */
void ban_who_ip(const struct ip *ip, char out[BAN_WHO_SIZE]);
void ban_who_user(const char *address, char out[BAN_WHO_SIZE]);

/* False: not banned now. */
bool bans_find(struct bans *b, const char *who, int64_t now_ms,
    struct ban *out) MUST_CHECK;

/*
 * A copy is taken; it replaces one that is there, which stays one by a limit.
 * What cannot be kept on disk is logged.
 */
void bans_add(struct bans *b, const struct ban *ban);

/* False: there was none. */
bool bans_lift(struct bans *b, const char *who, int64_t now_ms) MUST_CHECK;

/* [{address, service, failures, limit, since, until}], the last first; new. */
json_t *bans_list(struct bans *b, int64_t now_ms);

#endif /* ACCOUNTD_BAN_H */
