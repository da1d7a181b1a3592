/*
 * The client of mailstead-parse, and the jobs behind it, in one process: a
 * thread answers on run/parse.sock as a worker would, without the jail
 * (tests/e2e/test_parse.py has the real one).
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mime/mime.h"
#include "mime/wire.h"
#include "net/sock.h"

#include "parse/flowed.h"
#include "parse/job.h"

enum {
	WAIT_MS = 20000,
	TEXT_MAX = 1024 * 1024
};

static char top[] = "/tmp/mailstead-mime-XXXXXX";
static int listen_fd;
static pthread_t server;
/*
 * 0 answer, 1 close at once, 2 die on it, 3 lie, 4 close after an answer,
 * 5 lie deeply
 */
static _Atomic int mode;

/* true: the connection goes on */
static bool
answer_one(int sock)
{
	char *packet = mem_alloc(WIRE_PACKET_MAX);
	struct answer a = { .sock = sock };
	struct err e;
	int fd = -1;
	ssize_t n = sock_recv_packet(
	    sock, packet, WIRE_PACKET_MAX, &fd, clock_mono_ms() + WAIT_MS, &e);
	json_t *job = n > 0 ? json_loadb(packet, (size_t)n, 0, NULL) : NULL;

	if (mode == 2)
		(void)usleep(300000);
	if (mode == 3)
		(void)!sock_send_packet(
		    sock, "J{", 2, -1, clock_mono_ms() + WAIT_MS, &e);
	if (mode == 3)
		(void)!sock_send_packet(
		    sock, "E", 1, -1, clock_mono_ms() + WAIT_MS, &e);
	if (mode == 5) {
		memset(packet, '[', 1001);
		memset(packet + 1001, ']', 1000);
		packet[0] = 'E';
		(void)!sock_send_packet(
		    sock, packet, 2001, -1, clock_mono_ms() + WAIT_MS, &e);
	}
	if ((mode == 0 || mode == 4) && job != NULL && fd >= 0)
		job_run(job, fd, &a);
	json_decref(job);
	if (fd >= 0)
		(void)close(fd);
	free(packet);
	return n > 0 && mode == 0;
}

static void *
serve_connection(void *arg)
{
	int sock = (int)(intptr_t)arg;

	while (answer_one(sock))
		continue;
	(void)close(sock);
	return NULL;
}

static void *
serve(void *arg)
{
	pthread_t thread;
	int sock;

	(void)arg;
	while ((sock = accept(listen_fd, NULL, NULL)) >= 0) {
		if (mode == 1) {
			mode = 0; /* busy once */
			(void)close(sock);
		} else if (pthread_create(&thread, NULL, serve_connection,
			       (void *)(intptr_t)sock) == 0) {
			(void)pthread_detach(thread);
		}
	}
	return NULL;
}

static int
setup(void **state)
{
	char path[128];
	struct err e;

	job_prepare();
	if (mkdtemp(top) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/run", top);
	if (mkdir(path, 0700) != 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/run/parse.sock", top);
	if (sock_listen_unix(path, SOCK_SEQPACKET, 0600, &listen_fd, &e) != 0)
		return -1;
	*state = mime_new(top);
	return pthread_create(&server, NULL, serve, NULL);
}

static int
teardown(void **state)
{
	char path[128];

	(void)shutdown(listen_fd, SHUT_RDWR);
	(void)pthread_join(server, NULL);
	(void)close(listen_fd);
	mime_free(*state);
	(void)snprintf(path, sizeof(path), "%s/run/parse.sock", top);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/run", top);
	(void)rmdir(path);
	return rmdir(top);
}

static int
message(const char *text)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static const char sample[] =
    "From: =?utf-8?q?J=C3=B6rg?= <j@example.org>\n"
    "Subject: =?iso-8859-1?q?=E4?=\n\tb\n"
    "Date: Fri, 20 Nov 2026 20:44:23 +0000\nMessage-ID: <a@b>\n"
    "Content-Type: multipart/mixed; boundary=x\n\n"
    "--x\nContent-Type: text/plain; charset=utf-8\n\nhello\r\nyou\n"
    "--x\nContent-Type: text/html\n\n<b onclick=x>Hi</b><script>no</script>\n"
    "--x\nContent-Type: image/png\n"
    "Content-Disposition: attachment; filename=\"../a.png\"\n"
    "Content-Transfer-Encoding: base64\n\naGk=\n--x--\n";

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void
test_summary(void **state)
{
	int fd = message(sample);
	json_t *s, *from;
	struct buf body;
	struct err e;

	buf_init(&body, TEXT_MAX);
	assert_int_equal(mime_summary(*state, fd, &s, &body, &e), 0);
	from = json_array_get(json_object_get(s, "from"), 0);
	assert_string_equal(text_of(from, "name"), "J\xc3\xb6rg");
	assert_string_equal(text_of(from, "address"), "j@example.org");
	assert_string_equal(text_of(s, "subject"), "\xc3\xa4 b");
	assert_string_equal(text_of(s, "message_id"), "a@b");
	assert_string_equal(text_of(s, "snippet"), "hello you");
	assert_string_equal(body.data, "hello\nyou");
	buf_release(&body);
	assert_true(json_is_true(json_object_get(s, "has_attachments")));
	assert_int_equal(
	    json_integer_value(json_object_get(s, "date")), 1795207463000);
	json_decref(s);
	(void)close(fd);
}

static void
test_structure(void **state)
{
	int fd = message(sample);
	json_t *s, *parts;
	struct err e;

	assert_int_equal(mime_structure(*state, fd, &s, &e), 0);
	parts = json_object_get(s, "parts");
	assert_int_equal(json_array_size(parts), 4);
	assert_string_equal(text_of(json_array_get(parts, 3), "name"), "a.png");
	json_decref(s);
	(void)close(fd);
}

static int
take_begin(void *arg, const json_t *part, struct err *e)
{
	(void)e;
	buf_addf(arg, "[%s]", text_of(part, "type"));
	return 0;
}

static int
take_data(void *arg, const void *data, size_t len, struct err *e)
{
	(void)e;
	buf_add(arg, data, len);
	return 0;
}

static void
test_parts(void **state)
{
	const struct mime_html_options options = { 0 };
	int fd = message(sample);
	struct buf out;
	const struct mime_sink sink = { take_begin, take_data, &out };
	json_t *info, *headers;
	struct err e;

	buf_init(&out, 1000);
	assert_int_equal(mime_part(*state, fd, "1.3", &sink, &e), 0);
	assert_string_equal(out.data, "[image/png]hi");
	assert_int_equal(mime_part(*state, fd, "1", &sink, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(mime_part(*state, fd, "1.9", &sink, &e), -1);
	buf_reset(&out);
	assert_int_equal(mime_text(*state, fd, "1.1", &out, NULL, &e), 0);
	assert_string_equal(out.data, "hello\nyou");
	buf_reset(&out);
	assert_int_equal(
	    mime_html(*state, fd, "1.2", &options, &out, &info, &e), 0);
	assert_string_equal(out.data, "<b>Hi</b>");
	json_decref(info);
	assert_int_equal(
	    mime_html(*state, fd, "1.1", &options, &out, NULL, &e), -1);
	assert_int_equal(mime_headers(*state, fd, NULL, &headers, &e), 0);
	assert_int_equal(
	    json_array_size(json_object_get(headers, "fields")), 5);
	json_decref(headers);
	buf_release(&out);
	(void)close(fd);
}

static void
test_odd_messages(void **state)
{
	static const char *const odd[] = {
		"",
		"\n",
		"x",
		"\n\nbody",
		"Content-Type: multipart/mixed\n\nx",
		"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n",
		"Content-Type: message/rfc822\n\n",
		"Content-Type: /\n\nx",
		"Content-Type: text/plain; charset=nonsense\n\n\xff\xfe",
		"From:\nTo: ,,;\nDate: never\nReferences: <<<>>\n\n",
		"Content-Disposition: attachment; filename*=utf-8''%ff%00a\n\nx",
	};
	struct err e;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		int fd = message(odd[i]);
		json_t *s;

		assert_int_equal(mime_summary(*state, fd, &s, NULL, &e), 0);
		json_decref(s);
		assert_int_equal(mime_structure(*state, fd, &s, &e), 0);
		json_decref(s);
		(void)close(fd);
	}
}

/* Thousand parts: as many as are shown. */
static void
test_many_parts(void **state)
{
	struct buf text;
	json_t *s;
	struct err e;
	int fd;

	buf_init(&text, TEXT_MAX);
	buf_addstr(&text, "Content-Type: multipart/mixed; boundary=b\n\n");
	for (int i = 0; i < 999; i++)
		buf_addstr(&text, "--b\n\n");
	fd = message(text.data);
	assert_int_equal(mime_structure(*state, fd, &s, &e), 0);
	assert_in_range(
	    json_array_size(json_object_get(s, "parts")), 900, 1000);
	json_decref(s);
	(void)close(fd);
	buf_release(&text);
}

static void
test_failures(void **state)
{
	int fd = message(sample);
	struct mime *nobody = mime_new("/nonexistent");
	json_t *s;
	struct err e;

	mode = 1; /* busy: asked again */
	assert_int_equal(mime_summary(*state, fd, &s, NULL, &e), 0);
	json_decref(s);
	mode = 2; /* the message kills it */
	assert_int_equal(mime_summary(*state, fd, &s, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	for (mode = 3; mode <= 5; mode += 2) {
		assert_int_equal(mime_summary(*state, fd, &s, NULL, &e), -1);
		assert_int_equal(e.kind, ERR_TEMP);
	}
	mode = 0;
	assert_int_equal(mime_summary(nobody, fd, &s, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	mime_free(nobody);
	(void)close(fd);
}

struct seen {
	size_t count, known;
	char texts[64];
};

static void
take_seen(void *arg, size_t i, const json_t *summary, struct slice text)
{
	struct seen *s = arg;

	assert_int_equal(i, s->count);
	s->count++;
	s->known += summary != NULL;
	(void)snprintf(s->texts + strlen(s->texts),
	    sizeof(s->texts) - strlen(s->texts), "%.*s", SLICE_ARGS(text));
}

/* Asked together; where a connection ends, the rest is asked alone. */
static void
test_many_messages(void **state)
{
	int fds[7];
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		char text[] = "Subject: x\n\n0";

		text[sizeof(text) - 2] = (char)('0' + i);
		fds[i] = message(text);
	}
	for (int how = 0; how <= 4; how += 4) {
		struct seen s = { .count = 0 };

		mode = how;
		assert_int_equal(mime_take_summaries(mime_ask_summaries(*state,
							 fds, ARRAY_LEN(fds)),
				     take_seen, &s, &e),
		    0);
		assert_int_equal(s.count, ARRAY_LEN(fds));
		assert_int_equal(s.known, ARRAY_LEN(fds));
		assert_string_equal(s.texts, "0123456");
	}
	mode = 3;
	assert_int_equal(mime_take_summaries(mime_ask_summaries(*state, fds, 3),
			     take_seen, &(struct seen){ .count = 0 }, &e),
	    -1);
	assert_int_equal(e.kind, ERR_TEMP);
	mode = 0;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
}

static void
check_name(const char *name, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	mime_scrub_name(slice_str(name), &out);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

/* threats.md L17 */
static void
test_l17_names(void **state)
{
	char longer[4097];
	struct buf out;

	(void)state;
	check_name("a.txt", "a.txt");
	check_name("../../etc/passwd", "passwd");
	check_name("C:\\Windows\\x.exe", "x.exe");
	check_name("..", "file");
	check_name("", "file");
	check_name("a\r\nb\"c;d%22.png", "abcd22.png");
	/* NOLINTNEXTLINE(misc-misleading-bidirectional): that is the test */
	check_name("\xe2\x80\xaegnp.exe", "gnp.exe");
	check_name("\xc3\xa6\xff.pdf", "\xc3\xa6_.pdf");
	check_name(".htaccess ", "htaccess");
	memset(longer, 'x', sizeof(longer) - 1);
	memcpy(longer + sizeof(longer) - 5, ".png", 5);
	buf_init(&out, 10000);
	mime_scrub_name(slice_str(longer), &out);
	assert_int_equal(out.len, 200);
	assert_true(slice_ends(buf_slice(&out), ".png"));
	buf_release(&out);
}

static void
check_flowed(const char *text, bool delsp, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	flowed_unfold(slice_str(text), delsp, &out);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

static void
test_flowed(void **state)
{
	(void)state;
	check_flowed("a \nb\nc\n", false, "a b\nc\n");
	check_flowed("a \nb\n", true, "ab\n");
	check_flowed("> a \n> b\nc\n", false, "> a b\nc\n");
	check_flowed(">>a \n> b\n", false, "> > a \n> b\n");
	check_flowed(" >x\n From\n", false, ">x\nFrom\n");
	check_flowed("x \n-- \nme\n", false, "x \n-- \nme\n");
	check_flowed("a ", false, "a \n");
	check_flowed("", false, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_odd_messages),
		cmocka_unit_test(test_many_parts),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_many_messages),
		cmocka_unit_test(test_l17_names),
		cmocka_unit_test(test_flowed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
