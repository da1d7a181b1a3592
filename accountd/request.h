#ifndef ACCOUNTD_REQUEST_H
#define ACCOUNTD_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

#include "core.h"
#include "rights.h"
#include "sasl.h"

/* The sockets; a caller's role is the one it came in by. */
enum program {
	FROM_MTAD = 1,
	FROM_POPD = 2,
	FROM_QUEUE = 4,
	FROM_WEBMAIL = 8,
	FROM_ADMIN = 16,
	FROM_MAILSTEAD = 32,
};

const char *program_name(enum program p);

/* One connection. */
struct caller {
	struct core *core;
	enum program program;
	bool is_operator;  /* by the operating system: root or the owner */
	bool is_clock;     /* accountd itself, because a time is over */
	struct sasl *sasl; /* an exchange under way */
};

/*
 * One packet being answered.  A handler reads with req_*(), puts its answer
 * into `out`, and for changes what was and what is into `before` and `after`
 * (no secrets).  On failure it returns -1 with the error; `code` is the
 * machine's word for it.
 */
struct request {
	struct core *core;
	struct caller *caller;
	const char *verb;
	json_t *in, *out;
	struct pool pool;
	struct actor actor;
	struct target target;
	json_t *before, *after;
	const char *code;
	bool session_due;  /* the session's token is due for another */
	const char *field; /* of "set" that is refused, or NULL */
	bool quiet;        /* nothing was changed: no audit line */
	bool on_trial;     /* settings that are stored go back by themselves */
	bool has_settings; /* `after` has settings: tell the log */
	/* once the change is durable: in secrets.db, what it is the end of */
	int (*afterwards)(struct request *q, struct err *e);
	struct password_keys *import_keys; /* of each user of an import; heap */
	size_t import_count;
	struct password_keys keys; /* made before the lock is taken */
	struct dkim_new_key *dkim; /* as well: one of each algorithm */
};

/*
 * Answer one packet: *reply_out is a new object, always.  `packet` is not
 * changed; the caller wipes it.
 */
void request_answer(
    struct caller *caller, struct slice packet, json_t **reply_out);

/* --- Reading ------------------------------------------------------------------ */

enum {
	REQ_TEXT_MAX = 1024
};

/* -1 with code "missing", "wrong-type" or "too-long". */
int req_string(struct request *q, const char *name, const char **out,
    struct err *e) MUST_CHECK;
/* As above; absent gives NULL. */
int req_optional(struct request *q, const char *name, const char **out,
    struct err *e) MUST_CHECK;
bool req_bool(const struct request *q, const char *name);
/* Base64 into the pool, for what may be any bytes. */
int req_bytes(struct request *q, const char *name, struct slice *out,
    struct err *e) MUST_CHECK;

/* Overwrite what req_bytes() gave. */
void req_wipe(struct slice secret);

/* Refuse with a code: returns -1. */
int refuse(struct request *q, struct err *e, const char *code, const char *fmt,
    ...) PRINTF_LIKE(4, 5);

/* A JSON value of a setting or of a column, as text: "yes", 5, true. */
int value_text(json_t *value, struct pool *pool, const char **out,
    struct err *e) MUST_CHECK;

/* --- Paging ------------------------------------------------------------------- */

/*
 * Append an item (stolen) to a page while it fits a packet and "limit" of the
 * request.  False: it did not fit; set "next" to where the next page starts.
 */
struct page {
	json_t *items;
	size_t used, limit, count_max;
};

void page_init(struct page *p, struct request *q);
bool page_add(struct page *p, json_t *item);

/*
 * Lists of addresses go by domain, then local part, as their indexes do:
 * "after", an address, taken apart at its last '@'.
 */
void page_cursor(
    const char *after, struct slice *local_out, struct slice *domain_out);

/*
 * "match" of a list as two patterns of wild() (directory/sql.h).  "*" and "?"
 * are wildcards; without one the text may stand anywhere.  With an '@' the
 * parts are for local part and domain, `either` is false; else both are the
 * whole.
 */
struct match {
	const char *local, *domain; /* "*": all */
	bool either;
};

int req_match(struct request *q, struct match *out, struct err *e) MUST_CHECK;

/*
 * The version of an object that is edited: of everything but the members in
 * `volatile_keys` (NULL at the end, or none).  put_rev() answers it as "rev";
 * check_rev() refuses with "changed" when the request has another one.
 */
void put_rev(
    struct request *q, json_t *object, const char *const *volatile_keys);
int check_rev(struct request *q, json_t *object,
    const char *const *volatile_keys, struct err *e) MUST_CHECK;

/*
 * Dangerous acts of the web need a session whose password was shown within
 * five minutes ("session confirm"); code "not-fresh".
 */
int check_fresh(struct request *q, struct err *e) MUST_CHECK;

/*
 * Is it the account's password?  Slowed down after failures; code
 * "wrong-password".
 */
int check_own_password(struct request *q, int64_t account_id, const char *name,
    const char *password, struct err *e) MUST_CHECK;

/* --- The verbs, by file -------------------------------------------------------- */

typedef int verb_handler(struct request *q, struct err *e);

verb_handler verb_auth_start, verb_auth_step, verb_auth_password;
verb_handler verb_session_create, verb_session_code, verb_session_password,
    verb_session_check, verb_session_confirm, verb_session_list,
    verb_session_end, verb_user_sessions, verb_user_sign_out;
verb_handler verb_app_add, verb_app_list, verb_app_delete;
verb_handler verb_totp_begin, verb_totp_confirm, verb_totp_remove;
verb_handler verb_init;
verb_handler verb_domain_add, verb_domain_list, verb_domain_show,
    verb_domain_set, verb_domain_disable, verb_domain_enable,
    verb_domain_delete, verb_domain_look;
verb_handler verb_dkim_add, verb_dkim_list, verb_dkim_activate,
    verb_dkim_retire, verb_dkim_delete, verb_dkim_restore, verb_dkim_sign,
    verb_srs_key;
verb_handler prepare_import, prepare_password, prepare_passwd, prepare_dkim,
    prepare_init, prepare_session_password;
verb_handler verb_user_import, verb_user_add, verb_user_list, verb_user_show,
    verb_user_set, verb_user_passwd, verb_user_aliases, verb_user_disable,
    verb_user_enable, verb_user_delete, verb_user_usage, verb_user_sent;
verb_handler verb_mailbox_view, verb_mailbox_views, verb_mailbox_aside,
    verb_mailbox_settled, verb_mailbox_back, verb_mailbox_purge,
    verb_mailbox_left;
verb_handler verb_alias_add, verb_alias_list, verb_alias_show,
    verb_alias_delete;
verb_handler verb_list_add, verb_list_list, verb_list_show, verb_list_set,
    verb_list_delete;
verb_handler verb_setting_get, verb_setting_set, verb_setting_list,
    verb_setting_export, verb_setting_apply;
verb_handler verb_setting_trial, verb_setting_keep, verb_setting_undo;
verb_handler verb_credential_get, verb_credential_set, verb_credential_list,
    verb_credential_delete;
verb_handler verb_ban_list, verb_ban_check, verb_ban_lift, verb_ban_limit,
    verb_ban_delivery;
verb_handler verb_tls_list, verb_tls_install, verb_tls_self_signed,
    verb_tls_delete;
verb_handler verb_signup_offer, prepare_signup, verb_signup;
verb_handler verb_queue_act;
verb_handler verb_audit_list;

/*
 * Is the user banned from sending?  `refused`: his limit has just refused him,
 * which may be once too often.
 */
bool ban_user_sends(struct request *q, const char *address, bool refused);

/*
 * Settings on trial (verbs_trial.c).  setting_store() notes what was there
 * before, or, when the change is to stay, forgets it.
 */
int trial_note(struct request *q, const char *name, const char *old,
    const char *value, bool was_set, struct err *e) MUST_CHECK;
int trial_forget(struct request *q, const char *name, struct err *e) MUST_CHECK;
/* A trial whose time is over goes back; by the clock. */
void trial_expire(struct core *core);

/* The first keys of a new domain, made by prepare_dkim(). */
int dkim_add_first(
    struct request *q, const char *domain, struct err *e) MUST_CHECK;

/* --- Shared by the verbs of the directory --------------------------------------- */

/*
 * Refuse when the target's domain has as many of `what` as it may have;
 * `query` (a literal) says whether, of a domain's id.
 */
int refuse_if_full(
    struct request *q, const char *query, const char *what, struct err *e);

/* alias local@domain_id -> target, replacing what stood there. */
int alias_put(struct request *q, int64_t domain_id, const char *local,
    const char *const *targets, size_t count, struct err *e) MUST_CHECK;
/* postmaster@ and abuse@ of a domain lead to `admin` where nobody else is. */
int alias_put_reserved(struct request *q, int64_t domain_id, const char *admin,
    struct err *e) MUST_CHECK;
bool alias_is_reserved(const char *local);
/* The list or alias at the target's address gets one more member. */
int alias_join(struct request *q, bool is_list, const char *address,
    struct err *e) MUST_CHECK;
/* An address as it is kept: canonical text in the pool. */
int canonical_address(struct request *q, const char *text, const char **out,
    struct err *e) MUST_CHECK;
/* Does anything stand at this address?  1: *by_out says what; -1 failed. */
int address_taken(struct request *q, int64_t domain_id, const char *local,
    const char **by_out, struct err *e) MUST_CHECK;
/* The address of a server administrator other than account `but`. */
int find_admin(
    struct request *q, int64_t but, const char **out, struct err *e) MUST_CHECK;
int user_insert(struct request *q, int64_t domain_id, const char *local,
    const char *name, int64_t *id_out, struct err *e) MUST_CHECK;
/* A new account at the target's address with the prepared password. */
int user_create(struct request *q, const char *name, struct err *e) MUST_CHECK;
/* "user" of the answer and `after`: the target's account. */
int user_put_new(struct request *q, struct err *e) MUST_CHECK;
int role_add(struct request *q, int64_t account_id, uint32_t role,
    int64_t domain_id, int64_t list_id, struct err *e) MUST_CHECK;
/* The roles of an account become those of an array of names. */
int role_set_all(struct request *q, int64_t account_id, json_t *roles,
    struct err *e) MUST_CHECK;
/* Refused when the target is the last server administrator. */
int role_keep_admin(struct request *q, struct err *e) MUST_CHECK;
/* account.roles from the role rows; `account_id` 0 = of all. */
int roles_refresh(
    struct request *q, int64_t account_id, struct err *e) MUST_CHECK;
/* The account as DESIGN 5 shapes it (new). */
int user_load(
    struct request *q, int64_t id, json_t **out, struct err *e) MUST_CHECK;
/* Each key of "set" (NULL: none) of the target account, and its limits. */
int user_set_all(struct request *q, json_t *set, struct err *e) MUST_CHECK;
/* `until`: wall ms; 0 = for good.  Sessions are the caller's. */
int user_set_disabled(struct request *q, int64_t disabled, int64_t until,
    struct err *e) MUST_CHECK;
int user_check_name(
    struct request *q, const char *name, struct err *e) MUST_CHECK;
int user_check_password(struct request *q, const json_t *password,
    const char *address, struct err *e) MUST_CHECK;
/* An address whose domain is here, into q->target. */
int req_address(struct request *q, const char *text, struct err *e) MUST_CHECK;
/* "user": the account as DESIGN 5 shapes it, into the answer. */
int user_put_summary(
    struct request *q, int64_t account_id, struct err *e) MUST_CHECK;
/* May somebody who is no administrator choose this local part? */
int local_check(struct request *q, const char *local, struct err *e) MUST_CHECK;
/* "may_change_aliases" into the answer's "user". */
int own_alias_put_limit(struct request *q, struct err *e) MUST_CHECK;
/* A setting's value in force for a domain (0: the server). */
int setting_value(struct request *q, const char *name, int64_t domain_id,
    const char **out, struct err *e) MUST_CHECK;
int setting_store(struct request *q, const char *name, const char *text,
    int64_t domain_id, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_REQUEST_H */
