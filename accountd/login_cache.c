/*
 * Successful passwords, as keyed hashes in a fixed table of sets of four.
 * See the header for what makes an entry safe.  One lock, held for a few
 * comparisons; the hash is computed outside it.
 */
#include "login_cache.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"

#include "password.h"

enum {
	SETS = 4096,
	WAYS = 4
};

struct remembered {
	uint8_t mac[SECRET_KEY_LEN];
	int64_t until_ms;
};

struct login_cache {
	pthread_mutex_t lock;
	uint8_t key[SECRET_KEY_LEN];
	struct remembered table[SETS][WAYS];
};

struct login_cache *
login_cache_new(void)
{
	struct login_cache *c = mem_zalloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	random_bytes(c->key, sizeof(c->key));
	return c;
}

void
login_cache_free(struct login_cache *c)
{
	if (c == NULL)
		return;
	pthread_mutex_destroy(&c->lock);
	mem_wipe(c, sizeof(*c));
	free(c);
}

/* False: too long to be anybody's password. */
static bool
make_mac(const struct login_cache *c, int64_t account_id, const char *hash,
    struct slice password, uint8_t mac[SECRET_KEY_LEN])
{
	struct buf b;
	bool good;

	buf_init(&b, 1024);
	buf_add(&b, &account_id, sizeof(account_id));
	buf_add(&b, hash, strlen(hash) + 1);
	buf_addslice(&b, password);
	good = !buf_overflowed(&b);
	if (good)
		keyed_hash(c->key, b.data, b.len, mac);
	mem_wipe(b.data, b.len);
	buf_release(&b);
	return good;
}

static struct remembered *
set_of(struct login_cache *c, const uint8_t mac[SECRET_KEY_LEN])
{
	uint32_t n;

	memcpy(&n, mac, sizeof(n));
	return c->table[n % SETS];
}

bool
login_cache_has(struct login_cache *c, int64_t account_id, const char *hash,
    struct slice password, int64_t now_ms)
{
	uint8_t mac[SECRET_KEY_LEN];
	struct remembered *set;
	bool found = false;

	if (!make_mac(c, account_id, hash, password, mac))
		return false;
	set = set_of(c, mac);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < WAYS; i++)
		found |= set[i].until_ms > now_ms &&
		    CRYPTO_memcmp(set[i].mac, mac, sizeof(mac)) == 0;
	pthread_mutex_unlock(&c->lock);
	return found;
}

void
login_cache_add(struct login_cache *c, int64_t account_id, const char *hash,
    struct slice password, int64_t until_ms)
{
	uint8_t mac[SECRET_KEY_LEN];
	struct remembered *set, *oldest;

	if (!make_mac(c, account_id, hash, password, mac))
		return;
	set = oldest = set_of(c, mac);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 1; i < WAYS; i++)
		if (set[i].until_ms < oldest->until_ms)
			oldest = &set[i];
	memcpy(oldest->mac, mac, sizeof(mac));
	oldest->until_ms = until_ms;
	pthread_mutex_unlock(&c->lock);
}
