/*
 * The queue's numbers: from run/queue.stat while a runner writes it, else
 * counted by opening the spool, which a missing runner leaves free.
 */
#include "mailstead/state.h"

#include <string.h>

#include "base/clock.h"

#include "queue/spool_runner.h"
#include "queue/spool_stat.h"

enum {
	FRESH_MS = 3000,
	SETTLE_MS = 1200
};

/* From the file, if it is not older than FRESH_MS. */
static bool
read_stat(struct cli *c, struct spool_stat *out)
{
	char path[CONFIG_PATH_SIZE * 2];
	struct err e;

	return config_path(
		   &c->config, path, sizeof(path), &e, "run/queue.stat") == 0 &&
	    spool_stat_read(path, out, &e) == 0 &&
	    clock_wall_ms() - out->written_ms < FRESH_MS;
}

static bool
count_spool(struct cli *c, struct spool_stat *out)
{
	char path[CONFIG_PATH_SIZE * 2];
	struct spool_counts counts;
	struct spool *spool;
	struct err e;

	if (config_path(&c->config, path, sizeof(path), &e, "spool") != 0 ||
	    spool_open(path, NULL, &spool, &e) != 0)
		return false;
	spool_count(spool, &counts);
	spool_close(spool);
	out->active = counts.active;
	out->deferred = counts.deferred;
	out->held = counts.held;
	return true;
}

json_t *
state_queue_counts(struct cli *c)
{
	struct spool_stat st = { 0 };

	if (!read_stat(c, &st))
		(void)count_spool(c, &st);
	return json_pack("{s:I,s:I,s:I,s:b}", "active", (json_int_t)st.active,
	    "deferred", (json_int_t)st.deferred, "held", (json_int_t)st.held,
	    "flush_fails", st.flush_fails);
}

bool
state_queue_is_idle(struct cli *c, int64_t since_ms)
{
	struct spool_stat st = { 0 };

	if (read_stat(c, &st))
		return st.active == 0 && st.written_ms > since_ms + SETTLE_MS;
	return count_spool(c, &st) && st.active == 0;
}
