/*
 * Aliases and distribution lists: addresses that lead to others.
 *
 * Invariant: an alias has at least one target; postmaster@ and abuse@ of a
 * domain can be redirected but not removed.
 */
#include <string.h>

#include "mail/address.h"

#include "request.h"

enum {
	TARGETS_MAX = 200
};

static const char insert_target[] =
    "INSERT OR IGNORE INTO alias_target (alias_id, target) VALUES (?1, ?2)";
static const char insert_member[] =
    "INSERT OR IGNORE INTO list_member (list_id, address) VALUES (?1, ?2)";

bool
alias_is_reserved(const char *local)
{
	return ascii_casecmp(local, "postmaster") == 0 ||
	    ascii_casecmp(local, "abuse") == 0;
}

int
canonical_address(
    struct request *q, const char *text, const char **out, struct err *e)
{
	struct address a;

	if (address_parse(slice_str(text), ADDRESS_UTF8, &q->pool, &a, e) != 0)
		return refuse(q, e, "bad-address", "not an address: %s", text);
	*out = pool_printf(&q->pool, "%s@%s", a.local, a.domain);
	return 0;
}

int
address_taken(struct request *q, int64_t domain_id, const char *local,
    const char **by_out, struct err *e)
{
	static const char *const words[] = { "user", "alias", "list" };
	int64_t which = 0;
	int got = sql_get_int(q->core->db, e, &which,
	    "SELECT 0 FROM account WHERE domain_id = ?1 AND local = ?2"
	    " UNION ALL"
	    " SELECT 1 FROM alias WHERE domain_id = ?1 AND local = ?2"
	    " UNION ALL"
	    " SELECT 2 FROM list WHERE domain_id = ?1 AND local = ?2",
	    "is", domain_id, local);

	*by_out = got == 1 ? words[which] : "";
	return got;
}

/* The row's id, made if it is not there. */
static int
alias_row(struct request *q, int64_t domain_id, const char *local, int64_t *out,
    struct err *e)
{
	if (sql_run(q->core->db, e,
		"INSERT OR IGNORE INTO alias (domain_id, local)"
		" VALUES (?1, ?2)",
		"is", domain_id, local) < 0)
		return -1;
	return sql_get_int(q->core->db, e, out,
		   "SELECT id FROM alias WHERE domain_id = ?1 AND local = ?2",
		   "is", domain_id, local) == 1
	    ? 0
	    : -1;
}

int
alias_put(struct request *q, int64_t domain_id, const char *local,
    const char *const *targets, size_t count, struct err *e)
{
	int64_t id;

	if (alias_row(q, domain_id, local, &id, e) != 0 ||
	    sql_run(q->core->db, e,
		"DELETE FROM alias_target WHERE alias_id = ?1", "i", id) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (sql_run(q->core->db, e, insert_target, "is", id,
			targets[i]) < 0)
			return -1;
	return 0;
}

int
alias_put_reserved(
    struct request *q, int64_t domain_id, const char *admin, struct err *e)
{
	static const char *const names[] = { "postmaster", "abuse" };
	const char *by;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int taken = address_taken(q, domain_id, names[i], &by, e);

		if (taken < 0 ||
		    (taken == 0 &&
			alias_put(q, domain_id, names[i], &admin, 1, e) != 0))
			return -1;
	}
	return 0;
}

int
alias_join(struct request *q, bool is_list, const char *address, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT CASE WHEN ?3 THEN (SELECT id FROM list WHERE"
	    " domain_id = ?1 AND local = ?2) ELSE (SELECT id FROM alias"
	    " WHERE domain_id = ?1 AND local = ?2) END, (SELECT count(*)"
	    " FROM alias a JOIN alias_target t ON t.alias_id = a.id"
	    " WHERE NOT ?3 AND a.domain_id = ?1 AND a.local = ?2)",
	    "isi", q->target.domain_id, q->target.local, (int64_t)is_list);
	int got = sql_next(r, e);
	int64_t id = got == 1 ? sql_int(r, 0) : 0;
	int64_t count = got == 1 ? sql_int(r, 1) : 0;

	sql_done(r);
	if (got != 1)
		return -1;
	if (id == 0)
		return refuse(q, e, "not-found", "no such %s: %s",
		    is_list ? "list" : "alias", q->target.address);
	if (count >= TARGETS_MAX)
		return refuse(q, e, "too-many", "more than %d addresses",
		    (int)TARGETS_MAX);
	return sql_run(q->core->db, e, is_list ? insert_member : insert_target,
		   "is", id, address) < 0
	    ? -1
	    : 0;
}

/* An array of addresses, canonical, into the pool. */
static int
read_addresses(struct request *q, json_t *array, size_t least, size_t most,
    const char ***out, size_t *count_out, struct err *e)
{
	const char **list;
	json_t *one;
	size_t i;

	if (!json_is_array(array) || json_array_size(array) < least)
		return refuse(
		    q, e, "missing", "at least one address is needed");
	if (json_array_size(array) > most)
		return refuse(
		    q, e, "too-many", "more than %zu addresses", most);
	list =
	    pool_alloc(&q->pool, (json_array_size(array) + 1) * sizeof(*list));
	json_array_foreach(array, i, one) {
		const char *text = json_string_value(one);

		if (canonical_address(q, text ? text : "", &list[i], e) != 0)
			return -1;
	}
	*out = list;
	*count_out = json_array_size(array);
	return 0;
}

/* --- Aliases ---------------------------------------------------------------------- */

static int
load_alias(struct request *q, json_t **out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT t.target FROM alias a JOIN alias_target t"
	    " ON t.alias_id = a.id WHERE a.domain_id = ?1 AND a.local = ?2"
	    " ORDER BY t.target",
	    "is", q->target.domain_id, q->target.local);
	json_t *targets = json_array();
	int got;

	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(targets, json_string(sql_text(r, 0)));
	sql_done(r);
	*out = json_pack(
	    "{ss,so}", "address", q->target.address, "targets", targets);
	return got;
}

/* The alias, and beside it "rev". */
int
verb_alias_show(struct request *q, struct err *e)
{
	json_t *alias;
	int r = load_alias(q, &alias, e);

	json_object_set_new(q->out, "alias", alias);
	put_rev(q, alias, NULL);
	return r;
}

/*
 * "targets"; an alias that is there already is redirected, unless "new".  With
 * "rev" only that version of it.
 */
int
verb_alias_add(struct request *q, struct err *e)
{
	const char **targets, *by;
	size_t count = 0;
	int taken;

	if (read_addresses(q, json_object_get(q->in, "targets"), 1, TARGETS_MAX,
		&targets, &count, e) != 0)
		return -1;
	taken = address_taken(q, q->target.domain_id, q->target.local, &by, e);
	if (taken < 0)
		return -1;
	if (taken && (strcmp(by, "alias") != 0 || req_bool(q, "new")))
		return refuse(q, e, "exists", "%s exists already (%s)",
		    q->target.address, by);
	if (load_alias(q, &q->before, e) != 0 ||
	    check_rev(q, q->before, NULL, e) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (ascii_casecmp(targets[i], q->target.address) == 0)
			return refuse(q, e, "bad-value",
			    "%s cannot lead to itself", targets[i]);
	q->after =
	    json_pack("{sO}", "targets", json_object_get(q->in, "targets"));
	return alias_put(
	    q, q->target.domain_id, q->target.local, targets, count, e);
}

/* Rows come by alias and target; one item an alias. */
struct gathering {
	struct page page;
	json_t *item;
	char *address;
};

static bool
flush_item(struct gathering *g)
{
	bool fits = g->item == NULL || page_add(&g->page, g->item);

	g->item = NULL;
	return fits;
}

static bool
gather(struct request *q, struct gathering *g, const char *address,
    const char *target, const char *key)
{
	if (g->item == NULL || strcmp(g->address, address) != 0) {
		if (!flush_item(g))
			return false;
		g->address = pool_strdup(&q->pool, address);
		g->item = json_pack("{ss,s[]}", "address", address, key);
	}
	json_array_append_new(
	    json_object_get(g->item, key), json_string(target));
	return true;
}

/* The page is full with `g->address` not in it: it starts the next one. */
static void
put_next(struct request *q, const char *last)
{
	json_object_set_new(q->out, "next", json_string(last));
}

/* "domain" (a row of its own), "after". */
int
verb_alias_list(struct request *q, struct err *e)
{
	struct gathering g = { 0 };
	struct slice domain, local;
	const char *after, *last = "";
	struct match m;
	struct sql_rows *r;
	bool full = false;
	int got = -1;

	if (req_optional(q, "after", &after, e) != 0 ||
	    req_match(q, &m, e) != 0)
		return -1;
	page_init(&g.page, q);
	page_cursor(after, &local, &domain);
	r = sql_query(q->core->db, e,
	    "SELECT a.local || '@' || d.name, t.target"
	    " FROM domain d CROSS JOIN alias a ON a.domain_id = d.id"
	    " CROSS JOIN alias_target t ON t.alias_id = a.id"
	    " WHERE (d.name > ?1 OR (d.name = ?1 AND a.local > ?2))"
	    " AND (?3 = 0 OR d.id = ?3) AND ("
	    " (NOT ?6 AND wild(?4, a.local) AND wild(?5, d.name)) OR (?6 AND"
	    "  (wild(?4, a.local) OR a.id IN (SELECT x.alias_id"
	    "   FROM alias_target x WHERE wild(?4, x.target)))))"
	    " ORDER BY d.name, a.local, t.target",
	    "vvissi", domain, local, q->target.domain_id, m.local, m.domain,
	    (int64_t)m.either);
	while (!full && (got = sql_next(r, e)) == 1) {
		const char *before = g.address;
		bool was_open = g.item != NULL;

		full =
		    !gather(q, &g, sql_text(r, 0), sql_text(r, 1), "targets");
		if (!full && was_open && g.address != before)
			last = before;
	}
	sql_done(r);
	if (!full && got == 0 && !flush_item(&g))
		full = true;
	if (full)
		put_next(q, last);
	json_decref(g.item);
	return got < 0 ? -1 : 0;
}

int
verb_alias_delete(struct request *q, struct err *e)
{
	if (alias_is_reserved(q->target.local))
		return refuse(q, e, "reserved",
		    "%s can be redirected, not deleted", q->target.address);
	if (load_alias(q, &q->before, e) != 0 ||
	    check_rev(q, q->before, NULL, e) != 0)
		return -1;
	return sql_run(q->core->db, e, "DELETE FROM alias WHERE id = ?1", "i",
		   q->target.alias_id) < 0
	    ? -1
	    : 0;
}

/* --- Distribution lists --------------------------------------------------------------- */

static int
load_list(struct request *q, json_t **out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT l.name, l.members_only, l.auth_required,"
	    " (SELECT count(*) FROM list_member m WHERE m.list_id = l.id)"
	    " FROM list l WHERE l.id = ?1",
	    "i", q->target.list_id);
	int got = sql_next(r, e);

	if (got == 1)
		*out = json_pack("{ss,ss,sb,sb,sI}", "address",
		    q->target.address, "name", sql_text(r, 0), "members_only",
		    (int)sql_int(r, 1), "auth_required", (int)sql_int(r, 2),
		    "member_count", (json_int_t)sql_int(r, 3));
	sql_done(r);
	return got == 1 ? 0 : -1;
}

/* What changes by itself. */
static const char *const volatile_keys[] = { "member_count", NULL };

/* The list, and its members from "after" on. */
int
verb_list_show(struct request *q, struct err *e)
{
	const char *after, *last = NULL;
	struct sql_rows *r;
	struct page p;
	json_t *list;
	int got;

	if (req_optional(q, "after", &after, e) != 0 ||
	    load_list(q, &list, e) != 0)
		return -1;
	json_object_set_new(q->out, "list", list);
	put_rev(q, list, volatile_keys);
	page_init(&p, q);
	r = sql_query(q->core->db, e,
	    "SELECT address FROM list_member WHERE list_id = ?1"
	    " AND address > ?2 ORDER BY address",
	    "is", q->target.list_id, after ? after : "");
	while ((got = sql_next(r, e)) == 1) {
		if (!page_add(&p, json_string(sql_text(r, 0)))) {
			put_next(q, last);
			got = 0;
			break;
		}
		last = pool_strdup(&q->pool, sql_text(r, 0));
	}
	sql_done(r);
	return got;
}

/* All for the server's administrators, else those the actor administers. */
int
verb_list_list(struct request *q, struct err *e)
{
	int all =
	    rights_allow(q->core->db, &q->actor, RIGHT_SERVER, &q->target, e);
	struct slice domain, local;
	const char *after, *last = NULL;
	struct sql_rows *r;
	struct match m;
	struct page p;
	int got;

	if (all < 0 || req_optional(q, "after", &after, e) != 0 ||
	    req_match(q, &m, e) != 0)
		return -1;
	page_init(&p, q);
	page_cursor(after, &local, &domain);
	r = sql_query(q->core->db, e,
	    "SELECT l.local || '@' || d.name, l.name,"
	    " l.members_only, l.auth_required,"
	    " (SELECT count(*) FROM list_member m WHERE m.list_id = l.id)"
	    " FROM list l JOIN domain d ON d.id = l.domain_id"
	    " WHERE (d.name, l.local) > (?1, ?2) AND (?3 = 0 OR d.id = ?3)"
	    " AND ((wild(?4, l.local) AND (?6 OR wild(?5, d.name)))"
	    "  OR (?6 AND wild(?4, l.name)))"
	    " AND (?7 OR EXISTS (SELECT 1 FROM role a WHERE a.account_id = ?8"
	    "  AND a.role = 4 AND a.list_id = l.id) OR EXISTS (SELECT 1"
	    "  FROM role a WHERE a.account_id = ?8 AND a.role = 2"
	    "  AND a.domain_id = d.id))"
	    " ORDER BY d.name, l.local",
	    "vvissiii", domain, local, q->target.domain_id, m.local, m.domain,
	    (int64_t)m.either, (int64_t)all, q->actor.account_id);
	while ((got = sql_next(r, e)) == 1) {
		if (!page_add(&p,
			json_pack("{ss,ss,sb,sb,sI}", "address", sql_text(r, 0),
			    "name", sql_text(r, 1), "members_only",
			    (int)sql_int(r, 2), "auth_required",
			    (int)sql_int(r, 3), "member_count",
			    (json_int_t)sql_int(r, 4)))) {
			put_next(q, last);
			got = 0;
			break;
		}
		last = pool_strdup(&q->pool, sql_text(r, 0));
	}
	sql_done(r);
	return got;
}

/* clang-format off */
static const struct rule {
	const char *key, *query;
} rules[] = {
	{ "members_only", "UPDATE list SET members_only = ?1 WHERE id = ?2" },
	{ "auth_required", "UPDATE list SET auth_required = ?1 WHERE id = ?2" },
};
static const char delete_member[] =
    "DELETE FROM list_member WHERE list_id = ?1 AND address = ?2";

/* clang-format on */

static int
change_members(
    struct request *q, const char *field, const char *query, struct err *e)
{
	json_t *array = json_object_get(q->in, field);
	const char **list;
	size_t count = 0;

	if (array == NULL)
		return 0;
	q->field = field;
	if (read_addresses(q, array, 0, 2000, &list, &count, e) != 0)
		return -1;
	q->field = NULL;
	for (size_t i = 0; i < count; i++)
		if (sql_run(q->core->db, e, query, "is", q->target.list_id,
			list[i]) < 0)
			return -1;
	return 0;
}

/* Posting rules, name, "add" and "remove" members. */
static int
change_list(struct request *q, struct err *e)
{
	const char *name;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		json_t *v = json_object_get(q->in, rules[i].key);
		const char *text;

		if (v == NULL)
			continue;
		q->field = rules[i].key;
		if (value_text(v, &q->pool, &text, e) != 0)
			return -1;
		if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
			return refuse(q, e, "bad-value", "%s cannot be %s",
			    rules[i].key, text);
		q->field = NULL;
		if (sql_run(q->core->db, e, rules[i].query, "ii",
			(int64_t)(text[0] == 'y'), q->target.list_id) < 0)
			return -1;
	}
	if (req_optional(q, "name", &name, e) != 0 ||
	    (name != NULL && user_check_name(q, name, e) != 0) ||
	    (name != NULL &&
		sql_run(q->core->db, e,
		    "UPDATE list SET name = ?1 WHERE id = ?2", "si", name,
		    q->target.list_id) < 0))
		return -1;
	if (change_members(q, "add", insert_member, e) != 0)
		return -1;
	return change_members(q, "remove", delete_member, e);
}

static int
check_limit(struct request *q, struct err *e)
{
	return refuse_if_full(q,
	    "SELECT max_lists <> 0 AND max_lists <= (SELECT count(*)"
	    " FROM list WHERE domain_id = ?1) FROM domain WHERE id = ?1",
	    "lists", e);
}

int
verb_list_add(struct request *q, struct err *e)
{
	const char *by;
	int taken =
	    address_taken(q, q->target.domain_id, q->target.local, &by, e);

	if (taken < 0 || check_limit(q, e) != 0)
		return -1;
	if (taken)
		return refuse(q, e, "exists", "%s exists already (%s)",
		    q->target.address, by);
	if (sql_run(q->core->db, e,
		"INSERT INTO list (domain_id, local) VALUES (?1, ?2)", "is",
		q->target.domain_id, q->target.local) < 0)
		return -1;
	q->target.list_id = sql_last_id(q->core->db);
	if (change_list(q, e) != 0)
		return -1;
	return load_list(q, &q->after, e);
}

int
verb_list_set(struct request *q, struct err *e)
{
	if (load_list(q, &q->before, e) != 0 ||
	    check_rev(q, q->before, volatile_keys, e) != 0 ||
	    change_list(q, e) != 0 || load_list(q, &q->after, e) != 0)
		return -1;
	/* Whose membership changed is the point of the entry. */
	for (size_t i = 0; i < 2; i++) {
		const char *field = i == 0 ? "add" : "remove";
		json_t *array = json_object_get(q->in, field);

		if (array != NULL)
			json_object_set(q->after, field, array);
	}
	return 0;
}

int
verb_list_delete(struct request *q, struct err *e)
{
	if (load_list(q, &q->before, e) != 0 ||
	    sql_run(q->core->db, e, "DELETE FROM role WHERE list_id = ?1", "i",
		q->target.list_id) < 0 ||
	    sql_run(q->core->db, e, "DELETE FROM list WHERE id = ?1", "i",
		q->target.list_id) < 0)
		return -1;
	return roles_refresh(q, 0, e);
}
