#ifndef ACCOUNTD_AUTH_H
#define ACCOUNTD_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"
#include "base/mem.h"
#include "base/slice.h"
#include "directory/accountd.h"
#include "directory/directory.h"

#include "core.h"
#include "store_secrets.h"

/*
 * One attempt to sign in, whatever the mechanism:
 *
 *	auth_begin()    whom the login name means, must the client wait, keys
 *	auth_verify()   the password against them (or SCRAM does its own)
 *	auth_finish()   may this account use this service; counts; one log line
 *
 * An unknown name goes through all of it with keys that fit nothing, in the
 * same time and with the same answer.
 */
struct auth_client {
	char service[8]; /* smtp, pop3, web */
	char ip_text[IP_TEXT_SIZE];
	struct ip ip;
	char log_id[40];
	bool tls;
	bool has_exporter;
	uint8_t exporter[32];
};

struct auth_attempt {
	struct auth_client client;
	struct pool pool;
	char *login; /* as given, for the log */
	char *name;  /* the account's address, or the login in lower case */
	const char *mechanism;
	bool begun, found, known, cached;
	bool by_app_password;
	bool needs_code; /* of the second factor, before it is signed in */
	struct dir_account account; /* when found */
	struct password_keys keys;  /* invented when not found */
	const char *reason;         /* static, for the log */
};

/* AUTH_MORE: go on; AUTH_BUSY: must wait, or the store cannot answer. */
enum auth_result auth_begin(
    struct core *c, struct auth_attempt *a, struct slice login);

/* AUTH_OK, AUTH_FAILED, or AUTH_BUSY when no core became free. */
enum auth_result auth_verify(
    struct core *c, struct auth_attempt *a, struct slice password);

/* The decision; logs it. */
enum auth_result auth_finish(
    struct core *c, struct auth_attempt *a, enum auth_result verified);

/*
 * After auth_finish() with needs_code: only now does the attempt count as good
 * or as failed.
 */
void auth_code_checked(struct core *c, struct auth_attempt *a, bool right);

void auth_attempt_release(struct auth_attempt *a); /* wipes; reusable */

/* Ban for ban.time from now on, and log it; `ban` has all but its times. */
void auth_ban(struct core *c, struct ban *ban, const char *log_id);

#endif /* ACCOUNTD_AUTH_H */
