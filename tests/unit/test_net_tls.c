/*
 * TLS: both ends in one process (the server on a thread with a daemon's small
 * stack), resumption across forked workers, certificates by name and key type.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "net/stream.h"
#include "net/tls.h"

#include "tests/lib/tree.h"

enum {
	TIMEOUT_MS = 20000,
	BULK_SIZE = 300000,
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const size_t server_stack =
    (size_t)1024 * 1024; /* the tools need theirs */
#else
static const size_t server_stack = (size_t)128 * 1024;
#endif

static char dir_path[64];
static int dir_fd;
static struct tls_ticket_keys *keys;

/* A self-signed RSA pair for `host`, as file `name`. */
static void
make_rsa(const char *name, const char *host)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *cert = X509_new();
	char path[256];
	FILE *f;

	assert_non_null(key);
	assert_non_null(cert);
	(void)X509_set_version(cert, X509_VERSION_3);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	(void)X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
	    MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0);
	(void)X509_set_issuer_name(cert, X509_get_subject_name(cert));
	(void)X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	(void)snprintf(path, sizeof(path), "%s/%s.crt", dir_path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)PEM_write_X509(f, cert);
	(void)fclose(f);
	(void)snprintf(path, sizeof(path), "%s/%s.key", dir_path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	(void)fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int
setup(void **state)
{
	struct err e;

	(void)state;
	(void)snprintf(dir_path, sizeof(dir_path), "/tmp/test-tls-XXXXXX");
	assert_non_null(mkdtemp(dir_path));
	dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	assert_int_equal(
	    tls_make_self_signed(dir_fd, "default", "host.example", &e), 0);
	assert_int_equal(
	    tls_make_self_signed(dir_fd, "other.example", "other.example", &e),
	    0);
	make_rsa("other.example.rsa", "other.example");
	keys = tls_ticket_keys_new();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)close(dir_fd);
	return tree_remove(dir_path);
}

static struct tls_context *
server_context(const char *purpose)
{
	struct tls_context *c = NULL;
	struct err e = { 0 };

	if (tls_server_context_new(dir_fd, keys, purpose, &c, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

/* --- a server that echoes lines, and bulk after "BULK" -------------------- */

struct server {
	pthread_t thread;
	int fd;
	struct tls_context *context;
	bool started, resumed;
	uint8_t binding[32];
	char version[16];
	struct err e;
};

static void *
serve(void *arg)
{
	struct server *v = arg;
	struct stream s;
	struct slice line;
	static const char block[1000] = { 'x' };

	stream_init(&s, v->fd);
	stream_set_timeout(&s, TIMEOUT_MS);
	if (stream_start_tls_server(&s, v->context, &v->e) == 0) {
		v->started = true;
		v->resumed = tls_resumed(s.tls);
		(void)snprintf(
		    v->version, sizeof(v->version), "%s", tls_version(s.tls));
		while (stream_read_line(&s, 1000, &line, NULL, &v->e) == 0) {
			if (stream_printf(
				&s, &v->e, "%.*s\r\n", SLICE_ARGS(line)) != 0)
				break;
			for (int i = 0;
			     slice_eq_str(line, "BULK") && i < BULK_SIZE / 1000;
			     i++) {
				if (stream_write(
					&s, block, sizeof(block), &v->e) != 0)
					break;
			}
		}
		stream_close(&s);
	}
	stream_release(&s);
	return NULL;
}

/* Start a server; the result is the client's descriptor. */
static int
start_server(struct server *v, struct tls_context *context)
{
	pthread_attr_t attr;
	int fds[2];

	memset(v, 0, sizeof(*v));
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	v->fd = fds[0];
	v->context = context;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, server_stack), 0);
	assert_int_equal(pthread_create(&v->thread, &attr, serve, v), 0);
	(void)pthread_attr_destroy(&attr);
	return fds[1];
}

static struct tls_context *
client_context(enum tls_verify verify, const char *ca_name)
{
	struct tls_context *c = NULL;
	struct err e = { 0 };
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s.crt", dir_path, ca_name);
	if (tls_client_context_new(verify, path, &c, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

static void
expect_echo(struct stream *s, const char *text)
{
	struct slice line;
	struct err e;

	assert_int_equal(stream_printf(s, &e, "%s\r\n", text), 0);
	assert_int_equal(stream_read_line(s, 1000, &line, NULL, &e), 0);
	assert_true(slice_eq_str(line, text));
}

static void
test_both_ways(void **state)
{
	struct tls_context *server = server_context("test");
	struct tls_context *client = client_context(TLS_VERIFY_NAME, "default");
	struct server v;
	struct stream s;
	struct slice data;
	struct err e;
	size_t got = 0;

	(void)state;
	stream_init(&s, start_server(&v, server));
	stream_set_timeout(&s, TIMEOUT_MS);
	assert_int_equal(
	    stream_start_tls_client(&s, client, "mail.host.example", &e), 0);
	assert_string_equal(tls_version(s.tls), "TLSv1.3");
	assert_non_null(strstr(tls_cipher(s.tls), "_"));
	expect_echo(&s, "hello");
	/* a waiting connection owns no buffers */
	assert_int_equal(s.walloc, 0);
	expect_echo(&s, "BULK");
	while (got < BULK_SIZE) {
		assert_int_equal(stream_peek(&s, 1, &data, &e), 0);
		got += data.len;
		stream_consume(&s, data.len);
	}
	assert_int_equal(got, BULK_SIZE);
	expect_echo(&s, "bye");
	stream_close(&s);
	stream_release(&s);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	assert_true(v.started);
	assert_int_equal(v.e.kind, ERR_CLOSED);
	tls_context_free(client);
	tls_context_free(server);
}

static void
expect_refused(const char *ca, const char *name)
{
	struct tls_context *server = server_context("test");
	struct tls_context *client = client_context(TLS_VERIFY_NAME, ca);
	struct server v;
	struct stream s;
	struct err e = { 0 };

	stream_init(&s, start_server(&v, server));
	stream_set_timeout(&s, TIMEOUT_MS);
	assert_int_equal(stream_start_tls_client(&s, client, name, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_non_null(strstr(e.text, "certificate"));
	/* it stays failed */
	assert_int_equal(stream_write(&s, "x", 1, &e), -1);
	stream_release(&s);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	assert_false(v.started);
	tls_context_free(client);
	tls_context_free(server);
}

static void
test_verification(void **state)
{
	struct tls_context *server = server_context("test");
	struct tls_context *client = client_context(TLS_VERIFY_NONE, "default");
	struct server v;
	struct stream s;
	struct err e;

	(void)state;
	expect_refused("default", "wrong.example");
	expect_refused("other.example", "host.example");
	/* opportunistic: goes on */
	stream_init(&s, start_server(&v, server));
	stream_set_timeout(&s, TIMEOUT_MS);
	assert_int_equal(
	    stream_start_tls_client(&s, client, "wrong.example", &e), 0);
	expect_echo(&s, "hello");
	stream_release(&s);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	tls_context_free(client);
	tls_context_free(server);
}

static void
test_handshake_deadline(void **state)
{
	struct tls_context *server = server_context("test");
	struct stream s;
	struct err e;
	int64_t start = clock_mono_ms();
	int fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	if (pid == 0) {
		/* the start of a record, a byte now and then */
		static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01";

		(void)close(fds[0]);
		for (size_t i = 0; i < 100; i++) {
			if (send(fds[1], &hello[i % 8], 1, MSG_NOSIGNAL) != 1)
				_exit(0);
			(void)usleep(50000);
		}
		_exit(0);
	}
	(void)close(fds[1]);
	stream_init(&s, fds[0]);
	stream_set_timeout(&s, 400);
	assert_int_equal(stream_start_tls_server(&s, server, &e), -1);
	assert_int_equal(e.kind, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 390, 1500);
	stream_release(&s);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	tls_context_free(server);
}

/* --- a foreign client, to choose what ours does not ----------------------- */

struct client {
	SSL_CTX *context;
	SSL *ssl;
};

static SSL_SESSION *last_session;

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(last_session);
	last_session = session;
	return 1;
}

static void
client_open(struct client *c, int fd, int version, const char *sni,
    const char *sigalgs, SSL_SESSION *session)
{
	char text[128]; /* OpenSSL's macros cast to what is not const */

	c->context = SSL_CTX_new(TLS_client_method());
	(void)SSL_CTX_set_max_proto_version(c->context, version);
	/* freeing a context spoils the sessions in its own store */
	(void)SSL_CTX_set_session_cache_mode(
	    c->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->context, on_session);
	if (sigalgs != NULL) {
		assert_true(slice_copy(slice_str(sigalgs), text, sizeof(text)));
		assert_int_equal(
		    SSL_CTX_set1_sigalgs_list(c->context, text), 1);
	}
	c->ssl = SSL_new(c->context);
	if (sni != NULL) {
		assert_true(slice_copy(slice_str(sni), text, sizeof(text)));
		(void)SSL_set_tlsext_host_name(c->ssl, text);
	}
	if (session != NULL)
		(void)SSL_set_session(c->ssl, session);
	(void)SSL_set_fd(c->ssl, fd);
}

static void
client_free(struct client *c, int fd)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	(void)close(fd);
}

/* One handshake and an echoed line; was it resumed? */
static bool
resumes(struct tls_context *server, int version)
{
	struct server v;
	struct client c;
	char answer[16];
	int fd = start_server(&v, server);
	bool resumed;

	client_open(&c, fd, version, NULL, NULL, last_session);
	assert_int_equal(SSL_connect(c.ssl), 1);
	assert_int_equal(SSL_write(c.ssl, "hi\r\n", 4), 4);
	assert_int_equal(SSL_read(c.ssl, answer, sizeof(answer)), 4);
	resumed = SSL_session_reused(c.ssl) == 1;
	(void)SSL_shutdown(c.ssl);
	client_free(&c, fd);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	assert_true(v.started);
	assert_int_equal(v.resumed, resumed);
	return resumed;
}

static void
forget_session(void)
{
	SSL_SESSION_free(last_session);
	last_session = NULL;
}

static void
check_tickets(int version)
{
	struct tls_context *submission = server_context("submission");
	struct tls_context *mx = server_context("mx");

	forget_session();
	assert_false(resumes(submission, version));
	/* each one gives the next */
	for (int i = 0; i < 5; i++)
		assert_true(resumes(submission, version));
	/* one rotation later still; then renewed under the new key */
	tls_ticket_keys_rotate(keys);
	assert_true(resumes(submission, version));
	/* another port, another purpose */
	assert_false(resumes(mx, version));
	forget_session();
	assert_false(resumes(submission, version));
	tls_ticket_keys_rotate(keys);
	tls_ticket_keys_rotate(keys);
	assert_false(resumes(submission, version));
	tls_context_free(submission);
	tls_context_free(mx);
	forget_session();
}

static void
test_tickets(void **state)
{
	(void)state;
	check_tickets(TLS1_3_VERSION);
	check_tickets(TLS1_2_VERSION);
}

/* A worker process that serves one connection. */
static pid_t
fork_worker(int fds[2], const char *purpose)
{
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	if (pid == 0) {
		struct server v = { .fd = fds[0] };

		(void)close(fds[1]);
		v.context = server_context(purpose);
		(void)serve(&v);
		_exit(v.resumed ? 7 : 0);
	}
	(void)close(fds[0]);
	return pid;
}

static void
test_tickets_across_workers(void **state)
{
	(void)state;
	forget_session();
	for (int i = 0; i < 4; i++) {
		struct client c;
		char answer[16];
		int fds[2], status;
		pid_t pid = fork_worker(fds, "submission");

		client_open(
		    &c, fds[1], TLS1_3_VERSION, NULL, NULL, last_session);
		assert_int_equal(SSL_connect(c.ssl), 1);
		assert_int_equal(SSL_write(c.ssl, "hi\r\n", 4), 4);
		assert_int_equal(SSL_read(c.ssl, answer, sizeof(answer)), 4);
		(void)SSL_shutdown(c.ssl);
		client_free(&c, fds[1]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), i == 0 ? 0 : 7);
	}
	forget_session();
}

/* The common name and key type a client gets. */
static void
expect_cert(struct tls_context *server, int version, const char *sni,
    const char *sigalgs, const char *want_name, int want_type)
{
	struct server v;
	struct client c;
	char name[128] = "";
	int fd = start_server(&v, server);
	X509 *cert;

	client_open(&c, fd, version, sni, sigalgs, NULL);
	assert_int_equal(SSL_connect(c.ssl), 1);
	cert = SSL_get0_peer_certificate(c.ssl);
	assert_non_null(cert);
	(void)X509_NAME_get_text_by_NID(
	    X509_get_subject_name(cert), NID_commonName, name, sizeof(name));
	assert_string_equal(name, want_name);
	assert_int_equal(
	    EVP_PKEY_get_base_id(X509_get0_pubkey(cert)), want_type);
	(void)SSL_shutdown(c.ssl);
	client_free(&c, fd);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	forget_session();
}

static void
test_names_and_key_types(void **state)
{
	static const char ecdsa[] = "ECDSA+SHA256";
	static const char rsa[] = "RSA-PSS+SHA256:RSA+SHA256";
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_context *c = server_context("test");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int v = versions[i];

		expect_cert(c, v, NULL, NULL, "host.example", EVP_PKEY_EC);
		expect_cert(
		    c, v, "host.example", NULL, "host.example", EVP_PKEY_EC);
		expect_cert(
		    c, v, "unknown.example", NULL, "host.example", EVP_PKEY_EC);
		expect_cert(
		    c, v, "Other.Example", NULL, "other.example", EVP_PKEY_EC);
		expect_cert(c, v, "mail.other.example", NULL, "other.example",
		    EVP_PKEY_EC);
		expect_cert(
		    c, v, "other.example", ecdsa, "other.example", EVP_PKEY_EC);
		expect_cert(
		    c, v, "other.example", rsa, "other.example", EVP_PKEY_RSA);
	}
	tls_context_free(c);
}

static void
test_old_versions(void **state)
{
	struct tls_context *server = server_context("test");
	struct server v;
	struct client c;
	int fd = start_server(&v, server);

	(void)state;
	client_open(&c, fd, TLS1_1_VERSION, NULL, NULL, NULL);
	(void)SSL_set_min_proto_version(c.ssl, TLS1_VERSION);
	SSL_set_security_level(c.ssl, 0);
	assert_int_not_equal(SSL_connect(c.ssl), 1);
	client_free(&c, fd);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	assert_false(v.started);

	/* TLS 1.2 without AEAD */
	fd = start_server(&v, server);
	client_open(&c, fd, TLS1_2_VERSION, NULL, NULL, NULL);
	assert_int_equal(
	    SSL_set_cipher_list(c.ssl, "ECDHE-ECDSA-AES128-SHA"), 1);
	assert_int_not_equal(SSL_connect(c.ssl), 1);
	client_free(&c, fd);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	assert_false(v.started);

	/* renegotiation in TLS 1.2 */
	fd = start_server(&v, server);
	client_open(&c, fd, TLS1_2_VERSION, NULL, NULL, NULL);
	assert_int_equal(SSL_connect(c.ssl), 1);
	if (SSL_renegotiate(c.ssl) == 1)
		assert_int_not_equal(SSL_do_handshake(c.ssl), 1);
	client_free(&c, fd);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	forget_session();
	tls_context_free(server);
}

static void
put(const char *name, const char *text)
{
	struct err e;

	assert_int_equal(
	    file_replace(dir_fd, name, 0600, text, strlen(text), &e), 0);
}

static void
expect_no_context(const char *named)
{
	struct tls_context *c = NULL;
	struct err e = { 0 };

	assert_int_equal(
	    tls_server_context_new(dir_fd, keys, "test", &c, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	if (strstr(e.text, named) == NULL)
		fail_msg("\"%s\" does not name %s", e.text, named);
	assert_null(c);
}

static void
test_bad_directories(void **state)
{
	struct err e;

	(void)state;
	put("bad.example.crt", "not a certificate\n");
	expect_no_context("bad.example.key");
	put("bad.example.key", "not a key\n");
	expect_no_context("bad.example.crt");
	assert_int_equal(
	    tls_make_self_signed(dir_fd, "bad.example", "bad.example", &e), 0);
	tls_context_free(server_context("test"));
	/* a key of another certificate */
	assert_int_equal(renameat(dir_fd, "bad.example.key", dir_fd, "k"), 0);
	assert_int_equal(
	    tls_make_self_signed(dir_fd, "bad.example", "bad.example", &e), 0);
	assert_int_equal(renameat(dir_fd, "k", dir_fd, "bad.example.key"), 0);
	expect_no_context("does not fit");
	assert_int_equal(unlinkat(dir_fd, "bad.example.key", 0), 0);
	assert_int_equal(unlinkat(dir_fd, "bad.example.crt", 0), 0);
	assert_int_equal(
	    renameat(dir_fd, "default.crt", dir_fd, "default.away"), 0);
	expect_no_context("default.crt");
	assert_int_equal(
	    renameat(dir_fd, "default.away", dir_fd, "default.crt"), 0);
}

static void
test_check_pair(void **state)
{
	struct buf cert, key, other;
	struct stat st;
	int64_t not_after = 0;
	struct err e;

	(void)state;
	buf_init(&cert, 65536);
	buf_init(&key, 65536);
	buf_init(&other, 65536);
	assert_int_equal(file_read(dir_fd, "default.crt", &cert, &e), 0);
	assert_int_equal(file_read(dir_fd, "default.key", &key, &e), 0);
	assert_int_equal(file_read(dir_fd, "other.example.key", &other, &e), 0);
	assert_int_equal(fstatat(dir_fd, "default.key", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(
	    tls_check_pair(buf_slice(&cert), buf_slice(&key), &not_after, &e),
	    0);
	assert_true(not_after > clock_wall_ms() + 86400000LL * 3000);
	assert_int_equal(
	    tls_check_pair(buf_slice(&cert), buf_slice(&other), &not_after, &e),
	    -1);
	assert_int_equal(
	    tls_check_pair(buf_slice(&key), buf_slice(&cert), &not_after, &e),
	    -1);
	assert_int_equal(
	    tls_check_pair(slice_of("", 0), slice_of("", 0), &not_after, &e),
	    -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(
	    tls_make_self_signed(dir_fd, "x", "a,DNS:evil.example", &e), -1);
	buf_release(&cert);
	buf_release(&key);
	buf_release(&other);
}

/* Send what the client has to say byte by byte; 1: the server is done. */
static int
trickle(BIO *out, int fd, struct stream *server)
{
	char byte;
	struct err e;
	int rc = 0;

	while (rc == 0 && BIO_read(out, &byte, 1) == 1) {
		assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
		rc = stream_shake_hands(server, &e);
	}
	return rc;
}

/* One thread for both sides: whoever waits, waits for ever. */
static void
shake_by_turns(struct tls_context *context, int version)
{
	struct client c;
	struct stream s;
	struct slice line;
	struct err e;
	char more[8192];
	int fds[2], rc = 0;
	BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	stream_init(&s, fds[0]);
	stream_set_timeout(&s, TIMEOUT_MS);
	client_open(&c, fds[1], version, NULL, NULL, NULL);
	SSL_set_bio(c.ssl, in, out);
	assert_int_equal(stream_prepare_tls_server(&s, context, &e), 0);
	assert_int_equal(stream_shake_hands(&s, &e), 0);
	while (rc == 0) {
		ssize_t n;

		(void)SSL_connect(c.ssl);
		rc = trickle(out, fds[1], &s);
		while ((n = recv(fds[1], more, sizeof(more), MSG_DONTWAIT)) > 0)
			assert_int_equal(BIO_write(in, more, (int)n), n);
	}
	assert_int_equal(rc, 1);
	assert_int_equal(SSL_connect(c.ssl), 1);
	assert_false(stream_line_arrived(&s, 100));
	assert_int_equal(SSL_write(c.ssl, "hi\r\n", 4), 4);
	while ((rc = BIO_read(out, more, sizeof(more))) > 0)
		assert_int_equal(send(fds[1], more, (size_t)rc, 0), rc);
	stream_gather(&s, 100);
	assert_true(stream_line_arrived(&s, 100));
	assert_int_equal(stream_read_line(&s, 100, &line, NULL, &e), 0);
	stream_release(&s);
	client_free(&c, fds[1]);
}

static void
test_by_turns(void **state)
{
	struct tls_context *context = server_context("x");
	struct stream s;
	struct err e;
	int fds[2];

	(void)state;
	shake_by_turns(context, TLS1_3_VERSION);
	shake_by_turns(context, TLS1_2_VERSION);
	forget_session();
	/* what is no handshake ends it, and so does its time */
	for (int late = 0; late < 2; late++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		stream_init(&s, fds[0]);
		stream_set_timeout(&s, late ? 1 : TIMEOUT_MS);
		assert_int_equal(stream_prepare_tls_server(&s, context, &e), 0);
		assert_int_equal(send(fds[1], "EHLO you\r\n", 10, 0), 10);
		(void)usleep(2000);
		assert_int_equal(stream_shake_hands(&s, &e), -1);
		assert_int_equal(e.kind, late ? ERR_TIMEOUT : ERR_TEMP);
		assert_int_equal(stream_write(&s, "x", 1, &e), -1);
		stream_release(&s);
		(void)close(fds[1]);
	}
	tls_context_free(context);
}

/* Gathers a line as who serves many by turns does. */
static void *
gather(void *arg)
{
	struct server *v = arg;
	struct stream s;
	struct slice line;

	stream_init(&s, v->fd);
	stream_set_timeout(&s, TIMEOUT_MS);
	assert_int_equal(stream_start_tls_server(&s, v->context, &v->e), 0);
	while (!stream_line_arrived(&s, 100)) {
		assert_true(stream_input_arrives(&s, TIMEOUT_MS));
		stream_gather(&s, 100);
	}
	v->started = stream_read_line(&s, 100, &line, NULL, &v->e) == 0;
	stream_release(&s);
	return NULL;
}

/* Is a line read that comes behind so many new keys, all in one piece? */
static bool
is_read_behind(struct tls_context *context, int keys_changed)
{
	struct server v = { .context = context };
	struct client c;
	BIO *out = BIO_new(BIO_s_mem());
	char *data;
	long len;
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	v.fd = fds[0];
	assert_int_equal(pthread_create(&v.thread, NULL, gather, &v), 0);
	client_open(&c, fds[1], TLS1_3_VERSION, NULL, NULL, NULL);
	assert_int_equal(SSL_connect(c.ssl), 1);
	SSL_set0_wbio(c.ssl, out);
	for (int i = 0; i < keys_changed; i++) {
		assert_int_equal(
		    SSL_key_update(c.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(c.ssl), 1);
	}
	assert_int_equal(SSL_write(c.ssl, "hi\r\n", 4), 4);
	len = BIO_get_mem_data(out, &data);
	(void)send(fds[1], data, (size_t)len, MSG_NOSIGNAL);
	assert_int_equal(pthread_join(v.thread, NULL), 0);
	client_free(&c, fds[1]);
	return v.started;
}

static void
test_records_without_data(void **state)
{
	struct tls_context *context = server_context("x");

	(void)state;
	assert_true(is_read_behind(context, 0));
	assert_true(is_read_behind(context, 3));
	/* who sends nothing else would keep a thread for as long */
	assert_false(is_read_behind(context, 6000));
	tls_context_free(context);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_verification),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_tickets_across_workers),
		cmocka_unit_test(test_names_and_key_types),
		cmocka_unit_test(test_old_versions),
		cmocka_unit_test(test_bad_directories),
		cmocka_unit_test(test_check_pair),
		cmocka_unit_test(test_by_turns),
		cmocka_unit_test(test_records_without_data),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
