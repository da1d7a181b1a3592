/*
 * The listening sockets of a supervisor: bound once, kept over reloads.
 *
 * All workers inherit them and accept on the same ones.  A socket that is
 * given up is shut down first: that ends listening in every process that
 * still has it open, so that a changed address ("127.0.0.1:25" to ":25") can
 * be bound at once; if binding fails it listens again and nothing was lost.
 *
 * The supervisor's only thread.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/sock.h"
#include "proc/internal.h"
#include "proc/privilege.h"

enum {
	BACKLOG = 4096,
	/* the workers of a supervisor that was killed let go within this */
	TAKEN_WAIT_MS = 3000,
	TAKEN_PAUSE_MS = 50,
};

static bool
same_listener(const struct listener *a, const struct listener *b)
{
	return ip_eq(&a->ip, &b->ip) && a->port == b->port &&
	    strcmp(a->path, b->path) == 0 && a->kind == b->kind;
}

bool
listeners_same(const struct service_config *a, const struct service_config *b)
{
	if (a->listener_count != b->listener_count)
		return false;
	for (size_t i = 0; i < a->listener_count; i++) {
		if (!same_listener(&a->listeners[i], &b->listeners[i]))
			return false;
	}
	return true;
}

static int
find_listener(const struct service_config *c, const struct listener *l)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		if (same_listener(&c->listeners[i], l))
			return (int)i;
	}
	return -1;
}

/* Bind; a socket still held by a dying worker is waited for until the end. */
static int
open_listener(
    const struct listener *l, int64_t wait_end_ms, int *fd_out, struct err *e)
{
	int rc, fd, flags;

	for (;;) {
		if (l->path[0] != '\0')
			rc = sock_listen_unix(
			    l->path, l->socktype, l->mode, &fd, e);
		else
			rc = sock_listen_tcp(&l->ip, l->port, BACKLOG, &fd, e);
		if (rc == 0 || clock_mono_ms() >= wait_end_ms)
			break;
		(void)poll(NULL, 0, TAKEN_PAUSE_MS);
	}
	if (rc != 0)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		(void)err_errno(e, "listening socket");
		(void)close(fd);
		return -1;
	}
	*fd_out = fd;
	return 0;
}

void
listeners_close(const struct service_config *c, const int *fds)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		(void)shutdown(fds[i], SHUT_RDWR);
		(void)close(fds[i]);
	}
}

/* Stop or resume listening on the sockets of `c` that are not kept. */
static void
suspend(const struct service_config *c, const int *fds, const bool *kept,
    bool resume)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		if (kept[i] || c->listeners[i].path[0] != '\0')
			continue;
		if (resume)
			(void)listen(fds[i], BACKLOG);
		else
			(void)shutdown(fds[i], SHUT_RDWR);
	}
}

/*
 * A UNIX socket belongs to the group of its listener, also one that is kept
 * when the setting has changed.  Without the group nobody is let in by it.
 */
static void
give_to_group(const struct listener *l)
{
	gid_t gid = getegid();
	struct stat st;
	struct err e;

	if (l->group[0] != '\0' &&
	    privilege_find_group(l->group, &gid, &e) != 0) {
		log_error("%s: %s", l->path, e.text);
		return;
	}
	if (lstat(l->path, &st) == 0 && st.st_gid != gid &&
	    lchown(l->path, (uid_t)-1, gid) != 0)
		log_error("%s: not given to group %s: %s", l->path, l->group,
		    strerrorname_np(errno));
}

int
listeners_bind(const struct service_config *old,
    const struct service_config *next, int *fds, struct err *e)
{
	int next_fds[SERVICE_LISTENERS_MAX] = { 0 };
	bool kept[SERVICE_LISTENERS_MAX] = { false };
	bool is_new[SERVICE_LISTENERS_MAX] = { false };
	int64_t wait_end =
	    old->listener_count == 0 ? clock_mono_ms() + TAKEN_WAIT_MS : 0;

	for (size_t i = 0; i < next->listener_count; i++) {
		int at = find_listener(old, &next->listeners[i]);

		is_new[i] = at < 0 || kept[at];
		if (!is_new[i]) {
			next_fds[i] = fds[at];
			kept[at] = true;
		}
	}
	suspend(old, fds, kept, false);
	for (size_t i = 0; i < next->listener_count; i++) {
		if (!is_new[i] ||
		    open_listener(
			&next->listeners[i], wait_end, &next_fds[i], e) == 0)
			continue;
		while (i-- > 0) {
			if (is_new[i])
				(void)close(next_fds[i]);
		}
		suspend(old, fds, kept, true);
		return -1;
	}
	for (size_t i = 0; i < old->listener_count; i++) {
		if (!kept[i])
			(void)close(fds[i]);
	}
	memcpy(fds, next_fds, sizeof(fds[0]) * next->listener_count);
	for (size_t i = 0; i < next->listener_count; i++)
		if (next->listeners[i].path[0] != '\0')
			give_to_group(&next->listeners[i]);
	return 0;
}
