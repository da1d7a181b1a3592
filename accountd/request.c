/*
 * One packet: parse it, find the verb's row, who acts, what about, may he;
 * then run the handler, for a change inside a transaction that ends with its
 * line in the audit log.
 *
 * Invariants: who acts follows from the session token or from the connection,
 * never from a name in the request; a refused or failed change leaves nothing
 * behind.  Runs on the thread of the connection.
 */
#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "directory/json_text.h"
#include "mail/address.h"

#include "audit.h"
#include "password.h"
#include "session.h"
#include "verbs.h"

enum {
	PAGE_LIMIT = 48 * 1024, /* leaves room for the last item */
	FRESH_MS = 300000,
};

const char *
program_name(enum program p)
{
	switch (p) {
	case FROM_MTAD:
		return "mtad";
	case FROM_POPD:
		return "popd";
	case FROM_QUEUE:
		return "queue-runner";
	case FROM_WEBMAIL:
		return "webmail-cgi";
	case FROM_ADMIN:
		return "admin-cgi";
	case FROM_MAILSTEAD:
		return "mailstead";
	}
	return "unknown";
}

int
refuse(struct request *q, struct err *e, const char *code, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	q->code = code;
	return err_set(e, ERR_PERM, "%s", text);
}

/* --- Reading fields ----------------------------------------------------------- */

int
req_optional(
    struct request *q, const char *name, const char **out, struct err *e)
{
	json_t *v = json_object_get(q->in, name);

	*out = NULL;
	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return refuse(q, e, "wrong-type", "%s must be a text", name);
	if (json_string_length(v) > REQ_TEXT_MAX)
		return refuse(q, e, "too-long", "%s is too long", name);
	*out = json_string_value(v);
	return 0;
}

int
req_string(struct request *q, const char *name, const char **out, struct err *e)
{
	if (req_optional(q, name, out, e) != 0)
		return -1;
	if (*out == NULL)
		return refuse(q, e, "missing", "%s is missing", name);
	return 0;
}

bool
req_bool(const struct request *q, const char *name)
{
	return json_is_true(json_object_get(q->in, name));
}

int
req_bytes(struct request *q, const char *name, struct slice *out, struct err *e)
{
	json_t *v = json_object_get(q->in, name);
	struct buf b;
	int r = 0;

	*out = slice_of(NULL, 0);
	if (v == NULL)
		return 0;
	buf_init(&b, 16384);
	if (!json_is_string(v) ||
	    !base64_decode(
		slice_of(json_string_value(v), json_string_length(v)), &b)) {
		q->code = "not-base64";
		r = err_set(e, ERR_SYNTAX, "%s must be base64", name);
	} else {
		*out = slice_of(pool_strndup(&q->pool, b.data, b.len), b.len);
	}
	mem_wipe(b.data, b.len);
	buf_release(&b);
	return r;
}

int
value_text(json_t *value, struct pool *pool, const char **out, struct err *e)
{
	if (json_is_string(value))
		*out = json_string_value(value);
	else if (json_is_boolean(value))
		*out = json_is_true(value) ? "yes" : "no";
	else if (json_is_integer(value))
		*out = pool_printf(
		    pool, "%lld", (long long)json_integer_value(value));
	else
		return err_set(
		    e, ERR_PERM, "a value must be text, a number or yes/no");
	return 0;
}

void
req_wipe(struct slice secret)
{
	char *p;

	memcpy(&p, &secret.data, sizeof(p)); /* ours, const only by type */
	mem_wipe(p, secret.len);
}

void
page_init(struct page *p, struct request *q)
{
	json_int_t limit = json_integer_value(json_object_get(q->in, "limit"));

	p->items = json_array();
	p->used = 0;
	p->limit = PAGE_LIMIT;
	p->count_max = limit > 0 ? (size_t)limit : SIZE_MAX;
	json_object_set_new(q->out, "items", p->items);
}

bool
page_add(struct page *p, json_t *item)
{
	size_t size = json_dumpb(item, NULL, 0, JSON_COMPACT) + 1;

	/* A single item always goes on, so that paging ends. */
	if (p->used > 0 &&
	    (p->used + size > p->limit ||
		json_array_size(p->items) >= p->count_max)) {
		json_decref(item);
		return false;
	}
	p->used += size;
	json_array_append_new(p->items, item);
	return true;
}

void
page_cursor(
    const char *after, struct slice *local_out, struct slice *domain_out)
{
	struct slice whole = slice_str(after ? after : "");
	ptrdiff_t at = slice_rchr(whole, '@');

	*local_out = slice_of(whole.data, at < 0 ? 0 : (size_t)at);
	*domain_out = slice_skip(whole, at < 0 ? whole.len : (size_t)at + 1);
}

/* --- What a list is narrowed to --------------------------------------------------- */

static const char *
pattern(struct request *q, struct slice text)
{
	bool wild = slice_chr(text, '*') >= 0 || slice_chr(text, '?') >= 0;

	return pool_printf(
	    &q->pool, wild ? "%.*s" : "*%.*s*", (int)text.len, text.data);
}

int
req_match(struct request *q, struct match *out, struct err *e)
{
	const char *text;
	ptrdiff_t at;

	*out = (struct match){ .local = "*", .domain = "*", .either = true };
	if (req_optional(q, "match", &text, e) != 0)
		return -1;
	if (text == NULL || text[0] == '\0')
		return 0;
	at = slice_rchr(slice_str(text), '@');
	out->local =
	    pattern(q, at < 0 ? slice_str(text) : slice_of(text, (size_t)at));
	out->domain =
	    at < 0 ? out->local : pattern(q, slice_str(text + at + 1));
	out->either = at < 0;
	return 0;
}

/* --- Two who edit the same ---------------------------------------------------------- */

static const char *
rev_of(struct request *q, json_t *object, const char *const *volatile_keys)
{
	json_t *kept = json_copy(object);
	char *text;
	uint32_t sum;

	for (; volatile_keys && *volatile_keys != NULL; volatile_keys++)
		(void)json_object_del(kept, *volatile_keys);
	text = json_dumps(kept, JSON_COMPACT | JSON_SORT_KEYS);
	sum = crc32c(0, text ? text : "", text ? strlen(text) : 0);
	free(text);
	json_decref(kept);
	return pool_printf(&q->pool, "%08x", sum);
}

void
put_rev(struct request *q, json_t *object, const char *const *volatile_keys)
{
	json_object_set_new(
	    q->out, "rev", json_string(rev_of(q, object, volatile_keys)));
}

int
check_rev(struct request *q, json_t *object, const char *const *volatile_keys,
    struct err *e)
{
	const char *rev;

	if (req_optional(q, "rev", &rev, e) != 0)
		return -1;
	if (rev != NULL && strcmp(rev, rev_of(q, object, volatile_keys)) != 0)
		return refuse(q, e, "changed",
		    "somebody else has changed this meanwhile");
	return 0;
}

/* --- Who acts -------------------------------------------------------------------- */

static int
load_actor(struct request *q, struct err *e)
{
	const char *token;

	q->actor = (struct actor){ .name = "-" };
	if (q->caller->is_operator) {
		q->actor.is_operator = true;
		q->actor.name = q->caller->is_clock ? "clock" : "operator";
		return 0;
	}
	if ((q->caller->program & (FROM_WEBMAIL | FROM_ADMIN | FROM_QUEUE)) ==
	    0)
		return 0;
	if (req_optional(q, "session", &token, e) != 0)
		return -1;
	return token ? session_actor(q, token, e) : 0;
}

/* --- What about -------------------------------------------------------------------- */

static int
load_domain(struct request *q, const char *name, struct err *e)
{
	char normal[ADDRESS_DOMAIN_MAX + 1];
	struct sql_rows *r;
	int got;

	if (domain_normalise(slice_str(name), normal, e) != 0) {
		q->code = "bad-domain";
		e->kind = ERR_PERM;
		return -1;
	}
	r = sql_query(q->core->db, e,
	    "SELECT a.id, coalesce(a.alias_of, a.id), d.name, a.alias_of"
	    " FROM domain a JOIN domain d ON d.id = coalesce(a.alias_of, a.id)"
	    " WHERE a.name = ?1",
	    "s", normal);
	got = sql_next(r, e);
	if (got == 1) {
		q->target.row_id = sql_int(r, 0);
		q->target.domain_id = sql_int(r, 1);
		q->target.alias_of = sql_int(r, 3);
		q->target.domain = pool_strdup(&q->pool, sql_text(r, 2));
	}
	sql_done(r);
	if (got == 0)
		return refuse(
		    q, e, "no-such-domain", "no such domain: %s", normal);
	return got < 0 ? -1 : 0;
}

int
req_address(struct request *q, const char *text, struct err *e)
{
	struct address a;

	if (text == NULL)
		return refuse(q, e, "missing", "address is missing");
	if (address_parse(slice_str(text), ADDRESS_UTF8, &q->pool, &a, e) !=
		0 ||
	    a.is_literal || address_has_hidden(a.local)) {
		q->code = "bad-address";
		err_set(e, ERR_PERM, "not an address: %s", text);
		return -1;
	}
	if (load_domain(q, a.domain, e) != 0)
		return -1;
	q->target.local = address_key(slice_str(a.local), &q->pool);
	q->target.address =
	    pool_printf(&q->pool, "%s@%s", q->target.local, q->target.domain);
	return 0;
}

static int
load_address(struct request *q, struct err *e)
{
	const char *text;

	return req_string(q, "address", &text, e) != 0
	    ? -1
	    : req_address(q, text, e);
}

/* One row by (domain, local); `columns` of it into the target. */
static int
load_row(struct request *q, const char *query, int64_t *id_out,
    const char *what, struct err *e)
{
	struct sql_rows *r = sql_query(
	    q->core->db, e, query, "is", q->target.domain_id, q->target.local);
	int got = sql_next(r, e);

	if (got == 1) {
		*id_out = sql_int(r, 0);
		q->target.local = pool_strdup(&q->pool, sql_text(r, 1));
		q->target.roles = (uint32_t)sql_int(r, 2);
		q->target.address = pool_printf(
		    &q->pool, "%s@%s", q->target.local, q->target.domain);
	}
	sql_done(r);
	if (got == 0)
		return refuse(q, e, "not-found", "no such %s: %s", what,
		    q->target.address);
	return got < 0 ? -1 : 0;
}

static int
load_self(struct request *q, struct err *e)
{
	struct sql_rows *r = sql_query(q->core->db, e,
	    "SELECT u.local, d.name, d.id, u.roles FROM account u"
	    " JOIN domain d ON d.id = u.domain_id WHERE u.id = ?1",
	    "i", q->actor.account_id);
	int got = sql_next(r, e);

	if (got == 1) {
		q->target.account_id = q->actor.account_id;
		q->target.local = pool_strdup(&q->pool, sql_text(r, 0));
		q->target.domain = pool_strdup(&q->pool, sql_text(r, 1));
		q->target.domain_id = sql_int(r, 2);
		q->target.roles = (uint32_t)sql_int(r, 3);
		q->target.address = pool_printf(
		    &q->pool, "%s@%s", q->target.local, q->target.domain);
	}
	sql_done(r);
	if (got == 0)
		return refuse(q, e, "missing", "address is missing");
	return got < 0 ? -1 : 0;
}

static int
load_target(struct request *q, enum target_by by, struct err *e)
{
	const char *name;

	switch (by) {
	case BY_NOTHING:
		return 0;
	case BY_DOMAIN:
		return req_string(q, "domain", &name, e) != 0
		    ? -1
		    : load_domain(q, name, e);
	case BY_NEW:
		return load_address(q, e);
	case BY_ACCOUNT:
		if (json_object_get(q->in, "address") == NULL)
			return load_self(q, e);
		if (load_address(q, e) != 0)
			return -1;
		return load_row(q,
		    "SELECT id, local, roles FROM account"
		    " WHERE domain_id = ?1 AND local = ?2",
		    &q->target.account_id, "user", e);
	case BY_ALIAS:
		if (load_address(q, e) != 0)
			return -1;
		return load_row(q,
		    "SELECT id, local, 0 FROM alias"
		    " WHERE domain_id = ?1 AND local = ?2",
		    &q->target.alias_id, "alias", e);
	case BY_LIST:
		if (load_address(q, e) != 0)
			return -1;
		return load_row(q,
		    "SELECT id, local, 0 FROM list"
		    " WHERE domain_id = ?1 AND local = ?2",
		    &q->target.list_id, "list", e);
	}
	return err_set(e, ERR_PERM, "unknown target");
}

/* --- Running ------------------------------------------------------------------------ */

int
check_fresh(struct request *q, struct err *e)
{
	if ((q->caller->program == FROM_ADMIN ||
		q->caller->program == FROM_QUEUE) &&
	    q->actor.fresh_ms + FRESH_MS < clock_wall_ms())
		return refuse(
		    q, e, "not-fresh", "this needs the password once more");
	return 0;
}

/*
 * A missing target is told apart from a forbidden one only to those who may
 * look: others hear "forbidden" in both cases.
 */
static int
check_rights(struct request *q, const struct verb *v, struct err *e)
{
	struct err why;
	int found = load_target(q, v->by, &why);
	int allowed =
	    rights_allow(q->core->db, &q->actor, v->right, &q->target, e);

	if (allowed < 0 || (found != 0 && why.kind == ERR_TEMP)) {
		if (allowed >= 0)
			*e = why;
		return -1;
	}
	if (allowed == 0 && q->actor.account_id == 0)
		return refuse(q, e, "not-signed-in", "not signed in");
	if (allowed == 0)
		return refuse(q, e, "forbidden", "not allowed");
	if (found != 0)
		*e = why;
	if (found == 0 && (v->flags & VERB_FRESH) != 0)
		return check_fresh(q, e);
	return found;
}

static int
write_audit(struct request *q, struct err *e)
{
	json_t *entry = json_pack("{ss,ss,ss}", "actor", q->actor.name,
	    "program", program_name(q->caller->program), "verb", q->verb);
	const char *about =
	    q->target.address ? q->target.address : q->target.domain;
	int r;

	if (about != NULL)
		json_object_set_new(entry, "target", json_string(about));
	if (q->actor.ip != NULL)
		json_object_set_new(entry, "ip", json_string(q->actor.ip));
	if (q->before != NULL)
		json_object_set(entry, "before", q->before);
	if (q->after != NULL)
		json_object_set(entry, "after", q->after);
	r = audit_append(q->core->state_dir, entry, e);
	json_decref(entry);
	return r;
}

static void
log_settings(const struct request *q)
{
	struct log_line l;
	const char *name;
	json_t *value;

	json_object_foreach(q->after, name, value) {
		if (setting_find(name) == NULL) /* init has more to say */
			continue;
		log_begin(&l, "setting", NULL, NULL);
		log_str(&l, "name", name);
		log_str(&l, "value", json_string_value(value));
		log_str(&l, "actor", q->actor.name);
		log_end(&l);
	}
}

/* What the log and the audit log say in place of a secret setting's value. */
static void
hide_secrets(json_t *settings, const char *instead)
{
	const struct setting *s;
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(settings, next, name, value)
	{
		s = setting_find(name);
		if (s != NULL && setting_is_secret(s) &&
		    json_string_length(value) > 0)
			json_object_set_new(
			    settings, name, json_string(instead));
	}
}

static int
run_write(struct request *q, const struct verb *v, struct err *e)
{
	struct sql *db = q->core->db;

	if (sql_begin(db, e) != 0)
		return -1;
	if (check_rights(q, v, e) != 0 || v->run(q, e) != 0) {
		sql_rollback(db);
		return -1;
	}
	if (q->has_settings) {
		hide_secrets(q->before, "(hidden)");
		hide_secrets(q->after, "(a new one, hidden)");
	}
	if ((v->flags & VERB_QUIET) == 0 && !q->quiet &&
	    write_audit(q, e) != 0) {
		sql_rollback(db);
		return -1;
	}
	if (sql_commit(db, e) != 0)
		return -1;
	if (q->afterwards != NULL && q->afterwards(q, e) != 0)
		log_error("%s: some of its secrets stay: %s", v->name, e->text);
	if (q->has_settings)
		log_settings(q);
	directory_refresh(q->core->directory);
	return 0;
}

static int
run_read(struct request *q, const struct verb *v, struct err *e)
{
	return check_rights(q, v, e) != 0 ? -1 : v->run(q, e);
}

static int
check_only(struct request *q, const struct verb *v, struct err *e)
{
	int r;

	pthread_mutex_lock(&q->core->write_lock);
	r = load_actor(q, e);
	if (r == 0)
		r = check_rights(q, v, e);
	pthread_mutex_unlock(&q->core->write_lock);
	return r;
}

static int
run(struct request *q, const struct verb *v, struct err *e)
{
	int r;

	if (core_is_gone(q->core))
		return err_set(e, ERR_TEMP, "the directory's files are gone");
	if (v->right == RIGHT_NONE &&
	    (v->flags & (VERB_READ | VERB_WRITE)) == 0)
		return v->run(q, e);
	/* Before slow work: may he at all? */
	if (check_only(q, v, e) != 0)
		return -1;
	if ((v->flags & (VERB_READ | VERB_WRITE)) == 0)
		return v->run(q, e);
	if (v->prepare != NULL && v->prepare(q, e) != 0)
		return -1;
	q->target = (struct target){ 0 };
	pthread_mutex_lock(&q->core->write_lock);
	r = v->flags & VERB_WRITE ? run_write(q, v, e) : run_read(q, v, e);
	pthread_mutex_unlock(&q->core->write_lock);
	return r;
}

static int
dispatch(struct request *q, struct err *e)
{
	const struct verb *v;

	if (!json_is_object(q->in)) {
		q->code = "not-an-object";
		return err_set(e, ERR_SYNTAX, "not a JSON object");
	}
	if (req_string(q, "verb", &q->verb, e) != 0)
		return -1;
	v = verbs_find(q->verb, json_object_get(q->in, "domain") != NULL);
	if (v == NULL) {
		q->code = "unknown-verb";
		return err_set(e, ERR_SYNTAX, "unknown verb");
	}
	if ((v->programs & (unsigned)q->caller->program) == 0)
		return refuse(q, e, "forbidden", "not by this socket");
	return run(q, v, e);
}

static const char *
kind_word(enum err_kind k)
{
	if (k == ERR_PERM)
		return "perm";
	return k == ERR_SYNTAX ? "syntax" : "temp";
}

static json_t *
failure(const struct request *q, const struct err *e)
{
	return json_pack("{sb,ss,ss,ss,ss*}", "ok", 0, "kind",
	    kind_word(e->kind), "code", q->code ? q->code : "failed", "text",
	    e->text, "field", q->field);
}

void
request_answer(struct caller *caller, struct slice packet, json_t **reply_out)
{
	struct request q = { .core = caller->core, .caller = caller };
	struct err e;

	q.out = json_object();
	q.in = json_text_parse(packet);
	if (dispatch(&q, &e) == 0) {
		json_object_set_new(q.out, "ok", json_true());
		*reply_out = q.out;
	} else {
		if (e.kind == ERR_TEMP)
			log_error(
			    "%s: %s", q.verb ? q.verb : "request", e.text);
		*reply_out = failure(&q, &e);
		json_decref(q.out);
	}
	json_decref(q.before);
	json_decref(q.after);
	json_decref(q.in);
	mem_wipe(&q.keys, sizeof(q.keys));
	if (q.import_keys != NULL)
		mem_wipe(q.import_keys, q.import_count * sizeof(q.keys));
	free(q.import_keys);
	if (q.dkim != NULL)
		mem_wipe(q.dkim, DKIM_ALGORITHMS * sizeof(*q.dkim));
	free(q.dkim);
	pool_release(&q.pool);
}
