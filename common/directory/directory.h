#ifndef DIRECTORY_DIRECTORY_H
#define DIRECTORY_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "directory/settings.h"

/*
 * Read-only look-ups in directory.db: who is here and what is set.  accountd
 * alone writes (accountd/).  A worker opens one struct directory after fork
 * and shares it among its threads; inside it keeps a few SQLite handles that
 * are borrowed for one look-up, never across a wait.  A change made by
 * accountd is seen by the next look-up.
 *
 * Every look-up returns one of three, and "cannot tell" is never "not there":
 * a store that cannot answer makes 451, not 550.
 */
enum dir_result {
	DIR_TEMP = -1, /* cannot tell now; the error says why (for the log) */
	DIR_NONE = 0,  /* certainly not there */
	DIR_FOUND = 1,
};

struct directory;

/* ERR_PERM: missing, damaged, or of a newer version. */
int directory_open(
    const char *state_dir, struct directory **out, struct err *e) MUST_CHECK;
void directory_close(struct directory *d);

/*
 * The settings now: a new reference, to be freed.  Looks at the database at
 * most twice a second; a connection takes one reference at its start and a
 * fresh one per transaction.
 */
struct settings *directory_settings(struct directory *d);

/* Look at the next question, whenever the last look was: for the writer. */
void directory_refresh(struct directory *d);

/* Has anything been written since `*seen`?  Updates *seen. */
bool directory_changed(struct directory *d, uint64_t *seen);

/*
 * For supervisors: a cheap fingerprint of what readers see, without a handle;
 * not while this process has one.
 */
uint64_t directory_stamp(const char *state_dir);

/* One-shot read of the settings; opens and closes. */
int directory_read_settings(
    const char *state_dir, struct settings **out, struct err *e) MUST_CHECK;

/* Strings of results live in the pool given. */
struct dir_domain {
	int64_t id;
	char *name;  /* A-labels, lower case; an alias is resolved to it */
	char *asked; /* the name asked for */
	bool is_alias;
	bool is_default;
	bool disabled;
	char *catch_all; /* address or "" */
	char
	    *forward_to; /* whole domain forwarded: address, or "@domain", "" */
	int64_t max_accounts, max_lists; /* 0 = no limit */
};

/* `name` is normalised (mail/address.h). */
enum dir_result dir_find_domain(struct directory *d, const char *name,
    struct pool *pool, struct dir_domain *out, struct err *e);

struct dir_account {
	int64_t id;
	char *local, *domain; /* as stored; real domain */
	char *address;        /* local@domain */
	char *name;           /* of the person */
	bool disabled;
	bool allow_pop3, allow_smtp, allow_web;
	bool quota_full;                      /* flag kept by accountd */
	uint64_t quota_bytes, quota_messages; /* 0 = none */
	uint64_t max_message_bytes; /* that may be sent; 0 = as everybody */
	char **forward;             /* targets */
	size_t forward_count;
	bool forward_keep; /* also into the own mailbox */
	uint32_t roles;    /* enum dir_role bits */
};

enum dir_role {
	ROLE_SERVER_ADMIN = 1,
	ROLE_DOMAIN_ADMIN = 2,
	ROLE_LIST_ADMIN = 4,
};

/* Exact address; domain aliases are resolved, catch-all is not used. */
enum dir_result dir_find_account(struct directory *d, struct slice local,
    const char *domain, struct pool *pool, struct dir_account *out,
    struct err *e);

/* Accounts people made that wait until somebody enables or deletes them. */
struct dir_waiting {
	int64_t id; /* of the account */
	const char *domain;
	int64_t since_ms;
};

/* The `limit` that wait longest. */
enum dir_result dir_waiting(struct directory *d, struct pool *pool,
    struct dir_waiting *list, size_t limit, size_t *count_out,
    struct err *e) MUST_CHECK;

/* What a local address leads to; one step, the caller repeats for targets. */
enum dir_target_kind {
	TARGET_ACCOUNT,   /* account is filled in */
	TARGET_ALIAS,     /* targets */
	TARGET_LIST,      /* distribution list: targets, posting rule */
	TARGET_CATCH_ALL, /* targets[0]: the domain's catch-all */
	TARGET_FORWARD,   /* whole domain: targets[0] */
};

struct dir_target {
	enum dir_target_kind kind;
	struct dir_domain domain;
	struct dir_account account;
	char **targets;
	size_t target_count;
	bool list_members_only; /* posting rule of a list */
	bool list_auth_required;
};

/*
 * DIR_NONE: the domain is not ours, or is and has nobody of that name (then
 * out->domain.name is set).  Order: account, alias, list, sub-address of an
 * account (setting), domain forward, catch-all (explicit, or an account named
 * postmaster).  domain "" means the default domain.
 */
enum dir_result dir_resolve(struct directory *d, struct slice local,
    const char *domain, struct pool *pool, struct dir_target *out,
    struct err *e);

/*
 * DESIGN 5, login names: which account a login name means.  The exact
 * address first, then the last '@', then the last of # $ %; host name and
 * mail.<domain> mean the domain; a bare name the default domain.
 */
enum dir_result dir_find_login(struct directory *d, struct slice login,
    struct pool *pool, struct dir_account *out, struct err *e);

/* May this account send as this address (own, alias, alias domain)? */
enum dir_result dir_may_send_as(struct directory *d,
    const struct dir_account *a, struct slice local, const char *domain,
    struct err *e);

#endif /* DIRECTORY_DIRECTORY_H */
