#ifndef QUEUE_CONTROL_VERBS_H
#define QUEUE_CONTROL_VERBS_H

#include <sys/types.h>

#include <jansson.h>
#include <stddef.h>

#include "queue/runner.h"

/* What control.h says about messages: list, show and the acts on them. */

struct control_session {
	struct runner *runner;
	uid_t uid;
	char actor[256];
	struct spool_info *list; /* of the last listing from its start */
	size_t count;
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

#endif /* QUEUE_CONTROL_VERBS_H */
