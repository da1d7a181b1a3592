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
load(struct tls_server *s, int dir, size_t kind, struct err *e)
{
	struct tls_context *next, *old;

	if (tls_server_context_new(dir, s->keys, s->purposes[kind], &next, e) !=
	    0)
		return -1;
	(void)pthread_mutex_lock(&s->lock);
	old = s->contexts[kind];
	s->contexts[kind] = next;
	(void)pthread_mutex_unlock(&s->lock);
	tls_context_free(old);
	return 0;
}

/* What lies there, if it is not what was seen last. */
static int
look(struct tls_server *s, struct err *e)
{
	struct stat st;
	int64_t stamp = -1;
	int dir, rc = 0;

	if (stat(s->dir, &st) == 0)
		stamp = (int64_t)st.st_mtim.tv_sec * 1000000000 +
		    st.st_mtim.tv_nsec;
	if (stamp == s->stamp)
		return 0;
	s->stamp = stamp; /* what is wrong is said once */
	dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(e, "%s", s->dir);
	for (size_t i = 0; rc == 0 && i < TLS_SERVER_KINDS; i++)
		if (s->purposes[i] != NULL)
			rc = load(s, dir, i, e);
	(void)close(dir);
	return rc;
}

void
tls_server_tick(struct tls_server *s)
{
	struct err e;

	if (look(s, &e) != 0)
		log_warning("TLS certificates: %s", e.text);
}

int
tls_server_start(struct tls_server *s, struct err *e)
{
	(void)pthread_mutex_init(&s->lock, NULL);
	return look(s, e);
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
