/*
 * Asking mailstead-parse; see mime.h.  A connection lives for one job, so a
 * parser process that is killed by a message takes nothing along.  Any thread.
 */
#include "mime/mime.h"

#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/sock.h"

enum {
	PATH_SIZE = 4096,
	TRIES = 2
};

struct mime {
	char path[PATH_SIZE];
};

struct mime *
mime_new(const char *state_dir)
{
	struct mime *m = mem_alloc(sizeof(*m));

	(void)snprintf(
	    m->path, sizeof(m->path), "%s/run/parse.sock", state_dir);
	return m;
}

void
mime_free(struct mime *m)
{
	free(m);
}

/* One connection, one job.  ERR_CLOSED: the parser died. */
static int
ask_once(struct mime *m, const char *packet, int fd, int64_t deadline_ms,
    char *answer, size_t *len_out, struct err *e)
{
	ssize_t n = -1;
	int sock;

	if (sock_connect_unix(m->path, SOCK_SEQPACKET, &sock, e) != 0)
		return -1;
	if (sock_send_packet(
		sock, packet, strlen(packet), fd, deadline_ms, e) == 0)
		n = sock_recv_packet(
		    sock, answer, MIME_PACKET_MAX, NULL, deadline_ms, e);
	(void)close(sock);
	if (n == 0)
		return err_set(e, ERR_CLOSED, "the parser gave up");
	if (n < 0)
		return -1;
	*len_out = (size_t)n;
	return 0;
}

static int
read_answer(const char *answer, size_t len, json_t **reply_out, struct err *e)
{
	json_t *reply = json_loadb(answer, len, JSON_REJECT_DUPLICATES, NULL);
	const char *text;

	if (reply == NULL)
		return err_set(e, ERR_TEMP, "the parser's answer is damaged");
	if (json_is_true(json_object_get(reply, "ok"))) {
		*reply_out = reply;
		return 0;
	}
	text = json_string_value(json_object_get(reply, "text"));
	(void)err_set(e, ERR_PERM, "%s", text ? text : "refused");
	json_decref(reply);
	return -1;
}

int
mime_ask(struct mime *m, const json_t *job, int fd, int timeout_ms,
    json_t **reply_out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	char *packet = json_dumps(job, JSON_COMPACT);
	char *answer = mem_alloc(MIME_PACKET_MAX);
	size_t len = 0;
	int rc = -1;

	if (packet == NULL || strlen(packet) >= MIME_PACKET_MAX)
		(void)err_set(e, ERR_PERM, "not a job");
	else
		for (int i = 0; i < TRIES; i++) {
			rc = ask_once(m, packet, fd, deadline, answer, &len, e);
			if (rc == 0 || e->kind != ERR_CLOSED)
				break;
		}
	if (rc == 0)
		rc = read_answer(answer, len, reply_out, e);
	else if (e->kind != ERR_PERM && e->kind != ERR_TIMEOUT)
		e->kind = ERR_TEMP;
	free(packet);
	free(answer);
	return rc;
}
