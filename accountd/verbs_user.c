/*
 * Accounts.  The rules that hold whoever asks: postmaster@ and abuse@ always
 * lead somewhere, a user changes only what is his to change.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "mail/address.h"
#include "proc/limits.h"

#include "names.h"
#include "password.h"
#include "request.h"
#include "totp.h"

/* --- Showing ------------------------------------------------------------------------ */

static int
collect_texts(struct request *q, const char *query, int64_t id, json_t *out,
    struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e, query, "i", id);
	int got;

	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(out, json_string(sql_text(r, 0)));
	sql_done(r);
	return got;
}

static json_t *
lines_json(const char *text)
{
	struct slice rest = slice_str(text[0] ? text : NULL), line;
	json_t *out = json_array();

	while (rest.data != NULL) {
		rest = slice_cut(rest, '\n', &line);
		json_array_append_new(out, json_stringn(line.data, line.len));
	}
	return out;
}

static bool
is_disabled(int64_t disabled, int64_t until)
{
	return disabled && (until == 0 || until > clock_wall_ms());
}

#define USER_COLUMNS                                                        \
	"u.id, u.local || '@' || d.name, u.name, u.disabled,"               \
	" u.disabled_until, u.quota_bytes, u.quota_messages, u.used_bytes," \
	" u.used_messages, u.forward, u.forward_keep, u.pop3, u.smtp,"      \
	" u.web, u.may_change_password, u.quota_full, d.name, u.local,"     \
	" u.waiting, u.lang, u.zone, u.max_message_bytes"
#define USER_FROM " FROM account u JOIN domain d ON d.id = u.domain_id"

/* The flat part; aliases and roles come from tables of their own. */
static json_t *
user_row_json(struct sql_rows *r)
{
	int64_t until = sql_int(r, 4);
	bool off = is_disabled(sql_int(r, 3), until);
	char time[CLOCK_RFC3339_SIZE];
	json_t *user = json_pack(
	    "{ss,ss,s[],sb,sI,sI,sI,sI,s[],so,sb,sb,sb,s{sb,sb,sb},ss,ss,sI}",
	    "address", sql_text(r, 1), "name", sql_text(r, 2), "roles",
	    "disabled", off, "quota_bytes", (json_int_t)sql_int(r, 5),
	    "quota_messages", (json_int_t)sql_int(r, 6), "used_bytes",
	    (json_int_t)sql_int(r, 7), "used_messages",
	    (json_int_t)sql_int(r, 8), "aliases", "forward",
	    lines_json(sql_text(r, 9)), "forward_keep", (int)sql_int(r, 10),
	    "may_change_password", (int)sql_int(r, 14), "quota_full",
	    (int)sql_int(r, 15), "access", "pop3", (int)sql_int(r, 11), "smtp",
	    (int)sql_int(r, 12), "web", (int)sql_int(r, 13), "lang",
	    sql_text(r, 19), "zone", sql_text(r, 20), "max_message_bytes",
	    (json_int_t)sql_int(r, 21));

	if (sql_int(r, 18) != 0)
		json_object_set_new(user, "waiting", json_true());
	if (off && until != 0) {
		clock_rfc3339(until, time);
		json_object_set_new(user, "disabled_until", json_string(time));
	}
	return user;
}

static int
complete_user(struct request *q, int64_t id, json_t *user, struct err *e)
{
	if (collect_texts(q,
		"SELECT CASE r.role WHEN 1 THEN 'server_admin'"
		" WHEN 2 THEN CASE r.domain_id WHEN u.domain_id"
		"  THEN 'domain_admin' ELSE 'domain_admin:' || d.name END"
		" ELSE 'list_admin:' || l.local || '@' || ld.name END"
		" FROM role r JOIN account u ON u.id = r.account_id"
		" LEFT JOIN domain d ON d.id = r.domain_id"
		" LEFT JOIN list l ON l.id = r.list_id"
		" LEFT JOIN domain ld ON ld.id = l.domain_id"
		" WHERE r.account_id = ?1 ORDER BY 1",
		id, json_object_get(user, "roles"), e) < 0)
		return -1;
	return collect_texts(q,
	    "SELECT a.local || '@' || ad.name FROM account u"
	    " JOIN domain d ON d.id = u.domain_id"
	    " JOIN alias_target t ON t.target = u.local || '@' || d.name"
	    " JOIN alias a ON a.id = t.alias_id"
	    " JOIN domain ad ON ad.id = a.domain_id"
	    " WHERE u.id = ?1 ORDER BY 1 LIMIT 100",
	    id, json_object_get(user, "aliases"), e);
}

int
user_load(struct request *q, int64_t id, json_t **out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT " USER_COLUMNS USER_FROM " WHERE u.id = ?1", "i", id);
	int got = sql_next(r, e);
	json_t *user = got == 1 ? user_row_json(r) : NULL;

	sql_done(r);
	if (got == 0)
		return refuse(q, e, "not-found", "no such user");
	if (got < 0 || complete_user(q, id, user, e) < 0) {
		json_decref(user);
		return -1;
	}
	*out = user;
	return 0;
}

int
user_put_summary(struct request *q, int64_t account_id, struct err *e)
{
	json_t *user = NULL;

	if (user_load(q, account_id, &user, e) != 0)
		return -1;
	json_object_set_new(q->out, "user", user);
	return 0;
}

/* What changes by itself. */
static const char *const volatile_keys[] = { "used_bytes", "used_messages",
	"quota_full", NULL };

/* Beside the account: "rev", and what secrets.db says of how to sign in. */
int
verb_user_show(struct request *q, struct err *e)
{
	struct password_keys keys = { 0 };
	enum totp_state state;
	int got;

	if (user_put_summary(q, q->target.account_id, e) != 0)
		return -1;
	state = totp_state(q->core->secrets, q->target.account_id, e);
	got =
	    secrets_password(q->core->secrets, q->target.account_id, &keys, e);
	if (state == TOTP_FAILED || got < 0)
		return -1;
	put_rev(q, json_object_get(q->out, "user"), volatile_keys);
	json_object_set_new(
	    q->out, "second_step", json_boolean(state == TOTP_ON));
	json_object_set_new(json_object_get(q->out, "user"),
	    "must_change_password", json_boolean(keys.must_change));
	mem_wipe(&keys, sizeof(keys));
	return 0;
}

/* In order, by an index; ?7 0: with those whose disabled_until is over. */
#define SELECT_USERS(index, which)                                         \
	"SELECT " USER_COLUMNS " FROM domain d CROSS JOIN account u" index \
	" ON u.domain_id = d.id WHERE d.name >= ?1"                        \
	" AND (d.name > ?1 OR u.local > ?2) AND (?3 = 0 OR d.id = ?3)"     \
	" AND (?6 OR wild(?5, d.name))"                                    \
	" AND wild(?4, u.local, CASE WHEN ?6 THEN u.name END)"             \
	" AND (u.disabled_until = 0 OR u.disabled_until > ?7)" which       \
	" ORDER BY d.name, u.local"

static struct sql_rows *
select_users(
    struct request *q, const char *after, const struct match *m, struct err *e)
{
	const char *query = SELECT_USERS("", "");
	struct slice domain, local;
	int64_t at = 0;

	page_cursor(after, &local, &domain);
	if (req_bool(q, "admins")) {
		query = SELECT_USERS(
		    " INDEXED BY account_roles", " AND u.roles <> 0");
	} else if (req_bool(q, "waiting")) {
		query = SELECT_USERS(
		    " INDEXED BY account_waiting", " AND u.waiting <> 0");
	} else if (req_bool(q, "disabled")) {
		query = SELECT_USERS(
		    " INDEXED BY account_disabled", " AND u.disabled <> 0");
		at = clock_wall_ms();
	}
	return sql_query(q->core->db, e, query, "vvissii", domain, local,
	    q->target.domain_id, m->local, m->domain, (int64_t)m->either, at);
}

/* 1: the row's user is on the page; 0: it is full, and "next" says so. */
static int
add_user(struct request *q, struct page *p, struct sql_rows *r,
    const char **last, struct err *e)
{
	json_t *user = user_row_json(r);

	if (complete_user(q, sql_int(r, 0), user, e) < 0) {
		json_decref(user);
		return -1;
	}
	if (!page_add(p, user)) {
		json_object_set_new(q->out, "next", json_string(*last));
		return 0;
	}
	*last = pool_strdup(&q->pool, sql_text(r, 1));
	return 1;
}

/* Those the table of names proposes, as far as they fit now (names.h N1). */
static int
search_users(struct request *q, struct page *p, const char *after,
    const struct match *m, struct err *e)
{
	struct names_search s = { .match = m,
		.domain_id = q->target.domain_id };
	const char *last = NULL;
	int64_t id;

	page_cursor(after, &s.after_local, &s.after_domain);
	if (names_start(q->core->names, q->core->db, &s, &q->pool, e) != 0)
		return -1;
	while ((id = names_next(q->core->names, &s)) != 0) {
		struct sql_rows *r = sql_query(q->core->db, e,
		    "SELECT " USER_COLUMNS USER_FROM " WHERE u.id = ?1"
		    " AND (?2 = 0 OR d.id = ?2) AND (?5 OR wild(?4, d.name))"
		    " AND wild(?3, u.local, CASE WHEN ?5 THEN u.name END)",
		    "iissi", id, s.domain_id, m->local, m->domain,
		    (int64_t)m->either);
		int got = sql_next(r, e);

		if (got == 1 && (got = add_user(q, p, r, &last, e)) == 0)
			id = 0;
		sql_done(r);
		if (got < 0)
			return -1;
		if (id == 0)
			break;
	}
	return 0;
}

static int
put_total(struct request *q, struct err *e)
{
	int64_t domain = q->target.domain_id;
	int64_t total = 0;
	/* apart, as each is a walk of one index */
	int got = domain == 0
	    ? sql_get_int(
		  q->core->db, e, &total, "SELECT count(*) FROM account", "")
	    : sql_get_int(q->core->db, e, &total,
		  "SELECT count(*) FROM account WHERE domain_id = ?1", "i",
		  domain);

	if (got == 1)
		json_object_set_new(
		    q->out, "total", json_integer((json_int_t)total));
	return got < 0 ? -1 : 0;
}

/*
 * "domain" (as a right of its own row), "match", "admins", "waiting",
 * "disabled", "after", "limit".  "total": all of the domain or server.
 */
int
verb_user_list(struct request *q, struct err *e)
{
	const char *after, *last = NULL;
	struct match match;
	struct sql_rows *r;
	struct page p;
	int got;

	if (req_optional(q, "after", &after, e) != 0 ||
	    req_match(q, &match, e) != 0 || put_total(q, e) != 0)
		return -1;
	page_init(&p, q);
	if (strcmp(match.local, "*") != 0 && !req_bool(q, "admins") &&
	    !req_bool(q, "waiting") && !req_bool(q, "disabled"))
		return search_users(q, &p, after, &match, e);
	r = select_users(q, after, &match, e);
	while ((got = sql_next(r, e)) == 1)
		if ((got = add_user(q, &p, r, &last, e)) != 1)
			break;
	sql_done(r);
	return got < 0 ? -1 : 0;
}

/* --- Passwords -------------------------------------------------------------------- */

static int64_t
least_characters(const struct request *q)
{
	struct settings *s = directory_settings(q->core->directory);
	int64_t least = settings_int(s, SET_PASSWORD_MIN);

	settings_free(s);
	return least;
}

int
user_check_password(struct request *q, const json_t *password,
    const char *address, struct err *e)
{
	q->field = "password";
	if (!json_is_string(password))
		return refuse(q, e, "missing", "password is missing");
	if (password_check_rules(slice_of(json_string_value(password),
				     json_string_length(password)),
		address, least_characters(q), e) != 0) {
		q->code = "bad-password";
		return -1;
	}
	q->field = NULL;
	return 0;
}

static bool
is_own(const struct request *q)
{
	return !q->actor.is_operator &&
	    q->actor.account_id == q->target.account_id;
}

/* One for the answer, which alone tells it. */
static json_t *
make_up(struct request *q, const char *address)
{
	char text[PASSWORD_MAX + 1];
	json_t *made;

	password_generate(address, least_characters(q), text);
	made = json_string(text);
	json_object_set_new(q->out, "password", made);
	mem_wipe(text, sizeof(text));
	return made;
}

int
prepare_password(struct request *q, struct err *e)
{
	json_t *v = json_object_get(q->in, "password");
	const char *address;

	if (req_optional(q, "address", &address, e) != 0)
		return -1;
	if (address == NULL)
		address = q->target.address;
	if (address == NULL)
		address = "";
	if (req_bool(q, "generate"))
		v = make_up(q, address);
	if (user_check_password(q, v, address, e) != 0 ||
	    password_make_keys(
		slice_of(json_string_value(v), json_string_length(v)), &q->keys,
		e) != 0)
		return -1;
	/* who chooses his own has chosen */
	q->keys.must_change = !is_own(q) && req_bool(q, "must_change");
	return 0;
}

/* Guessing with a stolen session is slowed down like any other. */
int
check_own_password(struct request *q, int64_t account_id, const char *name,
    const char *password, struct err *e)
{
	static const struct throttle_policy policy = { .after = 5,
		.max_s = 300 };
	const struct ip nowhere = { { 0 } };
	struct throttle *t = q->core->throttle;
	struct password_keys keys;
	bool good;
	int got;

	if (throttle_wait(t, policy, &nowhere, name, true, clock_mono_ms()) >
		0 ||
	    !password_slot_take(5000))
		return err_set(e, ERR_TEMP, "too many tries: wait a moment");
	got = secrets_password(q->core->secrets, account_id, &keys, e);
	good = got >= 0 &&
	    password_verify(slice_str(password), got == 1 ? keys.hash : NULL);
	password_slot_give();
	mem_wipe(&keys, sizeof(keys));
	if (got < 0 || good)
		return got < 0 ? -1 : 0;
	throttle_failed(t, policy, &nowhere, name, clock_mono_ms());
	return refuse(q, e, "wrong-password", "the old password is wrong");
}

int
prepare_passwd(struct request *q, struct err *e)
{
	const char *old;

	/* A user shows the old one; whoever administers him his own. */
	if (is_own(q) &&
	    (req_string(q, "old_password", &old, e) != 0 ||
		check_own_password(
		    q, q->target.account_id, q->target.address, old, e) != 0))
		return -1;
	if (!is_own(q) && check_fresh(q, e) != 0)
		return -1;
	return prepare_password(q, e);
}

static int
may_change(struct request *q, struct err *e)
{
	int64_t may = 0;
	int got = sql_get_int(q->core->db, e, &may,
	    "SELECT may_change_password FROM account WHERE id = ?1", "i",
	    q->target.account_id);

	if (got >= 0 && !may && q->actor.roles == 0)
		return refuse(q, e, "forbidden", "may not change the password");
	return got < 0 ? -1 : 0;
}

int
verb_user_passwd(struct request *q, struct err *e)
{
	if (is_own(q) && may_change(q, e) != 0)
		return -1;
	q->after = json_pack("{ss}", "password", "changed");
	return secrets_set_password(q->core->secrets, q->target.account_id,
	    &q->keys, is_own(q) ? q->actor.session_id : 0, e);
}

/* --- Changing ----------------------------------------------------------------------- */

enum column_type {
	COLUMN_TEXT,
	COLUMN_WORD,
	COLUMN_YES,
	COLUMN_SIZE,
	COLUMN_COUNT
};

/* clang-format off */
static const struct column {
	const char *key;
	enum column_type type;
	enum right right;
	const char *query;
} columns[] = {
	{ "name", COLUMN_TEXT, RIGHT_SELF, "UPDATE account SET name = ?1 WHERE id = ?2" },
	{ "forward_keep", COLUMN_YES, RIGHT_SELF, "UPDATE account SET forward_keep = ?1 WHERE id = ?2" },
	{ "quota_bytes", COLUMN_SIZE, RIGHT_DOMAIN, "UPDATE account SET quota_bytes = ?1, quota_full = 0 WHERE id = ?2" },
	{ "quota_messages", COLUMN_COUNT, RIGHT_DOMAIN, "UPDATE account SET quota_messages = ?1, quota_full = 0 WHERE id = ?2" },
	{ "max_message_bytes", COLUMN_SIZE, RIGHT_DOMAIN, "UPDATE account SET max_message_bytes = ?1 WHERE id = ?2" },
	{ "lang", COLUMN_WORD, RIGHT_DOMAIN, "UPDATE account SET lang = ?1 WHERE id = ?2" },
	{ "zone", COLUMN_WORD, RIGHT_DOMAIN, "UPDATE account SET zone = ?1 WHERE id = ?2" },
	{ "may_change_password", COLUMN_YES, RIGHT_DOMAIN, "UPDATE account SET may_change_password = ?1 WHERE id = ?2" },
	{ "pop3", COLUMN_YES, RIGHT_DOMAIN, "UPDATE account SET pop3 = ?1 WHERE id = ?2" },
	{ "smtp", COLUMN_YES, RIGHT_DOMAIN, "UPDATE account SET smtp = ?1 WHERE id = ?2" },
	{ "web", COLUMN_YES, RIGHT_DOMAIN, "UPDATE account SET web = ?1 WHERE id = ?2" },
};

/* clang-format on */

enum {
	FORWARDS_MAX = 100,
	NAME_MAX_BYTES = 200,
	WORD_MAX_BYTES = 64
};

int
user_check_name(struct request *q, const char *name, struct err *e)
{
	if (strlen(name) > NAME_MAX_BYTES)
		return refuse(q, e, "too-long", "the name is too long");
	if (!utf8_is_plain(slice_str(name)))
		return refuse(
		    q, e, "bad-value", "the name has a control character");
	return 0;
}

/* The name of a language or of a time zone; which there are is the pages'. */
static int
check_word(
    struct request *q, const struct column *c, const char *text, struct err *e)
{
	for (const char *p = text; *p != '\0'; p++)
		if (!ascii_is_alnum((unsigned char)*p) &&
		    strchr("/_+-", *p) == NULL)
			return refuse(
			    q, e, "bad-value", "%s cannot be %s", c->key, text);
	return strlen(text) > WORD_MAX_BYTES
	    ? refuse(q, e, "too-long", "%s is too long", c->key)
	    : 0;
}

static int
column_number(struct request *q, const struct column *c, const char *text,
    int64_t *out, struct err *e)
{
	struct slice s = slice_str(text);
	uint64_t n = 0;
	bool good;

	if (c->type == COLUMN_YES) {
		good = strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
		n = strcmp(text, "yes") == 0;
	} else if (c->type == COLUMN_SIZE) {
		good = num_parse_size(s, INT64_C(1) << 50, &n);
	} else {
		good = num_parse(s, 1000000000, &n);
	}
	if (!good)
		return refuse(
		    q, e, "bad-value", "%s cannot be %s", c->key, text);
	*out = (int64_t)n;
	return 0;
}

static int
set_column(
    struct request *q, const struct column *c, json_t *value, struct err *e)
{
	int allowed =
	    rights_allow(q->core->db, &q->actor, c->right, &q->target, e);
	const char *text;
	int64_t n = 0;
	int r;

	if (allowed == 0)
		return refuse(q, e, "forbidden", "may not change %s", c->key);
	if (allowed < 0 || value_text(value, &q->pool, &text, e) != 0)
		return -1;
	if (c->type == COLUMN_TEXT || c->type == COLUMN_WORD) {
		if ((c->type == COLUMN_TEXT ? user_check_name(q, text, e)
					    : check_word(q, c, text, e)) != 0)
			return -1;
		r = sql_run(
		    q->core->db, e, c->query, "si", text, q->target.account_id);
	} else {
		if (column_number(q, c, text, &n, e) != 0)
			return -1;
		r = sql_run(
		    q->core->db, e, c->query, "ii", n, q->target.account_id);
	}
	return r < 0 ? -1 : 0;
}

/* An array, or one text with addresses separated by commas or blanks. */
static int
set_forward(struct request *q, json_t *value, struct err *e)
{
	char *list = pool_strdup(
	    &q->pool, json_is_string(value) ? json_string_value(value) : "");
	char *all = pool_strdup(&q->pool, ""), *rest = NULL;
	const char *one;
	json_t *item;
	size_t i, n = 0;

	json_array_foreach(value, i, item)
		list = pool_printf(&q->pool, "%s,%s", list,
		    json_is_string(item) ? json_string_value(item) : "?");
	for (char *w = strtok_r(list, ", \n", &rest); w != NULL;
	     w = strtok_r(NULL, ", \n", &rest)) {
		if (canonical_address(q, w, &one, e) != 0)
			return -1;
		if (++n > FORWARDS_MAX)
			return refuse(q, e, "too-many",
			    "more than %d addresses", FORWARDS_MAX);
		all = pool_printf(
		    &q->pool, "%s%s%s", all, all[0] ? "\n" : "", one);
	}
	return sql_run(q->core->db, e,
		   "UPDATE account SET forward = ?1 WHERE id = ?2", "si", all,
		   q->target.account_id) < 0
	    ? -1
	    : 0;
}

/* An array, or one text with roles separated by commas or blanks. */
static int
set_roles(struct request *q, json_t *value, struct err *e)
{
	char *text, *rest = NULL;
	json_t *list;
	int r;

	if (!json_is_string(value))
		return role_set_all(q, q->target.account_id, value, e);
	text = pool_strdup(&q->pool, json_string_value(value));
	list = json_array();
	for (char *w = strtok_r(text, ", ", &rest); w != NULL;
	     w = strtok_r(NULL, ", ", &rest))
		json_array_append_new(list, json_string(w));
	r = role_set_all(q, q->target.account_id, list, e);
	json_decref(list);
	return r;
}

static int
set_one(struct request *q, const char *key, json_t *value, struct err *e)
{
	if (strncmp(key, "access.", 7) == 0)
		key += 7;
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		if (strcmp(columns[i].key, key) == 0)
			return set_column(q, &columns[i], value, e);
	if (strcmp(key, "forward") == 0)
		return set_forward(q, value, e);
	if (strcmp(key, "roles") == 0)
		return set_roles(q, value, e);
	return refuse(q, e, "unknown-key", "a user has no %s", key);
}

/* What the domain may store is promised to its users at most once. */
static int
check_storage(struct request *q, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT u.quota_bytes = 0, (SELECT sum(quota_bytes) FROM account"
	    " WHERE domain_id = d.id) > d.max_bytes"
	    " FROM account u JOIN domain d ON d.id = u.domain_id"
	    " WHERE u.id = ?1 AND d.max_bytes <> 0",
	    "i", q->target.account_id);
	int got = sql_next(r, e);
	bool none = got == 1 && sql_int(r, 0) != 0;
	bool over = got == 1 && sql_int(r, 1) != 0;

	sql_done(r);
	if (none || over)
		q->field = "quota_bytes";
	if (none)
		return refuse(q, e, "limit",
		    "the domain's storage is limited, so each user needs a"
		    " quota");
	if (over)
		return refuse(q, e, "limit",
		    "the quotas of the domain's users are more than the domain"
		    " may store");
	return got < 0 ? -1 : 0;
}

int
user_set_all(struct request *q, json_t *set, struct err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach(set, key, value) {
		q->field = key;
		if (set_one(q, key, value, e) != 0)
			return -1;
	}
	q->field = NULL;
	return check_storage(q, e);
}

int
verb_user_set(struct request *q, struct err *e)
{
	json_t *set = json_object_get(q->in, "set");

	if (!json_is_object(set))
		return refuse(q, e, "missing", "set is missing");
	if (user_load(q, q->target.account_id, &q->before, e) != 0 ||
	    check_rev(q, q->before, volatile_keys, e) != 0 ||
	    user_set_all(q, set, e) != 0 ||
	    user_load(q, q->target.account_id, &q->after, e) != 0)
		return -1;
	put_rev(q, q->after, volatile_keys);
	return 0;
}

/* --- Switching off and on --------------------------------------------------------------- */

int
user_set_disabled(
    struct request *q, int64_t disabled, int64_t until, struct err *e)
{
	return sql_run(q->core->db, e,
		   "UPDATE account SET disabled = ?1, disabled_until = ?2,"
		   " waiting = 0"
		   " WHERE id = ?3",
		   "iii", disabled, until, q->target.account_id) < 0
	    ? -1
	    : 0;
}

static int
set_disabled(struct request *q, int64_t disabled, int64_t until, struct err *e)
{
	q->after = json_pack("{sb,sI}", "disabled", (int)disabled, "until_ms",
	    (json_int_t)until);
	return user_set_disabled(q, disabled, until, e);
}

/* "until": RFC 3339; absent = for good.  Web sessions end. */
int
verb_user_disable(struct request *q, struct err *e)
{
	const char *text;
	int64_t until = 0;

	if (role_keep_admin(q, e) != 0 ||
	    req_optional(q, "until", &text, e) != 0)
		return -1;
	if (text != NULL && !clock_parse_rfc3339(slice_str(text), &until))
		return refuse(q, e, "bad-value", "not a time: %s", text);
	if (text != NULL && until <= clock_wall_ms())
		return refuse(q, e, "bad-value", "%s is over", text);
	if (secrets_end_session(q->core->secrets, q->target.account_id, 0, e) <
	    0)
		return -1;
	return set_disabled(q, 1, until, e);
}

int
verb_user_enable(struct request *q, struct err *e)
{
	return set_disabled(q, 0, 0, e);
}

/* --- What the mailbox holds ---------------------------------------------------------------- */

/*
 * From those who see mailboxes: "full" when a quota was crossed either way,
 * and the size as they found it.
 */
int
verb_user_usage(struct request *q, struct err *e)
{
	json_t *bytes = json_object_get(q->in, "used_bytes");
	json_t *messages = json_object_get(q->in, "used_messages");
	json_t *full = json_object_get(q->in, "full");

	if (json_integer_value(bytes) < 0 || json_integer_value(messages) < 0)
		return refuse(q, e, "bad-value", "sizes are not negative");
	if (json_is_integer(bytes) && json_is_integer(messages) &&
	    sql_run(q->core->db, e,
		"UPDATE account SET used_bytes = ?1, used_messages = ?2"
		" WHERE id = ?3",
		"iii", (int64_t)json_integer_value(bytes),
		(int64_t)json_integer_value(messages),
		q->target.account_id) < 0)
		return -1;
	if (json_is_boolean(full) &&
	    sql_run(q->core->db, e,
		"UPDATE account SET quota_full = ?1 WHERE id = ?2", "ii",
		(int64_t)json_is_true(full), q->target.account_id) < 0)
		return -1;
	return 0;
}

/* Counted here because one limit holds for all programs a user sends by. */
int
verb_user_sent(struct request *q, struct err *e)
{
	struct limits *sent = q->core->sent;
	int64_t now = clock_mono_ms();
	bool one_more = req_bool(q, "one_more");
	const char *address;
	int64_t count, max;
	struct settings *s;
	uint64_t key;

	if (req_string(q, "address", &address, e) != 0)
		return -1;
	s = directory_settings(q->core->directory);
	max = settings_int(s, SET_LIMIT_MESSAGES_PER_USER);
	settings_free(s);
	key = limits_key_user(sent, address);
	if (one_more)
		limits_message(sent, key, now);
	count = (int64_t)limits_messages(sent, key, now);
	if (ban_user_sends(q, address, !one_more && max > 0 && count >= max))
		count = INT64_MAX;
	json_object_set_new(q->out, "count", json_integer(count));
	return 0;
}
