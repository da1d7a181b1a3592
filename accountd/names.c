/*
 * Text: one line an account, "\n<id in hex>\0<local part>\0<name>", in the
 * order lists are shown, ASCII letters in lower case; one group of lines a
 * domain.  The longest literal of the pattern is looked for in the text as a
 * whole (memmem), and only lines that have it are matched.
 */
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	CHANGES_MAX = 64, /* more than account_change keeps */
	ID_KEY_SIZE = 1 + 16 + 1,
};

struct group {
	int64_t domain_id;
	const char *domain;
	size_t at; /* of its first line; it ends where the next one begins */
};

struct names {
	int64_t
	    change; /* the newest of account_change that is in here; -1 none */
	struct buf text;
	struct pool pool; /* of the groups */
	struct group *groups;
	size_t count, space;
};

struct names *
names_new(void)
{
	struct names *n = mem_zalloc(sizeof(*n));

	n->change = -1;
	buf_init(&n->text, SIZE_MAX / 2);
	return n;
}

static void
reset(struct names *n)
{
	n->change = -1;
	n->count = 0;
	buf_reset(&n->text);
	pool_release(&n->pool);
}

void
names_free(struct names *n)
{
	if (n == NULL)
		return;
	reset(n);
	buf_release(&n->text);
	free(n->groups);
	free(n);
}

/* --- Reading it ------------------------------------------------------------------- */

static struct group *
add_group(
    struct names *n, size_t i, int64_t domain_id, const char *domain, size_t at)
{
	n->groups =
	    mem_grow(n->groups, &n->space, n->count + 1, sizeof(*n->groups));
	memmove(n->groups + i + 1, n->groups + i,
	    (n->count++ - i) * sizeof(*n->groups));
	n->groups[i] = (struct group){
		.domain_id = domain_id,
		.domain = pool_strdup(&n->pool, domain),
		.at = at,
	};
	return &n->groups[i];
}

/* What a line begins with: "\n<id in hex>\0"; its length. */
static size_t
put_key(char out[ID_KEY_SIZE], int64_t id)
{
	static const char digits[] = "0123456789abcdef";
	char hex[16], *to = out;
	size_t at = sizeof(hex);

	*to++ = '\n';
	for (uint64_t left = (uint64_t)id; left != 0; left >>= 4)
		hex[--at] = digits[left & 15];
	memcpy(to, hex + at, sizeof(hex) - at);
	to += sizeof(hex) - at;
	*to++ = '\0';
	return (size_t)(to - out);
}

/* One line; by hand, as 100,000 of them are made at once. */
static void
add_line(struct buf *b, int64_t id, const char *local, const char *name)
{
	const char *const texts[] = { local, name };
	size_t space = ID_KEY_SIZE + strlen(local) + 1 + strlen(name);
	char *start = buf_reserve(b, space), *to = start + put_key(start, id);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (i > 0)
			*to++ = '\0';
		for (const char *c = texts[i]; *c != '\0'; c++)
			*to++ = (char)(*c == '\n'        ? ' '
				: *c >= 'A' && *c <= 'Z' ? *c | 0x20
							 : *c);
	}
	buf_commit(b, (size_t)(to - start));
}

static int
read_all(struct names *n, struct sql *db, struct err *e)
{
	int64_t change;
	struct sql_rows *r;
	int got;

	reset(n);
	got = sql_get_int(
	    db, e, &change, "SELECT max(n) FROM account_change", "");
	if (got != 1)
		return got < 0
		    ? -1
		    : err_set(e, ERR_TEMP, "account_change is empty");
	r = sql_query(db, e,
	    "SELECT d.id, d.name, s.id, s.local, s.name FROM domain d"
	    " CROSS JOIN account s INDEXED BY account_search"
	    " ON s.domain_id = d.id ORDER BY d.name, s.local",
	    "");
	while ((got = sql_next(r, e)) == 1) {
		if (n->count == 0 ||
		    n->groups[n->count - 1].domain_id != sql_int(r, 0))
			add_group(n, n->count, sql_int(r, 0), sql_text(r, 1),
			    n->text.len);
		add_line(
		    &n->text, sql_int(r, 2), sql_text(r, 3), sql_text(r, 4));
	}
	sql_done(r);
	if (got == 0)
		n->change = change;
	return got;
}

/* --- What changed ------------------------------------------------------------------- */

static int
compare(struct slice a, struct slice b)
{
	int order = strncasecmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static size_t
group_end(const struct names *n, const struct group *g)
{
	return g + 1 < n->groups + n->count ? g[1].at : n->text.len;
}

/* Another text in place of `len` bytes at `at`, which are of this group. */
static void
replace(
    struct names *n, struct group *g, size_t at, size_t len, struct slice text)
{
	size_t rest = n->text.len - at - len;
	char *to = buf_reserve(&n->text, text.len) - n->text.len + at;

	memmove(to + text.len, to + len, rest);
	memcpy(to, text.data, text.len);
	buf_commit(&n->text, text.len);
	buf_truncate(&n->text, at + text.len + rest);
	while (++g < n->groups + n->count)
		g->at = g->at + text.len - len;
}

static void
drop_line(struct names *n, int64_t id)
{
	char key[ID_KEY_SIZE];
	size_t at, len = put_key(key, id);
	const char *line = memmem(n->text.data, n->text.len, key, len), *next;
	struct group *g = n->groups;

	if (line == NULL)
		return;
	at = (size_t)(line - n->text.data);
	next = memchr(line + 1, '\n', n->text.len - at - 1);
	len = next != NULL ? (size_t)(next - line) : n->text.len - at;
	while (group_end(n, g) <= at)
		g++;
	replace(n, g, at, len, SLICE_LIT(""));
}

static struct group *
need_group(struct names *n, int64_t domain_id, const char *domain)
{
	size_t i = 0;

	/* the number may have been another domain's before */
	while (i < n->count &&
	    (n->groups[i].domain_id != domain_id ||
		strcmp(n->groups[i].domain, domain) != 0))
		i++;
	if (i < n->count)
		return &n->groups[i];
	i = 0;
	while (i < n->count &&
	    compare(slice_str(n->groups[i].domain), slice_str(domain)) < 0)
		i++;
	return add_group(n, i, domain_id, domain,
	    i < n->count ? n->groups[i].at : n->text.len);
}

/* Where the line of a local part is to stand in its group. */
static size_t
place_of(const struct names *n, const struct group *g, const char *local)
{
	const char *line = n->text.data + g->at;
	const char *end = n->text.data + group_end(n, g);

	while (line < end) {
		const char *text = line + strlen(line) + 1;
		const char *next = memchr(text, '\n', (size_t)(end - text));

		if (compare(slice_str(text), slice_str(local)) > 0)
			break;
		line = next != NULL ? next : end;
	}
	return (size_t)(line - n->text.data);
}

static int
read_one(struct names *n, struct sql *db, int64_t id, struct err *e)
{
	struct sql_rows *r = sql_query(db, e,
	    "SELECT d.id, d.name, s.local, s.name FROM account s"
	    " JOIN domain d ON d.id = s.domain_id WHERE s.id = ?1",
	    "i", id);
	int got = sql_next(r, e);

	if (got >= 0)
		drop_line(n, id);
	if (got == 1) {
		struct group *g = need_group(n, sql_int(r, 0), sql_text(r, 1));
		struct buf line;

		buf_init(&line, SIZE_MAX / 2);
		add_line(&line, id, sql_text(r, 2), sql_text(r, 3));
		replace(
		    n, g, place_of(n, g, sql_text(r, 2)), 0, buf_slice(&line));
		buf_release(&line);
	}
	sql_done(r);
	return got < 0 ? -1 : 0;
}

/*
 * The accounts that changed since, by number of their changes: 1, or 0 when
 * account_change does not go back so far.
 */
static int
list_changed(const struct names *n, struct sql *db, int64_t ids[CHANGES_MAX],
    int64_t numbers[CHANGES_MAX], size_t *count_out, struct err *e)
{
	struct sql_rows *r = sql_query(db, e,
	    "SELECT n, account_id FROM account_change WHERE n >= ?1"
	    " ORDER BY n",
	    "i", n->change);
	size_t count = 0;
	int got;

	while ((got = sql_next(r, e)) == 1 && count < CHANGES_MAX) {
		numbers[count] = sql_int(r, 0);
		ids[count++] = sql_int(r, 1);
	}
	sql_done(r);
	*count_out = count;
	return got < 0 ? -1 : got == 0 && count > 0 && numbers[0] == n->change;
}

static int
bring_up(struct names *n, struct sql *db, struct err *e)
{
	int64_t ids[CHANGES_MAX], numbers[CHANGES_MAX];
	size_t count;
	int known = list_changed(n, db, ids, numbers, &count, e);

	if (known <= 0)
		return known < 0 ? -1 : read_all(n, db, e);
	for (size_t i = 1; i < count; i++) {
		if (read_one(n, db, ids[i], e) != 0)
			return -1;
		n->change = numbers[i];
	}
	return 0;
}

/* --- Searching it ----------------------------------------------------------------- */

/* The longest run of a pattern without wildcards, in lower case. */
static char *
longest_literal(const char *pattern, struct pool *pool)
{
	size_t best = 0, len;
	const char *at = pattern;
	char *out;

	for (const char *p = pattern; *p != '\0'; p += len + (p[len] != '\0')) {
		len = strcspn(p, "*?");
		if (len > best) {
			best = len;
			at = p;
		}
	}
	out = pool_strndup(pool, at, best);
	ascii_lower_str(out);
	return out;
}

int
names_start(struct names *n, struct sql *db, struct names_search *s,
    struct pool *pool, struct err *e)
{
	int r = sql_begin_read(db, e);

	if (r == 0) {
		r = bring_up(n, db, e);
		sql_rollback(db);
	}
	if (r != 0)
		return -1;
	s->literal = longest_literal(s->match->local, pool);
	s->group = s->at = 0;
	return 0;
}

static bool
fits(const struct names_search *s, const struct group *g, struct slice line)
{
	struct slice local;
	struct slice name = slice_cut(line, '\0', &local);

	if (slice_eq_str(s->after_domain, g->domain) &&
	    compare(local, s->after_local) <= 0)
		return false;
	return sql_wild(s->match->local, local) ||
	    (s->match->either && sql_wild(s->match->local, name));
}

/* The next line of a group that may fit, from s->at on; 0: no more. */
static int64_t
next_of_group(const struct names *n, struct names_search *s)
{
	const struct group *g = &n->groups[s->group];
	const char *end = n->text.data + group_end(n, g);
	const char *from = n->text.data + (s->at > g->at ? s->at : g->at);

	while (from < end) {
		const char *hit = memmem(
		    from, (size_t)(end - from), s->literal, strlen(s->literal));
		const char *line, *next;
		char *rest;
		int64_t id;

		if (hit == NULL)
			break;
		line = memrchr(from, '\n', (size_t)(hit - from) + 1);
		next = memchr(line + 1, '\n', (size_t)(end - line - 1));
		from = next != NULL ? next : end;
		id = strtoll(line + 1, &rest, 16);
		if (!fits(s, g, slice_of(rest + 1, (size_t)(from - rest - 1))))
			continue;
		s->at = (size_t)(from - n->text.data);
		return id;
	}
	return 0;
}

int64_t
names_next(const struct names *n, struct names_search *s)
{
	for (; s->group < n->count; s->group++, s->at = 0) {
		const struct group *g = &n->groups[s->group];
		int64_t id;

		if ((s->domain_id != 0 && s->domain_id != g->domain_id) ||
		    compare(slice_str(g->domain), s->after_domain) < 0 ||
		    (!s->match->either &&
			!sql_wild(s->match->domain, slice_str(g->domain))))
			continue;
		id = next_of_group(n, s);
		if (id != 0)
			return id;
	}
	return 0;
}
