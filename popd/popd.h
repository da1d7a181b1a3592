#ifndef POPD_POPD_H
#define POPD_POPD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/id.h"
#include "base/ip.h"
#include "base/slice.h"
#include "directory/accountd.h"
#include "directory/directory.h"
#include "net/stream.h"
#include "net/tls_server.h"
#include "proc/limits.h"
#include "proc/service.h"

#include "popd/mailbox.h"

/*
 * The POP3 server (RFC 1939): what its files share.
 *
 * A session is in AUTHORIZATION until accountd says who it is, then in
 * TRANSACTION with a snapshot of the mailbox taken under the mailbox's lock.
 * Only QUIT in TRANSACTION deletes anything (UPDATE).
 */
enum popd_kind {
	POPD_PLAIN, /* 110, STLS */
	POPD_TLS    /* 995 */
};

/* What all sessions of a worker share. */
struct popd {
	struct worker *worker;
	struct directory *directory;
	struct accountd *accountd;
	struct mailbox_store store;
	struct limits *limits;
	struct tls_server tls; /* one kind */
	pthread_mutex_t lock;  /* of what follows */
	struct session *sessions;
};

enum pop3_state {
	POP3_AUTHORIZATION = 1,
	POP3_TRANSACTION = 2,
	POP3_ANY = 3
};

struct session {
	struct popd *popd;
	struct stream stream;
	struct session *next, *prev; /* under the worker's lock */
	atomic_bool idle;            /* waits for the client */
	struct settings *settings;
	char id[SESSION_ID_SIZE];
	struct ip client;
	char client_ip[IP_TEXT_SIZE];
	enum pop3_state state;
	bool may_login; /* encrypted, or from a network that need not be */
	char *login;    /* of USER; heap, or NULL */
	char *account;  /* signed in as; heap, or NULL */
	struct mailbox box;
	unsigned errors, auth_failures;
	uint64_t limit_key;
	const char *end; /* why it ended, for the log */
	uint64_t retrieved, retrieved_bytes, deleted;
};

/* --- session.c ---------------------------------------------------------------- */

void pop3_serve(struct worker *w, struct connection *c);
void pop3_busy(struct worker *w, const struct connection *c);

/* One reply line, "+OK ..." or "-ERR ...": 0, or -1 when the peer is gone. */
int pop3_ok(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
int pop3_err(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * A line from the client, as stream_read_line(); worker_stop() may end the
 * wait.  After any failure but ERR_SYNTAX the session is over.
 */
int pop3_read_line(struct session *s, size_t max, struct slice *line_out,
    struct err *e) MUST_CHECK;

/* --- login.c: the verbs of AUTHORIZATION ---------------------------------------- */

int pop3_user(void *session, struct slice args);
int pop3_pass(void *session, struct slice args);
int pop3_auth(void *session, struct slice args);
int pop3_stls(void *session, struct slice args);

/*
 * Messages went: tell accountd when a mailbox that was full has room again,
 * so that its mail is no longer refused at the door.
 */
void pop3_room_made(struct session *s);

/* Mechanisms offered on this connection now, or "". */
const char *login_mechanisms(const struct session *s);

/* --- message.c: RETR and TOP ------------------------------------------------------ */

/*
 * The message a command names: 1 and its number; else a reply is made and 0
 * (or -1 when the peer is gone) is for the verb to return.
 */
int pop3_message_number(struct session *s, struct slice arg, size_t *out);

int pop3_retr(void *session, struct slice args);
int pop3_top(void *session, struct slice args);

#endif /* POPD_POPD_H */
