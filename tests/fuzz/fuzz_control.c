/*
 * The runner's control socket, with a spool, a directory and an accountd of
 * its own.  The lines of the input are packets of one connection, where a byte
 * of a low value stands for what nobody guesses: sessions of a server's and a
 * domain's administrator and of a user, and the ids of two messages, the first
 * of the administrator's domain, the second of another.
 *
 * Whatever comes is answered by one object with "ok", and without the session
 * of somebody who may, the other domain's message stays.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "directory/json_text.h"

#include "queue/age.h"
#include "queue/control.h"
#include "queue/control_server.h"
#include "queue/job.h"
#include "queue/lanes.h"
#include "queue/tools.h"

#include "accountd/connection.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/people.h"
#include "tests/lib/tree.h"

enum {
	PACKETS_MAX = 8,
	MESSAGES = 2, /* bytes 4 and 5; sessions are 1 to 3 */
	OTHERS = 1,   /* the other domain's message */
};

static char dir[] = "/tmp/mailstead-fuzz-XXXXXX";
static char ids[MESSAGES][ID_SIZE];
static struct people people;
static struct worker worker = { .state_dir = dir };
static struct runner runner = { .worker = &worker, .state_dir = dir };

static void
clean(void)
{
	(void)tree_remove(dir);
}

/* What the runner's own threads do: deferred messages reach the disk. */
static int
sync_nothing(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void *
flush(void *arg)
{
	struct err e;
	size_t n;

	for (;;) {
		if (spool_flush(runner.spool, sync_nothing, arg, &n, &e) != 0)
			abort();
		(void)usleep(200);
	}
	return NULL;
}

static void
open_runner(void)
{
	char path[sizeof(dir) + 16];
	pthread_t thread;
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/spool", dir);
	if (mkdir(path, 0700) != 0 || spool_create(path, &e) != 0 ||
	    spool_open(path, "/nobody", &runner.spool, &e) != 0 ||
	    spool_writer_open(
		path, "queue-runner", "/nobody", 0, &runner.writer, &e) != 0 ||
	    directory_open(dir, &runner.directory, &e) != 0)
		abort();
	(void)snprintf(path, sizeof(path), "%s/mail", dir);
	if (mkdir(path, 0700) != 0)
		abort();
	runner.mail_root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/users", dir);
	if (mkdir(path, 0700) != 0)
		abort();
	runner.web_uid = getuid();
	runner.lanes = lanes_new(1);
	runner.tools = tools_new();
	runner.age = age_new(0, 0);
	runner.started_ms = clock_wall_ms();
	if (pthread_create(&thread, NULL, flush, NULL) != 0 ||
	    pthread_detach(thread) != 0)
		abort();
}

static void
start(void)
{
	if (mkdtemp(dir) == NULL)
		abort();
	log_open("fuzz", dir, false);
	people_open(&people, dir);
	people_tell(&people,
	    "{\"verb\":\"setting apply\",\"settings\":{"
	    "\"dns.servers\":\"127.0.0.1:1\",\"srs.enabled\":\"no\"}}");
	open_runner();
	atexit(clean);
}

/* What is due, as the claiming threads do; reports are read at once. */
static void
put_off(void)
{
	struct spool_item *item;
	struct err e;

	while (spool_claim(runner.spool, 0, &item, &e) == 0 && item != NULL) {
		if (item->envelope.sender[0] == '\0')
			spool_settle(item);
		else
			spool_defer(item, clock_wall_ms() + 86400000);
	}
}

/* A deferred message of this account, whose id becomes one of ours. */
static void
renew(size_t place, const char *account)
{
	struct envelope v = { .sender = account,
		.client_ip = "192.0.2.1",
		.client_name = "",
		.helo = "",
		.auth_user = account,
		.session_id = "s",
		.accepted_ms = clock_wall_ms() };
	struct spool_info info;
	struct spool_message *m;
	struct err e;

	if (ids[place][0] != '\0' &&
	    spool_find(runner.spool, ids[place], &info))
		return;
	if (spool_begin(runner.writer, &m, &e) != 0)
		abort();
	(void)snprintf(ids[place], ID_SIZE, "%s", spool_id(m));
	envelope_add(&v)->address = "x@far.example";
	if (spool_write(m, "Subject: x\n\nx\n", 14, &e) != 0 ||
	    spool_commit(m, &v, &e) != 0)
		abort();
	envelope_release(&v);
	while (!spool_find(runner.spool, ids[place], &info))
		put_off();
}

static void *
serve_accountd(void *arg)
{
	struct caller caller = { .core = people.core, .program = FROM_QUEUE };

	connection_serve(&caller, *(int *)arg, NULL);
	return NULL;
}

static void *
serve(void *arg)
{
	control_serve(&runner, *(int *)arg);
	return NULL;
}

static void
expand(struct slice line, struct buf *out)
{
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];

		if (c >= 1 && c <= PEOPLE)
			buf_addstr(out, people.sessions[c - 1]);
		else if (c > PEOPLE && c <= PEOPLE + MESSAGES)
			buf_addstr(out, ids[c - 1 - PEOPLE]);
		else
			buf_addc(out, line.data[i]);
	}
}

/* Does who asks this own no message of the other domain? */
static bool
is_harmless(struct slice packet)
{
	json_t *request = json_text_parse(packet);
	const char *token =
	    json_string_value(json_object_get(request, "session"));
	bool is = request == NULL ||
	    (token != NULL &&
		strcmp(token, people.sessions[PEOPLE_SERVER]) != 0);

	json_decref(request);
	return is;
}

/* False: the connection is over. */
static bool
exchange(int fd, struct slice packet)
{
	static char text[CONTROL_PACKET_MAX + 1];
	json_t *reply;
	ssize_t n;

	if (send(fd, packet.data, packet.len, MSG_NOSIGNAL) < 0)
		return false;
	do /* libFuzzer has a timer */
		n = recv(fd, text, sizeof(text), 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return false;
	reply = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
	assert(json_is_boolean(json_object_get(reply, "ok")));
	json_decref(reply);
	return true;
}

/* True: nothing was asked by who may do something to others' messages. */
static bool
talk(int fd, struct slice input)
{
	bool harmless = true, goes_on = true;
	struct slice line;
	struct buf packet;

	buf_init(&packet, CONTROL_PACKET_MAX);
	for (int i = 0; i < PACKETS_MAX && goes_on && input.data != NULL; i++) {
		input = slice_cut(input, '\n', &line);
		buf_reset(&packet);
		expand(line, &packet);
		if (packet.len == 0 || buf_overflowed(&packet))
			continue;
		harmless &= is_harmless(buf_slice(&packet));
		goes_on = exchange(fd, buf_slice(&packet));
	}
	buf_release(&packet);
	return harmless;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int sv[2], ad[2];
	pthread_t accountd, session;
	struct spool_info info;
	bool harmless;

	if (people.core == NULL)
		start();
	put_off();
	renew(0, "c@d.example");
	renew(OTHERS, "a@h.example");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ad) != 0 ||
	    pthread_create(&accountd, NULL, serve_accountd, &ad[1]) != 0)
		abort();
	runner.accountd = accountd_from_fd(ad[0]);
	if (pthread_create(&session, NULL, serve, &sv[0]) != 0)
		abort();
	harmless = talk(sv[1], slice_of((const char *)data, size));
	(void)close(sv[1]);
	(void)pthread_join(session, NULL);
	accountd_free(runner.accountd);
	(void)pthread_join(accountd, NULL);
	(void)close(ad[1]);
	assert(!harmless || spool_find(runner.spool, ids[OTHERS], &info));
	return 0;
}
