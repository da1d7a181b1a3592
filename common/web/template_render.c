/*
 * A compiled template and JSON values to a page.  Everything printed is
 * escaped here, in one place; the exception is a value made by
 * template_html(), an object whose one key is a secret of the process that no
 * outside data can know.  Any thread.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/id.h"
#include "base/num.h"
#include "web/template_internal.h"

enum {
	NUMBER_SIZE = 32,
	VALUE_MAX = 1024 * 1024,
	STEPS_MAX = 5000000,
};

struct render {
	struct template_set *set;
	const struct template_env *env;
	struct buf *out;
	struct err *e;
	const json_t *stack[2 * TEMPLATE_DEPTH_MAX + 1];
	size_t depth;
	unsigned parts; /* nested */
	unsigned steps; /* nodes gone through */
};

static char html_key[48];

static void
make_html_key(void)
{
	token_new(html_key, sizeof(html_key), 32);
}

static const char *
get_html_key(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, make_html_key);
	return html_key;
}

json_t *
template_html(struct slice html)
{
	return json_pack(
	    "{ss%}", get_html_key(), html.len > 0 ? html.data : "", html.len);
}

/* The HTML of a template_html(), or NULL. */
static const json_t *
template_html_of(const json_t *value)
{
	return json_is_object(value) ? json_object_get(value, get_html_key())
				     : NULL;
}

/* --- looking up -------------------------------------------------------------------- */

static const json_t *
member(const json_t *object, struct slice name)
{
	char key[128];

	if (!json_is_object(object) || !slice_copy(name, key, sizeof(key)))
		return NULL;
	return json_object_get(object, key);
}

/* The first name is sought from the inside out, the others below it. */
static const json_t *
find(const struct render *r, struct slice path)
{
	const json_t *value = NULL;
	struct slice name;

	if (slice_eq_str(path, "."))
		return r->stack[r->depth - 1];
	path = slice_cut(path, '.', &name);
	for (size_t i = r->depth; i > 0 && value == NULL; i--)
		value = member(r->stack[i - 1], name);
	while (value != NULL && path.data != NULL) {
		path = slice_cut(path, '.', &name);
		value = member(value, name);
	}
	return value;
}

static bool
is_true(const json_t *value)
{
	const json_t *html = template_html_of(value);

	if (html != NULL)
		value = html;
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_array(value))
		return json_array_size(value) > 0;
	if (json_is_integer(value))
		return json_integer_value(value) != 0;
	return json_is_true(value) || json_is_real(value) ||
	    json_is_object(value);
}

/* Text of a value; numbers go to `room`. */
static struct slice
text_of(const json_t *value, char room[NUMBER_SIZE])
{
	if (json_is_string(value))
		return slice_of(
		    json_string_value(value), json_string_length(value));
	if (json_is_integer(value)) {
		int n = snprintf(room, NUMBER_SIZE, "%" JSON_INTEGER_FORMAT,
		    json_integer_value(value));
		return slice_of(room, (size_t)n);
	}
	if (json_is_real(value)) {
		int n =
		    snprintf(room, NUMBER_SIZE, "%.6g", json_real_value(value));
		return slice_of(room, (size_t)n);
	}
	return slice_of("", 0);
}

static int64_t
integer_of(const json_t *value)
{
	return json_is_integer(value) ? json_integer_value(value) : 0;
}

/* Names every page has, unless the values have their own. */
static struct slice
global(const struct render *r, struct slice name)
{
	if (slice_eq_str(name, "base"))
		return slice_str(r->env->base);
	if (slice_eq_str(name, "static"))
		return slice_str(r->env->static_url);
	if (slice_eq_str(name, "lang"))
		return slice_str(r->env->lang);
	if (slice_eq_str(name, "dir"))
		return slice_str(template_is_rtl(r->env->lang) ? "rtl" : "ltr");
	return slice_of("", 0);
}

/* --- printing -------------------------------------------------------------------------- */

static void
print_value(struct render *r, const struct template_node *node)
{
	const json_t *value = find(r, node->text);
	const json_t *html = template_html_of(value);
	char room[NUMBER_SIZE];
	struct slice text;

	if (html != NULL && !node->url && !node->whole_url) {
		buf_addstr(r->out, json_string_value(html));
		return;
	}
	text = value != NULL ? text_of(value, room) : global(r, node->text);
	if (node->url)
		web_escape_url(text, r->out);
	else if (node->whole_url && text.len > 0 && !web_url_is_safe(text) &&
	    text.data[0] != '?' && text.data[0] != '#')
		buf_addc(r->out, '#');
	else
		web_escape_html(text, r->out);
}

/* The text with {name} filled in; what is not an argument stays. */
static void
fill_in(struct render *r, const struct template_node *node, struct slice text,
    struct buf *out)
{
	char room[NUMBER_SIZE];

	while (text.len > 0) {
		const struct template_arg *arg = NULL;
		ptrdiff_t begin = slice_chr(text, '{');
		struct slice name;

		if (begin < 0)
			break;
		buf_add(out, text.data, (size_t)begin);
		text = slice_skip(text, (size_t)begin);
		(void)slice_cut(slice_skip(text, 1), '}', &name);
		for (size_t i = 0; i < node->arg_count; i++) {
			if (slice_eq(node->args[i].name, name))
				arg = &node->args[i];
		}
		if (arg == NULL) {
			buf_addc(out, '{');
			text = slice_skip(text, 1);
			continue;
		}
		buf_addslice(out, text_of(find(r, arg->path), room));
		text = slice_skip(text, name.len + 2);
	}
	buf_addslice(out, text);
}

static void
print_translation(struct render *r, const struct template_node *node)
{
	struct buf text, filled;
	int64_t n = -1;

	for (size_t i = 0; i < node->arg_count; i++) {
		if (slice_eq_str(node->args[i].name, "n"))
			n = integer_of(find(r, node->args[i].path));
	}
	buf_init(&text, VALUE_MAX);
	buf_init(&filled, VALUE_MAX);
	lang_text(template_langs(r->set), r->env->lang, node->text, n, &text);
	fill_in(r, node, buf_slice(&text), &filled);
	web_escape_html(buf_slice(&filled), r->out);
	buf_release(&text);
	buf_release(&filled);
}

static void
print_csrf(struct render *r)
{
	if (r->env->csrf_secret == NULL)
		return;
	buf_addstr(r->out, "<input type=\"hidden\" name=\"csrf\" value=\"");
	web_csrf_token(r->env->csrf_secret, r->out);
	buf_addstr(r->out, "\">");
}

static void
print_icon(struct render *r, const struct template_node *node)
{
	buf_addstr(
	    r->out, "<svg class=\"i\" aria-hidden=\"true\"><use href=\"");
	web_escape_html(slice_str(r->env->static_url), r->out);
	buf_addstr(r->out, "/icons.svg#i-");
	buf_addslice(r->out, node->text);
	buf_addstr(r->out, "\"/></svg>");
}

/* Number and unit from left to right, also between words of the other way. */
static void
print_size(struct render *r, int64_t size)
{
	bool apart = template_is_rtl(r->env->lang);
	char text[NUM_SIZE_TEXT];

	num_format_size(size < 0 ? 0 : (uint64_t)size, text);
	buf_addf(r->out, apart ? "\xe2\x81\xa6%s\xe2\x81\xa9" : "%s", text);
}

/* Groups of three behind a thin space, which every language reads. */
static void
print_number(struct buf *out, int64_t number)
{
	char digits[NUMBER_SIZE];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, number);

	for (int i = 0; i < len; i++) {
		if (i > 0 && digits[i - 1] != '-' && (len - i) % 3 == 0)
			buf_addstr(out, "\xe2\x80\xaf");
		buf_addc(out, digits[i]);
	}
}

static void
print_leaf(struct render *r, const struct template_node *node)
{
	switch (node->op) {
	case OP_TEXT:
		buf_addslice(r->out, node->text);
		break;
	case OP_VALUE:
		print_value(r, node);
		break;
	case OP_TRANSLATE:
		print_translation(r, node);
		break;
	case OP_CSRF:
		print_csrf(r);
		break;
	case OP_ICON:
		print_icon(r, node);
		break;
	case OP_DATE:
		if (json_is_integer(find(r, node->text)))
			template_date(template_langs(r->set), r->env,
			    integer_of(find(r, node->text)), node->how, r->out);
		break;
	case OP_SIZE:
		print_size(r, integer_of(find(r, node->text)));
		break;
	case OP_NUMBER:
		print_number(r->out, integer_of(find(r, node->text)));
		break;
	case OP_SECTION:
	case OP_INVERTED:
	case OP_END:
	case OP_PART:
		break;
	}
}

/* --- going through ----------------------------------------------------------------------- */

static int run(
    struct render *r, const struct template *t, size_t from, size_t end);

static int
run_with(struct render *r, const struct template *t, size_t from, size_t end,
    const json_t *item)
{
	int rc;

	if (r->depth >= ARRAY_LEN(r->stack))
		return err_set(r->e, ERR_TEMP, "%s: too deep", t->name);
	r->stack[r->depth++] = item;
	rc = run(r, t, from, end);
	r->depth--;
	return rc;
}

static int
run_section(struct render *r, const struct template *t, size_t at)
{
	const struct template_node *node = &t->nodes[at];
	const json_t *value = find(r, node->text);
	bool truth =
	    value != NULL ? is_true(value) : global(r, node->text).len > 0;

	if (node->op == OP_INVERTED)
		return truth ? 0 : run(r, t, at + 1, node->jump);
	if (!truth)
		return 0;
	if (!json_is_array(value))
		return run_with(r, t, at + 1, node->jump, value);
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (run_with(r, t, at + 1, node->jump,
			json_array_get(value, i)) != 0)
			return -1;
	}
	return 0;
}

static int
run_part(struct render *r, const char *name)
{
	struct template *part;
	int rc;

	if (r->parts >= TEMPLATE_DEPTH_MAX)
		return err_set(r->e, ERR_TEMP, "%s: too deep", name);
	part = template_get(r->set, r->env->domain, r->env->lang, name);
	if (part == NULL)
		return err_set(r->e, ERR_PERM, "%s: no such template", name);
	r->parts++;
	rc = run(r, part, 0, part->count);
	r->parts--;
	template_put(r->set, part);
	return rc;
}

static int
run(struct render *r, const struct template *t, size_t from, size_t end)
{
	char name[80];
	int rc = 0;

	for (size_t i = from; i < end && rc == 0; i++) {
		const struct template_node *node = &t->nodes[i];

		if (node->op == OP_SECTION || node->op == OP_INVERTED) {
			rc = run_section(r, t, i);
			i = node->jump;
		} else if (node->op == OP_PART) {
			rc = slice_copy(node->text, name, sizeof(name))
			    ? run_part(r, name)
			    : -1;
		} else {
			print_leaf(r, node);
		}
		/* parts that call each other many times end here */
		if (rc == 0 &&
		    (buf_overflowed(r->out) || ++r->steps > STEPS_MAX))
			rc = err_set(
			    r->e, ERR_TEMP, "%s: page too large", t->name);
	}
	return rc;
}

int
template_render(struct template_set *s, const char *name, const json_t *values,
    const struct template_env *env, struct buf *out, struct err *e)
{
	struct render r = { .set = s, .env = env, .out = out, .e = e };
	size_t before = out->len;
	int rc;

	r.stack[r.depth++] = values;
	rc = run_part(&r, name);
	if (rc != 0)
		buf_truncate(out, before);
	return rc;
}
