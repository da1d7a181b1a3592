#ifndef DIRECTORY_CONFIG_H
#define DIRECTORY_CONFIG_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * The bootstrap: what must be known before the directory can be read.  From
 * STATE/mailstead.conf if it is there (development, demo), else
 * /etc/mailstead/mailstead.conf; INI, read with inih.  Nothing else is ever
 * configured by file: settings live in the directory.
 *
 *	[mailstead]
 *	state = /var/lib/mailstead
 *	mail_root = /srv/mail          ; default STATE/mail
 *	[users]                        ; empty: all run as who started them
 *	mta = mailstead-mta
 *	queue = mailstead-queue
 *	pop = mailstead-pop
 *	auth = mailstead-auth
 *	web = mailstead-web
 *	admin = mailstead-admin
 *	parse = mailstead-parse
 */
enum {
	CONFIG_PATH_SIZE = 256
};

struct config {
	char state_dir[CONFIG_PATH_SIZE]; /* absolute */
	char mail_root[CONFIG_PATH_SIZE];
	char user_mta[64], user_queue[64], user_pop[64], user_auth[64],
	    user_web[64], user_admin[64], user_parse[64];
};

/*
 * `state_dir` NULL: MAILSTEAD_STATE, else the installed file's.  ERR_PERM:
 * not a state directory, unreadable, open to everybody's writing, unknown key
 * or over-long value; the text names file and line.
 */
int config_load(
    const char *state_dir, struct config *out, struct err *e) MUST_CHECK;

/* The same for a directory that is only about to become one. */
int config_load_new(
    const char *state_dir, struct config *out, struct err *e) MUST_CHECK;

/* STATE/<relative> into a buffer; ERR_PERM if it does not fit. */
int config_path(const struct config *c, char *out, size_t size, struct err *e,
    const char *fmt, ...) PRINTF_LIKE(5, 6) MUST_CHECK;

/*
 * Write mail_root (NULL: none, so STATE/mail) into the file that speaks for
 * the state directory; running programs go on with the old one.
 */
int config_set_mail_root(
    const struct config *c, const char *root, struct err *e) MUST_CHECK;

#endif /* DIRECTORY_CONFIG_H */
