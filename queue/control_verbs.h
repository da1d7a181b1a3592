#ifndef QUEUE_CONTROL_VERBS_H
#define QUEUE_CONTROL_VERBS_H

#include <sys/types.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/runner.h"
#include "queue/spool_runner.h"

/*
 * What control.h says about messages: list, show and groups (control_verbs.c),
 * and the acts on them (control_acts.c); and about mailboxes.
 */

/* A connection, and who stands behind the request at hand. */
struct control_session {
	struct runner *runner;
	uid_t uid;
	char actor[256];
	const char *token; /* of the request's web session, or NULL */
	/* Whose messages they may see and change; NULL: all. */
	const char **owners;
	size_t owner_count;
	/* Acts that are not on the disk yet, see "more". */
	bool is_acting;
	size_t refused; /* spool_counts.refused before them */
};

/* "waiting", "sent" or "failed". */
const char *control_recipient_state(const struct envelope_recipient *r);

/* {"ok": false, ...} */
json_t *control_refusal(const char *code, const char *text);

/*
 * Do what an administrator asks; the answer, or NULL when there is no such
 * verb here.
 */
json_t *control_verb(
    struct control_session *s, const char *verb, json_t *request);

/* The same for the acts. */
json_t *control_act(
    struct control_session *s, const char *verb, json_t *request);

/* The same for what deleted accounts left (control_mailboxes.c). */
json_t *control_mailbox(
    struct control_session *s, const char *verb, json_t *request);

/* "active", "deferred", "held". */
const char *control_state_name(enum spool_state state);

/* --- Which messages a request is about ------------------------------------------- */

struct selection {
	struct spool_filter filter;
	const char **ids; /* sorted; NULL: whatever fits the filter */
	size_t id_count;
	bool is_given;          /* something was selected, "all" at least */
	int64_t until_ms;       /* monotonic: when to stop looking */
	struct spool_info info; /* the last one that was found */
	struct spool_info batch[64];
	size_t batch_count, at;
	bool was_last; /* behind this batch there is none */
};

/* Strings are the request's.  False: not understood.  Always release it. */
bool selection_init(
    struct selection *out, const struct control_session *s, json_t *request);
void selection_release(struct selection *sel);

/*
 * The next message that fits, into sel->info, with its envelope for
 * envelope_release(), strings in `pool`; `v` may be NULL.
 */
bool selection_next(struct control_session *s, struct selection *sel,
    struct pool *pool, struct envelope *v);

#endif /* QUEUE_CONTROL_VERBS_H */
