/*
 * DKIM keys with OpenSSL.  An active key read from secrets.db is kept ready
 * for a second: taking its DER apart costs as much as half a signature, and
 * asking for its state and OpenSSL's look-up of algorithms a tenth.
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

#include "base/clock.h"
#include "base/mem.h"

enum {
	RSA_BITS = 2048,
	KEPT = 64,
	KEPT_MS = 1000,
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

/* Contexts, made ready once: copying one is cheaper. */
struct ready {
	EVP_PKEY_CTX *rsa;   /* or NULL */
	EVP_MD_CTX *ed25519; /* or NULL */
};

struct kept {
	char *name; /* domain, '/', selector */
	int64_t until_ms;
	struct ready ready;
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
ready_release(struct ready *r)
{
	EVP_PKEY_CTX_free(r->rsa);
	EVP_MD_CTX_free(r->ed25519);
	*r = (struct ready){ 0 };
}

static bool
ready_init(struct ready *r, EVP_PKEY *key)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
		r->ed25519 = EVP_MD_CTX_new();
		return r->ed25519 != NULL &&
		    EVP_DigestSignInit(r->ed25519, NULL, NULL, NULL, key) == 1;
	}
	r->rsa = EVP_PKEY_CTX_new(key, NULL);
	return r->rsa != NULL && EVP_PKEY_sign_init(r->rsa) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(r->rsa, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(r->rsa, EVP_sha256()) == 1;
}

static bool
ready_copy(struct ready *to, const struct ready *from)
{
	if (from->rsa != NULL) {
		to->rsa = EVP_PKEY_CTX_dup(from->rsa);
		return to->rsa != NULL;
	}
	to->ed25519 = EVP_MD_CTX_new();
	return to->ed25519 != NULL &&
	    EVP_MD_CTX_copy_ex(to->ed25519, from->ed25519) == 1;
}

static void
drop(struct kept *item)
{
	free(item->name);
	ready_release(&item->ready);
	*item = (struct kept){ 0 };
}

void
dkim_keys_forget(struct dkim_keys *k)
{
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < KEPT; i++)
		drop(&k->items[i]);
	pthread_mutex_unlock(&k->lock);
}

void
dkim_keys_free(struct dkim_keys *k)
{
	if (k == NULL)
		return;
	dkim_keys_forget(k);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static bool
find_kept(struct dkim_keys *k, const char *name, struct ready *out)
{
	int64_t now = clock_mono_ms();
	bool found = false;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < KEPT && !found; i++) {
		struct kept *item = &k->items[i];

		found = item->name != NULL && now < item->until_ms &&
		    strcmp(item->name, name) == 0 &&
		    ready_copy(out, &item->ready);
	}
	pthread_mutex_unlock(&k->lock);
	return found;
}

/* Takes `name` and a copy of `ready`. */
static void
keep(struct dkim_keys *k, char *name, const struct ready *ready)
{
	struct kept *item = NULL;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < KEPT && item == NULL; i++)
		if (k->items[i].name != NULL &&
		    strcmp(k->items[i].name, name) == 0)
			item = &k->items[i];
	if (item == NULL)
		item = &k->items[k->next++ % KEPT];
	drop(item);
	if (ready_copy(&item->ready, ready)) {
		item->name = name;
		item->until_ms = clock_mono_ms() + KEPT_MS;
		name = NULL;
	} else {
		ready_release(&item->ready);
	}
	pthread_mutex_unlock(&k->lock);
	free(name);
}

static int
load(struct secrets *s, const char *domain, const char *selector,
    struct ready *out, struct err *e)
{
	const unsigned char *at;
	EVP_PKEY *key = NULL;
	struct buf der;
	int r;

	buf_init(&der, sizeof(((struct dkim_new_key *)0)->private_key));
	/* at once, so that no copy is left where it grew */
	at = (const unsigned char *)buf_reserve(&der, der.max);
	r = secrets_dkim_active(s, domain, selector, &der, e);
	if (r == 1) {
		key = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
		if (key == NULL || !ready_init(out, key))
			r = err_set(e, ERR_TEMP,
			    "the private key of %s._domainkey.%s is damaged",
			    selector, domain);
	}
	EVP_PKEY_free(key);
	mem_wipe(der.data, der.len);
	buf_release(&der);
	return r;
}

/* --- Signing -------------------------------------------------------------------- */

static bool
sign(struct ready *r, const uint8_t *hash, struct buf *out)
{
	unsigned char signature[DKIM_SIGNATURE_MAX];
	size_t len = sizeof(signature);
	/* RFC 8463 3: PureEdDSA over the hash */
	bool ok = r->rsa != NULL
	    ? EVP_PKEY_sign(r->rsa, signature, &len, hash, DKIM_HASH_SIZE) == 1
	    : EVP_DigestSign(
		  r->ed25519, signature, &len, hash, DKIM_HASH_SIZE) == 1;

	if (ok)
		buf_add(out, signature, len);
	return ok;
}

int
dkim_sign(struct dkim_keys *k, struct secrets *s, const char *domain,
    const char *selector, const uint8_t hash[DKIM_HASH_SIZE],
    struct buf *signature_out, struct err *e)
{
	char *name = mem_printf("%s/%s", domain, selector);
	struct ready ready = { 0 };
	int r = 1;

	if (!find_kept(k, name, &ready)) {
		ready_release(&ready);
		r = load(s, domain, selector, &ready, e);
		if (r == 1) {
			keep(k, name, &ready);
			name = NULL;
		}
	}
	if (r == 1 && !sign(&ready, hash, signature_out))
		r = err_set(e, ERR_TEMP, "signing failed");
	ready_release(&ready);
	free(name);
	return r;
}
