#ifndef QUEUE_SIGN_BATCH_H
#define QUEUE_SIGN_BATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "directory/accountd.h"
#include "mail/dkim.h"

/*
 * Asking accountd for signatures.  While one question is under way, those who
 * come meanwhile go together in the next one (as commits share a flush), but
 * at most SIGN_BATCH messages: then a second question goes beside it, so that
 * a machine with more cores signs on more of them.  Any thread.
 */
enum {
	SIGN_BATCH = 8 /* messages in a question */
};

struct sign_batch;
struct sign_batch *sign_batch_new(struct accountd *a);

/* One message: a hash for each algorithm that has a selector. */
struct sign_ask {
	const char *domain;
	const char *selectors[DKIM_ALGORITHMS]; /* "" = not by this one */
	uint8_t hashes[DKIM_ALGORITHMS][DKIM_HASH_SIZE];
	struct buf signatures[DKIM_ALGORITHMS]; /* the caller's */
	/* from here: sign_batch.c */
	struct sign_ask *next;
	int rc;
	struct err err;
	bool sent, done;
	pthread_cond_t wake;
};

/*
 * Waits for the answer; the signatures are appended.  -1: ERR_PERM when a key
 * is not active (any more), ERR_TEMP when accountd cannot tell now.
 */
int sign_batch_ask(
    struct sign_batch *b, struct sign_ask *ask, struct err *e) MUST_CHECK;

#endif /* QUEUE_SIGN_BATCH_H */
