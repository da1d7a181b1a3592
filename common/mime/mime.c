/*
 * Asking mailstead-parse; see mime.h and wire.h.  A connection lives for one
 * job, so a parser process that is killed by a message takes nothing along;
 * where many messages share one, those it took along are asked for alone.
 * Any thread.
 */
#include "mime/mime.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/json_text.h"
#include "mime/wire.h"
#include "net/sock.h"

enum {
	PATH_SIZE = 4096,
	TIMEOUT_MS = 10000, /* of a whole answer, or of the next piece */
	DEATHS_MAX = 2,     /* under one message: it is to blame */
	BUSY_PAUSE_MS = 10,
	CONNECTIONS = 2, /* for many: a few of the parser's threads */
	DEATH_MS = 200,  /* a busy one closes sooner */
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
	*out = json_text_parse(text);
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
		if (a->sink == NULL)
			break;
		a->begun = true;
		return a->sink->data(a->sink->arg, text.data, text.len, e);
	case WIRE_JSON:
		buf_addslice(&a->json, text);
		return 0;
	case WIRE_END:
		buf_addslice(&a->json, text);
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

static int
add_to_buf(void *arg, const void *data, size_t len, struct err *e)
{
	struct buf *out = arg;

	(void)e;
	if (out != NULL)
		buf_add(out, data, num_min(len, out->max - out->len));
	return 0;
}

int
mime_summary(
    struct mime *m, int fd, json_t **out, struct buf *text, struct err *e)
{
	const struct mime_sink sink = { .data = add_to_buf, .arg = text };

	return ask(m, json_pack("{ss}", "job", "summary"), fd, &sink, out, e);
}

struct mime_asked {
	struct mime *mime;
	const int *fds;
	size_t count;
	int socks[CONNECTIONS]; /* of message i: i % CONNECTIONS; -1: lost */
};

static int *
sock_of(struct mime_asked *a, size_t i)
{
	return &a->socks[i % CONNECTIONS];
}

static void
hang_up(int *sock)
{
	if (*sock >= 0)
		(void)close(*sock);
	*sock = -1;
}

struct mime_asked *
mime_ask_summaries(struct mime *m, const int *fds, size_t count)
{
	static const char question[] = "{\"job\":\"summary\"}";
	struct mime_asked *a = mem_alloc(sizeof(*a));
	struct err e;

	assert(count <= MIME_ASK_MAX);
	*a = (struct mime_asked){ .mime = m, .fds = fds, .count = count };
	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (i >= count ||
		    sock_connect_unix(
			m->path, SOCK_SEQPACKET, sock_of(a, i), &e) != 0)
			a->socks[i] = -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (*sock_of(a, i) >= 0 &&
		    sock_send_packet(*sock_of(a, i), question,
			sizeof(question) - 1, fds[i],
			clock_mono_ms() + TIMEOUT_MS, &e) != 0)
			hang_up(sock_of(a, i));
	}
	return a;
}

/* Message `i`: as asked, or alone if its connection is lost. */
static int
take_one(struct mime_asked *a, size_t i, struct answer *answer, json_t **out,
    struct err *e)
{
	int *sock = sock_of(a, i);
	struct buf *text = answer->sink->arg;

	buf_reset(text);
	buf_reset(&answer->json);
	answer->sock = *sock;
	if (*sock >= 0) {
		if (read_answer(answer, out, e) == 0)
			return 0;
		if (e->kind == ERR_PERM)
			return -1;
		hang_up(sock);
		if (e->kind != ERR_CLOSED)
			return -1;
		buf_reset(text);
	}
	return mime_summary(a->mime, a->fds[i], out, text, e);
}

int
mime_take_summaries(
    struct mime_asked *a, mime_summary_taker take, void *arg, struct err *e)
{
	struct buf text;
	const struct mime_sink sink = { .data = add_to_buf, .arg = &text };
	struct answer answer = { .sink = &sink };
	int rc = 0;

	answer.packet = mem_alloc(WIRE_PACKET_MAX);
	buf_init(&answer.json, WIRE_JSON_MAX);
	buf_init(&text, MIME_SEARCH_TEXT_MAX);
	for (size_t i = 0; rc == 0 && i < a->count; i++) {
		json_t *summary = NULL;

		if (take_one(a, i, &answer, &summary, e) == 0 ||
		    e->kind == ERR_PERM)
			take(arg, i, summary, buf_slice(&text));
		else
			rc = -1;
		json_decref(summary);
	}
	if (rc != 0)
		e->kind = ERR_TEMP;
	for (size_t i = 0; i < CONNECTIONS; i++)
		hang_up(&a->socks[i]);
	buf_release(&text);
	buf_release(&answer.json);
	free(answer.packet);
	free(a);
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
