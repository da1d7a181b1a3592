/*
 * Domains, and the first of them: `init` makes a server of an empty directory
 * and works only while it is empty.
 */
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "mail/address.h"

#include "request.h"

static int
domain_insert(struct request *q, const char *name, bool is_default,
    int64_t alias_of, int64_t *id_out, struct err *e)
{
	int r;

	if (is_default &&
	    sql_run(q->core->db, e,
		"UPDATE domain SET is_default = 0 WHERE is_default = 1",
		"") < 0)
		return -1;
	r = sql_run(q->core->db, e,
	    "INSERT INTO domain (name, alias_of, is_default, created_ms)"
	    " VALUES (?1, nullif(?2, 0), ?3, ?4)",
	    "siii", name, alias_of, (int64_t)is_default, clock_wall_ms());
	if (r < 0 && e->kind == ERR_PERM)
		return refuse(
		    q, e, "exists", "domain exists already: %s", name);
	*id_out = sql_last_id(q->core->db);
	return r < 0 ? -1 : 0;
}

static int
normal_name(
    struct request *q, const char *field, const char **out, struct err *e)
{
	char *name = pool_alloc(&q->pool, ADDRESS_DOMAIN_MAX + 1);
	const char *text;

	if (req_string(q, field, &text, e) != 0)
		return -1;
	if (domain_normalise(slice_str(text), name, e) != 0) {
		q->code = "bad-domain";
		e->kind = ERR_PERM;
		return -1;
	}
	*out = name;
	return 0;
}

/* The real domain that "alias_of" names; 0 when there is none. */
static int
alias_target(struct request *q, int64_t *out, struct err *e)
{
	const char *name;
	int got;

	*out = 0;
	if (json_object_get(q->in, "alias_of") == NULL)
		return 0;
	if (normal_name(q, "alias_of", &name, e) != 0)
		return -1;
	got = sql_get_int(q->core->db, e, out,
	    "SELECT coalesce(alias_of, id) FROM domain WHERE name = ?1", "s",
	    name);
	if (got == 0)
		return refuse(
		    q, e, "no-such-domain", "no such domain: %s", name);
	return got < 0 ? -1 : 0;
}

static int
count_rows(struct request *q, const char *query, int64_t id, int64_t *out,
    struct err *e)
{
	return sql_get_int(q->core->db, e, out, query, "i", id) == 1 ? 0 : -1;
}

int
verb_domain_add(struct request *q, struct err *e)
{
	const char *name = "", *admin = NULL;
	int64_t alias_of = 0, id = 0, others = 0;

	if (normal_name(q, "name", &name, e) != 0 ||
	    alias_target(q, &alias_of, e) != 0 ||
	    count_rows(q, "SELECT count(*) FROM domain WHERE id <> ?1", 0,
		&others, e) != 0)
		return -1;
	if (alias_of != 0 && req_bool(q, "default"))
		return refuse(
		    q, e, "bad-value", "an alias cannot be the default domain");
	if (find_admin(q, 0, &admin, e) < 0 ||
	    domain_insert(q, name, req_bool(q, "default") || others == 0,
		alias_of, &id, e) != 0)
		return -1;
	if (alias_of == 0 && admin != NULL &&
	    alias_put_reserved(q, id, admin, e) != 0)
		return -1;
	if (dkim_add_first(q, name, e) != 0)
		return -1;
	q->target.domain = name;
	q->after = json_pack("{ss,sb}", "name", name, "default",
	    req_bool(q, "default") || others == 0);
	return 0;
}

/* --- Showing -------------------------------------------------------------------- */

#define DOMAIN_SELECT                                                 \
	"SELECT d.id, d.name, coalesce(r.name, ''), d.is_default,"    \
	" d.disabled, d.catch_all, d.forward_to, d.max_accounts,"     \
	" d.max_lists,"                                               \
	" (SELECT count(*) FROM account u WHERE u.domain_id = d.id)," \
	" (SELECT count(*) FROM list l WHERE l.domain_id = d.id),"    \
	" d.max_bytes, d.admin_login, d.new_quota_bytes,"             \
	" d.new_quota_messages, d.new_may_change_password,"           \
	" d.new_pop3, d.new_smtp, d.new_web, d.pop3, d.smtp, d.web"   \
	" FROM domain d LEFT JOIN domain r ON r.id = d.alias_of"

static json_t *
domain_json(struct sql_rows *r)
{
	return json_pack("{ss,ss,sb,sb,ss,ss,sI,sI,sI,sI,sI,ss,"
			 "s{sI,sI,sb,sb,sb,sb},s{sb,sb,sb}}",
	    "name", sql_text(r, 1), "alias_of", sql_text(r, 2), "default",
	    (int)sql_int(r, 3), "disabled", (int)sql_int(r, 4), "catchall",
	    sql_text(r, 5), "forward", sql_text(r, 6), "max_accounts",
	    (json_int_t)sql_int(r, 7), "max_lists", (json_int_t)sql_int(r, 8),
	    "accounts", (json_int_t)sql_int(r, 9), "lists",
	    (json_int_t)sql_int(r, 10), "max_bytes", (json_int_t)sql_int(r, 11),
	    "admin", sql_text(r, 12), "new_user", "quota_bytes",
	    (json_int_t)sql_int(r, 13), "quota_messages",
	    (json_int_t)sql_int(r, 14), "may_change_password",
	    (int)sql_int(r, 15), "pop3", (int)sql_int(r, 16), "smtp",
	    (int)sql_int(r, 17), "web", (int)sql_int(r, 18), "access", "pop3",
	    (int)sql_int(r, 19), "smtp", (int)sql_int(r, 20), "web",
	    (int)sql_int(r, 21));
}

/* All for the server's administrators, else those the actor administers. */
int
verb_domain_list(struct request *q, struct err *e)
{
	const char *after;
	struct sql_rows *r;
	struct match match;
	struct page p;
	const char *last = NULL;
	int all, got;

	all = rights_allow(q->core->db, &q->actor, RIGHT_SERVER, &q->target, e);
	if (all < 0 || req_optional(q, "after", &after, e) != 0 ||
	    req_match(q, &match, e) != 0)
		return -1;
	page_init(&p, q);
	r = sql_query(q->core->db, e,
	    DOMAIN_SELECT
	    " WHERE d.name > ?1 AND (?2 OR EXISTS (SELECT 1 FROM role a"
	    "  WHERE a.account_id = ?3 AND a.role = 2"
	    "  AND a.domain_id = coalesce(d.alias_of, d.id)))"
	    " AND wild(?4, d.name)"
	    " ORDER BY d.name",
	    "siis", after ? after : "", (int64_t)all, q->actor.account_id,
	    match.domain);
	while ((got = sql_next(r, e)) == 1) {
		if (!page_add(&p, domain_json(r))) {
			json_object_set_new(q->out, "next", json_string(last));
			got = 0;
			break;
		}
		last = pool_strdup(&q->pool, sql_text(r, 1));
	}
	sql_done(r);
	return got < 0 ? -1 : 0;
}

static int
load(struct request *q, json_t **out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    DOMAIN_SELECT " WHERE d.id = ?1", "i", q->target.row_id);
	int got = sql_next(r, e);

	if (got == 1)
		*out = domain_json(r);
	sql_done(r);
	return got == 1 ? 0 : -1;
}

/* What changes by itself. */
static const char *const volatile_keys[] = { "accounts", "lists", NULL };

int
verb_domain_show(struct request *q, struct err *e)
{
	json_t *domain;

	if (load(q, &domain, e) != 0)
		return -1;
	json_object_set_new(q->out, "domain", domain);
	put_rev(q, domain, volatile_keys);
	return 0;
}

/* --- Changing ----------------------------------------------------------------------- */

enum column_type {
	COLUMN_ADDRESS,
	COLUMN_FORWARD,
	COLUMN_ADMIN,
	COLUMN_COUNT,
	COLUMN_SIZE,
	COLUMN_YES,
	COLUMN_DEFAULT
};

struct column {
	const char *key;
	enum column_type type;
	enum right right; /* limits are set from above */
	const char *query;
};

/* clang-format off */
static const struct column columns[] = {
	{ "catchall", COLUMN_ADDRESS, RIGHT_DOMAIN, "UPDATE domain SET catch_all = ?1 WHERE id = ?2" },
	{ "forward", COLUMN_FORWARD, RIGHT_SERVER, "UPDATE domain SET forward_to = ?1 WHERE id = ?2" },
	{ "admin", COLUMN_ADMIN, RIGHT_SERVER, "UPDATE domain SET admin_login = ?1 WHERE id = ?2" },
	{ "max_accounts", COLUMN_COUNT, RIGHT_SERVER, "UPDATE domain SET max_accounts = ?1 WHERE id = ?2" },
	{ "max_lists", COLUMN_COUNT, RIGHT_SERVER, "UPDATE domain SET max_lists = ?1 WHERE id = ?2" },
	{ "max_bytes", COLUMN_SIZE, RIGHT_SERVER, "UPDATE domain SET max_bytes = ?1 WHERE id = ?2" },
	{ "access.pop3", COLUMN_YES, RIGHT_SERVER, "UPDATE domain SET pop3 = ?1 WHERE id = ?2" },
	{ "access.smtp", COLUMN_YES, RIGHT_SERVER, "UPDATE domain SET smtp = ?1 WHERE id = ?2" },
	{ "access.web", COLUMN_YES, RIGHT_SERVER, "UPDATE domain SET web = ?1 WHERE id = ?2" },
	{ "new_user.quota_bytes", COLUMN_SIZE, RIGHT_DOMAIN, "UPDATE domain SET new_quota_bytes = ?1 WHERE id = ?2" },
	{ "new_user.quota_messages", COLUMN_COUNT, RIGHT_DOMAIN, "UPDATE domain SET new_quota_messages = ?1 WHERE id = ?2" },
	{ "new_user.may_change_password", COLUMN_YES, RIGHT_DOMAIN, "UPDATE domain SET new_may_change_password = ?1 WHERE id = ?2" },
	{ "new_user.pop3", COLUMN_YES, RIGHT_DOMAIN, "UPDATE domain SET new_pop3 = ?1 WHERE id = ?2" },
	{ "new_user.smtp", COLUMN_YES, RIGHT_DOMAIN, "UPDATE domain SET new_smtp = ?1 WHERE id = ?2" },
	{ "new_user.web", COLUMN_YES, RIGHT_DOMAIN, "UPDATE domain SET new_web = ?1 WHERE id = ?2" },
	{ "default", COLUMN_DEFAULT, RIGHT_SERVER, "UPDATE domain SET is_default = 1 WHERE ?1 AND id = ?2" },
};

/* clang-format on */

static int
set_address(
    struct request *q, const struct column *c, const char *text, struct err *e)
{
	const char *value = text;
	char name[ADDRESS_DOMAIN_MAX + 1];

	if (c->type == COLUMN_FORWARD && text[0] == '@') {
		if (domain_normalise(slice_str(text + 1), name, e) != 0)
			return refuse(
			    q, e, "bad-value", "not a domain: %s", text + 1);
		value = pool_printf(&q->pool, "@%s", name);
	} else if (text[0] != '\0' &&
	    canonical_address(q, text, &value, e) != 0) {
		return -1;
	}
	return sql_run(q->core->db, e, c->query, "si", value,
		   q->target.domain_id) < 0
	    ? -1
	    : 0;
}

static int
make_default(
    struct request *q, const struct column *c, const char *text, struct err *e)
{
	if (strcmp(text, "yes") != 0)
		return refuse(q, e, "bad-value",
		    "there is always a default domain: make another one it");
	if (q->target.alias_of != 0)
		return refuse(
		    q, e, "bad-value", "an alias cannot be the default domain");
	if (sql_run(q->core->db, e, "UPDATE domain SET is_default = 0", "") < 0)
		return -1;
	return sql_run(q->core->db, e, c->query, "ii", (int64_t)1,
		   q->target.domain_id) < 0
	    ? -1
	    : 0;
}

/* The account that may sign in with the domain's name. */
static int
set_admin(
    struct request *q, const struct column *c, const char *text, struct err *e)
{
	const char *value = text;
	int got = 1;

	if (text[0] != '\0') {
		if (canonical_address(q, text, &value, e) != 0)
			return -1;
		got = sql_get_int(q->core->db, e, NULL,
		    "SELECT 1 FROM account u JOIN domain d"
		    " ON d.id = u.domain_id WHERE d.id = ?1"
		    " AND u.local || '@' || d.name = ?2 COLLATE NOCASE",
		    "is", q->target.domain_id, value);
	}
	if (got == 0)
		return refuse(q, e, "not-found",
		    "%s is not a user of this domain", value);
	return got < 0 ||
		sql_run(q->core->db, e, c->query, "si", value,
		    q->target.domain_id) < 0
	    ? -1
	    : 0;
}

static int
set_number(
    struct request *q, const struct column *c, const char *text, struct err *e)
{
	struct slice s = slice_str(text);
	uint64_t n = 0;
	bool good = true;

	if (c->type == COLUMN_COUNT)
		good = num_parse(s, 1000000000, &n);
	else if (c->type == COLUMN_SIZE)
		good = num_parse_size(s, INT64_C(1) << 50, &n);
	else if (strcmp(text, "yes") == 0)
		n = 1;
	else
		good = strcmp(text, "no") == 0;
	if (!good)
		return refuse(
		    q, e, "bad-value", "%s cannot be %s", c->key, text);
	return sql_run(q->core->db, e, c->query, "ii", (int64_t)n,
		   q->target.domain_id) < 0
	    ? -1
	    : 0;
}

static int
set_one(struct request *q, const char *key, json_t *value, struct err *e)
{
	const struct column *c = NULL;
	const char *text;
	int allowed;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		if (strcmp(columns[i].key, key) == 0)
			c = &columns[i];
	if (c == NULL)
		return refuse(q, e, "unknown-key", "a domain has no %s", key);
	allowed = rights_allow(q->core->db, &q->actor, c->right, &q->target, e);
	if (allowed == 0)
		return refuse(q, e, "forbidden", "may not change %s", key);
	if (allowed < 0 || value_text(value, &q->pool, &text, e) != 0)
		return -1;
	switch (c->type) {
	case COLUMN_DEFAULT:
		return make_default(q, c, text, e);
	case COLUMN_ADDRESS:
	case COLUMN_FORWARD:
		return set_address(q, c, text, e);
	case COLUMN_ADMIN:
		return set_admin(q, c, text, e);
	case COLUMN_COUNT:
	case COLUMN_SIZE:
	case COLUMN_YES:
		break;
	}
	return set_number(q, c, text, e);
}

int
verb_domain_set(struct request *q, struct err *e)
{
	json_t *set = json_object_get(q->in, "set"), *value;
	const char *key;

	if (!json_is_object(set))
		return refuse(q, e, "missing", "set is missing");
	if (load(q, &q->before, e) != 0 ||
	    check_rev(q, q->before, volatile_keys, e) != 0)
		return -1;
	json_object_foreach(set, key, value) {
		q->field = key;
		if (set_one(q, key, value, e) != 0)
			return -1;
	}
	q->field = NULL;
	if (load(q, &q->after, e) != 0)
		return -1;
	put_rev(q, q->after, volatile_keys);
	return 0;
}

static int
set_disabled(struct request *q, bool disabled, struct err *e)
{
	q->after = json_pack("{sb}", "disabled", disabled);
	return sql_run(q->core->db, e,
		   "UPDATE domain SET disabled = ?1 WHERE id = ?2", "ii",
		   (int64_t)disabled, q->target.row_id) < 0
	    ? -1
	    : 0;
}

int
verb_domain_disable(struct request *q, struct err *e)
{
	return set_disabled(q, true, e);
}

int
verb_domain_enable(struct request *q, struct err *e)
{
	return set_disabled(q, false, e);
}

static int
forget_keys(struct request *q, struct err *e)
{
	return secrets_dkim_delete(q->core->secrets,
		   json_string_value(json_object_get(q->before, "name")), NULL,
		   e) < 0
	    ? -1
	    : 0;
}

int
verb_domain_delete(struct request *q, struct err *e)
{
	int64_t accounts = 0, is_default = 0;

	if (load(q, &q->before, e) != 0)
		return -1;
	if (q->target.alias_of == 0 &&
	    (count_rows(q, "SELECT count(*) FROM account WHERE domain_id = ?1",
		 q->target.row_id, &accounts, e) != 0 ||
		count_rows(q, "SELECT is_default FROM domain WHERE id = ?1",
		    q->target.row_id, &is_default, e) != 0))
		return -1;
	if (accounts > 0)
		return refuse(q, e, "not-empty",
		    "the domain has users: delete them first");
	if (is_default)
		return refuse(q, e, "is-default",
		    "this is the default domain: make another one it first");
	if (sql_run(q->core->db, e,
		"DELETE FROM role WHERE domain_id = ?1 OR list_id IN"
		" (SELECT id FROM list WHERE domain_id = ?1)",
		"i", q->target.row_id) < 0 ||
	    sql_run(q->core->db, e, "DELETE FROM setting WHERE domain_id = ?1",
		"i", q->target.row_id) < 0 ||
	    sql_run(q->core->db, e, "DELETE FROM domain WHERE id = ?1", "i",
		q->target.row_id) < 0 ||
	    roles_refresh(q, 0, e) != 0)
		return -1;
	q->afterwards = forget_keys;
	return 0;
}

/*
 * Files of the domain's look were changed by who keeps them: all that happens
 * is the line in the audit log.
 */
int
verb_domain_look(struct request *q, struct err *e)
{
	const char *file;

	if (req_string(q, "file", &file, e) != 0)
		return -1;
	q->after = json_pack("{ss}", "file", file);
	return 0;
}

int
refuse_if_full(
    struct request *q, const char *query, const char *what, struct err *e)
{
	int64_t full = 0;
	int got =
	    sql_get_int(q->core->db, e, &full, query, "i", q->target.domain_id);

	if (full != 0)
		return refuse(q, e, "limit",
		    "the domain has as many %s as it may have", what);
	return got < 0 ? -1 : 0;
}

/* --- The first domain ------------------------------------------------------------------ */

static int
init_settings(struct request *q, const char *host, struct err *e)
{
	static const struct {
		const char *field, *setting;
	} optional[] = { { "listen", "server.listen" },
		{ "port_offset", "server.port_offset" } };

	const char *text;

	if (setting_store(q, "server.hostname", host, 0, e) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
		json_t *v = json_object_get(q->in, optional[i].field);

		if (v != NULL &&
		    (value_text(v, &q->pool, &text, e) != 0 ||
			setting_store(q, optional[i].setting, text, 0, e) != 0))
			return -1;
	}
	return 0;
}

static int
init_admin(
    struct request *q, int64_t domain_id, const char *domain, struct err *e)
{
	const char *text, *name;
	struct address a;
	int64_t id;

	if (req_string(q, "address", &text, e) != 0 ||
	    req_optional(q, "name", &name, e) != 0)
		return -1;
	if (address_parse(slice_str(text), ADDRESS_UTF8, &q->pool, &a, e) !=
		0 ||
	    strcmp(a.domain, domain) != 0)
		return refuse(q, e, "bad-address",
		    "the administrator must be an address of %s", domain);
	if (user_insert(q, domain_id, a.local, name ? name : "", &id, e) != 0 ||
	    role_add(q, id, ROLE_SERVER_ADMIN, 0, 0, e) != 0 ||
	    alias_put_reserved(q, domain_id,
		pool_printf(&q->pool, "%s@%s", a.local, domain), e) != 0)
		return -1;
	return secrets_set_password(q->core->secrets, id, &q->keys, 0, e);
}

int
verb_init(struct request *q, struct err *e)
{
	const char *host = "", *domain = "";
	int64_t others = 0, id = 0;

	if (count_rows(q, "SELECT count(*) FROM domain WHERE id <> ?1", 0,
		&others, e) != 0)
		return -1;
	if (others > 0)
		return refuse(q, e, "exists", "the directory is not empty");
	if (normal_name(q, "hostname", &host, e) != 0 ||
	    normal_name(q, "domain", &domain, e) != 0 ||
	    init_settings(q, host, e) != 0 ||
	    domain_insert(q, domain, true, 0, &id, e) != 0 ||
	    init_admin(q, id, domain, e) != 0 ||
	    dkim_add_first(q, domain, e) != 0)
		return -1;
	q->target.domain = domain;
	/* beside the settings, which are there already */
	json_object_set_new(q->after, "domain", json_string(domain));
	return 0;
}
