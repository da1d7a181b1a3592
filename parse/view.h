#ifndef PARSE_VIEW_H
#define PARSE_VIEW_H

#include <jansson.h>
#include <stdbool.h>

#include "parse/message.h"

/* What a reader's page shows of a message: mime_view() (new reference). */
json_t *view_make(const struct message *m, bool prefer_plain);

/*
 * The recipients of a delivery report (RFC 3464 2), as mime_view() says them;
 * NULL if the text is none.  `text`: a message/delivery-status part's, decoded.
 */
json_t *view_report(struct slice text);

#endif /* PARSE_VIEW_H */
