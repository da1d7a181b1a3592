#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"

#include "queue/envelope.h"

/*
 * The spool, writer's side: what programs that accept mail use (mtad, webmail,
 * `mailstead submit`, and the runner for its own reports).  The runner's side
 * is queue/spool_runner.h.  Format, guarantees G1-G2 and invariants I1-I6:
 * queue/DESIGN.md.
 *
 * A writer is one per process and shared by its threads.  A message belongs
 * to one thread.  Life: spool_begin, spool_write..., spool_commit or
 * spool_abort; both end it.
 *
 * The body has LF line ends and starts with the trace headers for local
 * delivery (envelope.local_prefix bytes), then Received, then the message as
 * it came.
 */
struct spool_writer;
struct spool_message;

/*
 * Open `spool_dir` (state/spool) for appending.  `name` is the writer's own:
 * "mtad-0", "webmail-3", "submit"; a second process with the same name waits
 * out the first or is refused (ERR_TEMP).  `notify_path` is the runner's
 * notice socket (spool/notify.sock); it need not exist.  `minimum_free` is how
 * many bytes of disk must stay free, below that spool_begin() is refused.
 */
int spool_writer_open(const char *spool_dir, const char *name,
    const char *notify_path, uint64_t minimum_free, struct spool_writer **out,
    struct err *e) MUST_CHECK;
void spool_writer_close(struct spool_writer *w);

/* A changed limit; any thread. */
void spool_writer_set_minimum_free(struct spool_writer *w, uint64_t bytes);

/* Start a message with a new id.  ERR_TEMP: disk full, spool not usable. */
int spool_begin(struct spool_writer *w, struct spool_message **out,
    struct err *e) MUST_CHECK;

/*
 * The same with a given id, for reports whose id follows from the message they
 * speak of, so that a repeated attempt is known as such (spool_knows()).
 */
int spool_begin_as(struct spool_writer *w, const char *id,
    struct spool_message **out, struct err *e) MUST_CHECK;

/* The id: for the reply, the Received header and the log. */
const char *spool_id(const struct spool_message *m);

/* Bytes written so far. */
uint64_t spool_size(const struct spool_message *m);

/*
 * Append to the body.  Small bodies stay in memory until commit; beyond the
 * inline limit they go to a file in large/.  After an error the message can
 * only be aborted.
 */
int spool_write(struct spool_message *m, const void *data, size_t len,
    struct err *e) MUST_CHECK;

/*
 * Make body and envelope durable, together with whoever commits at the same
 * time, and tell the runner.  0: the message survives kill -9 and power loss
 * (G1).  -1: it was not accepted and never will be.  The message is gone in
 * both cases.  Sets envelope body_size; body_lines, flags and local_prefix are
 * the caller's.
 */
int spool_commit(
    struct spool_message *m, struct envelope *v, struct err *e) MUST_CHECK;

/*
 * The same in two halves, for who has better things to do meanwhile.  0 from
 * the first: done() is called once, by a thread that must not be kept waiting
 * and perhaps before this returns; then the second tells what became of it.
 */
int spool_commit_begin(struct spool_message *m, struct envelope *v,
    void (*done)(void *arg), void *arg, struct err *e) MUST_CHECK;
int spool_commit_end(struct spool_message *m, struct err *e) MUST_CHECK;

void spool_abort(struct spool_message *m);

#endif /* QUEUE_SPOOL_H */
