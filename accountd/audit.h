#ifndef ACCOUNTD_AUDIT_H
#define ACCOUNTD_AUDIT_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * The audit log: log/audit/YYYY-MM-DD.log, one JSON object a line:
 *
 *	{"time", "actor", "program", "verb", "target", "before", "after"}
 *
 * appended with one write by whatever process changes the directory, before
 * the change is committed: no change without its line.
 */
int audit_append(
    const char *state_dir, json_t *entry, struct err *e) MUST_CHECK;

#endif /* ACCOUNTD_AUDIT_H */
