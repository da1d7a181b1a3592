/*
 * Cross-site requests; see web.h.  A token is 32 random bytes and their XOR
 * with HMAC-SHA256(secret, "csrf"), so that compressing a page tells nothing.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/base64.h"
#include "base/id.h"
#include "web/web.h"

enum {
	MAC_SIZE = 32
};

static bool
make_mac(const char *secret, unsigned char out[MAC_SIZE])
{
	static const unsigned char purpose[] = "csrf";
	unsigned len = MAC_SIZE;

	return HMAC(EVP_sha256(), secret, (int)strlen(secret), purpose,
		   sizeof(purpose) - 1, out, &len) != NULL &&
	    len == MAC_SIZE;
}

void
web_csrf_token(const char *secret, struct buf *out)
{
	unsigned char mac[MAC_SIZE], token[2 * MAC_SIZE];

	if (!make_mac(secret, mac))
		return; /* an empty token fits nothing */
	random_bytes(token, MAC_SIZE);
	for (size_t i = 0; i < MAC_SIZE; i++)
		token[MAC_SIZE + i] = token[i] ^ mac[i];
	base64url_encode(token, sizeof(token), out);
}

bool
web_csrf_check(const char *secret, const char *token)
{
	unsigned char mac[MAC_SIZE];
	struct buf bytes;
	bool good;

	if (secret == NULL || token == NULL || !make_mac(secret, mac))
		return false;
	buf_init(&bytes, (size_t)4 * MAC_SIZE);
	good = base64url_decode(slice_str(token), &bytes) &&
	    bytes.len == (size_t)2 * MAC_SIZE;
	if (good) {
		for (size_t i = 0; i < MAC_SIZE; i++)
			mac[i] ^= (unsigned char)bytes.data[i];
		good = CRYPTO_memcmp(mac, bytes.data + MAC_SIZE, MAC_SIZE) == 0;
	}
	buf_release(&bytes);
	return good;
}

/* The host[:port] of an Origin is what the browser asked for. */
static bool
origin_is_ours(const char *origin, const char *host)
{
	struct slice rest = slice_str(origin), own = slice_str(host);

	if (slice_istarts(rest, "https://"))
		rest = slice_skip(rest, 8);
	else if (slice_istarts(rest, "http://"))
		rest = slice_skip(rest, 7);
	else
		return false;
	return own.len > 0 && slice_ieq(rest, own);
}

bool
web_is_same_origin(const struct web_request *r)
{
	const char *site = web_header(r, "SEC_FETCH_SITE");
	const char *origin = web_header(r, "ORIGIN");

	if (site[0] != '\0' && strcmp(site, "same-origin") != 0)
		return false;
	/*
	 * Under Referrer-Policy: no-referrer, which our pages have, a
	 * browser's own form says "null": then the other header decides.
	 */
	if (strcmp(origin, "null") == 0)
		return site[0] != '\0';
	return origin[0] == '\0' ||
	    origin_is_ours(origin, web_header(r, "HOST"));
}
