/*
 * Certificates that change while a service runs; see tls_server.h.  The
 * directory's time tells, since files get there by being renamed into it.
 */
#include "net/tls_server.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"

static int
load(struct tls_server *s, int dir, size_t kind)
{
	struct tls_context *next, *old;
	struct err e;

	if (tls_server_context_new(
		dir, s->keys, s->purposes[kind], &next, &e) != 0) {
		log_warning("TLS certificates: %s", e.text);
		return -1;
	}
	(void)pthread_mutex_lock(&s->lock);
	old = s->contexts[kind];
	s->contexts[kind] = next;
	(void)pthread_mutex_unlock(&s->lock);
	tls_context_free(old);
	return 0;
}

void
tls_server_tick(struct tls_server *s)
{
	struct stat st;
	int64_t stamp;
	int dir;

	if (stat(s->dir, &st) != 0)
		return;
	stamp = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (stamp == s->stamp)
		return;
	s->stamp = stamp;
	dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		log_warning("no TLS: cannot open %s", s->dir);
		return;
	}
	for (size_t i = 0; i < TLS_SERVER_KINDS; i++) {
		if (s->purposes[i] != NULL && load(s, dir, i) != 0)
			break;
	}
	(void)close(dir);
}

void
tls_server_start(struct tls_server *s)
{
	(void)pthread_mutex_init(&s->lock, NULL);
	tls_server_tick(s);
}

struct tls_context *
tls_server_get(struct tls_server *s, size_t kind)
{
	struct tls_context *ctx;

	(void)pthread_mutex_lock(&s->lock);
	ctx = s->contexts[kind];
	if (ctx != NULL)
		ctx = tls_context_ref(ctx);
	(void)pthread_mutex_unlock(&s->lock);
	return ctx;
}
