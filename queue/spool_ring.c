/*
 * The segments of one writer: taking, making, closing.
 *
 * Which segments are free is read from the directory each time one is needed;
 * two writers that want the same one are told apart by its lock and then by
 * rename(2).  A segment's new header is durable before its new name is, and
 * its name before a record in it is acknowledged.  The control file says a new
 * generation before the directory does, so that the runner, which lists first
 * and asks second, never takes a fresh segment for an abandoned one.
 *
 * ring_prepare() runs in the writer's helper thread, the rest in the thread
 * that commits.
 */
#include "queue/spool_ring.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"

enum {
	OPEN_WAIT_MS = 5000,
	OPEN_POLL_MS = 20,
	ZERO_CHUNK = 256 * 1024
};

static int
lock_ctl(int fd, const char *name, struct err *e)
{
	const struct timespec pause = { 0, OPEN_POLL_MS * 1000000L };
	int64_t deadline = clock_mono_ms() + OPEN_WAIT_MS;

	while (spool_file_lock(fd) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return err_errno(e, "lock %s.ctl", name);
		if (clock_left_ms(deadline) == 0)
			return err_set(e, ERR_TEMP,
			    "another process writes to the spool as %s", name);
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int
open_ctl(struct spool_ring *r, struct err *e)
{
	char file[SEGMENT_NAME_SIZE];
	int fd;

	(void)snprintf(file, sizeof(file), "%s.ctl", r->name);
	fd = openat(r->dirs->journal, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		fd = spool_file_new(r->dirs->journal, file);
		if (fd < 0 && errno == EEXIST)
			fd = openat(r->dirs->journal, file,
			    O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return err_errno(e, "open %s", file);
	if (lock_ctl(fd, r->name, e) < 0 ||
	    (spool_ctl_write(fd, &r->ctl) < 0 &&
		err_errno(e, "write %s", file) < 0)) {
		(void)close(fd);
		return -1;
	}
	r->ctl_fd = fd;
	return 0;
}

/* Find the first unused number; drop what an earlier process left half made. */
static int
scan_names(struct spool_ring *r, struct err *e)
{
	static const char *const exts[] = { "seg", "free", "void", "new" };
	char writer[WRITER_NAME_MAX + 1];
	const char *entry;
	uint32_t n;
	DIR *dir = file_list(r->dirs->journal, ".");

	if (dir == NULL)
		return err_errno(e, "list journal");
	while ((entry = file_list_next(dir)) != NULL) {
		for (size_t i = 0; i < ARRAY_LEN(exts); i++) {
			if (!segment_name_parse(entry, exts[i], writer, &n) ||
			    strcmp(writer, r->name) != 0)
				continue;
			if (n >= r->next_n)
				r->next_n = n + 1;
			if (i == 3)
				(void)unlinkat(r->dirs->journal, entry, 0);
		}
	}
	file_list_end(dir);
	return 0;
}

int
ring_open(struct spool_ring *r, const struct spool_dirs *d, const char *name,
    struct err *e)
{
	memset(r, 0, sizeof(*r));
	r->dirs = d;
	r->ctl_fd = -1;
	r->first_size = SEGMENT_FIRST_SIZE;
	if (!writer_name_is_valid(name))
		return err_set(e, ERR_PERM, "not a writer's name: %s", name);
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	if (open_ctl(r, e) < 0)
		return -1;
	if (scan_names(r, e) < 0) {
		(void)close(r->ctl_fd);
		return -1;
	}
	(void)pthread_mutex_init(&r->lock, NULL);
	return 0;
}

void
ring_close(struct spool_ring *r)
{
	(void)close(r->ctl_fd);
	(void)pthread_mutex_destroy(&r->lock);
}

/* --- making one ready ------------------------------------------------------ */

static int
zero_fill(int fd, uint64_t from, uint64_t to)
{
	char *zeros = mem_zalloc(ZERO_CHUNK);
	int rc = 0;

	while (from < to && rc == 0) {
		uint64_t len = to - from < ZERO_CHUNK ? to - from : ZERO_CHUNK;

		rc = spool_write_at(fd, zeros, (size_t)len, from);
		from += len;
	}
	free(zeros);
	return rc;
}

static int
write_header(struct spool_ring *r, struct spool_segment *s)
{
	uint8_t header[SEGMENT_HEADER];

	s->generation = segment_generation_new();
	s->seed = segment_seed(r->dirs, s->generation);
	s->at = SEGMENT_HEADER;
	segment_header_put(header, r->dirs, s->generation, s->size);
	return spool_write_at(s->fd, header, sizeof(header), 0);
}

static void
set_next(struct spool_ring *r, uint64_t generation)
{
	(void)pthread_mutex_lock(&r->lock);
	r->ctl.next = generation;
	/* If it fails the runner sees no more of us than it did. */
	(void)!spool_ctl_write(r->ctl_fd, &r->ctl);
	(void)pthread_mutex_unlock(&r->lock);
}

/* Fill, flush, give the final name, flush that. */
static int
finish(struct spool_ring *r, struct spool_segment *s, const char *from,
    uint64_t old_size, uint64_t size)
{
	char name[SEGMENT_NAME_SIZE];

	s->size = size;
	s->n = r->next_n;
	if (zero_fill(s->fd, old_size, size) < 0 || write_header(r, s) < 0 ||
	    fsync(s->fd) < 0)
		return -1;
	segment_name(name, r->name, s->n, "seg");
	set_next(r, s->generation);
	if (renameat(r->dirs->journal, from, r->dirs->journal, name) < 0)
		return -1;
	r->next_n++;
	return fsync(r->dirs->journal);
}

/* 0: got one; 1: not this one; -1: trouble with the disk. */
static int
adopt(struct spool_ring *r, const char *name, struct spool_segment *out)
{
	struct spool_segment s = { .fd = -1 };
	struct stat st, there;
	int fd =
	    openat(r->dirs->journal, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return 1;
	if (spool_file_lock(fd) < 0 || fstat(fd, &st) < 0 ||
	    fstatat(r->dirs->journal, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_ino != there.st_ino || !S_ISREG(st.st_mode) ||
	    st.st_size <= SEGMENT_HEADER || st.st_size > SEGMENT_SIZE) {
		(void)close(fd);
		return 1;
	}
	s.fd = fd;
	if (finish(r, &s, name, (uint64_t)st.st_size, SEGMENT_SIZE) < 0) {
		int error = errno;

		(void)close(fd);
		errno = error;
		return -1;
	}
	*out = s;
	return 0;
}

static int
adopt_any(struct spool_ring *r, struct spool_segment *out)
{
	char writer[WRITER_NAME_MAX + 1];
	const char *name;
	uint32_t n;
	int rc = 1;
	DIR *dir = file_list(r->dirs->journal, ".");

	if (dir == NULL)
		return -1;
	while (rc == 1 && (name = file_list_next(dir)) != NULL) {
		if (segment_name_parse(name, "free", writer, &n))
			rc = adopt(r, name, out);
	}
	file_list_end(dir);
	return rc;
}

int
ring_prepare(struct spool_ring *r, struct spool_segment *out, struct err *e)
{
	struct spool_segment s = { .fd = -1 };
	char name[SEGMENT_NAME_SIZE];
	int rc = adopt_any(r, out);

	if (rc < 0)
		return err_errno(e, "reuse a segment");
	if (rc == 0)
		return 0;
	segment_name(name, r->name, r->next_n, "new");
	s.fd = spool_file_new(r->dirs->journal, name);
	if (s.fd < 0) {
		err_errno(e, "create %s", name);
		r->next_n++;
		return -1;
	}
	if (finish(r, &s, name, 0, r->first_size) < 0) {
		err_errno(e, "make segment %s", name);
		(void)close(s.fd);
		(void)unlinkat(r->dirs->journal, name, 0);
		return -1;
	}
	r->first_size = SEGMENT_SIZE;
	*out = s;
	return 0;
}

/* --- in use ----------------------------------------------------------------- */

void
ring_use(struct spool_ring *r, const struct spool_segment *s)
{
	(void)pthread_mutex_lock(&r->lock);
	r->ctl.current = s->generation;
	r->ctl.current_n = s->n;
	r->ctl.committed = s->at;
	if (r->ctl.next == s->generation)
		r->ctl.next = 0;
	(void)!spool_ctl_write(r->ctl_fd, &r->ctl);
	(void)pthread_mutex_unlock(&r->lock);
}

void
ring_committed(struct spool_ring *r, const struct spool_segment *s)
{
	(void)pthread_mutex_lock(&r->lock);
	r->ctl.committed = s->at;
	(void)!spool_ctl_write(r->ctl_fd, &r->ctl);
	(void)pthread_mutex_unlock(&r->lock);
}

int
ring_void(struct spool_ring *r, struct spool_segment *s, struct err *e)
{
	const uint8_t nothing[RECORD_HEADER] = { 0 };
	const struct spool_place p = { s->generation, s->at };
	uint8_t raw[PLACE_SIZE];
	char name[SEGMENT_NAME_SIZE];

	/*
	 * In memory first: should we be killed before the mark is there, the
	 * record does not read as one.  The disk may keep it nevertheless.
	 */
	if (s->size - s->at >= RECORD_HEADER)
		(void)!spool_write_at(s->fd, nothing, sizeof(nothing), s->at);
	spool_place_put(raw, r->dirs, &p);
	segment_name(name, r->name, s->n, "void");
	if (file_replace(r->dirs->journal, name, 0660, raw, sizeof(raw), e) < 0)
		return -1;
	(void)pthread_mutex_lock(&r->lock);
	r->ctl.current = 0;
	r->ctl.committed = 0;
	(void)!spool_ctl_write(r->ctl_fd, &r->ctl);
	(void)pthread_mutex_unlock(&r->lock);
	(void)close(s->fd);
	s->fd = -1;
	return 0;
}
