/*
 * Asking mailstead-parse; see mime.h and wire.h.  A connection lives for one
 * job, so a parser process that is killed by a message takes nothing along.
 * Any thread.
 */
#include "mime/mime.h"

#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "mime/wire.h"
#include "net/sock.h"

enum {
	PATH_SIZE = 4096,
	TIMEOUT_MS = 10000, /* of a whole answer, or of the next piece */
	DEATHS_MAX = 2,     /* under one message: it is to blame */
	BUSY_PAUSE_MS = 10,
	WINDOW = 6,     /* questions at once: fewer than the parser's threads */
	DEATH_MS = 200, /* a busy one closes sooner */
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

/* One connection's state. */
struct answer {
	int sock;
	const struct mime_sink *sink;
	struct buf json;
	char *packet;
	bool begun; /* the caller has seen something: no second try */
};

static int
parse_json(struct slice text, json_t **out, struct err *e)
{
	*out = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (*out == NULL)
		return err_set(e, ERR_TEMP, "the parser's answer is damaged");
	return 0;
}

static int
begin_data(struct answer *a, struct slice text, struct err *e)
{
	json_t *part;
	int rc = 0;

	a->begun = true;
	if (parse_json(text, &part, e) != 0)
		return -1;
	if (a->sink != NULL && a->sink->begin != NULL)
		rc = a->sink->begin(a->sink->arg, part, e);
	json_decref(part);
	return rc;
}

static int
refused(struct slice text, struct err *e)
{
	if (!utf8_is_valid(text))
		text = SLICE_LIT("refused");
	return err_set(e, ERR_PERM, "%.*s", SLICE_ARGS(text));
}

/* 1: the end; 0: go on. */
static int
take_packet(struct answer *a, size_t len, json_t **out, struct err *e)
{
	struct slice text = slice_of(a->packet + 1, len - 1);

	switch (a->packet[0]) {
	case WIRE_BEGIN:
		return begin_data(a, text, e);
	case WIRE_DATA:
		if (a->sink == NULL || !a->begun)
			break;
		return a->sink->data(a->sink->arg, text.data, text.len, e);
	case WIRE_JSON:
		buf_addslice(&a->json, text);
		return 0;
	case WIRE_END:
		return parse_json(buf_slice(&a->json), out, e) == 0 ? 1 : -1;
	case WIRE_REFUSED:
		return refused(text, e);
	default:
		break;
	}
	return err_set(e, ERR_TEMP, "the parser's answer is damaged");
}

static int
read_answer(struct answer *a, json_t **out, struct err *e)
{
	int rc = 0;

	while (rc == 0) {
		ssize_t n = sock_recv_packet(a->sock, a->packet,
		    WIRE_PACKET_MAX, NULL, clock_mono_ms() + TIMEOUT_MS, e);

		if (n == 0)
			return err_set(e, ERR_CLOSED, "the parser gave up");
		if (n < 0)
			return -1;
		rc = take_packet(a, (size_t)n, out, e);
	}
	return rc == 1 ? 0 : -1;
}

/* One connection, one job.  ERR_CLOSED: the parser died, or was busy. */
static int
ask_once(struct mime *m, const char *question, int fd, struct answer *a,
    json_t **out, struct err *e)
{
	int rc = -1;

	buf_reset(&a->json);
	if (sock_connect_unix(m->path, SOCK_SEQPACKET, &a->sock, e) != 0)
		return -1;
	if (sock_send_packet(a->sock, question, strlen(question), fd,
		clock_mono_ms() + TIMEOUT_MS, e) == 0)
		rc = read_answer(a, out, e);
	(void)close(a->sock);
	return rc;
}

/*
 * Until an answer, a refusal, or the deadline.  A busy parser closes at once,
 * one that died over this message took a while: that is how they differ.
 */
static int
ask(struct mime *m, json_t *question, int fd, const struct mime_sink *sink,
    json_t **out, struct err *e)
{
	const struct timespec pause = { 0, BUSY_PAUSE_MS * 1000000L };
	int64_t deadline = clock_mono_ms() + TIMEOUT_MS;
	char *text = json_dumps(question, JSON_COMPACT);
	struct answer a = { .sink = sink };
	int rc = -1, deaths = 0;

	json_decref(question);
	if (text == NULL || strlen(text) > WIRE_PACKET_MAX) {
		free(text);
		return err_set(e, ERR_PERM, "not a question");
	}
	a.packet = mem_alloc(WIRE_PACKET_MAX);
	buf_init(&a.json, WIRE_JSON_MAX);
	do {
		int64_t started = clock_mono_ms();

		rc = ask_once(m, text, fd, &a, out, e);
		if (rc == 0 || e->kind != ERR_CLOSED || a.begun)
			break;
		deaths += clock_mono_ms() - started > DEATH_MS;
		(void)nanosleep(&pause, NULL);
	} while (deaths < DEATHS_MAX && clock_mono_ms() < deadline);
	if (rc != 0 && deaths >= DEATHS_MAX)
		(void)err_set(e, ERR_PERM, "too complex to be taken apart");
	else if (rc != 0 && e->kind == ERR_CLOSED)
		e->kind = ERR_TEMP;
	buf_release(&a.json);
	free(a.packet);
	free(text);
	return rc;
}

/* --- The jobs ------------------------------------------------------------------ */

int
mime_summary(struct mime *m, int fd, json_t **out, struct err *e)
{
	return ask(m, json_pack("{ss}", "job", "summary"), fd, NULL, out, e);
}

/* Ask for up to WINDOW; what fails is asked for alone afterwards. */
static void
summaries_window(
    struct mime *m, const int *fds, size_t count, json_t **out, bool *failed)
{
	static const char question[] = "{\"job\":\"summary\"}";
	struct answer answers[WINDOW] = { { .sock = -1 } };
	char *packet = mem_alloc(WIRE_PACKET_MAX);
	struct err e;

	for (size_t i = 0; i < count; i++) {
		failed[i] = true;
		answers[i] = (struct answer){ .sock = -1, .packet = packet };
		buf_init(&answers[i].json, WIRE_JSON_MAX);
		if (sock_connect_unix(
			m->path, SOCK_SEQPACKET, &answers[i].sock, &e) != 0)
			answers[i].sock = -1;
		else
			failed[i] = sock_send_packet(answers[i].sock, question,
					sizeof(question) - 1, fds[i],
					clock_mono_ms() + TIMEOUT_MS, &e) != 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (!failed[i])
			failed[i] = read_answer(&answers[i], &out[i], &e) != 0;
		buf_release(&answers[i].json);
		if (answers[i].sock >= 0)
			(void)close(answers[i].sock);
	}
	free(packet);
}

int
mime_summaries(
    struct mime *m, const int *fds, size_t count, json_t **out, struct err *e)
{
	bool failed[WINDOW];
	int rc = 0;

	memset(out, 0, count * sizeof(json_t *));
	for (size_t done = 0; rc == 0 && done < count; done += WINDOW) {
		size_t n = num_min(WINDOW, count - done);

		summaries_window(m, fds + done, n, out + done, failed);
		for (size_t i = done; rc == 0 && i < done + n; i++) {
			if (failed[i - done] &&
			    (lseek(fds[i], 0, SEEK_SET) != 0 ||
				mime_summary(m, fds[i], &out[i], e) != 0)) {
				out[i] = NULL;
				rc = e->kind == ERR_PERM ? 0 : -1;
			}
		}
	}
	for (size_t i = 0; rc != 0 && i < count; i++)
		json_decref(out[i]);
	return rc;
}

int
mime_structure(struct mime *m, int fd, json_t **out, struct err *e)
{
	return ask(m, json_pack("{ss}", "job", "structure"), fd, NULL, out, e);
}

int
mime_view(
    struct mime *m, int fd, bool prefer_plain, json_t **out, struct err *e)
{
	return ask(m,
	    json_pack("{ss,sb}", "job", "view", "prefer_plain", prefer_plain),
	    fd, NULL, out, e);
}

int
mime_headers(
    struct mime *m, int fd, const char *path, json_t **out, struct err *e)
{
	return ask(m,
	    json_pack("{ss,ss}", "job", "headers", "path", path ? path : ""),
	    fd, NULL, out, e);
}

int
mime_part(struct mime *m, int fd, const char *path,
    const struct mime_sink *sink, struct err *e)
{
	json_t *end;

	if (ask(m, json_pack("{ss,ss}", "job", "part", "path", path), fd, sink,
		&end, e) != 0)
		return -1;
	json_decref(end);
	return 0;
}

static int
add_to_buf(void *arg, const void *data, size_t len, struct err *e)
{
	struct buf *out = arg;

	(void)e;
	buf_add(out, data, num_min(len, out->max - out->len));
	return 0;
}

static int
ask_text(struct mime *m, json_t *question, int fd, struct buf *out,
    json_t **info_out, struct err *e)
{
	const struct mime_sink sink = { .data = add_to_buf, .arg = out };
	size_t before = out->len;
	json_t *info;

	if (ask(m, question, fd, &sink, &info, e) != 0) {
		buf_truncate(out, before);
		return -1;
	}
	if (info_out != NULL)
		*info_out = info;
	else
		json_decref(info);
	return 0;
}

int
mime_text(struct mime *m, int fd, const char *path, struct buf *out,
    json_t **info_out, struct err *e)
{
	return ask_text(m, json_pack("{ss,ss}", "job", "text", "path", path),
	    fd, out, info_out, e);
}

int
mime_html(struct mime *m, int fd, const char *path,
    const struct mime_html_options *options, struct buf *out, json_t **info_out,
    struct err *e)
{
	return ask_text(m,
	    json_pack("{ss,ss,sb,ss*,ss*}", "job", "html", "path", path,
		"remote_pictures", options->remote_pictures, "cid_prefix",
		options->cid_prefix, "mail_url", options->mail_url),
	    fd, out, info_out, e);
}
