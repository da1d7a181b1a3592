/*
 * Aliases that users make for themselves, where the domain lets them.
 *
 * A user's own are those of his domain that lead to his account and nowhere
 * else; what leads to others as well, postmaster@ and abuse@ stay as they are,
 * whatever is asked for.
 */
#include <string.h>

#include "base/num.h"

#include "request.h"

static int
limit_of(
    struct request *q, int64_t domain_id, uint64_t *limit_out, struct err *e)
{
	const char *text;

	if (setting_value(q, "user.own_aliases", domain_id, &text, e) != 0)
		return -1;
	if (!num_parse(slice_str(text), 1000, limit_out))
		return err_set(e, ERR_TEMP, "user.own_aliases: %s", text);
	return 0;
}

int
own_alias_put_limit(struct request *q, struct err *e)
{
	int64_t domain_id = 0;
	uint64_t limit;

	if (sql_get_int(q->core->db, e, &domain_id,
		"SELECT domain_id FROM account WHERE id = ?1", "i",
		q->actor.account_id) < 0 ||
	    limit_of(q, domain_id, &limit, e) != 0)
		return -1;
	json_object_set_new(json_object_get(q->out, "user"),
	    "may_change_aliases", json_boolean(limit > 0));
	return 0;
}

/* Local parts of the user's own aliases: the keys of the object. */
static int
load_own(struct request *q, json_t *out, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT a.local FROM alias a JOIN alias_target t"
	    " ON t.alias_id = a.id WHERE a.domain_id = ?1 AND t.target = ?2"
	    " AND NOT EXISTS (SELECT 1 FROM alias_target o"
	    "  WHERE o.alias_id = a.id AND o.target <> ?2)",
	    "is", q->target.domain_id, q->target.address);
	int got;

	while ((got = sql_next(r, e)) == 1)
		if (!alias_is_reserved(sql_text(r, 0)))
			json_object_set_new(out, sql_text(r, 0), json_true());
	sql_done(r);
	return got;
}

/* The local part of an address of the user's domain, in lower case. */
static int
read_local(struct request *q, const char *text, char **local_out, struct err *e)
{
	const char *address, *at;

	if (canonical_address(q, text, &address, e) != 0)
		return -1;
	at = strrchr(address, '@');
	if (strcmp(at + 1, q->target.domain) != 0)
		return refuse(q, e, "bad-address", "%s is not of %s", address,
		    q->target.domain);
	*local_out = pool_strndup(&q->pool, address, (size_t)(at - address));
	ascii_lower_str(*local_out);
	return 0;
}

/* 1: it leads to the user already, by himself or by an administrator. */
static int
leads_here(struct request *q, const char *local, struct err *e)
{
	return sql_get_int(q->core->db, e, NULL,
	    "SELECT 1 FROM alias a JOIN alias_target t ON t.alias_id = a.id"
	    " WHERE a.domain_id = ?1 AND a.local = ?2 AND t.target = ?3",
	    "iss", q->target.domain_id, local, q->target.address);
}

static int
add_one(struct request *q, const char *local, struct err *e)
{
	const char *target = q->target.address, *by;
	int got = leads_here(q, local, e);

	if (got != 0)
		return got < 0 ? -1 : 0;
	if (local_check(q, local, e) != 0)
		return -1;
	got = address_taken(q, q->target.domain_id, local, &by, e);
	if (got != 0)
		return got < 0
		    ? -1
		    : refuse(q, e, "exists", "%s@%s is somebody's already",
			  local, q->target.domain);
	return alias_put(q, q->target.domain_id, local, &target, 1, e);
}

/* Those that are not asked for any more. */
static int
remove_others(
    struct request *q, const json_t *own, const json_t *wanted, struct err *e)
{
	const char *local;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)own, local, value)
		if (json_object_get(wanted, local) == NULL &&
		    sql_run(q->core->db, e,
			"DELETE FROM alias WHERE domain_id = ?1 AND local = ?2",
			"is", q->target.domain_id, local) < 0)
			return -1;
	return 0;
}

static int
replace(struct request *q, json_t *list, json_t *wanted, struct err *e)
{
	json_t *one;
	char *local = NULL;
	size_t i;

	q->before = json_object();
	q->after = wanted;
	if (load_own(q, q->before, e) < 0)
		return -1;
	json_array_foreach(list, i, one) {
		const char *text = json_string_value(one);

		if (read_local(q, text ? text : "", &local, e) != 0 ||
		    add_one(q, local, e) != 0)
			return -1;
		json_object_set_new(wanted, local, json_true());
	}
	return remove_others(q, q->before, wanted, e);
}

/* "aliases": addresses; all of the user's own become these. */
int
verb_user_aliases(struct request *q, struct err *e)
{
	json_t *list = json_object_get(q->in, "aliases");
	uint64_t limit;

	if (!json_is_array(list))
		return refuse(q, e, "missing", "aliases is missing");
	if (limit_of(q, q->target.domain_id, &limit, e) != 0)
		return -1;
	if (limit == 0)
		return refuse(q, e, "forbidden",
		    "only administrators make aliases of %s", q->target.domain);
	if (json_array_size(list) > limit)
		return refuse(q, e, "too-many", "more than %llu aliases",
		    (unsigned long long)limit);
	return replace(q, list, json_object(), e);
}
