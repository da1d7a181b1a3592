/*
 * Who is here and what is set: the rules of looking up (order of targets,
 * forms of login names, which settings are current) over the store's plain
 * questions.  Reads only; any thread of a process may call anything.
 *
 * Invariant: DIR_NONE is answered only after the store said so; every
 * failure on the way is DIR_TEMP.
 */
#include "directory/directory.h"

#include <sys/stat.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/sql.h"
#include "directory/store.h"
#include "mail/address.h"

enum {
	LOOK_EVERY_MS = 500
};

struct directory {
	struct store *store;
	pthread_mutex_t lock;
	struct settings *settings;
	int64_t looked_ms;
	int64_t generation;
	uint64_t changes;
};

int
directory_open(const char *state_dir, struct directory **out, struct err *e)
{
	struct directory *d;
	struct store *store;

	if (store_open(state_dir, &store, e) != 0)
		return -1;
	d = mem_zalloc(sizeof(*d));
	d->store = store;
	if (store_generation(store, &d->generation, e) != 0 ||
	    store_settings(store, &d->settings, e) != 0) {
		store_close(store);
		free(d);
		return -1;
	}
	d->looked_ms = clock_mono_ms();
	pthread_mutex_init(&d->lock, NULL);
	*out = d;
	return 0;
}

void
directory_close(struct directory *d)
{
	if (d == NULL)
		return;
	store_close(d->store);
	settings_free(d->settings);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/*
 * With the lock held.  When the store cannot answer, the settings in force
 * stay in force.
 */
static void
look(struct directory *d)
{
	struct settings *fresh;
	int64_t now = clock_mono_ms(), generation;
	struct err e;

	if (now - d->looked_ms < LOOK_EVERY_MS)
		return;
	d->looked_ms = now;
	if (store_generation(d->store, &generation, &e) != 0) {
		log_error("directory: %s", e.text);
		return;
	}
	if (generation == d->generation)
		return;
	d->changes++;
	if (store_settings(d->store, &fresh, &e) != 0) {
		log_error("settings kept as they were: %s", e.text);
		return;
	}
	d->generation = generation;
	settings_free(d->settings);
	d->settings = fresh;
}

struct settings *
directory_settings(struct directory *d)
{
	struct settings *s;

	pthread_mutex_lock(&d->lock);
	look(d);
	s = settings_ref(d->settings);
	pthread_mutex_unlock(&d->lock);
	return s;
}

void
directory_refresh(struct directory *d)
{
	pthread_mutex_lock(&d->lock);
	d->looked_ms -= LOOK_EVERY_MS;
	pthread_mutex_unlock(&d->lock);
}

bool
directory_changed(struct directory *d, uint64_t *seen)
{
	bool changed;

	pthread_mutex_lock(&d->lock);
	look(d);
	changed = *seen != d->changes;
	*seen = d->changes;
	pthread_mutex_unlock(&d->lock);
	return changed;
}

static uint64_t
mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x100000001b3U;
}

/*
 * stat() alone does not do: a commit is seen by readers when its log has been
 * flushed, and the file may be as it will be then long before.
 */
uint64_t
directory_stamp(const char *state_dir)
{
	uint64_t h = 0xcbf29ce484222325U;
	char *path = mem_printf("%s/directory/directory.db", state_dir);
	struct sql_version version;
	struct stat st;

	if (stat(path, &st) == 0) {
		h = mix(h, (uint64_t)st.st_ino);
		h = mix(h, (uint64_t)st.st_size);
		h = mix(h, (uint64_t)st.st_mtim.tv_sec);
		h = mix(h, (uint64_t)st.st_mtim.tv_nsec);
	}
	if (sql_peek_version(path, &version))
		for (size_t i = 0; i < ARRAY_LEN(version.header); i++)
			h = mix(h, version.header[i]);
	free(path);
	return h;
}

int
directory_read_settings(
    const char *state_dir, struct settings **out, struct err *e)
{
	struct store *store;
	int r;

	if (store_open(state_dir, &store, e) != 0)
		return -1;
	r = store_settings(store, out, e);
	store_close(store);
	return r;
}

enum dir_result
dir_find_domain(struct directory *d, const char *name, struct pool *pool,
    struct dir_domain *out, struct err *e)
{
	return store_domain(d->store, name, pool, out, e);
}

enum dir_result
dir_find_account(struct directory *d, struct slice local, const char *domain,
    struct pool *pool, struct dir_account *out, struct err *e)
{
	struct dir_domain ignored;
	enum dir_result r =
	    store_account(d->store, local, domain, pool, &ignored, out, e);

	return r == DIR_FOUND && out->id == 0 ? DIR_NONE : r;
}

enum dir_result
dir_waiting(struct directory *d, struct pool *pool, struct dir_waiting *list,
    size_t limit, size_t *count_out, struct err *e)
{
	return store_waiting(d->store, pool, list, limit, count_out, e);
}

/* --- Where mail goes ------------------------------------------------------ */

/* joe+news is joe's, when the part before the separator has an account. */
static enum dir_result
resolve_detail(struct directory *d, struct slice local, struct pool *pool,
    struct dir_target *out, struct err *e)
{
	struct settings *s = directory_settings(d);
	const char *separator = settings_text(s, SET_SUBADDRESS);
	ptrdiff_t at = separator[0] ? slice_chr(local, separator[0]) : -1;

	settings_free(s);
	if (at <= 0)
		return DIR_NONE;
	out->kind = TARGET_ACCOUNT;
	return dir_find_account(d, slice_of(local.data, (size_t)at),
	    out->domain.name, pool, &out->account, e);
}

static void
one_target(struct pool *pool, struct dir_target *out, enum dir_target_kind kind,
    char *target)
{
	out->kind = kind;
	out->targets = pool_memdup(pool, &target, sizeof(target));
	out->target_count = 1;
}

/* What takes the mail nobody else takes: the domain's own rules. */
static enum dir_result
resolve_rest(struct directory *d, struct slice local, struct pool *pool,
    struct dir_target *out, struct err *e)
{
	char *to = out->domain.forward_to;
	enum dir_result r;

	if (to[0] == '@')
		to = pool_printf(pool, "%.*s%s", SLICE_ARGS(local), to);
	if (to[0] != '\0') {
		one_target(pool, out, TARGET_FORWARD, to);
		return DIR_FOUND;
	}
	if (out->domain.catch_all[0] != '\0') {
		one_target(pool, out, TARGET_CATCH_ALL, out->domain.catch_all);
		return DIR_FOUND;
	}
	r = dir_find_account(d, SLICE_LIT("postmaster"), out->domain.name, pool,
	    &out->account, e);
	if (r == DIR_FOUND)
		one_target(pool, out, TARGET_CATCH_ALL, out->account.address);
	return r;
}

enum dir_result
dir_resolve(struct directory *d, struct slice local, const char *domain,
    struct pool *pool, struct dir_target *out, struct err *e)
{
	enum dir_result r;

	*out = (struct dir_target){ 0 };
	r = store_account(
	    d->store, local, domain, pool, &out->domain, &out->account, e);
	if (r != DIR_FOUND)
		return r;
	if (out->account.id != 0) {
		out->kind = TARGET_ACCOUNT;
		return DIR_FOUND;
	}
	r = store_targets(d->store, local, out->domain.id, pool, out, e);
	if (r == DIR_NONE)
		r = resolve_detail(d, local, pool, out, e);
	if (r == DIR_NONE)
		r = resolve_rest(d, local, pool, out, e);
	return r;
}

/* --- Login names ----------------------------------------------------------- */

/* The domain a login's domain part means: itself, or what stands for it. */
static enum dir_result
login_in_domain(struct directory *d, struct slice local, struct slice domain,
    struct pool *pool, struct dir_account *out, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct settings *s;
	struct err ignored;
	enum dir_result r;
	bool is_host;

	if (domain.len == 0 || domain_normalise(domain, name, &ignored) != 0)
		return DIR_NONE;
	r = dir_find_account(d, local, name, pool, out, e);
	if (r == DIR_NONE && slice_istarts(slice_str(name), "mail."))
		r = dir_find_account(d, local, name + 5, pool, out, e);
	if (r != DIR_NONE)
		return r;
	s = directory_settings(d);
	is_host =
	    slice_ieq_str(slice_str(name), settings_text(s, SET_HOSTNAME));
	settings_free(s);
	return is_host ? dir_find_account(d, local, "", pool, out, e)
		       : DIR_NONE;
}

static enum dir_result
login_split(struct directory *d, struct slice login, ptrdiff_t at,
    struct pool *pool, struct dir_account *out, struct err *e)
{
	if (at <= 0)
		return DIR_NONE;
	return login_in_domain(d, slice_of(login.data, (size_t)at),
	    slice_skip(login, (size_t)at + 1), pool, out, e);
}

static ptrdiff_t
last_separator(struct slice login)
{
	ptrdiff_t best = -1;

	for (const char *c = "#$%"; *c != '\0'; c++) {
		ptrdiff_t at = slice_rchr(login, *c);

		best = at > best ? at : best;
	}
	return best;
}

static bool
login_is_sane(struct slice login)
{
	if (login.len == 0 ||
	    login.len > ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < login.len; i++)
		if ((unsigned char)login.data[i] <= 0x20 ||
		    login.data[i] == 0x7f)
			return false;
	return utf8_is_valid(login);
}

enum dir_result
dir_find_login(struct directory *d, struct slice login, struct pool *pool,
    struct dir_account *out, struct err *e)
{
	ptrdiff_t at = slice_rchr(login, '@');
	enum dir_result r;

	if (!login_is_sane(login))
		return DIR_NONE;
	if (at >= 0)
		r = login_split(d, login, at, pool, out, e);
	else
		r = dir_find_account(d, login, "", pool, out, e);
	if (r == DIR_NONE)
		r = login_split(d, login, last_separator(login), pool, out, e);
	return r;
}

/* --- Sending as ----------------------------------------------------------- */

static bool
is_target(const struct dir_target *t, const struct dir_account *a)
{
	if (t->kind == TARGET_ACCOUNT)
		return t->account.id == a->id;
	if (t->kind != TARGET_ALIAS)
		return false;
	for (size_t i = 0; i < t->target_count; i++)
		if (ascii_casecmp(t->targets[i], a->address) == 0)
			return true;
	return false;
}

enum dir_result
dir_may_send_as(struct directory *d, const struct dir_account *a,
    struct slice local, const char *domain, struct err *e)
{
	struct pool pool = { 0 };
	struct dir_target t;
	enum dir_result r = DIR_NONE;

	if (domain[0] != '\0')
		r = dir_resolve(d, local, domain, &pool, &t, e);
	if (r == DIR_FOUND && !is_target(&t, a))
		r = DIR_NONE;
	pool_release(&pool);
	return r;
}
