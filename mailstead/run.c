/*
 * `mailstead run`: all daemons as children of one process in the foreground,
 * for development, tests, the demo and containers.  (Installed systems have a
 * systemd unit a daemon.)
 *
 * Single-threaded.  Each daemon gets NOTIFY_SOCKET and says READY=1 there; a
 * daemon that ends before that ends the whole run with its own words on
 * stderr.  Later a daemon that ends is started again, at once the first time,
 * then with doubling pauses.  On SIGTERM or SIGINT the listening daemons stop
 * first, then the runner, then accountd, all within STOP_MS.
 */
#include "mailstead/run.h"

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"

enum {
	STOP_MS = 9000,
	START_MS = 30000,
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 10000,
	LIVED_LONG_MS = 10000,
	CHILDREN_MAX = 8,
};

const char *const service_names[] = {
	"accountd",
	"mailstead-parse",
	"queue-runner",
	"mtad",
	"popd",
	"webmail-cgi",
	"admin-cgi",
	NULL,
};

struct child {
	const char *name;
	char path[CONFIG_PATH_SIZE * 2];
	pid_t pid; /* 0: not running */
	bool ready;
	int64_t started_ms;
	int64_t start_at_ms; /* when to start again */
	int pause_ms;
};

struct run {
	struct cli *cli;
	struct child children[CHILDREN_MAX];
	size_t count;
	int signal_fd;
	int notify_fd;
	char notify_path[CONFIG_PATH_SIZE * 2];
	bool stopping;
	bool announced;
};

static int
spawn(struct run *r, struct child *child, struct err *e)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(e, "fork");
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(1);
		setenv("NOTIFY_SOCKET", r->notify_path, 1);
		execl(child->path, child->name, "--state",
		    r->cli->config.state_dir, (char *)NULL);
		fprintf(stderr, "mailstead: cannot run %s\n", child->path);
		_exit(127);
	}
	child->pid = pid;
	child->ready = false;
	child->started_ms = clock_mono_ms();
	child->start_at_ms = 0;
	return 0;
}

static bool
all_ready(const struct run *r)
{
	for (size_t i = 0; i < r->count; i++) {
		if (!r->children[i].ready)
			return false;
	}
	return true;
}

static struct child *
child_of(struct run *r, pid_t pid)
{
	for (size_t i = 0; i < r->count; i++) {
		if (pid != 0 && r->children[i].pid == pid)
			return &r->children[i];
	}
	return NULL;
}

/*
 * A READY=1: the kernel says which process sent it, so nothing in the text
 * has to be believed.
 */
static void
read_notice(struct run *r)
{
	char text[512];

	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec piece = { text, sizeof(text) - 1 };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct ucred who = { 0 };

	ssize_t len = recvmsg(r->notify_fd, &message, MSG_DONTWAIT);
	if (len <= 0)
		return;
	text[len] = '\0';
	struct cmsghdr *h = CMSG_FIRSTHDR(&message);
	if (h != NULL && h->cmsg_type == SCM_CREDENTIALS)
		memcpy(&who, CMSG_DATA(h), sizeof(who));
	struct child *child = child_of(r, who.pid);
	if (child != NULL && strstr(text, "READY=1") != NULL)
		child->ready = true;
	if (!r->announced && all_ready(r)) {
		r->announced = true;
		puts("ready");
		fflush(stdout);
	}
}

/*
 * A child ended: false if that ends the run (before it was ever ready).  One
 * that exits has said why on stderr itself.
 */
static bool
child_ended(struct run *r, struct child *child, int status, int64_t now)
{
	bool lived = now - child->started_ms > LIVED_LONG_MS;

	child->pid = 0;
	if (r->stopping)
		return true;
	if (!r->announced && !child->ready) {
		if (WIFSIGNALED(status))
			fprintf(stderr,
			    "mailstead: %s was killed by signal %d\n",
			    child->name, WTERMSIG(status));
		return false;
	}
	fprintf(
	    stderr, "mailstead: %s ended, starting it again\n", child->name);
	if (lived || child->pause_ms == 0)
		child->pause_ms = PAUSE_MIN_MS;
	else if (child->pause_ms < PAUSE_MAX_MS)
		child->pause_ms *= 2;
	child->start_at_ms = now + (lived ? 0 : child->pause_ms);
	child->ready = false;
	return true;
}

static bool
reap(struct run *r)
{
	bool go_on = true;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = child_of(r, pid);
		if (child != NULL &&
		    !child_ended(r, child, status, clock_mono_ms()))
			go_on = false;
	}
	return go_on;
}

static void
start_due(struct run *r)
{
	struct err e;
	for (size_t i = 0; i < r->count; i++) {
		struct child *child = &r->children[i];
		if (child->pid == 0 && clock_mono_ms() >= child->start_at_ms &&
		    spawn(r, child, &e) != 0) {
			fprintf(stderr, "mailstead: %s\n", e.text);
			child->start_at_ms = clock_mono_ms() + PAUSE_MAX_MS;
		}
	}
}

/* Wait for signals and notices; true when asked to stop. */
static bool
wait_events(struct run *r, int timeout_ms)
{
	struct pollfd fds[2] = {
		{ .fd = r->signal_fd, .events = POLLIN },
		{ .fd = r->notify_fd, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	bool stop = false;

	if (poll(fds, 2, timeout_ms) <= 0)
		return false;
	if (fds[1].revents)
		read_notice(r);
	while (fds[0].revents &&
	    read(r->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			for (size_t i = 0; i < r->count; i++) {
				if (r->children[i].pid > 0)
					kill(r->children[i].pid, SIGHUP);
			}
		} else if (info.ssi_signo != SIGCHLD) {
			stop = true;
		}
	}
	return stop;
}

static bool
any_running(const struct run *r, size_t first)
{
	for (size_t i = first; i < r->count; i++) {
		if (r->children[i].pid > 0)
			return true;
	}
	return false;
}

static void
signal_from(const struct run *r, size_t first, int number)
{
	for (size_t i = first; i < r->count; i++) {
		if (r->children[i].pid > 0)
			kill(r->children[i].pid, number);
	}
}

/* Last started, first stopped; accountd and the runner outlive the rest. */
static void
stop_all(struct run *r)
{
	int64_t end = clock_mono_ms() + STOP_MS;
	size_t first = r->count;

	r->stopping = true;
	while (first > 0 &&
	    strcmp(r->children[first - 1].name, "queue-runner") != 0)
		first--;
	for (;;) {
		signal_from(r, first, SIGTERM);
		while (any_running(r, first) && clock_mono_ms() < end) {
			wait_events(r, 50);
			reap(r);
		}
		if (first == 0)
			break;
		first--;
	}
	signal_from(r, 0, SIGKILL);
	while (any_running(r, 0)) {
		wait_events(r, 50);
		reap(r);
	}
}

static int
listen_notices(struct run *r, struct err *e)
{
	int on = 1, fd;
	if (config_path(&r->cli->config, r->notify_path, sizeof(r->notify_path),
		e, "run/notify.sock") != 0)
		return -1;
	if (sock_connect_unix(r->notify_path, SOCK_DGRAM, &fd, e) == 0) {
		(void)close(fd);
		return err_set(e, ERR_PERM, "a server runs in %s already",
		    r->cli->config.state_dir);
	}
	if (sock_listen_unix(
		r->notify_path, SOCK_DGRAM, 0666, &r->notify_fd, e) != 0)
		return -1;
	if (setsockopt(
		r->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
		return err_errno(e, "%s", r->notify_path);
	return 0;
}

static int
prepare(struct run *r, struct err *e)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t set;

	for (size_t i = 0; service_names[i] != NULL; i++) {
		struct child *child = &r->children[r->count];
		child->name = service_names[i];
		if (cli_program_path(
			child->name, child->path, sizeof(child->path), e) != 0)
			return -1;
		r->count++;
	}
	(void)umask(007);
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		/* an inherited SIG_IGN would swallow it */
		(void)signal(numbers[i], SIG_DFL);
		(void)sigaddset(&set, numbers[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signal_fd < 0)
		return err_errno(e, "signalfd");
	return listen_notices(r, e);
}

int
command_run(struct cli *c)
{
	struct run r = { .cli = c };
	struct err e;
	bool ok = true;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (prepare(&r, &e) != 0) {
		(void)cli_fail(&e);
		return CLI_REFUSED;
	}
	int64_t give_up = clock_mono_ms() + START_MS;
	while (ok) {
		start_due(&r);
		if (wait_events(&r, 100))
			break;
		ok = reap(&r);
		if (!r.announced && clock_mono_ms() > give_up) {
			fputs("mailstead: the daemons did not become ready\n",
			    stderr);
			ok = false;
		}
	}
	stop_all(&r);
	unlink(r.notify_path);
	return ok ? CLI_DONE : CLI_REFUSED;
}
