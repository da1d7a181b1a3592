#ifndef QUEUE_CLIENT_STEP_H
#define QUEUE_CLIENT_STEP_H

#include "base/compiler.h"
#include "base/err.h"

#include "queue/client.h"

/*
 * The steps of the dialogue, shared by client.c and client_send.c and by
 * nobody else.  Functions returning int: 0, or -1 with *o filled in; a
 * connection that is of no use any more has c->usable false then.
 */
enum step {
	STEP_GREETING,
	STEP_EHLO,
	STEP_HELO,
	STEP_STARTTLS,
	STEP_TLS,
	STEP_AUTH,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_TEXT,
	STEP_DOT,
	STEP_RSET,
	STEP_QUIT,
};

enum cap {
	CAP_PIPELINING = 1,
	CAP_8BITMIME = 2,
	CAP_SMTPUTF8 = 4,
	CAP_STARTTLS = 8,
	CAP_DSN = 16,
	CAP_SIZE = 32,
	CAP_AUTH_PLAIN = 64,
	CAP_AUTH_LOGIN = 128,
};

enum {
	CLIENT_COMMAND_MAX = 4096, /* MAIL with a long ENVID */
};

/* A step begins: no wait beyond its own time, nor the transfer's. */
void client_begin(struct client *c, enum step step);

/* The connection failed during the step. */
int client_give_up(
    struct client *c, struct outcome *o, enum step step, struct err *e);

/* Collect a command; it goes out with the next read. */
int client_command(struct client *c, enum step step, struct outcome *o,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Read one whole reply into c->reply; what it means, by code and step. */
int client_read_reply(struct client *c, enum step step, struct outcome *o);

/* Command and reply in one; 0 when the reply is the good one. */
int client_exchange(
    struct client *c, enum step step, struct outcome *o, const char *text);

#endif /* QUEUE_CLIENT_STEP_H */
