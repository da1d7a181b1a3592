/*
 * Accounts that come and go, one or many.  The rules that hold whoever asks:
 * an address belongs to one, postmaster@ and abuse@ always lead somewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mail/address.h"

#include "password.h"
#include "request.h"

enum {
	IMPORT_MAX = 1000
};

/* --- Adding ----------------------------------------------------------------- */

int
user_insert(struct request *q, int64_t domain_id, const char *local,
    const char *name, int64_t *id_out, struct err *e)
{
	if (user_check_name(q, name, e) != 0 ||
	    sql_run(q->core->db, e,
		"INSERT INTO account (domain_id, local, name, created_ms,"
		" quota_bytes, quota_messages, may_change_password, pop3,"
		" smtp, web) SELECT id, ?2, ?3, ?4, new_quota_bytes,"
		" new_quota_messages, new_may_change_password, new_pop3,"
		" new_smtp, new_web FROM domain WHERE id = ?1",
		"issi", domain_id, local, name, clock_wall_ms()) < 0)
		return -1;
	*id_out = sql_last_id(q->core->db);
	return 0;
}

static int
check_limit(struct request *q, struct err *e)
{
	return refuse_if_full(q,
	    "SELECT max_accounts <> 0 AND max_accounts <= (SELECT count(*)"
	    " FROM account WHERE domain_id = ?1) FROM domain WHERE id = ?1",
	    "users", e);
}

/*
 * A free address; an account named postmaster or abuse takes the place of the
 * alias that every domain has.
 */
static int
make_room(struct request *q, struct err *e)
{
	const char *by;
	int taken =
	    address_taken(q, q->target.domain_id, q->target.local, &by, e);

	if (taken <= 0)
		return taken;
	if (strcmp(by, "alias") == 0 && alias_is_reserved(q->target.local))
		return sql_run(q->core->db, e,
			   "DELETE FROM alias WHERE domain_id = ?1"
			   " AND local = ?2",
			   "is", q->target.domain_id, q->target.local) < 0
		    ? -1
		    : 0;
	return refuse(
	    q, e, "exists", "%s exists already (%s)", q->target.address, by);
}

/* Local parts that would be confused with, or break, something else. */
static int
check_local(struct request *q, struct err *e)
{
	for (const char *p = q->target.local; *p != '\0'; p++) {
		if ((unsigned char)*p > 0x7e)
			return refuse(q, e, "bad-address",
			    "a user's name cannot have letters beyond ASCII");
		if (strchr("@/#$% \"", *p) != NULL)
			return refuse(q, e, "bad-address",
			    "a user's name cannot have '%c'", *p);
	}
	return 0;
}

/* An account's mail is not for the next one of its name. */
static int
check_left(struct request *q, struct err *e)
{
	int left = secrets_is_left(q->core->secrets, q->target.address, e);

	if (left <= 0)
		return left;
	return refuse(q, e, "mailbox-left",
	    "the mailbox of an earlier %s may still be there: keep it for the"
	    " new one (user add --keep-mailbox) or put it aside (user add"
	    " --aside-mailbox, mailstead mailbox aside)",
	    q->target.address);
}

/*
 * The account q->target names, with what "set" and defaults say.  `keep`: the
 * mailbox of an earlier one is its own; the caller settles that.
 */
static int
add_one(
    struct request *q, const char *name, json_t *set, bool keep, struct err *e)
{
	int64_t id;

	q->field = "local";
	if (check_local(q, e) != 0 || check_limit(q, e) != 0 ||
	    make_room(q, e) != 0 || (!keep && check_left(q, e) != 0))
		return -1;
	q->field = "name";
	if (user_insert(
		q, q->target.domain_id, q->target.local, name, &id, e) != 0)
		return -1;
	q->field = NULL;
	q->target.account_id = id;
	/* its number may be that of one who was not added in the end */
	if (secrets_forget(q->core->secrets, id, e) != 0)
		return -1;
	return user_set_all(q, set, e);
}

int
user_create(struct request *q, const char *name, struct err *e)
{
	if (add_one(q, name, NULL, false, e) != 0)
		return -1;
	return secrets_set_password(
	    q->core->secrets, q->target.account_id, &q->keys, 0, e);
}

int
user_put_new(struct request *q, struct err *e)
{
	if (user_load(q, q->target.account_id, &q->after, e) != 0)
		return -1;
	json_object_set(q->out, "user", q->after);
	return 0;
}

/*
 * The new user into what the request's `key` names, "lists" or "groups"
 * (aliases that lead to several), where who asks may change them.
 */
static int
join_all(struct request *q, const char *key, bool is_list, struct err *e)
{
	const struct target own = q->target;
	json_t *array = json_object_get(q->in, key), *one;
	size_t i;

	q->field = key;
	json_array_foreach(array, i, one) {
		int allowed, rc;

		if (req_address(q, json_string_value(one), e) != 0)
			return -1;
		allowed = rights_allow(
		    q->core->db, &q->actor, RIGHT_DOMAIN, &q->target, e);
		if (allowed == 0)
			return refuse(q, e, "forbidden", "not allowed");
		rc = allowed < 0 ? -1 : alias_join(q, is_list, own.address, e);
		if (rc != 0)
			return -1;
	}
	q->target = own;
	q->field = NULL;
	return 0;
}

int
verb_user_add(struct request *q, struct err *e)
{
	json_t *roles = json_object_get(q->in, "roles");
	bool keep = req_bool(q, "keep_mailbox");
	const char *name;

	if (req_optional(q, "name", &name, e) != 0 ||
	    add_one(q, name ? name : "", json_object_get(q->in, "set"), keep,
		e) != 0)
		return -1;
	if ((roles != NULL &&
		role_set_all(q, q->target.account_id, roles, e) != 0) ||
	    join_all(q, "lists", true, e) != 0 ||
	    join_all(q, "groups", false, e) != 0 ||
	    (keep &&
		secrets_settle(q->core->secrets, q->target.address, e) != 0) ||
	    secrets_set_password(
		q->core->secrets, q->target.account_id, &q->keys, 0, e) != 0 ||
	    user_put_new(q, e) != 0)
		return -1;
	if (json_array_size(json_object_get(q->in, "lists")) > 0)
		json_object_set(
		    q->after, "lists", json_object_get(q->in, "lists"));
	return 0;
}

/* --- Many at once ------------------------------------------------------------ */

/* The slow part of it: each password's keys, where it passes the rules. */
int
prepare_import(struct request *q, struct err *e)
{
	json_t *users = json_object_get(q->in, "users"), *user;
	struct err why;
	size_t i;

	if (!json_is_array(users) || json_array_size(users) > IMPORT_MAX)
		return refuse(q, e, "missing",
		    "users must be a list of at most "
		    "%d",
		    IMPORT_MAX);
	if (req_bool(q, "dry_run"))
		return 0;
	q->import_count = json_array_size(users);
	q->import_keys =
	    mem_zalloc((q->import_count + 1) * sizeof(*q->import_keys));
	json_array_foreach(users, i, user) {
		const json_t *v = json_object_get(user, "password");
		const char *address =
		    json_string_value(json_object_get(user, "address"));

		if (v != NULL &&
		    user_check_password(q, v, address ? address : "", &why) ==
			0 &&
		    password_make_keys(
			slice_of(json_string_value(v), json_string_length(v)),
			&q->import_keys[i], e) != 0)
			return -1;
	}
	q->field = q->code = NULL;
	return 0;
}

static int
import_aliases(struct request *q, const json_t *aliases, struct err *e)
{
	const char *target = q->target.address, *by;
	struct target own = q->target;
	size_t i;
	json_t *one;

	q->field = "aliases";
	json_array_foreach(aliases, i, one) {
		int taken;

		if (req_address(q, json_string_value(one), e) != 0)
			return -1;
		if (q->target.domain_id != own.domain_id)
			return refuse(q, e, "forbidden",
			    "an alias of the import must be in the user's domain");
		taken = address_taken(
		    q, q->target.domain_id, q->target.local, &by, e);
		if (taken < 0)
			return -1;
		if (taken)
			return refuse(q, e, "exists", "%s exists already (%s)",
			    q->target.address, by);
		if (alias_put(q, q->target.domain_id, q->target.local, &target,
			1, e) != 0)
			return -1;
	}
	q->target = own;
	q->field = NULL;
	return 0;
}

/* "yes", "no" or until when, which may be over. */
static int
import_disabled(struct request *q, const char *text, struct err *e)
{
	int64_t until = 0;
	bool off = text != NULL && strcmp(text, "no") != 0;

	q->field = "disabled";
	if (off && strcmp(text, "yes") != 0 &&
	    !clock_parse_rfc3339(slice_str(text), &until))
		return refuse(q, e, "bad-value", "disabled cannot be %s", text);
	q->field = NULL;
	return off ? user_set_disabled(q, 1, until, e) : 0;
}

/* "yes": the password is good for the choice of another, so it needs one. */
static int
import_must_change(
    struct request *q, const json_t *user, size_t i, struct err *e)
{
	const char *text =
	    json_string_value(json_object_get(user, "must_change"));
	bool must = text != NULL && strcmp(text, "yes") == 0;

	if (text == NULL)
		return 0;
	q->field = "must_change";
	if (!must && strcmp(text, "no") != 0)
		return refuse(
		    q, e, "bad-value", "must_change cannot be %s", text);
	if (must && json_object_get(user, "password") == NULL)
		return refuse(q, e, "missing", "must_change needs a password");
	q->field = NULL;
	if (q->import_keys != NULL)
		q->import_keys[i].must_change = must;
	return 0;
}

static int
import_user(struct request *q, const json_t *user, size_t i, struct err *e)
{
	const json_t *password = json_object_get(user, "password");
	const char *name = json_string_value(json_object_get(user, "name"));
	int allowed;

	q->target = (struct target){ 0 };
	q->field = "address";
	if (req_address(
		q, json_string_value(json_object_get(user, "address")), e) != 0)
		return -1;
	allowed =
	    rights_allow(q->core->db, &q->actor, RIGHT_DOMAIN, &q->target, e);
	if (allowed == 0)
		return refuse(q, e, "forbidden", "not allowed");
	if (allowed < 0 ||
	    add_one(q, name ? name : "", json_object_get(user, "set"), false,
		e) != 0 ||
	    import_aliases(q, json_object_get(user, "aliases"), e) != 0 ||
	    import_disabled(q,
		json_string_value(json_object_get(user, "disabled")), e) != 0)
		return -1;
	if (import_must_change(q, user, i, e) != 0)
		return -1;
	if (password == NULL)
		return 0;
	if (user_check_password(q, password, q->target.address, e) != 0)
		return -1;
	return q->import_keys == NULL
	    ? 0
	    : secrets_set_password(q->core->secrets, q->target.account_id,
		  &q->import_keys[i], 0, e);
}

/* One line of the answer: what became of it. */
static int
import_line(struct request *q, const json_t *user, size_t i, json_t *items,
    json_t *added, struct err *e)
{
	bool dry = req_bool(q, "dry_run");
	struct err why = { 0 };
	int r;

	q->code = q->field = NULL;
	if (sql_run(q->core->db, e, "SAVEPOINT line", "") < 0)
		return -1;
	r = import_user(q, user, i, &why);
	if (r != 0 && why.kind == ERR_TEMP) {
		*e = why;
		return -1;
	}
	if (r != 0 && sql_run(q->core->db, e, "ROLLBACK TO line", "") < 0)
		return -1;
	if (sql_run(q->core->db, e, "RELEASE line", "") < 0)
		return -1;
	json_array_append_new(items,
	    r == 0 ? json_pack("{sb}", "ok", 1)
		   : json_pack("{sb,ss,ss,ss*}", "ok", 0, "code",
			 q->code ? q->code : "failed", "text", why.text,
			 "field", q->field));
	if (r == 0 && !dry)
		json_array_append_new(added, json_string(q->target.address));
	return 0;
}

/*
 * "users": [{address, name, password, must_change, set, aliases, disabled}], each in or
 * out by itself; "items" says for each in order what became of it.  "dry_run":
 * what would become of it.  Without a password nobody can sign in yet.
 * "fresh": refuse all unless the password was given a moment ago, which roles
 * need.
 */
int
verb_user_import(struct request *q, struct err *e)
{
	json_t *items = json_array(), *added = json_array(), *user;
	int r = 0;
	size_t i;

	json_object_set_new(q->out, "items", items);
	if (req_bool(q, "fresh") && check_fresh(q, e) != 0) {
		json_decref(added);
		return -1;
	}
	q->quiet = req_bool(q, "dry_run");
	q->after = json_pack("{so}", "added", added);
	if (sql_run(q->core->db, e, "SAVEPOINT import", "") < 0)
		return -1;
	json_array_foreach(json_object_get(q->in, "users"), i, user)
		if (r == 0)
			r = import_line(q, user, i, items, added, e);
	if (r == 0 && req_bool(q, "dry_run"))
		r = sql_run(q->core->db, e, "ROLLBACK TO import", "");
	if (r >= 0)
		r = sql_run(q->core->db, e, "RELEASE import", "");
	q->target = (struct target){ 0 };
	q->code = q->field = NULL;
	return r < 0 ? -1 : 0;
}

/* --- Deleting ------------------------------------------------------------------ */

/* Aliases that lead here: without this target, or away when it was the last. */
static int
leave_aliases(struct request *q, struct err *e)
{
	const char *admin = NULL;

	if (find_admin(q, q->target.account_id, &admin, e) < 0)
		return -1;
	if (admin != NULL &&
	    sql_run(q->core->db, e,
		"INSERT OR IGNORE INTO alias_target (alias_id, target)"
		" SELECT a.id, ?1 FROM alias a JOIN alias_target t"
		" ON t.alias_id = a.id WHERE t.target = ?2 AND"
		" a.local IN ('postmaster', 'abuse') AND NOT EXISTS"
		" (SELECT 1 FROM alias_target o WHERE o.alias_id = a.id"
		"  AND o.target <> ?2)",
		"ss", admin, q->target.address) < 0)
		return -1;
	if (sql_run(q->core->db, e,
		"DELETE FROM alias_target WHERE target = ?1", "s",
		q->target.address) < 0)
		return -1;
	return sql_run(q->core->db, e,
		   "DELETE FROM alias WHERE id NOT IN"
		   " (SELECT alias_id FROM alias_target)",
		   "") < 0
	    ? -1
	    : 0;
}

static int
forget(struct request *q, struct err *e)
{
	return secrets_forget(q->core->secrets, q->target.account_id, e);
}

/*
 * The mailbox stays on disk, and the name cannot be used again before whoever
 * may touch mailboxes says that it was put aside ("mailbox settled").
 */
int
verb_user_delete(struct request *q, struct err *e)
{
	const char *admin = NULL;

	if (role_keep_admin(q, e) != 0 ||
	    user_load(q, q->target.account_id, &q->before, e) != 0 ||
	    leave_aliases(q, e) != 0 ||
	    sql_run(q->core->db, e,
		"DELETE FROM list_member WHERE address = ?1", "s",
		q->target.address) < 0 ||
	    sql_run(q->core->db, e,
		"UPDATE domain SET admin_login = '' WHERE admin_login = ?1",
		"s", q->target.address) < 0 ||
	    sql_run(q->core->db, e, "DELETE FROM account WHERE id = ?1", "i",
		q->target.account_id) < 0)
		return -1;
	if (alias_is_reserved(q->target.local) &&
	    (find_admin(q, q->target.account_id, &admin, e) < 0 ||
		(admin != NULL &&
		    alias_put_reserved(q, q->target.domain_id, admin, e) != 0)))
		return -1;
	json_object_set_new(
	    q->out, "id", json_integer((json_int_t)q->target.account_id));
	json_object_set_new(q->out, "address", json_string(q->target.address));
	q->afterwards = forget;
	return secrets_leave(
	    q->core->secrets, q->target.address, q->target.account_id, e);
}
