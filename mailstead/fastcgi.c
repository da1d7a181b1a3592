/*
 * fastcgi SOCKET: for web servers that start FastCGI programs themselves and
 * cannot connect to one that runs (Apache's mod_fcgid).  Takes connections
 * from the listening socket such a server gives as descriptor 0 and passes
 * bytes both ways to SOCKET, one connection after the other: such a server
 * starts as many of these as it has requests at a time.
 */
#include "mailstead/fastcgi.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum {
	WEB_SERVER = 0, /* the descriptor; FastCGI 1.0, 2.2 */
	PIECE = 65536,
	QUIET_MS = 600 * 1000, /* the programs' own limits are far shorter */
};

static int
connect_to(const char *path, int *fd_out, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd, rc = 0;

	if (strlen(path) >= sizeof(to.sun_path))
		return err_set(e, ERR_PERM, "%s: too long", path);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		rc = err_errno(e, "%s", path);
	if (rc != 0 && fd >= 0)
		(void)close(fd);
	*fd_out = fd;
	return rc;
}

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

	if (path == NULL)
		return cli_usage("fastcgi SOCKET");
	if (cli_end(c) != CLI_DONE)
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
		if (connect_to(path, &program, &e) == 0) {
			pass_on(web, program);
			(void)close(program);
		} else {
			(void)cli_fail(&e);
		}
		(void)close(web);
	}
}
