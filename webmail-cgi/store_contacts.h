#ifndef WEBMAIL_CGI_STORE_CONTACTS_H
#define WEBMAIL_CGI_STORE_CONTACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "directory/sql.h"

/*
 * The address book in a user's own file (store_user.h): people, groups, and
 * what an address field is completed from.  `db` NULL: there is nothing.
 * Strings live in the pool.
 */
enum {
	CONTACTS_MAX = 20000,
	CONTACT_ADDRESSES_MAX = 20,
	CONTACT_TEXT_MAX = 500, /* name, company, an address */
	CONTACT_NOTE_MAX = 16 * 1024,
	CONTACT_MORE_MAX = 64 * 1024, /* a card with a picture is cut */
	CONTACT_GROUPS_MAX = 200,
};

struct contact_address {
	const char *kind; /* "home", "work", "" */
	const char *address;
};

struct contact {
	int64_t id;                              /* 0: new */
	const char *name, *company, *note, *uid; /* never NULL */
	const char *phones;                      /* one a line */
	const char *more;        /* vCard lines we have no field for */
	const char *groups_text; /* names, one a line */
	struct contact_address *addresses;
	size_t address_count;
};

/* All strings "", no address. */
void contact_init(struct contact *c);

struct contacts {
	struct contact *list; /* of each only id, name, company, addresses[0] */
	size_t count;
	bool more;
};

struct contact_query {
	const char *text; /* in name, company or an address; "" = all */
	int64_t group;    /* 0: all */
	int64_t after;    /* those behind this contact; 0: from the start */
	size_t limit;
};

/* By name. */
int store_contacts(struct sql *db, const struct contact_query *q,
    struct pool *pool, struct contacts *out, struct err *e) MUST_CHECK;

/* 1 found, 0 not there. */
int store_contact_find(struct sql *db, int64_t id, struct pool *pool,
    struct contact *out, struct err *e) MUST_CHECK;

/* The id of who has this uid, or else this address; 0: nobody. */
int store_contact_lookup(struct sql *db, const char *uid, const char *address,
    int64_t *id_out, struct err *e) MUST_CHECK;

/*
 * Add (id 0: set) or replace, with addresses and groups, which are made if
 * they are not there.  Texts are cut at their ceilings.  Within the caller's
 * transaction.  ERR_PERM: there are CONTACTS_MAX already.
 */
int store_contact_put(struct sql *db, struct contact *c, int64_t now_ms,
    struct err *e) MUST_CHECK;
int store_contact_delete(struct sql *db, int64_t id, struct err *e) MUST_CHECK;

/* --- Groups ------------------------------------------------------------------------ */

struct contact_group {
	int64_t id;
	const char *name;
	int64_t count;
};

struct contact_groups {
	struct contact_group *list; /* by name */
	size_t count;
};

int store_groups(struct sql *db, struct pool *pool, struct contact_groups *out,
    struct err *e) MUST_CHECK;
/* ERR_PERM: the name is there already. */
int store_group_add(struct sql *db, const char *name, struct err *e) MUST_CHECK;
int store_group_rename(
    struct sql *db, int64_t id, const char *name, struct err *e) MUST_CHECK;
int store_group_delete(struct sql *db, int64_t id, struct err *e) MUST_CHECK;

/* --- Completion -------------------------------------------------------------------- */

/* One a person's address; or a group: address is the whole list of it. */
struct suggestion {
	const char *name, *address;
	bool is_group;
};

enum {
	SUGGESTIONS_MAX = 10,
};

/*
 * Who is meant by `text`: people and groups of the address book and addresses
 * written to, those used often and lately first.
 */
int store_complete(struct sql *db, const char *text, int64_t now_ms,
    struct pool *pool, struct suggestion out[SUGGESTIONS_MAX],
    size_t *count_out, struct err *e) MUST_CHECK;

#endif /* WEBMAIL_CGI_STORE_CONTACTS_H */
