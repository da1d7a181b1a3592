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

struct group {
	int64_t domain_id;
	const char *domain;
	size_t at; /* of its first line; it ends where the next one begins */
};

struct names {
	int64_t changes; /* what account_names said when this was read */
	struct buf text;
	struct pool pool; /* of the groups */
	struct group *groups;
	size_t count, space;
};

struct names *
names_new(void)
{
	struct names *n = mem_zalloc(sizeof(*n));

	n->changes = -1;
	buf_init(&n->text, SIZE_MAX / 2);
	return n;
}

static void
reset(struct names *n)
{
	n->changes = -1;
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

static int
read_changes(struct sql *db, int64_t *out, struct err *e)
{
	int got =
	    sql_get_int(db, e, out, "SELECT changes FROM account_names", "");

	if (got == 0)
		err_set(e, ERR_TEMP, "account_names has no row");
	return got == 1 ? 0 : -1;
}

static void
add_group(struct names *n, int64_t domain_id, const char *domain)
{
	n->groups =
	    mem_grow(n->groups, &n->space, n->count + 1, sizeof(*n->groups));
	n->groups[n->count++] = (struct group){
		.domain_id = domain_id,
		.domain = pool_strdup(&n->pool, domain),
		.at = n->text.len,
	};
}

/* One line; by hand, as 100,000 of them are made at once. */
static void
add_line(struct names *n, int64_t id, const char *local, const char *name)
{
	static const char digits[] = "0123456789abcdef";
	const char *const texts[] = { local, name };
	char hex[16], *to;
	size_t at = sizeof(hex),
	       space = 1 + sizeof(hex) + 2 + strlen(local) + strlen(name);
	char *start = to = buf_reserve(&n->text, space);

	*to++ = '\n';
	for (uint64_t left = (uint64_t)id; left != 0; left >>= 4)
		hex[--at] = digits[left & 15];
	memcpy(to, hex + at, sizeof(hex) - at);
	to += sizeof(hex) - at;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		*to++ = '\0';
		for (const char *c = texts[i]; *c != '\0'; c++)
			*to++ = (char)(*c == '\n'        ? ' '
				: *c >= 'A' && *c <= 'Z' ? *c | 0x20
							 : *c);
	}
	buf_commit(&n->text, (size_t)(to - start));
}

static int
read_names(struct names *n, struct sql *db, struct err *e)
{
	int64_t changes;
	struct sql_rows *r;
	int got = -1;

	reset(n);
	if (read_changes(db, &changes, e) != 0)
		return -1;
	r = sql_query(db, e,
	    "SELECT d.id, d.name, s.id, s.local, s.name FROM domain d"
	    " CROSS JOIN account s INDEXED BY account_search"
	    " ON s.domain_id = d.id ORDER BY d.name, s.local",
	    "");
	while (r != NULL && (got = sql_next(r, e)) == 1) {
		if (n->count == 0 ||
		    n->groups[n->count - 1].domain_id != sql_int(r, 0))
			add_group(n, sql_int(r, 0), sql_text(r, 1));
		add_line(n, sql_int(r, 2), sql_text(r, 3), sql_text(r, 4));
	}
	sql_done(r);
	if (got == 0)
		n->changes = changes;
	return got;
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
	int64_t changes;

	if (read_changes(db, &changes, e) != 0)
		return -1;
	if (changes != n->changes) {
		int r = sql_begin_read(db, e);

		if (r == 0) {
			r = read_names(n, db, e);
			sql_rollback(db);
		}
		if (r != 0)
			return -1;
	}
	s->literal = longest_literal(s->match->local, pool);
	s->group = s->at = 0;
	return 0;
}

static int
compare(struct slice a, struct slice b)
{
	int order = strncasecmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
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
	const char *end =
	    n->text.data + (s->group + 1 < n->count ? g[1].at : n->text.len);
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
