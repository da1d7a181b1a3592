/*
 * Searching the event log; see logread.h.
 *
 * A file is mapped and searched with memmem(), which reads a day of a million
 * messages in about a tenth of a second; bisection by the time at the start
 * of lines finds where to begin.  Lines of several processes may be out of
 * order by moments, so the search begins SKEW_MS early.
 */
#include "base/logread.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	SKEW_MS = 5000,
	BISECT_BYTES = 4096,
	DAY_MS = 86400000,
	DAYS_MAX = 400
};

struct search {
	struct log_query q;
	size_t alloc;
	struct log_events *out;
};

static const char *
line_start(const char *text, const char *at)
{
	const char *nl = memrchr(text, '\n', (size_t)(at - text));
	return nl ? nl + 1 : text;
}

static const char *
line_end(const char *at, const char *end)
{
	const char *nl = memchr(at, '\n', (size_t)(end - at));
	return nl ? nl : end;
}

/* The time of a line, or -1 when it has none. */
static int64_t
line_time(const char *start, const char *end)
{
	const char *space = memchr(start, ' ', (size_t)(end - start));
	int64_t ms;
	if (space == NULL ||
	    !clock_parse_rfc3339(slice_of(start, (size_t)(space - start)), &ms))
		return -1;
	return ms;
}

/* The first place from which all lines at or after `ms` are found. */
static const char *
bisect(const char *text, const char *end, int64_t ms)
{
	const char *low = text;
	const char *high = end;
	while (high - low > BISECT_BYTES) {
		const char *middle = line_start(text, low + (high - low) / 2);
		int64_t at = line_time(middle, line_end(middle, end));
		if (middle <= low)
			break;
		if (at >= 0 && at < ms)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void
keep(struct search *s, const char *program, const char *start, const char *end,
    int64_t ms)
{
	struct log_events *out = s->out;
	if (out->count >= s->q.max) {
		out->truncated = true;
		return;
	}
	out->items = mem_grow(
	    out->items, &s->alloc, out->count + 1, sizeof(out->items[0]));
	struct log_event *event = &out->items[out->count++];
	event->wall_ms = ms;
	event->program = pool_strdup(&out->pool, program);
	event->line = pool_strndup(&out->pool, start, (size_t)(end - start));
}

static bool
has_needle(const struct search *s, const char *start, const char *end)
{
	for (size_t i = 0; i < s->q.needle_count; i++) {
		if (memmem(start, (size_t)(end - start), s->q.needles[i],
			strlen(s->q.needles[i])) != NULL)
			return true;
	}
	return false;
}

/* With one needle memmem() jumps from hit to hit; else line by line. */
static void
search_text(
    struct search *s, const char *program, const char *text, const char *end)
{
	const char *at = bisect(text, end, s->q.from_ms - SKEW_MS);
	/* what is later begins within the last piece of the bisection */
	const char *last = bisect(text, end, s->q.to_ms + SKEW_MS);
	if (end - last > BISECT_BYTES)
		end = line_end(last + BISECT_BYTES, end);
	while (at < end && !s->out->truncated) {
		if (s->q.needle_count == 1)
			at = memmem(at, (size_t)(end - at), s->q.needles[0],
			    strlen(s->q.needles[0]));
		if (at == NULL)
			return;
		const char *start = line_start(text, at);
		const char *stop = line_end(at, end);
		int64_t ms = line_time(start, stop);
		if (ms > s->q.to_ms + SKEW_MS)
			return;
		if (ms >= s->q.from_ms && ms <= s->q.to_ms &&
		    has_needle(s, start, stop))
			keep(s, program, start, stop, ms);
		at = stop < end ? stop + 1 : end;
	}
}

static void
search_file(struct search *s, const char *program, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		size_t size = (size_t)st.st_size;
		char *text = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (text != MAP_FAILED) {
			search_text(s, program, text, text + size);
			munmap(text, size);
		}
	}
	close(fd);
}

static void
search_program(struct search *s, const char *log_dir, const char *program)
{
	char path[4096];
	char day[CLOCK_DAY_SIZE];
	int64_t at = s->q.from_ms - s->q.from_ms % DAY_MS;
	int64_t to_ms = s->q.to_ms;

	if (s->q.early != NULL && strcmp(program, s->q.early) == 0 &&
	    s->q.early_to_ms < to_ms)
		s->q.to_ms = s->q.early_to_ms;
	for (int i = 0; at <= s->q.to_ms && i < DAYS_MAX; i++, at += DAY_MS) {
		clock_day(at, day);
		int n = snprintf(
		    path, sizeof(path), "%s/%s/%s.log", log_dir, program, day);
		if (n > 0 && (size_t)n < sizeof(path))
			search_file(s, program, path);
	}
	s->q.to_ms = to_ms;
}

static int
by_time(const void *a, const void *b)
{
	const struct log_event *x = a;
	const struct log_event *y = b;
	if (x->wall_ms != y->wall_ms)
		return x->wall_ms < y->wall_ms ? -1 : 1;
	/* within a millisecond: accountd, mtad, popd, queue-runner */
	int order = strcmp(x->program, y->program);
	return order != 0 ? order : strcmp(x->line, y->line);
}

static void
begin(struct search *s, const struct log_query *query, struct log_events *out)
{
	*s = (struct search){ .q = *query, .out = out };
	memset(out, 0, sizeof(*out));
	if (s->q.from_ms < 0)
		s->q.from_ms = 0;
}

static void
sort(struct log_events *l)
{
	if (l->count > 0)
		qsort(l->items, l->count, sizeof(l->items[0]), by_time);
}

void
log_search_program(const char *log_dir, const char *program,
    const struct log_query *query, struct log_events *out)
{
	struct search s;

	begin(&s, query, out);
	search_program(&s, log_dir, program);
	sort(out);
}

int
log_search(const char *log_dir, const struct log_query *query,
    struct log_events *out, struct err *e)
{
	DIR *dir = opendir(log_dir);
	struct dirent *entry;
	struct search s;

	if (dir == NULL)
		return err_errno(e, "%s", log_dir);
	begin(&s, query, out);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' &&
		    strcmp(entry->d_name, "audit") != 0)
			search_program(&s, log_dir, entry->d_name);
	}
	closedir(dir);
	sort(out);
	return 0;
}

void
log_events_release(struct log_events *l)
{
	free(l->items);
	pool_release(&l->pool);
	memset(l, 0, sizeof(*l));
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10
	    : c >= 'A' && c <= 'F'  ? c - 'A' + 10
				    : 0;
}

/* Copy a value to `out`, undoing log.c's quotes; returns what is behind it. */
static const char *
read_value(const char *p, char *out, size_t size)
{
	size_t n = 0;
	bool quoted = *p == '"';
	if (quoted)
		p++;
	while (*p != '\0' && *p != (quoted ? '"' : ' ')) {
		char c = *p++;
		if (quoted && c == '\\' && *p == 'x' && p[1] && p[2]) {
			c = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
			p += 3;
		} else if (quoted && c == '\\' && *p != '\0') {
			c = *p++;
		}
		if (n + 1 < size)
			out[n++] = c;
	}
	if (size > 0)
		out[n] = '\0';
	return quoted && *p == '"' ? p + 1 : p;
}

bool
log_next_pair(const char *line, size_t *at, char *key, size_t key_size,
    char *value, size_t value_size)
{
	static const char *const columns[] = { "time", "session", "message" };
	const char *p = line + *at;
	size_t column = 0;

	while (*p == ' ')
		p++;
	if (*p == '\0')
		return false;
	for (const char *q = line; q < p; q++)
		column += *q == ' ' && column < ARRAY_LEN(columns);
	if (column < ARRAY_LEN(columns)) {
		snprintf(key, key_size, "%s", columns[column]);
	} else {
		size_t len = strcspn(p, "= ");
		snprintf(key, key_size, "%.*s", (int)len, p);
		p += len;
		if (*p == '=')
			p++;
	}
	p = read_value(p, value, value_size);
	*at = (size_t)(p - line);
	return true;
}

bool
log_field(const char *line, const char *key, char *out, size_t size)
{
	char name[64];
	size_t at = 0;
	while (log_next_pair(line, &at, name, sizeof(name), out, size)) {
		if (strcmp(name, key) == 0)
			return true;
	}
	return false;
}
