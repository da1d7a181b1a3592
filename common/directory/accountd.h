#ifndef DIRECTORY_ACCOUNTD_H
#define DIRECTORY_ACCOUNTD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * The client side of accountd (DESIGN 4.3): run/accountd/<program>.sock,
 * SOCK_SEQPACKET, one JSON object a packet: {"verb": "...", ...} and the
 * answer {"ok": true, ...} or {"ok": false, "kind": "temp|perm|syntax",
 * "code": "...", "text": "..."}.  The verbs are listed in accountd/DESIGN.md.
 *
 * A struct accountd keeps a few idle connections and is shared by the threads
 * of a process; open it after fork.
 */
struct accountd;

/* `program` names the socket: "mtad", "popd", "mailstead"... */
struct accountd *accountd_new(const char *state_dir, const char *program);

/*
 * Another server that is asked in the same way: the queue runner's control
 * socket (queue/control.h).
 */
struct accountd *accountd_at(const char *path);
void accountd_free(struct accountd *a);

/*
 * A client over one connection that exists: the other end of a socketpair
 * (SOCK_SEQPACKET) given to `accountd --state DIR --serve-fd N`, by which the
 * command line works while accountd does not run.  Owns `fd`; one thread.
 */
struct accountd *accountd_from_fd(int fd);

/* The largest packet, either way. */
enum {
	ACCOUNTD_PACKET_MAX = 65536
};

/*
 * One question, one answer, within `timeout_ms`.  `request` is taken, and what
 * it has of passwords wiped.  On 0 *reply_out is owned by the caller
 * (json_decref).  -1: the error has accountd's kind and text;
 * ERR_TEMP also when it cannot be reached.
 */
int accountd_call(struct accountd *a, json_t *request, int timeout_ms,
    json_t **reply_out, struct err *e) MUST_CHECK;

/* The same, but a refusal is an answer too: {"ok": false, "code": ...}. */
int accountd_ask(struct accountd *a, json_t *request, int timeout_ms,
    json_t **reply_out, struct err *e) MUST_CHECK;

/*
 * The key of return paths (mail/srs.h), 32 bytes; asked for once.  Only for
 * the SMTP server and the queue runner.
 */
int accountd_srs_key(struct accountd *a, int timeout_ms, uint8_t out[32],
    struct err *e) MUST_CHECK;

/* The same key out of a reply. */
int accountd_read_srs_key(
    const json_t *reply, uint8_t out[32], struct err *e) MUST_CHECK;

/*
 * How many messages the account sent in this hour, whichever program took
 * them (limit.messages_per_user); with `one_more`, this one included.
 * INT64_MAX: he is banned from sending.
 */
int accountd_count_sent(struct accountd *a, const char *address, bool one_more,
    int timeout_ms, int64_t *count_out, struct err *e) MUST_CHECK;

/*
 * The address went on beyond a limit for ban.limit_refusals times; and whether
 * such a ban lets strangers deliver from there.  Only for the SMTP server.
 */
int accountd_ban_limit(struct accountd *a, const char *ip,
    const char *session_id, int timeout_ms, struct err *e) MUST_CHECK;
int accountd_may_deliver(struct accountd *a, const char *ip, int timeout_ms,
    bool *out, struct err *e) MUST_CHECK;

/* --- Signing in ----------------------------------------------------------- */

struct auth_peer {
	const char *service; /* "smtp", "pop3", "web" */
	const char *ip;      /* of the client */
	const char *session_id;
	bool tls;
	const uint8_t *exporter; /* 32 bytes of tls-exporter, or NULL */
};

enum auth_result {
	AUTH_MORE,   /* send the challenge, read the client's answer */
	AUTH_OK,     /* signed in */
	AUTH_FAILED, /* wrong name or password, or not allowed: same words */
	AUTH_BUSY,   /* throttled or no answer: temporary (4xx, SYS/TEMP) */
	AUTH_SYNTAX, /* the client's data is malformed */
};

/*
 * A SASL exchange; all of it runs inside accountd.  Zeroed = not started.
 * Data is base64 text as on the wire.
 */
struct auth_exchange {
	struct accountd *accountd;
	int fd;        /* the connection it is pinned to, or 0 */
	char *account; /* after AUTH_OK: local@domain (heap) */
	char *text;    /* challenge in base64, or reason for the log */
};

/*
 * Mechanisms to offer, space separated.  Not SCRAM-SHA-256-PLUS, which accountd
 * knows: clients with GNU SASL of today (mutt, msmtp, mpop) pick it, cannot
 * bind to TLS 1.3 (tls-exporter), and then sign in by nothing else.
 */
const char *auth_mechanisms(void);

/* `initial` may have data == NULL (no initial response). */
enum auth_result auth_start(struct accountd *a, const char *mechanism,
    struct slice initial, const struct auth_peer *peer,
    struct auth_exchange *x);
enum auth_result auth_step(struct auth_exchange *x, struct slice response);
void auth_release(struct auth_exchange *x); /* always, also half-way */

/* Name and password at once (POP3 USER/PASS, web form). */
enum auth_result auth_password(struct accountd *a, struct slice login,
    struct slice password, const struct auth_peer *peer,
    struct auth_exchange *x);

#endif /* DIRECTORY_ACCOUNTD_H */
