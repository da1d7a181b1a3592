#ifndef MIME_MIME_H
#define MIME_MIME_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * The client side of mailstead-parse, the jail in which strangers' messages
 * are taken apart: run/parse.sock, SOCK_SEQPACKET, one job a connection.
 *
 * A job is one packet, a JSON object {"job": NAME, ...} with the message's
 * descriptor (SCM_RIGHTS, open for reading, at its start); the answer is one
 * packet of at most MIME_PACKET_MAX bytes, {"ok": true, ...} or
 * {"ok": false, "text": ...}.
 *
 * Jobs:
 *  summary  -> {"broken": bool, "from", "to", "cc", "subject", "message_id",
 *              "in_reply_to", "references", "date_ms", "parts": N,
 *              "attachments": N}; texts are UTF-8 without control characters,
 *              at most 998 bytes each.  "broken": the message is beyond the
 *              limits of parse/guard.h and was not taken apart; then only
 *              "broken" is there.
 */
enum {
	MIME_PACKET_MAX = 65536
};

struct mime;

struct mime *mime_new(const char *state_dir);
void mime_free(struct mime *m);

/*
 * One job, within `timeout_ms`.  `fd` stays the caller's.  *reply_out is to be
 * decref'd.  A parser that died over the message is asked once more; then it
 * is ERR_TEMP, as is one that cannot be reached.  ERR_PERM: it says no.
 */
int mime_ask(struct mime *m, const json_t *job, int fd, int timeout_ms,
    json_t **reply_out, struct err *e) MUST_CHECK;

#endif /* MIME_MIME_H */
