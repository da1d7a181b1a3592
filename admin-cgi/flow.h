#ifndef ADMIN_CGI_FLOW_H
#define ADMIN_CGI_FLOW_H

#include <jansson.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Mail flow of the last 24 hours, counted from the event log: a thread of the
 * worker reads what was appended since it last looked, so a page finds numbers
 * and reads no file.  Thread-safe.
 */
struct flow;

struct flow *flow_new(const char *state_dir);

/* Read at most a few megabytes of what is new.  True: there is more. */
bool flow_read(struct flow *f);

/*
 * New values for a page: hours[24]{hour, delivered, sent, waiting, refused,
 * and the bars of the chart}, totals, reasons[]{text, count}, label, and
 * spark{delivered, sent, refused}: the points of a line 88 wide and 28 high.
 */
json_t *flow_json(struct flow *f);

#endif /* ADMIN_CGI_FLOW_H */
