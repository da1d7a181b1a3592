/*
 * Counting the log for the overview; see flow.h.
 *
 * Of each program's file of yesterday and today an offset is kept; a line
 * counts in the hour of its time.  A damaged line counts nowhere.  The file is
 * read in pieces outside the lock; only counting is inside.
 */
#include "admin-cgi/flow.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logread.h"
#include "base/mem.h"

enum {
	HOURS = 24,
	HOUR_MS = 3600000,
	PIECE = 256 * 1024,
	PIECES_AT_ONCE = 16,
	REASONS_MAX = 64,
	CHART_LEFT = 34,
	CHART_BOTTOM = 190,
	CHART_HEIGHT = 180,
	BAR_STEP = 30,
	BAR_WIDTH = 24,
	SPARK_WIDTH = 86,
	SPARK_BOTTOM = 26,
	SPARK_HEIGHT = 24,
};

enum kind {
	DELIVERED,
	SENT,
	WAITING,
	REFUSED,
	KINDS,
	NOTHING = KINDS
};

struct file {
	const char *program;
	char day[CLOCK_DAY_SIZE];
	off_t offset;
};

struct reason {
	char text[64];
	uint32_t hours[HOURS];
};

struct flow {
	char *log_dir;
	char *piece;
	struct file files[4];
	pthread_mutex_t lock;
	int64_t newest; /* the hour of the ring's last slot */
	uint32_t hours[HOURS][KINDS];
	struct reason reasons[REASONS_MAX];
	size_t reason_count;
};

struct flow *
flow_new(const char *state_dir)
{
	static const char *const programs[] = { "mtad", "queue-runner" };
	struct flow *f = mem_zalloc(sizeof(*f));

	f->log_dir = mem_printf("%s/log", state_dir);
	f->piece = mem_alloc(PIECE);
	(void)pthread_mutex_init(&f->lock, NULL);
	for (size_t i = 0; i < ARRAY_LEN(f->files); i++)
		f->files[i].program = programs[i / 2];
	return f;
}

/* --- Counting ------------------------------------------------------------------ */

/* The ring moves on: hours that are over a day old are emptied. */
static void
move_to(struct flow *f, int64_t hour)
{
	while (f->newest < hour) {
		size_t slot;

		f->newest =
		    f->newest + HOURS < hour ? hour - HOURS : f->newest + 1;
		slot = (size_t)(f->newest % HOURS);
		memset(f->hours[slot], 0, sizeof(f->hours[slot]));
		for (size_t i = 0; i < f->reason_count; i++)
			f->reasons[i].hours[slot] = 0;
	}
}

static void
count_reason(struct flow *f, const char *text, size_t slot)
{
	size_t i = 0;

	while (i < f->reason_count &&
	    strncmp(f->reasons[i].text, text, sizeof(f->reasons[i].text) - 1) !=
		0)
		i++;
	if (i == REASONS_MAX)
		return;
	if (i == f->reason_count) {
		memset(&f->reasons[i], 0, sizeof(f->reasons[i]));
		(void)snprintf(
		    f->reasons[i].text, sizeof(f->reasons[i].text), "%s", text);
		f->reason_count++;
	}
	f->reasons[i].hours[slot]++;
}

static enum kind
kind_of(const char *line)
{
	static const struct {
		const char *mark;
		enum kind kind;
	} events[] = {
		{ " event=deliver ", DELIVERED },
		{ " event=sent ", SENT },
		{ " event=defer ", WAITING },
		{ " event=reject ", REFUSED },
	};

	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (strstr(line, events[i].mark) != NULL)
			return events[i].kind;
	return NOTHING;
}

static void
count_line(struct flow *f, const char *line, int64_t now)
{
	enum kind kind = kind_of(line);
	char reason[64];
	int64_t wall;
	size_t slot;

	if (kind == NOTHING || strlen(line) < 24 ||
	    !clock_parse_rfc3339(slice_of(line, 24), &wall) ||
	    wall / HOUR_MS <= now / HOUR_MS - HOURS ||
	    wall / HOUR_MS > now / HOUR_MS)
		return;
	slot = (size_t)(wall / HOUR_MS % HOURS);
	f->hours[slot][kind]++;
	if (kind == REFUSED &&
	    (log_field(line, "reason", reason, sizeof(reason)) ||
		log_field(line, "rule", reason, sizeof(reason))))
		count_reason(f, reason, slot);
}

/* Whole lines of a piece; how much of it they were. */
static size_t
count_piece(struct flow *f, char *data, size_t len)
{
	int64_t now = clock_wall_ms();
	char *line = data, *end;

	pthread_mutex_lock(&f->lock);
	move_to(f, now / HOUR_MS);
	while (
	    (end = memchr(line, '\n', len - (size_t)(line - data))) != NULL) {
		*end = '\0';
		count_line(f, line, now);
		line = end + 1;
	}
	pthread_mutex_unlock(&f->lock);
	return (size_t)(line - data);
}

/* --- Reading ------------------------------------------------------------------ */

static bool
read_file(struct flow *f, struct file *file, unsigned *pieces)
{
	char path[512];
	ssize_t n = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/%s.log", f->log_dir,
	    file->program, file->day);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	while (*pieces < PIECES_AT_ONCE) {
		size_t used;

		n = pread(fd, f->piece, PIECE, file->offset);
		if (n <= 0)
			break;
		used = count_piece(f, f->piece, (size_t)n);
		/* a line longer than a piece is none of ours */
		file->offset +=
		    (off_t)(used > 0 || n < PIECE ? used : (size_t)n);
		(*pieces)++;
		if (used == 0 || n < PIECE)
			break;
	}
	(void)close(fd);
	return n == PIECE;
}

bool
flow_read(struct flow *f)
{
	int64_t now = clock_wall_ms();
	unsigned pieces = 0;
	bool more = false;

	for (size_t i = 0; i < ARRAY_LEN(f->files); i++) {
		struct file *file = &f->files[i];
		char day[CLOCK_DAY_SIZE];

		clock_day(now - (i % 2 == 0 ? 24 * (int64_t)HOUR_MS : 0), day);
		if (strcmp(file->day, day) != 0) {
			/* today's becomes yesterday's, read so far */
			file->offset =
			    i % 2 == 0 && strcmp(file[1].day, day) == 0
			    ? file[1].offset
			    : 0;
			memcpy(file->day, day, sizeof(file->day));
		}
		if (read_file(f, file, &pieces))
			more = true;
	}
	return more;
}

/* --- Showing ------------------------------------------------------------------ */

static void
totals(const struct flow *f, uint32_t out[KINDS], uint32_t *top_out)
{
	memset(out, 0, KINDS * sizeof(*out));
	*top_out = 1;
	for (size_t h = 0; h < HOURS; h++) {
		uint32_t sum = 0;

		for (size_t k = 0; k < KINDS; k++) {
			out[k] += f->hours[h][k];
			sum += f->hours[h][k];
		}
		if (sum > *top_out)
			*top_out = sum;
	}
}

static json_t *
number(double value)
{
	return json_sprintf("%.1f", value);
}

/* One hour's bars from below: here and sent, waiting, refused. */
static json_t *
hour_json(const struct flow *f, size_t i, uint32_t top)
{
	static const char *const classes[] = { "c-ok", "c-mid", "c-bad" };
	int64_t hour = f->newest - (HOURS - 1) + (int64_t)i;
	const uint32_t *n = f->hours[hour % HOURS];
	uint32_t parts[] = { n[DELIVERED] + n[SENT], n[WAITING], n[REFUSED] };
	json_t *bars = json_array();
	double y = CHART_BOTTOM;

	for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
		double height = (double)parts[k] * CHART_HEIGHT / (double)top;

		if (parts[k] == 0)
			continue;
		y -= height;
		json_array_append_new(bars,
		    json_pack("{ss,so,so}", "class", classes[k], "y", number(y),
			"height", number(height)));
	}
	return json_pack("{so,so,si,si,si,si,sb,so,si}", "name",
	    json_sprintf("%02d:00", (int)(hour % 24)), "bars", bars,
	    "delivered", (int)n[DELIVERED], "sent", (int)n[SENT], "waiting",
	    (int)n[WAITING], "refused", (int)n[REFUSED], "labelled", i % 6 == 0,
	    "x", number((double)CHART_LEFT + (double)(i * BAR_STEP)), "width",
	    BAR_WIDTH);
}

/* A kind's hours as the points of a polyline; a flat one when there are none. */
static json_t *
spark_json(const struct flow *f, enum kind kind)
{
	char points[HOURS * 16] = "";
	uint32_t top = 1;
	size_t len = 0;

	for (size_t h = 0; h < HOURS; h++)
		if (f->hours[h][kind] > top)
			top = f->hours[h][kind];
	for (int i = 0; i < HOURS; i++) {
		int64_t hour = f->newest - (HOURS - 1) + i;
		uint32_t n = f->hours[hour % HOURS][kind];

		len += (size_t)snprintf(points + len, sizeof(points) - len,
		    "%s%.1f,%.1f", i > 0 ? " " : "",
		    1 + (double)i * SPARK_WIDTH / (HOURS - 1),
		    SPARK_BOTTOM - (double)n * SPARK_HEIGHT / (double)top);
	}
	return json_string(points);
}

struct counted {
	const char *text;
	uint32_t count;
};

static int
by_count(const void *a, const void *b)
{
	const struct counted *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static json_t *
reasons_json(const struct flow *f)
{
	struct counted list[REASONS_MAX] = { { 0 } };
	json_t *out = json_array();

	for (size_t i = 0; i < f->reason_count; i++) {
		list[i].text = f->reasons[i].text;
		for (size_t h = 0; h < HOURS; h++)
			list[i].count += f->reasons[i].hours[h];
	}
	qsort(list, f->reason_count, sizeof(list[0]), by_count);
	for (size_t i = 0; i < f->reason_count && i < 8; i++) {
		if (list[i].count > 0)
			json_array_append_new(out,
			    json_pack("{ss,si}", "text", list[i].text, "count",
				(int)list[i].count));
	}
	return out;
}

json_t *
flow_json(struct flow *f)
{
	json_t *hours = json_array(), *out;
	uint32_t sums[KINDS], top;

	pthread_mutex_lock(&f->lock);
	move_to(f, clock_wall_ms() / HOUR_MS);
	totals(f, sums, &top);
	for (size_t i = 0; i < HOURS; i++)
		json_array_append_new(hours, hour_json(f, i, top));
	out = json_pack("{so,so,s{so,so,so},si,si,si,si,si}", "hours", hours,
	    "reasons", reasons_json(f), "spark", "delivered",
	    spark_json(f, DELIVERED), "sent", spark_json(f, SENT), "refused",
	    spark_json(f, REFUSED), "top", (int)top, "delivered",
	    (int)sums[DELIVERED], "sent", (int)sums[SENT], "waiting",
	    (int)sums[WAITING], "refused", (int)sums[REFUSED]);
	pthread_mutex_unlock(&f->lock);
	return out;
}
