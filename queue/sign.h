#ifndef QUEUE_SIGN_H
#define QUEUE_SIGN_H

#include "base/compiler.h"
#include "mail/address.h"

#include "queue/job.h"
#include "queue/outcome.h"

/*
 * Signing with DKIM, and return paths of forwarded mail (SRS), at the moment
 * of sending; accountd has the keys.
 *
 * Signed is what we answer for: generated here, submitted by a user, or from a
 * trusted client, when its From is of a domain of ours that its sender may
 * speak for.  Everything else goes out as it came in.
 */
struct sign;
struct sign *sign_new(struct accountd *a);

/*
 * The DKIM-Signature fields of a job's message, "" for none, LF line ends;
 * *fields_out lives as long as the job.  Asks accountd once a job.  -1: the
 * message is to wait, *o says why.
 */
int sign_message(struct job *j, const struct spool_body *body,
    const char **fields_out, struct outcome *o) MUST_CHECK;

/*
 * The domain whose return path forwarded mail gets, or NULL: `delivered_to`
 * is what it was forwarded by.  -1: cannot tell now.
 */
int sign_return_domain(struct job *j, const char *delivered_to,
    const char **domain_out) MUST_CHECK;

/* The return path at that domain; the job's pool.  -1: as above. */
int sign_return_path(struct job *j, const char *domain, const char **sender_out,
    struct outcome *o) MUST_CHECK;

#endif /* QUEUE_SIGN_H */
