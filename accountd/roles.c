/*
 * Giving and taking roles (what follows from one is rights.c's table).  Two
 * rules hold whoever asks: there is always a server administrator who can
 * sign in, and nobody hands out a role he does not stand above.
 *
 * Invariant: account.roles is what the role rows add up to.
 */
#include <string.h>

#include "request.h"

static const struct {
	uint32_t role;
	const char *name;
} role_names[] = {
	{ ROLE_SERVER_ADMIN, "server_admin" },
	{ ROLE_DOMAIN_ADMIN, "domain_admin" },
	{ ROLE_LIST_ADMIN, "list_admin" },
};

int
roles_refresh(struct request *q, int64_t account_id, struct err *e)
{
	return sql_run(q->core->db, e,
		   "UPDATE account SET roles = coalesce((SELECT"
		   " sum(DISTINCT role) FROM role WHERE account_id ="
		   " account.id), 0) WHERE id = ?1 OR ?1 = 0",
		   "i", account_id) < 0
	    ? -1
	    : 0;
}

int
role_add(struct request *q, int64_t account_id, uint32_t role,
    int64_t domain_id, int64_t list_id, struct err *e)
{
	if (sql_run(q->core->db, e,
		"INSERT OR IGNORE INTO role (account_id, role, domain_id,"
		" list_id) VALUES (?1, ?2, ?3, ?4)",
		"iiii", account_id, (int64_t)role, domain_id, list_id) < 0)
		return -1;
	return roles_refresh(q, account_id, e);
}

int
find_admin(struct request *q, int64_t but, const char **out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT u.local || '@' || d.name FROM account u"
	    " JOIN domain d ON d.id = u.domain_id"
	    " WHERE u.roles & 1 AND u.id <> ?1 AND u.disabled = 0"
	    " AND d.disabled = 0 ORDER BY u.id LIMIT 1",
	    "i", but);
	int got = sql_next(r, e);

	if (got == 1)
		*out = pool_strdup(&q->pool, sql_text(r, 0));
	sql_done(r);
	return got;
}

/* Before an account stops being one: somebody else must still be able to. */
int
role_keep_admin(struct request *q, struct err *e)
{
	const char *other;
	int got;

	if ((q->target.roles & ROLE_SERVER_ADMIN) == 0)
		return 0;
	got = find_admin(q, q->target.account_id, &other, e);
	if (got == 0)
		return refuse(q, e, "last-admin",
		    "this is the last server administrator");
	return got < 0 ? -1 : 0;
}

/* The domain or list a role is about; 1 found, 0 not there. */
static int
find_place(struct request *q, uint32_t role, struct slice where,
    struct target *out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT d.id, 0 FROM domain d WHERE ?1 = 2 AND d.name = ?2"
	    " UNION ALL SELECT l.domain_id, l.id FROM list l"
	    " JOIN domain d ON d.id = l.domain_id"
	    " WHERE ?1 = 4 AND l.local || '@' || d.name = ?2",
	    "iv", (int64_t)role, where);
	int got = sql_next(r, e);

	if (got == 1) {
		out->domain_id = sql_int(r, 0);
		out->list_id = sql_int(r, 1);
	}
	sql_done(r);
	return got;
}

static uint32_t
role_of(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(role_names); i++)
		if (slice_eq_str(name, role_names[i].name))
			return role_names[i].role;
	return 0;
}

/* "NAME" or "NAME:where"; without where, the account's own domain. */
static int
grant(struct request *q, int64_t account_id, const char *text, struct err *e)
{
	struct target about = { 0 };
	struct slice name, where = slice_cut(slice_str(text), ':', &name);
	uint32_t role = role_of(name);
	int got = 1;

	if (strcmp(text, "user") == 0) /* what everybody is */
		return 0;
	if (role == ROLE_DOMAIN_ADMIN && where.data == NULL)
		where = slice_str(q->target.domain);
	if (role != 0 && role != ROLE_SERVER_ADMIN)
		got = find_place(q, role, where, &about, e);
	if (role == 0 || got == 0)
		return refuse(q, e, "bad-role",
		    "no such role: %s (server_admin, domain_admin[:DOMAIN],"
		    " list_admin:LIST)",
		    text);
	if (got > 0)
		got = rights_allow(q->core->db, &q->actor,
		    role == ROLE_SERVER_ADMIN ? RIGHT_SERVER : RIGHT_DOMAIN,
		    &about, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return refuse(q, e, "forbidden", "may not give this role");
	return role_add(q, account_id, role,
	    role == ROLE_DOMAIN_ADMIN ? about.domain_id : 0, about.list_id, e);
}

static bool
has_text(json_t *array, const char *text)
{
	json_t *one;
	size_t i;

	json_array_foreach(array, i, one)
		if (json_is_string(one) &&
		    strcmp(json_string_value(one), text) == 0)
			return true;
	return false;
}

int
role_set_all(
    struct request *q, int64_t account_id, json_t *roles, struct err *e)
{
	json_t *one;
	size_t i;
	int allowed =
	    rights_allow(q->core->db, &q->actor, RIGHT_DOMAIN, &q->target, e);

	if (allowed < 0)
		return -1;
	if (allowed == 0)
		return refuse(q, e, "forbidden", "may not change roles");
	if (!q->quiet && check_fresh(q, e) != 0)
		return -1;
	if (!json_is_array(roles))
		return refuse(q, e, "wrong-type", "roles must be a list");
	if (!has_text(roles, "server_admin") && role_keep_admin(q, e) != 0)
		return -1;
	if (sql_run(q->core->db, e, "DELETE FROM role WHERE account_id = ?1",
		"i", account_id) < 0)
		return -1;
	json_array_foreach(roles, i, one) {
		const char *text = json_string_value(one);

		if (grant(q, account_id, text ? text : "", e) != 0)
			return -1;
	}
	return roles_refresh(q, account_id, e);
}
