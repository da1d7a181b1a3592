/* Sockets: listening, connecting, naming the holder, packets, descriptors. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/sock.h"

#include "tests/lib/tree.h"

static char dir[200];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test-sock-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	return tree_remove(dir);
}

static struct ip
ip_of(const char *text)
{
	struct ip ip = { 0 };

	assert_true(ip_parse(slice_str(text), &ip));
	return ip;
}

/* Listen on a free port of an address. */
static uint16_t
listen_somewhere(const char *text, int *fd_out)
{
	struct ip ip = ip_of(text);
	struct sockaddr_in6 a = { 0 };
	socklen_t len = sizeof(a);
	struct err e = { 0 };

	if (sock_listen_tcp(&ip, 0, 16, fd_out, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(
	    getsockname(*fd_out, (struct sockaddr *)(void *)&a, &len), 0);
	return ntohs(a.sin6_port); /* at the same place in sockaddr_in */
}

static void
check_tcp(const char *listen_on, const char *to, const char *source)
{
	struct ip target = ip_of(to), from = ip_of(source);
	struct ip peer, local;
	uint16_t peer_port, local_port, port;
	struct err e = { 0 };
	int server, client, accepted;

	port = listen_somewhere(listen_on, &server);
	if (sock_connect_tcp(&target, port, &from, clock_mono_ms() + 5000, NULL,
		&client, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	accepted = accept(server, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(
	    sock_names(accepted, &peer, &peer_port, &local, &local_port, &e),
	    0);
	assert_true(ip_eq(&peer, &from));
	assert_true(ip_eq(&local, &target));
	assert_int_equal(local_port, port);
	assert_true(peer_port != 0);
	(void)close(accepted);
	(void)close(client);
	(void)close(server);
}

static void
test_tcp(void **state)
{
	(void)state;
	check_tcp("127.0.0.1", "127.0.0.1", "127.0.0.2");
	check_tcp("::", "127.0.0.1", "127.0.0.1");
	check_tcp("::1", "::1", "::1");
	check_tcp("::", "::1", "::1");
}

static void
test_refused_and_late(void **state)
{
	struct ip ip = ip_of("127.0.0.1");
	struct err e = { 0 };
	int64_t start;
	int server, fd, held[64] = { 0 }, count = 0;
	uint16_t port = listen_somewhere("127.0.0.1", &server);

	(void)state;
	/* a backlog that is full: the connection hangs */
	assert_int_equal(listen(server, 0), 0);
	start = clock_mono_ms();
	do {
		assert_in_range(count, 0, 63);
		fd = -1;
		if (sock_connect_tcp(&ip, port, NULL, clock_mono_ms() + 200,
			NULL, &fd, &e) == 0)
			held[count++] = fd;
	} while (fd >= 0);
	assert_int_equal(e.kind, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 190, 3000);
	while (count > 0)
		(void)close(held[--count]);
	(void)close(server);
	assert_int_equal(sock_connect_tcp(&ip, port, NULL,
			     clock_mono_ms() + 200, NULL, &fd, &e),
	    -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_non_null(strstr(e.text, "refused"));
}

static void
test_holder(void **state)
{
	struct ip ip = ip_of("127.0.0.1"), any = { 0 };
	char name[32], want[96];
	struct err e = { 0 };
	int server, fd;
	uint16_t port = listen_somewhere("127.0.0.1", &server);
	FILE *f;

	(void)state;
	f = fopen("/proc/self/comm", "r");
	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	(void)fclose(f);
	name[strcspn(name, "\n")] = '\0';
	(void)snprintf(want, sizeof(want),
	    "127.0.0.1:%u: address in use by %s (pid %d)", (unsigned)port, name,
	    (int)getpid());
	assert_int_equal(sock_listen_tcp(&ip, port, 16, &fd, &e), -1);
	assert_string_equal(e.text, want);
	assert_int_equal(sock_listen_tcp(&any, port, 16, &fd, &e), -1);
	assert_non_null(strstr(e.text, name));
	(void)close(server);
	port = listen_somewhere("::1", &server);
	ip = ip_of("::1");
	assert_int_equal(sock_listen_tcp(&ip, port, 16, &fd, &e), -1);
	assert_non_null(strstr(e.text, name));
	(void)close(server);
}

static void
check_unix(const char *path, int type)
{
	struct err e = { 0 };
	struct stat st;
	uid_t uid = 12345;
	pid_t pid = 0;
	int server, other, client, again;

	if (sock_listen_unix(path, type, 0660, &server, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	if (sock_connect_unix(path, type, &client, &e) != 0)
		fail_msg("%s", e.text);
	if (type != SOCK_DGRAM) {
		assert_int_equal(sock_peer_uid(client, &uid, &pid, &e), 0);
		assert_int_equal(uid, getuid());
		assert_int_equal(pid, getpid());
	}
	/* somebody is there */
	assert_int_equal(sock_listen_unix(path, type, 0660, &other, &e), -1);
	assert_non_null(strstr(e.text, "in use"));
	(void)close(client);
	(void)close(server);
	/* nobody any more: the file is replaced */
	assert_int_equal(sock_connect_unix(path, type, &client, &e), -1);
	assert_int_equal(sock_listen_unix(path, type, 0600, &again, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)close(again);
	assert_int_equal(unlink(path), 0);
}

static void
test_unix(void **state)
{
	char path[700], deep[600];
	struct err e = { 0 };
	size_t len;
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	check_unix(path, SOCK_SEQPACKET);
	check_unix(path, SOCK_STREAM);
	check_unix(path, SOCK_DGRAM);
	/* beyond sun_path */
	len = (size_t)snprintf(deep, sizeof(deep), "%s/", dir);
	memset(deep + len, 'd', 200);
	deep[len + 200] = '\0';
	assert_int_equal(mkdir(deep, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/mtad.sock", deep);
	check_unix(path, SOCK_SEQPACKET);
	/* a name that no socket can have */
	(void)snprintf(path, sizeof(path), "%s/%.150s", dir, deep + len);
	assert_int_equal(
	    sock_listen_unix(path, SOCK_STREAM, 0600, &fd, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(sock_connect_unix(path, SOCK_STREAM, &fd, &e), -1);
}

static int64_t
soon(void)
{
	return clock_mono_ms() + 2000;
}

static int
count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
test_packets(void **state)
{
	char data[16], text[8] = "";
	struct err e = { 0 };
	int pair[2], pipes[2], fd = 99;

	(void)state;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(
	    sock_send_packet(pair[0], "hello", 5, -1, soon(), &e), 0);
	assert_int_equal(
	    sock_recv_packet(pair[1], data, sizeof(data), &fd, soon(), &e), 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(fd, -1);

	assert_int_equal(
	    sock_send_packet(pair[0], "fd", 2, pipes[0], soon(), &e), 0);
	assert_int_equal(
	    sock_recv_packet(pair[1], data, sizeof(data), &fd, soon(), &e), 2);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(read(fd, text, sizeof(text)), 1);
	(void)close(fd);

	/* too long, with a descriptor that must not stay */
	assert_int_equal(sock_send_packet(pair[0], "0123456789abcdefg", 17,
			     pipes[0], soon(), &e),
	    0);
	{
		int before = count_fds();

		assert_int_equal(sock_recv_packet(pair[1], data, sizeof(data),
				     &fd, soon(), &e),
		    -1);
		assert_int_equal(e.kind, ERR_SYNTAX);
		assert_int_equal(fd, -1);
		assert_int_equal(count_fds(), before);
	}
	/* nothing comes */
	assert_int_equal(sock_recv_packet(pair[1], data, sizeof(data), NULL,
			     clock_mono_ms() + 50, &e),
	    -1);
	assert_int_equal(e.kind, ERR_TIMEOUT);
	/* nobody reads */
	while (sock_send_packet(
		   pair[0], "hello", 5, -1, clock_mono_ms() + 20, &e) == 0)
		;
	assert_int_equal(e.kind, ERR_TIMEOUT);
	(void)close(pair[0]);
	while (
	    sock_recv_packet(pair[1], data, sizeof(data), NULL, soon(), &e) > 0)
		;
	assert_int_equal(
	    sock_recv_packet(pair[1], data, sizeof(data), NULL, soon(), &e), 0);
	assert_int_equal(sock_send_packet(pair[1], "x", 1, -1, soon(), &e), -1);
	assert_int_equal(e.kind, ERR_CLOSED);
	(void)close(pair[1]);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

/* Several descriptors in one packet: one is taken, none is left over. */
static void
test_many_descriptors(void **state)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(6 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], fds[6] = { 0, 0, 0, 0, 0, 0 }, fd = -1, before;
	struct err e;
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	before = count_fds();
	assert_int_equal(
	    sock_recv_packet(pair[1], &byte, 1, &fd, soon(), &e), 1);
	assert_true(fd >= 0);
	assert_int_equal(count_fds(), before + 1);
	assert_int_equal(
	    sock_recv_packet(pair[1], &byte, 1, NULL, soon(), &e), 1);
	assert_int_equal(count_fds(), before + 1);
	(void)close(fd);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_refused_and_late),
		cmocka_unit_test(test_holder),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_many_descriptors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
