/*
 * One connection: packets in, answers out, on a thread of its own.
 *
 * Invariant: packets and answers are wiped before their memory goes back;
 * every wait has a deadline, and an exchange that nobody continues ends.
 */
#include "connection.h"

#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "directory/accountd.h"
#include "net/sock.h"

enum {
	LOOK_MS = 1000,           /* how soon a stop is noticed */
	IDLE_MS = 10 * 60 * 1000, /* clients look before they reuse one */
	EXCHANGE_MS = 2 * 60 * 1000,
	SEND_MS = 10000,
};

static bool
send_reply(int fd, json_t *reply)
{
	char *packet = mem_alloc(ACCOUNTD_PACKET_MAX);
	size_t len =
	    json_dumpb(reply, packet, ACCOUNTD_PACKET_MAX, JSON_COMPACT);
	struct err e;
	int r = -1;

	if (len > 0 && len <= ACCOUNTD_PACKET_MAX)
		r = sock_send_packet(
		    fd, packet, len, -1, clock_mono_ms() + SEND_MS, &e);
	else
		log_error("an answer of %zu bytes does not fit", len);
	mem_wipe(packet, num_min(len, ACCOUNTD_PACKET_MAX));
	free(packet);
	return r == 0;
}

static bool
answer_one(struct caller *c, int fd)
{
	char *packet = mem_alloc(ACCOUNTD_PACKET_MAX);
	json_t *reply;
	struct err e;
	ssize_t n = sock_recv_packet(fd, packet, ACCOUNTD_PACKET_MAX, NULL,
	    clock_mono_ms() + SEND_MS, &e);
	bool good = n > 0;

	if (good) {
		request_answer(c, slice_of(packet, (size_t)n), &reply);
		mem_wipe(packet, (size_t)n);
		good = send_reply(fd, reply);
		json_decref(reply);
	}
	free(packet);
	return good;
}

void
connection_serve(struct caller *c, int fd, bool (*stopping)(void))
{
	int64_t since = clock_mono_ms();
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (stopping == NULL || !stopping()) {
		int limit = c->sasl != NULL ? EXCHANGE_MS : IDLE_MS;

		if (poll(&p, 1, LOOK_MS) == 0) {
			if (clock_mono_ms() - since >= limit)
				break;
			continue;
		}
		if (!answer_one(c, fd))
			break;
		since = clock_mono_ms();
	}
	sasl_free(c->sasl);
	c->sasl = NULL;
}
