/*
 * DKIM key records, RFC 6376 3.6.1 and RFC 8463 4: writing ours, reading what
 * the DNS says, and whether a key fits a signature.  Answers of the DNS are
 * strangers' text: at most RECORD_MAX bytes of it are looked at.
 *
 * Pure functions; any thread.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/base64.h"
#include "mail/dkim.h"

enum {
	RECORD_MAX = 8192,
};

bool
dkim_selector_is_valid(struct slice s)
{
	if (s.len == 0 || s.len > DKIM_SELECTOR_MAX || s.data[0] == '.' ||
	    s.data[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '.' && s.data[i + 1] == '.')
			return false;
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_' && c != '.')
			return false;
	}
	return true;
}

void
dkim_record(enum dkim_algorithm a, struct slice key, struct buf *out)
{
	buf_addf(out, "v=DKIM1; k=%s; p=", dkim_key_type(a));
	base64_encode(key.data, key.len, out);
}

/* White space within base64 is to be ignored, RFC 6376 3.2. */
static int
read_key(
    struct slice value, struct buf *bytes, struct dkim_key *k, struct err *e)
{
	size_t start = bytes->len;
	struct buf text;
	bool ok;

	buf_init(&text, RECORD_MAX);
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] != ' ' && value.data[i] != '\t' &&
		    value.data[i] != '\r' && value.data[i] != '\n')
			buf_addc(&text, value.data[i]);
	ok = base64_decode(buf_slice(&text), bytes);
	buf_release(&text);
	if (!ok)
		return err_set(e, ERR_SYNTAX, "p= is not base64");
	k->key = slice_of(bytes->data + start, bytes->len - start);
	k->revoked = k->key.len == 0;
	return 0;
}

/* Is `word` in a list separated by colons? */
static bool
list_has(struct slice list, const char *word)
{
	struct slice item;

	while (list.data != NULL) {
		list = slice_cut(list, ':', &item);
		if (slice_eq_str(slice_trim(item), word))
			return true;
	}
	return false;
}

/* One tag.  `p_out` gets the value of p=. */
static int
take_tag(struct slice name, struct slice value, struct dkim_key *k,
    struct slice *p_out, struct err *e)
{
	int algorithm;

	if (slice_eq_str(name, "p"))
		*p_out = value;
	else if (slice_eq_str(name, "v") && !slice_eq_str(value, "DKIM1"))
		return err_set(e, ERR_SYNTAX, "not version DKIM1");
	else if (slice_eq_str(name, "h") && !list_has(value, "sha256"))
		return err_set(e, ERR_PERM, "h= does not allow sha256");
	else if (slice_eq_str(name, "s") && !list_has(value, "*") &&
	    !list_has(value, "email"))
		return err_set(e, ERR_PERM, "s= does not allow e-mail");
	else if (slice_eq_str(name, "t"))
		k->testing = list_has(value, "y");
	else if (slice_eq_str(name, "k")) {
		algorithm = dkim_algorithm_find(value);
		if (algorithm < 0)
			return err_set(e, ERR_PERM, "k= is an unknown type");
		k->algorithm = (enum dkim_algorithm)algorithm;
	}
	return 0;
}

int
dkim_record_parse(
    struct slice record, struct buf *bytes, struct dkim_key *out, struct err *e)
{
	struct slice tag, name, value, p = { 0 }, rest = record;
	struct dkim_key k = { .algorithm = DKIM_RSA_SHA256 };

	if (record.len > RECORD_MAX)
		return err_set(e, ERR_SYNTAX, "too long for a key record");
	while (rest.data != NULL) {
		rest = slice_cut(rest, ';', &tag);
		value = slice_cut(tag, '=', &name);
		if (slice_trim(tag).len == 0)
			continue;
		if (value.data == NULL)
			return err_set(e, ERR_SYNTAX, "a tag without =");
		if (take_tag(slice_trim(name), slice_trim(value), &k, &p, e) !=
		    0)
			return -1;
	}
	if (p.data == NULL)
		return err_set(e, ERR_SYNTAX, "no p= in it");
	if (read_key(p, bytes, &k, e) != 0)
		return -1;
	*out = k;
	return 0;
}

static EVP_PKEY *
public_key(const struct dkim_key *k)
{
	const unsigned char *at = (const unsigned char *)k->key.data;
	EVP_PKEY *key;

	if (k->algorithm == DKIM_ED25519_SHA256)
		return EVP_PKEY_new_raw_public_key(
		    EVP_PKEY_ED25519, NULL, at, k->key.len);
	key = d2i_PUBKEY(NULL, &at, (long)k->key.len);
	if (key != NULL && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

static bool
rsa_verify(EVP_PKEY *key, const uint8_t *hash, struct slice signature)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	bool ok = c != NULL && EVP_PKEY_verify_init(c) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 &&
	    EVP_PKEY_verify(c, (const unsigned char *)signature.data,
		signature.len, hash, DKIM_HASH_SIZE) == 1;

	EVP_PKEY_CTX_free(c);
	return ok;
}

/* RFC 8463 3: PureEdDSA over the hash. */
static bool
ed25519_verify(EVP_PKEY *key, const uint8_t *hash, struct slice signature)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c != NULL &&
	    EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(c, (const unsigned char *)signature.data,
		signature.len, hash, DKIM_HASH_SIZE) == 1;

	EVP_MD_CTX_free(c);
	return ok;
}

bool
dkim_verify(const struct dkim_key *k, const uint8_t hash[DKIM_HASH_SIZE],
    struct slice signature)
{
	EVP_PKEY *key = public_key(k);
	bool ok = false;

	if (key != NULL)
		ok = k->algorithm == DKIM_RSA_SHA256
		    ? rsa_verify(key, hash, signature)
		    : ed25519_verify(key, hash, signature);
	EVP_PKEY_free(key);
	return ok;
}
