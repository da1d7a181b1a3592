#ifndef QUEUE_TOOLS_H
#define QUEUE_TOOLS_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"

#include "queue/runner.h"

/*
 * The administrator's tools that ask the network: they run here, because the
 * runner is the one program that may connect to others and the one that
 * already asks accountd who an administrator is; the pages' program and the
 * command line only ask for them over the control socket.
 *
 *	{"verb": "tool start", "tool": T, "args": {...}} -> {"job": N}
 *	{"verb": "tool show", "job": N}
 *		-> {"job", "tool", "args", "state": running|done, "result"?,
 *		    "done_ms"?}
 *	{"verb": "tool last", "tool": T, "args": {"domain": D}?}
 *		-> the newest job of it (about D) that is done, or "job": 0;
 *		   "running": the number of a newer one
 *
 *	lookup   name, type, server?     {status, answers[], ms}
 *	domain   domain                  {domain, records[], checks[],
 *	                                  exchangers[]} (directory/domain_check.h)
 *	console  host, port, tls, commands[]   {dialogue[{from, text}], error?}
 *	route    from, to, ip, user?     policy/route.h
 *	relay    -                       {open, tried[{from, to, verdict, reply}]}
 *	server   -                       {checks[{id, state: ok|warn|bad|unknown,
 *	                                  found, fix}], certificates[], at}
 *	send     to                      {id}: a test message, to be traced
 *
 * A result with "error" says why there is none.  Jobs wait for one of a few
 * threads; every wait in one has a limit of 5 s.  The newest JOBS_KEPT are kept.
 */
struct tools;
struct tools *tools_new(void);
int tools_start(struct runner *r, struct err *e) MUST_CHECK;

/* NULL: not a verb of ours. */
json_t *tools_verb(struct runner *r, const char *verb, json_t *request);

/* --- by file ------------------------------------------------------------------ */

/* What watch.c writes of the last look. */
#define TOOLS_HEALTH "run/health.json"

enum {
	TOOLS_HEALTH_MAX = 1024 * 1024,
	TOOL_LIMIT_MS = 5000
};

/* A tool: its result, or NULL and the error. */
typedef json_t *tool_function(
    struct runner *r, const json_t *args, struct err *e);

tool_function tool_lookup, tool_console, tool_domain;         /* tools_net.c */
tool_function tool_server, tool_relay, tool_route, tool_send; /* tools_self.c */

/* A text argument; "" when it is missing. */
const char *tool_arg(const json_t *args, const char *name);

/*
 * The part of "server" that is cheap: services, disk, queue, certificates
 * (directory/certs.h), public address.  {checks[], certificates[], address?},
 * a new reference.
 */
json_t *tools_health(struct runner *r, const struct settings *s);

/*
 * Whether server.hostname leads to our public address, and whether that is
 * the one run/health.json knows: a check is appended to `checks` unless
 * dns.self_check is off or we cannot know our address.  Ours are
 * nat.addresses, else the public ones we listen on, else the one we send
 * from.  {now, before, changed_at} for the next look, new; NULL = unknown.
 */
json_t *tools_address(
    struct runner *r, const struct settings *s, json_t *checks);

/*
 * A note from the server to one address, through the spool; its id into
 * `id_out` (or NULL).
 */
int tools_mail(struct runner *r, const char *to, const char *subject,
    const char *text, char *id_out, struct err *e) MUST_CHECK;

/*
 * A conversation with a server: connect to the host (a name or an address),
 * send the commands one by one, each after the answer to the one before.
 */
struct dialogue {
	const char *host;
	uint16_t port;
	bool tls;          /* from the start */
	bool pop3;         /* else SMTP */
	json_t *lines;     /* {from: client|server|note, text} are appended */
	json_t *connected; /* the address, once connected; or NULL */
	int64_t not_after_ms; /* of a certificate, when TLS was spoken */
};

int dialogue_run(struct runner *r, struct dialogue *d, const json_t *commands,
    struct err *e) MUST_CHECK;

#endif /* QUEUE_TOOLS_H */
