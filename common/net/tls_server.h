#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "net/tls.h"

/*
 * The contexts of a worker's listeners, made anew when tls/ changes;
 * connections keep what they began with.  Certificates that cannot be read
 * are logged once: the old ones stay, and without any there is no TLS.
 */
enum {
	TLS_SERVER_KINDS = 4
};

struct tls_server {
	const char *dir; /* it and what follows live as long as the process */
	struct tls_ticket_keys *keys;
	const char *purposes[TLS_SERVER_KINDS]; /* a context each; NULL: none */
	int64_t stamp;
	pthread_mutex_t lock;
	struct tls_context *contexts[TLS_SERVER_KINDS]; /* under the lock */
};

/*
 * The caller has set `dir`, `keys` and `purposes`.  -1: no certificate can be
 * read; the caller may go on without TLS until one can.
 */
int tls_server_start(struct tls_server *s, struct err *e) MUST_CHECK;

/* On the worker's tick: load again what has changed. */
void tls_server_tick(struct tls_server *s);

/* A reference for tls_context_free(); NULL: no certificate.  Any thread. */
struct tls_context *tls_server_get(struct tls_server *s, size_t kind);

#endif /* NET_TLS_SERVER_H */
