#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * Who a message is from and for: everything about it that is not its bytes.
 *
 * Strings are NUL-terminated UTF-8 without control bytes, never NULL where
 * not said so; they live in a pool of the caller.  The binary form is
 * length-prefixed fields with a version, bounded by ENVELOPE_MAX; there is no
 * text form to inject into (threats.md 1.3).
 */

enum {
	ENVELOPE_MAX = 16 * 1024 * 1024, /* encoded bytes */
	ENVELOPE_RECIPIENTS_MAX = 100000,
};

/* RFC 3461 4.1; 0 = not given, which means failure (and delay). */
enum envelope_notify {
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8,
};

enum envelope_flags {
	ENVELOPE_SMTPUTF8 = 1, /* RFC 6531 was asked for */
	ENVELOPE_8BIT = 2,     /* the body has bytes above 127 */
	ENVELOPE_RET_HDRS = 4, /* RFC 3461 4.3 RET=HDRS */
	ENVELOPE_RET_FULL = 8,
	ENVELOPE_GENERATED = 16, /* made by us: DSN, warning; never bounced */
	ENVELOPE_SUBMITTED = 32, /* by a signed-in user or a local program */
	/* the last attempt was cut short: whom it served waits as usual */
	ENVELOPE_UNFINISHED = 64,
};

/*
 * How far a recipient is.  What waits is tried again; the others never (I3),
 * they stay in the envelope for the report that may speak of them.
 */
enum recipient_state {
	RECIPIENT_WAITING,
	RECIPIENT_DONE,     /* delivered, relayed or expanded into others */
	RECIPIENT_FAILED,   /* permanently; a report is due */
	RECIPIENT_REPORTED, /* permanently, and the sender knows */
};

/* Where routing sent it; the runner records it once. */
enum recipient_kind {
	RECIPIENT_UNRESOLVED, /* as accepted; writers leave it so */
	RECIPIENT_LOCAL,      /* target = path of the mailbox */
	RECIPIENT_REMOTE,     /* target = destination domain or literal */
};

enum recipient_flags {
	RECIPIENT_DELAY_TOLD = 1, /* a delay warning was sent */
	RECIPIENT_FORWARDED = 2,  /* by an account's forward */
};

struct envelope_recipient {
	const char *address;  /* local@domain; the unit of delivery */
	const char *original; /* ORCPT "type;xtext-decoded address", or NULL */
	const char *delivered_to; /* what it was before aliases, or NULL */
	uint32_t notify;          /* enum envelope_notify */

	/* The runner's part; zero from a writer. */
	uint8_t state; /* enum recipient_state */
	uint8_t kind;  /* enum recipient_kind */
	uint16_t code; /* last reply code (250, 451, 550...), 0 = none */
	uint32_t flags;
	uint32_t attempts;
	int64_t last_try_ms; /* wall clock, 0 = never */
	const char *target;  /* see enum recipient_kind, or NULL */
	const char *status;  /* RFC 3463 "4.4.1", or NULL */
	const char *reply; /* last words of the remote or our reason, or NULL */
	const char *remote; /* who said so: "mx.example.net [192.0.2.1]" */
};

struct envelope {
	const char *sender; /* "" = the null sender */
	const char *envid;  /* RFC 3461 4.4, decoded, or NULL */
	uint32_t flags;

	/* Where it came from, for Received, logs, DSN and replay. */
	const char *client_ip;   /* "" for local submission */
	const char *client_name; /* forward-confirmed, or "" */
	const char *helo;
	const char *auth_user; /* "" when not signed in */
	const char *session_id;

	int64_t accepted_ms;   /* wall clock */
	int64_t not_before_ms; /* 0, or not delivered earlier than this */
	uint64_t body_size;    /* bytes in the spool (LF line ends) */
	uint32_t body_lines;   /* wire size = body_size + body_lines */

	/*
	 * The first so many bytes of the body are trace headers for local
	 * mailboxes (Return-Path, Delivered-To); a remote server does not
	 * get them.
	 */
	uint32_t local_prefix;

	/* The runner's part; zero and NULL from a writer. */
	uint32_t attempts;       /* how often the message was tried */
	int64_t next_try_ms;     /* set by spool_defer() */
	const char *hold_reason; /* while it lies in hold/, or NULL */

	struct envelope_recipient *recipients;
	size_t recipient_count;
	size_t recipient_alloc; /* private */
};

/* What a recipient's reply says that was put off by the setting. */
#define ENVELOPE_SUSPENDED "delivery to other servers is suspended"

/* Does a recipient wait that was never tried, or put off by that? */
bool envelope_awaits_resume(const struct envelope *v);

/* Add a recipient; grows the array on the heap (envelope_release frees it). */
struct envelope_recipient *envelope_add(struct envelope *v);

/* Free the recipients array; strings belong to the caller's pool. */
void envelope_release(struct envelope *v);

/* Append the binary form; -1 (ERR_PERM) if it would exceed ENVELOPE_MAX. */
int envelope_encode(
    const struct envelope *v, struct buf *out, struct err *e) MUST_CHECK;

/*
 * Read the binary form; strings are copied into the pool.  ERR_SYNTAX for
 * anything that is not exactly one envelope, with *out zeroed.
 */
int envelope_decode(struct slice data, struct pool *pool, struct envelope *out,
    struct err *e) MUST_CHECK;

#endif /* QUEUE_ENVELOPE_H */
