#ifndef DIRECTORY_JSON_FILE_H
#define DIRECTORY_JSON_FILE_H

#include <sys/types.h>

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * What JSON says, and small files of the state directory that hold one value
 * (such as run/health.json): read whole and replaced whole.  Any thread.
 */

/* A member that is text; "" for all else. */
const char *json_text(const json_t *object, const char *key);

/* A new reference; NULL: not there, over `max` bytes, or no JSON. */
json_t *json_file_read(const char *state_dir, const char *name, size_t max);

int json_file_write(const char *state_dir, const char *name, mode_t mode,
    const json_t *value, struct err *e) MUST_CHECK;

#endif /* DIRECTORY_JSON_FILE_H */
