/*
 * What a domain had beside names and mail: its properties and settings, its
 * DKIM keys, its alias domains; see restore_names.h.
 */
#include <stdio.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"

#include "mailstead/restore_names.h"

enum {
	KEY_MAX = 8192
};

/* clang-format off */
static const struct property {
	const char *group, *key; /* as `domain show` has it: GROUP.KEY */
	const char *query;
	enum { TEXT, NUMBER, YES } type;
} properties[] = {
#define COLUMN(c) "SELECT " c " FROM domain WHERE name = ?1"
	{ NULL, "catchall", COLUMN("catch_all"), TEXT },
	{ NULL, "forward", COLUMN("forward_to"), TEXT },
	{ NULL, "admin", COLUMN("admin_login"), TEXT },
	{ NULL, "max_accounts", COLUMN("max_accounts"), NUMBER },
	{ NULL, "max_lists", COLUMN("max_lists"), NUMBER },
	{ NULL, "max_bytes", COLUMN("max_bytes"), NUMBER },
	{ "access", "pop3", COLUMN("pop3"), YES },
	{ "access", "smtp", COLUMN("smtp"), YES },
	{ "access", "web", COLUMN("web"), YES },
	{ "new_user", "quota_bytes", COLUMN("new_quota_bytes"), NUMBER },
	{ "new_user", "quota_messages", COLUMN("new_quota_messages"), NUMBER },
	{ "new_user", "may_change_password", COLUMN("new_may_change_password"), YES },
	{ "new_user", "pop3", COLUMN("new_pop3"), YES },
	{ "new_user", "smtp", COLUMN("new_smtp"), YES },
	{ "new_user", "web", COLUMN("new_web"), YES },
#undef COLUMN
};

/* clang-format on */

/* What the copy has, new; NULL: it is older than this property. */
static json_t *
value_then(struct names *n, const struct property *p, const char *domain)
{
	struct err e;
	struct sql_rows *r = sql_query(n->then, &e, p->query, "s", domain);
	json_t *value = NULL;

	if (sql_next(r, &e) == 1)
		value = p->type == TEXT ? json_string(sql_text(r, 0))
		    : p->type == YES    ? json_boolean(sql_int(r, 0) != 0)
				     : json_integer((json_int_t)sql_int(r, 0));
	sql_done(r);
	return value;
}

static void
restore_property(struct names *n, const struct property *p, const char *domain,
    const json_t *now)
{
	json_t *value = value_then(n, p, domain);
	char key[64];

	if (p->group != NULL)
		now = json_object_get(now, p->group);
	(void)snprintf(key, sizeof(key), "%s%s%s", p->group ? p->group : "",
	    p->group ? "." : "", p->key);
	if (value != NULL && !json_equal(value, json_object_get(now, p->key)))
		names_bring(n, domain, "property", key,
		    json_pack("{s:s,s:s,s:{s:O}}", "verb", "domain set",
			"domain", domain, "set", key, value));
	json_decref(value);
}

static int
restore_settings(struct names *n, const char *domain, struct err *e)
{
	struct sql_rows *r = sql_query(n->then, e,
	    "SELECT s.name, s.value FROM setting s"
	    " JOIN domain d ON d.id = s.domain_id WHERE d.name = ?1"
	    " ORDER BY s.name",
	    "s", domain);
	int got;

	while ((got = sql_next(r, e)) == 1)
		names_bring(n, domain, "setting", sql_text(r, 0),
		    json_pack("{s:s,s:s,s:s,s:s}", "verb", "setting set",
			"domain", domain, "name", sql_text(r, 0), "value",
			sql_text(r, 1)));
	sql_done(r);
	return got;
}

static int
restore_disabled(struct names *n, const char *domain, struct err *e)
{
	int got = sql_get_int(n->then, e, NULL,
	    "SELECT 1 FROM domain WHERE name = ?1 AND disabled", "s", domain);

	if (got == 1)
		names_bring(n, domain, "disabled", "",
		    json_pack("{s:s,s:s}", "verb", "domain disable", "domain",
			domain));
	return got < 0 ? -1 : 0;
}

/* --- Keys ------------------------------------------------------------------------- */

static json_t *
blob_json(struct sql_rows *r, int column)
{
	struct slice blob = sql_blob(r, column);
	json_t *out;
	struct buf text;

	buf_init(&text, KEY_MAX);
	base64_encode(blob.data, blob.len, &text);
	out = json_stringn(text.data ? text.data : "", text.len);
	mem_wipe(text.data, text.len);
	buf_release(&text);
	return out;
}

int
names_restore_keys(struct names *n, const char *domain, struct err *e)
{
	struct sql_rows *r = sql_query(n->secrets, e,
	    "SELECT selector, algorithm, state, private_key, public_key"
	    " FROM dkim_key WHERE domain = ?1",
	    "s", domain);
	json_t *keys = json_array();
	int got;

	while ((got = sql_next(r, e)) == 1)
		json_array_append_new(keys,
		    json_pack("{s:s,s:s,s:s,s:o,s:o}", "selector",
			sql_text(r, 0), "algorithm", sql_text(r, 1), "state",
			sql_text(r, 2), "private_key", blob_json(r, 3),
			"public_key", blob_json(r, 4)));
	sql_done(r);
	if (got == 0 && json_array_size(keys) > 0)
		names_bring(n, domain, "keys", "",
		    json_pack("{s:s,s:s,s:O}", "verb", "dkim restore", "domain",
			domain, "keys", keys));
	json_decref(keys);
	return got;
}

/* --- All of it -------------------------------------------------------------------- */

/* Another name of it that is gone, with the keys it had. */
static int
restore_alias_domain(
    struct names *n, const char *alias, const char *domain, struct err *e)
{
	if (names_is_there(n->cli, "domain show", "domain", alias) ||
	    !names_bring(n, alias, "alias domain", domain,
		json_pack("{s:s,s:s,s:s}", "verb", "domain add", "name", alias,
		    "alias_of", domain)))
		return 0;
	return names_restore_keys(n, alias, e);
}

int
names_restore_properties(struct names *n, const char *domain, struct err *e)
{
	json_t *reply, *aliases, *one;
	size_t i;
	int rc = 0;

	if (names_texts(n,
		"SELECT a.name FROM domain a JOIN domain d ON d.id = a.alias_of"
		" WHERE d.name = ?1 ORDER BY 1",
		domain, &aliases, e) != 0)
		return -1;
	json_array_foreach(aliases, i, one)
		if (rc == 0)
			rc = restore_alias_domain(
			    n, json_string_value(one), domain, e);
	json_decref(aliases);
	if (rc != 0 ||
	    cli_call(n->cli,
		json_pack("{s:s,s:s}", "verb", "domain show", "domain", domain),
		&reply, e) != 0)
		return -1;
	for (size_t p = 0; p < ARRAY_LEN(properties); p++)
		restore_property(n, &properties[p], domain,
		    json_object_get(reply, "domain"));
	json_decref(reply);
	return restore_settings(n, domain, e) < 0
	    ? -1
	    : restore_disabled(n, domain, e);
}
