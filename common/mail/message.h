#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * The header fields a server writes itself.  Each function appends one whole
 * field with LF line ends; time is passed in.
 */
struct message_trace {
	const char *helo;        /* as the client said, valid or "" */
	const char *client_name; /* forward-confirmed, or "" */
	const char *client_ip;   /* text; "" = submitted on this machine */
	const char *host;        /* our own name */
	const char *protocol;    /* "ESMTPSA" (RFC 3848), "UTF8SMTPS"... */
	const char *id;          /* of the message */
	const char *tls_version; /* NULL = plain */
	const char *tls_cipher;
	const char *single_recipient; /* NULL unless there is exactly one */
	int64_t wall_ms;
};

/* RFC 5321 4.4. */
void message_received(struct buf *out, const struct message_trace *t);

void message_return_path(struct buf *out, const char *sender);
void message_delivered_to(struct buf *out, const char *recipient);
void message_date(struct buf *out, int64_t wall_ms);

/* "Message-ID: <id@host>" */
void message_message_id(struct buf *out, const char *id, const char *host);

/*
 * Whose results an Authentication-Results value claims to be (RFC 8601 2.2):
 * is it `host`?  Comments, folding, quotes and case do not hide it; a value
 * whose owner cannot be read counts as forged too.
 */
bool message_results_claim(struct slice value, const char *host);

#endif /* MAIL_MESSAGE_H */
