#ifndef PROC_LIMITS_H
#define PROC_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/ip.h"

/*
 * Who has how many connections and sent how many messages: one table in memory
 * shared by all workers of a daemon, made in the supervisor before they fork.
 *
 * Connections are counted in one column per worker, so that those of a worker
 * that died are dropped when its replacement joins.  Messages are counted per
 * hour, bytes per minute.  The table has a fixed size; a newcomer takes the
 * place of somebody without connections; if there is none it is not counted.
 */
enum {
	LIMITS_WORKERS = 64
};

struct limits;

/* NULL if there is no memory. */
struct limits *limits_new(void);

/* A worker starts: its column is emptied. */
void limits_join(struct limits *l, unsigned worker);

/* Who is counted: an address (an IPv6 /64 network) or a user. */
uint64_t limits_key_ip(const struct limits *l, const struct ip *ip);
uint64_t limits_key_user(const struct limits *l, const char *user);

/*
 * One connection more.  False if there are `max` already (0 = no limit); then
 * it is not counted and must not be left.
 */
bool limits_enter(
    struct limits *l, unsigned worker, uint64_t key, unsigned max) MUST_CHECK;
void limits_leave(struct limits *l, unsigned worker, uint64_t key);

/*
 * Are more than nine tenths of `pool` connections taken, and has nobody more
 * of them than `key`?  Then it gets no more.
 */
bool limits_is_crowding(
    struct limits *l, uint64_t key, uint64_t pool, int64_t now_ms);

/* Messages in this hour; limits_message() counts one more. */
unsigned limits_messages(struct limits *l, uint64_t key, int64_t now_ms);
void limits_message(struct limits *l, uint64_t key, int64_t now_ms);

/* Bytes in this minute, whatever became of them; and so many more. */
uint64_t limits_bytes(struct limits *l, uint64_t key, int64_t now_ms);
void limits_count_bytes(
    struct limits *l, uint64_t key, uint64_t bytes, int64_t now_ms);

/*
 * Refused once more because of a limit.  True: that makes `max` in this hour,
 * and counting starts again.
 */
bool limits_refused(
    struct limits *l, uint64_t key, unsigned max, int64_t now_ms) MUST_CHECK;

#endif /* PROC_LIMITS_H */
