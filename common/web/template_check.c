/*
 * What else a template must not do, beyond the language: whatever the content
 * policy of pages would refuse, values outside of quotes, and forms without
 * their token.  A scanner of tags, not an HTML parser: it is for owners'
 * mistakes, the policy is what protects.  Pure; any thread.
 */
#include "web/template_internal.h"

struct scan {
	const char *name;
	struct slice text;
	size_t at;
	bool in_form; /* a POST form, whose token was not seen yet */
	struct err *e;
};

static int
wrong(const struct scan *s, const char *what)
{
	unsigned line = 1;

	for (size_t i = 0; i < s->at; i++)
		line += s->text.data[i] == '\n';
	return err_set(s->e, ERR_SYNTAX, "%s:%u: %s", s->name, line, what);
}

static bool
looking_at(const struct scan *s, const char *what)
{
	return slice_istarts(slice_skip(s->text, s->at), what);
}

/* Over a {{tag}}: false if there is none here. */
static bool
skip_tag(struct scan *s)
{
	struct slice rest = slice_skip(s->text, s->at);
	const char *end;

	if (!slice_starts(rest, "{{"))
		return false;
	if (slice_eq_str(
		slice_trim(slice_of(rest.data + 2, rest.len >= 8 ? 4 : 0)),
		"csrf"))
		s->in_form = false;
	end = memmem(rest.data, rest.len, "}}", 2);
	s->at = end != NULL ? (size_t)(end - s->text.data) + 2 : s->text.len;
	return true;
}

/* Read up to a character of `stop`, tags of the language apart. */
static struct slice
read_until(struct scan *s, const char *stop)
{
	size_t from = s->at;

	while (
	    s->at < s->text.len && strchr(stop, s->text.data[s->at]) == NULL) {
		if (!skip_tag(s))
			s->at++;
	}
	return slice_of(s->text.data + from, s->at - from);
}

static int
check_attribute(struct scan *s, bool *is_src, bool *is_post)
{
	struct slice name = read_until(s, " \t\r\n=>/");
	struct slice value;
	char quote[2] = "";

	*is_src |= slice_ieq_str(name, "src");
	if (name.len > 2 && slice_istarts(name, "on"))
		return wrong(s, "on...= attribute");
	if (slice_ieq_str(name, "style"))
		return wrong(s, "style= attribute");
	if (!looking_at(s, "="))
		return 0;
	s->at++;
	quote[0] = s->at < s->text.len ? s->text.data[s->at] : '\0';
	if (quote[0] != '"' && quote[0] != '\'')
		return wrong(s, "attribute value without quotes");
	s->at++;
	value = read_until(s, quote);
	s->at++;
	*is_post |=
	    slice_ieq_str(name, "method") && slice_ieq_str(value, "post");
	return 0;
}

/* From "<name" to its ">". */
static int
check_element(struct scan *s)
{
	bool is_script = looking_at(s, "<script");
	bool is_style = looking_at(s, "<style");
	bool is_form = looking_at(s, "<form");
	bool is_src = false, is_post = false;

	s->at++;
	(void)read_until(s, " \t\r\n>/");
	while (s->at < s->text.len && !looking_at(s, ">")) {
		if (strchr(" \t\r\n/", s->text.data[s->at]) != NULL) {
			s->at++;
		} else if (!skip_tag(s) &&
		    check_attribute(s, &is_src, &is_post) != 0) {
			return -1;
		}
	}
	s->at++;
	if (is_style)
		return wrong(s, "style element");
	if (is_script && (!is_src || !looking_at(s, "</script>")))
		return wrong(s, "script body");
	if (is_form && s->in_form)
		return wrong(s, "the form before has no {{csrf}}");
	if (is_form)
		s->in_form = is_post;
	return 0;
}

int
template_check_html(const char *name, struct slice text, struct err *e)
{
	struct scan s = { .name = name, .text = text, .e = e };

	while (s.at < text.len) {
		(void)read_until(&s, "<");
		if (s.at >= text.len)
			break;
		if (looking_at(&s, "</form") && s.in_form)
			return wrong(&s, "POST form without {{csrf}}");
		if (looking_at(&s, "<!--")) {
			(void)read_until(&s, ">");
		} else if (s.at + 1 < text.len &&
		    ascii_is_alpha((unsigned char)text.data[s.at + 1])) {
			if (check_element(&s) != 0)
				return -1;
		} else {
			s.at++;
		}
	}
	return s.in_form ? wrong(&s, "POST form without {{csrf}}") : 0;
}
