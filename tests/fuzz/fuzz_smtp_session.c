/*
 * A whole SMTP session, with a directory, an accountd and a spool of its own.
 * The first byte chooses listener and client; of the rest, 0xFF is where the
 * client pauses until the server waits for it, all else is sent as it is.
 *
 * Whatever comes, replies are lines of printable text with a code, nothing is
 * accepted without a go-ahead, a stranger relays nothing, and the log has
 * whole lines.  TLS is not spoken here.
 *
 * recv() is ours: when the session would wait, there or between its turns,
 * what the client pauses before is put into its socket first.  So one thread is enough, and the same input
 * gives the same session.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "directory/accountd.h"

#include "queue/spool_runner.h"

#include "accountd/connection.h"
#include "accountd/core.h"
#include "mtad/mtad.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/tree.h"

enum {
	PAUSE = 0xff,
	SPOOL_USES = 500, /* inputs before the spool is made anew */
};

static char dir[] = "/tmp/mailstead-fuzz-XXXXXX";
static char spool_dir[sizeof(dir) + 16], log_dir[sizeof(dir) + 16];
static struct core *core;
static struct service_config config = { .workers = 1, .connections = 1 };
static struct worker worker = { .config = &config, .state_dir = dir };
static struct mtad mtad;
static sem_t resumed;

/* The client of the running session. */
static struct {
	int server; /* the session's descriptor */
	int fd;
	struct slice rest;
	bool over;
	struct buf replies;
} client;

/* --- the client ---------------------------------------------------------------- */

/* Read what the server has said. */
static void
listen_up(void)
{
	char *at = buf_reserve(&client.replies, 65536);
	ssize_t n = syscall(
	    SYS_recvfrom, client.fd, at, 65536, MSG_DONTWAIT, NULL, NULL);

	buf_commit(&client.replies, n > 0 ? (size_t)n : 0);
}

/* Say what comes before the next pause; without any, hang up. */
static void
speak(void)
{
	struct slice part;

	listen_up();
	do {
		if (client.rest.data == NULL) {
			(void)shutdown(client.fd, SHUT_WR);
			return;
		}
		client.rest = slice_cut(client.rest, (char)PAUSE, &part);
	} while (part.len == 0);
	/* a reset by the server is the client's bad luck */
	(void)send(client.fd, part.data, part.len, MSG_NOSIGNAL);
}

/* The server is going to wait for the client. */
static void
be_waited_for(void)
{
	char byte;

	if (syscall(SYS_recvfrom, client.server, &byte, 1,
		MSG_PEEK | MSG_DONTWAIT, NULL, NULL) < 0)
		speak();
}

ssize_t
recv(int fd, void *buf, size_t n, int flags)
{
	if (fd == client.server && !(flags & MSG_DONTWAIT))
		be_waited_for();
	return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
}

/* --- what must be true ----------------------------------------------------------- */

static void
check_replies(void)
{
	struct slice rest = buf_slice(&client.replies), line;
	unsigned go_aheads = 0, accepted = 0;

	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		assert(line.len >= 5 && line.len <= 1024);
		assert(line.data[line.len - 1] == '\r');
		assert(line.data[0] >= '2' && line.data[0] <= '5');
		assert(ascii_is_digit((unsigned char)line.data[1]));
		assert(ascii_is_digit((unsigned char)line.data[2]));
		assert(line.data[3] == ' ' || line.data[3] == '-');
		for (size_t i = 0; i + 1 < line.len; i++)
			assert(line.data[i] >= ' ' && line.data[i] < 0x7f);
		go_aheads += slice_starts(line, "354 ");
		accepted += slice_starts(line, "250 2.0.0 Accepted as ");
		assert(accepted <= go_aheads);
	}
}

/* Whoever is not signed in reaches our domain and no other. */
static void
check_accepted(const char *line)
{
	const char *to = strstr(line, " to="), *end;

	if (strstr(line, " event=accept ") == NULL ||
	    strstr(line, " user=") != NULL ||
	    strstr(line, " recipients=1 ") == NULL)
		return;
	assert(to != NULL);
	end = strstr(to, " recipients=1 ");
	if (end[-1] == '"')
		end--;
	assert(end - to > 10 && memcmp(end - 10, "@d.example", 10) == 0);
}

static void
check_log(const char *day, bool is_local)
{
	char path[sizeof(log_dir) + CLOCK_DAY_SIZE + 8];
	struct slice rest, line;
	struct buf text;
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/%s.log", log_dir, day);
	buf_init(&text, 16 * 1024 * 1024);
	assert(file_read(AT_FDCWD, path, &text, &e) == 0);
	rest = buf_slice(&text);
	while (rest.len > 0) {
		char *copy;

		rest = slice_cut(rest, '\n', &line);
		assert(rest.data != NULL);
		for (size_t i = 0; i < line.len; i++)
			assert(line.data[i] >= ' ' && line.data[i] < 0x7f);
		copy = mem_strndup(line.data, line.len);
		assert(strstr(copy, " event=") != NULL);
		if (!is_local)
			check_accepted(copy);
		free(copy);
	}
	buf_release(&text);
	assert(truncate(path, 0) == 0);
}

/* --- the server -------------------------------------------------------------------- */

static void
clean(void)
{
	spool_writer_close(mtad.spool);
	directory_close(mtad.directory);
	core_close(core);
	buf_release(&client.replies);
	(void)tree_remove(dir);
}

/* What the operator says. */
static void
tell(const char *packet)
{
	struct caller caller = {
		.core = core, .program = FROM_MAILSTEAD, .is_operator = true
	};
	json_t *reply;

	request_answer(&caller, slice_str(packet), &reply);
	if (!json_is_true(json_object_get(reply, "ok")))
		abort();
	json_decref(reply);
}

/* An empty spool: nobody takes messages out of it. */
static void
renew_spool(void)
{
	struct err e;

	if (mtad.spool != NULL) {
		spool_writer_close(mtad.spool);
		(void)tree_remove(spool_dir);
	}
	if (mkdir(spool_dir, 0700) != 0 || spool_create(spool_dir, &e) != 0 ||
	    spool_writer_open(
		spool_dir, "mtad-0a", "/nobody", 0, &mtad.spool, &e) != 0)
		abort();
}

/* A commit is over. */
static void
resume(struct connection *c)
{
	(void)c;
	(void)sem_post(&resumed);
}

static void
start(void)
{
	struct err e;

	if (mkdtemp(dir) == NULL || core_create(dir, &e) != 0 ||
	    core_open(dir, &core, &e) != 0)
		abort();
	(void)snprintf(spool_dir, sizeof(spool_dir), "%s/spool", dir);
	(void)snprintf(log_dir, sizeof(log_dir), "%s/log/mtad", dir);
	log_open("fuzz", log_dir, false);
	tell("{\"verb\":\"init\",\"hostname\":\"h.example\",\"domain\":"
	     "\"d.example\",\"address\":\"a@d.example\",\"password\":"
	     "\"three blind mice\"}");
	tell("{\"verb\":\"alias add\",\"address\":\"list@d.example\","
	     "\"targets\":[\"a@d.example\",\"far@e.example\"]}");
	tell("{\"verb\":\"setting apply\",\"settings\":{"
	     "\"auth.plaintext_networks\":\"192.0.2.0/24\","
	     "\"smtp.proxy_from\":\"192.0.2.2\","
	     "\"smtp.xclient_from\":\"192.0.2.3\","
	     "\"message.max_bytes\":\"4096\"}}");
	if (directory_open(dir, &mtad.directory, &e) != 0)
		abort();
	mtad.worker = &worker;
	mtad.resume = resume;
	(void)sem_init(&resumed, 0, 0);
	worker.data = &mtad;
	mtad.limits = limits_new();
	(void)pthread_mutex_init(&mtad.lock, NULL);
	renew_spool();
	buf_init(&client.replies, 16 * 1024 * 1024);
	atexit(clean);
}

static void *
serve_accountd(void *arg)
{
	struct caller caller = { .core = core, .program = FROM_MTAD };

	connection_serve(&caller, *(int *)arg, NULL);
	return NULL;
}

static unsigned
kind_of(unsigned char who)
{
	static const unsigned kinds[] = { MTAD_MX, MTAD_SUBMISSION,
		SERVICE_INHERITED };

	return kinds[who % ARRAY_LEN(kinds)];
}

/* One session from its first byte to its end. */
static void
run(unsigned char who, struct slice input)
{
	struct connection c = { .kind = kind_of(who) };
	int sv[2], ad[2];
	pthread_t thread;
	enum turn turn;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ad) != 0 ||
	    pthread_create(&thread, NULL, serve_accountd, &ad[1]) != 0)
		abort();
	mtad.accountd = accountd_from_fd(ad[0]);
	if (!ip_parse(SLICE_LIT("192.0.2.1"), &c.peer) ||
	    !ip_parse(SLICE_LIT("192.0.2.9"), &c.local))
		abort();
	c.peer.bytes[15] = (uint8_t)(1 + who / 4 % 4);
	c.fd = client.server = sv[0];
	client.fd = sv[1];
	client.rest = input;
	/* who talks before the greeting */
	if (who & 0x80)
		speak();
	while ((turn = session_turn(&worker, &c)) != TURN_END) {
		if (turn == TURN_READ)
			be_waited_for();
		while (turn == TURN_LATER && sem_wait(&resumed) != 0)
			;
	}
	client.server = -1;
	listen_up();
	(void)close(sv[1]);
	accountd_free(mtad.accountd);
	(void)pthread_join(thread, NULL);
	(void)close(ad[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned uses;
	char day[CLOCK_DAY_SIZE], after[CLOCK_DAY_SIZE];

	if (core == NULL)
		start();
	if (size == 0)
		return 0;
	if (++uses % SPOOL_USES == 0)
		renew_spool();
	clock_day(clock_wall_ms(), day);
	run(data[0], slice_of((const char *)data + 1, size - 1));
	clock_day(clock_wall_ms(), after);
	assert(mtad.sessions == NULL);
	check_replies();
	buf_reset(&client.replies);
	if (strcmp(day, after) == 0)
		check_log(day, kind_of(data[0]) == SERVICE_INHERITED);
	return 0;
}
