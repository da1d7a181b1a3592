#ifndef PARSE_SUMMARY_H
#define PARSE_SUMMARY_H

#include <jansson.h>

struct message;

/* What mime_summary() says of a message; a new reference. */
json_t *summary_make(const struct message *m);

/* Its header fields alone, "text" and "snippet" aside. */
void summary_put_headers(const struct message *m, json_t *out);

#endif /* PARSE_SUMMARY_H */
