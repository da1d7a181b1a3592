/*
 * Names of a copy's directory; see restore_names.h.
 *
 * Everything goes through accountd's verbs, one by one: what it refuses (a
 * role about a domain that is no more) is told and the rest goes on.
 */
#include "mailstead/restore_names.h"

#include "base/clock.h"
#include "base/slice.h"

enum {
	MEMBERS_AT_ONCE = 500,
};

/* clang-format off */
#define NAME_OF(what) what ".local || '@' || d.name"
#define OF_DOMAIN(what) " JOIN domain d ON d.id = " what ".domain_id"

/* clang-format on */

bool
names_is_there(
    struct cli *c, const char *verb, const char *key, const char *name)
{
	struct err e;
	json_t *reply;

	if (cli_call(c, json_pack("{s:s,s:s}", "verb", verb, key, name), &reply,
		&e) != 0)
		return false;
	json_decref(reply);
	return true;
}

int
names_texts(struct names *n, const char *query, const char *about, json_t **out,
    struct err *e)
{
	struct sql_rows *r = sql_query(n->then, e, query, "s", about);
	json_t *list = json_array();
	int got;

	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(list, json_string(sql_text(r, 0)));
	sql_done(r);
	if (got < 0) {
		json_decref(list);
		return -1;
	}
	*out = list;
	return 0;
}

bool
names_bring(struct names *n, const char *address, const char *what,
    const char *name, json_t *request)
{
	json_t *reply = NULL;
	struct err e;
	bool done = cli_call(n->cli, request, &reply, &e) == 0;

	json_decref(reply);
	json_array_append_new(n->report,
	    json_pack("{s:s,s:s,s:s,s:s}", "address", address, "what", what,
		"name", name, "state", done ? "restored" : e.text));
	return done;
}

/* The targets an alias has now, new; NULL = there is no such alias. */
static json_t *
targets_now(struct names *n, const char *alias)
{
	json_t *reply, *found;
	struct err e;

	if (cli_call(n->cli,
		json_pack("{s:s,s:s}", "verb", "alias show", "address", alias),
		&reply, &e) != 0)
		return NULL;
	found = json_incref(
	    json_object_get(json_object_get(reply, "alias"), "targets"));
	json_decref(reply);
	return found;
}

static json_t *
alias_request(const char *alias, json_t *targets)
{
	return json_pack("{s:s,s:s,s:O}", "verb", "alias add", "address", alias,
	    "targets", targets);
}

/* --- a domain ---------------------------------------------------------------------- */

int
names_domain(struct names *n, const char *domain, json_t **alias_of_out,
    json_t **accounts_out, struct err *e)
{
	json_t *alias_of;

	if (names_texts(n,
		"SELECT coalesce(o.name, '') FROM domain d"
		" LEFT JOIN domain o ON o.id = d.alias_of WHERE d.name = ?1",
		domain, &alias_of, e) != 0)
		return -1;
	if (json_array_size(alias_of) == 0) {
		json_decref(alias_of);
		return err_set(e, ERR_PERM,
		    "there was no domain %s when the copy was made", domain);
	}
	if (names_texts(n,
		"SELECT " NAME_OF("u") " FROM account u" OF_DOMAIN(
		    "u") " WHERE d.name = ?1 ORDER BY u.local",
		domain, accounts_out, e) != 0) {
		json_decref(alias_of);
		return -1;
	}
	*alias_of_out = json_incref(json_array_get(alias_of, 0));
	json_decref(alias_of);
	return 0;
}

static int
restore_alias(struct names *n, const char *alias, struct err *e)
{
	json_t *targets = targets_now(n, alias);

	if (targets == NULL) {
		if (names_texts(n,
			"SELECT t.target FROM alias_target t"
			" JOIN alias a ON a.id = t.alias_id" OF_DOMAIN(
			    "a") " WHERE " NAME_OF("a") " = ?1",
			alias, &targets, e) != 0)
			return -1;
		names_bring(
		    n, alias, "alias", "", alias_request(alias, targets));
	}
	json_decref(targets);
	return 0;
}

static void
restore_members(struct names *n, const char *list, json_t *members)
{
	json_t *some = json_array(), *one;
	size_t i;

	json_array_foreach(members, i, one) {
		json_array_append(some, one);
		if (json_array_size(some) < MEMBERS_AT_ONCE &&
		    i + 1 < json_array_size(members))
			continue;
		names_bring(n, list, "members", "",
		    json_pack("{s:s,s:s,s:O}", "verb", "list set", "address",
			list, "add", some));
		json_decref(some);
		some = json_array();
	}
	json_decref(some);
}

static int
restore_list(struct names *n, const char *list, struct err *e)
{
	struct sql_rows *r = sql_query(n->then, e,
	    "SELECT l.name, l.members_only, l.auth_required FROM list l" OF_DOMAIN(
		"l") " WHERE " NAME_OF("l") " = ?1",
	    "s", list);
	json_t *request = NULL, *members;
	int got = sql_next(r, e);

	if (got == 1)
		request = json_pack("{s:s,s:s,s:s,s:b,s:b}", "verb", "list add",
		    "address", list, "name", sql_text(r, 0), "members_only",
		    (int)sql_int(r, 1), "auth_required", (int)sql_int(r, 2));
	sql_done(r);
	if (got != 1 ||
	    names_texts(n,
		"SELECT m.address FROM list_member m"
		" JOIN list l ON l.id = m.list_id" OF_DOMAIN(
		    "l") " WHERE " NAME_OF("l") " = ?1",
		list, &members, e) != 0) {
		json_decref(request);
		return -1;
	}
	if (names_bring(n, list, "list", "", request))
		restore_members(n, list, members);
	json_decref(members);
	return 0;
}

int
names_restore_domain(struct names *n, const char *domain, struct err *e)
{
	json_t *aliases = NULL, *lists = NULL, *one;
	size_t i;
	int rc = names_texts(n,
	    "SELECT " NAME_OF("a") " FROM alias a" OF_DOMAIN(
		"a") " WHERE d.name = ?1 ORDER BY a.local",
	    domain, &aliases, e);

	if (rc == 0)
		rc = names_texts(n,
		    "SELECT " NAME_OF("l") " FROM list l" OF_DOMAIN(
			"l") " WHERE d.name = ?1 ORDER BY l.local",
		    domain, &lists, e);
	json_array_foreach(aliases, i, one)
		if (rc == 0)
			rc = restore_alias(n, json_string_value(one), e);
	json_array_foreach(lists, i, one)
		if (rc == 0 &&
		    !names_is_there(
			n->cli, "list show", "address", json_string_value(one)))
			rc = restore_list(n, json_string_value(one), e);
	json_decref(aliases);
	json_decref(lists);
	return rc;
}

/* --- an account -------------------------------------------------------------------- */

/* What copies of older versions do not have. */
static void
put_newer(struct names *n, const char *address, json_t *set)
{
	struct err e;
	struct sql_rows *r = sql_query(n->then, &e,
	    "SELECT u.lang, u.zone, u.max_message_bytes FROM account u" OF_DOMAIN(
		"u") " WHERE " NAME_OF("u") " = ?1 COLLATE NOCASE",
	    "s", address);

	if (r != NULL && sql_next(r, &e) == 1) {
		json_object_set_new(set, "lang", json_string(sql_text(r, 0)));
		json_object_set_new(set, "zone", json_string(sql_text(r, 1)));
		json_object_set_new(set, "max_message_bytes",
		    json_integer((json_int_t)sql_int(r, 2)));
	}
	sql_done(r);
}

/* Its own columns: what the directory tells is less where the domain forbids. */
int
names_account(
    struct names *n, const char *address, json_t **request_out, struct err *e)
{
	struct sql_rows *r = sql_query(n->then, e,
	    "SELECT " NAME_OF(
		"u") ", u.name, u.quota_bytes, u.quota_messages,"
		     " u.may_change_password, u.pop3, u.smtp, u.web, u.forward,"
		     " u.forward_keep FROM account u" OF_DOMAIN(
			 "u") " WHERE " NAME_OF("u") " = ?1 COLLATE NOCASE",
	    "s", address);
	int got = sql_next(r, e);

	if (got == 1)
		*request_out = json_pack(
		    "{s:s,s:s,s:s,s:b,s:{s:I,s:I,s:b,s:b,s:b,s:b,s:s,s:b}}",
		    "verb", "user add", "address", sql_text(r, 0), "name",
		    sql_text(r, 1), "generate", 1, "set", "quota_bytes",
		    (json_int_t)sql_int(r, 2), "quota_messages",
		    (json_int_t)sql_int(r, 3), "may_change_password",
		    (int)sql_int(r, 4), "pop3", (int)sql_int(r, 5), "smtp",
		    (int)sql_int(r, 6), "web", (int)sql_int(r, 7), "forward",
		    sql_text(r, 8), "forward_keep", (int)sql_int(r, 9));
	sql_done(r);
	if (got == 1)
		put_newer(n, address, json_object_get(*request_out, "set"));
	if (got == 0)
		return err_set(e, ERR_PERM,
		    "there was no account %s when the copy was made", address);
	return got < 0 ? -1 : 0;
}

/* It is a target again, beside those the alias has now. */
static void
lead_here(struct names *n, const char *alias, const char *address)
{
	json_t *targets = targets_now(n, alias), *one;
	size_t i;

	json_array_foreach(targets, i, one)
		if (ascii_casecmp(json_string_value(one), address) == 0) {
			json_decref(targets);
			return;
		}
	if (targets == NULL)
		targets = json_array();
	json_array_append_new(targets, json_string(address));
	names_bring(n, address, "alias", alias, alias_request(alias, targets));
	json_decref(targets);
}

static int
restore_roles(struct names *n, const char *address, struct err *e)
{
	json_t *roles, *given = json_array(), *one;
	size_t i;
	int rc = names_texts(n,
	    "SELECT CASE r.role WHEN 1 THEN 'server_admin'"
	    " WHEN 2 THEN 'domain_admin:' || rd.name"
	    " ELSE 'list_admin:' || l.local || '@' || ld.name END"
	    " FROM role r JOIN account u ON u.id = r.account_id" OF_DOMAIN(
		"u") " LEFT JOIN domain rd ON rd.id = r.domain_id"
		     " LEFT JOIN list l ON l.id = r.list_id"
		     " LEFT JOIN domain ld ON ld.id = l.domain_id"
		     " WHERE " NAME_OF("u") " = ?1 ORDER BY 1",
	    address, &roles, e);

	if (rc != 0) {
		json_decref(given);
		return -1;
	}
	json_array_foreach(roles, i, one) {
		json_array_append(given, one);
		if (!names_bring(n, address, "role", json_string_value(one),
			json_pack("{s:s,s:s,s:{s:O}}", "verb", "user set",
			    "address", address, "set", "roles", given)))
			json_array_remove(given, json_array_size(given) - 1);
	}
	json_decref(roles);
	json_decref(given);
	return 0;
}

static int
restore_disabled(struct names *n, const char *address, struct err *e)
{
	int64_t until = 0;
	int got = sql_get_int(n->then, e, &until,
	    "SELECT u.disabled_until FROM account u" OF_DOMAIN(
		"u") " WHERE u.disabled AND " NAME_OF("u") " = ?1",
	    "s", address);
	char text[CLOCK_RFC3339_SIZE] = "";

	if (got <= 0)
		return got;
	if (until != 0)
		clock_rfc3339(until, text);
	if (until == 0 || until > clock_wall_ms())
		names_bring(n, address, "disabled", text,
		    json_pack("{s:s,s:s,s:s*}", "verb", "user disable",
			"address", address, "until", until != 0 ? text : NULL));
	return 0;
}

int
names_restore_account(struct names *n, const char *address, struct err *e)
{
	json_t *aliases = NULL, *lists = NULL, *one;
	size_t i;
	int rc = names_texts(n,
	    "SELECT " NAME_OF(
		"a") " FROM alias_target t"
		     " JOIN alias a ON a.id = t.alias_id" OF_DOMAIN(
			 "a") " WHERE t.target = ?1 ORDER BY 1",
	    address, &aliases, e);

	if (rc == 0)
		rc = names_texts(n,
		    "SELECT " NAME_OF(
			"l") " FROM list_member m"
			     " JOIN list l ON l.id = m.list_id" OF_DOMAIN(
				 "l") " WHERE m.address = ?1 ORDER BY 1",
		    address, &lists, e);
	if (rc == 0) {
		json_array_foreach(aliases, i, one)
			lead_here(n, json_string_value(one), address);
		json_array_foreach(lists, i, one)
			names_bring(n, address, "member",
			    json_string_value(one),
			    json_pack("{s:s,s:s,s:[s]}", "verb", "list set",
				"address", json_string_value(one), "add",
				address));
		rc = restore_roles(n, address, e);
	}
	if (rc == 0)
		rc = restore_disabled(n, address, e);
	json_decref(aliases);
	json_decref(lists);
	return rc;
}
