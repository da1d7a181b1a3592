/*
 * The spool, writer's side: messages and the group commit.
 *
 * A message grows in one buffer that is its record already: room for the
 * header, the body, and at commit the envelope.  Whoever commits puts it into
 * the queue; the committing thread takes what fits into the segment, writes all
 * of it with one pwritev, flushes once, tells the runner once and those it
 * wrote for.  So the flush of one group collects the next.
 *
 * Keeps G1 (nobody is told 0 before the flush returned 0) and I5 (a failed
 * write or flush answers everybody of the group with -1, and only after the
 * void mark is durable, so that what was refused stays refused).
 *
 * Threads: any number commit; one writes and flushes for all of them, one
 * prepares the next segment.  Waiting
 * for the flush has no deadline of its own: giving up on a record that may
 * become durable a moment later would be a lie either way.
 */
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/wait.h"

#include "queue/spool.h"
#include "queue/spool_format.h"
#include "queue/spool_ring.h"

enum {
	GROUP_MAX = 256,               /* messages of one flush */
	MEMORY_MAX = 64 * 1024 * 1024, /* of all messages of a process */
	LARGE_CHUNK = 64 * 1024,       /* written to a file at a time */
	SEGMENT_WAIT_MS = 10000,       /* for a segment to be made */
	DISK_CHECK_MS = 250,
	RECORD_BUFFER_MAX = RECORD_HEADER + SPOOL_INLINE_MAX + LARGE_CHUNK +
	    ENVELOPE_MAX + SEGMENT_ALIGN,
};

struct spool_writer {
	struct spool_dirs dirs;
	struct spool_ring ring;

	int notify_fd;
	int notify_dir_fd;
	struct sockaddr_un notify_address;

	_Atomic uint64_t minimum_free;
	_Atomic uint64_t memory; /* bytes of bodies in buffers */

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed, queued;
	struct spool_message *first, **last; /* waiting to be committed */
	int64_t disk_checked_ms;
	bool disk_full;

	/* The committer's, under the lock where the helper is concerned. */
	struct spool_segment current;
	bool must_void; /* current failed, its void mark is not durable yet */
	struct spool_segment spare;
	struct err spare_error; /* why there is none */
	bool spare_wanted;
	bool stopping;
	pthread_t helper, committer;
};

struct spool_message {
	struct spool_writer *writer;
	struct spool_record record;
	struct buf buf; /* header, body or the unwritten rest of it, envelope */
	uint64_t memory; /* what it counts in the writer's */
	int large_fd;    /* -1: the body is in buf */
	bool failed;     /* a write failed; it can only be aborted */
	bool has_large_envelope;

	/* While it waits for its group. */
	struct spool_message *next;
	void (*done)(void *arg);
	void *done_arg;
	int result;
	struct err error;
};

/* --- the writer --------------------------------------------------------------- */

/* Prepare segments when asked, outside the lock. */
static void *
helper_main(void *arg)
{
	struct spool_writer *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->stopping) {
		struct spool_segment s = { .fd = -1 };
		struct err e = { 0 };
		int rc;

		if (!w->spare_wanted || w->spare.fd >= 0) {
			(void)pthread_cond_wait(&w->changed, &w->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&w->lock);
		rc = ring_prepare(&w->ring, &s, &e);
		(void)pthread_mutex_lock(&w->lock);
		if (rc == 0) {
			w->spare = s;
			w->spare_error.kind = ERR_NONE;
		} else {
			w->spare_error = e;
		}
		/* Asked again by the next one who needs it. */
		w->spare_wanted = false;
		(void)pthread_cond_broadcast(&w->changed);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Under the lock. */
static void
stop(struct spool_writer *w)
{
	w->stopping = true;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_cond_broadcast(&w->queued);
}

static void *committer_main(void *arg);

static int
start_threads(struct spool_writer *w, struct err *e)
{
	errno = pthread_create(&w->helper, NULL, helper_main, w);
	if (errno != 0)
		return err_errno(e, "spool helper thread");
	errno = pthread_create(&w->committer, NULL, committer_main, w);
	if (errno == 0)
		return 0;
	(void)err_errno(e, "spool committing thread");
	(void)pthread_mutex_lock(&w->lock);
	stop(w);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->helper, NULL);
	return -1;
}

static int
open_notify(struct spool_writer *w, const char *path, struct err *e)
{
	w->notify_fd = -1;
	w->notify_dir_fd = -1;
	if (path == NULL)
		return 0;
	if (spool_notify_address(
		path, &w->notify_address, &w->notify_dir_fd, e) < 0)
		return -1;
	w->notify_fd =
	    socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->notify_fd < 0)
		return err_errno(e, "notice socket");
	return 0;
}

static void
writer_release(struct spool_writer *w)
{
	if (w->notify_fd >= 0)
		(void)close(w->notify_fd);
	if (w->notify_dir_fd >= 0)
		(void)close(w->notify_dir_fd);
	if (w->current.fd >= 0)
		(void)close(w->current.fd);
	if (w->spare.fd >= 0)
		(void)close(w->spare.fd);
	(void)pthread_cond_destroy(&w->changed);
	(void)pthread_cond_destroy(&w->queued);
	(void)pthread_mutex_destroy(&w->lock);
	spool_dirs_close(&w->dirs);
	free(w);
}

static void
writer_init(struct spool_writer *w, uint64_t minimum_free)
{
	pthread_condattr_t attr;

	w->notify_fd = -1;
	w->notify_dir_fd = -1;
	w->current.fd = -1;
	w->spare.fd = -1;
	w->spare_wanted = true;
	w->last = &w->first;
	atomic_init(&w->minimum_free, minimum_free);
	atomic_init(&w->memory, 0);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->changed, &attr);
	(void)pthread_cond_init(&w->queued, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int
spool_writer_open(const char *spool_dir, const char *name,
    const char *notify_path, uint64_t minimum_free, struct spool_writer **out,
    struct err *e)
{
	struct spool_writer *w = mem_zalloc(sizeof(*w));

	if (spool_dirs_open(spool_dir, &w->dirs, e) < 0) {
		free(w);
		return -1;
	}
	writer_init(w, minimum_free);
	if (open_notify(w, notify_path, e) < 0 ||
	    ring_open(&w->ring, &w->dirs, name, e) < 0) {
		writer_release(w);
		return -1;
	}
	if (start_threads(w, e) < 0) {
		ring_close(&w->ring);
		writer_release(w);
		return -1;
	}
	*out = w;
	return 0;
}

void
spool_writer_close(struct spool_writer *w)
{
	if (w == NULL)
		return;
	(void)pthread_mutex_lock(&w->lock);
	assert(w->first == NULL);
	stop(w);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->committer, NULL);
	(void)pthread_join(w->helper, NULL);
	ring_close(&w->ring);
	writer_release(w);
}

void
spool_writer_set_minimum_free(struct spool_writer *w, uint64_t bytes)
{
	atomic_store(&w->minimum_free, bytes);
}

/* --- one message ---------------------------------------------------------------- */

/* Is there room?  Asked from the kernel a few times a second. */
static bool
disk_is_full(struct spool_writer *w)
{
	int64_t now = clock_mono_ms();
	struct statvfs vfs;
	bool full;

	(void)pthread_mutex_lock(&w->lock);
	if (w->disk_checked_ms == 0 ||
	    now - w->disk_checked_ms >= DISK_CHECK_MS) {
		w->disk_checked_ms = now;
		/* A disk that cannot say is judged by its writes. */
		w->disk_full = fstatvfs(w->dirs.root, &vfs) == 0 &&
		    vfs.f_bavail * vfs.f_frsize < atomic_load(&w->minimum_free);
	}
	full = w->disk_full;
	(void)pthread_mutex_unlock(&w->lock);
	return full;
}

static int
begin(struct spool_writer *w, struct spool_message **out, struct err *e)
{
	const uint8_t room[RECORD_HEADER] = { 0 };
	struct spool_message *m;

	if (disk_is_full(w))
		return err_set(e, ERR_TEMP, "too little disk space");
	m = mem_zalloc(sizeof(*m));
	m->writer = w;
	m->large_fd = -1;
	buf_init(&m->buf, RECORD_BUFFER_MAX);
	buf_add(&m->buf, room, sizeof(room));
	*out = m;
	return 0;
}

int
spool_begin(struct spool_writer *w, struct spool_message **out, struct err *e)
{
	if (begin(w, out, e) < 0)
		return -1;
	id_new((*out)->record.id);
	return 0;
}

int
spool_begin_as(struct spool_writer *w, const char *id,
    struct spool_message **out, struct err *e)
{
	if (!id_is_valid(slice_str(id)))
		return err_set(e, ERR_PERM, "not a message id");
	if (begin(w, out, e) < 0)
		return -1;
	memcpy((*out)->record.id, id, ID_SIZE);
	return 0;
}

const char *
spool_id(const struct spool_message *m)
{
	return m->record.id;
}

uint64_t
spool_size(const struct spool_message *m)
{
	return m->record.body_size;
}

static void
message_free(struct spool_message *m)
{
	atomic_fetch_sub(&m->writer->memory, m->memory);
	if (m->large_fd >= 0)
		(void)close(m->large_fd);
	buf_release(&m->buf);
	free(m);
}

static void
envelope_file_name(const char *id, char out[ID_SIZE + 4])
{
	(void)snprintf(out, ID_SIZE + 4, "%s.env", id);
}

void
spool_abort(struct spool_message *m)
{
	char name[ID_SIZE + 4];

	if (m == NULL)
		return;
	if (m->record.flags & RECORD_LARGE_BODY)
		(void)unlinkat(m->writer->dirs.large, m->record.id, 0);
	if (m->has_large_envelope) {
		envelope_file_name(m->record.id, name);
		(void)unlinkat(m->writer->dirs.large, name, 0);
	}
	message_free(m);
}

/*
 * Write what is buffered of a large body.  A disk that is slower than who
 * sends makes the writer wait.
 */
static int
large_flush(struct spool_message *m)
{
	size_t len = m->buf.len - RECORD_HEADER;

	(void)wait_begins();
	if (spool_write_at(m->large_fd, m->buf.data + RECORD_HEADER, len,
		m->record.body_size - len) < 0)
		return -1;
	buf_truncate(&m->buf, RECORD_HEADER);
	return 0;
}

static int
large_start(struct spool_message *m)
{
	(void)wait_begins();
	m->large_fd = spool_file_new(m->writer->dirs.large, m->record.id);
	if (m->large_fd < 0)
		return -1;
	m->record.flags |= RECORD_LARGE_BODY;
	/* Tells the cleaner that somebody still writes it. */
	if (spool_file_lock(m->large_fd) < 0)
		return -1;
	atomic_fetch_sub(&m->writer->memory, m->memory);
	m->memory = 0;
	return 0;
}

static int
write_some(struct spool_message *m, const void *data, size_t len)
{
	struct spool_writer *w = m->writer;
	uint64_t memory;

	buf_add(&m->buf, data, len);
	m->record.body_size += len;
	if (m->large_fd >= 0)
		return m->buf.len - RECORD_HEADER >= LARGE_CHUNK
		    ? large_flush(m)
		    : 0;
	memory = atomic_fetch_add(&w->memory, len) + len;
	m->memory += len;
	if (m->record.body_size <= SPOOL_INLINE_MAX && memory <= MEMORY_MAX)
		return 0;
	return large_start(m) < 0 ? -1 : large_flush(m);
}

int
spool_write(
    struct spool_message *m, const void *data, size_t len, struct err *e)
{
	const char *p = data;

	while (len > 0 && !m->failed) {
		size_t n = len < LARGE_CHUNK ? len : LARGE_CHUNK;

		if (write_some(m, p, n) < 0) {
			m->failed = true;
			return err_errno(e, "write large/%s", m->record.id);
		}
		p += n;
		len -= n;
	}
	if (m->failed)
		return err_set(e, ERR_TEMP, "an earlier write failed");
	return 0;
}

/* --- the group commit ------------------------------------------------------------ */

static void
want_spare(struct spool_writer *w)
{
	if (w->spare.fd >= 0 || w->spare_wanted)
		return;
	w->spare_wanted = true;
	(void)pthread_cond_broadcast(&w->changed);
}

/* Under the lock: make current a segment with room for `need` bytes. */
static int
ensure_room(struct spool_writer *w, uint64_t need, struct err *e)
{
	int64_t deadline = clock_mono_ms() + SEGMENT_WAIT_MS;
	struct timespec ts = { deadline / 1000, deadline % 1000 * 1000000 };

	if (w->current.fd >= 0 && w->current.size - w->current.at >= need) {
		if (w->current.at > w->current.size / 4)
			want_spare(w);
		return 0;
	}
	if (w->spare.fd < 0)
		want_spare(w);
	while (w->spare.fd < 0 && w->spare_wanted) {
		if (pthread_cond_timedwait(&w->changed, &w->lock, &ts) ==
		    ETIMEDOUT)
			return err_set(
			    e, ERR_TEMP, "no journal segment in time");
	}
	if (w->spare.fd < 0) {
		*e = w->spare_error;
		return -1;
	}
	if (w->current.fd >= 0)
		(void)close(w->current.fd);
	w->current = w->spare;
	w->spare.fd = -1;
	ring_use(&w->ring, &w->current);
	return 0;
}

/* Give every record of a group its place; fills in headers and padding. */
static uint64_t
place_records(struct spool_writer *w, struct spool_message **group, int count,
    struct iovec *iov)
{
	struct spool_segment *s = &w->current;
	uint64_t at = s->at;

	for (int i = 0; i < count; i++) {
		struct spool_message *m = group[i];
		struct spool_record *r = &m->record;
		uint8_t header[RECORD_HEADER];

		r->generation = s->generation;
		r->offset = at;
		r->flushed = s->at;
		r->payload_crc = crc32c(s->seed, m->buf.data + RECORD_HEADER,
		    (size_t)record_inline_size(r));
		record_header_put(header, r, s->seed);
		memcpy(m->buf.data, header, sizeof(header));
		iov[i].iov_base = m->buf.data;
		iov[i].iov_len = m->buf.len;
		at += m->buf.len;
	}
	return at;
}

static int
write_iov(int fd, struct iovec *iov, int count, uint64_t offset)
{
	while (count > 0) {
		ssize_t n = pwritev(fd, iov, count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		offset += (uint64_t)n;
		while (count > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static void
notify_runner(struct spool_writer *w)
{
	if (w->notify_fd < 0)
		return;
	/* A hint: with no runner there, or one too busy, it finds us itself. */
	(void)!sendto(w->notify_fd, w->ring.name, strlen(w->ring.name),
	    MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&w->notify_address,
	    sizeof(w->notify_address));
}

/*
 * Write and flush a group; 0: all of it is durable.  Outside the lock, one
 * thread at a time.
 */
static int
write_group(struct spool_writer *w, struct spool_message **group, int count,
    struct err *e)
{
	struct iovec iov[GROUP_MAX];
	struct spool_segment *s = &w->current;
	uint64_t end = place_records(w, group, count, iov);
	struct err ignored;

	if (write_iov(s->fd, iov, count, s->at) < 0) {
		err_errno(e, "write the journal");
	} else if (fdatasync(s->fd) < 0) {
		err_errno(e, "flush the journal");
	} else {
		s->at = end;
		ring_committed(&w->ring, s);
		notify_runner(w);
		return 0;
	}
	w->must_void = ring_void(&w->ring, s, &ignored) < 0;
	e->kind = ERR_TEMP;
	return -1;
}

/* Under the lock: take the head of the queue, as much as fits. */
static int
take_group(struct spool_writer *w, uint64_t room, struct spool_message **group)
{
	int count = 0;

	while (w->first != NULL && count < GROUP_MAX &&
	    w->first->buf.len <= room) {
		struct spool_message *m = w->first;

		room -= m->buf.len;
		group[count++] = m;
		w->first = m->next;
	}
	if (w->first == NULL)
		w->last = &w->first;
	return count;
}

/* Under the lock, which it leaves meanwhile: commit the head of the queue. */
static void
commit_group(struct spool_writer *w)
{
	struct spool_message *group[GROUP_MAX];
	struct err e = { 0 };
	int count, rc = 0;

	if (w->must_void) {
		/* Only this thread touches current. */
		(void)pthread_mutex_unlock(&w->lock);
		rc = ring_void(&w->ring, &w->current, &e);
		(void)pthread_mutex_lock(&w->lock);
	}
	if (rc == 0) {
		w->must_void = false;
		rc = ensure_room(w, w->first->buf.len, &e);
	}
	/* without a segment all that wait fail, not one after the other */
	count = take_group(
	    w, rc == 0 ? w->current.size - w->current.at : UINT64_MAX, group);
	assert(count > 0);
	(void)pthread_mutex_unlock(&w->lock);

	if (rc == 0)
		rc = write_group(w, group, count, &e);
	for (int i = 0; i < count; i++) {
		group[i]->result = rc;
		group[i]->error = e;
		/* After this it may be gone. */
		group[i]->done(group[i]->done_arg);
	}
	(void)pthread_mutex_lock(&w->lock);
}

static void *
committer_main(void *arg)
{
	struct spool_writer *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->stopping) {
		if (w->first != NULL)
			commit_group(w);
		else
			(void)pthread_cond_wait(&w->queued, &w->lock);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Put it into the queue; from then on it may be done at any moment. */
static void
enqueue(struct spool_message *m)
{
	struct spool_writer *w = m->writer;

	(void)pthread_mutex_lock(&w->lock);
	*w->last = m;
	w->last = &m->next;
	if (w->first == m)
		(void)pthread_cond_signal(&w->queued);
	(void)pthread_mutex_unlock(&w->lock);
}

/* --- the end of a message ----------------------------------------------------------- */

/*
 * A big body is durable before the record that speaks of it is written.  Its
 * descriptor stays open for the lock; closing a copy asks what closing says.
 */
static int
large_finish(struct spool_message *m, struct err *e)
{
	int copy;

	if (large_flush(m) < 0 || fsync(m->large_fd) < 0)
		return err_errno(e, "write large/%s", m->record.id);
	copy = fcntl(m->large_fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0 || close(copy) < 0)
		return err_errno(e, "close large/%s", m->record.id);
	return 0;
}

static int
write_large_envelope(struct spool_message *m, struct slice data, struct err *e)
{
	struct spool_record *r = &m->record;
	char name[ID_SIZE + 4];
	int fd, rc;

	envelope_file_name(r->id, name);
	(void)wait_begins();
	fd = spool_file_new(m->writer->dirs.large, name);
	if (fd < 0)
		return err_errno(e, "create large/%s", name);
	m->has_large_envelope = true;
	rc = spool_write_at(fd, data.data, data.len, 0);
	if (rc == 0)
		rc = fsync(fd);
	if (rc < 0)
		err_errno(e, "write large/%s", name);
	if (close(fd) < 0 && rc == 0)
		rc = err_errno(e, "close large/%s", name);
	r->flags |= RECORD_LARGE_ENVELOPE;
	r->envelope_crc = crc32c(0, data.data, data.len);
	return rc;
}

/* Put the envelope where it belongs and round the record up. */
static int
add_envelope(struct spool_message *m, struct envelope *v, struct err *e)
{
	const char padding[SEGMENT_ALIGN] = { 0 };
	size_t start = m->buf.len;
	size_t len;

	if (v->sender[0] == '\0')
		m->record.flags |= RECORD_REPORT;

	v->body_size = m->record.body_size;
	if (v->local_prefix > v->body_size)
		return err_set(e, ERR_PERM, "body shorter than its prefix");
	if (envelope_encode(v, &m->buf, e) < 0)
		return -1;
	len = m->buf.len - start;
	m->record.envelope_size = (uint32_t)len;
	if (len > SPOOL_INLINE_ENVELOPE_MAX) {
		if (write_large_envelope(
			m, slice_of(m->buf.data + start, len), e) < 0)
			return -1;
		buf_truncate(&m->buf, start);
	}
	buf_add(
	    &m->buf, padding, (size_t)record_total(&m->record) - m->buf.len);
	return 0;
}

static int
make_ready(struct spool_message *m, struct envelope *v, struct err *e)
{
	if (m->failed)
		return err_set(e, ERR_TEMP, "an earlier write failed");
	if (m->large_fd >= 0 && large_finish(m, e) < 0)
		return -1;
	if (add_envelope(m, v, e) < 0)
		return -1;
	if ((m->large_fd >= 0 || m->has_large_envelope) &&
	    fsync(m->writer->dirs.large) < 0)
		return err_errno(e, "flush large/");
	return 0;
}

int
spool_commit_begin(struct spool_message *m, struct envelope *v,
    void (*done)(void *arg), void *arg, struct err *e)
{
	if (make_ready(m, v, e) < 0) {
		spool_abort(m);
		return -1;
	}
	m->done = done;
	m->done_arg = arg;
	enqueue(m);
	return 0;
}

int
spool_commit_end(struct spool_message *m, struct err *e)
{
	if (m->result < 0) {
		*e = m->error;
		spool_abort(m);
		return -1;
	}
	message_free(m);
	return 0;
}

static void
wake(void *arg)
{
	(void)sem_post(arg);
}

int
spool_commit(struct spool_message *m, struct envelope *v, struct err *e)
{
	sem_t done;
	int rc;

	(void)sem_init(&done, 0, 0);
	rc = spool_commit_begin(m, v, wake, &done, e);
	if (rc == 0) {
		(void)wait_begins();
		while (sem_wait(&done) < 0)
			assert(errno == EINTR);
		rc = spool_commit_end(m, e);
	}
	(void)sem_destroy(&done);
	return rc;
}
