/* DNS answers: what comes out is bounded, and names are names. */
#include <assert.h>
#include <string.h>

#include "net/dns.h"

#include "tests/fuzz/fuzz.h"

static void
check_name(const char *name)
{
	assert(strlen(name) <= 253);
	assert(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") ==
	    strlen(name));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char name[] = "a.example";
	struct slice answer = slice_of((const char *)data, size);
	struct dns_text_list texts = { 0 };
	struct dns_mx_list mx = { 0 };
	struct dns_ip_list ips = { 0 };
	struct pool pool = { 0 };

	if (dns_parse_mx(answer, name, &pool, &mx) == DNS_OK) {
		assert(mx.count >= 1 && mx.count <= 100);
		for (size_t i = 0; i < mx.count; i++) {
			check_name(mx.items[i].name);
			assert(i == 0 ||
			    mx.items[i - 1].preference <=
				mx.items[i].preference);
		}
	}
	if (dns_parse_ip(answer, name, false, &pool, &ips) == DNS_OK)
		assert(ips.count >= 1 && ips.count <= 200);
	if (dns_parse_ip(answer, name, true, &pool, &ips) == DNS_OK)
		assert(ips.count >= 1 && ips.count <= 200);
	if (dns_parse_text(answer, name, false, &pool, &texts) == DNS_OK)
		assert(texts.count >= 1 && texts.count <= 100);
	if (dns_parse_text(answer, name, true, &pool, &texts) == DNS_OK) {
		for (size_t i = 0; i < texts.count; i++)
			check_name(texts.items[i]);
	}
	pool_release(&pool);
	return 0;
}
