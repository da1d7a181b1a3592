/*
 * The role table.  Rows: what an actor is with respect to the target; columns:
 * the rights that follow.  Pure but for reading role rows.
 *
 * Invariant: an administrator never gains by acting on an account that may
 * more than he: such an account is for the server's administrators (and for
 * itself).
 */
#include "rights.h"

#include "directory/directory.h"

/* What the actor is; bits. */
enum {
	IS_SIGNED = 1,
	IS_SELF = 2,
	IS_LIST_ADMIN = 4,
	IS_DOMAIN_ADMIN = 8,
	IS_SERVER_ADMIN = 16,
};

/* clang-format off */
static const unsigned allowed[RIGHT_COUNT] = {
	[RIGHT_SIGNED] = IS_SIGNED | IS_SERVER_ADMIN,
	[RIGHT_SELF]   = IS_SELF | IS_DOMAIN_ADMIN | IS_SERVER_ADMIN,
	[RIGHT_LIST]   = IS_LIST_ADMIN | IS_DOMAIN_ADMIN | IS_SERVER_ADMIN,
	[RIGHT_DOMAIN] = IS_DOMAIN_ADMIN | IS_SERVER_ADMIN,
	[RIGHT_SERVER] = IS_SERVER_ADMIN,
};

/* clang-format on */

static int
has_role(struct sql *db, int64_t account_id, int role, int64_t domain_id,
    int64_t list_id, struct err *e)
{
	return sql_get_int(db, e, NULL,
	    "SELECT 1 FROM role WHERE account_id = ?1 AND role = ?2"
	    " AND domain_id = ?3 AND list_id = ?4",
	    "iiii", account_id, (int64_t)role, domain_id, list_id);
}

/* Does the target administer a domain or list that the actor does not? */
static int
outranks(struct sql *db, int64_t target, int64_t actor, struct err *e)
{
	return sql_get_int(db, e, NULL,
	    "SELECT 1 FROM role t WHERE t.account_id = ?1 AND NOT EXISTS"
	    " (SELECT 1 FROM role a WHERE a.account_id = ?2 AND a.role = 2"
	    "  AND (a.domain_id = t.domain_id OR a.domain_id ="
	    "   (SELECT l.domain_id FROM list l WHERE l.id = t.list_id)))",
	    "ii", target, actor);
}

static int
domain_admin(struct sql *db, const struct actor *who, const struct target *what,
    struct err *e)
{
	int got;

	if ((who->roles & ROLE_DOMAIN_ADMIN) == 0 || what->domain_id == 0)
		return 0;
	got = has_role(
	    db, who->account_id, ROLE_DOMAIN_ADMIN, what->domain_id, 0, e);
	if (got <= 0 || what->account_id == 0 || what->roles == 0)
		return got;
	got = outranks(db, what->account_id, who->account_id, e);
	return got < 0 ? -1 : !got;
}

int
rights_allow(struct sql *db, const struct actor *who, enum right needed,
    const struct target *what, struct err *e)
{
	unsigned is = 0;
	int got;

	if (needed == RIGHT_NONE)
		return 1;
	if (who->is_operator || (who->roles & ROLE_SERVER_ADMIN) != 0)
		is |= IS_SERVER_ADMIN;
	if (who->account_id != 0)
		is |= IS_SIGNED;
	if (who->account_id != 0 && who->account_id == what->account_id)
		is |= IS_SELF;
	if ((is & allowed[needed]) != 0 || is == 0)
		return is != 0;
	if ((got = domain_admin(db, who, what, e)) < 0)
		return -1;
	is |= got ? IS_DOMAIN_ADMIN : 0;
	if (what->list_id != 0 && (who->roles & ROLE_LIST_ADMIN) != 0) {
		got = has_role(
		    db, who->account_id, ROLE_LIST_ADMIN, 0, what->list_id, e);
		if (got < 0)
			return -1;
		is |= got ? IS_LIST_ADMIN : 0;
	}
	return (is & allowed[needed]) != 0;
}
