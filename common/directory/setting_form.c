/*
 * The forms of items of settings; see setting_form.h.  Pure, any thread: what
 * an item means (a domain that exists, an address of this machine) is not
 * looked at here.
 */
#include "directory/setting_form.h"

#include <assert.h>
#include <string.h>

#include "base/ip.h"
#include "base/mem.h"
#include "directory/smarthost.h"
#include "mail/address.h"

typedef bool part_function(struct slice s, struct buf *out);

static bool
put_ip(struct slice s, struct buf *out)
{
	struct ip ip;

	buf_addslice(out, s);
	return ip_parse(s, &ip);
}

static bool
put_domain(struct slice s, struct buf *out)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct err e;

	if (domain_normalise(s, name, &e) != 0)
		return false;
	buf_addstr(out, name);
	return true;
}

/* A destination: a domain, "[192.0.2.1]", or * for all others. */
static bool
put_destination(struct slice s, struct buf *out)
{
	struct ip ip;

	if (put_domain(s, out))
		return true;
	buf_addslice(out, s);
	return slice_eq_str(s, "*") ||
	    (slice_starts(s, "[") && slice_ends(s, "]") &&
		ip_parse(slice_of(s.data + 1, s.len - 2), &ip));
}

static bool
put_text(struct slice s, struct buf *out)
{
	buf_addslice(out, s);
	return s.len > 0;
}

static bool
put_address(struct slice s, struct buf *out)
{
	struct pool pool = { 0 };
	struct address a;
	struct err e;
	bool is_good = address_parse(s, ADDRESS_UTF8, &pool, &a, &e) == 0;

	buf_addslice(out, s);
	pool_release(&pool);
	return is_good;
}

static bool
put_delimiter(struct slice s, struct buf *out)
{
	buf_addslice(out, s);
	return s.len == 1 && s.data[0] != '\0' &&
	    strchr("!#$%&'*+-/=?^_`{|}~.", s.data[0]) != NULL;
}

static bool
put_policy(struct slice s, struct buf *out)
{
	enum smarthost_tls tls;

	buf_addslice(out, s);
	return smarthost_parse_tls(s, &tls) && tls != SMARTHOST_TLS_WRAPPED;
}

static bool
put_source(struct slice s, struct buf *out)
{
	struct slice ip, name = slice_cut(s, '/', &ip);

	if (ip.len > 0 && !put_ip(ip, out))
		return false;
	if (name.data == NULL)
		return ip.len > 0;
	buf_addc(out, '/');
	return put_domain(name, out);
}

static bool
put_smarthost(struct slice s, struct buf *out)
{
	struct smarthost h;

	buf_addslice(out, s);
	return smarthost_parse(s, &h);
}

static const struct form {
	const char *name, *like;
	part_function *key, *value; /* value NULL: the item is the key */
	bool value_may_miss;
} forms[] = {
	{ "ip", "192.0.2.1", put_ip, NULL, false },
	{ "address", "ann@example.org", put_address, NULL, false },
	{ "delimiter", "+", put_delimiter, NULL, false },
	{ "smarthost", "relay.example.org:587/verify", put_smarthost, NULL,
	    false },
	{ "ip=host", "192.0.2.1=mail.example.org", put_ip, put_domain, false },
	{ "ip=text", "192.0.2.1=Our_greeting", put_ip, put_text, false },
	{ "domain=host", "example.org=mail.example.org", put_domain, put_domain,
	    false },
	{ "domain=tls", "example.org=verify", put_destination, put_policy,
	    false },
	{ "domain=source", "example.org=192.0.2.1/mail.example.org",
	    put_destination, put_source, false },
	{ "domain=smarthost", "example.org=relay.example.org:587/verify",
	    put_destination, put_smarthost, false },
	{ "domain[=smarthost]", "example.org=relay.example.org:587/verify",
	    put_destination, put_smarthost, true },
};

static bool
put_row(const struct form *f, struct slice item, struct buf *out)
{
	struct slice key, value = slice_cut(item, '=', &key);

	if (f->value == NULL)
		return f->key(item, out);
	if (!f->key(key, out))
		return false;
	if (value.data == NULL)
		return f->value_may_miss;
	buf_addc(out, '=');
	return f->value(value, out);
}

bool
setting_form_check(
    const char *form, struct slice item, struct buf *out, const char **like_out)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (strcmp(forms[i].name, form) != 0)
			continue;
		*like_out = forms[i].like;
		return put_row(&forms[i], item, out);
	}
	assert(!"form of settings.def");
	return false;
}
