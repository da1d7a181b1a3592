/*
 * The binary form of an envelope.
 *
 *	u32 magic, u32 version, the fixed fields, the strings, u32 count,
 *	then each recipient the same way
 *
 * Numbers are little-endian; a string is u32 length + 1 and its bytes, 0 for
 * NULL.  There is exactly one form for a value, and a reader takes the whole
 * input or nothing.  Strings with control bytes are refused both ways, so
 * that no line of text made from them can be injected into; words that come
 * from a remote server or a person are cleaned instead.
 *
 * Pure functions, any thread.
 */
#include "queue/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum {
	ENVELOPE_MAGIC = 0x3156454d, /* "MEV1" */
	ENVELOPE_VERSION = 1,
	STRING_MAX = 64 * 1024,
	RECIPIENT_MIN = 60, /* encoded bytes of the smallest recipient */
};

bool
envelope_awaits_resume(const struct envelope *v)
{
	for (size_t i = 0; i < v->recipient_count; i++) {
		const struct envelope_recipient *r = &v->recipients[i];

		if (r->state == RECIPIENT_WAITING &&
		    (r->attempts == 0 ||
			(r->reply != NULL &&
			    strcmp(r->reply, ENVELOPE_SUSPENDED) == 0)))
			return true;
	}
	return false;
}

struct envelope_recipient *
envelope_add(struct envelope *v)
{
	struct envelope_recipient *r;

	v->recipients = mem_grow(v->recipients, &v->recipient_alloc,
	    v->recipient_count + 1, sizeof(*r));
	r = &v->recipients[v->recipient_count++];
	memset(r, 0, sizeof(*r));
	return r;
}

void
envelope_release(struct envelope *v)
{
	free(v->recipients);
	v->recipients = NULL;
	v->recipient_count = 0;
	v->recipient_alloc = 0;
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static bool
has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (is_control((unsigned char)s[i]))
			return true;
	}
	return false;
}

/* --- writing ------------------------------------------------------------- */

static void
put_u32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	num_put_le32(raw, v);
	buf_add(b, raw, sizeof(raw));
}

static void
put_u64(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	num_put_le64(raw, v);
	buf_add(b, raw, sizeof(raw));
}

static void
put_i64(struct buf *b, int64_t v)
{
	put_u64(b, (uint64_t)v);
}

static bool
put_str(struct buf *b, const char *s)
{
	size_t len;

	if (s == NULL) {
		put_u32(b, 0);
		return true;
	}
	len = strlen(s);
	if (len > STRING_MAX || has_control(s, len))
		return false;
	put_u32(b, (uint32_t)len + 1);
	buf_add(b, s, len);
	return true;
}

/* Words for people: cut and cleaned rather than refused. */
static void
put_words(struct buf *b, const char *s)
{
	size_t len, at;

	if (s == NULL) {
		put_u32(b, 0);
		return;
	}
	len = num_min(strlen(s), 1024);
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--; /* not within a character */
	put_u32(b, (uint32_t)len + 1);
	at = b->len;
	buf_add(b, s, len);
	for (; at < b->len; at++) {
		if (is_control((unsigned char)b->data[at]))
			b->data[at] = ' ';
	}
}

static bool
put_recipient(struct buf *b, const struct envelope_recipient *r)
{
	put_u32(b,
	    (uint32_t)r->state | (uint32_t)r->kind << 8 |
		(uint32_t)r->code << 16);
	put_u32(b, r->notify);
	put_u32(b, r->flags);
	put_u32(b, r->attempts);
	put_i64(b, r->last_try_ms);
	if (r->address == NULL || !put_str(b, r->address) ||
	    !put_str(b, r->original) || !put_str(b, r->delivered_to) ||
	    !put_str(b, r->target))
		return false;
	put_words(b, r->status);
	put_words(b, r->reply);
	put_words(b, r->remote);
	return true;
}

static bool
put_envelope(struct buf *b, const struct envelope *v)
{
	const char *const required[] = { v->sender, v->client_ip,
		v->client_name, v->helo, v->auth_user, v->session_id };

	put_u32(b, ENVELOPE_MAGIC);
	put_u32(b, ENVELOPE_VERSION);
	put_u32(b, v->flags);
	put_u32(b, v->body_lines);
	put_u32(b, v->local_prefix);
	put_u32(b, v->attempts);
	put_u64(b, v->body_size);
	put_i64(b, v->accepted_ms);
	put_i64(b, v->not_before_ms);
	put_i64(b, v->next_try_ms);
	for (size_t i = 0; i < ARRAY_LEN(required); i++) {
		if (!put_str(b, required[i] != NULL ? required[i] : ""))
			return false;
	}
	if (!put_str(b, v->envid))
		return false;
	put_words(b, v->hold_reason);
	put_u32(b, (uint32_t)v->recipient_count);
	for (size_t i = 0; i < v->recipient_count; i++) {
		if (!put_recipient(b, &v->recipients[i]))
			return false;
	}
	return true;
}

int
envelope_encode(const struct envelope *v, struct buf *out, struct err *e)
{
	size_t start = out->len;

	if (v->recipient_count > ENVELOPE_RECIPIENTS_MAX)
		return err_set(e, ERR_PERM, "envelope: too many recipients");
	if (!put_envelope(out, v))
		return err_set(e, ERR_PERM,
		    "envelope: a field is too long or has control bytes");
	if (buf_overflowed(out) || out->len - start > ENVELOPE_MAX)
		return err_set(e, ERR_PERM, "envelope: too big");
	return 0;
}

/* --- reading ------------------------------------------------------------- */

struct reader {
	const uint8_t *at;
	size_t left;
	struct pool *pool;
	bool bad;
};

static const uint8_t *
take(struct reader *r, size_t len)
{
	const uint8_t *p = r->at;

	if (r->bad || r->left < len) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	r->left -= len;
	return p;
}

static uint32_t
get_u32(struct reader *r)
{
	const uint8_t *p = take(r, 4);

	return p != NULL ? num_get_le32(p) : 0;
}

static uint64_t
get_u64(struct reader *r)
{
	const uint8_t *p = take(r, 8);

	return p != NULL ? num_get_le64(p) : 0;
}

static int64_t
get_i64(struct reader *r)
{
	return (int64_t)get_u64(r);
}

static char *
get_str(struct reader *r, bool required)
{
	uint32_t len = get_u32(r);
	const char *p;

	if (len == 0) {
		r->bad |= required;
		return NULL;
	}
	len--;
	p = len <= STRING_MAX ? (const char *)take(r, len) : NULL;
	if (p == NULL || has_control(p, len)) {
		r->bad = true;
		return NULL;
	}
	return pool_strndup(r->pool, p, len);
}

static void
get_recipient(struct reader *r, struct envelope_recipient *out)
{
	uint32_t packed = get_u32(r);

	out->state = packed & 0xff;
	out->kind = packed >> 8 & 0xff;
	out->code = (uint16_t)(packed >> 16);
	if (out->state > RECIPIENT_REPORTED || out->kind > RECIPIENT_REMOTE)
		r->bad = true;
	out->notify = get_u32(r);
	out->flags = get_u32(r);
	out->attempts = get_u32(r);
	out->last_try_ms = get_i64(r);
	out->address = get_str(r, true);
	out->original = get_str(r, false);
	out->delivered_to = get_str(r, false);
	out->target = get_str(r, false);
	out->status = get_str(r, false);
	out->reply = get_str(r, false);
	out->remote = get_str(r, false);
}

static void
get_envelope(struct reader *r, struct envelope *v)
{
	uint32_t count;

	v->flags = get_u32(r);
	v->body_lines = get_u32(r);
	v->local_prefix = get_u32(r);
	v->attempts = get_u32(r);
	v->body_size = get_u64(r);
	v->accepted_ms = get_i64(r);
	v->not_before_ms = get_i64(r);
	v->next_try_ms = get_i64(r);
	v->sender = get_str(r, true);
	v->client_ip = get_str(r, true);
	v->client_name = get_str(r, true);
	v->helo = get_str(r, true);
	v->auth_user = get_str(r, true);
	v->session_id = get_str(r, true);
	v->envid = get_str(r, false);
	v->hold_reason = get_str(r, false);
	count = get_u32(r);
	/* Before memory is taken for them: could they be there at all? */
	if (count > ENVELOPE_RECIPIENTS_MAX || count > r->left / RECIPIENT_MIN)
		r->bad = true;
	for (uint32_t i = 0; i < count && !r->bad; i++)
		get_recipient(r, envelope_add(v));
	if (v->local_prefix > v->body_size)
		r->bad = true;
}

int
envelope_decode(
    struct slice data, struct pool *pool, struct envelope *out, struct err *e)
{
	struct reader r = { (const uint8_t *)data.data, data.len, pool, false };
	uint32_t magic, version;

	memset(out, 0, sizeof(*out));
	if (data.len > ENVELOPE_MAX)
		return err_set(e, ERR_SYNTAX, "envelope: too big");
	magic = get_u32(&r);
	version = get_u32(&r);
	if (r.bad || magic != ENVELOPE_MAGIC)
		return err_set(e, ERR_SYNTAX, "envelope: not one");
	if (version != ENVELOPE_VERSION)
		return err_set(e, ERR_SYNTAX,
		    "envelope: version %u is not known", version);
	get_envelope(&r, out);
	if (r.bad || r.left != 0) {
		envelope_release(out);
		memset(out, 0, sizeof(*out));
		return err_set(e, ERR_SYNTAX, "envelope: damaged");
	}
	return 0;
}
