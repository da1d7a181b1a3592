#ifndef DIRECTORY_USER_CSV_H
#define DIRECTORY_USER_CSV_H

#include <jansson.h>

#include "base/table.h"

/*
 * Users as a table, for import and export: the first line names the columns,
 * of which only "address" must be there:
 *
 *	address, name, password, must_change, quota_bytes, quota_messages,
 *	max_message_bytes, lang, zone, may_change_password, pop3, smtp, web,
 *	forward, forward_keep, aliases, roles, disabled
 *
 * An empty field leaves what the domain's new users get.  "forward",
 * "aliases" and "roles" hold several words separated by blanks; "disabled" is
 * yes, no or the time (RFC 3339) until which; "must_change", yes or no, is of
 * the password, and with it never exported.
 */
struct user_csv {
	struct table table;
	struct pool pool; /* of the row last read */
	int columns[TABLE_FIELDS_MAX];
	size_t count;
	bool has_roles; /* there is a column of them */
	json_t *seen;   /* addresses so far */
};

/* `text` must outlive it.  ERR_SYNTAX: an unknown or a missing column. */
int user_csv_init(
    struct user_csv *c, struct slice text, struct err *e) MUST_CHECK;
void user_csv_release(struct user_csv *c); /* a zeroed one is fine */

/* The first line, and that of a user as accountd shows him. */
void user_csv_put_header(struct buf *out);
void user_csv_put(struct buf *out, const json_t *user);

/*
 * Users on their way to accountd, in packets it takes: ask `call` for the
 * answer to each {"verb": "user import", ...} and tell `line` of each user.
 */
struct user_import {
	bool dry_run;
	/* A new request in, its answer (new) out. */
	int (*call)(
	    void *arg, json_t *request, json_t **reply_out, struct err *e);
	/* error NULL: it worked. */
	void (*line)(
	    void *arg, size_t line, const char *address, const char *error);
	void *arg;
	size_t good, bad;
};

/* -1: accountd does not answer, or the table is none; the rest is not done. */
int user_import(
    struct user_import *i, struct slice text, struct err *e) MUST_CHECK;

#endif /* DIRECTORY_USER_CSV_H */
