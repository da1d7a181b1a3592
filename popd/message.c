/*
 * RETR and TOP: a file with LF line ends becomes lines with CRLF, dots at
 * their start doubled, ended by a lone dot (RFC 1939 3).
 *
 * The file is read in chunks and never held whole.  Once the first line has
 * gone out a failure can only be told by closing the connection, so that is
 * what happens: the client must not take half a message for a whole one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

#include "popd/popd.h"

enum {
	CHUNK = 65536,
	SEND_TIMEOUT_MS = 300000, /* for each chunk */
};

/* A message on its way out. */
struct sending {
	struct session *s;
	bool line_start; /* the next byte begins a line */
	bool after_cr;   /* the last byte was a CR */
	bool has_text;   /* the line has more than a CR */
	bool in_body;    /* behind the empty line */
	uint64_t lines;  /* of the body, still to be sent (TOP) */
	bool limited;
	bool done;
	uint64_t left; /* of the file */
};

static int
put(struct sending *o, const char *data, size_t len)
{
	struct err e;

	return stream_write(&o->s->stream, data, len, &e);
}

/* At an LF. */
static int
put_line_end(struct sending *o)
{
	bool has_cr = o->after_cr;

	if (o->in_body && o->limited && --o->lines == 0)
		o->done = true;
	if (!o->in_body && !o->has_text) {
		o->in_body = true;
		o->done = o->limited && o->lines == 0;
	}
	o->line_start = true;
	o->after_cr = o->has_text = false;
	return has_cr ? put(o, "\n", 1) : put(o, "\r\n", 2);
}

/* A piece of a line, without its LF; a line may come in several. */
static int
put_text(struct sending *o, const char *p, size_t n)
{
	if (o->line_start && *p == '.' && put(o, ".", 1) != 0)
		return -1;
	o->has_text = o->has_text || !o->line_start || n > 1 || *p != '\r';
	o->line_start = false;
	o->after_cr = p[n - 1] == '\r';
	return put(o, p, n);
}

static int
put_chunk(struct sending *o, const char *p, size_t len)
{
	const char *end = p + len;

	while (p < end && !o->done) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;

		if (stop > p && put_text(o, p, (size_t)(stop - p)) != 0)
			return -1;
		if (nl == NULL)
			return 0;
		if (put_line_end(o) != 0)
			return -1;
		p = nl + 1;
	}
	return 0;
}

/* 0 sent, -1 the connection is of no use any more. */
static int
send_file(struct sending *o, int fd)
{
	char *chunk = mem_alloc(o->left < CHUNK ? (size_t)o->left + 1 : CHUNK);
	int rc = 0;

	while (rc == 0 && !o->done && o->left > 0) {
		size_t want = o->left < CHUNK ? (size_t)o->left : CHUNK;
		ssize_t n = read(fd, chunk, want);

		if (n < 0 && errno == EINTR)
			continue;
		/* The file is shorter than a moment ago, or unreadable. */
		if (n <= 0) {
			rc = -1;
			break;
		}
		o->left -= (uint64_t)n;
		stream_set_timeout(&o->s->stream, SEND_TIMEOUT_MS);
		rc = put_chunk(o, chunk, (size_t)n);
	}
	free(chunk);
	if (rc == 0 && !o->line_start)
		rc = put(o, "\r\n", 2);
	if (rc == 0)
		rc = put(o, ".\r\n", 3);
	return rc;
}

static int
refuse(struct session *s, size_t number, const struct err *e)
{
	if (e->kind == ERR_PERM)
		return pop3_err(s, "message %zu is gone", number);
	log_warning("%s: %s", s->box.path, e->text);
	return pop3_err(s, "[SYS/TEMP] message %zu cannot be read now", number);
}

static int
send_message(struct session *s, size_t number, bool limited, uint64_t lines)
{
	struct sending o = {
		.s = s,
		.line_start = true,
		.limited = limited,
		.lines = lines,
	};
	uint64_t wire;
	struct err e;
	int fd, rc;

	if (mailbox_read(&s->box, number, &fd, &o.left, &wire, &e) != 0)
		return refuse(s, number, &e);
	if (limited)
		rc = pop3_ok(s, "top of message follows");
	else
		rc = pop3_ok(s, "%llu octets", (unsigned long long)wire);
	if (rc == 0)
		rc = send_file(&o, fd);
	(void)close(fd);
	if (rc != 0)
		return -1;
	s->retrieved += !limited;
	s->retrieved_bytes += limited ? 0 : wire;
	return 0;
}

int
pop3_message_number(struct session *s, struct slice arg, size_t *out)
{
	uint64_t n;

	if (!num_parse(arg, SIZE_MAX, &n) || arg.data[0] == '0')
		return pop3_err(s, "which message?");
	if (n > s->box.all.count)
		return pop3_err(s, "no such message");
	if (mailbox_is_deleted(&s->box, (size_t)n))
		return pop3_err(s, "message %zu is deleted", (size_t)n);
	*out = (size_t)n;
	return 1;
}

int
pop3_retr(void *session, struct slice args)
{
	struct session *s = session;
	size_t number = 0;
	int rc = pop3_message_number(s, args, &number);

	return rc == 1 ? send_message(s, number, false, 0) : rc;
}

int
pop3_top(void *session, struct slice args)
{
	struct session *s = session;
	struct slice first, rest;
	uint64_t lines;
	size_t number = 0;
	int rc;

	rest = slice_trim(slice_cut(args, ' ', &first));
	if (!num_parse(rest, UINT32_MAX, &lines))
		return pop3_err(s, "TOP needs a message and a number of lines");
	rc = pop3_message_number(s, first, &number);
	return rc == 1 ? send_message(s, number, true, lines) : rc;
}
