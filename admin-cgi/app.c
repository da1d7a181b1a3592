/*
 * The table of the administration's pages, who may see them, and what all
 * pages have in common.
 */
#include <string.h>

#include "base/num.h"

#include "admin-cgi/admin.h"
#include "admin-cgi/ops.h"

enum {
	BODY_MAX = 16 * 1024 * 1024,
	FORM_MAX = 5 * 1024 * 1024, /* a table of users (import.c) and more */
};

unsigned
admin_roles(const struct web_request *r)
{
	const json_t *roles = json_object_get(session_of(r)->user, "roles");
	unsigned bits = 0;

	if (session_of(r)->must_enrol)
		return 0; /* before anything else the second step */
	for (size_t i = 0; i < json_array_size(roles); i++) {
		struct slice name =
		    slice_str(json_string_value(json_array_get(roles, i)));

		if (slice_eq_str(name, "server_admin"))
			bits |= ROLE_SERVER;
		else if (slice_starts(name, "domain_admin"))
			bits |= ROLE_DOMAIN;
		else if (slice_starts(name, "list_admin"))
			bits |= ROLE_LIST;
	}
	return bits;
}

static bool
may(const struct web_request *r, unsigned roles)
{
	return (admin_roles(r) & roles) != 0;
}

static void
look(struct web_request *r, struct page_look *out, json_t *values)
{
	struct settings *all = directory_settings(admin_of(r)->directory);
	const struct session *s = session_of(r);
	struct spool_stat queue;
	unsigned roles;

	out->templates = admin_of(r)->templates;
	out->brand = pool_strdup(&r->pool, settings_text(all, SET_HOSTNAME));
	settings_free(all);
	if (s == NULL)
		return;
	out->address = s->address;
	out->name = s->name;
	out->lang = json_text(s->user, "lang");
	out->zone = json_text(s->user, "zone");
	if (values == NULL)
		return;
	roles = admin_roles(r);
	json_object_set_new(values, "can",
	    json_pack("{sb,sb,sb}", "server", (roles & ROLE_SERVER) != 0,
		"domain", (roles & ROLE_MANAGER) != 0, "list",
		(roles & ROLE_ANY) != 0));
	if ((roles & ROLE_SERVER) != 0 && overview_queue(r, &queue))
		json_object_set_new(values, "waiting",
		    json_integer((json_int_t)queue.deferred));
	json_object_set_new(values, "version", json_string(MAILSTEAD_VERSION));
}

/* A word of a query that may be part of a key. */
static bool
is_key(const char *word)
{
	size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyz_");

	return len > 0 && len < 32 && word[len] == '\0';
}

void
admin_page(struct web_request *r, struct web_response *w, const char *name,
    const char *section, json_t *values)
{
	const char *flash = web_query(r, "flash");

	if (section[0] != '\0')
		json_object_set_new(
		    values, "at", json_pack("{sb}", section, 1));
	if (flash != NULL && is_key(flash))
		json_object_set_new(values, "flash",
		    json_string(page_text(
			r, pool_printf(&r->pool, "flash.%s", flash))));
	page_send(r, w, name,
	    page_text(r, pool_printf(&r->pool, "title.%s", name)), values);
}

static struct accountd *
accountd_of(const struct web_request *r)
{
	return admin_of(r)->accountd;
}

static const struct login_rules login = {
	.cookie = "adm",
	.before = "adm-before",
	.code = "adm-code",
	.strict = true,
	.domain_names = true,
	.home = "/",
	.timeout_ms = ASK_TIMEOUT_MS,
	.accountd = accountd_of,
};

/* clang-format off */
#define IN(roles) (WEB_SESSION | (roles))

static const struct web_route routes[] = {
	{ WEB_GET,  "/login",          WEB_OPEN,         login_page },
	{ WEB_POST, "/login",          WEB_OPEN,         login_post },
	{ WEB_GET,  "/login/2",        WEB_OPEN,         login_page },
	{ WEB_POST, "/login/2",        WEB_OPEN,         login_code_post },
	{ WEB_GET,  "/login/3",        WEB_OPEN,         login_page },
	{ WEB_POST, "/login/3",        WEB_OPEN,         login_choose_post },
	{ WEB_POST, "/logout",         WEB_SESSION,      logout_post },
	{ WEB_GET,  "/me",             WEB_SESSION,      me_page },
	{ WEB_POST, "/me",             WEB_SESSION,      me_post },
	{ WEB_GET,  "/",               WEB_SESSION,      overview_page },
	{ WEB_POST, "/",               IN(ROLE_SERVER),  overview_post },
	{ WEB_GET,  "/domains",        IN(ROLE_MANAGER), domains_page },
	{ WEB_GET,  "/domains/new",    IN(ROLE_SERVER),  domain_new_page },
	{ WEB_POST, "/domains/new",    IN(ROLE_SERVER),  domain_new_post },
	{ WEB_GET,  "/d/{}",           IN(ROLE_MANAGER), domain_page },
	{ WEB_POST, "/d/{}",           IN(ROLE_MANAGER), domain_post },
	{ WEB_GET,  "/d/{}/delete",    IN(ROLE_SERVER),  domain_delete_page },
	{ WEB_POST, "/d/{}/delete",    IN(ROLE_SERVER),  domain_delete_post },
	{ WEB_GET,  "/d/{}/look",      IN(ROLE_MANAGER), look_page },
	{ WEB_POST, "/d/{}/look",      IN(ROLE_MANAGER), look_post },
	{ WEB_GET,  "/d/{}/users",     IN(ROLE_MANAGER), users_page },
	{ WEB_GET,  "/d/{}/users/new", IN(ROLE_MANAGER), user_new_page },
	{ WEB_POST, "/d/{}/users/new", IN(ROLE_MANAGER), user_new_post },
	{ WEB_GET,  "/d/{}/users.csv", IN(ROLE_MANAGER), export_get },
	{ WEB_GET,  "/d/{}/aliases",   IN(ROLE_MANAGER), aliases_page },
	{ WEB_POST, "/d/{}/aliases",   IN(ROLE_MANAGER), aliases_post },
	{ WEB_GET,  "/d/{}/lists",     IN(ROLE_MANAGER), lists_page },
	{ WEB_POST, "/d/{}/lists",     IN(ROLE_MANAGER), lists_post },
	{ WEB_GET,  "/d/{}/admins",    IN(ROLE_MANAGER), admins_page },
	{ WEB_GET,  "/d/{}/audit",     IN(ROLE_MANAGER), audit_page },
	{ WEB_GET,  "/users",          IN(ROLE_MANAGER), users_page },
	{ WEB_POST, "/users",          IN(ROLE_MANAGER), users_act },
	{ WEB_GET,  "/users/new",      IN(ROLE_MANAGER), user_new_page },
	{ WEB_GET,  "/users/import",   IN(ROLE_MANAGER), import_page },
	{ WEB_POST, "/users/import",   IN(ROLE_MANAGER) | WEB_UPLOADS, import_post },
	{ WEB_GET,  "/users.csv",      IN(ROLE_SERVER),  export_get },
	{ WEB_GET,  "/u/{}",           IN(ROLE_MANAGER), user_page },
	{ WEB_POST, "/u/{}",           IN(ROLE_MANAGER), user_post },
	{ WEB_GET,  "/u/{}/delete",    IN(ROLE_MANAGER), user_delete_page },
	{ WEB_POST, "/u/{}/delete",    IN(ROLE_MANAGER), user_delete_post },
	{ WEB_GET,  "/mailboxes",      IN(ROLE_SERVER),  mailboxes_page },
	{ WEB_POST, "/mailboxes",      IN(ROLE_SERVER),  mailboxes_post },
	{ WEB_GET,  "/aliases",        IN(ROLE_MANAGER), aliases_page },
	{ WEB_POST, "/aliases",        IN(ROLE_SERVER),  aliases_post },
	{ WEB_GET,  "/a/{}",           IN(ROLE_MANAGER), alias_page },
	{ WEB_POST, "/a/{}",           IN(ROLE_MANAGER), alias_post },
	{ WEB_GET,  "/lists",          IN(ROLE_ANY),     lists_page },
	{ WEB_POST, "/lists",          IN(ROLE_SERVER),  lists_post },
	{ WEB_GET,  "/l/{}",           IN(ROLE_ANY),     list_page },
	{ WEB_POST, "/l/{}",           IN(ROLE_ANY),     list_post },
	{ WEB_GET,  "/admins",         IN(ROLE_MANAGER), admins_page },
	{ WEB_GET,  "/audit",          IN(ROLE_ANY),     audit_page },
	{ WEB_GET,  "/search",        IN(ROLE_MANAGER), search_page },
	{ WEB_GET,  "/trace",         IN(ROLE_MANAGER), trace_page },
	{ WEB_GET,  "/trace/{}",      IN(ROLE_MANAGER), trace_message_page },
	{ WEB_GET,  "/queue",         IN(ROLE_MANAGER), queue_page },
	{ WEB_POST, "/queue",         IN(ROLE_MANAGER), queue_post },
	{ WEB_GET,  "/queue/{}",      IN(ROLE_MANAGER), queue_message_page },
	{ WEB_GET,  "/protection",    IN(ROLE_SERVER),  protection_page },
	{ WEB_POST, "/protection",    IN(ROLE_SERVER),  protection_post },
	{ WEB_GET,  "/checks",        IN(ROLE_SERVER),  checks_page },
	{ WEB_POST, "/checks",        IN(ROLE_SERVER),  checks_post },
	{ WEB_GET,  "/tools",         IN(ROLE_SERVER),  tools_page },
	{ WEB_POST, "/tools",         IN(ROLE_SERVER),  tools_post },
	{ WEB_GET,  "/tools/{}",      IN(ROLE_SERVER),  tools_job_page },
	{ WEB_GET,  "/d/{}/dns",      IN(ROLE_MANAGER), dns_page },
	{ WEB_POST, "/d/{}/dns",      IN(ROLE_MANAGER), dns_post },
	{ WEB_GET,  "/d/{}/dns.zone", IN(ROLE_MANAGER), dns_zone_get },
	{ WEB_GET,  "/log",           IN(ROLE_SERVER),  log_page },
	{ WEB_GET,  "/certificates",  IN(ROLE_SERVER),  certificates_page },
	{ WEB_POST, "/certificates",  IN(ROLE_SERVER),  certificates_post },
	{ WEB_GET,  "/credentials",   IN(ROLE_SERVER),  credentials_page },
	{ WEB_POST, "/credentials",   IN(ROLE_SERVER),  credentials_post },
	{ WEB_GET,  "/backup",        IN(ROLE_SERVER),  backup_page },
	{ WEB_GET,  "/settings/{}",   IN(ROLE_SERVER),  settings_page },
	{ WEB_POST, "/settings/{}",   IN(ROLE_SERVER),  settings_post },
};

/* clang-format on */

const struct web_app admin_app = {
	.name = "admin",
	.prefix = "/admin",
	.routes = routes,
	.route_count = ARRAY_LEN(routes),
	.assets = &admin_assets,
	.body_max = BODY_MAX,
	.form_max = FORM_MAX,
	.find_session = login_find_session,
	.sign_in = login_needed,
	.may = may,
	.error_page = page_error,
	.look = look,
	.login = &login,
	.done = login_done,
};
