#ifndef NET_TLS_H
#define NET_TLS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * TLS by OpenSSL 3; tls.c is the only file that knows its connection API.
 * At least TLS 1.2 with AEAD ciphers, no renegotiation, no compression.
 *
 * A server context holds the certificates of tls/: NAME.crt and NAME.key,
 * and of another key type NAME.rsa.crt and NAME.rsa.key or NAME.ecdsa.crt and
 * NAME.ecdsa.key beside them.  They serve clients that ask (SNI) for NAME or
 * for one of the certificate's own names, "*.NAME" included; the files' names
 * go first.  "default" serves all others and must be there.  Contexts are
 * reference-counted and never changed: a reload makes a new one, connections
 * keep the old.
 */
struct tls_context;
struct tls;

/*
 * Keys for session tickets, in memory shared by all workers of one service
 * (made in the supervisor before fork).  `purpose` separates services and
 * ports: a ticket of submission does not open port 25 (threats.md D07).
 */
struct tls_ticket_keys;
struct tls_ticket_keys *tls_ticket_keys_new(void);
void tls_ticket_keys_rotate(struct tls_ticket_keys *k); /* hourly, supervisor */

/*
 * Load every certificate of `dir_fd`.  ERR_PERM names the file that is
 * missing, unreadable, or whose key does not fit.
 */
int tls_server_context_new(int dir_fd, struct tls_ticket_keys *keys,
    const char *purpose, struct tls_context **out, struct err *e) MUST_CHECK;

enum tls_verify {
	TLS_VERIFY_NONE, /* opportunistic: goes on whatever comes out */
	TLS_VERIFY_NAME, /* chain and host name must fit */
};

/* For outgoing connections; `ca_file` NULL = the system's. */
int tls_client_context_new(enum tls_verify verify, const char *ca_file,
    struct tls_context **out, struct err *e) MUST_CHECK;

struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_free(struct tls_context *c); /* drops one reference */

/*
 * What stream.c uses; blocking with a deadline on `fd`.  A handshake that the
 * other side spoils is ERR_TEMP, a record it spoils ERR_CLOSED.
 */
int tls_accept(struct tls_context *c, int fd, int64_t deadline_ms,
    struct tls **out, struct err *e) MUST_CHECK;
/* Nothing of the handshake yet: that is tls_handshake()'s. */
int tls_accept_later(struct tls_context *c, int fd, int64_t deadline_ms,
    struct tls **out, struct err *e) MUST_CHECK;
/* Go on with it: 1 done, 0 (MSG_DONTWAIT only) more has to arrive, -1. */
int tls_handshake(struct tls *t, int flags, struct err *e) MUST_CHECK;
int tls_connect(struct tls_context *c, int fd, const char *server_name,
    int64_t deadline_ms, struct tls **out, struct err *e) MUST_CHECK;
/* 0 = close_notify; MSG_DONTWAIT as recv() has it. */
ssize_t tls_read(struct tls *t, void *buf, size_t size, int flags,
    int64_t deadline_ms, struct err *e) MUST_CHECK;
int tls_write(struct tls *t, const void *data, size_t len, int64_t deadline_ms,
    struct err *e) MUST_CHECK;
size_t tls_pending(const struct tls *t);
void tls_close(struct tls *t); /* close_notify, best effort */
void tls_free(struct tls *t);

/* For the log and Received: "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
bool tls_resumed(const struct tls *t);
/* Wall clock; 0 = there is none. */
int64_t tls_peer_not_after(const struct tls *t);

/*
 * Make a self-signed P-256 certificate for `host` (also mail.`host`) in the
 * directory: NAME.crt and NAME.key, both 0640.
 */
int tls_make_self_signed(
    int dir_fd, const char *name, const char *host, struct err *e) MUST_CHECK;

/*
 * What there is in tls/, one for each NAME.crt, by name; `out` is to be freed.
 * Keys are not looked at.
 */
struct tls_info {
	char name[256];   /* of the file */
	char names[1024]; /* DNS names, separated by spaces; cut if longer */
	char issuer[128]; /* organisation, else common name; or "" */
	int64_t not_before_ms, not_after_ms; /* wall clock */
	bool self_signed;
	char error[160]; /* why it cannot be read; or "" */
};

int tls_list(int dir_fd, struct tls_info **out, size_t *count_out,
    struct err *e) MUST_CHECK;

/*
 * Check a certificate and key in PEM before they are installed: parse, key
 * fits, not expired.  *not_after_out is wall milliseconds.
 */
int tls_check_pair(struct slice cert_pem, struct slice key_pem,
    int64_t *not_after_out, struct err *e) MUST_CHECK;

#endif /* NET_TLS_H */
