/*
 * Return paths of forwarded mail; see srs.h.
 *
 * Invariant: what srs_reverse() gives was sealed by srs_forward() with the
 * same key, and is an address.  The seal is compared in constant time and
 * before anything else is believed.
 *
 * Pure functions; any thread.
 */
#include "mail/srs.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum {
	SEAL_LEN = 8,
	DAY_LEN = 2,
	DAY_COUNT = 1024,
	DAY_MS = 86400000,
	PREFIX_LEN = 5, /* "SRS0=" */
};

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

bool
srs_is(struct slice local)
{
	return slice_istarts(local, "SRS0=") || slice_istarts(local, "SRS1=");
}

/* Five bits a digit, from the first of them. */
static void
to_base32(uint64_t value, size_t count, char *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = digits[value >> (5 * (count - 1 - i)) & 31];
	out[count] = '\0';
}

static bool
from_base32(struct slice s, unsigned *out)
{
	unsigned value = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = ascii_lower((unsigned char)s.data[i]);
		const char *at = c != 0 ? strchr(digits, c) : NULL;

		if (at == NULL)
			return false;
		value = value << 5 | (unsigned)(at - digits);
	}
	*out = value;
	return true;
}

static void
seal(const uint8_t *key, char type, struct slice text, struct pool *pool,
    char out[SEAL_LEN + 1])
{
	char *low = pool_printf(pool, "%c%.*s", type, SLICE_ARGS(text));
	unsigned char mac[EVP_MAX_MD_SIZE];
	uint64_t value = 0;

	ascii_lower_str(low);
	if (HMAC(EVP_sha256(), key, SRS_KEY_SIZE, (unsigned char *)low,
		strlen(low), mac, NULL) == NULL)
		abort();
	for (size_t i = 0; i < SEAL_LEN; i++)
		value = value << 8 | mac[i];
	to_base32(value >> 24, SEAL_LEN, out);
}

static bool
seal_fits(const uint8_t *key, char type, struct slice given, struct slice text,
    struct pool *pool)
{
	char right[SEAL_LEN + 1], low[SEAL_LEN + 1];

	if (!slice_copy(given, low, sizeof(low)) || given.len != SEAL_LEN)
		return false;
	ascii_lower_str(low);
	seal(key, type, text, pool, right);
	return CRYPTO_memcmp(low, right, SEAL_LEN) == 0;
}

/* --- Forward ------------------------------------------------------------------ */

/* What is sealed: of one that is an SRS address elsewhere, as SRS1. */
static char *
inside(const struct address *sender, int64_t wall_ms, struct pool *pool,
    char *type_out)
{
	const char *local = sender->local, *first;
	char day[DAY_LEN + 1];

	*type_out = '1';
	if (slice_istarts(slice_str(local), "SRS0") &&
	    strchr("=+-", local[4]) != NULL && local[4] != '\0')
		return pool_printf(
		    pool, "%s=%s", sender->domain, local + PREFIX_LEN - 1);
	if (slice_istarts(slice_str(local), "SRS1") && local[4] != '\0' &&
	    strchr("=+-", local[4]) != NULL) {
		first = strchr(local + PREFIX_LEN, '=');
		if (first != NULL && first[1] != '\0')
			return pool_strdup(pool, first + 1);
	}
	*type_out = '0';
	to_base32((uint64_t)(wall_ms / DAY_MS) % DAY_COUNT, DAY_LEN, day);
	return pool_printf(
	    pool, "%s=%s=%s", day, sender->domain, sender->local);
}

int
srs_forward(const uint8_t key[SRS_KEY_SIZE], const struct address *sender,
    const char *domain, int64_t wall_ms, struct pool *pool, char **out,
    struct err *e)
{
	char sealed[SEAL_LEN + 1], type, *text;
	struct address a = { 0 };

	text = inside(sender, wall_ms, pool, &type);
	seal(key, type, slice_str(text), pool, sealed);
	a.local = pool_printf(pool, "SRS%c=%s=%s", type, sealed, text);
	a.domain = pool_strdup(pool, domain);
	text = address_format(&a, pool);
	/* others, and we ourselves, must be able to read it */
	if (address_parse(slice_str(text), ADDRESS_UTF8, pool, &a, e) != 0) {
		e->kind = ERR_PERM;
		return -1;
	}
	*out = text;
	return 0;
}

/* --- Back --------------------------------------------------------------------- */

static enum srs_result
finish(struct pool *pool, struct slice local, struct slice domain, char **out)
{
	struct address a = { 0 };
	struct err e;
	char *text;

	a.local = pool_strndup(pool, local.data, local.len);
	a.domain = pool_strndup(pool, domain.data, domain.len);
	if (a.local[0] == '\0' || a.domain[0] == '\0')
		return SRS_FORGED;
	text = address_format(&a, pool);
	if (address_parse(slice_str(text), ADDRESS_UTF8, pool, &a, &e) != 0)
		return SRS_FORGED;
	*out = address_format(&a, pool);
	return SRS_GOOD;
}

static bool
is_expired(unsigned day, int64_t wall_ms, unsigned days_max)
{
	unsigned now = (unsigned)((wall_ms / DAY_MS) % DAY_COUNT);
	unsigned age = (now - day) % DAY_COUNT;

	/* another machine's clock may be a day ahead */
	return age > days_max && age != DAY_COUNT - 1;
}

enum srs_result
srs_reverse(const uint8_t key[SRS_KEY_SIZE], struct slice local,
    int64_t wall_ms, unsigned days_max, struct pool *pool, char **out)
{
	struct slice text, given, day, domain, rest;
	unsigned made;

	if (!srs_is(local))
		return SRS_FORGED;
	text = slice_cut(slice_skip(local, PREFIX_LEN), '=', &given);
	if (text.data == NULL ||
	    !seal_fits(key, local.data[3], given, text, pool))
		return SRS_FORGED;
	if (local.data[3] == '1') {
		rest = slice_cut(text, '=', &domain);
		return rest.data == NULL
		    ? SRS_FORGED
		    : finish(pool,
			  slice_str(
			      pool_printf(pool, "SRS0%.*s", SLICE_ARGS(rest))),
			  domain, out);
	}
	rest = slice_cut(text, '=', &day);
	if (rest.data == NULL || day.len != DAY_LEN || !from_base32(day, &made))
		return SRS_FORGED;
	if (is_expired(made, wall_ms, days_max))
		return SRS_EXPIRED;
	rest = slice_cut(rest, '=', &domain);
	return rest.data == NULL ? SRS_FORGED : finish(pool, rest, domain, out);
}
