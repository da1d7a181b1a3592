#ifndef QUEUE_SPOOL_MARKS_H
#define QUEUE_SPOOL_MARKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"

#include "queue/spool_format.h"

/*
 * Live marks (I1): what was done since the last shared flush, in shared memory
 * named by the spool's uuid, /dev/shm/mailstead-<uuid>.  They survive kill -9
 * of the runner at any instruction and are gone after a power cut, together
 * with the unflushed deliveries they speak of.
 *
 * A piece is one message's: its header, then one word a recipient.  Only the
 * thread that has the message claimed writes into it.  The allocator's own
 * state is in the process and rebuilt from the pieces at the next start.
 *
 * Beside the pieces it is kept whether a flush of the stores has failed since
 * the last good one: then what they say of stores may be wrong.
 */
enum marks_end {
	MARKS_END_NONE,
	MARKS_END_SETTLE
};

struct spool_marks {
	uint32_t size;         /* of this piece, a power of two; set first */
	_Atomic uint32_t used; /* set last, cleared first */
	uint32_t serial;       /* of the envelope the marks speak of */
	uint32_t count;
	char id[ID_SIZE + 1];
	_Atomic uint8_t danger;  /* the runner is inside a bracket */
	_Atomic uint8_t crashes; /* brackets that killed a runner */
	_Atomic uint8_t end;     /* enum marks_end, asked for and not flushed */
	uint8_t zero;
	_Atomic uint32_t marks[]; /* mark | told << 8 | outcome << 16 */
};

enum {
	MARKS_CLASSES = 32,
	MARKS_TOLD_SHIFT = 8,
	MARKS_TOLD = 0xff << MARKS_TOLD_SHIFT
};

struct marks_header {
	char magic[16];
	_Atomic uint32_t failures; /* of flushes, since the last good one */
};

struct marks_arena {
	int fd;
	char *memory;                /* all that may ever be, mapped */
	struct marks_header *header; /* its first bytes */
	size_t size;                 /* that has storage */
	size_t end;                  /* behind the last piece */
	pthread_mutex_t lock;
	uint32_t *free[MARKS_CLASSES]; /* offsets, by power of two */
	size_t free_count[MARKS_CLASSES];
	size_t free_alloc[MARKS_CLASSES];
};

/* ERR_PERM: the name is somebody else's. */
int marks_open(
    struct marks_arena *a, const char *uuid_text, struct err *e) MUST_CHECK;
void marks_close(struct marks_arena *a);

/* A piece with all marks NONE.  ERR_TEMP: no shared memory left. */
int marks_new(struct marks_arena *a, const char *id, uint32_t serial,
    size_t count, struct spool_marks **out, struct err *e) MUST_CHECK;
void marks_free(struct marks_arena *a, struct spool_marks *m);

/* Walk what an earlier process left: *at starts at 0; NULL at the end. */
struct spool_marks *marks_walk(struct marks_arena *a, size_t *at);

#endif /* QUEUE_SPOOL_MARKS_H */
