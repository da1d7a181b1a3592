#ifndef PARSE_INVITE_H
#define PARSE_INVITE_H

#include <jansson.h>

#include "base/slice.h"

/*
 * What a calendar file (RFC 5545, RFC 5546) says of its first event, as
 * mime_view() has it in "invite"; NULL: it has none.  `text` is UTF-8.  Time is
 * linear in it, and every list and text has a ceiling.
 */
json_t *invite_read(struct slice text);

#endif /* PARSE_INVITE_H */
