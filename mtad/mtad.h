#ifndef MTAD_MTAD_H
#define MTAD_MTAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/id.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/slice.h"
#include "directory/accountd.h"
#include "directory/directory.h"
#include "mail/address.h"
#include "net/stream.h"
#include "net/tls_server.h"
#include "policy/policy.h"
#include "proc/limits.h"
#include "proc/service.h"

#include "queue/envelope.h"
#include "queue/spool.h"

/*
 * The SMTP server's own objects: the worker's, a session, and inside it but
 * apart from it a transaction.
 *
 * A session belongs to one thread at a time and to none while it waits for a
 * command.  A transaction has one end, whatever
 * happened: transaction_reset().  Every way out of MAIL, RCPT and DATA goes
 * through it, so nothing of a message can be left for the next one.
 */
enum mtad_kind {
	MTAD_MX,          /* 25 */
	MTAD_SUBMISSION,  /* 587, STARTTLS */
	MTAD_SUBMISSIONS, /* 465, TLS from the start */
	MTAD_LOCAL,       /* run/submit.sock: programs of this machine */
	MTAD_KINDS
};

enum {
	ACCOUNTD_MS = 10000,   /* it answers a question beside signing in */
	ACCOUNTD_BAN_MS = 2000 /* or, before the greeting, about a ban */
};

/* What all sessions of a worker share. */
struct mtad {
	struct worker *worker;
	struct directory *directory;
	struct accountd *accountd;
	struct spool_writer *spool;
	struct limits *limits;
	atomic_bool queue_full;
	/* service_resume(), but where a test runs the sessions */
	void (*resume)(struct connection *c);

	struct tls_server tls; /* by enum mtad_kind */

	pthread_mutex_t lock;     /* of what follows */
	struct session *sessions; /* a ring list's first */
};

/* Where a session is; bits, for the verb table. */
enum smtp_state {
	SMTP_NEW = 1,   /* no EHLO yet */
	SMTP_READY = 2, /* may begin a message */
	SMTP_MAIL = 4,  /* has a sender */
	SMTP_RCPT = 8,  /* has a recipient */
	SMTP_ANY = 15,
	SMTP_GREETED = SMTP_READY | SMTP_MAIL | SMTP_RCPT,
};

/* A message on its way in.  Zeroed = none. */
struct transaction {
	struct pool pool;
	struct address sender;
	struct envelope envelope;
	const char *rule;      /* that accepted the first recipient */
	uint32_t *rcpt_hashes; /* of the recipients' addresses */
	size_t rcpt_hash_alloc;
	size_t local_count; /* recipients of ours */
	struct spool_message *message;
	struct data *data; /* from DATA on; data.c's */
};

struct session {
	struct mtad *mtad;
	struct session *next, *prev;
	struct connection *connection;
	struct stream stream;
	struct settings *settings; /* a reference; fresh with each MAIL */
	struct pool pool;          /* ends with the session */
	char id[SESSION_ID_SIZE];
	enum mtad_kind kind;
	struct ip client, local;
	char client_ip[IP_TEXT_SIZE];
	const char *client_name; /* forward-confirmed, or "" */
	bool client_name_asked;
	bool is_xclient;         /* may use XCLIENT */
	uint64_t limit_key;      /* 0 = not counted */
	uint64_t user_limit_key; /* 0 = not counted */

	enum smtp_state state;
	bool is_esmtp;
	bool is_shaking;  /* hands: TLS is not there yet */
	atomic_bool idle; /* in no command but AUTH: may be woken to stop */
	_Atomic int64_t wait_until_ms; /* 0 = waits for nothing */
	const char *helo;              /* "" before */
	struct dir_account *user;      /* signed in, or NULL */
	unsigned commands, junk, errors, auth_failures;

	struct policy_input facts; /* of the client, and of the transaction */
	struct transaction tx;
};

/* --- session.c ------------------------------------------------------------- */

/* A turn of one connection (proc/service.h); owns c->fd. */
enum turn session_turn(struct worker *w, struct connection *c);

/* End the waiting of sessions: whose time is over; all when stopping. */
void session_end_waits(struct mtad *m);

/* Collect a reply; `enhanced` NULL for those that have none.  0 or -1. */
int session_reply(struct session *s, int code, const char *enhanced,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

/* As above for a verdict that refuses, and log it. */
int session_refuse(struct session *s, const struct policy_verdict *v);

/* Say why and end: always -1. */
int session_end(
    struct session *s, int code, const char *enhanced, const char *text);

/* Reading failed: say why to whoever still listens.  Always -1. */
int session_end_failed(struct session *s, const struct err *e);

/* Settings and what policy knows of the client, anew. */
void session_refresh(struct session *s);

/* As before the first command (after STARTTLS and XCLIENT). */
void session_forget_greeting(struct session *s);

/* Not signed in any more. */
void session_forget_user(struct session *s);

/* Our own name on the address this client came to. */
const char *session_own_name(const struct session *s);

/* What a message may weigh, and less if the user has less; 0 = no limit. */
uint64_t session_max_bytes(const struct session *s);

/* How long the client may take for what comes next. */
void session_set_timeout(struct session *s, int64_t timeout_ms);

/* The greeting. */
int session_greet(struct session *s);

bool session_may_auth(const struct session *s);

/* May the client sign in without more ado (TLS, or a listed network)? */
bool session_is_private(const struct session *s);

/* The one end of a transaction. */
void transaction_reset(struct session *s);

/* --- the verbs -------------------------------------------------------------- */

int smtp_auth(void *session, struct slice args);    /* auth.c */
int smtp_mail(void *session, struct slice args);    /* envelope.c */
int smtp_rcpt(void *session, struct slice args);    /* envelope.c */
int smtp_data(void *session, struct slice args);    /* data.c */
int smtp_xclient(void *session, struct slice args); /* proxy.c */

/* --- data.c, while there is tx.data ------------------------------------------ */

/* Take what has arrived, or what became of the commit.  0 or -1. */
int data_step(struct session *s);

/* Is the message whole, and to be committed now? */
bool data_is_whole(const struct session *s);

/*
 * Commit it.  True: the session may be with another thread from now on.
 * False: it failed at once, data_step() answers.
 */
bool data_commit(struct session *s);

/* Has that happened, and data_step() shall answer? */
bool data_is_committed(const struct session *s);

/* Forget it; NULL is fine. */
void data_release(struct data *d);

/*
 * Read the PROXY header (version 2) and take over what it says; -1: it is not
 * one, close.
 */
int proxy_read(struct session *s, struct err *e) MUST_CHECK;

#endif /* MTAD_MTAD_H */
