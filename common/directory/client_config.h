#ifndef DIRECTORY_CLIENT_CONFIG_H
#define DIRECTORY_CLIENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "directory/settings.h"

/*
 * How a mail program is set up for a domain: the host, and the ports we listen
 * on, best first (TLS from the start, RFC 8314 3); and the same in the forms
 * programs ask for.  Pure functions of the settings; text is valid as long as
 * they are held.  No form contains a password.
 */
struct client_server {
	const char *service; /* of the SRV record: "pop3s", "submission"... */
	bool is_incoming;    /* POP3, else SMTP */
	bool is_tls;         /* from the start, else STARTTLS */
	uint16_t port;
};

enum {
	CLIENT_SERVERS_MAX = 4
};

struct client_config {
	const char *domain;
	const char *host; /* client.hosts, else server.hostname */
	struct client_server servers[CLIENT_SERVERS_MAX];
	size_t count; /* what is switched off is not there */
};

/* `domain` is normalised, and must live as long. */
void client_config_make(
    const struct settings *s, const char *domain, struct client_config *out);

/* The best one, or NULL. */
const struct client_server *client_config_best(
    const struct client_config *c, bool is_incoming);

/* Thunderbird and those who read its file; `address` may be NULL. */
void client_config_thunderbird(
    const struct client_config *c, const char *address, struct buf *out);

/* Outlook's autodiscover answer (POX), its POP3 and SMTP part. */
void client_config_outlook(
    const struct client_config *c, const char *address, struct buf *out);

/*
 * A profile for iPhone, iPad and Mac, with the person's name; empty when
 * either direction is switched off.
 */
void client_config_apple(const struct client_config *c, const char *address,
    const char *name, struct buf *out);

#endif /* DIRECTORY_CLIENT_CONFIG_H */
