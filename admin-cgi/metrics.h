#ifndef ADMIN_CGI_METRICS_H
#define ADMIN_CGI_METRICS_H

#include "proc/service.h"

#include "admin-cgi/admin.h"

/*
 * GET /metrics in the text format of Prometheus (version 0.0.4): services,
 * queue, disk, certificates and the day's mail.
 *
 * It has a TCP port of its own (metrics.port): who asks is known from the
 * connection itself, since the address in a FastCGI parameter is whatever the
 * web server, or who came past it, wrote there.  Addresses outside
 * metrics.addresses are closed without an answer, before a byte is read.
 */
void metrics_serve(struct admin *a, struct connection *c);

#endif /* ADMIN_CGI_METRICS_H */
