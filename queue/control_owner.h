#ifndef QUEUE_CONTROL_OWNER_H
#define QUEUE_CONTROL_OWNER_H

#include "queue/control_verbs.h"

/*
 * What users may ask about their own messages ("take back", "delivery"): see
 * control.h.  NULL when it is no such verb.
 */
json_t *control_owner_verb(
    struct control_session *s, const char *verb, json_t *request);

/*
 * "domains", of an account (control_domains.c): which of the domains mail
 * cannot be sent to.
 */
json_t *control_domains(
    struct control_session *s, const char *account, const json_t *request);

#endif /* QUEUE_CONTROL_OWNER_H */
