#ifndef DIRECTORY_SETTINGS_H
#define DIRECTORY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * The settings registry (DESIGN 4.2).  settings.def has one row a setting:
 *
 *	SETTING(ID, "name", TYPE, "default", min, max, "choices", SCOPE,
 *	    restart, "help")
 *
 * and is the only place that knows a name, default or bound: validation, the
 * web form, `mailstead set` and mailstead-settings(5) come from it.
 */
enum setting_type {
	SETTING_BOOL,        /* yes, no */
	SETTING_INT,         /* min..max */
	SETTING_SIZE,        /* bytes: 50M, 50 MiB; min..max */
	SETTING_DURATION,    /* seconds: 20m, 5d; min..max */
	SETTING_CHOICE,      /* one of "a|b|c" */
	SETTING_TEXT,        /* one line of UTF-8, min..max bytes */
	SETTING_LIST,        /* separated by comma, space or newline */
	SETTING_IP_LIST,     /* list of ip_set forms */
	SETTING_DURATIONS,   /* list of durations: the retry curve */
	SETTING_HOST,        /* host name, kept as lower-case A-labels */
	SETTING_SERVER_LIST, /* list of addresses, each with or without port */
};

enum setting_scope {
	SCOPE_SERVER,
	SCOPE_NODE,
	SCOPE_DOMAIN
};

enum setting_id {
#define SETTING(id, name, type, def, min, max, choices, scope, restart, help) \
	id,
#include "directory/settings.def"
#undef SETTING
	SETTING_COUNT
};

struct setting {
	const char *name;
	enum setting_type type;
	const char *fallback; /* the default, as text */
	int64_t min, max;
	/* CHOICE: "a|b|c"; TEXT and lists: "" or a form (setting_form.h) */
	const char *choices;
	enum setting_scope scope;
	bool needs_restart;
	const char *help;
};

extern const struct setting setting_table[SETTING_COUNT];

/* NULL: no such setting. */
const struct setting *setting_find(const char *name);
enum setting_id setting_id_of(const struct setting *s);
/*
 * May a wrong value lock the administrator out or open the server to
 * everybody?  The web tries such a change for a minute (accountd's "setting
 * keep").
 */
bool setting_is_risky(const struct setting *s);

/* Is its value a password?  Then no log, audit line or bundle has it. */
bool setting_is_secret(const struct setting *s);

/*
 * Check a text and bring it to its canonical form ("50 MiB" -> "52428800").
 * ERR_PERM with the reason a person can use.
 */
int setting_check(const struct setting *s, const char *text, char *out,
    size_t size, struct err *e) MUST_CHECK;

enum {
	SETTING_VALUE_SIZE = 16384
};

/*
 * All values at one moment: immutable and reference-counted.  Parsed once;
 * reading costs an array access.
 */
struct settings;
struct settings *settings_ref(struct settings *s);
void settings_free(struct settings *s); /* drops one reference; NULL is fine */

bool settings_bool(const struct settings *s, enum setting_id id);
/* INT, SIZE (bytes) and DURATION (seconds). */
int64_t settings_int(const struct settings *s, enum setting_id id);
/* Any type as canonical text; valid as long as the settings are held. */
const char *settings_text(const struct settings *s, enum setting_id id);
/* CHOICE: index of the chosen word in `choices`. */
int settings_choice(const struct settings *s, enum setting_id id);
/* LIST and DURATIONS: items. */
size_t settings_count(const struct settings *s, enum setting_id id);
const char *settings_item(
    const struct settings *s, enum setting_id id, size_t i);
int64_t settings_item_int(
    const struct settings *s, enum setting_id id, size_t i);
/* IP_LIST: is the address in it? */
struct ip;
bool settings_has_ip(
    const struct settings *s, enum setting_id id, const struct ip *ip);

/* LIST of rows address=value: the value for this address, or NULL. */
const char *settings_for_ip(
    const struct settings *s, enum setting_id id, const struct ip *ip);

/* Our own name on this address: smtp.names, else server.hostname. */
const char *settings_own_name(const struct settings *s, const struct ip *ip);

/*
 * Used by the store: a new set from (name, text) rows over the defaults; rows
 * that are unknown or do not check are logged and left at their default.
 */
struct settings *settings_build(
    const char *const *names, const char *const *values, size_t count);

#endif /* DIRECTORY_SETTINGS_H */
