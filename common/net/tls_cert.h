#ifndef NET_TLS_CERT_H
#define NET_TLS_CERT_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * Certificates with their keys, and which of them serves which name.  Part of
 * net/tls: only its files include this one.
 */
struct tls_pair {
	X509 *cert;
	EVP_PKEY *key;
	STACK_OF(X509) * chain; /* what follows in the file; may be empty */
};

struct tls_cert_group; /* the pairs of one name, of different key types */

/* Everything in tls/, ready to be searched; zeroed = empty. */
struct tls_certs {
	struct tls_cert_group *groups; /* "default" is groups[0] */
	size_t group_count, group_alloc;
	struct tls_cert_name *names; /* sorted */
	size_t name_count, name_alloc;
};

enum {
	TLS_PAIRS_MAX = 3 /* NAME, NAME.rsa, NAME.ecdsa */
};

struct tls_cert_group {
	char *name; /* of the files */
	struct tls_pair pairs[TLS_PAIRS_MAX];
	size_t count;
};

/* Read a directory; ERR_PERM names the file that is wrong. */
int tls_certs_load(int dir_fd, struct tls_certs *out, struct err *e) MUST_CHECK;
void tls_certs_release(struct tls_certs *c);

/* Whoever serves this server name; NULL = the default. */
const struct tls_cert_group *tls_certs_find(
    const struct tls_certs *c, const char *server_name) MUST_CHECK;

/* Milliseconds of the wall clock; 0 = not a time. */
int64_t tls_wall_ms(const ASN1_TIME *t);

/* "why", from OpenSSL's error queue, which it empties. */
const char *tls_reason(void);

#endif /* NET_TLS_CERT_H */
