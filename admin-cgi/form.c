/*
 * Forms as tables; see admin.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/num.h"

#include "admin-cgi/admin.h"

/* "access.pop3" of an object; NULL = not there. */
static const json_t *
find_value(const json_t *object, const char *name)
{
	struct slice rest = slice_str(name), key;
	char text[64];

	while (rest.data != NULL && object != NULL) {
		rest = slice_cut(rest, '.', &key);
		if (!slice_copy(key, text, sizeof(text)))
			return NULL;
		object = json_object_get(object, text);
	}
	return object;
}

/* Was it in the form, even if empty? */
static bool
was_posted(const struct web_request *r, const struct form_field *f)
{
	const char *name;

	if (f->type != FORM_SWITCH && f->type != FORM_LINES)
		return web_form(r, f->name) != NULL;
	for (size_t i = 0; (name = web_form_next(r, "has", &i)) != NULL;)
		if (strcmp(name, f->name) == 0)
			return true;
	return false;
}

/* The largest unit that divides it: what num_parse_size() reads back. */
static const char *
size_text(struct web_request *r, json_int_t n)
{
	static const char units[] = "\0KMGT";
	size_t u = 0;

	while (n != 0 && n % 1024 == 0 && u < 4) {
		n /= 1024;
		u++;
	}
	return pool_printf(
	    &r->pool, "%lld%.1s", (long long)n, u > 0 ? &units[u] : "");
}

static json_t *
lines_json(const json_t *list)
{
	struct buf b;
	json_t *one, *out;
	size_t i;

	buf_init(&b, 256 * 1024);
	json_array_foreach(list, i, one)
		buf_addf(&b, "%s%s", i > 0 ? "\n" : "", json_string_value(one));
	out = json_stringn(b.data ? b.data : "", b.len);
	buf_release(&b);
	return out;
}

static json_t *
shown_value(
    struct web_request *r, const struct form_field *f, const json_t *object)
{
	const json_t *value = find_value(object, f->name);

	if (r->method == WEB_POST && was_posted(r, f)) {
		if (f->type == FORM_SWITCH)
			return json_boolean(web_form(r, f->name) != NULL);
		if (f->type != FORM_SECRET)
			return json_string(
			    web_form(r, f->name) ? web_form(r, f->name) : "");
	}
	if (f->type == FORM_SECRET || value == NULL)
		return json_string("");
	if (f->type == FORM_LINES)
		return lines_json(value);
	if (f->type == FORM_SIZE)
		return json_string(size_text(r, json_integer_value(value)));
	return json_deep_copy(value);
}

/* The area's own text if it has one; NULL if there is none at all. */
static json_t *
text_of(struct web_request *r, const struct form *f, const char *name,
    const char *suffix)
{
	const char *key = pool_printf(&r->pool, "f.%s.%s%s",
	    f->area != NULL ? f->area : "", name, suffix);
	const char *text = f->area != NULL ? page_text(r, key) : key;

	if (strcmp(text, key) != 0)
		return json_string(text);
	key = pool_printf(&r->pool, "f.%s%s", name, suffix);
	text = page_text(r, key);
	return strcmp(text, key) != 0 ? json_string(text) : NULL;
}

static void
put_type(const struct form_field *f, json_t *out)
{
	static const char *const names[] = {
		[FORM_TEXT] = "text",
		[FORM_ZONE] = "text",
		[FORM_NUMBER] = "number",
		[FORM_SIZE] = "text",
		[FORM_SWITCH] = "switch",
		[FORM_LINES] = "lines",
		[FORM_SECRET] = "secret",
	};

	json_object_set_new(out, names[f->type], json_true());
	json_object_set_new(out, "input",
	    json_boolean(f->type != FORM_SWITCH && f->type != FORM_LINES));
}

static const char *
error_of(const struct problem *p, const char *name)
{
	for (size_t i = 0; i < p->wrong_count; i++)
		if (strcmp(p->wrong[i].field, name) == 0)
			return p->wrong[i].text;
	return NULL;
}

json_t *
form_show(struct web_request *r, const struct form *f, const json_t *object,
    const struct problem *p)
{
	json_t *all = json_object();
	unsigned roles = session_of(r) != NULL ? admin_roles(r) : 0;

	for (size_t i = 0; i < f->count; i++) {
		const struct form_field *field = &f->fields[i];
		char *key = pool_strdup(&r->pool, field->name);
		json_t *one;

		for (char *c = key; *c != '\0'; c++)
			if (*c == '.')
				*c = '_';
		one = json_pack("{ss,ss,so,so*,so*,ss*,sb}", "id", key, "name",
		    field->name, "value", shown_value(r, field, object),
		    "label", text_of(r, f, field->name, ""), "help",
		    text_of(r, f, field->name, ".help"), "error",
		    error_of(p, field->name), "fixed",
		    field->roles != 0 && (field->roles & roles) == 0);
		put_type(field, one);
		json_object_set_new(all, key, one);
	}
	return all;
}

static json_t *
read_lines(const char *text)
{
	struct slice rest = slice_str(text), line;
	json_t *out = json_array();

	while (rest.data != NULL) {
		rest = slice_cut(rest, '\n', &line);
		line = slice_trim(line);
		if (line.len > 0)
			json_array_append_new(
			    out, json_stringn(line.data, line.len));
	}
	return out;
}

/* accountd does not know which there are. */
static void
check_zone(struct web_request *r, const struct form_field *f, const char *text,
    struct problem *p)
{
	if (text[0] != '\0' && strcmp(text, "UTC") != 0 &&
	    !template_has_zone(text))
		problem_add(p, f->name, page_text(r, "form.not_zone"));
}

/* accountd would refuse it as well; here all are told apart by kind. */
static void
check_number(struct web_request *r, const struct form_field *f,
    const char *text, struct problem *p)
{
	struct slice s = slice_trim(slice_str(text));
	uint64_t n;

	if (f->type == FORM_NUMBER ? num_parse(s, 1000000000, &n)
				   : num_parse_size(s, INT64_C(1) << 50, &n))
		return;
	problem_add(p, f->name,
	    page_text(r,
		f->type == FORM_NUMBER ? "form.not_number" : "form.not_size"));
}

json_t *
form_read(struct web_request *r, const struct form *f, struct problem *p)
{
	json_t *set = json_object();
	unsigned roles = admin_roles(r);

	for (size_t i = 0; i < f->count; i++) {
		const struct form_field *field = &f->fields[i];
		const char *text = web_form(r, field->name);

		if (!was_posted(r, field) ||
		    (field->roles != 0 && (field->roles & roles) == 0))
			continue;
		if (field->type == FORM_NUMBER || field->type == FORM_SIZE)
			check_number(r, field, text, p);
		if (field->type == FORM_ZONE)
			check_zone(r, field, text, p);
		if (field->type == FORM_SWITCH)
			json_object_set_new(
			    set, field->name, json_boolean(text != NULL));
		else if (field->type == FORM_LINES)
			json_object_set_new(set, field->name,
			    read_lines(text != NULL ? text : ""));
		else if (field->type != FORM_SECRET || text[0] != '\0')
			json_object_set_new(
			    set, field->name, json_string(text));
	}
	return set;
}

void
form_problem(struct web_request *r, struct web_response *w,
    const struct problem *p, json_t *values)
{
	if (p->status == 0)
		return;
	w->status = p->status;
	json_object_set_new(values, "problem",
	    json_string(
		p->text != NULL ? p->text : page_text(r, "form.one_field")));
}
