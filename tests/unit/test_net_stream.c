/* Streams over a socket pair: lines, bulk data, deadlines, output. */
#include <sys/socket.h>

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/stream.h"

enum {
	BULK = 1000000
};

/* A stream and the other end of its socket. */
static int
open_pair(struct stream *s)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	stream_init(s, fds[0]);
	stream_set_timeout(s, 10000);
	return fds[1];
}

static void
say(int fd, const char *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void
expect_line(struct stream *s, size_t max, const char *want, size_t len,
    enum stream_eol want_eol)
{
	struct slice line = { 0 };
	enum stream_eol eol = STREAM_EOL_LF;
	struct err e = { 0 };

	if (stream_read_line(s, max, &line, &eol, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(line.len, len);
	if (len > 0)
		assert_memory_equal(line.data, want, len);
	assert_int_equal(eol, want_eol);
}

static void
expect_error(struct stream *s, size_t max, enum err_kind kind)
{
	struct slice line;
	struct err e = { 0 };

	assert_int_equal(stream_read_line(s, max, &line, NULL, &e), -1);
	assert_int_equal(e.kind, kind);
	assert_true(e.text[0] != '\0');
}

#define DIALOGUE "EHLO x\r\nbare\n\r\na\0b\rc\r\r\n\nQUIT\r\n"

/* In two pieces, cut at every byte. */
static void
test_lines_split_everywhere(void **state)
{
	size_t size = sizeof(DIALOGUE) - 1;

	(void)state;
	for (size_t cut = 0; cut <= size; cut++) {
		struct stream s;
		int fd = open_pair(&s);

		say(fd, DIALOGUE, cut);
		if (cut >= 8)
			expect_line(&s, 100, "EHLO x", 6, STREAM_EOL_CRLF);
		say(fd, &DIALOGUE[cut], size - cut);
		if (cut < 8)
			expect_line(&s, 100, "EHLO x", 6, STREAM_EOL_CRLF);
		expect_line(&s, 100, "bare", 4, STREAM_EOL_LF);
		expect_line(&s, 100, "", 0, STREAM_EOL_CRLF);
		expect_line(&s, 100, "a\0b\rc\r", 6, STREAM_EOL_CRLF);
		expect_line(&s, 100, "", 0, STREAM_EOL_LF);
		expect_line(&s, 100, "QUIT", 4, STREAM_EOL_CRLF);
		assert_false(stream_has_input(&s));
		assert_int_equal(s.bytes_in, size);
		(void)close(fd);
		expect_error(&s, 100, ERR_CLOSED);
		expect_error(&s, 100, ERR_CLOSED);
		stream_release(&s);
	}
}

struct dribble {
	int fd;
	const char *data;
	size_t len;
	useconds_t gap;
};

static void *
dribble(void *arg)
{
	struct dribble *d = arg;

	for (size_t i = 0; i < d->len; i++) {
		if (send(d->fd, d->data + i, 1, MSG_NOSIGNAL) != 1)
			break;
		(void)usleep(d->gap);
	}
	return NULL;
}

static void
test_byte_by_byte(void **state)
{
	struct stream s;
	struct dribble d = {
		.data = DIALOGUE, .len = sizeof(DIALOGUE) - 1, .gap = 500
	};
	pthread_t thread;

	(void)state;
	d.fd = open_pair(&s);
	assert_int_equal(pthread_create(&thread, NULL, dribble, &d), 0);
	expect_line(&s, 100, "EHLO x", 6, STREAM_EOL_CRLF);
	expect_line(&s, 100, "bare", 4, STREAM_EOL_LF);
	expect_line(&s, 100, "", 0, STREAM_EOL_CRLF);
	expect_line(&s, 100, "a\0b\rc\r", 6, STREAM_EOL_CRLF);
	expect_line(&s, 100, "", 0, STREAM_EOL_LF);
	expect_line(&s, 100, "QUIT", 4, STREAM_EOL_CRLF);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(d.fd);
	stream_release(&s);
}

/* `len` bytes, then the end of line, then another line. */
static void
check_length(size_t max, size_t len, const char *eol)
{
	struct stream s;
	char *text = malloc(len + 1);
	int fd = open_pair(&s);

	assert_non_null(text);
	memset(text, 'x', len + 1);
	say(fd, text, len);
	say(fd, eol, strlen(eol));
	say(fd, "next\r\n", 6);
	if (len > max)
		expect_error(&s, max, ERR_SYNTAX);
	else
		expect_line(&s, max, text, len,
		    eol[0] == '\r' ? STREAM_EOL_CRLF : STREAM_EOL_LF);
	expect_line(&s, max, "next", 4, STREAM_EOL_CRLF);
	stream_release(&s);
	(void)close(fd);
	free(text);
}

static void
test_long_lines(void **state)
{
	static const size_t limits[] = { 4, 510, 4093, 4094, 4095, 4096, 4097,
		8192, 12288, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		for (size_t len = limits[i] - 1; len <= limits[i] + 3; len++) {
			check_length(limits[i], len, "\r\n");
			check_length(limits[i], len, "\n");
		}
	}
	check_length(100, 60000, "\r\n");
}

/* The too long line is refused without waiting for its end. */
static void
test_long_line_at_once(void **state)
{
	struct stream s;
	int fd = open_pair(&s);

	(void)state;
	say(fd, "12345\r", 6);
	say(fd, "x", 1);
	expect_error(&s, 5, ERR_SYNTAX);
	say(fd, "rest\r\nok\r\n", 10);
	expect_line(&s, 5, "ok", 2, STREAM_EOL_CRLF);
	say(fd, "123456", 6);
	expect_error(&s, 5, ERR_SYNTAX);
	stream_release(&s);
	(void)close(fd);
}

static void
test_endless_line(void **state)
{
	struct stream s;
	struct slice line;
	struct err e;
	int fd = open_pair(&s);
	static char block[90000];

	(void)state;
	memset(block, 'x', sizeof(block));
	say(fd, block, sizeof(block));
	expect_error(&s, 1000, ERR_SYNTAX);
	expect_error(&s, 1000, ERR_CLOSED);
	assert_int_equal(stream_write(&s, "x", 1, &e), -1);
	assert_int_equal(stream_peek(&s, 1, &line, &e), -1);
	assert_int_equal(e.kind, ERR_CLOSED);
	stream_release(&s);
	(void)close(fd);
}

static void
check_deadline(useconds_t gap)
{
	static const char text[] = "no end of line here, only more and more";
	struct dribble d = { .data = text, .len = sizeof(text), .gap = gap };
	struct stream s;
	pthread_t thread;
	int64_t start;

	d.fd = open_pair(&s);
	stream_set_timeout(&s, 300);
	start = clock_mono_ms();
	assert_int_equal(pthread_create(&thread, NULL, dribble, &d), 0);
	expect_error(&s, 100, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 299, 900);
	expect_error(&s, 100, ERR_TIMEOUT);
	stream_release(&s);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(d.fd);
}

static void
test_deadline(void **state)
{
	struct stream s;
	int fd = open_pair(&s);
	struct err e = { 0 };
	int64_t start;
	char block[4096] = { 0 };

	(void)state;
	check_deadline(20000);
	check_deadline(250000);
	/* a long deadline behind a short one */
	stream_set_timeout(&s, 50);
	say(fd, "a\n", 2);
	expect_line(&s, 10, "a", 1, STREAM_EOL_LF);
	stream_set_timeout(&s, 600);
	start = clock_mono_ms();
	expect_error(&s, 10, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 599, 1200);
	stream_release(&s);
	(void)close(fd);
	/* nobody reads */
	fd = open_pair(&s);
	stream_set_timeout(&s, 200);
	start = clock_mono_ms();
	while (stream_write(&s, block, sizeof(block), &e) == 0)
		;
	assert_int_equal(e.kind, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 190, 1000);
	stream_release(&s);
	(void)close(fd);
}

/* All replies to pipelined commands leave together, before the wait. */
static void
test_output_is_gathered(void **state)
{
	struct stream s;
	struct err e;
	int fd = open_pair(&s);
	char got[64];

	(void)state;
	say(fd, "a\r\nb\r\n", 6);
	for (int i = 0; i < 2; i++) {
		struct slice line;

		assert_int_equal(stream_read_line(&s, 10, &line, NULL, &e), 0);
		assert_int_equal(
		    stream_printf(&s, &e, "250 %.*s\r\n", SLICE_ARGS(line)), 0);
		assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1);
	}
	stream_set_timeout(&s, 30);
	expect_error(&s, 10, ERR_TIMEOUT);
	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), 14);
	assert_memory_equal(got, "250 a\r\n250 b\r\n", 14);
	/* and nothing is held while waiting */
	assert_null(s.rbuf);
	assert_null(s.wbuf);
	assert_int_equal(s.bytes_out, 14);
	stream_release(&s);
	(void)close(fd);
}

struct sink {
	int fd;
	size_t got;
	bool wrong;
};

static void *
sink(void *arg)
{
	struct sink *k = arg;
	static char block[30000];
	ssize_t n;

	while ((n = recv(k->fd, block, sizeof(block), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			k->wrong = k->wrong ||
			    block[i] != (char)('a' + (k->got + (size_t)i) % 23);
		k->got += (size_t)n;
	}
	return NULL;
}

static void
fill_pattern(char *out, size_t len, size_t from)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)('a' + (from + i) % 23);
}

static void
test_bulk_out(void **state)
{
	static const size_t parts[] = { 1, 7, 1000, 4096, 65535, 65536, 65537,
		200000, 3 };
	static char block[200000];
	struct stream s;
	struct sink k = { 0 };
	pthread_t thread;
	size_t sent = 0;
	struct err e;

	(void)state;
	k.fd = open_pair(&s);
	assert_int_equal(pthread_create(&thread, NULL, sink, &k), 0);
	for (size_t i = 0; sent < BULK; i++) {
		size_t part = parts[i % 9];

		fill_pattern(block, part, sent);
		assert_int_equal(stream_write(&s, block, part, &e), 0);
		sent += part;
	}
	stream_close(&s);
	stream_release(&s);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(k.got, sent);
	assert_false(k.wrong);
	(void)close(k.fd);
}

static void *
source(void *arg)
{
	struct sink *k = arg;
	static char block[50000];

	while (k->got < BULK) {
		size_t part = 1 + k->got % sizeof(block);

		fill_pattern(block, part, k->got);
		if (send(k->fd, block, part, MSG_NOSIGNAL) != (ssize_t)part)
			break;
		k->got += part;
	}
	(void)shutdown(k->fd, SHUT_WR);
	return NULL;
}

static void
test_bulk_in(void **state)
{
	struct stream s;
	struct sink k = { 0 };
	struct slice data;
	pthread_t thread;
	size_t got = 0;
	struct err e;

	(void)state;
	k.fd = open_pair(&s);
	assert_int_equal(pthread_create(&thread, NULL, source, &k), 0);
	for (size_t round = 0; stream_peek(&s, 1, &data, &e) == 0; round++) {
		size_t use = round % 3 == 0 ? data.len : 1 + data.len / 2;

		assert_in_range(data.len, 1, 65536);
		for (size_t i = 0; i < use; i++) {
			if (data.data[i] != (char)('a' + (got + i) % 23))
				fail_msg("wrong byte at %zu", got + i);
		}
		stream_consume(&s, use);
		got += use;
	}
	assert_int_equal(e.kind, ERR_CLOSED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(got, k.got);
	stream_release(&s);
	(void)close(k.fd);
}

static void
test_peek_minimum(void **state)
{
	struct stream s;
	struct dribble d = { .data = "0123456789", .len = 10, .gap = 2000 };
	struct slice data;
	pthread_t thread;
	struct err e;

	(void)state;
	d.fd = open_pair(&s);
	assert_int_equal(pthread_create(&thread, NULL, dribble, &d), 0);
	assert_int_equal(stream_peek(&s, 10, &data, &e), 0);
	assert_int_equal(data.len, 10);
	assert_memory_equal(data.data, "0123456789", 10);
	assert_int_equal(pthread_join(thread, NULL), 0);
	stream_consume(&s, 9);
	say(d.fd, "\r\n", 2);
	expect_line(&s, 5, "9", 1, STREAM_EOL_CRLF);
	stream_release(&s);
	(void)close(d.fd);
}

static void
test_early_talker(void **state)
{
	struct stream s;
	int fd = open_pair(&s);
	int64_t start = clock_mono_ms();

	(void)state;
	assert_false(stream_input_arrives(&s, 50));
	assert_in_range(clock_mono_ms() - start, 49, 500);
	assert_false(stream_input_arrives(&s, 0));
	say(fd, "EHLO x\r\n", 8);
	assert_true(stream_input_arrives(&s, 1000));
	assert_true(stream_input_arrives(&s, 0));
	expect_line(&s, 100, "EHLO x", 6, STREAM_EOL_CRLF);
	assert_false(stream_input_arrives(&s, 0));
	/* the end of file is nothing sent */
	(void)close(fd);
	assert_false(stream_input_arrives(&s, 50));
	stream_release(&s);
}

/* Commands sent in front of the handshake are never run. */
static void
test_d01_d02_no_plain_text_before_tls(void **state)
{
	struct stream s;
	int fd = open_pair(&s);
	struct slice line;
	struct err e = { 0 };

	(void)state;
	say(fd, "STARTTLS\r\nMAIL FROM:<>\r\n", 24);
	expect_line(&s, 100, "STARTTLS", 8, STREAM_EOL_CRLF);
	assert_true(stream_has_input(&s));
	assert_int_equal(stream_start_tls_server(&s, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_CLOSED);
	assert_int_equal(stream_read_line(&s, 100, &line, NULL, &e), -1);
	stream_release(&s);
	(void)close(fd);

	fd = open_pair(&s);
	say(fd, "220 go\r\n250 fake\r\n", 18);
	expect_line(&s, 100, "220 go", 6, STREAM_EOL_CRLF);
	assert_int_equal(
	    stream_start_tls_client(&s, NULL, "x.example", &e), -1);
	stream_release(&s);
	(void)close(fd);
}

static void
test_peer_gone(void **state)
{
	struct stream s;
	struct err e = { 0 };
	int fd = open_pair(&s);

	(void)state;
	(void)close(fd);
	/* no SIGPIPE */
	assert_int_equal(stream_write(&s, "x", 1, &e), 0);
	assert_int_equal(stream_flush(&s, &e), -1);
	assert_int_equal(e.kind, ERR_CLOSED);
	stream_close(&s);
	stream_release(&s);
	stream_release(&s);
}

static void
test_long_printf(void **state)
{
	struct stream s;
	struct err e;
	int fd = open_pair(&s);
	char got[3001];

	(void)state;
	assert_int_equal(stream_printf(&s, &e, "%3000s", "x"), 0);
	assert_int_equal(stream_flush(&s, &e), 0);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 3000);
	assert_int_equal(got[2999], 'x');
	stream_release(&s);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_split_everywhere),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_long_line_at_once),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_output_is_gathered),
		cmocka_unit_test(test_bulk_out),
		cmocka_unit_test(test_bulk_in),
		cmocka_unit_test(test_peek_minimum),
		cmocka_unit_test(test_early_talker),
		cmocka_unit_test(test_d01_d02_no_plain_text_before_tls),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_long_printf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
