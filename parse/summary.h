#ifndef PARSE_SUMMARY_H
#define PARSE_SUMMARY_H

#include <jansson.h>

struct message;

/* What mime_summary() says of a message; a new reference. */
json_t *summary_make(const struct message *m);

#endif /* PARSE_SUMMARY_H */
