/*
 * Certificates: PEM in, pairs and a table of names out; and the self-signed
 * one a fresh server starts with.
 *
 * Nothing here touches a connection.  A set of certificates is built by one
 * thread and never changed afterwards, so all threads may search it.
 */
#include "net/tls_cert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/tls.h"

enum {
	PEM_MAX = 256 * 1024,
	NAME_SIZE = 256,
	SELF_SIGNED_DAYS = 3650,
	DAY_S = 86400,
	COMMON_NAME_MAX = 64, /* RFC 5280, ub-common-name */
};

struct tls_cert_name {
	char name[NAME_SIZE]; /* lower case */
	size_t group;
	unsigned rank; /* 0: a file's name, 1: a certificate's */
};

const char *
tls_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

/* --- one pair ------------------------------------------------------------- */

/* Never ask a terminal: an encrypted key is simply unreadable. */
static int
no_password(char *out, int size, int writing, void *data)
{
	if (size > 0)
		out[0] = '\0';
	(void)writing;
	(void)data;
	return -1;
}

static int
parse_certs(BIO *bio, struct tls_pair *p, struct err *e)
{
	X509 *next;

	p->cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	if (p->cert == NULL)
		return err_set(e, ERR_PERM, "no certificate: %s", tls_reason());
	p->chain = sk_X509_new_null();
	if (p->chain == NULL)
		return err_set(e, ERR_TEMP, "%s", tls_reason());
	while (
	    (next = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
		if (sk_X509_push(p->chain, next) == 0) {
			X509_free(next);
			return err_set(e, ERR_TEMP, "%s", tls_reason());
		}
	}
	ERR_clear_error(); /* of the end of the file */
	return 0;
}

static int
parse_key(BIO *bio, struct tls_pair *p, struct err *e)
{
	p->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	if (p->key == NULL)
		return err_set(e, ERR_PERM, "no private key: %s", tls_reason());
	if (X509_check_private_key(p->cert, p->key) != 1) {
		ERR_clear_error();
		return err_set(
		    e, ERR_PERM, "the key does not fit the certificate");
	}
	return 0;
}

static BIO *
bio_of(struct slice s)
{
	return BIO_new_mem_buf(s.data, s.len > INT_MAX ? INT_MAX : (int)s.len);
}

static void
tls_pair_release(struct tls_pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
	sk_X509_pop_free(p->chain, X509_free);
	memset(p, 0, sizeof(*p));
}

static int
tls_pair_parse(struct slice cert_pem, struct slice key_pem,
    struct tls_pair *out, struct err *e)
{
	struct tls_pair p = { 0 };
	BIO *cert = bio_of(cert_pem), *key = bio_of(key_pem);
	int rc = -1;

	ERR_clear_error();
	if (cert == NULL || key == NULL) {
		(void)err_set(e, ERR_PERM, "an empty file");
		ERR_clear_error();
	} else if (parse_certs(cert, &p, e) == 0 &&
	    parse_key(key, &p, e) == 0) {
		rc = 0;
	}
	BIO_free(cert);
	BIO_free(key);
	if (rc == 0)
		*out = p;
	else
		tls_pair_release(&p);
	return rc;
}

int64_t
tls_wall_ms(const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

int
tls_check_pair(struct slice cert_pem, struct slice key_pem,
    int64_t *not_after_out, struct err *e)
{
	struct tls_pair p;
	int64_t not_after;

	if (tls_pair_parse(cert_pem, key_pem, &p, e) != 0)
		return -1;
	not_after = tls_wall_ms(X509_get0_notAfter(p.cert));
	tls_pair_release(&p);
	if (not_after <= clock_wall_ms())
		return err_set(e, ERR_PERM, "the certificate has expired");
	*not_after_out = not_after;
	return 0;
}

/* --- the directory -------------------------------------------------------- */

static int
load_file(int dir_fd, const char *name, struct buf *out, struct err *e)
{
	buf_init(out, PEM_MAX);
	if (file_read(dir_fd, name, out, e) == 0)
		return 0;
	e->kind = ERR_PERM;
	return -1;
}

/* Read STEM.crt and STEM.key. */
static int
load_pair(int dir_fd, const char *stem, struct tls_pair *out, struct err *e)
{
	char name[NAME_SIZE + 8];
	struct buf cert = { 0 }, key = { 0 };
	int rc = -1;

	(void)snprintf(name, sizeof(name), "%s.crt", stem);
	if (load_file(dir_fd, name, &cert, e) != 0)
		goto out_cert;
	(void)snprintf(name, sizeof(name), "%s.key", stem);
	if (load_file(dir_fd, name, &key, e) != 0)
		goto out_key;
	rc = tls_pair_parse(buf_slice(&cert), buf_slice(&key), out, e);
	if (rc != 0)
		(void)err_prefix(e, "%s.crt, %s", stem, name);
out_key:
	if (key.alloc > 0)
		mem_wipe(key.data, key.len);
	buf_release(&key);
out_cert:
	buf_release(&cert);
	return rc;
}

static void
add_name(struct tls_certs *c, struct slice name, size_t group, unsigned rank)
{
	struct tls_cert_name n = { .group = group, .rank = rank };

	/* a name with a NUL or of no length is none */
	if (name.len == 0 || !slice_copy(name, n.name, sizeof(n.name)))
		return;
	ascii_lower_str(n.name);
	c->names = mem_grow(
	    c->names, &c->name_alloc, c->name_count + 1, sizeof(*c->names));
	c->names[c->name_count++] = n;
}

static void
add_names_of_cert(struct tls_certs *c, X509 *cert, size_t group)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		const unsigned char *text;
		int len;

		if (n->type != GEN_DNS)
			continue;
		text = ASN1_STRING_get0_data(n->d.dNSName);
		len = ASN1_STRING_length(n->d.dNSName);
		add_name(
		    c, slice_of((const char *)text, (size_t)len), group, 1);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

/* All pairs of one name: STEM, STEM.rsa, STEM.ecdsa, those that exist. */
static int
load_group(int dir_fd, const char *stem, struct tls_certs *c, struct err *e)
{
	static const char *const types[TLS_PAIRS_MAX] = { "", ".rsa",
		".ecdsa" };
	struct tls_cert_group *g;
	size_t index = c->group_count;

	c->groups =
	    mem_grow(c->groups, &c->group_alloc, index + 1, sizeof(*c->groups));
	g = &c->groups[index];
	memset(g, 0, sizeof(*g));
	g->name = mem_strdup(stem);
	c->group_count++;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		char name[NAME_SIZE], file[NAME_SIZE + 8];

		(void)snprintf(name, sizeof(name), "%.240s%s", stem, types[i]);
		(void)snprintf(file, sizeof(file), "%s.crt", name);
		if (faccessat(dir_fd, file, F_OK, 0) != 0 && errno == ENOENT)
			continue;
		if (load_pair(dir_fd, name, &g->pairs[g->count], e) != 0)
			return -1;
		add_names_of_cert(c, g->pairs[g->count].cert, index);
		g->count++;
	}
	add_name(c, slice_str(stem), index, 0);
	return 0;
}

static int
compare_names(const void *a, const void *b)
{
	const struct tls_cert_name *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order == 0)
		order = (x->rank > y->rank) - (x->rank < y->rank);
	if (order == 0)
		order = (x->group > y->group) - (x->group < y->group);
	return order;
}

/* Sort, and keep the first of equal names. */
static void
sort_names(struct tls_certs *c)
{
	size_t kept = 0;

	if (c->name_count == 0)
		return;
	qsort(c->names, c->name_count, sizeof(*c->names), compare_names);
	for (size_t i = 1; i < c->name_count; i++) {
		if (strcmp(c->names[kept].name, c->names[i].name) != 0)
			c->names[++kept] = c->names[i];
	}
	c->name_count = kept + 1;
}

/* "a.example" of "a.example.crt", "a.example.rsa.crt"; false: another file. */
static bool
stem_of(const char *file, char out[NAME_SIZE])
{
	struct slice s = slice_str(file);

	if (file[0] == '.' || !slice_ends(s, ".crt"))
		return false;
	s.len -= 4;
	if (slice_ends(s, ".rsa"))
		s.len -= 4;
	else if (slice_ends(s, ".ecdsa"))
		s.len -= 6;
	return s.len > 0 && s.len <= 240 && slice_copy(s, out, NAME_SIZE);
}

static int
name_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int
load_stems(int dir_fd, char (*stems)[NAME_SIZE], size_t count,
    struct tls_certs *c, struct err *e)
{
	if (load_group(dir_fd, "default", c, e) != 0)
		return -1;
	if (c->groups[0].count == 0)
		return err_set(e, ERR_PERM, "default.crt: not there");
	if (count > 0)
		qsort(stems, count, sizeof(*stems), name_order);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(stems[i], "default") == 0 ||
		    (i > 0 && strcmp(stems[i], stems[i - 1]) == 0))
			continue;
		if (load_group(dir_fd, stems[i], c, e) != 0)
			return -1;
	}
	sort_names(c);
	return 0;
}

int
tls_certs_load(int dir_fd, struct tls_certs *out, struct err *e)
{
	char(*stems)[NAME_SIZE] = NULL;
	size_t count = 0, alloc = 0;
	struct tls_certs c = { 0 };
	struct dirent *entry;
	int fd, rc;
	DIR *dir;

	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		(void)err_errno(e, "directory of certificates");
		if (fd >= 0)
			(void)close(fd);
		e->kind = ERR_PERM;
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		stems = mem_grow(stems, &alloc, count + 1, sizeof(*stems));
		count += stem_of(entry->d_name, stems[count]);
	}
	(void)closedir(dir);
	rc = load_stems(dir_fd, stems, count, &c, e);
	free(stems);
	if (rc == 0)
		*out = c;
	else
		tls_certs_release(&c);
	return rc;
}

void
tls_certs_release(struct tls_certs *c)
{
	for (size_t g = 0; g < c->group_count; g++) {
		for (size_t i = 0; i < TLS_PAIRS_MAX; i++)
			tls_pair_release(&c->groups[g].pairs[i]);
		free(c->groups[g].name);
	}
	free(c->groups);
	free(c->names);
	memset(c, 0, sizeof(*c));
}

static int
compare_with_name(const void *key, const void *item)
{
	return strcmp(key, ((const struct tls_cert_name *)item)->name);
}

static const struct tls_cert_group *
find_exact(const struct tls_certs *c, const char *name)
{
	const struct tls_cert_name *n;

	n = bsearch(name, c->names, c->name_count, sizeof(*c->names),
	    compare_with_name);
	return n != NULL ? &c->groups[n->group] : NULL;
}

const struct tls_cert_group *
tls_certs_find(const struct tls_certs *c, const char *server_name)
{
	const struct tls_cert_group *g;
	char name[NAME_SIZE];
	char *dot;

	if (!slice_copy(slice_str(server_name), name, sizeof(name)))
		return NULL;
	ascii_lower_str(name);
	g = find_exact(c, name);
	dot = strchr(name, '.');
	if (g != NULL || dot == NULL || dot == name)
		return g;
	/* RFC 6125 6.4.3: a wildcard stands for one label */
	dot[-1] = '*';
	return find_exact(c, dot - 1);
}

/* --- a certificate of one's own ------------------------------------------- */

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool done = ext != NULL && X509_add_ext(cert, ext, -1) == 1;

	X509_EXTENSION_free(ext);
	return done;
}

static bool
fill_in_names(X509 *cert, const char *host)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	char common[COMMON_NAME_MAX + 1], names[2 * NAME_SIZE + 32];

	(void)snprintf(common, sizeof(common), "%s", host);
	(void)snprintf(names, sizeof(names), "DNS:%s,DNS:mail.%s", host, host);
	if (strncmp(host, "mail.", 5) == 0)
		names[strlen("DNS:") + strlen(host)] = '\0';
	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
		   (const unsigned char *)common, -1, -1, 0) == 1 &&
	    X509_set_issuer_name(cert, subject) == 1 &&
	    add_extension(cert, NID_subject_alt_name, names) &&
	    add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(cert, NID_ext_key_usage, "serverAuth");
}

static bool
fill_in_cert(X509 *cert, EVP_PKEY *key, const char *host)
{
	BIGNUM *serial = BN_new();
	bool done;

	done = serial != NULL &&
	    BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
	    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL &&
	    X509_set_version(cert, X509_VERSION_3) == 1 &&
	    /* a client's clock may be behind */
	    X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert),
		(long)SELF_SIGNED_DAYS * DAY_S) != NULL &&
	    X509_set_pubkey(cert, key) == 1 && fill_in_names(cert, host) &&
	    X509_sign(cert, key, EVP_sha256()) != 0;
	BN_free(serial);
	return done;
}

static int
write_pem(
    int dir_fd, const char *name, const char *suffix, BIO *bio, struct err *e)
{
	char file[NAME_SIZE + 8];
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	return file_replace(dir_fd, file, 0640, data, (size_t)len, e);
}

static bool
is_host_name(const char *s)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++) {
		if (!ascii_is_alnum((unsigned char)s[i]) && s[i] != '-' &&
		    s[i] != '.')
			return false;
	}
	return len > 0 && len < NAME_SIZE - 5;
}

int
tls_make_self_signed(
    int dir_fd, const char *name, const char *host, struct err *e)
{
	EVP_PKEY *key = NULL;
	X509 *cert = X509_new();
	BIO *cert_pem = BIO_new(BIO_s_mem()),
	    *key_pem = BIO_new(BIO_s_secmem());
	int rc = -1;

	ERR_clear_error();
	if (!is_host_name(host) || strlen(name) >= NAME_SIZE) {
		(void)err_set(e, ERR_PERM, "\"%s\" is not a host name", host);
		goto out;
	}
	key = EVP_EC_gen("P-256");
	if (cert == NULL || cert_pem == NULL || key_pem == NULL ||
	    key == NULL || !fill_in_cert(cert, key, host) ||
	    PEM_write_bio_X509(cert_pem, cert) != 1 ||
	    PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) !=
		1) {
		(void)err_set(
		    e, ERR_TEMP, "certificate for %s: %s", host, tls_reason());
		goto out;
	}
	rc = write_pem(dir_fd, name, ".key", key_pem, e);
	if (rc == 0)
		rc = write_pem(dir_fd, name, ".crt", cert_pem, e);
out:
	BIO_free(cert_pem);
	BIO_free(key_pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}
