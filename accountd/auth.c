/*
 * Deciding about a login.  Mechanisms (sasl.c) and the web's form (verbs)
 * come here; nobody else compares a password.
 *
 * Invariants: what a client can tell from outside (words, waiting, time to
 * within the noise of yescrypt) is the same for a wrong password and for a
 * name nobody has; the true reason goes to the log only.  A store that cannot
 * answer is AUTH_BUSY.
 */
#include "auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "password.h"
#include "totp.h"

#define KNOWN_MS (INT64_C(30) * 86400 * 1000)

enum {
	SLOT_TIMEOUT_MS = 5000
};

static struct throttle_policy
policy(struct core *c, int64_t *cache_ms_out)
{
	struct settings *s = directory_settings(c->directory);
	struct throttle_policy p = {
		.after = settings_int(s, SET_AUTH_DELAY_AFTER),
		.max_s = settings_int(s, SET_AUTH_DELAY_MAX),
	};

	*cache_ms_out = 1000 * settings_int(s, SET_AUTH_CACHE);
	settings_free(s);
	return p;
}

/* Keys for a name nobody has: the same salt whenever it is asked for. */
static void
invent_keys(struct core *c, const char *name, struct password_keys *k)
{
	uint8_t mac[SECRET_KEY_LEN];

	*k = (struct password_keys){ .iterations = SCRAM_ITERATIONS };
	token_hash(c->secrets, "salt", slice_str(name), mac);
	memcpy(k->salt, mac, sizeof(k->salt));
	token_hash(c->secrets, "stored", slice_str(name), k->stored_key);
	token_hash(c->secrets, "server", slice_str(name), k->server_key);
}

static enum auth_result
load_keys(struct core *c, struct auth_attempt *a)
{
	int64_t id = a->found ? a->account.id : 0;
	struct err e;
	int got = secrets_password(c->secrets, id, &a->keys, &e);
	int known = secrets_knows_address(
	    c->secrets, id, &a->client.ip, clock_wall_ms() - KNOWN_MS, &e);

	if (got < 0 || known < 0) {
		log_error("login: %s", e.text);
		a->reason = "store-failed";
		return AUTH_BUSY;
	}
	a->known = known > 0;
	if (got == 0)
		invent_keys(c, a->name, &a->keys);
	return AUTH_MORE;
}

static void
log_login(const struct auth_attempt *a, const char *result)
{
	struct log_line l;

	log_begin(&l, "login", a->client.log_id, NULL);
	log_str(&l, "service", a->client.service);
	log_str(&l, "ip", a->client.ip_text);
	log_str(&l, "user", a->login ? a->login : "");
	if (a->found)
		log_str(&l, "account", a->name);
	log_str(&l, "mechanism", a->mechanism);
	log_str(&l, "tls", a->client.tls ? "yes" : "no");
	log_str(&l, "result", result);
	if (a->reason != NULL)
		log_str(&l, "reason", a->reason);
	log_end(&l);
}

static enum auth_result
busy(struct auth_attempt *a)
{
	log_login(a, "busy");
	return AUTH_BUSY;
}

static bool
is_banned(struct core *c, const struct ip *ip)
{
	char who[BAN_WHO_SIZE];
	struct ban ban;

	ban_who_ip(ip, who);
	return bans_find(c->bans, who, clock_wall_ms(), &ban);
}

enum auth_result
auth_begin(struct core *c, struct auth_attempt *a, struct slice login)
{
	enum dir_result r;
	int64_t cache_ms;
	struct throttle_policy p = policy(c, &cache_ms);
	struct err e;

	a->begun = true;
	a->login = pool_strndup(&a->pool, login.data, num_min(login.len, 320));
	r = dir_find_login(c->directory, login, &a->pool, &a->account, &e);
	if (r == DIR_TEMP) {
		log_error("login: %s", e.text);
		a->reason = "directory-failed";
		return busy(a);
	}
	a->found = r == DIR_FOUND;
	a->name =
	    pool_strdup(&a->pool, a->found ? a->account.address : a->login);
	ascii_lower_str(a->name);
	if (load_keys(c, a) == AUTH_BUSY)
		return busy(a);
	if (!a->known && is_banned(c, &a->client.ip)) {
		a->reason = "banned";
		return busy(a);
	}
	if (throttle_wait(c->throttle, p, &a->client.ip, a->name, a->known,
		clock_mono_ms()) > 0) {
		a->reason = "throttled";
		return busy(a);
	}
	return AUTH_MORE;
}

/* Application passwords are our own random tokens: found by keyed hash. */
static int
is_app_password(struct core *c, struct auth_attempt *a, struct slice password)
{
	uint8_t mac[SECRET_KEY_LEN];
	struct err e;
	int got;

	token_hash(c->secrets, "app",
	    slice_of(password.data, num_min(password.len, PASSWORD_MAX)), mac);
	got = secrets_has_app_password(
	    c->secrets, a->found ? a->account.id : 0, mac, &e);
	if (got < 0)
		log_error("login: %s", e.text);
	return got;
}

enum auth_result
auth_verify(struct core *c, struct auth_attempt *a, struct slice password)
{
	const char *hash = a->keys.hash[0] ? a->keys.hash : NULL;
	bool web = strcmp(a->client.service, "web") == 0;
	int64_t now = clock_mono_ms(), cache_ms;
	bool good;
	int app;

	policy(c, &cache_ms);
	app = is_app_password(c, a, password);
	if (app < 0)
		return AUTH_BUSY;
	if (app > 0 && !web) {
		a->by_app_password = true;
		return AUTH_OK;
	}
	if (hash != NULL && cache_ms > 0 &&
	    login_cache_has(c->cache, a->account.id, hash, password, now)) {
		a->cached = true;
		return AUTH_OK;
	}
	if (!password_slot_take(SLOT_TIMEOUT_MS)) {
		a->reason = "no-core-free";
		return AUTH_BUSY;
	}
	good = password_verify(password, hash);
	password_slot_give();
	if (good && cache_ms > 0)
		login_cache_add(c->cache, a->account.id, hash, password,
		    clock_mono_ms() + cache_ms);
	return good ? AUTH_OK : AUTH_FAILED;
}

/*
 * With a second factor, or with a password that is to be changed, the
 * account's own password opens the web alone, where the code and the new
 * password are asked for (session_steps.c).
 */
static enum auth_result
check_factor(struct core *c, struct auth_attempt *a)
{
	struct err e;
	enum totp_state state;

	if (a->by_app_password)
		return AUTH_OK;
	state = totp_state(c->secrets, a->account.id, &e);
	if (state == TOTP_FAILED) {
		log_error("login: %s", e.text);
		a->reason = "secrets-failed";
		return AUTH_BUSY;
	}
	a->needs_code = state == TOTP_ON;
	if (strcmp(a->client.service, "web") == 0 ||
	    (!a->needs_code && !a->keys.must_change))
		return AUTH_OK;
	a->reason = a->needs_code ? "needs-application-password"
				  : "password-must-change";
	return AUTH_FAILED;
}

/* The right password is not enough: account, domain and service must be on. */
static enum auth_result
may_use(struct core *c, struct auth_attempt *a)
{
	struct dir_domain d;
	struct err e;
	enum dir_result r =
	    dir_find_domain(c->directory, a->account.domain, &a->pool, &d, &e);

	if (r == DIR_TEMP) {
		log_error("login: %s", e.text);
		a->reason = "directory-failed";
		return AUTH_BUSY;
	}
	if (r == DIR_NONE || d.disabled)
		a->reason = "domain-disabled";
	else if (a->account.disabled)
		a->reason = "account-disabled";
	else if ((strcmp(a->client.service, "smtp") == 0 &&
		     !a->account.allow_smtp) ||
	    (strcmp(a->client.service, "pop3") == 0 &&
		!a->account.allow_pop3) ||
	    (strcmp(a->client.service, "web") == 0 && !a->account.allow_web))
		a->reason = "service-switched-off";
	else
		return AUTH_OK;
	return AUTH_FAILED;
}

static void
succeeded(struct core *c, struct auth_attempt *a)
{
	struct err e;

	throttle_succeeded(c->throttle, &a->client.ip, a->name);
	if (secrets_note_address(c->secrets, a->account.id, &a->client.ip,
		clock_wall_ms(), &e) != 0)
		log_warning("known address not kept: %s", e.text);
	if (a->cached)
		a->reason = "remembered";
	log_login(a, "ok");
}

void
auth_ban(struct core *c, struct ban *ban, const char *log_id)
{
	struct settings *s = directory_settings(c->directory);
	int64_t time_s = settings_int(s, SET_BAN_TIME);
	struct log_line l;

	settings_free(s);
	ban->since_ms = clock_wall_ms();
	ban->until_ms = ban->since_ms + time_s * 1000;
	bans_add(c->bans, ban);
	log_begin(&l, "ban", log_id, NULL);
	log_str(&l, strchr(ban->who, '@') != NULL ? "user" : "ip", ban->who);
	log_str(&l, "service", ban->service);
	log_str(&l, "reason", ban->by_limit ? "limit" : "failures");
	log_int(&l, "failures", ban->failures);
	log_int(&l, "seconds", time_s);
	log_end(&l);
}

/* The address's failures are too many: it may not sign in for a while. */
static void
ban_address(struct core *c, const struct auth_attempt *a)
{
	struct settings *s = directory_settings(c->directory);
	int64_t limit = settings_int(s, SET_BAN_FAILURES);
	bool never = settings_has_ip(s, SET_BAN_NEVER, &a->client.ip);
	struct ban ban = { .failures = throttle_failures(
			       c->throttle, &a->client.ip, clock_mono_ms()) };

	settings_free(s);
	if (limit == 0 || never || ban.failures < limit)
		return;
	ban_who_ip(&a->client.ip, ban.who);
	(void)snprintf(
	    ban.service, sizeof(ban.service), "%s", a->client.service);
	auth_ban(c, &ban, a->client.log_id);
}

static void
failed(struct core *c, struct auth_attempt *a)
{
	int64_t cache_ms;
	struct throttle_policy p = policy(c, &cache_ms);
	bool waits;
	struct log_line l;

	if (a->reason == NULL)
		a->reason = a->found ? "wrong-password" : "unknown-user";
	log_login(a, "failed");
	waits = throttle_failed(
	    c->throttle, p, &a->client.ip, a->name, clock_mono_ms());
	if (!a->known)
		ban_address(c, a);
	if (!waits)
		return;
	log_begin(&l, "throttle", a->client.log_id, NULL);
	log_str(&l, "ip", a->client.ip_text);
	log_str(&l, "service", a->client.service);
	log_end(&l);
}

void
auth_code_checked(struct core *c, struct auth_attempt *a, bool right)
{
	a->needs_code = false;
	if (right) {
		succeeded(c, a);
	} else {
		a->reason = "wrong-code";
		failed(c, a);
	}
}

enum auth_result
auth_finish(struct core *c, struct auth_attempt *a, enum auth_result verified)
{
	enum auth_result r = verified;

	if (r == AUTH_OK && !a->found)
		r = AUTH_FAILED;
	if (r == AUTH_OK)
		r = may_use(c, a);
	if (r == AUTH_OK)
		r = check_factor(c, a);
	/* a guesser of codes must not be forgiven for knowing the password */
	if (r == AUTH_OK && !a->needs_code)
		succeeded(c, a);
	else if (r == AUTH_OK)
		log_login(a, "password-ok");
	else if (r == AUTH_FAILED)
		failed(c, a);
	else
		return busy(a);
	return r;
}

void
auth_attempt_release(struct auth_attempt *a)
{
	pool_release(&a->pool);
	mem_wipe(a, sizeof(*a));
}
