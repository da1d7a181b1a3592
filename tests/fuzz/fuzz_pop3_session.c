/*
 * A whole POP3 session, with a directory, an accountd and a mailbox of its
 * own.  The input is what the client sends before it reads anything.
 *
 * Whatever comes, the server answers in lines, never a NUL, and only QUIT
 * deletes messages.  TLS is not spoken here.
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

#include "base/file.h"
#include "base/log.h"

#include "accountd/connection.h"
#include "accountd/core.h"
#include "popd/popd.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/tree.h"

enum {
	MESSAGES = 3,
	HEARD_MAX = 64 * 1024 * 1024,
};

#define MAILBOX "mail/d.example/a"

static char dir[] = "/tmp/mailstead-fuzz-XXXXXX";
static int dir_fd;
static struct core *core;
static struct service_config config = { .workers = 1, .connections = 1 };
static struct worker worker = { .config = &config, .state_dir = dir };
static struct popd popd;

static void
clean(void)
{
	directory_close(popd.directory);
	core_close(core);
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

static void
make_folder(const char *name)
{
	if (mkdirat(dir_fd, name, 0700) != 0)
		abort();
}

static void
start(void)
{
	struct err e;

	if (mkdtemp(dir) == NULL || core_create(dir, &e) != 0 ||
	    core_open(dir, &core, &e) != 0 ||
	    (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	log_open("fuzz", dir, false);
	tell("{\"verb\":\"init\",\"hostname\":\"h.example\",\"domain\":"
	     "\"d.example\",\"address\":\"a@d.example\",\"password\":"
	     "\"three blind mice\"}");
	tell("{\"verb\":\"setting apply\",\"settings\":{"
	     "\"auth.plaintext_networks\":\"192.0.2.0/24\"}}");
	make_folder("mail");
	make_folder("mail/d.example");
	make_folder(MAILBOX);
	make_folder(MAILBOX "/new");
	make_folder(MAILBOX "/cur");
	make_folder(MAILBOX "/tmp");
	popd.store.cache_fd = -1;
	popd.store.mail_root_fd =
	    openat(dir_fd, "mail", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	popd.worker = &worker;
	popd.limits = limits_new();
	(void)pthread_mutex_init(&popd.lock, NULL);
	worker.data = &popd;
	if (directory_open(dir, &popd.directory, &e) != 0)
		abort();
	atexit(clean);
}

/* Of the messages, how many are there, and put back what is not. */
static unsigned
count_and_renew(void)
{
	static const char *const texts[MESSAGES] = { "Subject: x\n\n.dot\n",
		"no header, no end", "" };
	unsigned count = 0;

	for (int i = 0; i < MESSAGES; i++) {
		char path[64];
		int fd;

		(void)snprintf(path, sizeof(path), MAILBOX "/new/%d.M1.host",
		    1700000000 + i);
		fd = openat(dir_fd, path,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		count += fd < 0;
		if (fd >= 0 &&
		    (write(fd, texts[i], strlen(texts[i])) < 0 ||
			close(fd) != 0))
			abort();
	}
	return count;
}

static void *
serve_accountd(void *arg)
{
	struct caller caller = { .core = core, .program = FROM_POPD };

	connection_serve(&caller, *(int *)arg, NULL);
	return NULL;
}

static void *
serve(void *arg)
{
	pop3_serve(&worker, arg);
	return NULL;
}

static void
hear(int fd, struct buf *heard)
{
	ssize_t n;

	do {
		char *at = buf_reserve(heard, 65536);

		if (at == NULL)
			abort();
		n = read(fd, at, 65536);
		buf_commit(heard, n > 0 ? (size_t)n : 0);
	} while (n > 0 || (n < 0 && errno == EINTR)); /* libFuzzer's timer */
}

/* One session from its first byte to its end. */
static void
run(struct slice input, struct buf *heard)
{
	struct connection c = { .kind = POPD_PLAIN };
	int sv[2], ad[2];
	pthread_t thread, session;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ad) != 0 ||
	    pthread_create(&thread, NULL, serve_accountd, &ad[1]) != 0 ||
	    !ip_parse(SLICE_LIT("192.0.2.1"), &c.peer) ||
	    !ip_parse(SLICE_LIT("192.0.2.9"), &c.local))
		abort();
	popd.accountd = accountd_from_fd(ad[0]);
	c.fd = sv[0];
	/* 64 KiB fit the socket */
	(void)send(sv[1], input.data, input.len, MSG_NOSIGNAL);
	(void)shutdown(sv[1], SHUT_WR);
	if (pthread_create(&session, NULL, serve, &c) != 0)
		abort();
	hear(sv[1], heard);
	(void)pthread_join(session, NULL);
	(void)close(sv[1]);
	accountd_free(popd.accountd);
	(void)pthread_join(thread, NULL);
	(void)close(ad[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice said;
	struct buf heard;

	if (core == NULL)
		start();
	(void)count_and_renew();
	buf_init(&heard, HEARD_MAX);
	run(slice_of((const char *)data, size), &heard);
	said = buf_slice(&heard);
	assert(slice_starts(said, "+OK ") && slice_ends(said, "\r\n"));
	assert(slice_chr(said, '\0') < 0);
	assert(count_and_renew() == MESSAGES ||
	    slice_ends(said, "\r\n+OK goodbye\r\n"));
	assert(popd.sessions == NULL);
	buf_release(&heard);
	return 0;
}
