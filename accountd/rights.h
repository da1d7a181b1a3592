#ifndef ACCOUNTD_RIGHTS_H
#define ACCOUNTD_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "directory/sql.h"

/*
 * Who may do what: one function over one table (rights.c).  A verb declares
 * the right it needs and what it is about; it never checks a role itself,
 * except by asking rights_allow() for a stronger right.
 */
enum right {
	RIGHT_NONE,   /* having come in by the right socket is enough */
	RIGHT_SIGNED, /* any account with a session */
	RIGHT_SELF,   /* the account itself, or RIGHT_DOMAIN */
	RIGHT_LIST,   /* an administrator of the list, or RIGHT_DOMAIN */
	RIGHT_DOMAIN, /* an administrator of the domain, or RIGHT_SERVER */
	RIGHT_SERVER, /* a server administrator or the operator */
	RIGHT_COUNT
};

/* Who acts; a zeroed one is nobody. */
struct actor {
	bool is_operator;
	int64_t account_id; /* 0 = not signed in */
	uint32_t roles;     /* enum dir_role, read now */
	int64_t session_id;
	int64_t fresh_ms; /* when the session's password was last shown */
	bool must_enrol;  /* may do nothing before there is a second step */
	const char *name; /* for the audit log */
	const char *ip;   /* of the session, or NULL */
};

/* What a request is about; ids are 0 where there is none. */
struct target {
	int64_t domain_id; /* the real domain */
	int64_t alias_of;  /* when the row named is an alias domain */
	int64_t row_id;    /* of the domain as named */
	int64_t account_id, alias_id, list_id;
	uint32_t roles; /* of the account */
	const char *domain, *local, *address;
};

/* 1 yes, 0 no, -1 cannot tell. */
int rights_allow(struct sql *db, const struct actor *who, enum right needed,
    const struct target *what, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_RIGHTS_H */
