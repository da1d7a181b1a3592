#ifndef PARSE_SUMMARY_H
#define PARSE_SUMMARY_H

#include <jansson.h>

#include "base/buf.h"

struct message;

/*
 * What mime_summary() says of a message: a new reference, and its text
 * appended.
 */
json_t *summary_make(const struct message *m, struct buf *text);

/* Its header fields alone. */
void summary_put_headers(const struct message *m, json_t *out);

#endif /* PARSE_SUMMARY_H */
