#ifndef MAILSTEAD_RESTORE_NAMES_H
#define MAILSTEAD_RESTORE_NAMES_H

#include <jansson.h>

#include "directory/sql.h"

#include "mailstead/cli.h"

/*
 * What a copy's directory says beside accounts, brought back into the running
 * server: aliases, distribution lists and their members, roles, who was
 * switched off, and all else of a domain that is gone.  What is there now
 * stays as it is.
 *
 * `report` gets {address, what, name, state} of each: "restored", or why not.
 * -1 is only for a copy that cannot be read.
 */
struct names {
	struct cli *cli;
	struct sql *then;    /* directory.db of the copy */
	struct sql *secrets; /* secrets.db of the copy */
	json_t *report;
};

/* Whether a verb that shows one knows {key: name} now. */
bool names_is_there(
    struct cli *c, const char *verb, const char *key, const char *name);

/*
 * The domain it was an alias of ("" = none) in *alias_of_out and the addresses
 * of its accounts, both new.  ERR_PERM: there was no such domain.
 */
int names_domain(struct names *n, const char *domain, json_t **alias_of_out,
    json_t **accounts_out, struct err *e) MUST_CHECK;

/*
 * The request that makes an account as it was, with a password nobody knows.
 * ERR_PERM: there was no such account.
 */
int names_account(struct names *n, const char *address, json_t **request_out,
    struct err *e) MUST_CHECK;

/*
 * Of a domain that was made anew, or is an alias domain: its DKIM keys, in
 * place of those it was made with.
 */
int names_restore_keys(
    struct names *n, const char *domain, struct err *e) MUST_CHECK;

/*
 * Of a domain that was made anew: alias domains, properties, settings, whether
 * it was disabled.  After its accounts, since it may name some.
 */
int names_restore_properties(
    struct names *n, const char *domain, struct err *e) MUST_CHECK;

/* Aliases and lists of a domain that are gone. */
int names_restore_domain(
    struct names *n, const char *domain, struct err *e) MUST_CHECK;

/*
 * Of an account that was made anew: the aliases that led to it, the lists it
 * was a member of, its roles, and whether it was disabled.
 */
int names_restore_account(
    struct names *n, const char *address, struct err *e) MUST_CHECK;

/* --- Between restore_names.c and restore_domain.c ---------------------------- */

/* One change (stolen), and what became of it.  False: refused. */
bool names_bring(struct names *n, const char *address, const char *what,
    const char *name, json_t *request);

/* The first column of all rows of a query about one text, new. */
int names_texts(struct names *n, const char *query, const char *about,
    json_t **out, struct err *e) MUST_CHECK;

#endif /* MAILSTEAD_RESTORE_NAMES_H */
