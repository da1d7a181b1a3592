/*
 * FastCGI: the only file that knows libfcgi.  The daemon skeleton accepts, so
 * libfcgi gets a connection that is open already and a listening socket that
 * is none; it serves one request and the connection ends (a web server that
 * keeps connections would pin a thread each).  libfcgi itself waits for ever:
 * the socket's own timeouts end that.
 */
#include <sys/socket.h>
#include <sys/time.h>

#include <fcgiapp.h>
#include <limits.h>
#include <malloc.h>
#include <unistd.h>

#include "base/num.h"
#include "web/internal.h"

enum {
	KEPT_FREE = 1024 * 1024, /* of a thread arena's memory */
};

int
web_start(const struct web_app *app, struct err *e)
{
	(void)app;
	/*
	 * One big upload or page would teach malloc to keep several MB free at
	 * the end of each arena, which malloc_trim() does not give back.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_FREE); /* NOLINT */
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE); /* NOLINT */
	if (FCGX_Init() != 0)
		return err_set(e, ERR_PERM, "libfcgi does not start");
	return 0;
}

static ssize_t
read_stream(void *io, void *data, size_t size)
{
	FCGX_Request *q = io;
	int n = FCGX_GetStr(data, (int)num_min(size, INT_MAX), q->in);

	return FCGX_GetError(q->in) != 0 ? -1 : n;
}

static int
write_stream(void *io, const void *data, size_t len)
{
	FCGX_Request *q = io;
	const char *p = data;

	while (len > 0) {
		int n = FCGX_PutStr(p, (int)num_min(len, INT_MAX / 2), q->out);

		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void
web_serve(const struct web_app *app, void *ctx, int fd, const char *temp_dir,
    int io_timeout_ms)
{
	const struct timeval limit = { io_timeout_ms / 1000,
		io_timeout_ms % 1000 * 1000L };
	struct web_exchange x = { .read = read_stream, .write = write_stream };
	FCGX_Request q;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	/* the listening socket is none: accept() fails at once */
	if (FCGX_InitRequest(&q, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0) {
		(void)close(fd);
		return;
	}
	q.ipcFd = fd;
	q.keepConnection = 1; /* or FCGX_Accept_r() closes it first */
	if (FCGX_Accept_r(&q) == 0) {
		q.keepConnection = 0;
		x.params = q.envp;
		x.io = &q;
		web_handle(app, ctx, &x, temp_dir);
		FCGX_Finish_r(&q);
	}
	FCGX_Free(&q, 1);
}
