/*
 * Sending an answer in packets; see answer.h.  Every packet has its own
 * deadline: a reader that stands still loses the answer.  One thread.
 */
#include "parse/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mime/wire.h"
#include "net/sock.h"

enum {
	SEND_MS = 20000,
	PIECE = WIRE_PACKET_MAX - 1
};

static void
send_tagged(struct answer *a, char tag, const char *data, size_t len)
{
	char *packet;
	struct err e;

	if (a->lost)
		return;
	packet = mem_alloc(len + 1);
	packet[0] = tag;
	memcpy(packet + 1, data, len);
	a->lost = sock_send_packet(a->sock, packet, len + 1, -1,
		      clock_mono_ms() + SEND_MS, &e) != 0;
	free(packet);
}

static void
send_pieces(struct answer *a, char tag, const char *data, size_t len)
{
	while (len > 0 && !a->lost) {
		size_t n = len < PIECE ? len : PIECE;

		send_tagged(a, tag, data, n);
		data += n;
		len -= n;
	}
}

void
answer_begin(struct answer *a, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	if (text != NULL && strlen(text) <= PIECE)
		send_tagged(a, WIRE_BEGIN, text, strlen(text));
	else
		a->lost = true;
	free(text);
}

void
answer_data(struct answer *a, const void *data, size_t len)
{
	send_pieces(a, WIRE_DATA, data, len);
}

void
answer_end(struct answer *a, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	if (text != NULL && strlen(text) <= WIRE_JSON_MAX) {
		size_t len = strlen(text), last = len % PIECE;

		send_pieces(a, WIRE_JSON, text, len - last);
		send_tagged(a, WIRE_END, text + len - last, last);
	} else {
		answer_refuse(a, "the answer is too long");
	}
	free(text);
	json_decref(value);
}

void
answer_refuse(struct answer *a, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_tagged(a, WIRE_REFUSED, text, strlen(text));
}
