/*
 * The arena of live marks.
 *
 * Pieces of powers of two stand one after the other; a piece's size is
 * written before its first use and never changes, so a walk from the start
 * meets every piece whenever the process was killed.  `used` is the one word
 * that makes a piece count.  Storage is reserved with fallocate before it is
 * touched: a full /dev/shm is an error here and not a SIGBUS later.
 *
 * The lock guards the allocator; a piece belongs to whoever holds the message.
 */
#include "queue/spool_marks.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"

enum {
	ARENA_MAX = 128 * 1024 * 1024,
	ARENA_STEP = 1024 * 1024,
	ARENA_HEADER = 64,
	PIECE_MIN_CLASS = 6, /* 64 bytes: up to four recipients */
};

static const char arena_magic[16] = "mailstead-mark1";

static int
grow(struct marks_arena *a, size_t need, struct err *e)
{
	size_t size = (need + ARENA_STEP - 1) / ARENA_STEP * ARENA_STEP;

	if (size > ARENA_MAX)
		return err_set(e, ERR_TEMP, "too many messages with marks");
	errno = posix_fallocate(a->fd, 0, (off_t)size);
	if (errno != 0)
		return err_errno(e, "shared memory for marks");
	a->size = size;
	return 0;
}

/* Find the end of the pieces and the free ones among them. */
static void
rebuild(struct marks_arena *a)
{
	struct spool_marks *m;
	size_t at = 0;

	while (marks_walk(a, &at) != NULL)
		;
	a->end = at;
	for (size_t i = 0; i < MARKS_CLASSES; i++)
		a->free_count[i] = 0;
	for (at = ARENA_HEADER; at < a->end;) {
		m = (struct spool_marks *)(void *)(a->memory + at);
		if (!atomic_load(&m->used)) {
			size_t c = (size_t)__builtin_ctz(m->size);

			a->free[c] = mem_grow(a->free[c], &a->free_alloc[c],
			    a->free_count[c] + 1, sizeof(uint32_t));
			a->free[c][a->free_count[c]++] = (uint32_t)at;
		}
		at += m->size;
	}
}

static int
arena_check(struct marks_arena *a, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(a->fd, &st) < 0)
		return err_errno(e, "stat %s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 0077) != 0)
		return err_set(e, ERR_PERM,
		    "%s belongs to somebody else; remove it", path);
	return grow(a,
	    st.st_size > 0 && st.st_size <= ARENA_MAX ? (size_t)st.st_size
						      : ARENA_STEP,
	    e);
}

int
marks_open(struct marks_arena *a, const char *uuid_text, struct err *e)
{
	char path[64];

	memset(a, 0, sizeof(*a));
	(void)snprintf(path, sizeof(path), "/dev/shm/mailstead-%s", uuid_text);
	a->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (a->fd < 0)
		return err_errno(e, "open %s", path);
	if (arena_check(a, path, e) < 0) {
		(void)close(a->fd);
		a->fd = -1;
		return -1;
	}
	a->memory =
	    mmap(NULL, ARENA_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (a->memory == MAP_FAILED) {
		err_errno(e, "map %s", path);
		(void)close(a->fd);
		a->fd = -1;
		return -1;
	}
	if (memcmp(a->memory, arena_magic, sizeof(arena_magic)) != 0) {
		memset(a->memory, 0, a->size);
		memcpy(a->memory, arena_magic, sizeof(arena_magic));
	}
	a->header = (struct marks_header *)(void *)a->memory;
	(void)pthread_mutex_init(&a->lock, NULL);
	rebuild(a);
	return 0;
}

void
marks_close(struct marks_arena *a)
{
	(void)munmap(a->memory, ARENA_MAX);
	(void)close(a->fd);
	(void)pthread_mutex_destroy(&a->lock);
	for (size_t i = 0; i < MARKS_CLASSES; i++)
		free(a->free[i]);
}

/* Under the lock: a piece of class `c`, not in use yet. */
static struct spool_marks *
take_piece(struct marks_arena *a, size_t c, struct err *e)
{
	struct spool_marks *m;
	size_t size = (size_t)1 << c;

	if (a->free_count[c] > 0)
		return (struct spool_marks *)(void *)(a->memory +
		    a->free[c][--a->free_count[c]]);
	if (a->end + size > a->size && grow(a, a->end + size, e) < 0)
		return NULL;
	m = (struct spool_marks *)(void *)(a->memory + a->end);
	atomic_store(&m->used, 0);
	m->size = (uint32_t)size;
	a->end += size;
	return m;
}

int
marks_new(struct marks_arena *a, const char *id, uint32_t serial, size_t count,
    struct spool_marks **out, struct err *e)
{
	size_t need = sizeof(struct spool_marks) + count * sizeof(uint32_t);
	size_t c = PIECE_MIN_CLASS;
	struct spool_marks *m;

	while (((size_t)1 << c) < need)
		c++;
	(void)pthread_mutex_lock(&a->lock);
	m = take_piece(a, c, e);
	(void)pthread_mutex_unlock(&a->lock);
	if (m == NULL)
		return -1;
	m->serial = serial;
	m->count = (uint32_t)count;
	memcpy(m->id, id, ID_SIZE);
	atomic_store(&m->danger, 0);
	atomic_store(&m->crashes, 0);
	atomic_store(&m->end, MARKS_END_NONE);
	for (size_t i = 0; i < count; i++)
		atomic_store_explicit(&m->marks[i], 0, memory_order_relaxed);
	atomic_store(&m->used, 1);
	*out = m;
	return 0;
}

void
marks_free(struct marks_arena *a, struct spool_marks *m)
{
	size_t c;

	if (m == NULL)
		return;
	c = (size_t)__builtin_ctz(m->size);
	atomic_store(&m->used, 0);
	(void)pthread_mutex_lock(&a->lock);
	a->free[c] = mem_grow(a->free[c], &a->free_alloc[c],
	    a->free_count[c] + 1, sizeof(uint32_t));
	a->free[c][a->free_count[c]++] = (uint32_t)((char *)m - a->memory);
	(void)pthread_mutex_unlock(&a->lock);
}

/* Could this be a piece?  What is not ends the arena. */
static bool
is_piece(const struct marks_arena *a, size_t at)
{
	const struct spool_marks *m;
	size_t size;

	if (at + sizeof(*m) > a->size)
		return false;
	m = (const struct spool_marks *)(const void *)(a->memory + at);
	size = m->size;
	if (size < (size_t)1 << PIECE_MIN_CLASS || (size & (size - 1)) != 0 ||
	    size > a->size - at)
		return false;
	return !atomic_load(&m->used) ||
	    (m->count <= (size - sizeof(*m)) / sizeof(uint32_t) &&
		id_is_valid(slice_of(m->id, ID_LEN)) && m->id[ID_LEN] == '\0');
}

struct spool_marks *
marks_walk(struct marks_arena *a, size_t *at)
{
	if (*at == 0)
		*at = ARENA_HEADER;
	while (is_piece(a, *at)) {
		struct spool_marks *m =
		    (struct spool_marks *)(void *)(a->memory + *at);

		*at += m->size;
		if (atomic_load(&m->used))
			return m;
	}
	return NULL;
}
