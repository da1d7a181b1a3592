/*
 * The queries of the address book; see store_contacts.h.
 */
#include "webmail-cgi/store_contacts.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/num.h"

void
contact_init(struct contact *c)
{
	*c = (struct contact){ .name = "",
		.company = "",
		.note = "",
		.uid = "",
		.phones = "",
		.more = "",
		.groups_text = "" };
}

/* "%text%" with what LIKE takes for patterns escaped by '\'. */
static const char *
pattern_of(struct pool *pool, const char *before, const char *text)
{
	char *out = pool_alloc(pool, strlen(before) + 2 * strlen(text) + 2);
	char *p = out + strlen(before);

	memcpy(out, before, strlen(before));
	for (; *text != '\0'; text++) {
		if (*text == '%' || *text == '_' || *text == '\\')
			*p++ = '\\';
		*p++ = *text;
	}
	*p++ = '%';
	*p = '\0';
	return out;
}

static struct slice
cut(const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len > max) {
		len = max;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	return slice_of(text, len);
}

/* --- People -------------------------------------------------------------------------- */

static void
read_row(struct sql_rows *r, struct pool *pool, struct contact *c)
{
	contact_init(c);
	c->id = sql_int(r, 0);
	c->name = pool_strdup(pool, sql_text(r, 1));
	c->company = pool_strdup(pool, sql_text(r, 2));
	c->addresses = pool_zalloc(pool, sizeof(*c->addresses));
	c->addresses[0].kind = "";
	c->addresses[0].address = pool_strdup(pool, sql_text(r, 3));
	c->address_count = c->addresses[0].address[0] != '\0';
}

int
store_contacts(struct sql *db, const struct contact_query *q, struct pool *pool,
    struct contacts *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	*out = (struct contacts){ 0 };
	if (db == NULL)
		return 0;
	out->list = pool_zalloc(pool, (q->limit + 1) * sizeof(*out->list));
	r = sql_query(db, e,
	    "SELECT c.id, c.name, c.company, a.address FROM contact c"
	    " LEFT JOIN contact_address a"
	    "  ON a.contact_id = c.id AND a.place = 0"
	    " WHERE (?1 = 0 OR (c.name COLLATE NOCASE, c.id) >"
	    "  (SELECT name, id FROM contact WHERE id = ?1))"
	    " AND (?2 = 0 OR EXISTS (SELECT 1 FROM contact_member m"
	    "  WHERE m.group_id = ?2 AND m.contact_id = c.id))"
	    " AND (?3 = '%%' OR c.name LIKE ?3 ESCAPE '\\'"
	    "  OR c.company LIKE ?3 ESCAPE '\\'"
	    "  OR EXISTS (SELECT 1 FROM contact_address x"
	    "   WHERE x.contact_id = c.id AND x.address LIKE ?3 ESCAPE '\\'))"
	    " ORDER BY c.name COLLATE NOCASE, c.id LIMIT ?4",
	    "iisi", q->after, q->group, pattern_of(pool, "%", q->text),
	    (int64_t)q->limit + 1);
	while ((got = sql_next(r, e)) == 1)
		read_row(r, pool, &out->list[out->count++]);
	sql_done(r);
	out->more = out->count > q->limit;
	out->count = num_min(out->count, q->limit);
	return got < 0 ? -1 : 0;
}

static int
find_addresses(
    struct sql *db, struct pool *pool, struct contact *c, struct err *e)
{
	struct sql_rows *r = sql_query(db, e,
	    "SELECT kind, address FROM contact_address"
	    " WHERE contact_id = ?1 ORDER BY place",
	    "i", c->id);
	int got = r != NULL ? 0 : -1;

	c->addresses =
	    pool_zalloc(pool, CONTACT_ADDRESSES_MAX * sizeof(*c->addresses));
	c->address_count = 0;
	while (c->address_count < CONTACT_ADDRESSES_MAX &&
	    (got = sql_next(r, e)) == 1)
		c->addresses[c->address_count++] = (struct contact_address){
			.kind = pool_strdup(pool, sql_text(r, 0)),
			.address = pool_strdup(pool, sql_text(r, 1)),
		};
	sql_done(r);
	return got < 0 ? -1 : 0;
}

static int
find_groups(struct sql *db, struct pool *pool, struct contact *c, struct err *e)
{
	struct sql_rows *r = sql_query(db, e,
	    "SELECT group_concat(name, char(10)) FROM"
	    " (SELECT g.name FROM contact_group g JOIN contact_member m"
	    "  ON m.group_id = g.id WHERE m.contact_id = ?1 ORDER BY g.name)",
	    "i", c->id);
	int got = sql_next(r, e);

	if (got == 1)
		c->groups_text = pool_strdup(pool, sql_text(r, 0));
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
store_contact_find(struct sql *db, int64_t id, struct pool *pool,
    struct contact *out, struct err *e)
{
	struct sql_rows *r;
	int got;

	if (db == NULL)
		return 0;
	contact_init(out);
	r = sql_query(db, e,
	    "SELECT id, name, company, note, uid, phones, more FROM contact"
	    " WHERE id = ?1",
	    "i", id);
	got = sql_next(r, e);
	if (got == 1) {
		out->id = sql_int(r, 0);
		out->name = pool_strdup(pool, sql_text(r, 1));
		out->company = pool_strdup(pool, sql_text(r, 2));
		out->note = pool_strdup(pool, sql_text(r, 3));
		out->uid = pool_strdup(pool, sql_text(r, 4));
		out->phones = pool_strdup(pool, sql_text(r, 5));
		out->more = pool_strdup(pool, sql_text(r, 6));
	}
	sql_done(r);
	if (got == 1 &&
	    (find_addresses(db, pool, out, e) != 0 ||
		find_groups(db, pool, out, e) != 0))
		return -1;
	return got;
}

int
store_contact_lookup(struct sql *db, const char *uid, const char *address,
    int64_t *id_out, struct err *e)
{
	*id_out = 0;
	if (db == NULL)
		return 0;
	return sql_get_int(db, e, id_out,
		   "SELECT id, 0 AS way FROM contact WHERE uid = ?1"
		   " UNION ALL SELECT contact_id, 1 FROM contact_address"
		   "  WHERE address = ?2 ORDER BY way LIMIT 1",
		   "ss", uid, address) < 0
	    ? -1
	    : 0;
}

static int
put_row(struct sql *db, struct contact *c, int64_t now_ms, struct err *e)
{
	char uid[ID_SIZE];
	int changed;

	if (c->id == 0) {
		id_new(uid);
		changed = sql_run(db, e,
		    "INSERT INTO contact (uid, changed_ms) SELECT ?1, ?2"
		    " WHERE (SELECT count(*) FROM contact) < ?3",
		    "sii", c->uid[0] != '\0' ? c->uid : uid, now_ms,
		    (int64_t)CONTACTS_MAX);
		if (changed == 0)
			return err_set(e, ERR_PERM, "too many contacts");
		if (changed < 0)
			return -1;
		c->id = sql_last_id(db);
	}
	changed = sql_run(db, e,
	    "UPDATE contact SET name = ?2, company = ?3, note = ?4,"
	    " phones = ?5, more = ?6, changed_ms = ?7 WHERE id = ?1",
	    "ivvvvvi", c->id, cut(c->name, CONTACT_TEXT_MAX),
	    cut(c->company, CONTACT_TEXT_MAX), cut(c->note, CONTACT_NOTE_MAX),
	    cut(c->phones, CONTACT_NOTE_MAX),
	    strlen(c->more) <= CONTACT_MORE_MAX ? slice_str(c->more)
						: slice_str(""),
	    now_ms);
	if (changed == 0)
		return err_set(e, ERR_PERM, "there is no such contact");
	return changed < 0 ? -1 : 0;
}

static int
put_addresses(struct sql *db, const struct contact *c, struct err *e)
{
	if (sql_run(db, e, "DELETE FROM contact_address WHERE contact_id = ?1",
		"i", c->id) < 0)
		return -1;
	for (size_t i = 0; i < c->address_count && i < CONTACT_ADDRESSES_MAX;
	     i++) {
		if (sql_run(db, e,
			"INSERT INTO contact_address VALUES (?1, ?2, ?3, ?4)",
			"iisv", c->id, (int64_t)i, c->addresses[i].kind,
			cut(c->addresses[i].address, CONTACT_TEXT_MAX)) < 0)
			return -1;
	}
	return 0;
}

static int
put_groups(struct sql *db, const struct contact *c, struct err *e)
{
	struct slice rest = slice_str(c->groups_text), name;

	if (sql_run(db, e, "DELETE FROM contact_member WHERE contact_id = ?1",
		"i", c->id) < 0)
		return -1;
	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &name);
		name = slice_trim(name);
		if (name.len == 0 || name.len > CONTACT_TEXT_MAX)
			continue;
		if (sql_run(db, e,
			"INSERT OR IGNORE INTO contact_group (name)"
			" SELECT ?1 WHERE (SELECT count(*) FROM contact_group)"
			"  < ?2",
			"vi", name, (int64_t)CONTACT_GROUPS_MAX) < 0 ||
		    sql_run(db, e,
			"INSERT OR IGNORE INTO contact_member"
			" SELECT id, ?1 FROM contact_group WHERE name = ?2",
			"iv", c->id, name) < 0)
			return -1;
	}
	return 0;
}

int
store_contact_put(
    struct sql *db, struct contact *c, int64_t now_ms, struct err *e)
{
	return put_row(db, c, now_ms, e) != 0 || put_addresses(db, c, e) != 0
	    ? -1
	    : put_groups(db, c, e);
}

int
store_contact_delete(struct sql *db, int64_t id, struct err *e)
{
	return sql_run(db, e, "DELETE FROM contact WHERE id = ?1", "i", id) < 0
	    ? -1
	    : 0;
}

/* --- Groups ---------------------------------------------------------------------------- */

int
store_groups(struct sql *db, struct pool *pool, struct contact_groups *out,
    struct err *e)
{
	struct sql_rows *r;
	int got;

	*out = (struct contact_groups){ 0 };
	if (db == NULL)
		return 0;
	out->list = pool_zalloc(pool, CONTACT_GROUPS_MAX * sizeof(*out->list));
	r = sql_query(db, e,
	    "SELECT g.id, g.name, (SELECT count(*) FROM contact_member m"
	    "  WHERE m.group_id = g.id) FROM contact_group g ORDER BY g.name",
	    "");
	got = r != NULL ? 0 : -1;
	while (out->count < CONTACT_GROUPS_MAX && (got = sql_next(r, e)) == 1)
		out->list[out->count++] = (struct contact_group){
			.id = sql_int(r, 0),
			.name = pool_strdup(pool, sql_text(r, 1)),
			.count = sql_int(r, 2),
		};
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
store_group_add(struct sql *db, const char *name, struct err *e)
{
	int n = sql_run(db, e,
	    "INSERT INTO contact_group (name) SELECT ?1"
	    " WHERE (SELECT count(*) FROM contact_group) < ?2",
	    "vi", cut(name, CONTACT_TEXT_MAX), (int64_t)CONTACT_GROUPS_MAX);

	return n == 0 ? err_set(e, ERR_PERM, "too many groups")
	    : n < 0   ? -1
		      : 0;
}

int
store_group_rename(struct sql *db, int64_t id, const char *name, struct err *e)
{
	return sql_run(db, e,
		   "UPDATE contact_group SET name = ?2 WHERE id = ?1", "iv", id,
		   cut(name, CONTACT_TEXT_MAX)) < 0
	    ? -1
	    : 0;
}

int
store_group_delete(struct sql *db, int64_t id, struct err *e)
{
	return sql_run(db, e, "DELETE FROM contact_group WHERE id = ?1", "i",
		   id) < 0
	    ? -1
	    : 0;
}

/* --- Completion ---------------------------------------------------------------------------- */

/* A use counts half after a month. */
#define SCORE "uses * 1.0 / (1 + max(0, ?4 - last_ms) / 2592000000.0)"

static int
complete_people(struct sql *db, const char *text, int64_t now_ms,
    struct pool *pool, struct suggestion *out, size_t *count_out, struct err *e)
{
	struct sql_rows *r = sql_query(db, e,
	    "SELECT name, address, " SCORE " AS score,"
	    " address LIKE ?1 ESCAPE '\\' OR name LIKE ?1 ESCAPE '\\'"
	    "  OR name LIKE ?2 ESCAPE '\\' AS starts FROM"
	    " (SELECT c.name, a.address, ifnull(k.uses, 0) AS uses,"
	    "   ifnull(k.last_ms, 0) AS last_ms FROM contact_address a"
	    "   JOIN contact c ON c.id = a.contact_id"
	    "   LEFT JOIN collected k ON k.address = a.address"
	    "  UNION ALL SELECT k.name, k.address, k.uses, k.last_ms"
	    "   FROM collected k WHERE NOT EXISTS (SELECT 1 FROM"
	    "    contact_address a WHERE a.address = k.address))"
	    " WHERE starts OR address LIKE ?3 ESCAPE '\\'"
	    "  OR name LIKE ?3 ESCAPE '\\'"
	    " ORDER BY starts DESC, score DESC, name, address LIMIT ?5",
	    "sssii", pattern_of(pool, "", text), pattern_of(pool, "% ", text),
	    pattern_of(pool, "%", text), now_ms, (int64_t)SUGGESTIONS_MAX);
	int got;

	while ((got = sql_next(r, e)) == 1)
		out[(*count_out)++] = (struct suggestion){
			.name = pool_strdup(pool, sql_text(r, 0)),
			.address = pool_strdup(pool, sql_text(r, 1)),
		};
	sql_done(r);
	return got < 0 ? -1 : 0;
}

/* Groups come first: few are called as what was typed. */
static int
complete_groups(struct sql *db, const char *text, struct pool *pool,
    struct suggestion *out, size_t *count_out, struct err *e)
{
	struct sql_rows *r = sql_query(db, e,
	    "SELECT g.name, (SELECT group_concat(a.address, ', ')"
	    "  FROM contact_member m JOIN contact_address a"
	    "   ON a.contact_id = m.contact_id AND a.place = 0"
	    "  WHERE m.group_id = g.id) AS members"
	    " FROM contact_group g WHERE members IS NOT NULL"
	    " AND (g.name LIKE ?1 ESCAPE '\\' OR g.name LIKE ?2 ESCAPE '\\')"
	    " ORDER BY g.name LIMIT 3",
	    "ss", pattern_of(pool, "", text), pattern_of(pool, "% ", text));
	int got;

	while ((got = sql_next(r, e)) == 1)
		out[(*count_out)++] = (struct suggestion){
			.name = pool_strdup(pool, sql_text(r, 0)),
			.address = pool_strdup(pool, sql_text(r, 1)),
			.is_group = true,
		};
	sql_done(r);
	return got < 0 ? -1 : 0;
}

int
store_complete(struct sql *db, const char *text, int64_t now_ms,
    struct pool *pool, struct suggestion out[SUGGESTIONS_MAX],
    size_t *count_out, struct err *e)
{
	struct suggestion people[SUGGESTIONS_MAX];
	size_t count = 0;

	*count_out = 0;
	if (db == NULL || text[0] == '\0' || strlen(text) > CONTACT_TEXT_MAX)
		return 0;
	if (complete_groups(db, text, pool, out, count_out, e) != 0 ||
	    complete_people(db, text, now_ms, pool, people, &count, e) != 0)
		return -1;
	for (size_t i = 0; i < count && *count_out < SUGGESTIONS_MAX; i++)
		out[(*count_out)++] = people[i];
	return 0;
}
