/*
 * DKIM keys with OpenSSL.  A key read from secrets.db is kept for the next
 * signatures, since taking its DER apart costs as much as half a signature;
 * whether it may be used is asked of the file each time, which another
 * process may have changed.
 *
 * Invariant: no private key is ever in an error, a log line or an answer.
 * Any thread; one lock, held for a comparison of names.
 */
#include "dkim.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
	RSA_BITS = 2048,
	KEPT = 64
};

/* --- Making ------------------------------------------------------------------- */

static EVP_PKEY *
generate(enum dkim_algorithm a)
{
	if (a == DKIM_RSA_SHA256)
		return EVP_RSA_gen(RSA_BITS);
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

/* The DER of a private key. */
static bool
export_private(EVP_PKEY *key, struct dkim_new_key *out)
{
	unsigned char *at = out->private_key;
	int len = i2d_PrivateKey(key, NULL);

	if (len <= 0 || (size_t)len > sizeof(out->private_key))
		return false;
	out->private_len = (size_t)len;
	return i2d_PrivateKey(key, &at) == len;
}

static bool
export_public(EVP_PKEY *key, struct dkim_new_key *out)
{
	unsigned char *at = out->public_key;
	int len;

	out->public_len = sizeof(out->public_key);
	if (out->algorithm == DKIM_ED25519_SHA256)
		return EVP_PKEY_get_raw_public_key(key, at, &out->public_len) ==
		    1;
	len = i2d_PUBKEY(key, NULL);
	if (len <= 0 || (size_t)len > sizeof(out->public_key))
		return false;
	out->public_len = (size_t)len;
	return i2d_PUBKEY(key, &at) == len;
}

int
dkim_make_key(enum dkim_algorithm a, struct dkim_new_key *out, struct err *e)
{
	EVP_PKEY *key = generate(a);
	bool ok;

	*out = (struct dkim_new_key){ .algorithm = a };
	ok = key != NULL && export_private(key, out) && export_public(key, out);
	EVP_PKEY_free(key);
	return ok ? 0 : err_set(e, ERR_TEMP, "making a DKIM key failed");
}

/* --- Keeping -------------------------------------------------------------------- */

struct kept {
	char *name; /* domain, '/', selector */
	int64_t created_ms;
	EVP_PKEY *key;
};

struct dkim_keys {
	pthread_mutex_t lock;
	struct kept items[KEPT];
	size_t next; /* to be replaced */
};

struct dkim_keys *
dkim_keys_new(void)
{
	struct dkim_keys *k = mem_zalloc(sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	return k;
}

static void
drop(struct kept *item)
{
	free(item->name);
	EVP_PKEY_free(item->key);
	*item = (struct kept){ 0 };
}

void
dkim_keys_free(struct dkim_keys *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < KEPT; i++)
		drop(&k->items[i]);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* A reference, or NULL. */
static EVP_PKEY *
find_kept(struct dkim_keys *k, const char *name, int64_t created_ms)
{
	EVP_PKEY *key = NULL;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < KEPT && key == NULL; i++) {
		struct kept *item = &k->items[i];

		if (item->key != NULL && item->created_ms == created_ms &&
		    strcmp(item->name, name) == 0) {
			key = item->key;
			EVP_PKEY_up_ref(key);
		}
	}
	pthread_mutex_unlock(&k->lock);
	return key;
}

static void
keep(struct dkim_keys *k, const char *name, int64_t created_ms, EVP_PKEY *key)
{
	struct kept *item;

	EVP_PKEY_up_ref(key);
	pthread_mutex_lock(&k->lock);
	item = &k->items[k->next++ % KEPT];
	drop(item);
	item->name = mem_strdup(name);
	item->created_ms = created_ms;
	item->key = key;
	pthread_mutex_unlock(&k->lock);
}

static int
load(struct secrets *s, const char *domain, const char *selector,
    EVP_PKEY **out, struct err *e)
{
	const unsigned char *at;
	struct buf der;
	int r;

	buf_init(&der, sizeof(((struct dkim_new_key *)0)->private_key));
	/* at once, so that no copy is left where it grew */
	at = (const unsigned char *)buf_reserve(&der, der.max);
	r = secrets_dkim_private(s, domain, selector, &der, e);
	if (r == 1) {
		*out = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
		if (*out == NULL)
			r = err_set(e, ERR_TEMP,
			    "the private key of %s._domainkey.%s is damaged",
			    selector, domain);
	}
	mem_wipe(der.data, der.len);
	buf_release(&der);
	return r;
}

/* --- Signing -------------------------------------------------------------------- */

static bool
rsa_sign(EVP_PKEY *key, const uint8_t *hash, unsigned char *out, size_t *len)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	bool ok = c != NULL && EVP_PKEY_sign_init(c) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 &&
	    EVP_PKEY_sign(c, out, len, hash, DKIM_HASH_SIZE) == 1;

	EVP_PKEY_CTX_free(c);
	return ok;
}

/* RFC 8463 3: PureEdDSA over the hash. */
static bool
ed25519_sign(
    EVP_PKEY *key, const uint8_t *hash, unsigned char *out, size_t *len)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c != NULL &&
	    EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestSign(c, out, len, hash, DKIM_HASH_SIZE) == 1;

	EVP_MD_CTX_free(c);
	return ok;
}

static int
sign(EVP_PKEY *key, const uint8_t *hash, struct buf *out, struct err *e)
{
	unsigned char signature[DKIM_SIGNATURE_MAX];
	size_t len = sizeof(signature);
	bool ok = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA
	    ? rsa_sign(key, hash, signature, &len)
	    : ed25519_sign(key, hash, signature, &len);

	if (!ok)
		return err_set(e, ERR_TEMP, "signing failed");
	buf_add(out, signature, len);
	return 1;
}

int
dkim_sign(struct dkim_keys *k, struct secrets *s, const char *domain,
    const struct dkim_row *row, const uint8_t hash[DKIM_HASH_SIZE],
    struct buf *signature_out, struct err *e)
{
	EVP_PKEY *key;
	char *name;
	int r = 1;

	if (strcmp(row->state, "active") != 0)
		return 0;
	name = mem_printf("%s/%s", domain, row->selector);
	key = find_kept(k, name, row->created_ms);
	if (key == NULL) {
		r = load(s, domain, row->selector, &key, e);
		if (r == 1)
			keep(k, name, row->created_ms, key);
	}
	if (r == 1)
		r = sign(key, hash, signature_out, e);
	EVP_PKEY_free(key);
	free(name);
	return r;
}
