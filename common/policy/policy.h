#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"

/*
 * May this client do this?  Pure functions of one struct: the same facts give
 * the same verdict in the SMTP server, in `mailstead check route` and in a
 * replay from the log.  Where the facts come from: policy/gather.h.
 *
 * Order of the rules: signed in, trusted, disallowed, then what the sender or
 * the recipient is.  Loopback is nothing special.
 */
enum policy_listener {
	POLICY_MX,         /* other servers */
	POLICY_SUBMISSION, /* our users */
};

/* relay.mode; the order of the setting's choices. */
enum policy_relay {
	POLICY_RELAY_NONE,
	POLICY_RELAY_ADDRESSES,
	POLICY_RELAY_LOCAL_HOSTS,
	POLICY_RELAY_LOCAL_USERS,
	POLICY_RELAY_ANYONE,
};

/* sender.relay_rule */
enum policy_relay_rule {
	POLICY_SENDER_ANY,
	POLICY_SENDER_LOCAL_DOMAIN,
	POLICY_SENDER_ACCOUNT,
};

/* sender.send_as */
enum policy_send_as {
	POLICY_SEND_OWN,
	POLICY_SEND_DOMAIN,
	POLICY_SEND_ANYONE,
};

/* sender.dns_error */
enum policy_dns_error {
	POLICY_DNS_ACCEPT,
	POLICY_DNS_DEFER,
	POLICY_DNS_REJECT,
};

/* Can the sender's domain receive mail? */
enum policy_sender_dns {
	POLICY_DNS_NOT_ASKED,
	POLICY_DNS_GOOD,
	POLICY_DNS_NO_DOMAIN, /* does not exist, or has no MX, A, AAAA */
	POLICY_DNS_NULL_MX,   /* says that it takes no mail (RFC 7505) */
	POLICY_DNS_FAILED,    /* cannot tell now */
};

/* What the directory says of the recipient. */
enum policy_recipient {
	POLICY_RCPT_REMOTE, /* the domain is not ours */
	POLICY_RCPT_MAILBOX,
	POLICY_RCPT_ALIAS, /* alias, forward or catch-all */
	POLICY_RCPT_LIST,
	POLICY_RCPT_UNKNOWN, /* ours, and nobody of that name */
	POLICY_RCPT_TEMP,    /* the directory cannot tell */
};

/* Is the recipient a return path that we gave to forwarded mail (SRS)? */
enum policy_return_path {
	POLICY_RETURN_NONE,
	POLICY_RETURN_GOOD,
	POLICY_RETURN_FORGED,
	POLICY_RETURN_EXPIRED,
	POLICY_RETURN_TEMP, /* cannot tell now */
};

struct policy_input {
	/* who */
	enum policy_listener listener;
	const char *client_ip; /* text */
	const char *user;      /* "" = not signed in */
	bool trusted;          /* in relay.trusted */
	bool relay_address;    /* in relay.addresses */
	bool no_delivery;      /* access.no_delivery or access.disallowed */
	bool no_relay;         /* access.no_relay or access.disallowed */
	bool auth_offered;     /* may the client still sign in here? */

	/* settings */
	enum policy_relay relay_mode;
	enum policy_relay_rule relay_rule;
	enum policy_send_as send_as;
	enum policy_dns_error dns_error;
	bool verify_domain;    /* sender.verify_domain */
	bool blank_sender;     /* sender.blank */
	bool quota_reject;     /* quota.full */
	bool disabled_deliver; /* account.disabled_mail */
	bool smarthost_always; /* smarthost.mode */
	bool queue_full;
	bool over_rate; /* limit.messages_per_... */

	/* sender */
	const char *sender; /* "" = null */
	bool sender_domain_local;
	bool sender_account; /* a mailbox or alias of ours */
	bool sender_own;     /* the user's own address or alias */
	bool sender_own_domain;
	bool sender_unknown; /* the directory cannot tell */
	enum policy_sender_dns sender_dns;

	/* recipient */
	const char *recipient;
	enum policy_recipient kind;
	enum policy_return_path return_path;
	bool recipient_no_domain; /* bare, and not postmaster */
	bool domain_disabled;
	bool account_disabled;
	bool quota_full;
	bool list_auth_required;
	bool list_members_only;
	bool list_member; /* the sender is one */
};

enum policy_action {
	POLICY_ACCEPT,
	POLICY_DEFER,
	POLICY_REJECT
};

enum policy_next {
	POLICY_LOCAL,
	POLICY_REMOTE,
	POLICY_SMARTHOST
};

/* All strings are static. */
struct policy_verdict {
	enum policy_action action;
	int code;             /* 250, 451, 550... */
	const char *enhanced; /* RFC 3463 */
	const char *text;     /* for the client */
	const char *rule;     /* which rule decided: stable names */
	const char *reason;   /* for the log */
	enum policy_next next;
};

/* At connect: 554 or 421 instead of the greeting, or accept. */
struct policy_verdict policy_connect(const struct policy_input *in);

/*
 * May commands other than EHLO, STARTTLS, AUTH, NOOP and QUIT come?  530 to
 * disallowed addresses until they have signed in.
 */
struct policy_verdict policy_command(const struct policy_input *in);

struct policy_verdict policy_sender(const struct policy_input *in);
struct policy_verdict policy_recipient(const struct policy_input *in);

/* Does any verdict depend on whether the sender is ours? */
bool policy_needs_sender(const struct policy_input *in);

/*
 * Append the struct as "key=value,..." with what is zero left out: what the
 * log keeps beside a verdict, to be judged again later.
 */
void policy_describe(const struct policy_input *in, struct buf *out);

const char *policy_action_name(enum policy_action a);
const char *policy_next_name(enum policy_next n);

#endif /* POLICY_POLICY_H */
