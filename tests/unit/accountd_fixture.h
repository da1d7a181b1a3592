#ifndef TESTS_UNIT_ACCOUNTD_FIXTURE_H
#define TESTS_UNIT_ACCOUNTD_FIXTURE_H

#include <sys/socket.h>

#include <ftw.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "directory/accountd.h"

#include "accountd/connection.h"
#include "accountd/core.h"
#include "accountd/request.h"

/*
 * accountd in this process: a state directory in /tmp, one core, and
 * connections whose other end is served by a thread, exactly as the daemon
 * serves a socket.
 */
#define ADMIN_PASSWORD "three blind mice"
#define JOE_PASSWORD   "see how they run"

struct fixture {
	char dir[64];
	struct core *core;
};

struct link {
	struct accountd *client;
	struct caller caller;
	int fd;
	pthread_t thread;
};

static inline void *
link_serve(void *arg)
{
	struct link *l = arg;

	connection_serve(&l->caller, l->fd, NULL);
	close(l->fd);
	return NULL;
}

static inline void
link_open(struct link *l, struct core *core, enum program p, bool operator)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	*l = (struct link){ .fd = fds[1] };
	l->caller = (struct caller){
		.core = core, .program = p, .is_operator = operator};
	l->client = accountd_from_fd(fds[0]);
	assert_int_equal(pthread_create(&l->thread, NULL, link_serve, l), 0);
}

static inline void
link_close(struct link *l)
{
	accountd_free(l->client);
	pthread_join(l->thread, NULL);
}

/* Ask; `request` is stolen.  The answer, or NULL with the error. */
static inline json_t *
ask(struct link *l, json_t *request, struct err *e)
{
	json_t *reply = NULL;

	assert_non_null(request);
	if (accountd_call(l->client, json_incref(request), 20000, &reply, e) !=
	    0)
		reply = NULL;
	assert_int_equal(request->refcount, 1);
	json_decref(request);
	return reply;
}

static inline json_t *
ask_ok(struct link *l, json_t *request)
{
	struct err e = { 0 };
	json_t *reply = ask(l, request, &e);

	if (reply == NULL)
		fail_msg("refused: %s", e.text);
	return reply;
}

static inline void
do_ok(struct link *l, json_t *request)
{
	json_decref(ask_ok(l, request));
}

/* Must be refused; the text must have `part`. */
static inline void
refused(struct link *l, json_t *request, const char *part)
{
	struct err e = { 0 };
	json_t *reply = ask(l, request, &e);

	if (reply != NULL)
		fail_msg("not refused");
	if (strstr(e.text, part) == NULL)
		fail_msg("refused with: %s", e.text);
}

static inline int
fixture_remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline void
fixture_setup(struct fixture *f)
{
	struct err e;

	snprintf(f->dir, sizeof(f->dir), "/tmp/mailstead-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	log_open("accountd", NULL, false);
	if (core_create(f->dir, &e) != 0 ||
	    core_open(f->dir, &f->core, &e) != 0)
		fail_msg("%s", e.text);
}

static inline void
fixture_teardown(struct fixture *f)
{
	core_close(f->core);
	nftw(f->dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* example.org with its administrator and joe@; other.example with joe@. */
static inline void
fixture_fill(struct fixture *f)
{
	struct link l;

	link_open(&l, f->core, FROM_MAILSTEAD, true);
	do_ok(&l,
	    json_pack("{ss,ss,ss,ss,ss,si}", "verb", "init", "hostname",
		"mx.example.org", "domain", "example.org", "address",
		"admin@example.org", "password", ADMIN_PASSWORD, "port_offset",
		2000));
	do_ok(&l,
	    json_pack("{ss,ss,ss,ss}", "verb", "user add", "address",
		"Joe@example.org", "password", JOE_PASSWORD, "name", "Joe"));
	do_ok(&l,
	    json_pack(
		"{ss,ss}", "verb", "domain add", "name", "other.example"));
	do_ok(&l,
	    json_pack("{ss,ss,ss}", "verb", "user add", "address",
		"joe@other.example", "password", "another password"));
	do_ok(&l,
	    json_pack("{ss,ss,ss}", "verb", "domain add", "name",
		"alias.example", "alias_of", "example.org"));
	link_close(&l);
}

#endif /* TESTS_UNIT_ACCOUNTD_FIXTURE_H */
