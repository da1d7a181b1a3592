#ifndef NET_SOCK_HOLDER_H
#define NET_SOCK_HOLDER_H

#include <stdint.h>

#include "base/ip.h"

/*
 * Who holds a TCP port, for the error message of a server that cannot start:
 * "exim4 (pid 812)", or "a process of uid 0" where /proc shows no more, or
 * "another process".
 */
enum {
	SOCK_HOLDER_SIZE = 64
};

void sock_holder_find(
    const struct ip *ip, uint16_t port, char out[SOCK_HOLDER_SIZE]);

#endif /* NET_SOCK_HOLDER_H */
