/*
 * A daemon's first moments: whatever it inherited from who started it
 * (descriptors, environment, signals) is put in order before anything else.
 *
 * One thread, once, in the supervisor.
 */
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/internal.h"

/* 0, 1 and 2 are something; all others but one are closed. */
static void
clean_descriptors(int keep_fd)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_NOCTTY);
	} while (fd >= 0 && fd <= 2);
	if (keep_fd > 3)
		(void)close_range(3, (unsigned)keep_fd - 1, 0);
	(void)close_range(keep_fd > 2 ? (unsigned)keep_fd + 1 : 3, ~0U, 0);
}

/*
 * Only what we read ourselves stays: no LD_*, PATH, resolver or OpenSSL
 * settings of the caller's.
 */
static void
clean_environment(void)
{
	static const char *const names[] = { "NOTIFY_SOCKET",
		"MAILSTEAD_STATE" };
	char *values[ARRAY_LEN(names)];

	/* single-threaded: nothing runs yet */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = getenv(names[i]); /* NOLINT */

		values[i] = value != NULL ? mem_strdup(value) : NULL;
	}
	(void)clearenv(); /* NOLINT(concurrency-mt-unsafe) */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (values[i] != NULL)
			(void)setenv(names[i], values[i], 1); /* NOLINT */
		free(values[i]);
	}
}

/* The supervisor reads its signals; nothing else ever handles one. */
static int
clean_signals(int *signal_fd_out, struct err *e)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t set, blocked;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		/* an inherited SIG_IGN would swallow it */
		(void)signal(numbers[i], SIG_DFL);
		(void)sigaddset(&set, numbers[i]);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* an error of the write instead */
	blocked = set;
	/* a worker may get it before it has come to block it */
	(void)sigaddset(&blocked, SIGUSR1);
	if (pthread_sigmask(SIG_SETMASK, &blocked, NULL) != 0)
		return err_errno(e, "signals");
	*signal_fd_out = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*signal_fd_out < 0)
		return err_errno(e, "signals");
	return 0;
}

int
process_prepare(int keep_fd, int *signal_fd_out, struct err *e)
{
	clean_descriptors(keep_fd);
	clean_environment();
	(void)umask(007);
	return clean_signals(signal_fd_out, e);
}
