/*
 * fastcgi SOCKET: for web servers that start FastCGI programs themselves and
 * cannot connect to one that runs (Apache's mod_fcgid).  Takes connections
 * from the listening socket such a server gives as descriptor 0 and passes
 * bytes both ways to SOCKET, one connection after the other: such a server
 * starts as many of these as it has requests at a time.
 */
#include "mailstead/fastcgi.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "net/sock.h"

enum {
	WEB_SERVER = 0, /* the descriptor; FastCGI 1.0, 2.2 */
	PIECE = 65536,
	QUIET_MS = 600 * 1000, /* the programs' own limits are far shorter */
};

/* Both ways until the program has said everything. */
static void
pass_on(int web, int program)
{
	static char data[PIECE];
	struct pollfd p[2] = { { .fd = web, .events = POLLIN },
		{ .fd = program, .events = POLLIN } };
	ssize_t got;

	while (poll(p, 2, QUIET_MS) > 0) {
		if (p[0].revents != 0) {
			got = read(web, data, sizeof(data));
			if (got < 0 ||
			    file_write_all(program, data, (size_t)got) != 0)
				return;
			if (got == 0) {
				(void)shutdown(program, SHUT_WR);
				p[0].fd = -1;
			}
		}
		if (p[1].revents != 0) {
			got = read(program, data, sizeof(data));
			if (got <= 0 ||
			    file_write_all(web, data, (size_t)got) != 0)
				return;
		}
	}
}

int
command_fastcgi(struct cli *c)
{
	const char *path = cli_argument(c);
	int web, program = -1;
	struct err e;

	if (!cli_complete(c, path != NULL, "fastcgi SOCKET"))
		return CLI_USAGE;
	(void)signal(SIGPIPE, SIG_IGN);
	for (;;) {
		web = accept(WEB_SERVER, NULL, NULL);
		if (web < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (web < 0) {
			(void)err_errno(&e, "descriptor 0");
			return cli_fail(&e);
		}
		if (sock_connect_unix(path, SOCK_STREAM, &program, &e) == 0) {
			pass_on(web, program);
			(void)close(program);
		} else {
			(void)cli_fail(&e);
		}
		(void)close(web);
	}
}
