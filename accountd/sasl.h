#ifndef ACCOUNTD_SASL_H
#define ACCOUNTD_SASL_H

#include "base/buf.h"
#include "base/slice.h"
#include "directory/accountd.h"

#include "auth.h"
#include "core.h"

/*
 * SASL exchanges (RFC 4422) through GNU SASL: PLAIN (RFC 4616), LOGIN,
 * SCRAM-SHA-256 and -PLUS (RFC 5802, 7677, 9266).  One exchange belongs to one
 * connection and one thread.
 */
int sasl_init(struct core *c);
void sasl_release(struct core *c);

struct sasl;

/* NULL: not a mechanism of ours, or not for this client. */
struct sasl *sasl_new(
    struct core *c, const char *mechanism, const struct auth_client *client);
void sasl_free(struct sasl *s);

/*
 * The client's data in, the challenge (AUTH_MORE) appended to `out`.  After
 * anything but AUTH_MORE the exchange is over.  `input.data` NULL: the client
 * sent no initial response.
 */
enum auth_result sasl_step(struct sasl *s, struct slice input, struct buf *out);

const struct auth_attempt *sasl_attempt(const struct sasl *s);

#endif /* ACCOUNTD_SASL_H */
