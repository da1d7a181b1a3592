/*
 * TLS connections by OpenSSL 3.
 *
 * OpenSSL reads and writes through a BIO of our own over sock_recv() and
 * sock_send(): blocking, with the caller's absolute deadline on every single
 * byte of a record, and without SIGPIPE.  A read first waits in a one-byte
 * MSG_PEEK, because inside SSL_read() the record buffer would be allocated
 * for as long as the client says nothing.
 *
 * A context serves all names with one SSL_CTX; certificates other than the
 * default are put into the connection when the client's hello is known.
 *
 * Contexts are shared by all threads; a connection belongs to one.
 */
#include "net/tls.h"

#include <sys/socket.h>

#include <assert.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/sock.h"
#include "net/tls_cert.h"
#include "net/tls_ticket.h"

enum {
	CLOSE_TIMEOUT_MS = 100,
	TICKET_IV_SIZE = 16,
	SERVER_NAME_SIZE = 256,
	SILENT_MAX = 4, /* buffers full of records without data, in a row */
};

static const char tls12_ciphers[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!PSK:!SRP";

struct tls_context {
	atomic_uint refs;
	SSL_CTX *ssl;
	enum tls_verify verify; /* client */
	struct tls_certs certs; /* server */
	struct tls_ticket_keys *keys;
	char *purpose;
};

struct tls {
	SSL *ssl;
	struct tls_context *context;
	int fd;
	bool has_name;  /* of the other side, to be verified */
	bool failed;    /* OpenSSL forbids SSL_shutdown() then */
	int read_flags; /* of tls_read() */
	bool is_empty;  /* it found nothing */
	int64_t deadline_ms;
	int64_t timeout_ms; /* what the kernel has */
	struct err io;      /* what the BIO saw */
};

/* --- the BIO -------------------------------------------------------------- */

static int
bio_read(BIO *bio, char *data, int size)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t n;

	if (size <= 0)
		return 0;
	BIO_clear_retry_flags(bio);
	n = sock_recv(t->fd, data, (size_t)size, t->read_flags, t->deadline_ms,
	    &t->timeout_ms, &t->io);
	if (n > 0)
		return (int)n;
	if (n == 0) {
		(void)err_set(&t->io, ERR_CLOSED, "closed by the other side");
	} else if (t->read_flags & MSG_DONTWAIT && errno == EAGAIN) {
		t->io.kind = ERR_NONE;
		t->is_empty = true;
		BIO_set_retry_read(bio);
	}
	return -1;
}

static int
bio_write(BIO *bio, const char *data, int len)
{
	struct tls *t = BIO_get_data(bio);

	if (len <= 0)
		return 0;
	if (sock_send(t->fd, data, (size_t)len, t->deadline_ms, &t->io) != 0)
		return -1;
	return len;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *p)
{
	(void)bio;
	(void)number;
	(void)p;
	return command == BIO_CTRL_FLUSH;
}

static pthread_once_t bio_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *bio_method;

static void
make_bio_method(void)
{
	bio_method = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "deadline socket");
	assert(bio_method != NULL);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* --- contexts ------------------------------------------------------------- */

static int
context_error(struct tls_context *c, const char *what, struct err *e)
{
	(void)err_set(e, ERR_PERM, "%s: %s", what, tls_reason());
	tls_context_free(c);
	return -1;
}

static struct tls_context *
context_new(const SSL_METHOD *method)
{
	struct tls_context *c = mem_zalloc(sizeof(*c));
	char groups[] = "X25519:P-256:P-384";

	atomic_init(&c->refs, 1);
	(void)pthread_once(&bio_once, make_bio_method);
	ERR_clear_error();
	c->ssl = SSL_CTX_new(method);
	if (c->ssl == NULL ||
	    SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(c->ssl, tls12_ciphers) != 1 ||
	    SSL_CTX_set1_groups_list(c->ssl, groups) != 1) {
		tls_context_free(c);
		return NULL;
	}
	(void)SSL_CTX_set_options(
	    c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(c->ssl,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_NO_AUTO_CHAIN);
	/* or new keys without end would keep us in SSL_read() */
	(void)SSL_CTX_clear_mode(c->ssl, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(c->ssl, 1); /* one system call a record */
	(void)SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	return c;
}

struct tls_context *
tls_context_ref(struct tls_context *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void
tls_context_free(struct tls_context *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	SSL_CTX_free(c->ssl);
	tls_certs_release(&c->certs);
	free(c->purpose);
	free(c);
}

/* --- tickets -------------------------------------------------------------- */

static bool
start_ticket_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	uint8_t secret[TLS_TICKET_KEY_SIZE];
	char digest[] = "SHA256";
	OSSL_PARAM params[3];
	bool done;

	memcpy(secret, key->mac, sizeof(secret));
	params[0] = OSSL_PARAM_construct_octet_string(
	    OSSL_MAC_PARAM_KEY, secret, sizeof(secret));
	params[1] =
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	done = EVP_MAC_CTX_set_params(mac, params) == 1;
	mem_wipe(secret, sizeof(secret));
	return done;
}

static int
seal_ticket(const struct tls_context *c, struct tls_ticket_key *key,
    unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	if (!tls_ticket_key_current(c->keys, c->purpose, key) ||
	    RAND_bytes(iv, TICKET_IV_SIZE) != 1 ||
	    EVP_EncryptInit_ex(
		cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
	    !start_ticket_mac(mac, key))
		return -1;
	memcpy(name, key->name, sizeof(key->name));
	return 1;
}

static int
open_ticket(SSL *ssl, const struct tls_context *c, struct tls_ticket_key *key,
    const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	if (!tls_ticket_key_find(c->keys, c->purpose, name, key))
		return 0; /* a full handshake then */
	if (!start_ticket_mac(mac, key) ||
	    EVP_DecryptInit_ex(
		cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1)
		return -1;
	/* TLS 1.3 clients use a ticket once and want a new one each time */
	return SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	const struct tls_context *c =
	    SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_ticket_key key;
	int rc;

	if (sealing)
		rc = seal_ticket(c, &key, name, iv, cipher, mac);
	else
		rc = open_ticket(ssl, c, &key, name, iv, cipher, mac);
	mem_wipe(&key, sizeof(key));
	return rc;
}

/* --- server side ---------------------------------------------------------- */

static bool
use_group(SSL *ssl, const struct tls_cert_group *g)
{
	SSL_certs_clear(ssl);
	for (size_t i = 0; i < g->count; i++) {
		const struct tls_pair *p = &g->pairs[i];

		if (SSL_use_cert_and_key(ssl, p->cert, p->key, p->chain, 1) !=
		    1)
			return false;
	}
	return true;
}

/* The hello is there: choose the certificates by the name it asks for. */
static int
on_certificate(SSL *ssl, void *arg)
{
	const struct tls_context *c = arg;
	const struct tls_cert_group *g;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	g = name != NULL ? tls_certs_find(&c->certs, name) : NULL;
	return g == NULL || g == &c->certs.groups[0] || use_group(ssl, g);
}

/* OpenSSL refuses weak keys and hashes: find out now, not at a client's. */
static int
check_groups(const struct tls_context *c, struct err *e)
{
	SSL *ssl = SSL_new(c->ssl);
	int rc = 0;

	if (ssl == NULL)
		return err_set(e, ERR_TEMP, "TLS server: %s", tls_reason());
	for (size_t i = 0; i < c->certs.group_count && rc == 0; i++) {
		if (!use_group(ssl, &c->certs.groups[i]))
			rc = err_set(e, ERR_PERM, "%s.crt cannot be used: %s",
			    c->certs.groups[i].name, tls_reason());
	}
	SSL_free(ssl);
	return rc;
}

static int
use_certificates(struct tls_context *c, struct err *e)
{
	const struct tls_cert_group *g = &c->certs.groups[0];

	if (check_groups(c, e) != 0)
		return -1;
	for (size_t i = 0; i < g->count; i++) {
		const struct tls_pair *p = &g->pairs[i];

		if (SSL_CTX_use_cert_and_key(
			c->ssl, p->cert, p->key, p->chain, 1) != 1)
			return err_set(
			    e, ERR_PERM, "default.crt: %s", tls_reason());
	}
	return 0;
}

int
tls_server_context_new(int dir_fd, struct tls_ticket_keys *keys,
    const char *purpose, struct tls_context **out, struct err *e)
{
	struct tls_context *c = context_new(TLS_server_method());
	unsigned char id[SHA256_DIGEST_LENGTH];

	if (c == NULL)
		return context_error(c, "TLS server", e);
	c->keys = keys;
	c->purpose = mem_strdup(purpose);
	if (tls_certs_load(dir_fd, &c->certs, e) != 0 ||
	    use_certificates(c, e) != 0) {
		tls_context_free(c);
		return -1;
	}
	(void)SHA256((const unsigned char *)purpose, strlen(purpose), id);
	(void)SSL_CTX_set_options(
	    c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_app_data(c->ssl, c);
	SSL_CTX_set_cert_cb(c->ssl, on_certificate, c);
	if (SSL_CTX_set_session_id_context(c->ssl, id, sizeof(id)) != 1 ||
	    SSL_CTX_set_num_tickets(c->ssl, 1) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(c->ssl, on_ticket) != 1)
		return context_error(c, "TLS server", e);
	*out = c;
	return 0;
}

/* --- client side ---------------------------------------------------------- */

int
tls_client_context_new(enum tls_verify verify, const char *ca_file,
    struct tls_context **out, struct err *e)
{
	struct tls_context *c = context_new(TLS_client_method());
	int loaded;

	if (c == NULL)
		return context_error(c, "TLS client", e);
	c->verify = verify;
	if (ca_file != NULL)
		loaded = SSL_CTX_load_verify_file(c->ssl, ca_file);
	else
		loaded = SSL_CTX_set_default_verify_paths(c->ssl);
	if (loaded != 1)
		return context_error(c,
		    ca_file != NULL ? ca_file : "certificate authorities", e);
	SSL_CTX_set_verify(c->ssl,
	    verify == TLS_VERIFY_NAME ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
	    NULL);
	*out = c;
	return 0;
}

/* Say whom we want to reach, and whose certificate we expect. */
static bool
set_server_name(struct tls *t, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	char sni[SERVER_NAME_SIZE];
	struct ip ip;

	t->has_name = true;
	if (ip_parse(slice_str(name), &ip))
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return slice_copy(slice_str(name), sni, sizeof(sni)) &&
	    X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
	    SSL_set_tlsext_host_name(t->ssl, sni) == 1;
}

/* --- connections ---------------------------------------------------------- */

static int
tls_new(struct tls_context *c, int fd, int64_t deadline_ms, struct tls **out,
    struct err *e)
{
	struct tls *t = mem_zalloc(sizeof(*t));
	BIO *bio;

	ERR_clear_error();
	t->fd = fd;
	t->deadline_ms = deadline_ms;
	t->context = tls_context_ref(c);
	t->ssl = SSL_new(c->ssl);
	bio = BIO_new(bio_method);
	if (t->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		tls_free(t);
		return err_set(e, ERR_TEMP, "TLS: %s", tls_reason());
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	*out = t;
	return 0;
}

/* What went wrong: on the socket, or in what the other side sent. */
static int
tls_failed(struct tls *t, enum err_kind kind, const char *what, struct err *e)
{
	long verified = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_peek_error();

	t->failed = true;
	if (t->io.kind != ERR_NONE) {
		*e = t->io;
		ERR_clear_error();
		return err_prefix(e, "%s", what);
	}
	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		ERR_clear_error();
		return err_set(e, kind, "%s: certificate: %s", what,
		    X509_verify_cert_error_string(verified));
	}
	return err_set(e, kind, "%s: %s", what, tls_reason());
}

int
tls_handshake(struct tls *t, int flags, struct err *e)
{
	int rc;

	ERR_clear_error();
	t->is_empty = false;
	t->read_flags = flags;
	rc = SSL_do_handshake(t->ssl);
	t->read_flags = 0;
	if (rc == 1)
		return 1;
	return t->is_empty ? 0 : tls_failed(t, ERR_TEMP, "TLS handshake", e);
}

/* All of it at once. */
static int
handshake(struct tls *t, struct tls **out, struct err *e)
{
	if (tls_handshake(t, 0, e) != 1) {
		tls_free(t);
		return -1;
	}
	*out = t;
	return 0;
}

int
tls_accept_later(struct tls_context *c, int fd, int64_t deadline_ms,
    struct tls **out, struct err *e)
{
	if (tls_new(c, fd, deadline_ms, out, e) != 0)
		return -1;
	SSL_set_accept_state((*out)->ssl);
	return 0;
}

int
tls_accept(struct tls_context *c, int fd, int64_t deadline_ms, struct tls **out,
    struct err *e)
{
	struct tls *t;

	return tls_accept_later(c, fd, deadline_ms, &t, e) != 0
	    ? -1
	    : handshake(t, out, e);
}

int
tls_connect(struct tls_context *c, int fd, const char *server_name,
    int64_t deadline_ms, struct tls **out, struct err *e)
{
	struct tls *t;

	if (server_name == NULL && c->verify == TLS_VERIFY_NAME)
		return err_set(e, ERR_PERM, "no name to verify");
	if (tls_new(c, fd, deadline_ms, &t, e) != 0)
		return -1;
	SSL_set_connect_state(t->ssl);
	if (server_name != NULL && !set_server_name(t, server_name)) {
		(void)err_set(
		    e, ERR_PERM, "\"%s\": %s", server_name, tls_reason());
		tls_free(t);
		return -1;
	}
	return handshake(t, out, e);
}

/* Wait for the first byte of a record, with no record buffer allocated. */
static int
wait_for_record(struct tls *t, struct err *e)
{
	char byte;
	ssize_t n = sock_recv(
	    t->fd, &byte, 1, MSG_PEEK, t->deadline_ms, &t->timeout_ms, e);

	if (n > 0)
		return 0;
	t->failed = true;
	if (n == 0)
		(void)err_set(e, ERR_CLOSED, "closed by the other side");
	return -1;
}

/* SSL_read_ex(), and on after records that are no data; an SSL_ERROR_. */
static int
read_data(struct tls *t, void *buf, size_t size, size_t *n)
{
	int code, silent = 0;

	t->is_empty = false;
	do {
		ERR_clear_error();
		code = SSL_get_error(t->ssl, SSL_read_ex(t->ssl, buf, size, n));
	} while (code == SSL_ERROR_WANT_READ && !t->is_empty &&
	    (!(t->read_flags & MSG_DONTWAIT) || ++silent < SILENT_MAX));
	return code;
}

ssize_t
tls_read(struct tls *t, void *buf, size_t size, int flags, int64_t deadline_ms,
    struct err *e)
{
	size_t n = 0;
	int code;

	t->deadline_ms = deadline_ms;
	if (!(flags & MSG_DONTWAIT) && !SSL_has_pending(t->ssl) &&
	    wait_for_record(t, e) != 0)
		return -1;
	t->read_flags = flags;
	code = read_data(t, buf, size, &n);
	t->read_flags = 0;
	if (code == SSL_ERROR_NONE)
		return (ssize_t)n;
	if (code == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (code == SSL_ERROR_WANT_READ && t->is_empty) {
		errno = EAGAIN;
		return -1;
	}
	errno = EPROTO; /* whatever it was: not EAGAIN */
	return tls_failed(t, ERR_CLOSED, "TLS", e);
}

int
tls_write(struct tls *t, const void *data, size_t len, int64_t deadline_ms,
    struct err *e)
{
	const char *p = data;

	t->deadline_ms = deadline_ms;
	while (len > 0) {
		size_t n = 0;

		ERR_clear_error();
		if (SSL_write_ex(t->ssl, p, len, &n) != 1)
			return tls_failed(t, ERR_CLOSED, "TLS", e);
		p += n;
		len -= n;
	}
	return 0;
}

size_t
tls_pending(const struct tls *t)
{
	int n = SSL_pending(t->ssl);

	if (n > 0)
		return (size_t)n;
	return SSL_has_pending(t->ssl) ? 1 : 0;
}

void
tls_close(struct tls *t)
{
	if (t->failed)
		return;
	t->deadline_ms = clock_mono_ms() + CLOSE_TIMEOUT_MS;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	tls_context_free(t->context);
	free(t);
}

const char *
tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *
tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

bool
tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

int64_t
tls_peer_not_after(const struct tls *t)
{
	const X509 *cert = SSL_get0_peer_certificate(t->ssl);
	struct tm tm;

	if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}
