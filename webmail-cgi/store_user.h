#ifndef WEBMAIL_CGI_STORE_USER_H
#define WEBMAIL_CGI_STORE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "directory/sql.h"

/*
 * What a user has beside mail (DESIGN 4.1): users/<domain>/<local-part>.db,
 * one SQLite file an account, written by webmail alone.  Its path is made as
 * the mailbox's is.  No file means: everything as it is by default.
 *
 * A handle is one thread's; it lives for a request.  Errors are those of
 * directory/sql.h; a newer file's is ERR_PERM.
 *
 * Tables (names are NOCASE where they are addresses):
 *	pref (name, value)                       below
 *	identity (address, name, reply_to, signature, is_default)
 *	label (id, name, hue, keyword)
 *	pictures_from (address)
 *	plain_from (address, plain)              else as the preference says
 *	collected (address, name, uses, last_ms) whom the user wrote to
 *	contact (id, name, company, note, phones, uid, more, changed_ms)
 *	contact_address (contact_id, place, kind, address)
 *	contact_group (id, name)
 *	contact_member (group_id, contact_id)
 *	outgoing (id, due_ms, dir, name, answers, verb)  sent, not yet due
 */

/*
 * With `create` the file is made if it is not there.  Without, 0 and *out
 * NULL: there is none.
 */
int store_user_open(const char *users_dir, struct slice local,
    struct slice domain, bool create, struct sql **out,
    struct err *e) MUST_CHECK;

/* --- Preferences --------------------------------------------------------------- */

/* A row of the table in store_user.c: name, default, what it may be. */
enum pref {
	PREF_LANG,       /* "" = as the browser says */
	PREF_ZONE,       /* "Europe/Oslo"; "" = UTC */
	PREF_THEME,      /* auto, light, dark */
	PREF_DENSITY,    /* cozy, compact */
	PREF_KEYS,       /* single-key shortcuts: yes, no */
	PREF_ROWS,       /* of a list page: 25, 50, 100 */
	PREF_TALKS,      /* conversations: yes, no */
	PREF_READ_AFTER, /* 0, 2, 5 seconds, or "never" (by hand) */
	PREF_PLAIN,      /* plain text where there is one: yes, no */
	PREF_PICTURES,   /* remote pictures: ask, always */
	PREF_QUOTE,      /* the answer goes above or below the quote, or none */
	PREF_UNDO,     /* seconds a sent message can be taken back: 0, 15, 30 */
	PREF_RECEIPTS, /* who asks for a receipt: ask me, never */
	PREF_COLLECT,  /* remember whom I write to: yes, no */
	PREF_COUNT,
};

struct prefs {
	const char *value[PREF_COUNT]; /* never NULL, always allowed */
};

/* `db` NULL: the defaults.  Strings live in the pool. */
int store_prefs(struct sql *db, struct pool *pool, struct prefs *out,
    struct err *e) MUST_CHECK;

/* Did the user choose it?  Else it is the default. */
bool store_pref_is_chosen(const struct prefs *prefs, enum pref p);

/* The defaults, static: for whoever is not signed in. */
void store_prefs_default(struct prefs *out);

const char *store_pref_name(enum pref p); /* as in forms and in the table */

/* The choices, separated by '|'; "" = any text of at most 64 bytes. */
const char *store_pref_choices(enum pref p);

/* ERR_SYNTAX: it may not be that. */
int store_pref_set(
    struct sql *db, enum pref p, const char *value, struct err *e) MUST_CHECK;

static inline bool
prefs_yes(const struct prefs *p, enum pref which)
{
	return p->value[which][0] == 'y';
}

/* --- Identities ------------------------------------------------------------------ */

/* What goes with one of the user's own addresses; strings never NULL. */
struct identity {
	const char *address, *name, *reply_to, *signature;
	bool is_default;
};

enum {
	IDENTITIES_MAX = 100,
	SIGNATURE_MAX = 8 * 1024,
};

/* 1 found, 0 not there (*out untouched). */
int store_identity_find(struct sql *db, const char *address, struct pool *pool,
    struct identity *out, struct err *e) MUST_CHECK;

/* Adds or replaces; with is_default no other is it any more. */
int store_identity_put(
    struct sql *db, const struct identity *i, struct err *e) MUST_CHECK;

/* --- Labels ------------------------------------------------------------------------ */

struct label {
	int64_t id;
	const char *name;
	int hue;             /* 0 to 7 */
	const char *keyword; /* in the Maildir: "$l1" */
};

struct labels {
	struct label *list;
	size_t count;
};

enum {
	LABELS_MAX = 50
};

/* By name.  `db` NULL: none. */
int store_labels(struct sql *db, struct pool *pool, struct labels *out,
    struct err *e) MUST_CHECK;

/*
 * ERR_PERM: the name is there already, or there are LABELS_MAX.  A deleted
 * label's keyword stays in the Maildir and is not used again.
 */
int store_label_add(
    struct sql *db, const char *name, int hue, struct err *e) MUST_CHECK;
int store_label_change(struct sql *db, int64_t id, const char *name, int hue,
    struct err *e) MUST_CHECK;
int store_label_delete(struct sql *db, int64_t id, struct err *e) MUST_CHECK;

/* --- Senders whose remote pictures are shown ------------------------------------------ */

/* 1 yes, 0 no.  `db` NULL: no. */
int store_pictures_allowed(
    struct sql *db, const char *address, struct err *e) MUST_CHECK;
int store_pictures_allow(
    struct sql *db, const char *address, struct err *e) MUST_CHECK;
int store_pictures_forget(
    struct sql *db, const char *address, struct err *e) MUST_CHECK;
/* The first 1000, by name. */
int store_pictures_list(struct sql *db, struct pool *pool,
    const char ***list_out, size_t *count_out, struct err *e) MUST_CHECK;

/* --- Senders whose mail is shown as plain text, or never so ------------------------------ */

/* 1 found, 0 nothing is said of them (*plain_out untouched).  `db` NULL: 0. */
int store_plain_find(struct sql *db, const char *address, bool *plain_out,
    struct err *e) MUST_CHECK;
int store_plain_put(
    struct sql *db, const char *address, bool plain, struct err *e) MUST_CHECK;

/* --- Collected addresses ----------------------------------------------------------------- */

enum {
	COLLECTED_MAX = 5000, /* those used longest ago go first */
};

/* A message went to this address. */
int store_collect(struct sql *db, const char *name, const char *address,
    int64_t now_ms, struct err *e) MUST_CHECK;

/* --- Sent, and not yet due ----------------------------------------------------------------- */

/*
 * A message in the spool that waits for its time: it can be taken back, and
 * what follows from its going out is done when it is due.
 */
struct outgoing_row {
	const char *id;      /* in the spool */
	int64_t due_ms;      /* wall clock */
	const char *dir;     /* where its copy lies: ".Sent", ".Scheduled" */
	const char *name;    /* the copy's base name */
	const char *answers; /* "<dir>/<base name>" of the original, or "" */
	const char *verb;    /* "reply", "forward", or "" */
};

struct outgoing_rows {
	struct outgoing_row *list;
	size_t count;
};

int store_outgoing_add(
    struct sql *db, const struct outgoing_row *o, struct err *e) MUST_CHECK;
/* 1 found, 0 not there. */
int store_outgoing_find(struct sql *db, const char *id, struct pool *pool,
    struct outgoing_row *out, struct err *e) MUST_CHECK;
/* By the copy's base name. */
int store_outgoing_find_copy(struct sql *db, const char *name,
    struct pool *pool, struct outgoing_row *out, struct err *e) MUST_CHECK;
/* Due at `now_ms` or earlier, at most 100. */
int store_outgoing_due(struct sql *db, int64_t now_ms, struct pool *pool,
    struct outgoing_rows *out, struct err *e) MUST_CHECK;
/* 1 deleted, 0 it was not there: somebody else saw to it. */
int store_outgoing_delete(
    struct sql *db, const char *id, struct err *e) MUST_CHECK;

#endif /* WEBMAIL_CGI_STORE_USER_H */
