/*
 * Sizes of messages with foreign names: measuring, and remembering it.
 *
 * The file of sizes is in the order of listings, so that reading a mailbox
 * passes through both side by side: no table, no search.  It is a cache: what
 * is not understood in it is ignored, and lines of messages that are gone
 * fall out when it is written next.
 *
 * Any thread; two processes may write it at once, the last one wins.
 */
#include "maildir/sizes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/num.h"

#include "maildir/internal.h"
#include "maildir/name.h"

#define CACHE_NAME   "mailstead-sizes"
#define CACHE_HEADER "mailstead-sizes 1\n"

enum {
	CACHE_MAX = 512 * 1024 * 1024,
	CHUNK = 32768
};

/* Line feeds that have no CR before them; `last` is the byte before. */
static uint64_t
count_bare_lf(const char *p, size_t len, char last)
{
	const char *end = p + len;
	const char *lf;
	uint64_t count = 0;

	while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		char before = lf > p ? lf[-1] : last;

		count += before != '\r';
		last = '\n';
		p = lf + 1;
	}
	return count;
}

int
sizes_measure(int fd, uint64_t *size_out, uint64_t *wire_out, struct err *e)
{
	uint64_t size = 0, wire = 0;
	char *buf = mem_alloc(CHUNK);
	char last = '\n';
	ssize_t n;

	while ((n = read(fd, buf, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		wire += count_bare_lf(buf, (size_t)n, last);
		last = buf[n - 1];
		size += (uint64_t)n;
	}
	free(buf);
	if (n < 0)
		return err_errno(e, "measure");
	*size_out = size;
	*wire_out = wire + size + (last != '\n' ? 2 : 0);
	return 0;
}

static void
cache_load(struct sizes_cache *c, const struct maildir *m)
{
	struct err e;

	c->loaded = true;
	buf_init(&c->old, CACHE_MAX);
	buf_init(&c->fresh, CACHE_MAX);
	buf_addstr(&c->fresh, CACHE_HEADER);
	if (file_read(m->root_fd, CACHE_NAME, &c->old, &e) == 0 &&
	    slice_starts(buf_slice(&c->old), CACHE_HEADER))
		c->rest = slice_skip(buf_slice(&c->old), strlen(CACHE_HEADER));
}

/* One line; false if it is not one. */
static bool
parse_line(struct slice line, uint64_t *size, uint64_t *wire, char *name,
    size_t name_size)
{
	struct slice field;

	line = slice_cut(line, ' ', &field);
	if (!num_parse(field, INT64_MAX, size))
		return false;
	line = slice_cut(line, ' ', &field);
	return num_parse(field, INT64_MAX, wire) && line.len > 0 &&
	    slice_copy(line, name, name_size);
}

static bool
cache_find(
    struct sizes_cache *c, const char *name, uint64_t *size, uint64_t *wire)
{
	char known[MAILDIR_NAME_SIZE];

	while (c->rest.len > 0) {
		struct slice line;
		struct slice after = slice_cut(c->rest, '\n', &line);
		int order;

		if (!parse_line(line, size, wire, known, sizeof(known))) {
			c->rest = after;
			continue;
		}
		order = maildir_order(known, name);
		if (order > 0)
			return false;
		c->rest = after;
		if (order == 0)
			return true;
	}
	return false;
}

static bool
measure(const struct maildir *m, const char *name, uint64_t *size_out,
    uint64_t *wire_out)
{
	struct err e;
	int fd, result;

	if (maildir_open_message(m, name, &fd, &e) < 0)
		return false;
	result = sizes_measure(fd, size_out, wire_out, &e);
	(void)close(fd);
	return result == 0;
}

bool
sizes_get(struct sizes_cache *c, const struct maildir *m, const char *name,
    uint64_t *size_out, uint64_t *wire_out)
{
	struct maildir_entry known;

	if (maildir_parse_name(name, &known) == 0) {
		*size_out = known.size;
		*wire_out = known.wire_size;
		return true;
	}
	if (!c->loaded)
		cache_load(c, m);
	if (!cache_find(c, name, size_out, wire_out)) {
		if (!measure(m, name, size_out, wire_out))
			return false;
		c->changed = true;
	}
	buf_addf(&c->fresh, "%llu %llu %.*s\n", (unsigned long long)*size_out,
	    (unsigned long long)*wire_out, SLICE_ARGS(maildir_base_name(name)));
	return true;
}

static void
cache_write(const struct sizes_cache *c, const struct maildir *m)
{
	char tmp[ID_SIZE + 8];
	char id[ID_SIZE];
	int fd, result;

	id_new(id);
	(void)snprintf(tmp, sizeof(tmp), "%s.sizes", id);
	fd = openat(m->tmp_fd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    MAILDIR_FILE_MODE);
	if (fd < 0)
		return;
	result = file_write_all(fd, c->fresh.data, c->fresh.len);
	if (close(fd) < 0 || result < 0 ||
	    renameat(m->tmp_fd, tmp, m->root_fd, CACHE_NAME) < 0)
		(void)unlinkat(m->tmp_fd, tmp, 0);
}

void
sizes_release(struct sizes_cache *c, const struct maildir *m)
{
	if (!c->loaded)
		return;
	if (c->changed && !buf_overflowed(&c->fresh))
		cache_write(c, m);
	buf_release(&c->old);
	buf_release(&c->fresh);
}
