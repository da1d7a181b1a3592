/*
 * Internet addresses and sets of them, as values.
 *
 * Both families are 16 bytes, so ranges are one memcmp() each way.  A set of
 * one family never contains an address of the other: "::/0" does not trust
 * the whole of IPv4 just because mapped addresses live inside it.
 *
 * Pure functions; any thread.
 */
#include "base/ip.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <string.h>

#include "base/num.h"

static const uint8_t ip_v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

enum {
	IP_V4_SKIP_BITS = 96
};

bool
ip_parse(struct slice s, struct ip *out)
{
	char text[IP_TEXT_SIZE];
	struct ip ip = { 0 };

	if (!slice_copy(s, text, sizeof(text)))
		return false;
	if (inet_pton(AF_INET6, text, ip.bytes) != 1) {
		if (inet_pton(AF_INET, text, ip.bytes + 12) != 1)
			return false;
		memcpy(ip.bytes, ip_v4_prefix, sizeof(ip_v4_prefix));
	}
	*out = ip;
	return true;
}

void
ip_format(const struct ip *ip, char out[IP_TEXT_SIZE])
{
	const char *text;

	if (ip_is_v4(ip))
		text = inet_ntop(AF_INET, ip->bytes + 12, out, IP_TEXT_SIZE);
	else
		text = inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_SIZE);
	if (text == NULL)
		out[0] = '\0';
}

bool
ip_eq(const struct ip *a, const struct ip *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool
ip_is_v4(const struct ip *ip)
{
	return memcmp(ip->bytes, ip_v4_prefix, sizeof(ip_v4_prefix)) == 0;
}

bool
ip_is_loopback(const struct ip *ip)
{
	static const struct ip one = { .bytes = { [15] = 1 } };

	return ip_is_v4(ip) ? ip->bytes[12] == 127 : ip_eq(ip, &one);
}

bool
ip_is_unroutable(const struct ip *ip)
{
	static const uint8_t zero[12];
	const uint8_t *b = ip->bytes;

	if (ip_is_v4(ip)) {
		return b[12] == 0 || b[12] >= 224 ||
		    (b[12] == 169 && b[13] == 254);
	}
	if (memcmp(b, zero, sizeof(zero)) == 0)
		return !ip_is_loopback(ip); /* RFC 4291 2.5.5.1 */
	return b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

/* The first `bits` bits set. */
static struct ip
mask_of_bits(unsigned bits)
{
	struct ip mask = { 0 };

	for (unsigned i = 0; i < bits; i++)
		mask.bytes[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return mask;
}

static bool
mask_has_holes(const struct ip *mask)
{
	bool ended = false;

	for (unsigned i = 0; i < 128; i++) {
		bool set = mask->bytes[i / 8] & (0x80 >> i % 8);

		if (set && ended)
			return true;
		ended = ended || !set;
	}
	return false;
}

/* What stands behind the '/': a number of bits or a mask. */
static int
parse_mask(struct slice s, bool is_v4, struct ip *mask_out, struct err *e)
{
	unsigned skip = is_v4 ? IP_V4_SKIP_BITS : 0;
	uint64_t bits;

	if (num_parse(s, 128 - skip, &bits)) {
		*mask_out = mask_of_bits(skip + (unsigned)bits);
		return 0;
	}
	if (!ip_parse(s, mask_out) || ip_is_v4(mask_out) != is_v4)
		return err_set(e, ERR_SYNTAX,
		    "\"%.*s\" is neither a prefix length from 0 to %u nor a "
		    "mask of the same family",
		    (int)num_min(s.len, 64), s.data, 128 - skip);
	if (is_v4)
		memset(mask_out->bytes, 0xff, sizeof(ip_v4_prefix));
	return 0;
}

static int
parse_masked(
    struct slice addr, struct slice behind, struct ip_set *out, struct err *e)
{
	struct ip mask;
	bool is_v4 = slice_chr(addr, ':') < 0;

	if (parse_mask(behind, is_v4, &mask, e) != 0)
		return -1;
	out->is_mask = mask_has_holes(&mask);
	for (size_t i = 0; i < sizeof(mask.bytes); i++) {
		uint8_t m = mask.bytes[i];

		out->low.bytes[i] &= m;
		out->high.bytes[i] =
		    out->is_mask ? m : out->low.bytes[i] | (uint8_t)~m;
	}
	return 0;
}

static int
bad_address(struct slice s, struct err *e)
{
	return err_set(e, ERR_SYNTAX, "\"%.*s\" is not an IP address",
	    (int)num_min(s.len, 64), s.data);
}

int
ip_set_parse(struct slice s, struct ip_set *out, struct err *e)
{
	struct ip_set set = { 0 };
	struct slice first, behind;
	bool has_mask = slice_chr(s, '/') >= 0;

	behind = slice_cut(s, has_mask ? '/' : '-', &first);
	if (!ip_parse(first, &set.low))
		return bad_address(first, e);
	set.high = set.low;
	if (has_mask) {
		if (parse_masked(first, behind, &set, e) != 0)
			return -1;
	} else if (behind.data != NULL) {
		if (!ip_parse(behind, &set.high))
			return bad_address(behind, e);
		if (ip_is_v4(&set.low) != ip_is_v4(&set.high))
			return err_set(e, ERR_SYNTAX,
			    "a range from one address family to the other");
		if (memcmp(&set.low, &set.high, sizeof(set.low)) > 0)
			return err_set(
			    e, ERR_SYNTAX, "the range ends before it begins");
	}
	*out = set;
	return 0;
}

bool
ip_set_has(const struct ip_set *set, const struct ip *ip)
{
	if (ip_is_v4(ip) != ip_is_v4(&set->low))
		return false;
	if (!set->is_mask)
		return memcmp(ip, &set->low, sizeof(*ip)) >= 0 &&
		    memcmp(ip, &set->high, sizeof(*ip)) <= 0;
	for (size_t i = 0; i < sizeof(ip->bytes); i++) {
		if ((ip->bytes[i] & set->high.bytes[i]) != set->low.bytes[i])
			return false;
	}
	return true;
}
