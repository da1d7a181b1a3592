/*
 * Session ticket keys, shared by the workers of a service.
 *
 * The supervisor makes the page before it forks and is the only writer.  A new
 * secret goes into the slot after the newest; then the generation is stored.
 * Readers use the two newest of four slots, so a reader would have to sleep
 * through two rotations (two hours) inside one call to see a slot change.
 *
 * Any thread of any process may read.
 */
#include "net/tls_ticket.h"

#include <sys/mman.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"

enum {
	SLOTS = 4,
	SECRET_SIZE = 32,
};

struct tls_ticket_keys {
	_Atomic uint32_t generation;
	uint8_t secrets[SLOTS][SECRET_SIZE];
};

struct tls_ticket_keys *
tls_ticket_keys_new(void)
{
	struct tls_ticket_keys *k;

	k = mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE,
	    /* cppcheck-suppress invalidFunctionArg */
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (k == MAP_FAILED) {
		perror("memory for ticket keys");
		abort();
	}
	(void)madvise(k, sizeof(*k), MADV_DONTDUMP);
	random_bytes(k->secrets, sizeof(k->secrets));
	return k;
}

void
tls_ticket_keys_rotate(struct tls_ticket_keys *k)
{
	uint32_t next = atomic_load(&k->generation) + 1;

	random_bytes(k->secrets[next % SLOTS], SECRET_SIZE);
	atomic_store(&k->generation, next);
}

static bool
derive(const uint8_t secret[SECRET_SIZE], const char *purpose, char part,
    uint8_t *out, size_t size)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned char label[128];
	unsigned len = 0;
	int n;
	bool done;

	n = snprintf((char *)label, sizeof(label), "%c %s", part, purpose);
	if (n < 0 || (size_t)n >= sizeof(label))
		return false;
	done = HMAC(EVP_sha256(), secret, SECRET_SIZE, label, (size_t)n, digest,
		   &len) != NULL &&
	    len >= size;
	if (done)
		memcpy(out, digest, size);
	mem_wipe(digest, sizeof(digest));
	return done;
}

static bool
derive_keys(const uint8_t secret[SECRET_SIZE], const char *purpose,
    struct tls_ticket_key *out)
{
	return derive(secret, purpose, 'c', out->cipher, sizeof(out->cipher)) &&
	    derive(secret, purpose, 'm', out->mac, sizeof(out->mac));
}

bool
tls_ticket_key_current(const struct tls_ticket_keys *k, const char *purpose,
    struct tls_ticket_key *out)
{
	const uint8_t *secret = k->secrets[atomic_load(&k->generation) % SLOTS];

	return derive(secret, purpose, 'n', out->name, sizeof(out->name)) &&
	    derive_keys(secret, purpose, out);
}

bool
tls_ticket_key_find(const struct tls_ticket_keys *k, const char *purpose,
    const uint8_t name[TLS_TICKET_NAME_SIZE], struct tls_ticket_key *out)
{
	uint32_t generation = atomic_load(&k->generation);

	for (uint32_t age = 0; age < 2; age++) {
		const uint8_t *secret = k->secrets[(generation - age) % SLOTS];

		if (!derive(secret, purpose, 'n', out->name, sizeof(out->name)))
			return false;
		if (memcmp(out->name, name, TLS_TICKET_NAME_SIZE) == 0)
			return derive_keys(secret, purpose, out);
	}
	return false;
}
