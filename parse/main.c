/*
 * mailstead-parse: takes strangers' messages apart, in a jail.
 *
 * A worker has no path, no socket call, no exec; it gets a descriptor and a
 * JSON object a job, and answers by packets (mime/wire.h).  A job that needs
 * more than CPU_MS of processor time ends its process: the message was a bomb
 * the guard did not know, the client hears of it, the supervisor starts
 * another.
 */
#include <sys/socket.h>

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "directory/config.h"
#include "mime/wire.h"
#include "net/sock.h"
#include "proc/service.h"

#include "parse/answer.h"
#include "parse/job.h"

enum {
	WORKERS = 2,
	THREADS = 4,
	STACK_SIZE = 8 * 1024 * 1024,
	MEMORY_MAX = 256 * 1024 * 1024,
	CPU_MS = 2000,
	KEEP_MAX = 128 * 1024,
	FREE_KEPT = 2 * 1024 * 1024,
	REQUEST_MS = 5000,
	LOG_DAYS = 30,
};

static int
configure(const char *state_dir, struct service_config *out, struct err *e)
{
	struct listener *l = &out->listeners[0];
	struct config c;

	if (config_load(state_dir, &c, e) != 0 ||
	    config_path(&c, l->path, sizeof(l->path), e, "run/parse.sock") !=
		0 ||
	    config_path(&c, out->log_dir, sizeof(out->log_dir), e,
		"log/mailstead-parse") != 0)
		return -1;
	l->socktype = SOCK_SEQPACKET;
	l->mode = 0666; /* who has a message may have it parsed */
	out->listener_count = 1;
	out->enabled = true;
	out->log_days = LOG_DAYS; /* it reads no settings */
	out->workers = WORKERS;
	out->connections = THREADS;
	(void)snprintf(out->user, sizeof(out->user), "%s", c.user_parse);
	return 0;
}

/* End this process when this thread has used its time. */
static int
start_timer(timer_t *out)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGKILL };
	const struct itimerspec limit = { .it_value = { CPU_MS / 1000,
					      CPU_MS % 1000 * 1000000L } };

	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, out) != 0)
		return -1;
	return timer_settime(*out, 0, &limit, NULL);
}

static void
answer_job(int sock, const char *packet, size_t len, int fd)
{
	json_t *job = json_loadb(packet, len, JSON_REJECT_DUPLICATES, NULL);
	struct answer a = { .sock = sock };
	timer_t timer;

	if (job == NULL || fd < 0) {
		answer_refuse(&a, "not a job");
	} else if (start_timer(&timer) == 0) {
		job_run(job, fd, &a);
		(void)timer_delete(timer);
	}
	json_decref(job);
}

/* What a large message left free must not add to what the next one needs. */
static void
give_back(void)
{
	struct mallinfo2 info = mallinfo2();

	if (info.fordblks > FREE_KEPT)
		(void)malloc_trim(0);
}

static void
serve(struct worker *w, struct connection *c)
{
	char *packet = mem_alloc(WIRE_PACKET_MAX);
	struct err e;
	ssize_t len;
	int fd;

	(void)w;
	do {
		len = sock_recv_packet(c->fd, packet, WIRE_PACKET_MAX, &fd,
		    clock_mono_ms() + REQUEST_MS, &e);
		if (len > 0)
			answer_job(c->fd, packet, (size_t)len, fd);
		if (fd >= 0)
			(void)close(fd);
		give_back();
	} while (len > 0);
	(void)close(c->fd);
	free(packet);
}

/* A second arena reserves more address space than the jail grants. */
static int
worker_start(struct worker *w, struct err *e)
{
	(void)w;
	(void)e;
	/* NOLINTBEGIN(concurrency-mt-unsafe): no other thread yet */
	(void)mallopt(M_ARENA_MAX, 1);
	/* fixed, so that large buffers grow in place and go back at once */
	(void)mallopt(M_MMAP_THRESHOLD, KEEP_MAX);
	/* NOLINTEND(concurrency-mt-unsafe) */
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct service service = {
		.name = "mailstead-parse",
		.stack_size = STACK_SIZE,
		.jail = true,
		.memory_max = MEMORY_MAX,
		.configure = configure,
		.worker_start = worker_start,
		.serve = serve,
	};

	job_prepare();
	return service_main(&service, argc, argv);
}
