/*
 * What all pages of the web programs have in common; see page.h.
 */
#include "web/page.h"

#include <string.h>

#include "base/log.h"
#include "base/num.h"

enum {
	HUES = 8
};

/* Asked for once a request, or twice: somebody may sign in meanwhile. */
static const struct page_look *
look_of(struct web_request *r, json_t *values)
{
	const struct page_look start = { .brand = "",
		.domain = "",
		.zone = "",
		.lang = "",
		.theme = "auto",
		.density = "cozy",
		.keys = "yes" };
	struct page_look *look = r->look;

	if (look != NULL && values == NULL && r->look_session == r->session)
		return look;
	look = pool_alloc(&r->pool, sizeof(*look));
	*look = start;
	r->app->look(r, look, values);
	r->look = look;
	r->look_session = r->session;
	return look;
}

static const char *
lang_of(const struct web_request *r, const struct page_look *look)
{
	if (template_has_lang(look->templates, look->lang))
		return look->lang;
	return template_choose_lang(look->templates, r->accept_language);
}

const char *
page_text(struct web_request *r, const char *key)
{
	return page_count_text(r, key, -1);
}

const char *
page_count_text(struct web_request *r, const char *key, int64_t n)
{
	const struct page_look *look = look_of(r, NULL);
	const char *text;
	struct buf out;

	buf_init(&out, 4096);
	template_text(look->templates, lang_of(r, look), key, n, &out);
	text = pool_strndup(&r->pool, out.data, out.len);
	buf_release(&out);
	return text;
}

const char *
person_name(const char *name, const char *address)
{
	return name[0] == '\0' || strchr(name, '@') != NULL ? address : name;
}

int
person_hue(const char *address)
{
	unsigned sum = 0;

	for (const char *p = address; *p != '\0'; p++)
		sum = sum * 31 + (unsigned char)*p;
	return (int)(sum % HUES);
}

/* The first character of each of the first two words. */
json_t *
person_initials(const char *name, const char *address)
{
	struct slice rest = slice_str(name[0] != '\0' ? name : address), word;
	char out[16];
	size_t len = 0;

	for (int i = 0; i < 2 && rest.data != NULL;) {
		size_t n = 1;

		rest = slice_cut(rest, ' ', &word);
		if (word.len == 0 ||
		    ((unsigned char)word.data[0] < 0x80 &&
			!ascii_is_alnum((unsigned char)word.data[0])))
			continue;
		while (n < word.len && n < 4 &&
		    ((unsigned char)word.data[n] & 0xc0) == 0x80)
			n++;
		memcpy(out + len, word.data, n);
		if (out[len] >= 'a' && out[len] <= 'z')
			out[len] = (char)(out[len] - 'a' + 'A');
		len += n;
		i++;
	}
	out[len] = '\0';
	return json_string(out);
}

static void
add_common(const struct page_look *look, const char *title, json_t *values)
{
	json_object_set_new(values, "title", json_string(title));
	json_object_set_new(values, "theme", json_string(look->theme));
	json_object_set_new(values, "density", json_string(look->density));
	json_object_set_new(values, "keys", json_string(look->keys));
	json_object_set_new(values, "brand",
	    json_pack("{ss,ss*,ss*}", "name", look->brand, "css", look->css,
		"logo", look->logo));
	if (look->address == NULL)
		return;
	json_object_set_new(values, "user",
	    json_pack("{ss,ss,so,si}", "name",
		look->name[0] != '\0' ? look->name : look->address, "address",
		look->address, "initials",
		person_initials(look->name, look->address), "hue",
		person_hue(look->address)));
}

void
page_send(struct web_request *r, struct web_response *w, const char *name,
    const char *title, json_t *values)
{
	const struct page_look *look = look_of(r, values);
	struct template_env env = {
		.domain = look->domain,
		.lang = lang_of(r, look),
		.zone = look->zone,
		.base = r->base,
		.static_url = web_static_url(r),
		.csrf_secret = r->csrf_secret,
	};
	struct err e;

	add_common(look, title, values);
	if (template_render(
		look->templates, name, values, &env, &w->body, &e) != 0) {
		log_error("page %s: %s", name, e.text);
		w->status = 500;
	}
	json_decref(values);
}

void
page_error(struct web_request *r, struct web_response *w, const char *text)
{
	page_send(r, w, "error", page_text(r, "error.title"),
	    json_pack("{ss}", "text", text));
}
