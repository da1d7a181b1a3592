/*
 * Addresses: parsing, canonical form, text form; domain names through
 * libidn2, what is not ASCII in local parts through libunistring.  For SMTP paths and for addresses typed by people; not for header
 * fields with display names and groups.
 *
 * The parser walks the bytes once and refuses what it does not know: there is
 * no percent hack, no bang path, and a source route is read only to be
 * dropped.  What comes out has no control byte, so it cannot break a line in
 * a log, a header or a file of ours.
 *
 * Pure functions; any thread.
 */
#include "mail/address.h"

#include <idn2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

enum {
	ROUTE_MAX = 1024 /* bytes of a source route that we care to read */
};

static bool
is_atext(int c)
{
	return c > 0 &&
	    (ascii_is_alnum(c) || c >= 0x80 ||
		strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* --- Domains -------------------------------------------------------------- */

/* Perhaps with a hyphen at its begin or end. */
static bool
label_is_readable(struct slice label)
{
	if (label.len == 0 || label.len > 63)
		return false;
	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.data[i];

		if (!ascii_is_alnum(c) && c != '-' && c != '_')
			return false;
	}
	return true;
}

static bool
label_is_valid(struct slice label)
{
	return label_is_readable(label) && label.data[0] != '-' &&
	    label.data[label.len - 1] != '-';
}

static bool
is_number(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_is_digit((unsigned char)s.data[i]))
			return false;
	}
	return true;
}

/* Lower-case ASCII labels; sets *is_idn_out if one is an A-label. */
static bool
labels_are_valid(struct slice name, bool *is_idn_out)
{
	struct slice rest = name, label = { 0 };
	bool is_idn = false;

	if (name.len == 0 || name.len > 253)
		return false;
	while (rest.data != NULL) {
		rest = slice_cut(rest, '.', &label);
		if (!label_is_valid(label))
			return false;
		if (slice_starts(label, "xn--"))
			is_idn = true;
	}
	*is_idn_out = is_idn;
	/* 192.0.2.1 without brackets is no name: no top level is a number */
	return !is_number(label);
}

static int
idn_to_ascii(struct slice s, char *out, struct err *e)
{
	char utf8[4 * ADDRESS_DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;
	bool fits;
	int rc;

	if (!utf8_is_valid(s) || !slice_copy(s, utf8, sizeof(utf8)))
		return err_set(e, ERR_SYNTAX, "domain name is not UTF-8");
	rc = idn2_lookup_u8((const uint8_t *)utf8, &ascii,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK)
		return err_set(
		    e, ERR_SYNTAX, "domain name: %s", idn2_strerror(rc));
	fits = slice_copy(
	    slice_str((const char *)ascii), out, ADDRESS_DOMAIN_MAX + 1);
	idn2_free(ascii);
	if (!fits)
		return err_set(e, ERR_SYNTAX, "domain name is too long");
	return 0;
}

int
domain_normalise(
    struct slice s, char out[ADDRESS_DOMAIN_MAX + 1], struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	bool is_idn = false;

	if (s.len > 0 && s.data[s.len - 1] == '.')
		s.len--;
	if (!slice_is_ascii(s)) {
		if (idn_to_ascii(s, name, e) != 0)
			return -1;
	} else if (!slice_copy(s, name, sizeof(name))) {
		return err_set(e, ERR_SYNTAX, "domain name is too long");
	}
	ascii_lower_str(name);
	if (!labels_are_valid(slice_str(name), &is_idn))
		return err_set(e, ERR_SYNTAX, "not a domain name");
	if (is_idn) {
		char *unicode = NULL;
		int rc = idn2_to_unicode_8z8z(name, &unicode, 0);

		idn2_free(unicode);
		if (rc != IDN2_OK)
			return err_set(e, ERR_SYNTAX, "domain name: %s",
			    idn2_strerror(rc));
	}
	memcpy(out, name, strlen(name) + 1);
	return 0;
}

void
domain_display(const char *domain, char *out, size_t size)
{
	char *unicode = NULL;

	if (size == 0)
		return;
	if (idn2_to_unicode_8z8z(domain, &unicode, 0) != IDN2_OK ||
	    !slice_copy(slice_str(unicode), out, size)) {
		if (!slice_copy(slice_str(domain), out, size))
			out[0] = '\0';
	}
	idn2_free(unicode);
}

/* RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]", with brackets. */
static bool
literal_parse(struct slice s, struct ip *out)
{
	if (s.len < 3 || s.data[0] != '[' || s.data[s.len - 1] != ']')
		return false;
	s = slice_of(s.data + 1, s.len - 2);
	if (slice_istarts(s, "IPv6:")) {
		s = slice_skip(s, 5);
		return slice_chr(s, ':') >= 0 && ip_parse(s, out);
	}
	return slice_chr(s, ':') < 0 && ip_parse(s, out);
}

bool
helo_is_valid(struct slice s)
{
	struct slice label;
	struct ip ip;

	if (s.len == 0 || s.len > ADDRESS_DOMAIN_MAX)
		return false;
	if (s.data[0] == '[')
		return literal_parse(s, &ip);
	if (s.data[s.len - 1] == '.')
		s.len--;
	if (s.len == 0)
		return false;
	while (s.data != NULL) {
		s = slice_cut(s, '.', &label);
		if (!label_is_readable(label))
			return false;
	}
	return true;
}

/* --- Addresses ------------------------------------------------------------ */

/* The parser's place; each step moves `pos` behind what it took. */
struct scan {
	struct slice s;
	size_t pos;
	unsigned allow;
};

static int
scan_peek(const struct scan *p)
{
	return p->pos < p->s.len ? (unsigned char)p->s.data[p->pos] : -1;
}

/* Return paths of forwarded mail have a whole address within. */
static size_t
local_max(struct slice local)
{
	return slice_istarts(local, "SRS0=") || slice_istarts(local, "SRS1=")
	    ? ADDRESS_LOCAL_SRS_MAX
	    : ADDRESS_LOCAL_MAX;
}

/* RFC 5321 4.1.2 Dot-string; into `out` of ADDRESS_LOCAL_SRS_MAX bytes. */
static int
scan_dot_string(struct scan *p, char *out, size_t *len_out, struct err *e)
{
	size_t start = p->pos;
	struct slice local;

	while (scan_peek(p) == '.' || is_atext(scan_peek(p)))
		p->pos++;
	local = slice_of(p->s.data + start, p->pos - start);
	if (local.len == 0)
		return err_set(e, ERR_SYNTAX, "no local part");
	if (local.data[0] == '.' || local.data[local.len - 1] == '.')
		return err_set(e, ERR_SYNTAX, "a dot ends the local part");
	for (size_t i = 1; i < local.len; i++) {
		if (local.data[i] == '.' && local.data[i - 1] == '.')
			return err_set(e, ERR_SYNTAX,
			    "two dots in a row in the local part");
	}
	if (local.len > local_max(local))
		return err_set(e, ERR_SYNTAX, "local part is too long");
	memcpy(out, local.data, local.len);
	*len_out = local.len;
	return 0;
}

/* RFC 5321 4.1.2 Quoted-string, unquoted into `out`. */
static int
scan_quoted(struct scan *p, char *out, size_t *len_out, struct err *e)
{
	size_t len = 0;
	int c;

	p->pos++;
	while ((c = scan_peek(p)) != '"') {
		if (c == '\\') {
			p->pos++;
			c = scan_peek(p);
			if (c >= 0x80)
				c = -1;
		}
		if (c < 0x20 || c == 0x7f)
			return err_set(e, ERR_SYNTAX,
			    "quoted local part does not end or has a control "
			    "character");
		if (len == ADDRESS_LOCAL_MAX)
			return err_set(e, ERR_SYNTAX, "local part is too long");
		out[len++] = (char)c;
		p->pos++;
	}
	p->pos++;
	if (len == 0)
		return err_set(e, ERR_SYNTAX, "empty local part");
	*len_out = len;
	return 0;
}

static int
scan_local(struct scan *p, char *out, size_t *len_out, struct err *e)
{
	struct slice local;
	int rc = scan_peek(p) == '"' ? scan_quoted(p, out, len_out, e)
				     : scan_dot_string(p, out, len_out, e);

	if (rc != 0)
		return -1;
	local = slice_of(out, *len_out);
	if (slice_is_ascii(local))
		return 0;
	if (!(p->allow & ADDRESS_UTF8))
		return err_set(e, ERR_SYNTAX, "local part is not ASCII");
	if (!utf8_is_plain(local))
		return err_set(e, ERR_SYNTAX, "local part is not UTF-8 text");
	return 0;
}

static int
scan_literal(struct scan *p, char *domain, struct ip *ip_out, struct err *e)
{
	size_t start = p->pos;
	char text[IP_TEXT_SIZE];

	while (scan_peek(p) >= 0 && scan_peek(p) != ']' && scan_peek(p) != '>')
		p->pos++;
	if (scan_peek(p) == ']')
		p->pos++;
	if (!literal_parse(slice_of(p->s.data + start, p->pos - start), ip_out))
		return err_set(e, ERR_SYNTAX, "not an address literal");
	ip_format(ip_out, text);
	(void)snprintf(domain, ADDRESS_DOMAIN_MAX + 1, "[%s%s]",
	    ip_is_v4(ip_out) ? "" : "IPv6:", text);
	return 0;
}

static bool
is_domain_byte(int c)
{
	return c >= 0x80 || c == '-' || c == '.' || c == '_' ||
	    (c > 0 && ascii_is_alnum(c));
}

static int
scan_domain(struct scan *p, char *domain, struct err *e)
{
	size_t start = p->pos;

	while (is_domain_byte(scan_peek(p))) {
		if (scan_peek(p) >= 0x80 && !(p->allow & ADDRESS_UTF8))
			return err_set(e, ERR_SYNTAX, "domain is not ASCII");
		p->pos++;
	}
	return domain_normalise(
	    slice_of(p->s.data + start, p->pos - start), domain, e);
}

/* What one address has, before it goes to the pool. */
struct parsed {
	char local[ADDRESS_LOCAL_SRS_MAX];
	size_t local_len;
	char domain[ADDRESS_DOMAIN_MAX + 1];
	bool is_literal;
	struct ip literal;
};

static int
scan_mailbox(struct scan *p, struct parsed *out, struct err *e)
{
	size_t start = p->pos;

	if (scan_local(p, out->local, &out->local_len, e) != 0)
		return -1;
	if (scan_peek(p) != '@') {
		if (!(p->allow & ADDRESS_NO_DOMAIN))
			return err_set(e, ERR_SYNTAX, "no domain");
		return 0;
	}
	p->pos++;
	out->is_literal = scan_peek(p) == '[';
	if ((out->is_literal ? scan_literal(p, out->domain, &out->literal, e)
			     : scan_domain(p, out->domain, e)) != 0)
		return -1;
	/* A-labels may be longer than what was given */
	if (p->pos - start + 2 > ADDRESS_PATH_MAX ||
	    out->local_len + strlen(out->domain) + 3 > ADDRESS_PATH_MAX)
		return err_set(e, ERR_SYNTAX, "address is too long");
	return 0;
}

/* "@a,@b:" before the mailbox: to be ignored, RFC 5321 4.1.2 and C. */
static int
scan_route(struct scan *p, struct err *e)
{
	size_t start = p->pos;
	char domain[ADDRESS_DOMAIN_MAX + 1];

	while (scan_peek(p) == '@') {
		p->pos++;
		if (scan_domain(p, domain, e) != 0)
			return -1;
		if (scan_peek(p) == ',')
			p->pos++;
		else if (scan_peek(p) != ':')
			return err_set(e, ERR_SYNTAX, "bad source route");
		if (p->pos - start > ROUTE_MAX)
			return err_set(e, ERR_SYNTAX, "source route too long");
	}
	if (scan_peek(p) != ':')
		return err_set(e, ERR_SYNTAX, "bad source route");
	p->pos++;
	return 0;
}

static void
address_fill(const struct parsed *m, struct pool *pool, struct address *out)
{
	out->local = pool_strndup(pool, m->local, m->local_len);
	out->domain = pool_strdup(pool, m->domain);
	out->is_literal = m->is_literal;
	out->literal = m->literal;
}

int
address_parse_path(struct slice s, unsigned allow, struct pool *pool,
    struct address *out, struct slice *rest_out, struct err *e)
{
	struct scan p = { .s = s, .allow = allow };
	struct parsed m = { 0 };

	if (scan_peek(&p) != '<')
		return err_set(e, ERR_SYNTAX, "no < before the address");
	p.pos++;
	if (scan_peek(&p) == '>') {
		if (!(allow & ADDRESS_NULL))
			return err_set(e, ERR_SYNTAX, "no address");
	} else {
		if (scan_peek(&p) == '@' && scan_route(&p, e) != 0)
			return -1;
		if (scan_mailbox(&p, &m, e) != 0)
			return -1;
	}
	if (scan_peek(&p) != '>')
		return err_set(e, ERR_SYNTAX, "no > behind the address");
	p.pos++;
	address_fill(&m, pool, out);
	*rest_out = slice_skip(s, p.pos);
	return 0;
}

int
address_parse(struct slice s, unsigned allow, struct pool *pool,
    struct address *out, struct err *e)
{
	struct scan p = { .s = s, .allow = allow };
	struct parsed m = { 0 };

	if (s.len > 0 || !(allow & ADDRESS_NULL)) {
		if (scan_mailbox(&p, &m, e) != 0)
			return -1;
	}
	if (p.pos != s.len)
		return err_set(
		    e, ERR_SYNTAX, "something stands behind the address");
	address_fill(&m, pool, out);
	return 0;
}

static bool
needs_quotes(const char *local)
{
	size_t len = strlen(local);

	if (len == 0)
		return false;
	if (local[0] == '.' || local[len - 1] == '.')
		return true;
	for (size_t i = 0; i < len; i++) {
		if (local[i] == '.' ? local[i + 1] == '.'
				    : !is_atext((unsigned char)local[i]))
			return true;
	}
	return false;
}

char *
address_format(const struct address *a, struct pool *pool)
{
	char local[2 * ADDRESS_LOCAL_MAX + 3];
	const char *at = a->domain[0] != '\0' ? "@" : "";
	size_t len = 0;

	if (!needs_quotes(a->local))
		return pool_printf(pool, "%s%s%s", a->local, at, a->domain);
	local[len++] = '"';
	for (const char *c = a->local; *c != '\0'; c++) {
		if (len + 4 > sizeof(local))
			break;
		if (*c == '"' || *c == '\\')
			local[len++] = '\\';
		local[len++] = *c;
	}
	local[len++] = '"';
	local[len] = '\0';
	return pool_printf(pool, "%s%s%s", local, at, a->domain);
}

bool
address_is_utf8(const struct address *a)
{
	for (const char *c = a->local; *c != '\0'; c++) {
		if ((unsigned char)*c >= 0x80)
			return true;
	}
	return false;
}

char *
address_key(struct slice local, struct pool *pool)
{
	struct address a = { .local =
				 pool_strndup(pool, local.data, local.len) };
	uint8_t *key;
	size_t len = 0;

	if (!address_is_utf8(&a))
		return a.local;
	key = u8_tolower((const uint8_t *)local.data, local.len, NULL,
	    UNINORM_NFC, NULL, &len);
	/* not UTF-8: equal to nothing but itself */
	if (key == NULL)
		return a.local;
	a.local = pool_strndup(pool, (const char *)key, len);
	free(key);
	return a.local;
}

bool
address_has_hidden(const char *local)
{
	const uint8_t *next = (const uint8_t *)local;
	ucs4_t c;

	while ((next = u8_next(&c, next)) != NULL) {
		if (uc_is_property_default_ignorable_code_point(c))
			return true;
	}
	return false;
}

bool
address_same(const struct address *a, const struct address *b)
{
	struct pool pool = { 0 };
	bool same = strcmp(a->domain, b->domain) == 0 &&
	    ascii_casecmp(address_key(slice_str(a->local), &pool),
		address_key(slice_str(b->local), &pool)) == 0;

	pool_release(&pool);
	return same;
}
