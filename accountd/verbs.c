/*
 * Everything accountd can be asked, one row each: by which sockets, with which
 * right, about what.  The dispatcher (request.c) enforces the row; handlers
 * check nothing of it.
 */
#include "verbs.h"

#include <string.h>

#define MAIL    (FROM_MTAD | FROM_POPD)
#define WEB     (FROM_WEBMAIL | FROM_ADMIN)
#define STAFF   (FROM_ADMIN | FROM_MAILSTEAD)
#define ALL     (WEB | FROM_MAILSTEAD)
#define KEEPERS (FROM_QUEUE | FROM_MAILSTEAD) /* of messages and mailboxes */

/* clang-format off */
static const struct verb verbs[] = {
	{ "auth start",      MAIL, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_auth_start },
	{ "auth step",       MAIL, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_auth_step },
	{ "auth password",   MAIL, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_auth_password },
	{ "session create",  WEB, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_session_create },
	{ "session code",    WEB, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_session_code },
	{ "session password", WEB, RIGHT_NONE, BY_NOTHING, VERB_WRITE, prepare_session_password, verb_session_password },
	{ "session confirm", WEB, RIGHT_SIGNED, BY_NOTHING, 0, NULL, verb_session_confirm },
	{ "session check",   WEB | FROM_QUEUE, RIGHT_SIGNED, BY_NOTHING, VERB_READ, NULL, verb_session_check },
	{ "session list",    WEB, RIGHT_SIGNED, BY_NOTHING, 0, NULL, verb_session_list },
	{ "session end",     WEB, RIGHT_SIGNED, BY_NOTHING, 0, NULL, verb_session_end },
	{ "user sessions",   FROM_MAILSTEAD, RIGHT_SERVER, BY_ACCOUNT, VERB_READ, NULL, verb_user_sessions },
	{ "user sign-out",   FROM_MAILSTEAD, RIGHT_SERVER, BY_ACCOUNT, VERB_WRITE, NULL, verb_user_sign_out },
	{ "app list",        ALL, RIGHT_SELF, BY_ACCOUNT, VERB_READ, NULL, verb_app_list },
	{ "app add",         ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE | VERB_FRESH, NULL, verb_app_add },
	{ "app delete",      ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, NULL, verb_app_delete },
	{ "totp begin",      ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, NULL, verb_totp_begin },
	{ "totp confirm",    ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, NULL, verb_totp_confirm },
	{ "totp remove",     ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, NULL, verb_totp_remove },
	{ "init",            FROM_MAILSTEAD, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, prepare_init, verb_init },
	{ "domain add",      STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, prepare_dkim, verb_domain_add },
	{ "domain list",     STAFF | FROM_QUEUE, RIGHT_SIGNED, BY_NOTHING, VERB_READ, NULL, verb_domain_list },
	{ "domain show",     STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_domain_show },
	{ "domain set",      STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_domain_set },
	{ "domain disable",  STAFF, RIGHT_SERVER, BY_DOMAIN, VERB_WRITE, NULL, verb_domain_disable },
	{ "domain enable",   STAFF, RIGHT_SERVER, BY_DOMAIN, VERB_WRITE, NULL, verb_domain_enable },
	{ "domain delete",   STAFF, RIGHT_SERVER, BY_DOMAIN, VERB_WRITE | VERB_FRESH, NULL, verb_domain_delete },
	{ "domain look",     STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_domain_look },
	{ "user add",        STAFF, RIGHT_DOMAIN, BY_NEW, VERB_WRITE, prepare_password, verb_user_add },
	{ "user import",     STAFF, RIGHT_SIGNED, BY_NOTHING, VERB_WRITE, prepare_import, verb_user_import },
	{ "user list",       STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_user_list },
	{ "user list domain", STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_user_list },
	{ "user show",       ALL, RIGHT_SELF, BY_ACCOUNT, VERB_READ, NULL, verb_user_show },
	{ "user set",        ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, NULL, verb_user_set },
	{ "user passwd",     ALL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, prepare_passwd, verb_user_passwd },
	{ "user aliases",    FROM_WEBMAIL, RIGHT_SELF, BY_ACCOUNT, VERB_WRITE, NULL, verb_user_aliases },
	{ "user disable",    STAFF, RIGHT_DOMAIN, BY_ACCOUNT, VERB_WRITE, NULL, verb_user_disable },
	{ "user enable",     STAFF, RIGHT_DOMAIN, BY_ACCOUNT, VERB_WRITE, NULL, verb_user_enable },
	{ "user delete",     STAFF, RIGHT_DOMAIN, BY_ACCOUNT, VERB_WRITE | VERB_FRESH, NULL, verb_user_delete },
	{ "user usage",      FROM_QUEUE | FROM_POPD | FROM_WEBMAIL, RIGHT_NONE, BY_ACCOUNT, VERB_WRITE | VERB_QUIET, NULL, verb_user_usage },
	{ "user sent",       FROM_MTAD | FROM_WEBMAIL, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_user_sent },
	{ "mailbox view",    STAFF, RIGHT_DOMAIN, BY_ACCOUNT, VERB_WRITE, NULL, verb_mailbox_view },
	{ "mailbox views",   ALL, RIGHT_SELF, BY_ACCOUNT, VERB_READ, NULL, verb_mailbox_views },
	{ "mailbox aside",   KEEPERS, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_mailbox_aside },
	{ "mailbox settled", KEEPERS, RIGHT_SERVER, BY_NOTHING, VERB_WRITE | VERB_QUIET, NULL, verb_mailbox_settled },
	{ "mailbox back",    KEEPERS, RIGHT_SERVER, BY_ACCOUNT, VERB_WRITE | VERB_FRESH, NULL, verb_mailbox_back },
	{ "mailbox purge",   KEEPERS, RIGHT_SERVER, BY_NOTHING, VERB_WRITE | VERB_FRESH, NULL, verb_mailbox_purge },
	{ "mailbox left",    STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_mailbox_left },
	{ "mailbox usage",   FROM_MAILSTEAD, RIGHT_SERVER, BY_ACCOUNT, VERB_WRITE | VERB_QUIET, NULL, verb_user_usage },
	{ "alias add",       STAFF, RIGHT_DOMAIN, BY_NEW, VERB_WRITE, NULL, verb_alias_add },
	{ "alias list",      STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_alias_list },
	{ "alias list domain", STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_alias_list },
	{ "alias show",      STAFF, RIGHT_DOMAIN, BY_ALIAS, VERB_READ, NULL, verb_alias_show },
	{ "alias delete",    STAFF, RIGHT_DOMAIN, BY_ALIAS, VERB_WRITE, NULL, verb_alias_delete },
	{ "list add",        STAFF, RIGHT_DOMAIN, BY_NEW, VERB_WRITE, NULL, verb_list_add },
	{ "list list",       STAFF, RIGHT_SIGNED, BY_NOTHING, VERB_READ, NULL, verb_list_list },
	{ "list list domain", STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_list_list },
	{ "list show",       ALL, RIGHT_LIST, BY_LIST, VERB_READ, NULL, verb_list_show },
	{ "list set",        ALL, RIGHT_LIST, BY_LIST, VERB_WRITE, NULL, verb_list_set },
	{ "list delete",     STAFF, RIGHT_DOMAIN, BY_LIST, VERB_WRITE, NULL, verb_list_delete },
	{ "setting get",     STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_setting_get },
	{ "setting list",    STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_setting_list },
	{ "setting export",  STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_setting_export },
	{ "setting set",     STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_setting_set },
	{ "setting apply",   STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_setting_apply },
	{ "setting trial",   STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_setting_trial },
	{ "setting keep",    STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_setting_keep },
	{ "setting undo",    STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_setting_undo },
	{ "setting get domain",  STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_setting_get },
	{ "setting set domain",  STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_setting_set },
	{ "credential get",  FROM_QUEUE, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_credential_get },
	{ "credential list", STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_credential_list },
	{ "credential set",  STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_credential_set },
	{ "credential delete", STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_credential_delete },
	{ "dkim add",        STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, prepare_dkim, verb_dkim_add },
	{ "dkim list",       STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_dkim_list },
	{ "dkim activate",   STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_dkim_activate },
	{ "dkim retire",     STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_dkim_retire },
	{ "dkim delete",     STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_dkim_delete },
	{ "dkim restore",    FROM_MAILSTEAD, RIGHT_SERVER, BY_DOMAIN, VERB_WRITE, NULL, verb_dkim_restore },
	{ "dkim keys",       FROM_QUEUE, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_dkim_list },
	{ "dkim sign",       FROM_QUEUE, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_dkim_sign },
	{ "srs key",         FROM_MTAD | FROM_QUEUE | FROM_MAILSTEAD, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_srs_key },
	{ "ban list",        STAFF, RIGHT_SERVER, BY_NOTHING, 0, NULL, verb_ban_list },
	{ "ban check",       STAFF, RIGHT_SERVER, BY_NOTHING, 0, NULL, verb_ban_check },
	{ "ban lift",        STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_ban_lift },
	{ "ban limit",       FROM_MTAD, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_ban_limit },
	{ "ban delivery",    FROM_MTAD, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_ban_delivery },
	{ "tls list",        STAFF, RIGHT_SERVER, BY_NOTHING, 0, NULL, verb_tls_list },
	{ "tls check",       FROM_QUEUE, RIGHT_NONE, BY_NOTHING, 0, NULL, verb_tls_list },
	{ "tls install",     STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE | VERB_FRESH, NULL, verb_tls_install },
	{ "tls self-signed", STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE | VERB_FRESH, NULL, verb_tls_self_signed },
	{ "tls delete",      STAFF, RIGHT_SERVER, BY_NOTHING, VERB_WRITE | VERB_FRESH, NULL, verb_tls_delete },
	{ "signup offer",    FROM_WEBMAIL, RIGHT_NONE, BY_DOMAIN, VERB_READ, NULL, verb_signup_offer },
	{ "signup",          FROM_WEBMAIL, RIGHT_NONE, BY_NEW, VERB_WRITE, prepare_signup, verb_signup },
	{ "queue act",       KEEPERS, RIGHT_SERVER, BY_NOTHING, VERB_WRITE, NULL, verb_queue_act },
	{ "queue act domain", FROM_QUEUE, RIGHT_DOMAIN, BY_DOMAIN, VERB_WRITE, NULL, verb_queue_act },
	{ "audit list",      STAFF, RIGHT_SERVER, BY_NOTHING, VERB_READ, NULL, verb_audit_list },
	{ "audit list domain", STAFF, RIGHT_DOMAIN, BY_DOMAIN, VERB_READ, NULL, verb_audit_list },
	{ "audit about",     ALL, RIGHT_SELF, BY_ACCOUNT, VERB_READ, NULL, verb_audit_list },
};

/* clang-format on */

static const struct verb *
find(const char *name, const char *suffix)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strncmp(verbs[i].name, name, len) == 0 &&
		    strcmp(verbs[i].name + len, suffix) == 0)
			return &verbs[i];
	return NULL;
}

const struct verb *
verbs_find(const char *name, bool has_domain)
{
	const struct verb *v = has_domain ? find(name, " domain") : NULL;

	return v ? v : find(name, "");
}
