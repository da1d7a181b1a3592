/*
 * Reading directory.db: the queries behind the look-ups of directory.c.
 *
 * A few connections are shared by all threads of a worker: a thread borrows
 * one for one question and gives it back before it does anything that waits,
 * so four serve thousands of connection threads.  One more is kept to see
 * that something was written.  Last answers are remembered (recall.h).
 *
 * Invariant: every value read is copied into the caller's pool before the
 * connection goes back.  Any thread may call anything here.
 */
#include "directory/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "directory/recall.h"
#include "directory/sql.h"
#include "mail/address.h"

enum {
	STORE_CONNECTIONS = 4,
	SETTINGS_MAX = 4096
};

struct store {
	char *path;
	pthread_mutex_t lock;
	pthread_cond_t returned;
	struct sql *idle[STORE_CONNECTIONS];
	unsigned idle_count, open_count, waiting;

	pthread_mutex_t watch_lock;
	struct sql *watch;
	int64_t watched; /* connections there have been for it */
	struct recall *recall;
};

static int
open_one(const char *path, struct sql **out, struct err *e)
{
	struct sql *db;

	if (sql_open(path, SQL_READ, &db, e) != 0)
		return -1;
	if (sql_check_version(db, DIRECTORY_APPLICATION, DIRECTORY_OLDEST,
		DIRECTORY_VERSION, e) != 0) {
		sql_close(db);
		return err_prefix(e, "%s", path);
	}
	*out = db;
	return 0;
}

int
store_open(const char *state_dir, struct store **out, struct err *e)
{
	struct store *s;
	struct sql *watch;
	char *path = mem_printf("%s/directory/directory.db", state_dir);

	if (open_one(path, &watch, e) != 0) {
		free(path);
		return -1;
	}
	s = mem_zalloc(sizeof(*s));
	s->path = path;
	s->watch = watch;
	s->recall = recall_new();
	recall_watch(s->recall, watch);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->watch_lock, NULL);
	pthread_cond_init(&s->returned, NULL);
	*out = s;
	return 0;
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	while (s->idle_count > 0)
		sql_close(s->idle[--s->idle_count]);
	recall_free(s->recall);
	sql_close(s->watch);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->watch_lock);
	pthread_cond_destroy(&s->returned);
	free(s->path);
	free(s);
}

/* A borrower holds it for microseconds, so the wait here is short. */
static struct sql *
borrow(struct store *s, struct err *e)
{
	struct sql *db = NULL;

	pthread_mutex_lock(&s->lock);
	while (s->idle_count == 0 && s->open_count == STORE_CONNECTIONS) {
		s->waiting++;
		pthread_cond_wait(&s->returned, &s->lock);
		s->waiting--;
	}
	if (s->idle_count > 0)
		db = s->idle[--s->idle_count];
	else
		s->open_count++;
	pthread_mutex_unlock(&s->lock);
	if (db != NULL && sql_is_gone(db)) {
		sql_close(db);
		db = NULL;
	}
	if (db != NULL || open_one(s->path, &db, e) == 0)
		return db;
	e->kind = ERR_TEMP;
	pthread_mutex_lock(&s->lock);
	s->open_count--;
	pthread_cond_signal(&s->returned);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* A connection that failed is not trusted again. */
static void
give_back(struct store *s, struct sql *db, bool failed)
{
	bool wanted;

	pthread_mutex_lock(&s->lock);
	if (failed)
		s->open_count--;
	else
		s->idle[s->idle_count++] = db;
	wanted = s->waiting > 0;
	pthread_mutex_unlock(&s->lock);
	/* whom it wakes shall find the lock free */
	if (wanted)
		pthread_cond_signal(&s->returned);
	if (failed)
		sql_close(db);
}

static void
close_watch(struct store *s)
{
	recall_watch(s->recall, NULL);
	sql_close(s->watch);
	s->watch = NULL;
}

int
store_generation(struct store *s, int64_t *out, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&s->watch_lock);
	if (s->watch != NULL && sql_is_gone(s->watch))
		close_watch(s);
	if (s->watch == NULL && (r = open_one(s->path, &s->watch, e)) == 0) {
		s->watched++;
		recall_watch(s->recall, s->watch);
	}
	if (r == 0 && (r = sql_data_version(s->watch, out, e)) != 0)
		close_watch(s);
	/* each connection counts by itself */
	if (r == 0)
		*out += s->watched << 32;
	pthread_mutex_unlock(&s->watch_lock);
	return r;
}

/* --- Settings --------------------------------------------------------------- */

static int
read_settings(struct sql *db, struct settings **out, struct err *e)
{
	const char *names[SETTING_COUNT], *values[SETTING_COUNT];
	struct pool pool = { 0 };
	struct sql_rows *r;
	size_t n = 0;
	int got;

	r = sql_query(
	    db, e, "SELECT name, value FROM setting WHERE domain_id = 0", "");
	while ((got = sql_next(r, e)) == 1) {
		if (setting_find(sql_text(r, 0)) == NULL || n == SETTING_COUNT)
			continue;
		names[n] = pool_strdup(&pool, sql_text(r, 0));
		values[n++] = pool_strdup(&pool, sql_text(r, 1));
	}
	sql_done(r);
	if (got == 0)
		*out = settings_build(names, values, n);
	pool_release(&pool);
	return got;
}

int
store_settings(struct store *s, struct settings **out, struct err *e)
{
	struct sql *db = borrow(s, e);
	int r;

	if (db == NULL)
		return -1;
	r = read_settings(db, out, e);
	give_back(s, db, r != 0);
	return r;
}

/* --- Domains and accounts --------------------------------------------------- */

#define DOMAIN_COLUMNS                                                \
	"d.id, d.name, a.name, a.alias_of IS NOT NULL, d.is_default," \
	" d.disabled OR a.disabled, d.catch_all, d.forward_to,"       \
	" d.max_accounts, d.max_lists"
#define ACCOUNT_COLUMNS                                           \
	", u.id, u.local, u.name, u.disabled, u.disabled_until,"  \
	" u.pop3 AND d.pop3, u.smtp AND d.smtp, u.web AND d.web," \
	" u.quota_full, u.quota_bytes, u.quota_messages,"         \
	" u.forward, u.forward_keep, u.roles, u.max_message_bytes"
#define FROM_DOMAIN \
	" FROM domain a JOIN domain d ON d.id = coalesce(a.alias_of, a.id)"
#define WITH_ACCOUNT \
	" LEFT JOIN account u ON u.domain_id = d.id AND u.local = ?1"

static const char query_domain[] =
    "SELECT " DOMAIN_COLUMNS FROM_DOMAIN " WHERE a.name = ?1";
static const char query_default[] =
    "SELECT " DOMAIN_COLUMNS FROM_DOMAIN " WHERE a.is_default = 1";
static const char query_account[] =
    "SELECT " DOMAIN_COLUMNS ACCOUNT_COLUMNS FROM_DOMAIN WITH_ACCOUNT
    " WHERE a.name = ?2";
static const char query_default_account[] =
    "SELECT " DOMAIN_COLUMNS ACCOUNT_COLUMNS FROM_DOMAIN WITH_ACCOUNT
    " WHERE a.is_default = 1";

enum {
	FIRST_ACCOUNT_COLUMN = 10
};

static void
take_domain(struct sql_rows *r, struct pool *pool, struct dir_domain *out)
{
	out->id = sql_int(r, 0);
	out->name = pool_strdup(pool, sql_text(r, 1));
	out->asked = pool_strdup(pool, sql_text(r, 2));
	out->is_alias = sql_int(r, 3) != 0;
	out->is_default = sql_int(r, 4) != 0;
	out->disabled = sql_int(r, 5) != 0;
	out->catch_all = pool_strdup(pool, sql_text(r, 6));
	out->forward_to = pool_strdup(pool, sql_text(r, 7));
	out->max_accounts = sql_int(r, 8);
	out->max_lists = sql_int(r, 9);
}

/* Lines of a text as an array. */
static char **
take_lines(struct pool *pool, const char *text, size_t *count_out)
{
	struct slice rest = slice_str(text), line;
	size_t n = rest.len > 0, i = 0;
	char **lines;

	for (const char *p = text; *p != '\0'; p++)
		n += *p == '\n';
	*count_out = n;
	if (n == 0)
		return NULL;
	lines = pool_alloc(pool, n * sizeof(*lines));
	while (i < n) {
		rest = slice_cut(rest, '\n', &line);
		lines[i++] = pool_strndup(pool, line.data, line.len);
	}
	return lines;
}

static void
take_account(struct sql_rows *r, struct pool *pool,
    const struct dir_domain *domain, struct dir_account *out)
{
	int c = FIRST_ACCOUNT_COLUMN;
	int64_t until;

	out->id = sql_int(r, c++);
	out->local = pool_strdup(pool, sql_text(r, c++));
	out->domain = domain->name;
	out->address = pool_printf(pool, "%s@%s", out->local, out->domain);
	out->name = pool_strdup(pool, sql_text(r, c++));
	out->disabled = sql_int(r, c++) != 0;
	until = sql_int(r, c++);
	if (out->disabled && until != 0 && until <= clock_wall_ms())
		out->disabled = false;
	out->allow_pop3 = sql_int(r, c++) != 0;
	out->allow_smtp = sql_int(r, c++) != 0;
	out->allow_web = sql_int(r, c++) != 0;
	out->quota_full = sql_int(r, c++) != 0;
	out->quota_bytes = (uint64_t)sql_int(r, c++);
	out->quota_messages = (uint64_t)sql_int(r, c++);
	out->forward = take_lines(pool, sql_text(r, c++), &out->forward_count);
	out->forward_keep = sql_int(r, c++) != 0;
	out->roles = (uint32_t)sql_int(r, c++);
	out->max_message_bytes = (uint64_t)sql_int(r, c++);
}

static int
ask_domain(struct store *s, const char *name, struct pool *pool,
    struct dir_domain *out, struct err *e)
{
	struct sql *db = borrow(s, e);
	struct sql_rows *r;
	int got;

	if (db == NULL)
		return -1;
	r = name[0] ? sql_query(db, e, query_domain, "s", name)
		    : sql_query(db, e, query_default, "");
	if ((got = sql_next(r, e)) == 1)
		take_domain(r, pool, out);
	sql_done(r);
	give_back(s, db, got < 0);
	return got;
}

enum dir_result
store_waiting(struct store *s, struct pool *pool, struct dir_waiting *list,
    size_t limit, size_t *count_out, struct err *e)
{
	struct sql *db = borrow(s, e);
	struct sql_rows *r;
	size_t count = 0;
	int got;

	if (db == NULL)
		return DIR_TEMP;
	r = sql_query(db, e,
	    "SELECT u.id, d.name, u.created_ms"
	    " FROM account u INDEXED BY account_waiting"
	    " JOIN domain d ON d.id = u.domain_id WHERE u.waiting <> 0"
	    " ORDER BY u.created_ms LIMIT ?1",
	    "i", (int64_t)limit);
	while ((got = sql_next(r, e)) == 1) {
		list[count].id = sql_int(r, 0);
		list[count].domain = pool_strdup(pool, sql_text(r, 1));
		list[count++].since_ms = sql_int(r, 2);
	}
	sql_done(r);
	give_back(s, db, got < 0);
	*count_out = count;
	return got < 0 ? DIR_TEMP : count > 0 ? DIR_FOUND : DIR_NONE;
}

enum dir_result
store_domain(struct store *s, const char *name, struct pool *pool,
    struct dir_domain *out, struct err *e)
{
	struct recall_question q = { .domain = name };
	enum dir_result result;

	if (recall_find(s->recall, &q, pool, &result, out, NULL))
		return result;
	result = (enum dir_result)ask_domain(s, name, pool, out, e);
	recall_keep(s->recall, &q, result, out, NULL);
	return result;
}

static int
ask_account(struct store *s, struct slice local, const char *domain,
    struct pool *pool, struct dir_domain *domain_out,
    struct dir_account *account_out, struct err *e)
{
	struct sql *db = borrow(s, e);
	struct sql_rows *r;
	int got;

	if (db == NULL)
		return -1;
	r = domain[0] ? sql_query(db, e, query_account, "vs", local, domain)
		      : sql_query(db, e, query_default_account, "v", local);
	if ((got = sql_next(r, e)) == 1) {
		take_domain(r, pool, domain_out);
		*account_out = (struct dir_account){ 0 };
		if (!sql_is_null(r, FIRST_ACCOUNT_COLUMN))
			take_account(r, pool, domain_out, account_out);
	}
	sql_done(r);
	give_back(s, db, got < 0);
	return got;
}

enum dir_result
store_account(struct store *s, struct slice local, const char *domain,
    struct pool *pool, struct dir_domain *domain_out,
    struct dir_account *account_out, struct err *e)
{
	struct recall_question q = { .local = local, .domain = domain };
	enum dir_result result;

	if (local.data == NULL)
		q.local = SLICE_LIT("");
	if (recall_find(s->recall, &q, pool, &result, domain_out, account_out))
		return result;
	result = (enum dir_result)ask_account(
	    s, q.local, domain, pool, domain_out, account_out, e);
	recall_keep(s->recall, &q, result, domain_out, account_out);
	return result;
}

/* --- Aliases and lists ------------------------------------------------------ */

static const char query_alias[] =
    "SELECT t.target FROM alias a JOIN alias_target t ON t.alias_id = a.id"
    " WHERE a.domain_id = ?1 AND a.local = ?2";
static const char query_list[] =
    "SELECT m.address, l.members_only, l.auth_required FROM list l"
    " LEFT JOIN list_member m ON m.list_id = l.id"
    " WHERE l.domain_id = ?1 AND l.local = ?2";

static int
collect(struct sql *db, const char *query, int64_t domain_id,
    struct slice local, struct pool *pool, struct dir_target *out,
    struct err *e)
{
	struct sql_rows *r = sql_query(db, e, query, "iv", domain_id, local);
	size_t alloc = 0, rows = 0;
	char **targets = NULL;
	int got;

	out->target_count = 0;
	while ((got = sql_next(r, e)) == 1) {
		rows++;
		if (query == query_list) {
			out->list_members_only = sql_int(r, 1) != 0;
			out->list_auth_required = sql_int(r, 2) != 0;
		}
		if (sql_is_null(r, 0)) /* a list without members */
			continue;
		targets = mem_grow(
		    targets, &alloc, out->target_count + 1, sizeof(*targets));
		targets[out->target_count++] =
		    pool_strdup(pool, sql_text(r, 0));
	}
	sql_done(r);
	if (got == 0 && out->target_count > 0)
		out->targets = pool_memdup(
		    pool, targets, out->target_count * sizeof(*targets));
	free(targets);
	return got < 0 ? -1 : rows > 0;
}

enum dir_result
store_targets(struct store *s, struct slice local, int64_t domain_id,
    struct pool *pool, struct dir_target *out, struct err *e)
{
	struct sql *db = borrow(s, e);
	int got;

	if (db == NULL)
		return DIR_TEMP;
	local = slice_str(address_key(local, pool));
	out->kind = TARGET_ALIAS;
	got = collect(db, query_alias, domain_id, local, pool, out, e);
	if (got == 0) {
		out->kind = TARGET_LIST;
		got = collect(db, query_list, domain_id, local, pool, out, e);
	}
	give_back(s, db, got < 0);
	return (enum dir_result)got;
}
