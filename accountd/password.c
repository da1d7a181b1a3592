/*
 * Choosing, keeping and verifying passwords: yescrypt through crypt_r(), SCRAM
 * keys through GNU SASL, the list of common passwords, and the slots that keep
 * a flood of logins from taking more than one core each.
 *
 * Invariant: the plain password lives in the caller's memory and in buffers
 * here that are wiped; a hash is compared in constant time.
 */
#include "password.h"

#include <assert.h>
#include <crypt.h>
#include <gsasl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/num.h"

/* --- Rules ------------------------------------------------------------------ */

/*
 * Words from which common long passwords are made: one of these, repeated or
 * with digits and signs around it, is refused.
 */
/* clang-format off */
static const char *const common[] = {
	"password", "passwort", "passw0rd", "qwerty", "qwertyuiop", "qwertz",
	"asdfgh", "asdfghjkl", "zxcvbn", "zxcvbnm", "letmein", "welcome",
	"iloveyou", "monkey", "dragon", "football", "baseball", "princess",
	"sunshine", "master", "shadow", "superman", "batman", "trustno1",
	"admin", "administrator", "root", "postmaster", "mailserver",
	"mailstead", "secret", "changeme", "default", "login", "abc", "abcdef",
	"abcdefgh", "test", "testing", "guest", "hello", "michael", "jordan",
	"computer", "internet", "starwars", "whatever", "freedom", "charlie",
	"correcthorsebatterystaple",
};

/* clang-format on */

/* All alike, or each the one before plus or minus one: 111..., 123..., cba... */
static bool
is_run(struct slice s)
{
	int step;

	if (s.len < 2)
		return true;
	step = s.data[1] - s.data[0];
	if (step < -1 || step > 1)
		return false;
	for (size_t i = 1; i < s.len; i++) {
		int d = s.data[i] - s.data[i - 1];

		if (d != step && !(step == 1 && d == '0' - '9'))
			return false;
	}
	return true;
}

/* Nothing but copies of its first `n` bytes. */
static bool
repeats(struct slice s, size_t n)
{
	for (size_t i = n; i < s.len; i++)
		if (ascii_lower(s.data[i]) != ascii_lower(s.data[i - n]))
			return false;
	return true;
}

static bool
is_common_word(struct slice s)
{
	for (size_t i = 0; i < ARRAY_LEN(common); i++) {
		size_t n = strlen(common[i]);

		if (slice_istarts(s, common[i]) && repeats(s, n))
			return true;
	}
	return false;
}

static bool
is_common(struct slice s)
{
	struct slice core = s;

	if (is_run(s) || repeats(s, 1) || repeats(s, 2) || repeats(s, 3))
		return true;
	while (core.len > 0 && !ascii_is_alpha(core.data[0]))
		core = slice_skip(core, 1);
	while (core.len > 0 && !ascii_is_alpha(core.data[core.len - 1]))
		core.len--;
	return core.len > 0 && is_common_word(core);
}

static int64_t
count_characters(struct slice s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.data[i] & 0xc0) != 0x80;
	return n;
}

int
password_check_rules(struct slice password, const char *address,
    int64_t min_length, struct err *e)
{
	struct slice whole = slice_str(address), local;

	slice_cut(whole, '@', &local);
	if (password.len > PASSWORD_MAX)
		return err_set(
		    e, ERR_PERM, "password: more than %d bytes", PASSWORD_MAX);
	if (count_characters(password) < min_length)
		return err_set(e, ERR_PERM,
		    "password: fewer than %" PRId64 " characters", min_length);
	for (size_t i = 0; i < password.len; i++)
		if ((unsigned char)password.data[i] < 0x20 ||
		    password.data[i] == 0x7f)
			return err_set(
			    e, ERR_PERM, "password: has a control character");
	if (slice_icontains(password, whole) ||
	    (local.len >= 3 && slice_icontains(password, local)))
		return err_set(e, ERR_PERM, "password: contains the name");
	if (is_common(password))
		return err_set(e, ERR_PERM, "password: too common");
	return 0;
}

enum {
	MADE_CHARACTERS = 16, /* of 5 bits */
	MADE_GROUP = 4,
	MADE_TRIES = 10 /* one may happen to have a short name in it */
};

static void
generate(int64_t min_length, char out[PASSWORD_MAX + 1])
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint8_t random[PASSWORD_MAX];
	size_t len = 0;

	random_bytes(random, sizeof(random));
	for (size_t n = 0; (n < MADE_CHARACTERS || (int64_t)len < min_length) &&
	     len + 2 <= PASSWORD_MAX;
	     n++) {
		if (n > 0 && n % MADE_GROUP == 0)
			out[len++] = '-';
		out[len++] = letters[random[n] % 32];
	}
	out[len] = '\0';
	mem_wipe(random, sizeof(random));
}

void
password_generate(
    const char *address, int64_t min_length, char out[PASSWORD_MAX + 1])
{
	struct err e;

	for (int i = 0; i < MADE_TRIES; i++) {
		generate(min_length, out);
		if (password_check_rules(
			slice_str(out), address, min_length, &e) == 0)
			break;
	}
}

/* --- Keys ------------------------------------------------------------------- */

static bool
run_crypt(
    struct slice password, const char *setting, char out[SECRET_HASH_SIZE])
{
	struct crypt_data *data = mem_zalloc(sizeof(*data));
	char *phrase = mem_strndup(password.data, password.len);
	const char *hash = crypt_r(phrase, setting, data);
	bool good = hash != NULL && hash[0] != '*' &&
	    slice_copy(slice_str(hash), out, SECRET_HASH_SIZE);

	mem_wipe(phrase, password.len);
	mem_wipe(data, sizeof(*data));
	free(phrase);
	free(data);
	return good;
}

static bool
make_hash(struct slice password, char out[SECRET_HASH_SIZE])
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE], random[32];

	random_bytes(random, sizeof(random));
	return crypt_gensalt_rn("$y$", 0, random, sizeof(random), salt,
		   sizeof(salt)) != NULL &&
	    run_crypt(password, salt, out);
}

/* RFC 5802 2.2: Normalize(password); what cannot be is taken as it is. */
static char *
prepare_phrase(struct slice password)
{
	char *raw = mem_strndup(password.data, password.len), *prepared;

	if (gsasl_saslprep(raw, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) !=
	    GSASL_OK)
		return raw;
	mem_wipe(raw, password.len);
	free(raw);
	return prepared;
}

static bool
make_scram(struct slice password, struct password_keys *k)
{
	char salted[SECRET_KEY_LEN], client[SECRET_KEY_LEN];
	char *phrase = prepare_phrase(password);
	int r;

	random_bytes(k->salt, sizeof(k->salt));
	k->iterations = SCRAM_ITERATIONS;
	r = gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, phrase,
	    k->iterations, (const char *)k->salt, sizeof(k->salt), salted,
	    client, (char *)k->server_key, (char *)k->stored_key);
	mem_wipe(phrase, strlen(phrase));
	free(phrase);
	mem_wipe(salted, sizeof(salted));
	mem_wipe(client, sizeof(client));
	return r == GSASL_OK;
}

int
password_make_keys(
    struct slice password, struct password_keys *out, struct err *e)
{
	struct password_keys k = { 0 };
	bool good;

	if (!password_slot_take(10000))
		return err_set(e, ERR_TEMP, "too many passwords at once");
	good = make_hash(password, k.hash) && make_scram(password, &k);
	password_slot_give();
	if (good)
		*out = k;
	mem_wipe(&k, sizeof(k));
	return good ? 0 : err_set(e, ERR_TEMP, "cannot hash the password");
}

/* --- Verifying ---------------------------------------------------------------- */

static char dummy_hash[SECRET_HASH_SIZE];

static void
make_dummy(void)
{
	if (!make_hash(SLICE_LIT("nobody has this password"), dummy_hash))
		abort();
}

bool
password_verify(struct slice password, const char *hash)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char computed[SECRET_HASH_SIZE] = "";
	const char *expected;
	bool usable, same;
	size_t len;

	pthread_once(&once, make_dummy);
	usable = hash != NULL && hash[0] == '$' &&
	    password.len <= PASSWORD_MAX &&
	    memchr(password.data, '\0', password.len) == NULL;
	expected = usable ? hash : dummy_hash;
	if (!usable) /* the same work, whatever was sent */
		password.len = num_min(password.len, PASSWORD_MAX);
	if (!run_crypt(password, expected, computed))
		return false;
	len = strlen(expected);
	same = strlen(computed) == len &&
	    CRYPTO_memcmp(computed, expected, len) == 0;
	mem_wipe(computed, sizeof(computed));
	return same && usable;
}

void
keyed_hash(const uint8_t key[SECRET_KEY_LEN], const void *data, size_t len,
    uint8_t out[SECRET_KEY_LEN])
{
	unsigned int got = 0;

	if (HMAC(EVP_sha256(), key, SECRET_KEY_LEN, data, len, out, &got) ==
		NULL ||
	    got != SECRET_KEY_LEN)
		abort();
}

void
token_hash(const struct secrets *s, const char *purpose, struct slice token,
    uint8_t out[SECRET_KEY_LEN])
{
	struct buf b;

	buf_init(&b, 4096);
	buf_add(&b, purpose, strlen(purpose) + 1);
	buf_addslice(&b, token);
	assert(!buf_overflowed(&b));
	keyed_hash(secrets_server_key(s), b.data, b.len, out);
	mem_wipe(b.data, b.len);
	buf_release(&b);
}

/* --- Slots ------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	long used, cores;
} slots = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 1 };

static void
count_cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	slots.cores = n > 1 ? n : 1;
}

bool
password_slot_take(int timeout_ms)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct timespec until;
	bool got;
	int r = 0;

	pthread_once(&once, count_cores);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	pthread_mutex_lock(&slots.lock);
	while (slots.used >= slots.cores && r == 0)
		r = pthread_cond_clockwait(
		    &slots.freed, &slots.lock, CLOCK_MONOTONIC, &until);
	got = slots.used < slots.cores;
	slots.used += got;
	pthread_mutex_unlock(&slots.lock);
	return got;
}

void
password_slot_give(void)
{
	pthread_mutex_lock(&slots.lock);
	slots.used--;
	pthread_cond_signal(&slots.freed);
	pthread_mutex_unlock(&slots.lock);
}
