#ifndef MAILSTEAD_TRACE_H
#define MAILSTEAD_TRACE_H

#include "mailstead/cli.h"

int command_trace(struct cli *c); /* trace ID|ADDRESS|MESSAGE-ID */

#endif /* MAILSTEAD_TRACE_H */
