#ifndef TESTS_LIB_PEOPLE_H
#define TESTS_LIB_PEOPLE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

#include "accountd/core.h"
#include "accountd/request.h"

/*
 * A directory with an administrator of the server, a@h.example, one of the
 * domain d.example, b@, and a user, c@, who are signed in: for targets whose
 * inputs name sessions that nobody guesses.
 */
enum people_session {
	PEOPLE_SERVER,
	PEOPLE_DOMAIN,
	PEOPLE_USER,
	PEOPLE
};

struct people {
	struct core *core;
	char sessions[PEOPLE][64];
};

static inline json_t *
people_ask(struct people *p, enum program program, const char *packet)
{
	struct caller caller = { .core = p->core,
		.program = program,
		.is_operator = program == FROM_MAILSTEAD };
	json_t *reply;

	request_answer(&caller, slice_str(packet), &reply);
	if (!json_is_true(json_object_get(reply, "ok")))
		abort();
	return reply;
}

/* What the operator says. */
static inline void
people_tell(struct people *p, const char *packet)
{
	json_decref(people_ask(p, FROM_MAILSTEAD, packet));
}

/* `login` is base64. */
static inline void
people_sign_in(struct people *p, enum people_session who, const char *login)
{
	char packet[300];
	json_t *reply;

	(void)snprintf(packet, sizeof(packet),
	    "{\"verb\":\"session create\",\"ip\":\"192.0.2.1\",\"login\":"
	    "\"%s\",\"password\":\"dGhyZWUgYmxpbmQgbWljZQ==\"}",
	    login);
	reply = people_ask(
	    p, who == PEOPLE_USER ? FROM_WEBMAIL : FROM_ADMIN, packet);
	(void)snprintf(p->sessions[who], sizeof(p->sessions[who]), "%s",
	    json_string_value(json_object_get(reply, "session")));
	json_decref(reply);
}

/* A new directory in `dir`. */
static inline void
people_open(struct people *p, const char *dir)
{
	struct err e;

	if (core_create(dir, &e) != 0 || core_open(dir, &p->core, &e) != 0)
		abort();
	people_tell(p,
	    "{\"verb\":\"init\",\"hostname\":\"h.example\",\"domain\":"
	    "\"h.example\",\"address\":\"a@h.example\",\"password\":"
	    "\"three blind mice\"}");
	people_tell(p, "{\"verb\":\"domain add\",\"name\":\"d.example\"}");
	people_tell(p,
	    "{\"verb\":\"user add\",\"address\":\"b@d.example\","
	    "\"password\":\"three blind mice\"}");
	people_tell(p,
	    "{\"verb\":\"user set\",\"address\":\"b@d.example\","
	    "\"set\":{\"roles\":[\"domain_admin\"]}}");
	people_tell(p,
	    "{\"verb\":\"user add\",\"address\":\"c@d.example\","
	    "\"password\":\"three blind mice\"}");
	people_sign_in(p, PEOPLE_SERVER, "YUBoLmV4YW1wbGU=");
	people_sign_in(p, PEOPLE_DOMAIN, "YkBkLmV4YW1wbGU=");
	people_sign_in(p, PEOPLE_USER, "Y0BkLmV4YW1wbGU=");
}

#endif /* TESTS_LIB_PEOPLE_H */
