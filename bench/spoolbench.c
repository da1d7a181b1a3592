/*
 * How many messages a second the spool takes: THREADS writers commit messages
 * of SIZE bytes into DIR for SECONDS, while CLAIMERS threads claim and settle
 * them and a flusher makes that durable once a second (no mailboxes).
 *
 *	spoolbench DIR THREADS SECONDS [SIZE [CLAIMERS]]
 *
 * Prints one line: messages a second, their latency, processor time each.
 */
#include <sys/resource.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"

#include "queue/spool.h"
#include "queue/spool_runner.h"

static struct spool_writer *writer;
static struct spool *spool;
static size_t body_size = 4096;
static atomic_bool stop_writing, stop_claiming;
static _Atomic uint64_t committed, claimed, settled, waited_ms;

static void
die(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "spoolbench: %s: %s\n", what, e->text);
	_exit(1);
}

static void
pause_ms(long ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static void *
write_main(void *arg)
{
	char *body = mem_alloc(body_size);
	struct err e;

	(void)arg;
	memset(body, 'x', body_size);
	while (!stop_writing) {
		struct envelope v = { .sender = "a@example.org",
			.helo = "bench",
			.client_ip = "192.0.2.1" };
		int64_t start = clock_mono_ms();
		struct spool_message *m;

		envelope_add(&v)->address = "b@example.net";
		if (spool_begin(writer, &m, &e) < 0 ||
		    spool_write(m, body, body_size, &e) < 0 ||
		    spool_commit(m, &v, &e) < 0)
			die("commit", &e);
		envelope_release(&v);
		committed++;
		waited_ms += (uint64_t)(clock_mono_ms() - start);
	}
	free(body);
	return NULL;
}

static void *
claim_main(void *arg)
{
	struct err e;

	(void)arg;
	while (!stop_claiming) {
		struct spool_item *it;
		struct spool_body b;

		if (spool_claim(spool, 200, &it, &e) < 0)
			die("claim", &e);
		if (it == NULL)
			continue;
		if (spool_body_open(it, &b, &e) < 0)
			die("body", &e);
		spool_body_close(&b);
		spool_mark(it, 0, SPOOL_MARK_PREPARED, 0);
		spool_mark(it, 0, SPOOL_MARK_DONE, 250);
		spool_settle(it);
		claimed++;
	}
	return NULL;
}

static int
sync_nothing(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void *
flush_main(void *arg)
{
	struct err e;
	size_t n;

	(void)arg;
	do {
		pause_ms(1000);
		if (spool_flush(spool, sync_nothing, NULL, &n, &e) < 0)
			die("flush", &e);
		settled += n;
	} while (!stop_claiming);
	return NULL;
}

static size_t
argument(int argc, char **argv, int i, size_t otherwise)
{
	uint64_t v = otherwise;

	if (i < argc && !num_parse_size(slice_str(argv[i]), 1 << 30, &v)) {
		(void)fprintf(
		    stderr, "spoolbench: not a number: %s\n", argv[i]);
		_exit(2);
	}
	return (size_t)v;
}

static double
cpu_seconds(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static pthread_t *
start(size_t count, void *(*body)(void *))
{
	pthread_t *threads = mem_zalloc((count + 1) * sizeof(*threads));

	for (size_t i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, body, NULL) != 0)
			abort();
	}
	return threads;
}

static void
join(pthread_t *threads, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(threads[i], NULL);
	free(threads);
}

int
main(int argc, char **argv)
{
	size_t threads = argument(argc, argv, 2, 50);
	size_t seconds = argument(argc, argv, 3, 5);
	size_t claimers;
	pthread_t *w, *c, *f;
	char notify[4096];
	int64_t began;
	double elapsed;
	struct err e;

	if (argc < 2) {
		(void)fprintf(stderr,
		    "usage: spoolbench DIR [THREADS "
		    "[SECONDS [SIZE [CLAIMERS]]]]\n");
		return 2;
	}
	body_size = argument(argc, argv, 4, 4096);
	claimers = argument(argc, argv, 5, 2);
	(void)snprintf(notify, sizeof(notify), "%s.notify", argv[1]);
	if (spool_create(argv[1], &e) < 0 ||
	    spool_open(argv[1], notify, &spool, &e) < 0 ||
	    spool_writer_open(argv[1], "bench", notify, 0, &writer, &e) < 0)
		die(argv[1], &e);
	began = clock_mono_ms();
	c = start(claimers, claim_main);
	f = start(1, flush_main);
	w = start(threads, write_main);
	pause_ms((long)seconds * 1000);
	stop_writing = true;
	join(w, threads);
	elapsed = (double)(clock_mono_ms() - began) / 1000;
	for (int i = 0; i < 50 && settled < committed; i++)
		pause_ms(100);
	stop_claiming = true;
	join(c, claimers);
	join(f, 1);
	(void)printf("threads=%zu size=%zu messages=%llu rate=%.0f/s "
		     "latency_ms=%.2f cpu_ms=%.3f settled=%llu\n",
	    threads, body_size, (unsigned long long)committed,
	    (double)committed / elapsed,
	    (double)waited_ms / (double)(committed > 0 ? committed : 1),
	    cpu_seconds() * 1000 / (double)(committed > 0 ? committed : 1),
	    (unsigned long long)settled);
	spool_writer_close(writer);
	spool_close(spool);
	return 0;
}
