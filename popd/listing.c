/*
 * The copy of a listing in cache/pop/DOMAIN/LOCAL: a header, the names in the
 * order of the listing, each with its NUL, and the sizes if names do not tell
 * them.  In the machine's byte order, for a cache does not travel.
 *
 * Offsets are found again by walking over the names.  The checksum covers all
 * behind it; that a name is one is checked beside it.  Not flushed: after a
 * power cut the checksum tells.
 */
#include "popd/listing.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"

#define MAGIC "MSLIST1\n"

enum {
	COUNT_MIN = 1000, /* below, reading the directories is as fast */
	QUIET_NS = 2000000000,
	WRITE_CHUNK = 65536,
};

#define NAMES_MAX ((uint64_t)1 << 31)

struct header {
	char magic[8];
	uint32_t checksum; /* of what follows, to the end of the file */
	uint32_t has_sizes;
	uint64_t count, names_len, total;
	struct listing_key key;
};

void
listing_release(struct listing *l)
{
	free(l->names);
	free(l->offsets);
	free(l->sizes);
	memset(l, 0, sizeof(*l));
}

void
listing_pack(struct listing *l, struct maildir_snapshot *s)
{
	bool all_tell = true;

	memset(l, 0, sizeof(*l));
	l->count = s->count;
	l->offsets = mem_alloc((s->count + 1) * sizeof(l->offsets[0]));
	for (size_t i = 0; i < s->count; i++) {
		l->offsets[i] = s->items[i].name;
		l->total += s->items[i].wire_size;
		all_tell = all_tell && s->items[i].told != MAILDIR_UNTOLD;
	}
	if (!all_tell) {
		l->sizes = mem_alloc(s->count * sizeof(l->sizes[0]));
		for (size_t i = 0; i < s->count; i++)
			l->sizes[i] = s->items[i].wire_size;
	}
	l->names = s->names;
	s->names = NULL;
	maildir_snapshot_release(s);
}

/* --- the key -------------------------------------------------------------------- */

static int64_t
to_ns(const struct timespec *t)
{
	return t->tv_sec * 1000000000 + t->tv_nsec;
}

bool
listing_key_take(const struct maildir *m, struct listing_key *out)
{
	const int fds[] = { m->new_fd, m->cur_fd };
	int64_t quiet_since = clock_wall_ms() * 1000000 - QUIET_NS;
	struct stat st;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct listing_dir *d = &out->dirs[i];

		if (fstat(fds[i], &st) != 0)
			return false;
		d->device = st.st_dev;
		d->inode = st.st_ino;
		d->modified_ns = to_ns(&st.st_mtim);
		d->changed_ns = to_ns(&st.st_ctim);
		if (d->modified_ns > quiet_since || d->changed_ns > quiet_since)
			return false;
	}
	return true;
}

bool
listing_key_is_same(const struct listing_key *a, const struct listing_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* --- reading ---------------------------------------------------------------------- */

static bool
read_all(int fd, void *out, size_t len)
{
	char *at = out;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static uint32_t
header_checksum(const struct header *h)
{
	const size_t skip = offsetof(struct header, has_sizes);

	return crc32c(0, (const char *)h + skip, sizeof(*h) - skip);
}

/* Is the header's file one that can hold what it speaks of? */
static bool
is_plausible(int fd, const struct header *h)
{
	struct stat st;
	uint64_t body;

	if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 ||
	    h->names_len >= NAMES_MAX || h->count > h->names_len / 2)
		return false;
	body = h->names_len + (h->has_sizes ? h->count * sizeof(uint64_t) : 0);
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && (uint64_t)st.st_size == sizeof(*h) + body;
}

/* Where each name begins; false if that is not what the block holds. */
static bool
find_names(struct listing *l, size_t names_len)
{
	const char *at = l->names;
	const char *end = at + names_len;

	if (memchr(at, '/', names_len) != NULL)
		return false;
	for (size_t i = 0; i < l->count; i++) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (nul == NULL || nul == at || *at == '.' ||
		    nul - at >= MAILDIR_NAME_SIZE)
			return false;
		l->offsets[i] = (uint32_t)(at - l->names);
		at = nul + 1;
	}
	return at == end;
}

static bool
read_body(int fd, const struct header *h, struct listing *l)
{
	uint32_t sum = header_checksum(h);

	l->count = h->count;
	l->total = h->total;
	l->names = mem_alloc(h->names_len + 1);
	l->offsets = mem_alloc((h->count + 1) * sizeof(l->offsets[0]));
	if (!read_all(fd, l->names, h->names_len))
		return false;
	sum = crc32c(sum, l->names, h->names_len);
	if (h->has_sizes) {
		size_t len = h->count * sizeof(l->sizes[0]);

		l->sizes = mem_alloc(len + 1);
		if (!read_all(fd, l->sizes, len))
			return false;
		sum = crc32c(sum, l->sizes, len);
	}
	return sum == h->checksum && find_names(l, h->names_len);
}

bool
listing_load(int cache_fd, const char *path, const struct listing_key *key,
    struct listing *out)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	struct listing l = { 0 };
	struct header h;
	int fd = openat(cache_fd, path, flags);
	bool good;

	if (fd < 0)
		return false;
	good = read_all(fd, &h, sizeof(h)) && is_plausible(fd, &h) &&
	    listing_key_is_same(&h.key, key) && read_body(fd, &h, &l);
	(void)close(fd);
	if (good)
		*out = l;
	else
		listing_release(&l);
	return good;
}

/* --- writing ---------------------------------------------------------------------- */

/* A file written in big pieces, with the checksum of all that went into it. */
struct writer {
	int fd;
	char *chunk;
	size_t used;
	uint32_t sum;
	bool failed;
};

static void
flush_chunk(struct writer *w)
{
	w->sum = crc32c(w->sum, w->chunk, w->used);
	if (file_write_all(w->fd, w->chunk, w->used) != 0)
		w->failed = true;
	w->used = 0;
}

static void
put(struct writer *w, const void *data, size_t len)
{
	if (w->used + len > WRITE_CHUNK)
		flush_chunk(w);
	memcpy(w->chunk + w->used, data, len);
	w->used += len;
}

static const char *
name_at(const struct listing *l, size_t i)
{
	return l->names + (l->offsets[i] & ~LISTING_MARK);
}

/* The header, whose checksum is known last, is written behind the rest. */
static bool
write_listing(int fd, const struct listing_key *key, const struct listing *l)
{
	struct header h = {
		.magic = MAGIC,
		.has_sizes = l->sizes != NULL,
		.count = l->count,
		.total = l->total,
		.key = *key,
	};
	struct writer w = { .fd = fd };

	for (size_t i = 0; i < l->count; i++)
		h.names_len += strlen(name_at(l, i)) + 1;
	w.sum = header_checksum(&h);
	w.chunk = mem_alloc(WRITE_CHUNK);
	if (lseek(fd, sizeof(h), SEEK_SET) < 0)
		w.failed = true;
	for (size_t i = 0; i < l->count; i++)
		put(&w, name_at(l, i), strlen(name_at(l, i)) + 1);
	for (size_t i = 0; l->sizes != NULL && i < l->count; i++)
		put(&w, &l->sizes[i], sizeof(l->sizes[i]));
	flush_chunk(&w);
	free(w.chunk);
	h.checksum = w.sum;
	return !w.failed && pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h);
}

void
listing_store(int cache_fd, const char *path, const struct listing_key *key,
    const struct listing *l)
{
	const int flags =
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	/* no mailbox is called so: '~' is escaped in paths */
	char tmp[PATH_MAX], domain[NAME_MAX + 1];
	struct slice before;
	struct err e;
	int fd, n;

	(void)slice_cut(slice_str(path), '/', &before);
	n = snprintf(tmp, sizeof(tmp), "%s~", path);
	if (l->count < COUNT_MIN || n >= (int)sizeof(tmp) ||
	    !slice_copy(before, domain, sizeof(domain)) ||
	    file_mkdir(cache_fd, domain, 0770, &e) != 0)
		return;
	fd = openat(cache_fd, tmp, flags, 0660);
	if (fd < 0)
		return;
	if (!write_listing(fd, key, l) ||
	    renameat(cache_fd, tmp, cache_fd, path) != 0)
		(void)unlinkat(cache_fd, tmp, 0);
	(void)close(fd);
}
