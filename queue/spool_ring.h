#ifndef QUEUE_SPOOL_RING_H
#define QUEUE_SPOOL_RING_H

#include <pthread.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#include "queue/spool_format.h"

/*
 * One writer's segments.  Private to the spool library.
 *
 * A segment passes through these names; each step is one rename, made durable
 * before the next one relies on it:
 *
 *	<w>-<n>.new    being zero-filled; nothing in it counts
 *	<w>-<n>.seg    in use: its header and name are durable
 *	<w>-<n>.free   all its records are settled, durably; anybody's to take
 *
 * The lock on <w>.ctl is the writer's life.  A writer never appends to a
 * segment an earlier process of its name wrote to: what that one had written
 * but not flushed might read well from memory and not be on the disk.
 */
enum {
	SEGMENT_FIRST_SIZE = 1024 * 1024, /* for writers that live shortly */
	SEGMENT_SIZE = 16 * 1024 * 1024,
};

struct spool_segment {
	int fd; /* -1: none */
	uint32_t n;
	uint32_t seed;
	uint64_t generation;
	uint64_t size;
	uint64_t at; /* end of what is written */
};

struct spool_ring {
	const struct spool_dirs *dirs;
	char name[WRITER_NAME_MAX + 1];
	int ctl_fd;
	uint32_t next_n;      /* the preparing thread's */
	uint64_t first_size;  /* of the next new segment, grows */
	pthread_mutex_t lock; /* for ctl */
	struct spool_ctl ctl;
};

/* Waits up to five seconds for another process with this name (ERR_TEMP). */
int ring_open(struct spool_ring *r, const struct spool_dirs *d,
    const char *name, struct err *e) MUST_CHECK;
void ring_close(struct spool_ring *r);

/* Make a segment ready, from a free one or new.  Slow; off the commit path. */
int ring_prepare(
    struct spool_ring *r, struct spool_segment *out, struct err *e) MUST_CHECK;

/* From now on `s` is written to. */
void ring_use(struct spool_ring *r, const struct spool_segment *s);

/* Tell the runner that all before s->at is accepted. */
void ring_committed(struct spool_ring *r, const struct spool_segment *s);

/*
 * After a failed write or flush: nothing from s->at on ever counts, also not
 * after a power cut (I5).  0: that is durable and the segment is closed for
 * good.  -1: it could not be made durable; nothing may be accepted before it
 * is, so call again.
 */
int ring_void(
    struct spool_ring *r, struct spool_segment *s, struct err *e) MUST_CHECK;

#endif /* QUEUE_SPOOL_RING_H */
