#ifndef WEBMAIL_CGI_OUTGOING_H
#define WEBMAIL_CGI_OUTGOING_H

#include <stdint.h>

#include "maildir/index.h"

#include "webmail-cgi/draft.h"
#include "webmail-cgi/store_user.h"
#include "webmail-cgi/webmail.h"

/*
 * Sending a draft: judged by the same policy as what comes in by SMTP, into
 * the spool with a time before which it is not delivered, and a copy into Sent
 * or Scheduled.  Until that time the sender may take it back.
 */
enum {
	OUTGOING_RECIPIENTS_MAX = 500,
	OUTGOING_GRACE_MS = 5000, /* between the button's end and delivery */
};

enum outgoing_result {
	OUTGOING_SENT,
	OUTGOING_NOT_FILED, /* sent, but there is no copy */
	OUTGOING_NO_RECIPIENT,
	OUTGOING_TOO_MANY,
	OUTGOING_BAD_ADDRESS, /* what = as typed */
	OUTGOING_REFUSED,     /* what = address, if it was one; reason */
	OUTGOING_TOO_LARGE,
	OUTGOING_FAILED, /* nothing was sent; logged */
};

struct outgoing {
	const char *what, *reason; /* static or in the pool, never NULL */
	char id[ID_SIZE];          /* of what was sent */
};

/*
 * Sends a draft that is open and locked; it stays.  `later_ms` 0: now, which
 * is when the user's time for undo is over.  With d->report it goes at once,
 * from the null sender, without a copy (RFC 8098 2.1).
 */
enum outgoing_result outgoing_send(struct web_request *r, const struct draft *d,
    int64_t later_ms, struct outgoing *out);

/*
 * What a message of this user may weigh: message.max_bytes, or less; 0 = no
 * limit.
 */
uint64_t outgoing_max_bytes(struct web_request *r);

/*
 * What follows from messages having gone out whose time has come: a scheduled
 * one moves to Sent, the one it answers is marked.  At every page with a list.
 */
void outgoing_settle(struct web_request *r);

/*
 * What the page before has to say (the query's "flash", always one of our own
 * texts): {text, undo_send: id while there is time}, or NULL.
 */
json_t *outgoing_notice(struct web_request *r);

/*
 * A copy in Scheduled or Sent whose message waits for its time yet: what is
 * known of it.
 */
bool outgoing_waits(struct web_request *r, const struct index_message *m,
    struct outgoing_row *out);

/*
 * Whoever puts a copy out of Scheduled does not want it sent: 1 taken back, 0
 * it did not wait (or it is too late).  ERR_TEMP: the runner does not answer;
 * it will be sent.
 */
int outgoing_cancel(struct web_request *r, const struct index_message *m,
    struct err *e) MUST_CHECK;

/*
 * POST /undo-send/<id>: take it back and open it as a draft again.
 */
void outgoing_undo_post(struct web_request *r, struct web_response *w);

/*
 * To which domains of the draft's recipients mail will not go, as the runner
 * knows from the DNS, without those `is_known` is true for (NULL: none):
 * [{domain, why: control.h's word}], a new reference.  What cannot be told in
 * about 3 s is not in it.
 */
json_t *outgoing_bad_domains(struct web_request *r, const struct draft *d,
    bool (*is_known)(const struct web_request *r, const char *domain));

/*
 * GET /delivery/<id>: how far the runner is with a message of the user's; of
 * one that waits for its time also when that is, and a button to take it back.
 */
void outgoing_delivery_page(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_OUTGOING_H */
