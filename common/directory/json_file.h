#ifndef DIRECTORY_JSON_FILE_H
#define DIRECTORY_JSON_FILE_H

#include <sys/types.h>

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Small files of the state directory that hold one JSON value (such as
 * run/health.json): read whole and replaced whole.  Any thread.
 */

/* A new reference; NULL: not there, over `max` bytes, or no JSON. */
json_t *json_file_read(const char *state_dir, const char *name, size_t max);

int json_file_write(const char *state_dir, const char *name, mode_t mode,
    const json_t *value, struct err *e) MUST_CHECK;

#endif /* DIRECTORY_JSON_FILE_H */
