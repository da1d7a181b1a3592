/*
 * The table of webmail's pages, and what all pages have in common.
 */
#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/webmail.h"

enum {
	BODY_MAX = 4 * 1024 * 1024,
	FORM_MAX = 3 * 1024 * 1024,
	HUES = 8,
};

static const char *
lang_of(const struct web_request *r)
{
	return template_choose_lang(
	    webmail_of(r)->templates, r->accept_language);
}

const char *
page_text(struct web_request *r, const char *key)
{
	const char *text;
	struct buf out;

	buf_init(&out, 4096);
	template_text(webmail_of(r)->templates, lang_of(r), key, -1, &out);
	text = pool_strndup(&r->pool, out.data, out.len);
	buf_release(&out);
	return text;
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

/* The server's name as its pages say it. */
static void
add_common(struct web_request *r, json_t *values, const char *title)
{
	struct settings *all = directory_settings(webmail_of(r)->directory);
	const struct session *s = r->session;
	const char *brand =
	    s != NULL ? s->domain : settings_text(all, SET_HOSTNAME);

	json_object_set_new(values, "title", json_string(title));
	json_object_set_new(values, "brand", json_pack("{ss}", "name", brand));
	settings_free(all);
	if (s == NULL)
		return;
	json_object_set_new(values, "user",
	    json_pack("{ss,ss,so,si}", "name",
		s->name[0] != '\0' ? s->name : s->address, "address",
		s->address, "initials", person_initials(s->name, s->address),
		"hue", person_hue(s->address)));
}

void
page_send(struct web_request *r, struct web_response *w, const char *name,
    const char *title, json_t *values)
{
	const struct session *s = r->session;
	struct template_env env = {
		.domain = s != NULL ? s->domain : "",
		.lang = lang_of(r),
		.zone = "",
		.base = r->base,
		.static_url = web_static_url(r),
		.csrf_secret = r->csrf_secret,
	};
	struct err e;

	add_common(r, values, title);
	if (template_render(webmail_of(r)->templates, name, values, &env,
		&w->body, &e) != 0) {
		log_error("page %s: %s", name, e.text);
		w->status = 500;
	}
	json_decref(values);
}

static void
error_page(struct web_request *r, struct web_response *w, const char *text)
{
	page_send(r, w, "error", page_text(r, "error.title"),
	    json_pack("{ss}", "text", text));
}

/* clang-format off */
static const struct web_route routes[] = {
	{ WEB_GET,  "/",             WEB_SESSION, list_root },
	{ WEB_GET,  "/login",        WEB_OPEN,    login_page },
	{ WEB_POST, "/login",        WEB_OPEN,    login_post },
	{ WEB_POST, "/logout",       WEB_SESSION, logout_post },
	{ WEB_GET,  "/m/{}",         WEB_SESSION, list_page },
	{ WEB_GET,  "/v/{}/{}",      WEB_SESSION, message_page },
	{ WEB_GET,  "/v/{}/{}/body", WEB_SESSION, message_body },
	{ WEB_GET,  "/v/{}/{}/part/{}", WEB_SESSION, message_part },
	{ WEB_GET,  "/compose",      WEB_SESSION, compose_page },
	{ WEB_POST, "/compose",      WEB_SESSION, compose_post },
};

/* clang-format on */

const struct web_app webmail_app = {
	.name = "webmail",
	.prefix = "/webmail",
	.routes = routes,
	.route_count = ARRAY_LEN(routes),
	.assets = &webmail_assets,
	.body_max = BODY_MAX,
	.form_max = FORM_MAX,
	.find_session = login_find_session,
	.sign_in = login_needed,
	.error_page = error_page,
};
