#ifndef QUEUE_JOB_H
#define QUEUE_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "directory/settings.h"

#include "queue/outcome.h"
#include "queue/runner.h"

/*
 * One message being worked on.  The claiming thread makes it; several remote
 * threads may then work on different recipients of it.  Each piece of work
 * holds a reference; whoever drops the last one finishes the job: reports go
 * out, then the message is settled, or deferred until its next attempt.
 *
 * A recipient belongs to one piece of work at a time; its outcome is recorded
 * by job_record(), which marks it in the spool before anything else.
 */
struct job {
	struct runner *runner;
	struct spool_item *item;
	struct settings *settings; /* of its start */
	pthread_mutex_t lock;      /* the item's pool and envelope strings */
	atomic_uint refs;
	bool recorded;  /* some outcome is in the envelope only */
	bool retry_now; /* something was put off by a full transaction only */
	atomic_llong release_ms; /* then due again after so long */
	atomic_bool released;    /* the runner stops: all stays as it is */
	bool parked;             /* remote delivery is suspended */
	const char *hold_reason; /* it ends in hold/ whatever was done */
	int64_t now_ms;          /* wall clock at the start */
	const char *signature;   /* DKIM fields, or NULL; item's pool */

	/* deliver_local.c: files in tmp/ of this size wait to be flushed */
	struct job *staged_next;
	uint64_t local_size, local_wire_size;
};

/* Takes the item and the settings reference; one reference for the caller. */
struct job *job_new(
    struct runner *r, struct spool_item *item, struct settings *settings);

void job_ref(struct job *j);
void job_unref(struct job *j); /* may finish the job */

/* Record the outcome of an attempt: mark, envelope, log line. */
void job_record(struct job *j, size_t recipient, const struct outcome *o);

/*
 * The same for a recipient that was not tried at all (suspended): remembered
 * as the reason, but not as an attempt.
 */
void job_put_off(struct job *j, size_t recipient, const char *reason);

/*
 * What the marks say and the envelope does not: of a runner that died, or of
 * an end that the disk refused.  Call before any delivery, or before a claim
 * is ended with the envelope as it is.
 */
void job_recover(struct job *j);

/* Mark and log those that failed without an attempt: no such user here. */
void job_note_failures(struct job *j);

/* Does the recipient wait for an attempt? */
bool job_is_waiting(const struct job *j, size_t recipient);

/* And is it time for it?  Not if only others were left out last time. */
bool job_is_due(const struct job *j, size_t recipient);

/*
 * The job ends without having done all it could: as it was, due again after
 * so long; what the marks say stays.  Any reference holder may say so.
 */
void job_release(struct job *j, int64_t after_ms);

/* When the next attempt after so many is due, with some scatter. */
int64_t job_retry_ms(const struct settings *s, uint32_t attempts);

/*
 * End a claim as an administrator wants: every waiting recipient fails with
 * this text, and the sender is told.
 */
void job_bounce(struct job *j, const char *text);

/* The same, but it is held. */
void job_hold(struct job *j, const char *reason);

#endif /* QUEUE_JOB_H */
