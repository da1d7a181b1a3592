/*
 * The field at the top of every page: users, domains, aliases, lists and
 * settings that fit, each a few, and the way to a message's trace.
 *
 * Nothing of it reads logs: an id or a Message-ID leads to the trace, which
 * does; for an address the way there is offered.
 */
#include <string.h>

#include "base/id.h"

#include "admin-cgi/admin.h"
#include "admin-cgi/ops.h"

enum {
	HITS = 6,         /* of each kind */
	DOMAINS_MAX = 20, /* of a domain's administrator, looked through */
	WORDS_MAX = 8,
};

/* What accountd lists: its verb, its page here, where its rows lead. */
struct kind {
	const char *name; /* title.<name> */
	const char *verb, *key, *about, *path;
	bool by_domain; /* all of the server: for its administrators only */
};

/* clang-format off */
static const struct kind kinds[] = {
	{ "users",   "user list",   "address", "name",         "/u/", true },
	{ "domains", "domain list", "name",    "alias_of",     "/d/", false },
	{ "aliases", "alias list",  "address", "targets",      "/a/", true },
	{ "lists",   "list list",   "address", "name",         "/l/", false },
};

/* clang-format on */

static void
add_hit(json_t *hits, const char *name, const char *about, const char *path)
{
	json_array_append_new(hits,
	    json_pack(
		"{s:s,s:s,s:s}", "name", name, "about", about, "path", path));
}

static void
add_rows(struct web_request *r, const struct kind *k, const json_t *items,
    json_t *hits)
{
	json_t *row;
	size_t i;

	json_array_foreach(items, i, row) {
		const json_t *about = json_object_get(row, k->about);
		const char *name =
		    json_string_value(json_object_get(row, k->key));
		const char *text = json_string_value(
		    json_is_array(about) ? json_array_get(about, 0) : about);

		if (name != NULL && json_array_size(hits) < HITS)
			add_hit(hits, name, text != NULL ? text : "",
			    pool_printf(
				&r->pool, "%s%s", k->path, admin_url(r, name)));
	}
}

/* A section of the page; nothing when there are no hits (stolen). */
static void
add_section(struct web_request *r, json_t *sections, const char *title,
    const char *all, json_t *hits)
{
	if (json_array_size(hits) == 0) {
		json_decref(hits);
		return;
	}
	json_array_append_new(sections,
	    json_pack("{s:s,s:s*,s:o}", "title", page_text(r, title), "all",
		json_array_size(hits) == HITS ? all : NULL, "hits", hits));
}

/* 0; -1: an answer is sent already. */
static int
find_kind(struct web_request *r, struct web_response *w, const struct kind *k,
    const char *q, const json_t *domains, json_t *sections)
{
	size_t times =
	    k->by_domain && domains != NULL ? json_array_size(domains) : 1;
	json_t *hits = json_array();

	for (size_t i = 0; i < times && i < DOMAINS_MAX; i++) {
		const char *domain = k->by_domain
		    ? json_string_value(
			  json_object_get(json_array_get(domains, i), "name"))
		    : NULL;
		json_t *reply;

		if (admin_need(r, w,
			json_pack("{ss,ss,ss*,si}", "verb", k->verb, "match", q,
			    "domain", domain, "limit", HITS),
			&reply) != 0) {
			json_decref(hits);
			return -1;
		}
		add_rows(r, k, json_object_get(reply, "items"), hits);
		json_decref(reply);
	}
	add_section(r, sections, pool_printf(&r->pool, "title.%s", k->name),
	    domains == NULL || !k->by_domain
		? pool_printf(&r->pool, "/%s?q=%s", k->name, admin_url(r, q))
		: NULL,
	    hits);
	return 0;
}

/* Does each word stand in one of the texts? */
static bool
has_words(const char *q, const char *const *texts, size_t count)
{
	struct slice rest = slice_str(q), word;

	for (int n = 0; rest.len > 0 && n < WORDS_MAX; n++) {
		bool found = false;

		rest = slice_cut(rest, ' ', &word);
		for (size_t i = 0; i < count && !found; i++)
			found = slice_icontains(slice_str(texts[i]), word);
		if (!found)
			return false;
	}
	return true;
}

static void
find_settings(struct web_request *r, const char *q, json_t *sections)
{
	json_t *hits = json_array();

	for (size_t i = 0; i < SETTING_COUNT && json_array_size(hits) < HITS;
	     i++) {
		const struct setting *s = &setting_table[i];
		const char *texts[] = { s->name,
			ops_words(r, "setting", s->name), s->help };

		if (s->scope == SCOPE_DOMAIN ||
		    !has_words(q, texts, ARRAY_LEN(texts)))
			continue;
		add_hit(hits, texts[1], s->name,
		    pool_printf(&r->pool, "/settings/%.*s#i-%s",
			(int)strcspn(s->name, "."), s->name, s->name));
	}
	add_section(r, sections, "title.settings", NULL, hits);
}

void
search_page(struct web_request *r, struct web_response *w)
{
	const char *typed = web_query(r, "q"), *q;
	bool is_server = (admin_roles(r) & ROLE_SERVER) != 0;
	struct slice text = slice_trim(slice_str(typed != NULL ? typed : ""));
	json_t *page, *sections, *domains = NULL, *own = NULL;

	q = pool_strndup(&r->pool, text.data, text.len);
	if (id_is_valid(text)) {
		web_redirect(w, pool_printf(&r->pool, "/trace/%s", q));
		return;
	}
	if (text.len > 2 && q[0] == '<' && q[text.len - 1] == '>') {
		web_redirect(
		    w, pool_printf(&r->pool, "/trace?q=%s", admin_url(r, q)));
		return;
	}
	if (!is_server && text.len > 0) {
		if (admin_need(r, w, json_pack("{ss}", "verb", "domain list"),
			&own) != 0)
			return;
		domains = json_object_get(own, "items");
	}
	sections = json_array();
	page = json_pack("{ss,so}", "q", q, "sections", sections);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && text.len > 0; i++) {
		if (find_kind(r, w, &kinds[i], q, domains, sections) == 0)
			continue;
		json_decref(page);
		json_decref(own);
		return;
	}
	json_decref(own);
	if (is_server && text.len > 0)
		find_settings(r, q, sections);
	json_object_set_new(page, "empty", json_boolean(text.len == 0));
	json_object_set_new(page, "nothing",
	    json_boolean(text.len > 0 && json_array_size(sections) == 0));
	json_object_set_new(
	    page, "is_address", json_boolean(strchr(q, '@') != NULL));
	admin_page(r, w, "search", "", page);
}
