/*
 * DKIM: canonical forms, the choice of header fields and the text of a
 * DKIM-Signature.  No keys and no clock here; key records are dkim_record.c's.
 *
 * Invariant: what is hashed is what a verifier finds on the wire after
 * queue/wire.c made CRLF of the spool's line ends and a space of any other CR:
 * in the relaxed forms a CR is therefore white space, and white space at the
 * end of a line is nothing.
 *
 * Pure functions; any thread.
 */
#include "mail/dkim.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "mail/address.h"

enum {
	LINE_WIDTH = 72,
	SAME_MAX = 20, /* fields of one name that are signed */
	FIELDS_MAX = 4 * DKIM_HEADER_MAX,
};

static const char *const key_types[DKIM_ALGORITHMS] = {
	[DKIM_RSA_SHA256] = "rsa",
	[DKIM_ED25519_SHA256] = "ed25519",
};

const char *
dkim_key_type(enum dkim_algorithm a)
{
	return key_types[a];
}

int
dkim_algorithm_find(struct slice key_type)
{
	for (int i = 0; i < DKIM_ALGORITHMS; i++)
		if (slice_eq_str(key_type, key_types[i]))
			return i;
	return -1;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* --- Digests ------------------------------------------------------------------ */

/* Found once: to look for it costs as much as to hash a few lines. */
static const EVP_MD *sha256;

static void
find_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* OpenSSL fails here only without memory, which mem.c does not survive. */
static EVP_MD_CTX *
digest_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	EVP_MD_CTX *d = EVP_MD_CTX_new();
	int ok;

	pthread_once(&once, find_sha256);
	ok = d != NULL && EVP_DigestInit_ex(d, sha256, NULL);

	assert(ok);
	return d;
}

static void
digest_end(EVP_MD_CTX *d, uint8_t out[DKIM_HASH_SIZE])
{
	int ok = EVP_DigestFinal_ex(d, out, NULL);

	assert(ok);
	EVP_MD_CTX_free(d);
}

/* --- Body ----------------------------------------------------------------------- */

void
dkim_body_start(struct dkim_body *b)
{
	memset(b, 0, sizeof(*b));
	b->digest = digest_new();
}

static void
flush(struct dkim_body *b)
{
	(void)EVP_DigestUpdate(b->digest, b->out, b->used);
	b->used = 0;
}

static void
put(struct dkim_body *b, const char *data, size_t len)
{
	if (len > sizeof(b->out) - b->used)
		flush(b);
	if (len > sizeof(b->out)) {
		(void)EVP_DigestUpdate(b->digest, data, len);
		return;
	}
	memcpy(b->out + b->used, data, len);
	b->used += len;
}

/* Text without white space or line end; what waited before it comes first. */
static void
put_text(struct dkim_body *b, const char *data, size_t len)
{
	for (; b->empty_lines > 0; b->empty_lines--)
		put(b, "\r\n", 2);
	if (b->space)
		put(b, " ", 1);
	b->space = false;
	b->in_line = true;
	put(b, data, len);
}

static void
end_line(struct dkim_body *b)
{
	if (b->in_line)
		put(b, "\r\n", 2);
	else
		b->empty_lines++;
	b->in_line = b->space = false;
}

void
dkim_body_push(struct dkim_body *b, struct slice piece)
{
	const char *at = piece.data, *end = piece.data + piece.len, *text;

	while (at < end) {
		if (*at == '\n') {
			end_line(b);
			at++;
		} else if (is_space(*at)) {
			b->space = true;
			at++;
		} else {
			for (text = at;
			     at < end && *at != '\n' && !is_space(*at); at++)
				;
			put_text(b, text, (size_t)(at - text));
		}
	}
}

void
dkim_body_end(struct dkim_body *b, uint8_t hash_out[DKIM_HASH_SIZE])
{
	if (b->in_line)
		end_line(b);
	flush(b);
	digest_end(b->digest, hash_out);
	b->digest = NULL;
}

/* --- Header ----------------------------------------------------------------------- */

/* Runs of white space as one space, none at the ends, no line ends. */
static void
relaxed_text(struct slice s, struct buf *out)
{
	bool space = false, any = false;
	size_t i = 0, start;

	while (i < s.len) {
		if (is_space(s.data[i]) || s.data[i] == '\n') {
			space = true;
			i++;
			continue;
		}
		start = i;
		while (i < s.len && !is_space(s.data[i]) && s.data[i] != '\n')
			i++;
		if (space && any)
			buf_addc(out, ' ');
		buf_add(out, s.data + start, i - start);
		any = true;
		space = false;
	}
}

void
dkim_relaxed_field(const struct header_field *f, struct buf *out)
{
	for (size_t i = 0; i < f->name.len; i++)
		buf_addc(
		    out, (char)ascii_lower((unsigned char)f->name.data[i]));
	buf_addc(out, ':');
	relaxed_text(f->value, out);
	buf_add(out, "\r\n", 2);
}

/* RFC 6376 5.4.1, without what relays may change; order is that of h=. */
static const struct {
	const char *name;
	bool oversign;
} chosen[] = {
	{ "From", true },
	{ "To", true },
	{ "Subject", true },
	{ "Cc", false },
	{ "Date", false },
	{ "Message-ID", false },
	{ "In-Reply-To", false },
	{ "References", false },
	{ "Reply-To", false },
	{ "MIME-Version", false },
	{ "Content-Type", false },
	{ "Content-Transfer-Encoding", false },
	{ "Content-Disposition", false },
	{ "Content-ID", false },
	{ "Content-Description", false },
	{ "Content-Language", false },
};

/* The lowest fields of each name: a ring. */
struct found {
	struct header_field last[SAME_MAX];
	size_t count;
};

void
dkim_message_init(struct dkim_message *m)
{
	memset(m, 0, sizeof(*m));
	buf_init(&m->fields, FIELDS_MAX);
	buf_init(&m->names, 65536);
}

void
dkim_message_release(struct dkim_message *m)
{
	buf_release(&m->fields);
	buf_release(&m->names);
}

/* Dots and white space are for people's eyes: an unreadable one gives "". */
static void
note_from(struct dkim_message *m, struct slice value)
{
	struct slice address;
	ptrdiff_t at;
	struct err e;

	m->has_from = true;
	if (!header_next_address(&value, &address))
		return;
	at = slice_rchr(address, '@');
	if (at < 0 ||
	    domain_normalise(slice_trim(slice_skip(address, (size_t)at + 1)),
		m->from_domain, &e) != 0)
		m->from_domain[0] = '\0';
}

static void
add_name(struct dkim_message *m, const char *name)
{
	if (m->names.len > 0)
		buf_addc(&m->names, ':');
	buf_addstr(&m->names, name);
}

static void
choose(struct dkim_message *m, const struct found *found)
{
	for (size_t i = 0; i < ARRAY_LEN(chosen); i++) {
		size_t n = found[i].count;
		size_t least = n > SAME_MAX ? n - SAME_MAX : 0;

		while (n-- > least) {
			dkim_relaxed_field(
			    &found[i].last[n % SAME_MAX], &m->fields);
			add_name(m, chosen[i].name);
		}
		/* beyond SAME_MAX one more would have to be there */
		if (chosen[i].oversign && least == 0)
			add_name(m, chosen[i].name);
	}
}

size_t
dkim_scan(struct dkim_message *m, struct slice text)
{
	struct found *found = mem_zalloc(ARRAY_LEN(chosen) * sizeof(*found));
	struct header_scan scan = { text };
	struct header_field f;
	bool empty_line;

	while (header_next(&scan, &f)) {
		for (size_t i = 0; i < ARRAY_LEN(chosen); i++) {
			if (!header_is(&f, chosen[i].name))
				continue;
			found[i].last[found[i].count++ % SAME_MAX] = f;
			if (i == 0 && !m->has_from)
				note_from(m, f.value);
		}
	}
	choose(m, found);
	assert(!buf_overflowed(&m->fields) && !buf_overflowed(&m->names));
	free(found);
	return text.len - header_body(&scan, &empty_line).len;
}

/* The names of h=, a line for as many as fit. */
static void
add_names(const struct buf *names, struct buf *out)
{
	struct slice rest = buf_slice(names), name;
	size_t column = 3;

	buf_addstr(out, "h=");
	while (rest.data != NULL) {
		rest = slice_cut(rest, ':', &name);
		if (column + name.len + 1 > LINE_WIDTH) {
			buf_addstr(out, "\n\t");
			column = 1;
		}
		buf_addslice(out, name);
		buf_addc(out, rest.data != NULL ? ':' : ';');
		column += name.len + 1;
	}
}

void
dkim_field(const struct dkim_message *m, const struct dkim_signature *s,
    struct buf *out, uint8_t hash_out[DKIM_HASH_SIZE])
{
	EVP_MD_CTX *d = digest_new();
	size_t start = out->len;
	struct header_scan scan;
	struct header_field f;
	struct buf relaxed;
	bool ok;

	buf_addf(out,
	    "DKIM-Signature: v=1; a=%s-sha256; c=relaxed/relaxed;\n"
	    "\td=%s; s=%s; t=%lld;\n\t",
	    key_types[s->algorithm], s->domain, s->selector,
	    (long long)s->time_s);
	add_names(&m->names, out);
	buf_addstr(out, "\n\tbh=");
	base64_encode(m->body_hash, sizeof(m->body_hash), out);
	buf_addstr(out, ";\n\tb=");
	assert(!buf_overflowed(out));
	scan.rest = slice_of(out->data + start, out->len - start);
	ok = header_next(&scan, &f);
	assert(ok);
	buf_init(&relaxed, 4 * (out->len - start) + 16);
	dkim_relaxed_field(&f, &relaxed);
	(void)EVP_DigestUpdate(d, m->fields.data, m->fields.len);
	/* without its line end, RFC 6376 3.7 */
	(void)EVP_DigestUpdate(d, relaxed.data, relaxed.len - 2);
	digest_end(d, hash_out);
	buf_release(&relaxed);
}

void
dkim_field_finish(struct slice signature, struct buf *out)
{
	struct buf text;
	size_t column = 3;

	buf_init(&text, 2 * signature.len + 8);
	base64_encode(signature.data, signature.len, &text);
	for (size_t at = 0, n; at < text.len; at += n) {
		n = text.len - at;
		if (n > LINE_WIDTH - column)
			n = LINE_WIDTH - column;
		if (at > 0)
			buf_addstr(out, "\n\t");
		buf_add(out, text.data + at, n);
		column = 1;
	}
	buf_addc(out, '\n');
	buf_release(&text);
}
