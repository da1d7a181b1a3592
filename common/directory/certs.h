#ifndef DIRECTORY_CERTS_H
#define DIRECTORY_CERTS_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * The certificates of a state directory as JSON, by name; nothing secret:
 *
 *	[{name, names[], issuer, not_before, not_after, self_signed}]
 *
 * or {name, error} for a file that cannot be read.  `name` is what it was
 * installed as ("default" serves clients that name no host).
 */
int certs_json(const char *state_dir, json_t **out, struct err *e) MUST_CHECK;

#endif /* DIRECTORY_CERTS_H */
