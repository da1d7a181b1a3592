/*
 * The table of webmail's pages, and what all pages have in common.
 */
#include "webmail-cgi/answer.h"
#include "webmail-cgi/autoconfig.h"
#include "webmail-cgi/compose.h"
#include "webmail-cgi/contacts.h"
#include "webmail-cgi/folder_file.h"
#include "webmail-cgi/folders_page.h"
#include "webmail-cgi/list.h"
#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/settings.h"
#include "webmail-cgi/site.h"
#include "webmail-cgi/user.h"

enum {
	FORM_MAX = 3 * 1024 * 1024,
};

/* The server's name as its pages say it. */
static void
look(struct web_request *r, struct page_look *out, json_t *values)
{
	struct settings *all = directory_settings(webmail_of(r)->directory);
	const struct session *s = r->session;

	const struct prefs *prefs = user_prefs(r);

	out->templates = webmail_of(r)->templates;
	out->brand = s != NULL
	    ? s->domain
	    : pool_strdup(&r->pool, settings_text(all, SET_HOSTNAME));
	settings_free(all);
	if (values != NULL)
		site_add_brand(r, s != NULL ? s->domain : r->site, out);
	if (s == NULL) {
		out->domain = r->site;
		if (r->site[0] != '\0')
			out->brand = r->site;
		if (values != NULL)
			json_object_set_new(values, "may_signup",
			    json_boolean(signup_is_offered(r)));
		return;
	}
	out->zone = prefs->value[PREF_ZONE];
	out->lang = prefs->value[PREF_LANG];
	out->theme = prefs->value[PREF_THEME];
	out->density = prefs->value[PREF_DENSITY];
	out->keys = prefs->value[PREF_KEYS];
	if (values != NULL) {
		outgoing_settle(r);
		json_object_set_new(values, "notice", outgoing_notice(r));
		json_object_set_new(values, "quota", user_quota(r));
		json_object_set_new(values, "labels", user_labels(r));
		json_object_set_new(
		    values, "no_zone", json_boolean(out->zone[0] == '\0'));
		if (json_object_get(values, "folders") == NULL)
			mailbox_describe_folders(r, NULL, values);
	}
	out->domain = s->domain;
	out->address = s->address;
	out->name = s->name;
}

static struct accountd *
accountd_of(const struct web_request *r)
{
	return webmail_of(r)->accountd;
}

static void
done(struct web_request *r)
{
	user_done(r);
	mailbox_done(r);
}

static const struct login_rules login = {
	.cookie = "wm",
	.before = "wm-before",
	.who = "wm-who",
	.code = "wm-code",
	.may_keep = true,
	.home = "/m/inbox",
	.timeout_ms = ACCOUNTD_TIMEOUT_MS,
	.accountd = accountd_of,
};

/* clang-format off */
static const struct web_route routes[] = {
	{ WEB_GET,  "/",             WEB_SESSION, list_root },
	{ WEB_GET,  "/login",        WEB_OPEN,    login_page },
	{ WEB_POST, "/login",        WEB_OPEN,    login_post },
	{ WEB_GET,  "/login/2",      WEB_OPEN,    login_page },
	{ WEB_POST, "/login/2",      WEB_OPEN,    login_code_post },
	{ WEB_GET,  "/login/3",      WEB_OPEN,    login_page },
	{ WEB_POST, "/login/3",      WEB_OPEN,    login_choose_post },
	{ WEB_POST, "/logout",       WEB_SESSION, logout_post },
	{ WEB_GET,  "/signup",       WEB_OPEN,    signup_page },
	{ WEB_POST, "/signup",       WEB_OPEN,    signup_post },
	{ WEB_GET,  "/brand/{}/brand.css", WEB_OPEN, brand_css },
	{ WEB_GET,  "/brand/{}/images/{}", WEB_OPEN, brand_image },
	{ WEB_GET,  "/settings/sessions", WEB_SESSION, sessions_page },
	{ WEB_POST, "/settings/sessions", WEB_SESSION, sessions_post },
	{ WEB_GET,  "/settings/program", WEB_SESSION, program_page },
	{ WEB_GET,  "/settings/program/profile", WEB_SESSION, program_profile },
	{ WEB_GET,  "/settings",     WEB_SESSION, settings_root },
	{ WEB_GET,  "/settings/{}",  WEB_SESSION, settings_page },
	{ WEB_POST, "/settings/{}",  WEB_SESSION, settings_post },
	{ WEB_GET,  "/m/{}",         WEB_SESSION, list_page },
	{ WEB_GET,  "/search",       WEB_SESSION, search_page },
	{ WEB_GET,  "/help/{}",      WEB_SESSION, help_page },
	{ WEB_POST, "/act",          WEB_SESSION, act_post },
	{ WEB_POST, "/undo/{}",      WEB_SESSION, undo_post },
	{ WEB_GET,  "/jobs/{}",      WEB_SESSION, job_page },
	{ WEB_GET,  "/poll",         WEB_SESSION, list_poll },
	{ WEB_GET,  "/c/{}",         WEB_SESSION, talk_page },
	{ WEB_GET,  "/v/{}",      WEB_SESSION, message_page },
	{ WEB_GET,  "/v/{}/body", WEB_SESSION, message_body },
	{ WEB_GET,  "/v/{}/part/{}", WEB_SESSION, message_part },
	{ WEB_GET,  "/v/{}/cid/{}", WEB_SESSION, message_picture },
	{ WEB_POST, "/v/{}/pictures", WEB_SESSION, message_sender },
	{ WEB_POST, "/v/{}/receipt", WEB_SESSION, receipt_post },
	{ WEB_GET,  "/v/{}/headers", WEB_SESSION, message_headers },
	{ WEB_GET,  "/v/{}/print", WEB_SESSION, message_print },
	{ WEB_GET,  "/v/{}/raw",  WEB_SESSION, message_raw },
	{ WEB_GET,  "/v/{}/eml",  WEB_SESSION, message_eml },
	{ WEB_GET,  "/v/{}/zip",  WEB_SESSION, message_zip },
	{ WEB_GET,  "/folders",      WEB_SESSION, folders_page },
	{ WEB_POST, "/folders",      WEB_SESSION, folders_post },
	{ WEB_POST, "/folders/import", WEB_SESSION | WEB_UPLOADS,
	    folder_import_post },
	{ WEB_GET,  "/folders/{}/zip", WEB_SESSION, folder_zip },
	{ WEB_GET,  "/contacts",     WEB_SESSION, contacts_page },
	{ WEB_GET,  "/contacts/import", WEB_SESSION, contacts_import_page },
	{ WEB_POST, "/contacts/import", WEB_SESSION | WEB_UPLOADS,
	    contacts_import_post },
	{ WEB_GET,  "/contacts/export.vcf", WEB_SESSION, contacts_vcf },
	{ WEB_GET,  "/contacts/export.csv", WEB_SESSION, contacts_csv },
	{ WEB_POST, "/contacts/groups", WEB_SESSION, groups_post },
	{ WEB_GET,  "/contacts/new", WEB_SESSION, contact_page },
	{ WEB_POST, "/contacts/new", WEB_SESSION, contact_post },
	{ WEB_GET,  "/contacts/{}",  WEB_SESSION, contact_page },
	{ WEB_POST, "/contacts/{}",  WEB_SESSION, contact_post },
	{ WEB_GET,  "/complete",     WEB_SESSION, complete_page },
	{ WEB_GET,  "/compose",      WEB_SESSION, compose_new },
	{ WEB_GET,  "/d/{}",         WEB_SESSION, compose_page },
	{ WEB_POST, "/d/{}",         WEB_SESSION | WEB_UPLOADS, compose_post },
	{ WEB_POST, "/d/{}/check",   WEB_SESSION | WEB_UPLOADS,
	    compose_check_post },
	{ WEB_POST, "/d/{}/files",   WEB_SESSION | WEB_UPLOADS, compose_post },
	{ WEB_POST, "/v/{}/{}",      WEB_SESSION, answer_post },
	{ WEB_GET,  "/delivery/{}",  WEB_SESSION, outgoing_delivery_page },
	{ WEB_POST, "/undo-send/{}", WEB_SESSION, outgoing_undo_post },
};

/* clang-format on */

const struct web_app webmail_app = {
	.name = "webmail",
	.prefix = "/webmail",
	.routes = routes,
	.route_count = ARRAY_LEN(routes),
	.assets = &webmail_assets,
	.body_max = COMPOSE_BODY_MAX,
	.form_max = FORM_MAX,
	.find_session = site_find_session,
	.sign_in = login_needed,
	.error_page = page_error,
	.elsewhere = site_elsewhere,
	.look = look,
	.login = &login,
	.done = done,
};
