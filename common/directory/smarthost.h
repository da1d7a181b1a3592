#ifndef DIRECTORY_SMARTHOST_H
#define DIRECTORY_SMARTHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

/*
 * A smart host as the settings smarthost.host, smarthost.domains and
 * smarthost.senders name it:
 *
 *	host[:port][/tls][/credential][/connections=N][/rate=N]
 */
enum smarthost_tls {
	SMARTHOST_TLS_NONE,
	SMARTHOST_TLS_MAY, /* the default */
	SMARTHOST_TLS_ENCRYPT,
	SMARTHOST_TLS_VERIFY,
	SMARTHOST_TLS_WRAPPED,
};

struct smarthost {
	char host[256]; /* a name, as A-labels, or "[192.0.2.1]" */
	uint16_t port;  /* 25 unless given */
	enum smarthost_tls tls;
	char credential[64];  /* its name, or "" */
	uint32_t connections; /* at most at once; 0 = no limit */
	uint32_t rate;        /* messages a minute; 0 = any */
};

/* False leaves *out as it is. */
bool smarthost_parse(struct slice text, struct smarthost *out) MUST_CHECK;

/* "none", "may", "encrypt", "verify", "wrapped". */
bool smarthost_parse_tls(struct slice word, enum smarthost_tls *out) MUST_CHECK;

#endif /* DIRECTORY_SMARTHOST_H */
