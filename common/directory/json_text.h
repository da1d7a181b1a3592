#ifndef DIRECTORY_JSON_TEXT_H
#define DIRECTORY_JSON_TEXT_H

#include <jansson.h>

#include "base/slice.h"

/*
 * JSON from another process, for threads with small stacks: the library goes
 * down the stack for each bracket, when it reads, copies or writes.  Any
 * thread.
 */
enum {
	JSON_TEXT_DEPTH_MAX = 16
};

/*
 * A new reference; NULL: not an object or a list, a key twice, or brackets
 * deeper than JSON_TEXT_DEPTH_MAX.
 */
json_t *json_text_parse(struct slice text);

#endif /* DIRECTORY_JSON_TEXT_H */
