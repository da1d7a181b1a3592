/*
 * Reading a log backwards, a block at a time; see logtail.h.
 */
#include "base/logtail.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	BLOCK = 256 * 1024
};

bool
logtail_is_day(const char *day)
{
	char text[CLOCK_RFC3339_SIZE];
	int64_t ms;

	if (strlen(day) != 10 || strspn(day, "0123456789-") != 10)
		return false;
	(void)snprintf(text, sizeof(text), "%sT00:00:00Z", day);
	return clock_parse_rfc3339(slice_str(text), &ms);
}

int
logtail_open(const char *log_dir, const char *program, const char *day,
    int64_t *size_out)
{
	char path[4096];
	struct stat st;
	int fd;

	(void)snprintf(
	    path, sizeof(path), "%s/%s/%s.log", log_dir, program, day);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*size_out = st.st_size;
		return fd;
	}
	(void)close(fd);
	return -1;
}

/*
 * The lines of a block, the last first; what is left of the block: the piece
 * of a line that begins before it, or lines that are too many.
 */
static size_t
take_lines(
    struct slice rest, bool is_first, const struct logtail *t, size_t *count)
{
	while (rest.len > 0 && *count < t->max) {
		struct slice body = slice_of(rest.data, rest.len - 1);
		ptrdiff_t nl = slice_rchr(body, '\n');
		struct slice line =
		    nl >= 0 ? slice_skip(rest, (size_t)nl + 1) : rest;

		if (nl < 0 && !is_first && rest.len < BLOCK)
			break;
		rest.len -= line.len;
		if (slice_ends(line, "\n"))
			line.len--;
		if (line.len == 0 ||
		    (t->needle != NULL &&
			memmem(line.data, line.len, t->needle,
			    strlen(t->needle)) == NULL))
			continue;
		t->line(t->arg, line);
		++*count;
	}
	return rest.len;
}

int64_t
logtail_read(int fd, int64_t end, const struct logtail *t)
{
	char *block = mem_alloc(BLOCK);
	int64_t scanned = 0;
	size_t count = 0;

	while (end > 0 && count < t->max && scanned < LOGTAIL_SCAN_MAX) {
		int64_t start = end > BLOCK ? end - BLOCK : 0;
		ssize_t n = pread(fd, block, (size_t)(end - start), start);

		if (n <= 0)
			break;
		scanned += n;
		end = start +
		    (int64_t)take_lines(
			slice_of(block, (size_t)n), start == 0, t, &count);
	}
	free(block);
	return end;
}
