/* Addresses: what is taken formats to a text that parses to the same. */
#include <assert.h>
#include <string.h>

#include "mail/address.h"

#include "tests/fuzz/fuzz.h"

static void
check(const struct address *a, struct pool *pool)
{
	char *text = address_format(a, pool);
	struct address b;
	struct err e;

	assert(strlen(a->local) <= ADDRESS_LOCAL_MAX);
	assert(strlen(a->domain) <= ADDRESS_DOMAIN_MAX);
	assert(strlen(text) < ADDRESS_TEXT_SIZE);
	for (const char *c = text; *c != '\0'; c++)
		assert((unsigned char)*c >= ' ' && *c != 0x7f);
	assert(address_parse(slice_str(text),
		   ADDRESS_NULL | ADDRESS_NO_DOMAIN | ADDRESS_UTF8, pool, &b,
		   &e) == 0);
	assert(strcmp(a->local, b.local) == 0);
	assert(strcmp(a->domain, b.domain) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool pool = { 0 };
	struct address a;
	struct slice s, rest;
	struct err e;
	char name[ADDRESS_DOMAIN_MAX + 1];

	if (size == 0)
		return 0;
	s = slice_of((const char *)data + 1, size - 1);
	if (address_parse_path(s, data[0] & 7, &pool, &a, &rest, &e) == 0)
		check(&a, &pool);
	if (address_parse(s, data[0] & 7, &pool, &a, &e) == 0)
		check(&a, &pool);
	if (domain_normalise(s, name, &e) == 0)
		assert(helo_is_valid(slice_str(name)));
	pool_release(&pool);
	return 0;
}
