/*
 * Settings (the registry decides what is a value) and the credentials for
 * other servers.
 */
#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>

#include "proc/privilege.h"

#include "request.h"

/* --- Settings -------------------------------------------------------------------- */

static int
find(struct request *q, const char *name, const struct setting **out,
    struct err *e)
{
	*out = setting_find(name);
	if (*out == NULL)
		return refuse(
		    q, e, "unknown-setting", "no such setting: %s", name);
	if (q->target.domain_id != 0 && (*out)->scope != SCOPE_DOMAIN)
		return refuse(q, e, "wrong-scope",
		    "%s is the server's, not a domain's", name);
	return 0;
}

/* The value in force: the row, or the default. */
static int
read_value(struct request *q, const struct setting *s, int64_t domain_id,
    const char **out, bool *is_set, struct err *e)
{
	char *text = pool_alloc(&q->pool, SETTING_VALUE_SIZE);
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT value FROM setting WHERE name = ?1 AND domain_id = ?2",
	    "si", s->name, domain_id);
	int got = sql_next(r, e);

	*is_set = got == 1;
	*out = got == 1 ? pool_strdup(&q->pool, sql_text(r, 0)) : text;
	sql_done(r);
	if (got == 0 &&
	    setting_check(s, s->fallback, text, SETTING_VALUE_SIZE, e) != 0)
		return -1;
	return got < 0 ? -1 : 0;
}

int
setting_value(struct request *q, const char *name, int64_t domain_id,
    const char **out, struct err *e)
{
	bool is_set;

	return read_value(q, setting_find(name), domain_id, out, &is_set, e);
}

/* What a setting names on this machine has to be there. */
static int
check_is_here(struct request *q, const struct setting *s, const char *value,
    struct err *e)
{
	enum setting_id id = setting_id_of(s);
	struct stat st;
	gid_t gid;

	if (value[0] == '\0')
		return 0;
	if (id == SET_WEB_GROUP && privilege_find_group(value, &gid, e) != 0) {
		q->code = "bad-value";
		return -1;
	}
	if (id == SET_REMOTE_CA_FILE &&
	    (stat(value, &st) != 0 || !S_ISREG(st.st_mode)))
		return refuse(q, e, "bad-value", "%s: there is no file %s",
		    s->name, value);
	return 0;
}

int
setting_store(struct request *q, const char *name, const char *text,
    int64_t domain_id, struct err *e)
{
	char *value = pool_alloc(&q->pool, SETTING_VALUE_SIZE);
	const struct setting *s;
	const char *old;
	bool was_set;

	if (find(q, name, &s, e) != 0)
		return -1;
	if (setting_check(s, text, value, SETTING_VALUE_SIZE, e) != 0) {
		q->code = "bad-value";
		return -1;
	}
	if (check_is_here(q, s, value, e) != 0 ||
	    read_value(q, s, domain_id, &old, &was_set, e) != 0)
		return -1;
	if (q->before == NULL)
		q->before = json_object();
	if (q->after == NULL)
		q->after = json_object();
	json_object_set_new(q->before, name, json_string(old));
	json_object_set_new(q->after, name, json_string(value));
	q->has_settings = true;
	if (q->on_trial) {
		if (trial_note(q, s->name, old, value, was_set, e) != 0)
			return -1;
	} else if (domain_id == 0 && trial_forget(q, s->name, e) != 0) {
		return -1;
	}
	return sql_run(q->core->db, e,
		   "INSERT OR REPLACE INTO setting (name, domain_id, value)"
		   " VALUES (?1, ?2, ?3)",
		   "sis", name, domain_id, value) < 0
	    ? -1
	    : 0;
}

int
verb_setting_get(struct request *q, struct err *e)
{
	const struct setting *s;
	const char *name, *value;
	bool is_set;

	if (req_string(q, "name", &name, e) != 0 || find(q, name, &s, e) != 0 ||
	    read_value(q, s, q->target.domain_id, &value, &is_set, e) != 0)
		return -1;
	json_object_set_new(q->out, "name", json_string(s->name));
	json_object_set_new(q->out, "value", json_string(value));
	return 0;
}

/*
 * Is a change to be tried first?  Whoever is at the machine gets in again
 * whatever a setting says; on the web what is risky is tried.
 */
static int
see_risk(struct request *q, const char *name, const char *text, struct err *e)
{
	char *value = pool_alloc(&q->pool, SETTING_VALUE_SIZE);
	const struct setting *s = setting_find(name);
	const char *old;
	bool was_set;

	if (req_bool(q, "trial"))
		q->on_trial = true;
	if (q->caller->program != FROM_ADMIN || s == NULL ||
	    !setting_is_risky(s) ||
	    setting_check(s, text, value, SETTING_VALUE_SIZE, e) != 0)
		return 0;
	if (read_value(q, s, 0, &old, &was_set, e) != 0)
		return -1;
	q->on_trial |= strcmp(old, value) != 0;
	return 0;
}

int
verb_setting_set(struct request *q, struct err *e)
{
	const char *name, *text;

	if (req_string(q, "name", &name, e) != 0 ||
	    value_text(json_object_get(q->in, "value"), &q->pool, &text, e) !=
		0)
		return -1;
	if (q->target.domain_id == 0 && see_risk(q, name, text, e) != 0)
		return -1;
	return setting_store(q, name, text, q->target.domain_id, e);
}

/* Is it still what the form showed, or else already what is wanted? */
static int
check_was(struct request *q, const char *name, const char *text, struct err *e)
{
	const json_t *was =
	    json_object_get(json_object_get(q->in, "was"), name);
	char *value = pool_alloc(&q->pool, SETTING_VALUE_SIZE);
	const struct setting *s;
	const char *old;
	bool was_set;

	if (!json_is_string(was) || find(q, name, &s, e) != 0 ||
	    setting_check(s, text, value, SETTING_VALUE_SIZE, e) != 0)
		return 0; /* what is wrong is said when it is stored */
	if (read_value(q, s, 0, &old, &was_set, e) != 0)
		return -1;
	if (strcmp(old, json_string_value(was)) == 0 || strcmp(old, value) == 0)
		return 0;
	return refuse(q, e, "changed",
	    "%s: somebody else has changed this meanwhile", name);
}

/*
 * "settings": {name: value}; all or none, also when they are tried, and none
 * if one of them is no longer as in "was".
 */
int
verb_setting_apply(struct request *q, struct err *e)
{
	json_t *all = json_object_get(q->in, "settings"), *value;
	const char *name, *text;

	if (!json_is_object(all))
		return refuse(q, e, "missing", "settings are missing");
	json_object_foreach(all, name, value)
		if (value_text(value, &q->pool, &text, e) != 0 ||
		    check_was(q, name, text, e) != 0 ||
		    see_risk(q, name, text, e) != 0)
			return -1;
	json_object_foreach(all, name, value)
		if (value_text(value, &q->pool, &text, e) != 0 ||
		    setting_store(q, name, text, 0, e) != 0)
			return -1;
	return 0;
}

static const char *
type_word(enum setting_type t)
{
	static const char *const words[] = {
		[SETTING_BOOL] = "bool",
		[SETTING_INT] = "int",
		[SETTING_SIZE] = "size",
		[SETTING_DURATION] = "duration",
		[SETTING_CHOICE] = "choice",
		[SETTING_TEXT] = "text",
		[SETTING_LIST] = "list",
		[SETTING_IP_LIST] = "ip_list",
		[SETTING_DURATIONS] = "durations",
		[SETTING_HOST] = "host",
		[SETTING_SERVER_LIST] = "server_list",
	};

	return words[t];
}

static json_t *
setting_json(const struct setting *s, const char *value, bool is_set)
{
	static const char *const scopes[] = { [SCOPE_SERVER] = "server",
		[SCOPE_NODE] = "node",
		[SCOPE_DOMAIN] = "domain" };

	return json_pack("{ss,ss,ss,ss,sI,sI,ss,ss,sb,sb,sb,ss}", "name",
	    s->name, "value", value, "default", s->fallback, "type",
	    type_word(s->type), "min", (json_int_t)s->min, "max",
	    (json_int_t)s->max, "choices", s->choices, "scope",
	    scopes[s->scope], "needs_restart", s->needs_restart, "risky",
	    setting_is_risky(s), "is_set", is_set, "help", s->help);
}

/* In the registry's order; "after" is the name that ended the last page. */
static int
list(struct request *q, bool only_set, struct err *e)
{
	const char *after, *value, *last = NULL;
	size_t i = 0;
	struct page p;
	bool is_set;

	if (req_optional(q, "after", &after, e) != 0)
		return -1;
	if (after != NULL) {
		const struct setting *s;

		if (find(q, after, &s, e) != 0)
			return -1;
		i = (size_t)setting_id_of(s) + 1;
	}
	page_init(&p, q);
	for (; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];

		if (read_value(q, s, 0, &value, &is_set, e) != 0)
			return -1;
		if (only_set && !is_set)
			continue;
		if (!page_add(&p, setting_json(s, value, is_set))) {
			json_object_set_new(q->out, "next", json_string(last));
			return 0;
		}
		last = s->name;
	}
	return 0;
}

int
verb_setting_list(struct request *q, struct err *e)
{
	return list(q, false, e);
}

int
verb_setting_export(struct request *q, struct err *e)
{
	return list(q, true, e);
}

/* --- Credentials -------------------------------------------------------------------- */

int
verb_credential_get(struct request *q, struct err *e)
{
	const char *name;
	int got;

	if (req_string(q, "name", &name, e) != 0)
		return -1;
	got = secrets_credential(q->core->secrets, name, q->out, e);
	if (got == 0)
		return refuse(
		    q, e, "not-found", "no credential named %s", name);
	return got < 0 ? -1 : 0;
}

int
verb_credential_set(struct request *q, struct err *e)
{
	const char *name, *user, *password;

	if (req_string(q, "name", &name, e) != 0 ||
	    req_string(q, "user", &user, e) != 0 ||
	    req_string(q, "password", &password, e) != 0)
		return -1;
	/* part of a setting's words */
	q->field = "name";
	if (name[0] == '\0' || strpbrk(name, "/ \t,=") != NULL)
		return refuse(q, e, "bad-value",
		    "a name is one word without '/', ',' and '='");
	q->field = "user";
	if (user[0] == '\0')
		return refuse(q, e, "missing", "user is missing");
	q->field = "password";
	if (password[0] == '\0')
		return refuse(q, e, "missing", "password is missing");
	q->field = NULL;
	q->after = json_pack("{ss,ss}", "name", name, "user", user);
	return secrets_set_credential(
	    q->core->secrets, name, user, password, e);
}

int
verb_credential_list(struct request *q, struct err *e)
{
	struct page p;

	page_init(&p, q);
	return secrets_list_credentials(q->core->secrets, p.items, e);
}

int
verb_credential_delete(struct request *q, struct err *e)
{
	const char *name;
	int got;

	if (req_string(q, "name", &name, e) != 0)
		return -1;
	got = secrets_delete_credential(q->core->secrets, name, e);
	if (got == 0)
		return refuse(
		    q, e, "not-found", "no credential named %s", name);
	q->before = json_pack("{ss}", "name", name);
	return got < 0 ? -1 : 0;
}
