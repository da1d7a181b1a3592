/*
 * Names in a mail store: the path of a mailbox, the name of a message, what a
 * name tells (size, flags, arrival), the POP3 unique id.  No file is touched.
 */
#include "maildir/name.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/id.h"
#include "base/num.h"

#include "maildir/maildir.h"

enum {
	HOST_MAX = 64,
	UIDL_MAX = 70
};

#define SECONDS_MAX (UINT64_C(1) << 40) /* beyond any calendar */

static bool
is_plain(int c)
{
	return ascii_is_alnum(c) || c == '.' || c == '_' || c == '+' ||
	    c == '=' || c == '-';
}

/* One component of a path, escaped; -1 when it does not fit. */
static int
add_component(struct slice s, char *out, size_t size, size_t *at)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		int c = ascii_lower((unsigned char)s.data[i]);

		if (*at + 4 > size)
			return -1;
		if (is_plain(c) && (c != '.' || i > 0)) {
			out[(*at)++] = (char)c;
			continue;
		}
		out[(*at)++] = '%';
		out[(*at)++] = hex[c >> 4 & 15];
		out[(*at)++] = hex[c & 15];
	}
	return s.len > 0 ? 0 : -1;
}

bool
maildir_path(struct slice local, struct slice domain, char *out, size_t size)
{
	size_t at = 0, slash;

	if (size < 8 || add_component(domain, out, size, &at) != 0)
		return false;
	out[at++] = '/';
	slash = at;
	if (add_component(local, out, size, &at) != 0 || slash > 255 ||
	    at - slash > 255)
		return false;
	out[at] = '\0';
	return true;
}

void
maildir_delivery_name(const char *id, unsigned index, const char *host,
    uint64_t size, uint64_t wire_size, char out[MAILDIR_NAME_SIZE])
{
	char clean[HOST_MAX + 1];
	char number[16] = "";
	size_t n = 0;

	for (; n < HOST_MAX && host[n] != '\0'; n++)
		clean[n] = ascii_is_alnum((unsigned char)host[n]) ||
			host[n] == '-' || host[n] == '.'
		    ? host[n]
		    : '_';
	clean[n] = '\0';
	if (index > 0)
		(void)snprintf(number, sizeof(number), "%u.", index);
	(void)snprintf(out, MAILDIR_NAME_SIZE, "%s.%s%s,S=%llu,W=%llu", id,
	    number, clean, (unsigned long long)size,
	    (unsigned long long)wire_size);
}

struct slice
maildir_base_name(const char *name)
{
	return slice_of(name, (size_t)(strchrnul(name, ':') - name));
}

/* Decimal digits up to `end`; false if there are others, none or too many. */
static bool
parse_digits(const char *p, const char *end, uint64_t *out)
{
	enum {
		DIGITS_MAX = 18
	};

	uint64_t n = 0;

	if (p == end || end - p > DIGITS_MAX)
		return false;
	for (; p < end; p++) {
		unsigned digit = (unsigned char)*p - '0';

		if (digit > 9)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

/* The numbers behind ",S=" and ",W="; what the name lacks. */
static unsigned
parse_sizes(struct slice base, struct maildir_entry *out)
{
	const char *end = base.data + base.len;
	const char *p = memchr(base.data, ',', base.len);
	unsigned missing = MAILDIR_NO_SIZE | MAILDIR_NO_WIRE_SIZE;

	while (p != NULL && end - p > 3) {
		const char *field = p + 1;

		p = memchr(field, ',', (size_t)(end - field));
		if (field[1] != '=')
			continue;
		if (field[0] == 'S' &&
		    parse_digits(field + 2, p ? p : end, &out->size))
			missing &= ~(unsigned)MAILDIR_NO_SIZE;
		if (field[0] == 'W' &&
		    parse_digits(field + 2, p ? p : end, &out->wire_size))
			missing &= ~(unsigned)MAILDIR_NO_WIRE_SIZE;
	}
	return missing;
}

static uint8_t
parse_flags(const char *info)
{
	static const char letters[] = "DFPRST";
	uint8_t flags = 0;

	if (strncmp(info, ":2,", 3) != 0)
		return 0;
	for (info += 3; *info != '\0'; info++) {
		const char *at = strchr(letters, *info);

		if (at != NULL)
			flags |= (uint8_t)(1U << (at - letters));
	}
	return flags;
}

/* Arrival: the clock in our ids, or the seconds most others begin with. */
static int64_t
arrival(struct slice base)
{
	const char *dot = memchr(base.data, '.', base.len);
	size_t len = dot ? (size_t)(dot - base.data) : base.len;
	uint64_t seconds;

	if (len == ID_LEN && id_is_valid(slice_of(base.data, len)))
		return id_wall_ms(base.data);
	if (parse_digits(base.data, base.data + len, &seconds) &&
	    seconds <= SECONDS_MAX)
		return (int64_t)seconds * 1000;
	return 0;
}

unsigned
maildir_parse_name(const char *name, struct maildir_entry *out)
{
	struct slice base = maildir_base_name(name);

	out->flags = parse_flags(name + base.len);
	out->arrived_ms = arrival(base);
	return parse_sizes(base, out);
}

static void
maildir_format_flags(uint8_t flags, char out[MAILDIR_INFO_SIZE])
{
	static const char letters[] = "DFPRST";
	size_t n = 3;

	memcpy(out, ":2,", 3);
	for (unsigned i = 0; letters[i] != '\0'; i++) {
		if ((flags & 1U << i) != 0)
			out[n++] = letters[i];
	}
	out[n] = '\0';
}

bool
maildir_with_flags(const char *name, uint8_t flags, char out[MAILDIR_NAME_SIZE])
{
	struct slice base = maildir_base_name(name);
	const char *info = name + base.len;
	size_t len = base.len;

	if (len + MAILDIR_INFO_SIZE > MAILDIR_NAME_SIZE)
		return false;
	memcpy(out, name, len);
	maildir_format_flags(flags, out + len);
	len += strlen(out + len);
	if (strncmp(info, ":2,", 3) != 0)
		return true;
	for (info += 3; *info != '\0'; info++) {
		if (strchr("DFPRST", *info) != NULL)
			continue;
		if (len + 1 >= MAILDIR_NAME_SIZE)
			return false;
		out[len++] = *info;
	}
	out[len] = '\0';
	return true;
}

uint32_t
maildir_letters(const char *name)
{
	const char *info = name + maildir_base_name(name).len;
	uint32_t letters = 0;

	if (strncmp(info, ":2,", 3) != 0)
		return 0;
	for (info += 3; *info != '\0'; info++) {
		if (*info >= 'a' && *info <= 'z')
			letters |= UINT32_C(1) << (*info - 'a');
	}
	return letters;
}

bool
maildir_with_letters(const char *name, uint32_t add, uint32_t remove,
    char out[MAILDIR_NAME_SIZE])
{
	uint32_t letters = (maildir_letters(name) | add) & ~remove;
	size_t len = 0, start = maildir_base_name(name).len;

	for (size_t i = 0; name[i] != '\0'; i++) {
		if (i >= start && name[i] >= 'a' && name[i] <= 'z')
			continue;
		if (len + 1 >= MAILDIR_NAME_SIZE)
			return false;
		out[len++] = name[i];
	}
	for (unsigned i = 0; i < 26; i++) {
		if ((letters >> i & 1) == 0)
			continue;
		if (len + 1 >= MAILDIR_NAME_SIZE)
			return false;
		out[len++] = (char)('a' + i);
	}
	out[len] = '\0';
	return true;
}

int
maildir_order(const char *a, const char *b)
{
	struct slice base_a = maildir_base_name(a);
	struct slice base_b = maildir_base_name(b);
	int64_t time_a = arrival(base_a), time_b = arrival(base_b);
	int order;

	if (time_a != time_b)
		return time_a < time_b ? -1 : 1;
	order = memcmp(a, b, num_min(base_a.len, base_b.len));
	if (order != 0 || base_a.len == base_b.len)
		return order;
	return base_a.len < base_b.len ? -1 : 1;
}

static void
put_digest(const char *name, size_t len, char out[MAILDIR_UIDL_SIZE])
{
	unsigned char digest[32];

	if (EVP_Digest(name, len, digest, NULL, EVP_sha256(), NULL) != 1)
		memset(digest, 0, sizeof(digest));
	hex_encode(digest, sizeof(digest), out);
}

void
maildir_uidl(const char *name, char out[MAILDIR_UIDL_SIZE])
{
	size_t len = 0;

	/* a byte at a time: a list has a million of them, and they are short */
	for (; name[len] != ',' && name[len] != ':' && name[len] != '\0';
	     len++) {
		if (len == UIDL_MAX || name[len] < 0x21 || name[len] > 0x7E) {
			put_digest(name, strcspn(name, ",:"), out);
			return;
		}
		out[len] = name[len];
	}
	out[len] = '\0';
	if (len == 0)
		put_digest(name, len, out);
}

void
maildir_uidl_again(const char *name, char out[MAILDIR_UIDL_SIZE])
{
	put_digest(name, maildir_base_name(name).len, out);
}
