/*
 * The template language's parser: text to a list of nodes, one pass, no
 * recursion.  Names are slices of the kept source.  Pure; any thread.
 */
#include <stdlib.h>

#include "web/template_internal.h"

struct compiler {
	struct template *t;
	size_t alloc;
	size_t open[TEMPLATE_DEPTH_MAX]; /* sections */
	size_t depth;
	const char *at; /* where, for messages */
	struct err *e;
};

static int
wrong(const struct compiler *c, const char *what)
{
	unsigned line = 1;

	for (const char *p = c->t->source; p < c->at; p++)
		line += *p == '\n';
	return err_set(c->e, ERR_SYNTAX, "%s:%u: %s", c->t->name, line, what);
}

static struct template_node *
add_node(struct compiler *c, enum template_op op, struct slice text)
{
	struct template *t = c->t;

	t->nodes =
	    mem_grow(t->nodes, &c->alloc, t->count + 1, sizeof(t->nodes[0]));
	t->nodes[t->count] = (struct template_node){ .op = op, .text = text };
	return &t->nodes[t->count++];
}

/* a.b or "." */
static bool
is_path(struct slice s)
{
	if (slice_eq_str(s, "."))
		return true;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_is_alnum((unsigned char)s.data[i]) &&
		    strchr("._-", s.data[i]) == NULL)
			return false;
	}
	return s.len > 0 && s.data[0] != '.' && s.data[s.len - 1] != '.';
}

static bool
is_part_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '-')
			return false;
	}
	return s.len > 0 && s.len <= 64;
}

/* The next word or "quoted" of a tag; an unquoted one ends at a space. */
static bool
next_word(struct slice *s, struct slice *out, bool *quoted)
{
	*s = slice_trim(*s);
	*quoted = slice_starts(*s, "\"");
	if (*quoted) {
		struct slice rest = slice_cut(slice_skip(*s, 1), '"', out);

		if (rest.data == NULL)
			return false;
		*s = rest;
	} else {
		*s = slice_cut(*s, ' ', out);
	}
	return out->len > 0;
}

/* t "key" n=count a=b.c */
static int
add_translation(struct compiler *c, struct slice rest)
{
	struct template_arg args[TEMPLATE_ARGS_MAX];
	struct template_node *node;
	struct slice key, word;
	size_t count = 0;
	bool quoted;

	if (!next_word(&rest, &key, &quoted) || !quoted)
		return wrong(c, "t needs a \"key\"");
	while (slice_trim(rest).len > 0) {
		struct template_arg *a = &args[count];

		if (count++ >= TEMPLATE_ARGS_MAX ||
		    !next_word(&rest, &word, &quoted) || quoted)
			return wrong(c, "t: too many or odd arguments");
		a->path = slice_cut(word, '=', &a->name);
		if (!is_path(a->path) || !is_part_name(a->name))
			return wrong(c, "t: expected name=value");
	}
	node = add_node(c, OP_TRANSLATE, key);
	node->args = pool_memdup(&c->t->pool, args, count * sizeof(args[0]));
	node->arg_count = count;
	return 0;
}

/* date x "short", size x, num x, icon "name" */
static int
add_function(struct compiler *c, struct slice name, struct slice rest)
{
	static const struct {
		const char *name;
		enum template_op op;
	} functions[] = { { "date", OP_DATE }, { "size", OP_SIZE },
		{ "num", OP_NUMBER }, { "icon", OP_ICON } };
	struct slice word, how = { 0 };
	bool quoted;

	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		enum template_op op = functions[i].op;

		if (!slice_eq_str(name, functions[i].name))
			continue;
		if (!next_word(&rest, &word, &quoted) ||
		    quoted != (op == OP_ICON))
			return wrong(c, "this function needs a value");
		if (op == OP_ICON ? !is_part_name(word) : !is_path(word))
			return wrong(c, "not a name");
		if (op == OP_DATE &&
		    (!next_word(&rest, &how, &quoted) || !quoted ||
			(!slice_eq_str(how, "short") &&
			    !slice_eq_str(how, "long") &&
			    !slice_eq_str(how, "day") &&
			    !slice_eq_str(how, "exact") &&
			    !slice_eq_str(how, "time"))))
			return wrong(c,
			    "date is \"short\", \"long\", \"day\", \"time\" "
			    "or \"exact\"");
		if (slice_trim(rest).len > 0)
			return wrong(c, "too many arguments");
		add_node(c, op, word)->how = how;
		return 0;
	}
	return wrong(c, "no such function");
}

static int
open_section(struct compiler *c, struct slice name, bool inverted)
{
	if (!is_path(name))
		return wrong(c, "not a name");
	if (c->depth >= TEMPLATE_DEPTH_MAX)
		return wrong(c, "sections are too deep");
	c->open[c->depth++] = c->t->count;
	(void)add_node(c, inverted ? OP_INVERTED : OP_SECTION, name);
	return 0;
}

static int
close_section(struct compiler *c, struct slice name)
{
	struct template_node *begin;
	size_t from;

	if (c->depth == 0)
		return wrong(c, "nothing to close here");
	from = c->open[--c->depth];
	add_node(c, OP_END, name)->jump = from;
	begin = &c->t->nodes[from];
	begin->jump = c->t->count - 1;
	return slice_eq(begin->text, name)
	    ? 0
	    : wrong(c, "this closes another section than was opened");
}

/* A value that is all of an href, src or action. */
static bool
is_whole_url(const struct compiler *c, const char *end)
{
	static const char *const names[] = { " href=\"", " src=\"",
		" action=\"", " formaction=\"" };
	struct slice before =
	    slice_of(c->t->source, (size_t)(c->at - c->t->source));

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_iends(before, names[i]))
			return *end == '"';
	}
	return false;
}

/* What stands between {{ and }}; `end` is behind the latter. */
static int
add_tag(struct compiler *c, struct slice tag, const char *end)
{
	struct slice word, rest = slice_trim(tag);
	struct template_node *node;
	char first = rest.len > 0 ? rest.data[0] : '\0';

	if (first == '!')
		return 0;
	if (first == '{' || first == '&')
		return wrong(c, "there is no unescaped form");
	word = slice_trim(slice_skip(rest, 1));
	if (first == '#' || first == '^')
		return open_section(c, word, first == '^');
	if (first == '/')
		return close_section(c, word);
	if (first == '>') {
		(void)add_node(c, OP_PART, word);
		return is_part_name(word) ? 0 : wrong(c, "not a part's name");
	}
	if (slice_eq_str(rest, "csrf")) {
		(void)add_node(c, OP_CSRF, rest);
		return 0;
	}
	if (slice_chr(rest, ' ') > 0) {
		rest = slice_cut(rest, ' ', &word);
		return slice_eq_str(word, "t") ? add_translation(c, rest)
					       : add_function(c, word, rest);
	}
	rest = slice_cut(rest, '|', &word);
	if (!is_path(word) || (rest.data != NULL && !slice_eq_str(rest, "url")))
		return wrong(c, "not a name");
	node = add_node(c, OP_VALUE, word);
	node->url = rest.data != NULL;
	node->whole_url = !node->url && is_whole_url(c, end);
	return 0;
}

static int
compile(struct compiler *c, struct slice rest)
{
	while (rest.len > 0) {
		const char *begin = memmem(rest.data, rest.len, "{{", 2);
		const char *end;
		size_t len;

		c->at = begin != NULL ? begin : rest.data + rest.len;
		if (c->t->count >= TEMPLATE_NODES_MAX)
			return wrong(c, "too many tags");
		if (c->at > rest.data)
			(void)add_node(c, OP_TEXT,
			    slice_of(rest.data, (size_t)(c->at - rest.data)));
		if (begin == NULL)
			break;
		rest = slice_skip(rest, (size_t)(begin - rest.data) + 2);
		end = memmem(rest.data, rest.len, "}}", 2);
		if (end == NULL)
			return wrong(c, "{{ without }}");
		len = (size_t)(end - rest.data);
		if (add_tag(c, slice_of(rest.data, len), end + 2) != 0)
			return -1;
		rest = slice_skip(rest, len + 2);
	}
	return c->depth == 0 ? 0 : wrong(c, "a section is not closed");
}

int
template_compile(
    const char *name, struct slice text, struct template **out, struct err *e)
{
	struct compiler c = { .e = e };

	if (text.len > TEMPLATE_FILE_MAX)
		return err_set(e, ERR_SYNTAX, "%s:1: too large", name);
	c.t = mem_zalloc(sizeof(*c.t));
	c.t->name = mem_strdup(name);
	c.t->source = mem_strndup(text.data, text.len);
	c.t->refs = 1;
	c.at = c.t->source;
	if (memchr(text.data, '\0', text.len) != NULL || !utf8_is_valid(text)) {
		template_free(c.t);
		return err_set(e, ERR_SYNTAX, "%s:1: not UTF-8 text", name);
	}
	if (compile(&c, slice_of(c.t->source, text.len)) != 0) {
		template_free(c.t);
		return -1;
	}
	*out = c.t;
	return 0;
}

void
template_free(struct template *t)
{
	if (t == NULL)
		return;
	free(t->name);
	free(t->source);
	free(t->nodes);
	pool_release(&t->pool);
	free(t);
}
