#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * A buffered byte stream over a connected socket, plain or TLS, read and
 * written by one thread with blocking calls that all end at a deadline.
 *
 * Rules:
 *  - what is written is collected and sent before the first read that would
 *    have to wait, so pipelined commands get their replies in one segment;
 *  - buffers exist only while they hold something: an idle connection costs
 *    no buffer;
 *  - stream_start_tls_*() fails if plain bytes are still buffered (command
 *    injection, threats.md D01), and there is no way back to plain;
 *  - after an error every further call fails the same way, except
 *    stream_release().
 *
 * Errors: ERR_TIMEOUT deadline; ERR_CLOSED end of file, reset, or TLS
 * close_notify; ERR_SYNTAX what stream_read_line() says below.
 */
struct tls_context;
struct tls;

struct stream {
	int fd; /* owned */
	struct tls *tls;
	int64_t deadline_ms; /* monotonic; 0 = none (tests only) */
	char *rbuf;          /* private from here on */
	size_t rpos, rlen, ralloc;
	char *wbuf;
	size_t wlen, walloc;
	int64_t read_timeout_ms; /* what the kernel has (SO_RCVTIMEO) */
	size_t skip;             /* 0, or what an over-long line may have */
	uint64_t bytes_in, bytes_out; /* of payload, for the log */
	enum err_kind failed;
};

/* Take over `fd`; nothing can fail here. */
void stream_init(struct stream *s, int fd);

/* Flush nothing, close the descriptor, free everything. */
void stream_release(struct stream *s);

/* Send what is collected, TLS close_notify, then shutdown: a polite end. */
void stream_close(struct stream *s);

/*
 * When reading has failed (a timeout, or shutdown(SHUT_RD) to end an idle
 * session): send one more line to whoever still listens.  Best effort, waits
 * a second at most; the stream stays failed.  The text is sent as it is.
 */
void stream_last_words(struct stream *s, const char *text);

/* Every later wait ends `timeout_ms` from now at the latest. */
void stream_set_timeout(struct stream *s, int64_t timeout_ms);

enum stream_eol {
	STREAM_EOL_CRLF,
	STREAM_EOL_LF
};

/*
 * Read one line of at most `max` bytes without its end.  The slice points
 * into the buffer and is valid until the next read.  A line may contain any
 * byte, NUL and bare CR included; *eol_out (may be NULL) says how it ended.
 * A longer line: ERR_SYNTAX once, and the stream remembers to skip the rest
 * of it (at most 64 KiB more, then it is failed with ERR_CLOSED), so that the
 * next call reads the next line.
 */
int stream_read_line(struct stream *s, size_t max, struct slice *line_out,
    enum stream_eol *eol_out, struct err *e) MUST_CHECK;

/*
 * For bulk data: wait until something is buffered and show all of it (at
 * least `min` bytes, which is at most 64 KiB); then say how much was used.
 * With bulk data coming the buffer grows to 64 KiB.
 */
int stream_peek(struct stream *s, size_t min, struct slice *data_out,
    struct err *e) MUST_CHECK;
void stream_consume(struct stream *s, size_t len);

/* So many bytes and none behind them, which may be TLS; before other reads. */
int stream_take(
    struct stream *s, void *data, size_t len, struct err *e) MUST_CHECK;

/* Bytes already read from the peer but not used (early talkers, STARTTLS). */
bool stream_has_input(const struct stream *s);

/* True if the peer has sent something within `wait_ms`; reads nothing away. */
bool stream_input_arrives(struct stream *s, int wait_ms);

/*
 * For who waits for many streams at once.  stream_gather() reads what has
 * arrived, in one piece, after poll() said that there is something; it never
 * waits.  stream_line_arrived() says whether stream_read_line() would not wait
 * (a line is there, one that is too long, or an error), stream_arrived()
 * whether stream_peek() for a byte would not.
 */
void stream_gather(struct stream *s, size_t max);
bool stream_line_arrived(struct stream *s, size_t max);
bool stream_arrived(struct stream *s);

/*
 * Before nothing is read for a while: send what is collected and let go of
 * the buffers that hold nothing.
 */
int stream_rest(struct stream *s, struct err *e) MUST_CHECK;

/* Collect output; sends when 64 KiB are there. */
int stream_write(
    struct stream *s, const void *data, size_t len, struct err *e) MUST_CHECK;
int stream_printf(struct stream *s, struct err *e, const char *fmt, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;
int stream_flush(struct stream *s, struct err *e) MUST_CHECK;

/* TLS handshake on this side, before the deadline.  See net/tls.h. */
int stream_start_tls_server(
    struct stream *s, struct tls_context *ctx, struct err *e) MUST_CHECK;

/*
 * The same in turns: prepare it, then go on whenever something may have
 * arrived, which never waits for input.  1: done; 0: not yet, and nothing else
 * may be done with the stream meanwhile.
 */
int stream_prepare_tls_server(
    struct stream *s, struct tls_context *ctx, struct err *e) MUST_CHECK;
int stream_shake_hands(struct stream *s, struct err *e) MUST_CHECK;

int stream_start_tls_client(struct stream *s, struct tls_context *ctx,
    const char *server_name, struct err *e) MUST_CHECK;

#endif /* NET_STREAM_H */
