/*
 * ESMTP parameters: cutting and reading them.  What is allowed by policy is
 * asked elsewhere.
 *
 * Nothing gets through that could break a line later: xtext is decoded to
 * printable ASCII or refused (threats: control bytes in ENVID and ORCPT).
 *
 * Pure functions; any thread.
 */
#include "mtad/params.h"

#include "base/num.h"

#include "queue/envelope.h"

enum {
	ENVID_MAX = 100, /* RFC 3461 4.4 */
	ORCPT_MAX = 500, /* RFC 3461 4.2 */
	PARAMS_MAX = 20,
};

struct param {
	struct slice name;
	struct slice value; /* data == NULL: none was given */
};

/*
 * The next parameter.  1, or 0 at the end, or -1 if something else than
 * spaces stands there.
 */
static int
next_param(struct slice *rest, struct param *out)
{
	struct slice word;

	if (rest->len == 0)
		return 0;
	if (rest->data[0] != ' ')
		return -1;
	while (rest->len > 0 && rest->data[0] == ' ')
		*rest = slice_skip(*rest, 1);
	if (rest->len == 0)
		return 0;
	word.data = rest->data;
	word.len = 0;
	while (word.len < rest->len && rest->data[word.len] != ' ')
		word.len++;
	*rest = slice_skip(*rest, word.len);
	out->value = slice_cut(word, '=', &out->name);
	if (out->name.len == 0 ||
	    (out->value.data != NULL && out->value.len == 0))
		return -1;
	for (size_t i = 0; i < out->name.len; i++) {
		unsigned char c = (unsigned char)out->name.data[i];

		if (!ascii_is_alnum(c) && (c != '-' || i == 0))
			return -1;
	}
	for (size_t i = 0; out->value.data != NULL && i < out->value.len; i++) {
		unsigned char c = (unsigned char)out->value.data[i];

		if (c <= ' ' || c == 0x7f || c == '=')
			return -1;
	}
	return 1;
}

static int
hex_upper(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *
decode(struct slice s, bool utf8, struct pool *pool)
{
	char *text = pool_alloc(pool, s.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = (unsigned char)s.data[i];

		if (c == '+') {
			int high, low;

			if (i + 2 >= s.len)
				return NULL;
			high = hex_upper(s.data[i + 1]);
			low = hex_upper(s.data[i + 2]);
			if (high < 0 || low < 0)
				return NULL;
			c = high * 16 + low;
			i += 2;
		} else if (c == '=') {
			return NULL;
		}
		if (c < ' ' || c == 0x7f || (c > 0x7f && !utf8))
			return NULL;
		text[len++] = (char)c;
	}
	text[len] = '\0';
	return len > 0 && utf8_is_valid(slice_of(text, len)) ? text : NULL;
}

char *
xtext_decode(struct slice s, struct pool *pool)
{
	return decode(s, false, pool);
}

/* SIZE=n: a number too big for us is a size too big. */
static enum params_result
read_size(struct slice value, uint64_t *out)
{
	if (value.len == 0 || value.len > 20)
		return PARAMS_SYNTAX; /* RFC 1870 4 */
	for (size_t i = 0; i < value.len; i++) {
		if (!ascii_is_digit((unsigned char)value.data[i]))
			return PARAMS_SYNTAX;
	}
	return num_parse(value, INT64_MAX, out) ? PARAMS_OK : PARAMS_SIZE;
}

enum mail_param_bit {
	SEEN_SIZE = 1,
	SEEN_BODY = 2,
	SEEN_SMTPUTF8 = 4,
	SEEN_AUTH = 8,
	SEEN_RET = 16,
	SEEN_ENVID = 32,
	SEEN_NOTIFY = 64,
	SEEN_ORCPT = 128,
};

/* The bit of a name out of a list in that order; 0 = unknown. */
static unsigned
param_bit(struct slice name)
{
	static const char *const names[] = { "SIZE", "BODY", "SMTPUTF8", "AUTH",
		"RET", "ENVID", "NOTIFY", "ORCPT" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_ieq_str(name, names[i]))
			return 1U << i;
	}
	return 0;
}

static enum params_result
read_mail_param(unsigned bit, struct slice value, struct pool *pool, void *arg)
{
	struct mail_params *out = arg;

	switch (bit) {
	case SEEN_SIZE:
		return read_size(value, &out->size);
	case SEEN_BODY:
		out->body_8bit = slice_ieq_str(value, "8BITMIME");
		return out->body_8bit || slice_ieq_str(value, "7BIT")
		    ? PARAMS_OK
		    : PARAMS_SYNTAX;
	case SEEN_SMTPUTF8:
		out->smtputf8 = true;
		return value.data == NULL ? PARAMS_OK : PARAMS_SYNTAX;
	case SEEN_AUTH:
		/* RFC 4954 5: read, and not trusted */
		return slice_eq_str(value, "<>") ||
			xtext_decode(value, pool) != NULL
		    ? PARAMS_OK
		    : PARAMS_SYNTAX;
	case SEEN_RET:
		if (slice_ieq_str(value, "FULL"))
			out->ret = ENVELOPE_RET_FULL;
		else if (slice_ieq_str(value, "HDRS"))
			out->ret = ENVELOPE_RET_HDRS;
		return out->ret != 0 ? PARAMS_OK : PARAMS_SYNTAX;
	case SEEN_ENVID:
		if (value.len <= ENVID_MAX)
			out->envid = xtext_decode(value, pool);
		return out->envid != NULL ? PARAMS_OK : PARAMS_SYNTAX;
	default:
		return PARAMS_UNKNOWN;
	}
}

/* Each parameter at most once; read() knows those of one command. */
static enum params_result
read_params(struct slice args, struct pool *pool, void *out,
    enum params_result (*read)(
	unsigned bit, struct slice value, struct pool *pool, void *out))
{
	struct param p;
	unsigned seen = 0;
	int rc;

	for (int i = 0; (rc = next_param(&args, &p)) > 0; i++) {
		unsigned bit = param_bit(p.name);
		enum params_result r;

		if (i >= PARAMS_MAX || (bit & seen))
			return PARAMS_SYNTAX;
		seen |= bit;
		r = read(bit, p.value, pool, out);
		if (r != PARAMS_OK)
			return r;
	}
	return rc == 0 ? PARAMS_OK : PARAMS_SYNTAX;
}

enum params_result
mail_params_parse(struct slice args, struct pool *pool, struct mail_params *out)
{
	*out = (struct mail_params){ 0 };
	return read_params(args, pool, out, read_mail_param);
}

/* NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY (RFC 3461 4.1). */
static enum params_result
read_notify(struct slice value, uint32_t *out)
{
	uint32_t notify = 0;

	while (value.data != NULL) {
		struct slice word;
		uint32_t bit;

		value = slice_cut(value, ',', &word);
		if (slice_ieq_str(word, "NEVER"))
			bit = NOTIFY_NEVER;
		else if (slice_ieq_str(word, "SUCCESS"))
			bit = NOTIFY_SUCCESS;
		else if (slice_ieq_str(word, "FAILURE"))
			bit = NOTIFY_FAILURE;
		else if (slice_ieq_str(word, "DELAY"))
			bit = NOTIFY_DELAY;
		else
			return PARAMS_SYNTAX;
		if (notify & bit)
			return PARAMS_SYNTAX;
		notify |= bit;
	}
	if (notify == 0 || ((notify & NOTIFY_NEVER) && notify != NOTIFY_NEVER))
		return PARAMS_SYNTAX;
	*out = notify;
	return PARAMS_OK;
}

/*
 * ORCPT=rfc822;xtext (RFC 3461 4.2); of the type utf-8 the address may be
 * UTF-8 as it is (RFC 6533 3).
 */
static enum params_result
read_orcpt(struct slice value, bool utf8, struct pool *pool, char **out)
{
	struct slice type, rest;
	char *address;

	if (value.len > ORCPT_MAX)
		return PARAMS_SYNTAX;
	rest = slice_cut(value, ';', &type);
	if (rest.len == 0 || type.len == 0)
		return PARAMS_SYNTAX;
	for (size_t i = 0; i < type.len; i++) {
		unsigned char c = (unsigned char)type.data[i];

		if (!ascii_is_alnum(c) && c != '-')
			return PARAMS_SYNTAX;
	}
	address = decode(rest, utf8 && slice_ieq_str(type, "utf-8"), pool);
	if (address == NULL)
		return PARAMS_SYNTAX;
	*out = pool_printf(pool, "%.*s;%s", SLICE_ARGS(type), address);
	return PARAMS_OK;
}

static enum params_result
read_rcpt_param(unsigned bit, struct slice value, struct pool *pool, void *out)
{
	struct rcpt_params *r = out;

	if (bit == SEEN_NOTIFY)
		return read_notify(value, &r->notify);
	if (bit == SEEN_ORCPT)
		return read_orcpt(value, r->allows_utf8, pool, &r->original);
	return PARAMS_UNKNOWN;
}

enum params_result
rcpt_params_parse(
    struct slice args, bool utf8, struct pool *pool, struct rcpt_params *out)
{
	*out = (struct rcpt_params){ .allows_utf8 = utf8 };
	return read_params(args, pool, out, read_rcpt_param);
}
