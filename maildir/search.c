/*
 * The search grammar: text to tree; see search.h.  Recursive descent over the
 * text; parentheses nest SEARCH_DEPTH_MAX deep.  Pure.
 */
#include "maildir/search.h"

#include <time.h>

#include "base/num.h"

#include "maildir/maildir.h"

enum {
	DAY_S = 86400,
	YEAR_MIN = 1970,
	YEAR_MAX = 9999,
	CHILDREN_STEP = 8,
};

struct parser {
	struct slice rest;
	const struct search_clock *clock;
	struct pool *pool;
	struct search_query *out;
	size_t token_alloc;
	int depth;
};

static struct search_node *parse_or(struct parser *p);

static struct search_node *
node_new(struct parser *p, enum search_kind kind)
{
	struct search_node *n = pool_zalloc(p->pool, sizeof(*n));

	n->kind = kind;
	return n;
}

static void
add_child(struct parser *p, struct search_node *n, struct search_node *child)
{
	if (child == NULL)
		return;
	if (n->count % CHILDREN_STEP == 0) {
		struct search_node **more = pool_alloc(p->pool,
		    (n->count + CHILDREN_STEP) * sizeof(struct search_node *));

		for (size_t i = 0; i < n->count; i++)
			more[i] = n->children[i];
		n->children = more;
	}
	n->children[n->count++] = child;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
skip_space(struct parser *p)
{
	while (p->rest.len > 0 && is_space(p->rest.data[0]))
		p->rest = slice_skip(p->rest, 1);
}

/* Has it anything to look for? */
static bool
has_letters(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (ascii_is_alnum((unsigned char)s.data[i]) ||
		    (unsigned char)s.data[i] >= 0x80)
			return true;
	}
	return false;
}

/* The word or phrase that is next. */
static struct slice
take_value(struct parser *p, bool *phrase_out)
{
	size_t n = 0;
	struct slice value;

	*phrase_out = p->rest.len > 0 && p->rest.data[0] == '"';
	if (*phrase_out) {
		p->rest = slice_cut(slice_skip(p->rest, 1), '"', &value);
		if (p->rest.data == NULL) /* no second quote */
			p->rest = slice_of(value.data + value.len, 0);
		return value;
	}
	while (n < p->rest.len && !is_space(p->rest.data[n]) &&
	    p->rest.data[n] != ')' && p->rest.data[n] != '"')
		n++;
	value = slice_of(p->rest.data, n);
	p->rest = slice_skip(p->rest, n);
	return value;
}

/* --- Dates --------------------------------------------------------------------------- */

static int64_t
day_ms(const struct parser *p, int year, int month, int day)
{
	struct tm tm = {
		.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day
	};

	return (int64_t)timegm(&tm) * 1000 -
	    (int64_t)p->clock->offset_minutes * 60000;
}

/* 2026, 2026-11 or 2026-11-12 (also with '/'): from, and the next one. */
static bool
parse_date(struct parser *p, struct slice s, int64_t *from, int64_t *to)
{
	uint64_t n[3] = { 0, 1, 1 };
	int parts = 0;
	char separator = slice_chr(s, '/') >= 0 ? '/' : '-';
	struct slice item;

	while (s.data != NULL && parts < 3) {
		s = slice_cut(s, separator, &item);
		if (!num_parse(item, YEAR_MAX, &n[parts++]))
			return false;
	}
	if (s.data != NULL || n[0] < YEAR_MIN || n[1] < 1 || n[1] > 12 ||
	    n[2] < 1 || n[2] > 31)
		return false;
	*from = day_ms(p, (int)n[0], (int)n[1], (int)n[2]);
	*to = day_ms(p, (int)n[0] + (parts == 1), (int)n[1] + (parts == 2),
	    (int)n[2] + (parts == 3));
	return true;
}

static bool
parse_age(struct slice s, int64_t *ms_out)
{
	static const char units[] = "dwmy";
	static const int64_t days[] = { 1, 7, 30, 365 };
	const char *unit;
	uint64_t n;

	if (s.len < 2)
		return false;
	unit = strchr(units, ascii_lower(s.data[s.len - 1]));
	if (unit == NULL || *unit == '\0' ||
	    !num_parse(slice_of(s.data, s.len - 1), 10000, &n))
		return false;
	*ms_out = (int64_t)n * days[unit - units] * DAY_S * 1000;
	return true;
}

/* --- Operators -------------------------------------------------------------------------- */

typedef struct search_node *operator_parse(
    struct parser *p, int arg, struct slice value, bool phrase);

static struct search_node *
text_operator(struct parser *p, int arg, struct slice value, bool phrase)
{
	struct search_node *n;

	if (!has_letters(value))
		return node_new(p, SEARCH_AND);
	n = node_new(p, SEARCH_TEXT);
	n->field = (enum search_field)arg;
	n->text = value;
	n->phrase = phrase;
	return n;
}

static struct search_node *
in_operator(struct parser *p, int arg, struct slice value, bool phrase)
{
	struct search_node *n;

	(void)phrase;
	if (value.len == 0)
		return NULL;
	if (arg == SEARCH_IN) {
		p->out->says_where = true;
		if (slice_ieq_str(value, "anywhere")) {
			p->out->anywhere = true;
			return node_new(p, SEARCH_AND);
		}
	}
	n = node_new(p, (enum search_kind)arg);
	n->text = value;
	return n;
}

static struct search_node *
has_operator(struct parser *p, int arg, struct slice value, bool phrase)
{
	(void)arg;
	(void)phrase;
	if (slice_ieq_str(value, "attachment") ||
	    slice_ieq_str(value, "attachments") ||
	    slice_ieq_str(value, "files") || slice_ieq_str(value, "file"))
		return node_new(p, SEARCH_FILES);
	if (slice_ieq_str(value, "invite"))
		return node_new(p, SEARCH_INVITE);
	return NULL;
}

static struct search_node *
is_operator(struct parser *p, int arg, struct slice value, bool phrase)
{
	static const struct {
		const char *word;
		uint8_t set, clear;
	} words[] = {
		{ "unread", 0, MAILDIR_SEEN },
		{ "read", MAILDIR_SEEN, 0 },
		{ "starred", MAILDIR_FLAGGED, 0 },
		{ "answered", MAILDIR_REPLIED, 0 },
		{ "forwarded", MAILDIR_PASSED, 0 },
	};

	(void)arg;
	(void)phrase;
	if (slice_ieq_str(value, "first"))
		return node_new(p, SEARCH_FIRST);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_ieq_str(value, words[i].word)) {
			struct search_node *n = node_new(p, SEARCH_FLAG);

			n->set = words[i].set;
			n->clear = words[i].clear;
			return n;
		}
	}
	return NULL;
}

enum {
	LARGER,
	SMALLER,
	AFTER,
	BEFORE,
	ON,
	OLDER,
	NEWER
};

static struct search_node *
range_new(struct parser *p, enum search_kind kind, int64_t from, int64_t to)
{
	struct search_node *n = node_new(p, kind);

	n->from = from;
	n->to = to;
	return n;
}

static struct search_node *
size_operator(struct parser *p, int arg, struct slice value, bool phrase)
{
	char text[32];
	uint64_t n;

	(void)phrase;
	if (!slice_copy(value, text, sizeof(text)))
		return NULL;
	for (char *c = text; *c != '\0'; c++) {
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	}
	if (!num_parse_size(slice_str(text), INT64_MAX, &n))
		return NULL;
	return arg == LARGER ? range_new(p, SEARCH_SIZE, (int64_t)n, INT64_MAX)
			     : range_new(p, SEARCH_SIZE, 0, (int64_t)n);
}

static struct search_node *
date_operator(struct parser *p, int arg, struct slice value, bool phrase)
{
	int64_t from, to;

	(void)phrase;
	if (arg == OLDER || arg == NEWER) {
		if (!parse_age(value, &from))
			return NULL;
		from = p->clock->now_ms - from;
		return arg == OLDER
		    ? range_new(p, SEARCH_DATE, INT64_MIN, from)
		    : range_new(p, SEARCH_DATE, from, INT64_MAX);
	}
	if (!parse_date(p, value, &from, &to))
		return NULL;
	if (arg == ON)
		return range_new(p, SEARCH_DATE, from, to);
	return arg == AFTER ? range_new(p, SEARCH_DATE, from, INT64_MAX)
			    : range_new(p, SEARCH_DATE, INT64_MIN, from);
}

/* clang-format off */
static const struct {
	const char *name;
	operator_parse *parse;
	int arg;
} operators[] = {
	{ "from",       text_operator, SEARCH_FROM },
	{ "to",         text_operator, SEARCH_TO },
	{ "cc",         text_operator, SEARCH_CC },
	{ "bcc",        text_operator, SEARCH_TO },
	{ "subject",    text_operator, SEARCH_SUBJECT },
	{ "body",       text_operator, SEARCH_BODY },
	{ "filename",   text_operator, SEARCH_FILENAME },
	{ "list",       text_operator, SEARCH_LIST },
	{ "in",         in_operator,   SEARCH_IN },
	{ "label",      in_operator,   SEARCH_LABEL },
	{ "id",         in_operator,   SEARCH_ID },
	{ "has",        has_operator,  0 },
	{ "is",         is_operator,   0 },
	{ "larger",     size_operator, LARGER },
	{ "smaller",    size_operator, SMALLER },
	{ "after",      date_operator, AFTER },
	{ "before",     date_operator, BEFORE },
	{ "on",         date_operator, ON },
	{ "older_than", date_operator, OLDER },
	{ "newer_than", date_operator, NEWER },
};

/* clang-format on */

/* --- Terms -------------------------------------------------------------------------------- */

/* Length of "name:" if the text begins so, else 0. */
static size_t
operator_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len &&
	    (ascii_is_alpha((unsigned char)s.data[n]) || s.data[n] == '_'))
		n++;
	return n > 0 && n < s.len && s.data[n] == ':' ? n : 0;
}

static struct search_node *
parse_operator(struct parser *p, size_t len)
{
	struct slice name = slice_of(p->rest.data, len);
	struct slice start = p->rest, value;
	bool phrase;

	p->rest = slice_skip(p->rest, len + 1);
	value = take_value(p, &phrase);
	for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
		struct search_node *n;

		if (!slice_ieq_str(name, operators[i].name))
			continue;
		n = operators[i].parse(p, operators[i].arg, value, phrase);
		if (n != NULL)
			return n;
	}
	p->rest = start;
	return NULL;
}

static struct search_node *
parse_term(struct parser *p, bool *unknown_out)
{
	size_t len = operator_length(p->rest);
	struct search_node *n = len > 0 ? parse_operator(p, len) : NULL;
	struct slice value;
	bool phrase;

	*unknown_out = false;
	if (n != NULL)
		return n;
	*unknown_out =
	    len > 0 && !slice_starts(slice_skip(p->rest, len), "://");
	value = take_value(p, &phrase);
	return text_operator(p, SEARCH_ANY, value, phrase);
}

static struct search_node *
parse_group(struct parser *p)
{
	struct search_node *n;

	p->rest = slice_skip(p->rest, 1);
	p->depth++;
	n = parse_or(p);
	p->depth--;
	skip_space(p);
	if (p->rest.len > 0 && p->rest.data[0] == ')')
		p->rest = slice_skip(p->rest, 1);
	return n;
}

/* NULL: nothing here, as before ')' or at the end. */
static struct search_node *
parse_unary(struct parser *p, bool *unknown_out)
{
	struct search_node *n, *not ;
	bool negative = false;

	*unknown_out = false;
	while (p->rest.len > 1 && p->rest.data[0] == '-' &&
	    !is_space(p->rest.data[1])) {
		negative = !negative;
		p->rest = slice_skip(p->rest, 1);
	}
	if (p->rest.len > 0 && p->rest.data[0] == '(' &&
	    p->depth < SEARCH_DEPTH_MAX)
		n = parse_group(p);
	else if (p->rest.len > 0 && p->rest.data[0] == '(') {
		p->rest = slice_skip(p->rest, 1);
		return NULL;
	} else
		n = parse_term(p, unknown_out);
	if (!negative || n == NULL)
		return n;
	not = node_new(p, SEARCH_NOT);
	add_child(p, not, n);
	return not ;
}

static void
add_token(struct parser *p, const char *start, bool join, bool unknown)
{
	struct search_query *q = p->out;
	struct slice text =
	    slice_trim(slice_of(start, (size_t)(p->rest.data - start)));

	if (p->depth > 0 || text.len == 0)
		return;
	if (join && q->token_count > 0) {
		struct search_token *last = &q->tokens[q->token_count - 1];

		last->text.len =
		    (size_t)(text.data + text.len - last->text.data);
		last->unknown |= unknown;
		return;
	}
	if (q->token_count == p->token_alloc) {
		struct search_token *more = pool_alloc(
		    p->pool, (p->token_alloc * 2 + 8) * sizeof(*more));

		for (size_t i = 0; i < q->token_count; i++)
			more[i] = q->tokens[i];
		q->tokens = more;
		p->token_alloc = p->token_alloc * 2 + 8;
	}
	q->tokens[q->token_count++] =
	    (struct search_token){ text, text.data[0] == '-', unknown };
}

static bool
take_or(struct parser *p)
{
	if (!slice_starts(p->rest, "OR") ||
	    (p->rest.len > 2 && !is_space(p->rest.data[2]) &&
		p->rest.data[2] != '(' && p->rest.data[2] != ')'))
		return false;
	p->rest = slice_skip(p->rest, 2);
	return true;
}

static bool
is_at_end(struct parser *p)
{
	skip_space(p);
	/* a ')' too many is passed over */
	while (p->depth == 0 && p->rest.len > 0 && p->rest.data[0] == ')') {
		p->rest = slice_skip(p->rest, 1);
		skip_space(p);
	}
	return p->rest.len == 0 || p->rest.data[0] == ')';
}

/*
 * Terms beside each other; OR binds tighter than standing beside, as in
 * Gmail: `a b OR c` is a and one of b, c.
 */
static struct search_node *
parse_or(struct parser *p)
{
	struct search_node *all = node_new(p, SEARCH_AND);
	bool join = false;

	while (!is_at_end(p)) {
		const char *start = p->rest.data;
		struct search_node *n;
		bool unknown;

		if (take_or(p)) {
			join = all->count > 0;
			continue;
		}
		n = parse_unary(p, &unknown);
		add_token(p, start, join, unknown);
		if (n != NULL && join) {
			struct search_node **last =
			    &all->children[all->count - 1];

			if ((*last)->kind != SEARCH_OR) {
				struct search_node * or
				    = node_new(p, SEARCH_OR);

				add_child(p, or, *last);
				*last = or ;
			}
			add_child(p, *last, n);
		} else
			add_child(p, all, n);
		join = join && n == NULL;
	}
	return all;
}

void
search_parse(struct slice text, const struct search_clock *clock,
    struct pool *pool, struct search_query *out)
{
	struct parser p = { .clock = clock, .pool = pool, .out = out };

	if (text.len > SEARCH_MAX) {
		text.len = SEARCH_MAX;
		while (text.len > 0 &&
		    ((unsigned char)text.data[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	*out = (struct search_query){ .token_count = 0 };
	p.rest = slice_of(text.data ? text.data : "", text.len);
	out->root = parse_or(&p);
}
