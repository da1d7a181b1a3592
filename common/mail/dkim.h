#ifndef MAIL_DKIM_H
#define MAIL_DKIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"
#include "mail/header.h"

/*
 * DKIM: RFC 6376 with RFC 8463, relaxed/relaxed.  What is hashed and the text
 * of the fields; private keys are elsewhere (accountd).
 *
 * Messages come with LF or CRLF line ends and are hashed as they will be on
 * the wire, with CRLF; a CR that is not part of a line's end counts as white
 * space, which is what it is sent as.
 *
 * To sign one message: hash the body piece by piece, scan the header block
 * once, then for each key dkim_field(), have the hash signed elsewhere, and
 * dkim_field_finish().
 */
enum {
	DKIM_HASH_SIZE = 32,
	DKIM_HEADER_MAX = 1024 * 1024, /* a larger header is not signed */
	DKIM_SELECTOR_MAX = 63,
};

enum dkim_algorithm {
	DKIM_RSA_SHA256,
	DKIM_ED25519_SHA256,
	DKIM_ALGORITHMS
};

/* "rsa" and "ed25519": the k= of key records.  -1: none of them. */
const char *dkim_key_type(enum dkim_algorithm a);
int dkim_algorithm_find(struct slice key_type);

/* A selector: labels of letters, digits, '-' and '_', lower case. */
bool dkim_selector_is_valid(struct slice s);

/* --- Body: RFC 6376 3.4.4 ------------------------------------------------ */

/*
 * Flat memory whatever the size.  start, push any number of times, end (always,
 * it releases).
 */
struct dkim_body {
	void *digest; /* private, as all of it */
	uint64_t empty_lines;
	bool space, in_line;
	size_t used;
	char out[1024];
};

void dkim_body_start(struct dkim_body *b);
void dkim_body_push(struct dkim_body *b, struct slice piece);
void dkim_body_end(struct dkim_body *b, uint8_t hash_out[DKIM_HASH_SIZE]);

/* --- Header ------------------------------------------------------------------- */

/* Append one field in relaxed form with its CRLF, RFC 6376 3.4.2. */
void dkim_relaxed_field(const struct header_field *f, struct buf *out);

/* What is signed of one message.  init, scan, release. */
struct dkim_message {
	struct buf fields; /* the chosen fields in relaxed form */
	struct buf names;  /* for h= */
	uint8_t body_hash[DKIM_HASH_SIZE];
	char from_domain[256]; /* of the first From address, normalised; "" */
	bool has_from;
};

void dkim_message_init(struct dkim_message *m);
void dkim_message_release(struct dkim_message *m);

/*
 * Choose what is signed of a message that begins with this text, which has
 * all of its header; the result is where the body starts in it.  Signed is who
 * wrote what to whom and how it is to be read, all fields of a name, lowest
 * first, RFC 6376 5.4.2; From, To and Subject once more than there are, so
 * that none can be added.
 */
size_t dkim_scan(struct dkim_message *m, struct slice text);

struct dkim_signature {
	enum dkim_algorithm algorithm;
	const char *domain, *selector;
	int64_t time_s;
};

/*
 * Append the DKIM-Signature field without its signature, LF line ends, and
 * give the hash that is to be signed.
 */
void dkim_field(const struct dkim_message *m, const struct dkim_signature *s,
    struct buf *out, uint8_t hash_out[DKIM_HASH_SIZE]);

/* Append the signature, base64, folded, and the end of the field. */
void dkim_field_finish(struct slice signature, struct buf *out);

/* --- Key records (3.6.1) -------------------------------------------------------- */

/* Append "v=DKIM1; k=...; p=...".  `key`: see struct dkim_key. */
void dkim_record(enum dkim_algorithm a, struct slice key, struct buf *out);

struct dkim_key {
	enum dkim_algorithm algorithm;
	bool revoked;     /* p= is empty */
	bool testing;     /* t=y */
	struct slice key; /* RSA: SubjectPublicKeyInfo in DER; else 32 bytes */
};

/*
 * Read a record; the key's bytes are appended to `bytes`.  ERR_SYNTAX for
 * what is no DKIM key record; ERR_PERM for one that is of no use here (another
 * algorithm or service), with the reason for a person.
 */
int dkim_record_parse(struct slice record, struct buf *bytes,
    struct dkim_key *out, struct err *e) MUST_CHECK;

/*
 * Does the signature of this hash verify with a public key as in struct
 * dkim_key?
 */
bool dkim_verify(const struct dkim_key *k, const uint8_t hash[DKIM_HASH_SIZE],
    struct slice signature);

#endif /* MAIL_DKIM_H */
