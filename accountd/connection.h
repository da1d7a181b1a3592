#ifndef ACCOUNTD_CONNECTION_H
#define ACCOUNTD_CONNECTION_H

#include <stdbool.h>

#include "request.h"

/*
 * Answer the packets of `fd` (SOCK_SEQPACKET, stays the caller's) until the
 * peer closes, is idle for ten minutes (two within a SASL exchange), or
 * `stopping` (may be NULL) says so.
 */
void connection_serve(struct caller *c, int fd, bool (*stopping)(void));

#endif /* ACCOUNTD_CONNECTION_H */
