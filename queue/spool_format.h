#ifndef QUEUE_SPOOL_FORMAT_H
#define QUEUE_SPOOL_FORMAT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "base/slice.h"

/*
 * What the bytes of a spool look like, for both sides of it.  Private to the
 * spool library.  The drawing is in queue/DESIGN.md.
 *
 * The spool's directories, opened once; all work is relative to them.
 */
enum {
	SPOOL_UUID_LEN = 16,
	SPOOL_UUID_SIZE = 2 * SPOOL_UUID_LEN + 1
};

struct spool_dirs {
	int root, journal, large, deferred, hold, corrupt;
	uint8_t uuid[SPOOL_UUID_LEN];
	char uuid_text[SPOOL_UUID_SIZE];
};

/* ERR_PERM: no spool there, or of a newer format. */
int spool_dirs_open(
    const char *spool_dir, struct spool_dirs *out, struct err *e) MUST_CHECK;
void spool_dirs_close(struct spool_dirs *d);

/* A new file, 0660 whatever the umask; -1 with errno. */
int spool_file_new(int dir_fd, const char *name) MUST_CHECK;

/* Lock a whole file for this open descriptor, or -1 with errno (EAGAIN). */
int spool_file_lock(int fd) MUST_CHECK;
/* Does another open descriptor hold a lock on it?  -1 with errno. */
int spool_file_is_locked(int fd) MUST_CHECK;

/* Read exactly `len` bytes at an offset: fewer means -1 and errno EIO. */
int spool_read_at(int fd, void *data, size_t len, uint64_t offset) MUST_CHECK;
int spool_write_at(
    int fd, const void *data, size_t len, uint64_t offset) MUST_CHECK;

/*
 * The address of the notice socket.  A path too long for sun_path is reached
 * through an O_PATH descriptor of its directory (*dir_fd, else -1).
 */
struct sockaddr_un;
int spool_notify_address(const char *path, struct sockaddr_un *out, int *dir_fd,
    struct err *e) MUST_CHECK;

/* --- segments -------------------------------------------------------------- */

/*
 * journal/<writer>-<n>.seg: a header block, then records.  `generation` is
 * new for every use of the file, and no two in a spool are the same.
 */
enum {
	SEGMENT_HEADER = 4096, /* offset of the first record */
	SEGMENT_ALIGN = 8,     /* of records */
	SEGMENT_SIZE_MAX = 1024 * 1024 * 1024,
	SEGMENT_NAME_SIZE = 96,
	WRITER_NAME_MAX = 63,
	SPOOL_INLINE_MAX = 128 * 1024, /* bigger bodies go to large/ */
	SPOOL_INLINE_ENVELOPE_MAX = 64 * 1024,
};

void segment_header_put(uint8_t out[SEGMENT_HEADER], const struct spool_dirs *d,
    uint64_t generation, uint64_t size);
/* False: not a segment of this spool. */
bool segment_header_get(const uint8_t *data, size_t len,
    const struct spool_dirs *d, uint64_t *generation_out, uint64_t *size_out);

/* A generation nobody had: the clock above 16 random bits. */
uint64_t segment_generation_new(void);

/* What record checksums of a segment start with. */
uint32_t segment_seed(const struct spool_dirs *d, uint64_t generation);

/*
 * "<writer>-<n>.seg" and its like; ext without the dot.  Names of writers:
 * letters, digits, '-', '_' and '.', not starting with a dot.
 */
void segment_name(char out[SEGMENT_NAME_SIZE], const char *writer, uint32_t n,
    const char *ext);
bool segment_name_parse(const char *name, const char *ext,
    char writer_out[WRITER_NAME_MAX + 1], uint32_t *n_out);
bool writer_name_is_valid(const char *name);

/* --- records --------------------------------------------------------------- */

enum spool_record_flags {
	RECORD_LARGE_BODY = 1,     /* the body is large/<id> */
	RECORD_LARGE_ENVELOPE = 2, /* the envelope is large/<id>.env */
	RECORD_REPORT = 4,         /* its sender is null; letters go first */
};

/* A record: header, body, envelope (what is inline of them), zero padding. */
enum {
	RECORD_HEADER = 96
};

struct spool_record {
	uint64_t generation;
	uint64_t offset;  /* its own place in the segment */
	uint64_t flushed; /* all before this was durable when it was written */
	uint64_t body_size;
	uint32_t envelope_size;
	uint32_t payload_crc;  /* of the inline part */
	uint32_t envelope_crc; /* of large/<id>.env */
	uint32_t flags;
	char id[ID_SIZE];
};

uint64_t record_inline_body(const struct spool_record *r);
uint64_t record_inline_size(const struct spool_record *r);
/* Header, inline part and padding. */
uint64_t record_total(const struct spool_record *r);

void record_header_put(
    uint8_t out[RECORD_HEADER], const struct spool_record *r, uint32_t seed);

/*
 * Read a header that should stand at `offset` of a segment with this
 * generation; false for anything else.  The payload is not looked at.
 */
bool record_header_get(const uint8_t data[RECORD_HEADER], uint32_t seed,
    uint64_t generation, uint64_t offset, struct spool_record *out);

/*
 * Walk the records in a piece of a segment that starts at `base` and of which
 * `piece` is at hand, from *at (an offset in the segment).
 *  RECORD_OK:   *out is whole and checked, *at is behind it.
 *  RECORD_MORE: the record is cut by the end of the piece.
 *  RECORD_BAD:  the header fits, the payload does not; *at is behind it.
 *  RECORD_END:  no record of this generation here.
 */
enum record_step {
	RECORD_OK,
	RECORD_MORE,
	RECORD_BAD,
	RECORD_END
};
enum record_step record_next(struct slice piece, uint64_t base, uint32_t seed,
    uint64_t generation, uint64_t *at, struct spool_record *out);

/* --- the writer's state, journal/<writer>.ctl ------------------------------- */

/*
 * What a living writer (one that holds the lock on this file) has committed.
 * Not durable and not needed to be: of a dead writer the segments tell.
 */
struct spool_ctl {
	uint64_t current;   /* generation written to, 0 = none */
	uint64_t committed; /* offset up to which its records are accepted */
	uint64_t next;      /* generation prepared for later, 0 = none */
	uint32_t current_n;
};

enum {
	CTL_SIZE = 64
};

int spool_ctl_write(int fd, const struct spool_ctl *c) MUST_CHECK;
/* -1: unreadable just now (being written, or never was). */
int spool_ctl_read(int fd, struct spool_ctl *out) MUST_CHECK;

/* --- void marks, journal/<writer>-<n>.void, and settled marks --------------- */

/* A place in the journal.  In a void mark: nothing counts from here on. */
struct spool_place {
	uint64_t generation;
	uint64_t offset;
};

enum {
	PLACE_SIZE = 32,
	SETTLED_HEADER = 32
};

void spool_place_put(uint8_t out[PLACE_SIZE], const struct spool_dirs *d,
    const struct spool_place *p);
bool spool_place_get(const uint8_t in[PLACE_SIZE], const struct spool_dirs *d,
    struct spool_place *out);

void settled_header_put(
    uint8_t out[SETTLED_HEADER], const struct spool_dirs *d);
bool settled_header_get(
    const uint8_t in[SETTLED_HEADER], const struct spool_dirs *d);

#endif /* QUEUE_SPOOL_FORMAT_H */
