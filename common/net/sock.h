#ifndef NET_SOCK_H
#define NET_SOCK_H

#include <sys/types.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"

/*
 * Sockets: the few things this product does with them.  All descriptors are
 * O_CLOEXEC; TCP ones have TCP_NODELAY.  Deadlines are monotonic
 * milliseconds (clock_mono_ms()).
 */

/*
 * Listen on ip:port (the zeroed ip "::" means all addresses, both families).
 * For a taken port the error names the process that holds it, found in /proc:
 * "127.0.0.1:2025: address in use by exim4 (pid 812)".
 */
int sock_listen_tcp(const struct ip *ip, uint16_t port, int backlog,
    int *fd_out, struct err *e) MUST_CHECK;

/*
 * What lets another thread end whatever waits on a connection, from connect()
 * on.  The thread that uses the connection says which descriptor it is, and -1
 * before it closes it; sock_cut() shuts that down, and every later one.
 */
struct sock_cut {
	pthread_mutex_t lock;
	int fd;
	bool is_cut;
};

void sock_cut_init(struct sock_cut *c);
void sock_cut_watch(struct sock_cut *c, int fd);
void sock_cut(struct sock_cut *c);

/*
 * Connect; `source` may be NULL.  ERR_TIMEOUT after the deadline, else the
 * errno decides.  The descriptor comes back blocking, and watched by `cut`
 * (may be NULL).
 */
int sock_connect_tcp(const struct ip *ip, uint16_t port,
    const struct ip *source, int64_t deadline_ms, struct sock_cut *cut,
    int *fd_out, struct err *e) MUST_CHECK;

/*
 * A UNIX socket in the file system: type SOCK_SEQPACKET, SOCK_STREAM or
 * SOCK_DGRAM.  A stale file left by a dead process is replaced; one somebody
 * listens on is an error.  Paths beyond sun_path's 107 bytes go through
 * /proc/self/fd of the opened directory.
 */
int sock_listen_unix(const char *path, int type, mode_t mode, int *fd_out,
    struct err *e) MUST_CHECK;
int sock_connect_unix(
    const char *path, int type, int *fd_out, struct err *e) MUST_CHECK;

/* Who is at the other end of a UNIX socket (SO_PEERCRED). */
int sock_peer_uid(
    int fd, uid_t *uid_out, pid_t *pid_out, struct err *e) MUST_CHECK;

/* Both ends of a TCP connection. */
int sock_names(int fd, struct ip *peer_out, uint16_t *peer_port_out,
    struct ip *local_out, uint16_t *local_port_out, struct err *e) MUST_CHECK;

/*
 * Bytes over a connected, blocking stream socket; what stream.c and tls.c
 * stand on.  sock_recv() returns as soon as something is there, 0 at the end
 * of file; sock_send() sends all.  *timeout_ms remembers what the kernel has
 * as SO_RCVTIMEO (0: unknown), so that most calls cost one system call; the
 * deadline is absolute all the same (0: none).  Of the flags MSG_PEEK and
 * MSG_DONTWAIT are meant; with the latter "nothing there" is -1, errno EAGAIN
 * and ERR_TEMP.
 */
ssize_t sock_recv(int fd, void *data, size_t size, int flags,
    int64_t deadline_ms, int64_t *timeout_ms, struct err *e) MUST_CHECK;
int sock_send(int fd, const void *data, size_t len, int64_t deadline_ms,
    struct err *e) MUST_CHECK;

/*
 * One packet over SOCK_SEQPACKET or SOCK_DGRAM, with or without a descriptor
 * (-1: none) by SCM_RIGHTS.  sock_recv_packet(): the length, 0 when the peer
 * closed, -1 with ERR_TIMEOUT after the deadline; a packet longer than `size`
 * is ERR_SYNTAX; received descriptors beyond one are closed.
 */
int sock_send_packet(int sock, const void *data, size_t len, int fd,
    int64_t deadline_ms, struct err *e) MUST_CHECK;
ssize_t sock_recv_packet(int sock, void *data, size_t size, int *fd_out,
    int64_t deadline_ms, struct err *e) MUST_CHECK;

#endif /* NET_SOCK_H */
