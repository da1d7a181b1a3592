/*
 * Buffered streams: lines and bulk data in, collected replies out.
 *
 * The read buffer is data[rpos..rlen) of rbuf, the write buffer data[0..wlen)
 * of wbuf.  Before a read that may wait, output is sent and an empty buffer is
 * freed; the read itself goes to the stack and is copied when something came,
 * so a connection that waits owns no buffer and still needs a single system
 * call.  A TLS stream waits in a one-byte MSG_PEEK inside tls_read().
 *
 * Not here: what a line means.  One thread a stream, no locks.
 */
#include "net/stream.h"

#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/sock.h"
#include "net/tls.h"

enum {
	STREAM_SMALL = 4096,
	STREAM_BULK = 65536,
	STREAM_SKIP_MAX = 65536,
	STREAM_PRINTF_SMALL = 512,
	LAST_WORDS_MS = 1000,
};

void
stream_init(struct stream *s, int fd)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
}

void
stream_release(struct stream *s)
{
	tls_free(s->tls);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s->rbuf);
	free(s->wbuf);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

void
stream_set_timeout(struct stream *s, int64_t timeout_ms)
{
	s->deadline_ms = clock_mono_ms() + timeout_ms;
}

/* Remember that this stream is over; returns -1. */
static int
stream_fail(struct stream *s, const struct err *e)
{
	s->failed = e->kind;
	return -1;
}

/* 0, or the error of an earlier call again. */
static int
stream_check(const struct stream *s, struct err *e)
{
	if (s->failed == ERR_NONE)
		return 0;
	return err_set(e, s->failed, "the connection has failed before");
}

/* --- output --------------------------------------------------------------- */

static int
send_bytes(struct stream *s, const void *data, size_t len, struct err *e)
{
	int rc;

	if (s->tls != NULL)
		rc = tls_write(s->tls, data, len, s->deadline_ms, e);
	else
		rc = sock_send(s->fd, data, len, s->deadline_ms, e);
	if (rc != 0)
		return stream_fail(s, e);
	s->bytes_out += len;
	return 0;
}

static int
send_buffer(struct stream *s, struct err *e)
{
	size_t len = s->wlen;

	s->wlen = 0;
	return len == 0 ? 0 : send_bytes(s, s->wbuf, len, e);
}

int
stream_flush(struct stream *s, struct err *e)
{
	if (stream_check(s, e) != 0)
		return -1;
	if (s->wbuf == NULL)
		return 0;
	if (send_buffer(s, e) != 0)
		return -1;
	free(s->wbuf);
	s->wbuf = NULL;
	s->walloc = 0;
	return 0;
}

static void
grow_wbuf(struct stream *s, size_t need)
{
	size_t size = s->walloc == 0 ? STREAM_SMALL : s->walloc;

	while (size < need)
		size *= 2;
	if (size > s->walloc) {
		s->wbuf = mem_realloc(s->wbuf, size);
		s->walloc = size;
	}
}

int
stream_write(struct stream *s, const void *data, size_t len, struct err *e)
{
	const char *p = data;

	if (stream_check(s, e) != 0)
		return -1;
	while (len > 0) {
		size_t part = num_min(len, STREAM_BULK - s->wlen);

		if (s->wlen == 0 && part == STREAM_BULK) {
			if (send_bytes(s, p, part, e) != 0)
				return -1;
		} else {
			grow_wbuf(s, s->wlen + part);
			memcpy(s->wbuf + s->wlen, p, part);
			s->wlen += part;
			if (s->wlen == STREAM_BULK && send_buffer(s, e) != 0)
				return -1;
		}
		p += part;
		len -= part;
	}
	return 0;
}

int
stream_printf(struct stream *s, struct err *e, const char *fmt, ...)
{
	char small[STREAM_PRINTF_SMALL], *text = small;
	va_list args;
	int n, rc;

	va_start(args, fmt);
	n = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	assert(n >= 0);
	if ((size_t)n >= sizeof(small)) {
		text = mem_alloc((size_t)n + 1);
		va_start(args, fmt);
		(void)vsnprintf(text, (size_t)n + 1, fmt, args);
		va_end(args);
	}
	rc = stream_write(s, text, (size_t)n, e);
	if (text != small)
		free(text);
	return rc;
}

/* --- input ---------------------------------------------------------------- */

static size_t
buffered(const struct stream *s)
{
	return s->rlen - s->rpos;
}

static void
drop_rbuf(struct stream *s)
{
	free(s->rbuf);
	s->rbuf = NULL;
	s->rpos = s->rlen = s->ralloc = 0;
}

/* Move what is there to the front of a buffer of at least `size` bytes. */
static void
make_room(struct stream *s, size_t size)
{
	size_t len = buffered(s);

	if (s->rpos > 0 && len > 0)
		memmove(s->rbuf, s->rbuf + s->rpos, len);
	s->rpos = 0;
	s->rlen = len;
	if (size > s->ralloc) {
		s->rbuf = mem_realloc(s->rbuf, size);
		s->ralloc = size;
	}
}

static ssize_t
receive(struct stream *s, void *data, size_t size, int flags, struct err *e)
{
	ssize_t n;

	if (s->tls != NULL)
		n = tls_read(s->tls, data, size, flags, s->deadline_ms, e);
	else
		n = sock_recv(s->fd, data, size, flags, s->deadline_ms,
		    &s->read_timeout_ms, e);
	if (n > 0) {
		s->bytes_in += (uint64_t)n;
		return n;
	}
	if (n == 0)
		(void)err_set(e, ERR_CLOSED, "closed by the other side");
	else if (flags & MSG_DONTWAIT && errno == EAGAIN)
		return 0; /* nothing is there */
	return stream_fail(s, e);
}

/* Add to the read buffer, which has room, what is there now. */
static int
receive_more(struct stream *s, int flags, struct err *e)
{
	ssize_t n =
	    receive(s, s->rbuf + s->rlen, s->ralloc - s->rlen, flags, e);

	if (n < 0)
		return -1;
	s->rlen += (size_t)n;
	return 0;
}

/* Wait without a buffer, then make one as large as what came wants it. */
static int
receive_first(struct stream *s, size_t size, int flags, struct err *e)
{
	char first[STREAM_SMALL];
	ssize_t n;

	drop_rbuf(s);
	n = receive(s, first, sizeof(first), flags, e);
	if (n <= 0)
		return (int)n;
	make_room(s, (size_t)n < sizeof(first) ? sizeof(first) : size);
	memcpy(s->rbuf, first, (size_t)n);
	s->rlen = (size_t)n;
	/* a full read: more is probably there already */
	if (size > sizeof(first) && (size_t)n == sizeof(first) &&
	    (s->tls == NULL || tls_pending(s->tls) > 0))
		return receive_more(s, MSG_DONTWAIT, e);
	return 0;
}

/* Read at least one byte; the buffer may become `size` bytes large. */
static int
fill(struct stream *s, size_t size, struct err *e)
{
	if (stream_flush(s, e) != 0)
		return -1;
	if (buffered(s) > 0) {
		make_room(s, size);
		return receive_more(s, 0, e);
	}
	if (s->tls != NULL && tls_pending(s->tls) > 0) {
		make_room(s, size);
		return receive_more(s, 0, e);
	}
	if (s->tls == NULL && s->ralloc == STREAM_BULK) {
		make_room(s, size);
		if (receive_more(s, MSG_DONTWAIT, e) != 0)
			return -1;
		if (s->rlen > 0)
			return 0;
	}
	return receive_first(s, size, 0, e);
}

/* Drop the rest of an over-long line. */
static int
skip_line(struct stream *s, struct err *e)
{
	while (s->skip > 0) {
		size_t len = buffered(s);
		char *end = NULL;

		if (len > 0)
			end = memchr(s->rbuf + s->rpos, '\n', len);
		if (end != NULL) {
			s->rpos = (size_t)(end - s->rbuf) + 1;
			s->skip = 0;
			break;
		}
		s->rpos = s->rlen;
		if (len >= s->skip) {
			(void)err_set(e, ERR_CLOSED, "an endless line");
			return stream_fail(s, e);
		}
		s->skip -= len;
		if (fill(s, STREAM_SMALL, e) != 0)
			return -1;
	}
	return 0;
}

static int
line_too_long(size_t max, struct err *e)
{
	return err_set(e, ERR_SYNTAX, "a line longer than %zu bytes", max);
}

/* Cut the line that ends at rbuf[end] off the buffer. */
static int
take_line(struct stream *s, size_t end, size_t max, struct slice *line_out,
    enum stream_eol *eol_out, struct err *e)
{
	const char *start = s->rbuf + s->rpos;
	size_t len = end - s->rpos;
	bool crlf = len > 0 && start[len - 1] == '\r';

	s->rpos = end + 1;
	if (crlf)
		len--;
	if (len > max)
		return line_too_long(max, e);
	*line_out = slice_of(start, len);
	if (eol_out != NULL)
		*eol_out = crlf ? STREAM_EOL_CRLF : STREAM_EOL_LF;
	return 0;
}

/* Room for a line of `max` bytes: what is doubled as it fills up. */
static size_t
line_room(const struct stream *s, size_t max)
{
	size_t size = s->ralloc;

	if (size < STREAM_SMALL)
		return STREAM_SMALL;
	if (buffered(s) == size)
		size = num_min(2 * size, num_min(max, SIZE_MAX - 2) + 2);
	return size;
}

int
stream_read_line(struct stream *s, size_t max, struct slice *line_out,
    enum stream_eol *eol_out, struct err *e)
{
	size_t seen = 0;

	if (stream_check(s, e) != 0 || skip_line(s, e) != 0)
		return -1;
	for (;;) {
		size_t len = buffered(s);
		char *end = NULL;

		if (len > seen)
			end =
			    memchr(s->rbuf + s->rpos + seen, '\n', len - seen);
		if (end != NULL)
			return take_line(s, (size_t)(end - s->rbuf), max,
			    line_out, eol_out, e);
		seen = len;
		if (len > 0 && s->rbuf[s->rlen - 1] == '\r')
			len--; /* half an end of line, perhaps */
		if (len > max) {
			s->rpos = s->rlen;
			s->skip = STREAM_SKIP_MAX;
			return line_too_long(max, e);
		}
		if (fill(s, line_room(s, max), e) != 0)
			return -1;
	}
}

/* What is gathered of a line at most: of one to be skipped, all of it. */
static size_t
gather_room(const struct stream *s, size_t max)
{
	return s->skip > 0 ? STREAM_SKIP_MAX : line_room(s, max);
}

void
stream_gather(struct stream *s, size_t max)
{
	struct err e;

	/* an error is told by whatever reads next */
	if (s->failed != ERR_NONE)
		return;
	if (buffered(s) == 0) {
		(void)receive_first(s,
		    max > STREAM_SMALL ? STREAM_BULK : STREAM_SMALL,
		    MSG_DONTWAIT, &e);
		return;
	}
	make_room(s, gather_room(s, max));
	(void)receive_more(s, MSG_DONTWAIT, &e);
}

/* As above what TLS has of it already; false: not a whole record. */
static bool
gather_pending(struct stream *s, size_t max)
{
	size_t len = buffered(s);

	if (s->tls == NULL || tls_pending(s->tls) == 0)
		return false;
	stream_gather(s, max);
	return buffered(s) > len;
}

bool
stream_line_arrived(struct stream *s, size_t max)
{
	struct err e;

	while (s->failed == ERR_NONE) {
		size_t len = buffered(s);

		if (len > 0 && memchr(s->rbuf + s->rpos, '\n', len) != NULL) {
			if (s->skip == 0)
				return true;
			(void)skip_line(s, &e);
			continue;
		}
		if (s->skip > 0 ? len >= s->skip : len > max + 1)
			return true;
		if (!gather_pending(s, max) && s->failed == ERR_NONE)
			return false;
	}
	return true;
}

bool
stream_arrived(struct stream *s)
{
	return buffered(s) > 0 || gather_pending(s, STREAM_BULK) ||
	    s->failed != ERR_NONE;
}

int
stream_peek(struct stream *s, size_t min, struct slice *data_out, struct err *e)
{
	assert(min <= STREAM_BULK);
	if (stream_check(s, e) != 0)
		return -1;
	while (buffered(s) < num_min(min + !min, STREAM_BULK)) {
		if (fill(s, STREAM_BULK, e) != 0)
			return -1;
	}
	*data_out = slice_of(s->rbuf + s->rpos, buffered(s));
	return 0;
}

void
stream_consume(struct stream *s, size_t len)
{
	assert(len <= buffered(s));
	s->rpos += len;
}

int
stream_take(struct stream *s, void *data, size_t len, struct err *e)
{
	char *p = data;

	assert(buffered(s) == 0);
	if (stream_check(s, e) != 0)
		return -1;
	while (len > 0) {
		ssize_t n = receive(s, p, len, 0, e);

		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

bool
stream_has_input(const struct stream *s)
{
	return buffered(s) > 0 || (s->tls != NULL && tls_pending(s->tls) > 0);
}

bool
stream_input_arrives(struct stream *s, int wait_ms)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	char byte;

	if (stream_has_input(s))
		return true;
	if (s->failed != ERR_NONE || poll(&p, 1, wait_ms) <= 0)
		return false;
	return recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

int
stream_rest(struct stream *s, struct err *e)
{
	if (stream_flush(s, e) != 0)
		return -1;
	if (buffered(s) == 0)
		drop_rbuf(s);
	return 0;
}

/* --- the ends ------------------------------------------------------------- */

void
stream_close(struct stream *s)
{
	char rest[STREAM_SMALL];
	struct err e;

	if (s->fd < 0)
		return;
	if (stream_flush(s, &e) == 0 && s->tls != NULL)
		tls_close(s->tls);
	(void)shutdown(s->fd, SHUT_WR);
	/* unread bytes would turn close() into a reset, which can overtake
	 * the last reply */
	for (int i = 0; i < STREAM_BULK / STREAM_SMALL; i++) {
		if (recv(s->fd, rest, sizeof(rest), MSG_DONTWAIT) <= 0)
			break;
	}
}

void
stream_last_words(struct stream *s, const char *text)
{
	enum err_kind failed = s->failed;
	struct err e;

	if (failed != ERR_TIMEOUT && failed != ERR_CLOSED)
		return;
	s->failed = ERR_NONE;
	stream_set_timeout(s, LAST_WORDS_MS);
	if (stream_write(s, text, strlen(text), &e) == 0 &&
	    stream_flush(s, &e) == 0)
		s->failed = failed;
	else
		s->failed = e.kind;
}

/* What both sides need before a handshake. */
static int
ready_for_tls(struct stream *s, struct err *e)
{
	assert(s->tls == NULL);
	if (stream_flush(s, e) != 0)
		return -1;
	if (!stream_has_input(s)) {
		drop_rbuf(s);
		return 0;
	}
	(void)err_set(e, ERR_CLOSED, "plain text in front of the handshake");
	return stream_fail(s, e);
}

int
stream_start_tls_server(
    struct stream *s, struct tls_context *ctx, struct err *e)
{
	if (ready_for_tls(s, e) != 0)
		return -1;
	if (tls_accept(ctx, s->fd, s->deadline_ms, &s->tls, e) != 0)
		return stream_fail(s, e);
	return 0;
}

int
stream_prepare_tls_server(
    struct stream *s, struct tls_context *ctx, struct err *e)
{
	if (ready_for_tls(s, e) != 0)
		return -1;
	if (tls_accept_later(ctx, s->fd, s->deadline_ms, &s->tls, e) != 0)
		return stream_fail(s, e);
	return 0;
}

int
stream_shake_hands(struct stream *s, struct err *e)
{
	int rc = tls_handshake(s->tls, MSG_DONTWAIT, e);

	return rc < 0 ? stream_fail(s, e) : rc;
}

int
stream_start_tls_client(struct stream *s, struct tls_context *ctx,
    const char *server_name, struct err *e)
{
	if (ready_for_tls(s, e) != 0)
		return -1;
	if (tls_connect(ctx, s->fd, server_name, s->deadline_ms, &s->tls, e) !=
	    0)
		return stream_fail(s, e);
	return 0;
}
