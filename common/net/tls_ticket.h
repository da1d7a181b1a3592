#ifndef NET_TLS_TICKET_H
#define NET_TLS_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "net/tls.h"

/*
 * Ticket keys as tls.c uses them: one set of keys for each purpose is derived
 * from the shared secret, so a ticket of one purpose is a stranger's ticket
 * to every other.
 */
enum {
	TLS_TICKET_NAME_SIZE = 16,
	TLS_TICKET_KEY_SIZE = 32,
};

struct tls_ticket_key {
	uint8_t name[TLS_TICKET_NAME_SIZE];
	uint8_t cipher[TLS_TICKET_KEY_SIZE];
	uint8_t mac[TLS_TICKET_KEY_SIZE];
};

/* The one to seal new tickets with; the caller wipes it. */
bool tls_ticket_key_current(const struct tls_ticket_keys *k,
    const char *purpose, struct tls_ticket_key *out) MUST_CHECK;

/* The current or previous one of this name; false: not there. */
bool tls_ticket_key_find(const struct tls_ticket_keys *k, const char *purpose,
    const uint8_t name[TLS_TICKET_NAME_SIZE],
    struct tls_ticket_key *out) MUST_CHECK;

#endif /* NET_TLS_TICKET_H */
