#ifndef QUEUE_CONTROL_H
#define QUEUE_CONTROL_H

/*
 * The runner's control socket, run/queue.sock: SOCK_SEQPACKET, one JSON object
 * of at most CONTROL_PACKET_MAX bytes a packet, one answer a question.
 *
 * Who asks follows from SO_PEERCRED (uid 0 or the owner of the state
 * directory) or from "session", a web session token of an administrator, which
 * accountd is asked about.  Others get "code": "forbidden"; users of the system
 * that are neither operators nor those of the pages' programs are hung up on.
 * For a domain's administrator there are only the messages of own domains
 * (spool_owner()), and no bounce, no statistics and no tools.
 *
 *	{"verb": V, ...} -> {"ok": true, ...}
 *	                    {"ok": false, "code": C, "text": T}
 *
 * Verbs:
 *  list        selection, "state"?, "after"?, "limit"? (at most 1000),
 *              "brief"? (of M only id and state)
 *              -> {"messages": [M...], "next": ID?}; go on with "after": ID;
 *              a page may have fewer than asked for, even none
 *  groups      -> {"active", "deferred", "held", "total", "at_ms", "groups":
 *              [{destination, count, next_ms, oldest_ms, reply}...]}: for
 *              which domains how many deferred messages wait, the largest 50
 *  show        "id" -> {"message": M with all recipients (as fit) and envelope}
 *  retry       selection: due now; forgets which hosts are dead
 *  hold        selection, "reason"?
 *  release     selection: from hold, due now
 *  bounce      selection: gives up; senders are told
 *  delete      selection: gone without a word
 *              -> {"done": N, "failed": [{"id", "code": not-found|refused|
 *              temp, "text"}...]}, when the disk has what was done, or with
 *              "more": true at once: whoever asks goes on, and the last
 *              act without it, on whichever messages, covers all before it
 *              Each message is acted upon as a whole or not at all; what is
 *              cut off in the middle was done to some, and can be repeated
 *              Acts of sessions are in the audit log before they are done;
 *              the operator's program puts down its own.
 *  statistics  -> {"active", "deferred", "held", "corrupt", "segments",
 *              "journal_bytes", "jobs", "lanes", "dead_lanes",
 *              "remote_waiting", "remote_active", "remote_idle",
 *              "delivered", "sent", "attempts_deferred", "bounced"}
 *
 * What deleted accounts left (maildir/left.h), for server administrators with
 * a session; accountd puts each act down before it, and for the last two wants
 * a password shown within five minutes (code "not-fresh").  Refusals carry
 * "kind" as accountd's do:
 *  mailbox list   "after"? -> {"items": [{address, aside_at}...], "next"?}:
 *                 what was put aside, by address
 *  mailbox aside  "address", of which there is no account
 *  mailbox back   "address", an account's: what was put aside last
 *  mailbox purge  "address"?, "days": what was put aside longer ago
 *                 -> {"removed": N}
 *
 * Three verbs are for users, who show their webmail session and get at their
 * own messages only; refusals carry "kind" as accountd's do:
 *  take back   "id": out of the queue, before its not-before time
 *  delivery    "id" -> {"recipients": [{address, state: waiting|deferred|
 *              sent|failed, reply, remote, at_ms}...]}, the first 200
 *  domains     "domains": [D...], of recipients, at most 20; only from
 *              webmail's own user -> {"bad": [{domain, why: nowhere (no such
 *              domain)|no-server|refuses (RFC 7505)}...]} within about 3 s;
 *              those that cannot be judged now are not in it
 *
 * A selection is "ids": [ID...], or any of "sender", "recipient",
 * "destination" (all given must fit), or "all": true.  For list none means
 * all.
 *
 * M is {id, state: active|deferred|held, sender, size, accepted_at,
 * next_try_at, attempts, recipient_count, recipients: [{address, state:
 * waiting|sent|failed, reply}...], hold_reason?}; list shows the first 20
 * recipients.
 *
 * Suspending is the setting queue.suspended (no, remote, all), written through
 * accountd; the runner follows within a second.
 */
enum {
	CONTROL_PACKET_MAX = 65536
};

#endif /* QUEUE_CONTROL_H */
