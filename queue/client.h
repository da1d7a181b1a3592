#ifndef QUEUE_CLIENT_H
#define QUEUE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/ip.h"
#include "base/slice.h"
#include "net/stream.h"

#include "queue/outcome.h"
#include "queue/reply.h"

/*
 * The SMTP client: RFC 5321 with PIPELINING (2920), SIZE (1870), 8BITMIME
 * (6152), SMTPUTF8 (6531), STARTTLS (3207), AUTH PLAIN and LOGIN (4954), DSN
 * (3461).
 *
 * Life: client_open, client_send any number of times, client_close.  One
 * thread at a time; every wait ends at the deadline of its step, a whole
 * transfer at the transfer's.  What goes out as message text has CRLF line
 * ends and no other CR or LF, whatever the body contains.
 */
enum client_tls {           /* in the order of enum smarthost_tls */
	CLIENT_TLS_NONE,    /* never */
	CLIENT_TLS_MAY,     /* if offered; without it when it fails */
	CLIENT_TLS_ENCRYPT, /* always, whoever the server is */
	CLIENT_TLS_VERIFY,  /* always, with a certificate for its name */
	CLIENT_TLS_WRAPPED, /* as VERIFY, from the first byte (port 465) */
};

struct sock_cut;

struct client_config {
	struct tls_context *tls_any, *tls_verified;
	int64_t step_cap_ms; /* no step waits longer; 0 = as the RFC says */
	int64_t connect_ms;
	int64_t transfer_ms;  /* one whole transfer */
	struct sock_cut *cut; /* watches the connection; or NULL */
	bool eight_bit_as_is; /* to a peer without 8BITMIME; else 5.6.3 */
};

/* Whom to speak to and as whom. */
struct client_host {
	const char *name; /* for TLS and logs */
	struct ip ip;
	uint16_t port;
	const struct ip *source; /* or NULL */
	const char *helo;
	enum client_tls tls;
	const char *user, *password; /* "" or NULL: no AUTH */
};

struct client {
	struct stream stream;
	struct client_config config;
	struct reply reply;
	char peer[320]; /* "name[ip]:port" */
	unsigned caps;  /* private: what EHLO offered */
	uint64_t size_limit;
	bool usable;   /* another client_send() may be tried */
	unsigned sent; /* transactions so far */
	int64_t transfer_deadline_ms;
};

/* The message text: memory, or a file (data NULL). */
struct client_message {
	const char *sender; /* "" = null */
	const char *envid;  /* decoded, or NULL */
	uint32_t flags;     /* enum envelope_flags */
	const char *extra;  /* header lines with LF to put first, or "" */
	const char *data;
	int fd;
	uint64_t offset, len; /* of the text in data or fd */
	uint64_t wire_size;   /* for SIZE= */
};

struct client_recipient {
	const char *address;
	const char *original; /* ORCPT "type;address", or NULL */
	uint32_t notify;
	struct outcome outcome; /* out */
	bool accepted;          /* private: RCPT was answered 2xx */
};

enum {
	CLIENT_RECIPIENTS_MAX = 100
}; /* of one client_send() */

/*
 * Connect and greet, with TLS and AUTH as `h` says.  -1: *o says why, with
 * host_failed when another host may do better; nothing is left open.
 */
int client_open(struct client *c, const struct client_config *config,
    const struct client_host *h, struct outcome *o) MUST_CHECK;

/*
 * One transaction.  Every recipient gets an outcome.  `dot` is called just
 * before the final dot goes out (marks), and may be NULL.  Afterwards
 * c->usable says whether the connection may be used again.
 */
void client_send(struct client *c, const struct client_message *m,
    struct client_recipient *rcpts, size_t count, void (*dot)(void *arg),
    void *arg);

/* QUIT if the connection is in order, then close.  A zeroed client is fine. */
void client_close(struct client *c);

#endif /* QUEUE_CLIENT_H */
