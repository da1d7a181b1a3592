/*
 * Sockets: listen, connect, name the ends, pass packets and descriptors.
 *
 * Not a buffer: that is stream.c.  Waits are bounded by a monotonic deadline.
 * Data is tried first and only an empty or full socket is waited for, because
 * a poll() before every read costs a fifth of the throughput.
 *
 * The descriptors are blocking; where a call must not wait it says
 * MSG_DONTWAIT.  SIGPIPE never comes: MSG_NOSIGNAL.
 *
 * No state; any thread.
 */
#include "net/sock.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/wait.h"
#include "net/sock_holder.h"

enum {
	UNIX_CONNECT_TIMEOUT_S = 5,
	PACKET_FDS = 4, /* seen; the kernel closes what is beyond */
	TEXT_SIZE = IP_TEXT_SIZE + 10,
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

static void
format_end(const struct ip *ip, uint16_t port, char out[TEXT_SIZE])
{
	char text[IP_TEXT_SIZE];

	ip_format(ip, text);
	(void)snprintf(out, TEXT_SIZE, ip_is_v4(ip) ? "%s:%u" : "[%s]:%u", text,
	    (unsigned)port);
}

static socklen_t
address_of(const struct ip *ip, uint16_t port, union address *out)
{
	memset(out, 0, sizeof(*out));
	if (ip_is_v4(ip)) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		memcpy(&out->v4.sin_addr, ip->bytes + 12, 4);
		return sizeof(out->v4);
	}
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(port);
	memcpy(&out->v6.sin6_addr, ip->bytes, 16);
	return sizeof(out->v6);
}

static void
ip_of(const union address *a, struct ip *ip_out, uint16_t *port_out)
{
	memset(ip_out, 0, sizeof(*ip_out));
	*port_out = 0;
	if (a->any.sa_family == AF_INET) {
		ip_out->bytes[10] = 0xff;
		ip_out->bytes[11] = 0xff;
		memcpy(ip_out->bytes + 12, &a->v4.sin_addr, 4);
		*port_out = ntohs(a->v4.sin_port);
	} else if (a->any.sa_family == AF_INET6) {
		memcpy(ip_out->bytes, &a->v6.sin6_addr, 16);
		*port_out = ntohs(a->v6.sin6_port);
	}
}

static int
set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static void
close_keeping_errno(int fd)
{
	int error = errno;

	(void)close(fd);
	errno = error;
}

static int
left_ms(int64_t deadline_ms)
{
	return deadline_ms == 0 ? -1 : clock_left_ms(deadline_ms);
}

static int
may_wait(struct err *e)
{
	return wait_begins()
	    ? 0
	    : err_set(e, ERR_TEMP, "no thread is left to wait with");
}

/* Wait for an event; -1 with ERR_TIMEOUT after the deadline. */
static int
wait_for(int fd, short events, int64_t deadline_ms, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	if (may_wait(e) != 0)
		return -1;
	do {
		n = poll(&p, 1, left_ms(deadline_ms));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(e, "poll");
	if (n == 0)
		return err_set(e, ERR_TIMEOUT, "timed out");
	return 0;
}

/* --- TCP ------------------------------------------------------------------ */

static int
open_tcp_listener(const struct ip *ip, uint16_t port, int backlog)
{
	union address a;
	socklen_t len = address_of(ip, port, &a);
	bool is_any = ip_eq(ip, &(struct ip){ 0 });
	int fd;

	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* accepted connections inherit TCP_NODELAY */
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 ||
	    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0 ||
	    (a.any.sa_family == AF_INET6 &&
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any) != 0) ||
	    bind(fd, &a.any, len) != 0 || listen(fd, backlog) != 0) {
		close_keeping_errno(fd);
		return -1;
	}
	return fd;
}

int
sock_listen_tcp(
    const struct ip *ip, uint16_t port, int backlog, int *fd_out, struct err *e)
{
	static const struct ip any_v4 = { .bytes = {
					      [10] = 0xff, [11] = 0xff } };
	char text[TEXT_SIZE], holder[SOCK_HOLDER_SIZE];
	int fd;

	fd = open_tcp_listener(ip, port, backlog);
	/* a kernel without IPv6 still has all its addresses */
	if (fd < 0 && errno == EAFNOSUPPORT && ip_eq(ip, &(struct ip){ 0 }))
		fd = open_tcp_listener(&any_v4, port, backlog);
	if (fd >= 0) {
		*fd_out = fd;
		return 0;
	}
	format_end(ip, port, text);
	if (errno != EADDRINUSE)
		return err_errno(e, "listen on %s", text);
	sock_holder_find(ip, port, holder);
	return err_set(e, ERR_TEMP, "%s: address in use by %s", text, holder);
}

/* Connect a non-blocking socket before the deadline. */
static int
connect_by_deadline(int fd, const union address *a, socklen_t len,
    struct sock_cut *cut, int64_t deadline_ms)
{
	struct err e;
	int error = 0;
	socklen_t size = sizeof(error);

	error = connect(fd, &a->any, len) == 0 ? 0 : errno;
	if (cut != NULL) /* shutdown() means something only from here on */
		sock_cut_watch(cut, fd);
	errno = error;
	if (error == 0)
		return 0;
	if (error != EINPROGRESS && error != EINTR)
		return -1;
	if (wait_for(fd, POLLOUT, deadline_ms, &e) != 0) {
		if (e.kind == ERR_TIMEOUT)
			errno = ETIMEDOUT;
		return -1;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

static int
bind_source(int fd, const struct ip *source)
{
	union address a;
	socklen_t len = address_of(source, 0, &a);

	if (set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1) != 0)
		return -1;
	return bind(fd, &a.any, len);
}

void
sock_cut_init(struct sock_cut *c)
{
	(void)pthread_mutex_init(&c->lock, NULL);
	c->fd = -1;
	c->is_cut = false;
}

void
sock_cut_watch(struct sock_cut *c, int fd)
{
	(void)pthread_mutex_lock(&c->lock);
	c->fd = fd;
	if (c->is_cut && fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	(void)pthread_mutex_unlock(&c->lock);
}

void
sock_cut(struct sock_cut *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->is_cut = true;
	if (c->fd >= 0)
		(void)shutdown(c->fd, SHUT_RDWR);
	(void)pthread_mutex_unlock(&c->lock);
}

int
sock_connect_tcp(const struct ip *ip, uint16_t port, const struct ip *source,
    int64_t deadline_ms, struct sock_cut *cut, int *fd_out, struct err *e)
{
	union address a;
	socklen_t len = address_of(ip, port, &a);
	char text[TEXT_SIZE];
	int fd;

	format_end(ip, port, text);
	fd = socket(
	    a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "connect to %s", text);
	if ((source != NULL && bind_source(fd, source) != 0) ||
	    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0 ||
	    connect_by_deadline(fd, &a, len, cut, deadline_ms) != 0 ||
	    fcntl(fd, F_SETFL, 0) != 0) {
		(void)err_errno(e, "connect to %s", text);
		if (cut != NULL)
			sock_cut_watch(cut, -1);
		(void)close(fd);
		return -1;
	}
	*fd_out = fd;
	return 0;
}

int
sock_names(int fd, struct ip *peer_out, uint16_t *peer_port_out,
    struct ip *local_out, uint16_t *local_port_out, struct err *e)
{
	union address peer = { .un = { 0 } }, local = { .un = { 0 } };
	socklen_t peer_len = sizeof(peer), local_len = sizeof(local);

	if (getpeername(fd, &peer.any, &peer_len) != 0 ||
	    getsockname(fd, &local.any, &local_len) != 0)
		return err_errno(e, "names of a connection");
	ip_of(&peer, peer_out, peer_port_out);
	ip_of(&local, local_out, local_port_out);
	return 0;
}

/* --- UNIX ----------------------------------------------------------------- */

/*
 * Fill in the address of `path`.  *dir_out is -1, or the directory's
 * descriptor to close when the address is no longer needed.
 */
static int
unix_address(const char *path, union address *out, int *dir_out, struct err *e)
{
	size_t len = strlen(path);
	const char *slash = strrchr(path, '/');
	char dir[4096];
	int n;

	*dir_out = -1;
	memset(out, 0, sizeof(*out));
	out->un.sun_family = AF_UNIX;
	if (len < sizeof(out->un.sun_path)) {
		memcpy(out->un.sun_path, path, len);
		return 0;
	}
	errno = ENAMETOOLONG;
	if (slash == NULL || (size_t)(slash - path) >= sizeof(dir))
		return err_errno(e, "%s", path);
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*dir_out = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir_out < 0)
		return err_errno(e, "%s", dir);
	n = snprintf(out->un.sun_path, sizeof(out->un.sun_path),
	    "/proc/self/fd/%d%s", *dir_out, slash);
	if (n < 0 || (size_t)n >= sizeof(out->un.sun_path)) {
		(void)close(*dir_out);
		errno = ENAMETOOLONG;
		return err_errno(e, "%s", path);
	}
	return 0;
}

/* Nobody answers there any more: the file may go. */
static bool
unix_is_stale(const union address *a, int type)
{
	bool stale;
	int fd;

	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, &a->any, sizeof(a->un)) != 0 &&
	    (errno == ECONNREFUSED || errno == ENOENT);
	(void)close(fd);
	return stale;
}

static int
bind_unix(int fd, const union address *a, int type, mode_t mode)
{
	/* a new socket file takes the descriptor's mode, less the umask: it
	 * is never open wider than it will be */
	if (fchmod(fd, mode) != 0)
		return -1;
	if (bind(fd, &a->any, sizeof(a->un)) != 0) {
		if (errno != EADDRINUSE)
			return -1;
		if (!unix_is_stale(a, type)) {
			errno = EADDRINUSE;
			return -1;
		}
		if (unlink(a->un.sun_path) != 0 && errno != ENOENT)
			return -1;
		if (bind(fd, &a->any, sizeof(a->un)) != 0)
			return -1;
	}
	if (chmod(a->un.sun_path, mode) != 0)
		return -1;
	return type == SOCK_DGRAM ? 0 : listen(fd, SOMAXCONN);
}

/* A full backlog makes a blocking connect() wait: SO_SNDTIMEO bounds it. */
static int
connect_unix(int fd, const union address *a)
{
	struct timeval limit = { .tv_sec = UNIX_CONNECT_TIMEOUT_S };
	struct timeval none = { 0 };

	(void)wait_begins();
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
		return -1;
	if (connect(fd, &a->any, sizeof(a->un)) != 0) {
		if (errno == EAGAIN)
			errno = ETIMEDOUT;
		return -1;
	}
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
}

/* Listen with a mode, or else connect. */
static int
open_unix(
    const char *path, int type, const mode_t *mode, int *fd_out, struct err *e)
{
	union address a;
	int dir, fd, rc = -1;

	if (unix_address(path, &a, &dir, e) != 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		rc = mode != NULL ? bind_unix(fd, &a, type, *mode)
				  : connect_unix(fd, &a);
	if (rc == 0) {
		*fd_out = fd;
	} else {
		(void)err_errno(e, "%s %s",
		    mode != NULL ? "listen on" : "connect to", path);
		if (fd >= 0)
			(void)close(fd);
	}
	if (dir >= 0)
		(void)close(dir);
	return rc;
}

int
sock_listen_unix(
    const char *path, int type, mode_t mode, int *fd_out, struct err *e)
{
	return open_unix(path, type, &mode, fd_out, e);
}

int
sock_connect_unix(const char *path, int type, int *fd_out, struct err *e)
{
	return open_unix(path, type, NULL, fd_out, e);
}

int
sock_peer_uid(int fd, uid_t *uid_out, pid_t *pid_out, struct err *e)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0)
		return err_errno(e, "credentials of a connection");
	*uid_out = cred.uid;
	*pid_out = cred.pid;
	return 0;
}

/* --- bytes ---------------------------------------------------------------- */

/*
 * Let recv() itself give up before the deadline.  The kernel's timer is set
 * to three quarters of what is left and only when it is far off, so a
 * deadline that moves on with every command costs nothing; sock_recv() waits
 * for the rest with poll().
 */
static int
set_recv_timeout(int fd, int64_t deadline_ms, int64_t *timeout_ms)
{
	struct timeval tv;
	int64_t left = left_ms(deadline_ms);

	if (deadline_ms == 0 ||
	    (*timeout_ms != 0 && *timeout_ms <= left && *timeout_ms > left / 4))
		return 0;
	left -= left / 4;
	if (left < 1)
		left = 1; /* 0 would be no limit at all */
	tv.tv_sec = left / 1000;
	tv.tv_usec = left % 1000 * 1000;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)
		return -1;
	*timeout_ms = left;
	return 0;
}

ssize_t
sock_recv(int fd, void *data, size_t size, int flags, int64_t deadline_ms,
    int64_t *timeout_ms, struct err *e)
{
	for (;;) {
		/* who wants to be told of waits must not wait unawares */
		int how = wait_hook != NULL ? flags | MSG_DONTWAIT : flags;
		ssize_t n;

		/* also with data there: a byte now and then buys no time */
		if (deadline_ms != 0 && clock_left_ms(deadline_ms) == 0) {
			errno = ETIMEDOUT;
			return err_set(e, ERR_TIMEOUT, "timed out");
		}
		if (!(how & MSG_DONTWAIT) &&
		    set_recv_timeout(fd, deadline_ms, timeout_ms) != 0)
			return err_errno(e, "SO_RCVTIMEO");
		n = recv(fd, data, size, how);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || (flags & MSG_DONTWAIT))
			return err_errno(e, "receive");
		/* the call itself waits, and a poll for what it leaves over */
		if (how != flags ? may_wait(e) != 0
				 : wait_for(fd, POLLIN, deadline_ms, e) != 0)
			return -1;
	}
}

int
sock_send(
    int fd, const void *data, size_t len, int64_t deadline_ms, struct err *e)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLOUT, deadline_ms, e) != 0)
				return -1;
		} else if (errno != EINTR) {
			return err_errno(e, "send");
		}
		if (len > 0 && deadline_ms != 0 &&
		    clock_left_ms(deadline_ms) == 0)
			return err_set(e, ERR_TIMEOUT, "timed out");
	}
	return 0;
}

/* --- packets -------------------------------------------------------------- */

union control {
	struct cmsghdr header; /* for the alignment */
	char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
};

int
sock_send_packet(int sock, const void *data, size_t len, int fd,
    int64_t deadline_ms, struct err *e)
{
	union control control = { 0 };

	union {
		const void *from;
		void *base;
	} cast = { .from = data };
	struct iovec iov = { .iov_base = cast.base, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(fd));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == EMSGSIZE)
			return err_set(
			    e, ERR_PERM, "a packet of %zu bytes", len);
		if (errno != EAGAIN && errno != EINTR)
			return err_errno(e, "send packet");
		if (wait_for(sock, POLLOUT, deadline_ms, e) != 0)
			return -1;
	}
	return 0;
}

/* Take the first descriptor, close all others. */
static void
take_descriptor(struct msghdr *msg, int *fd_out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (fd_out != NULL && *fd_out < 0)
				*fd_out = fd;
			else
				(void)close(fd);
		}
	}
}

ssize_t
sock_recv_packet(int sock, void *data, size_t size, int *fd_out,
    int64_t deadline_ms, struct err *e)
{
	union control control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd_out != NULL)
		*fd_out = -1;
	for (;;) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return err_errno(e, "receive packet");
		if (wait_for(sock, POLLIN, deadline_ms, e) != 0)
			return -1;
	}
	take_descriptor(&msg, fd_out);
	if (msg.msg_flags & MSG_TRUNC) {
		if (fd_out != NULL && *fd_out >= 0) {
			(void)close(*fd_out);
			*fd_out = -1;
		}
		return err_set(
		    e, ERR_SYNTAX, "a packet longer than %zu bytes", size);
	}
	return n;
}
