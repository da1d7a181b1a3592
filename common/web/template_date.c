/*
 * Dates in the reader's language and time zone.  Zones come from the system's
 * TZif files (RFC 8536): each is read once a process and kept; libc's TZ is
 * one for the whole process and so of no use to threads.
 *
 * Beyond a file's last transition its last offset holds: Debian's files reach
 * to 2037.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "web/template_internal.h"

enum {
	ZONES_MAX = 700, /* more than there are */
	ZONE_FILE_MAX = 64 * 1024,
	ZONE_NAME_SIZE = 64,
	TZIF_HEADER = 44,
	TZIF_TYPE = 6,
};

struct zone {
	char name[ZONE_NAME_SIZE];
	size_t count;
	int64_t *from;   /* seconds */
	int32_t *offset; /* from then on */
	int32_t first;   /* before */
};

static struct zone zones[ZONES_MAX];
static size_t zone_count;
static pthread_mutex_t zone_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t
get_big(const char *p, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n = n << 8 | (unsigned char)p[i];
	return n;
}

static int32_t
type_offset(const char *types, size_t index)
{
	return (int32_t)(uint32_t)get_big(types + index * TZIF_TYPE, 4);
}

/* The second, 64-bit part of the file (RFC 8536 3.2). */
static bool
zone_parse(struct zone *z, struct slice s)
{
	size_t counts[6];
	size_t first;
	const char *times, *indices, *types;

	for (int part = 0; part < 2; part++) {
		size_t width = part == 0 ? 4 : 8;

		if (s.len < TZIF_HEADER || !slice_starts(s, "TZif") ||
		    s.data[4] < '2')
			return false;
		for (size_t i = 0; i < 6; i++) {
			counts[i] = get_big(s.data + 20 + 4 * i, 4);
			if (counts[i] > ZONE_FILE_MAX)
				return false;
		}
		s = slice_skip(s, TZIF_HEADER);
		/* isutc, isstd, leap, time, type, char */
		first = counts[3] * width + counts[3] + counts[4] * TZIF_TYPE +
		    counts[5] + counts[2] * (width + 4) + counts[1] + counts[0];
		if (s.len < first || counts[4] == 0)
			return false;
		if (part == 0)
			s = slice_skip(s, first);
	}
	times = s.data;
	indices = times + counts[3] * 8;
	types = indices + counts[3];
	z->first = type_offset(types, 0);
	z->from = mem_alloc((counts[3] + 1) * sizeof(z->from[0]));
	z->offset = mem_alloc((counts[3] + 1) * sizeof(z->offset[0]));
	for (size_t i = 0; i < counts[3]; i++) {
		size_t type = (unsigned char)indices[i];

		z->from[i] = (int64_t)get_big(times + 8 * i, 8);
		z->offset[i] =
		    type < counts[4] ? type_offset(types, type) : z->first;
	}
	z->count = counts[3];
	return true;
}

/* "Europe/Oslo": no dots, nothing that leaves the folder, none of its copies. */
static bool
is_zone_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= ZONE_NAME_SIZE || name[0] == '/' ||
	    strncmp(name, "posix/", 6) == 0 || strncmp(name, "right/", 6) == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!ascii_is_alnum((unsigned char)name[i]) &&
		    strchr("/_+-", name[i]) == NULL)
			return false;
	}
	return true;
}

/* One that is there; strangers' messages name others too. */
static bool
zone_load(struct zone *z, const char *name)
{
	char path[128];
	char *real; /* many zones are links to others */
	bool is_known = false;
	struct buf data;
	struct err e;

	memcpy(z->name, name, strlen(name) + 1);
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	buf_init(&data, ZONE_FILE_MAX);
	real = realpath(path, NULL);
	if (real != NULL && file_read(AT_FDCWD, real, &data, &e) == 0)
		is_known = zone_parse(z, buf_slice(&data));
	free(real);
	buf_release(&data);
	return is_known;
}

/* Stays where it is for good, and is not changed. */
static const struct zone *
zone_find(const char *name)
{
	const struct zone *z = NULL;

	if (!is_zone_name(name))
		return NULL;
	(void)pthread_mutex_lock(&zone_lock);
	for (size_t i = 0; i < zone_count && z == NULL; i++) {
		if (strcmp(zones[i].name, name) == 0)
			z = &zones[i];
	}
	if (z == NULL && zone_count < ZONES_MAX &&
	    zone_load(&zones[zone_count], name))
		z = &zones[zone_count++];
	(void)pthread_mutex_unlock(&zone_lock);
	return z;
}

bool
template_has_zone(const char *name)
{
	return zone_find(name) != NULL;
}

int64_t
template_zone_utc(const char *zone, int64_t local_s)
{
	int64_t utc = local_s - template_zone_offset(zone, local_s);

	/* the offset that holds then, not now */
	return local_s - template_zone_offset(zone, utc);
}

int32_t
template_zone_offset(const char *zone, int64_t seconds)
{
	const struct zone *z = zone_find(zone);
	int32_t offset = 0;

	if (z != NULL) {
		size_t low = 0, high = z->count;

		while (low < high) {
			size_t middle = (low + high) / 2;

			if (z->from[middle] <= seconds)
				low = middle + 1;
			else
				high = middle;
		}
		offset = low > 0 ? z->offset[low - 1] : z->first;
	}
	return offset;
}

static void
break_down(const char *zone, int64_t ms, struct tm *out)
{
	time_t local = (time_t)(ms / 1000);

	local += template_zone_offset(zone, local);
	if (gmtime_r(&local, out) == NULL)
		*out = (struct tm){ 0 };
}

/* A text of the catalogue with {d} {month} {y} {weekday} {time} {clock} filled in. */
static void
put_format(const struct lang_set *l, const char *lang, const char *key,
    const struct tm *tm, struct buf *out)
{
	struct buf format;
	struct slice rest, name;
	char word[32];

	buf_init(&format, 256);
	lang_text(l, lang, slice_str(key), -1, &format);
	rest = buf_slice(&format);
	while (rest.data != NULL) {
		rest = slice_cut(rest, '{', &name);
		buf_addslice(out, name);
		if (rest.data == NULL)
			break;
		rest = slice_cut(rest, '}', &name);
		if (slice_eq_str(name, "d")) {
			buf_addf(out, "%d", tm->tm_mday);
		} else if (slice_eq_str(name, "y")) {
			buf_addf(out, "%d", tm->tm_year + 1900);
		} else if (slice_eq_str(name, "time")) {
			buf_addf(out, "%02d:%02d", tm->tm_hour, tm->tm_min);
		} else if (slice_eq_str(name, "clock")) {
			buf_addf(out, "%02d:%02d:%02d", tm->tm_hour, tm->tm_min,
			    tm->tm_sec);
		} else {
			bool month = slice_eq_str(name, "month");

			snprintf(word, sizeof(word), "%s.%d",
			    month ? "month" : "weekday",
			    month ? tm->tm_mon + 1 : tm->tm_wday);
			lang_text(l, lang, slice_str(word), -1, out);
		}
	}
	buf_release(&format);
}

void
template_date(const struct lang_set *l, const struct template_env *env,
    int64_t ms, struct slice how, struct buf *out)
{
	int64_t now = env->now_ms != 0 ? env->now_ms : clock_wall_ms();
	const char *key = "date.long";
	char iso[CLOCK_RFC3339_SIZE];
	struct tm tm, today;
	struct buf text;
	bool same_year;

	break_down(env->zone, ms, &tm);
	break_down(env->zone, now, &today);
	same_year = tm.tm_year == today.tm_year;
	if (slice_eq_str(how, "time") ||
	    (slice_eq_str(how, "short") && same_year &&
		tm.tm_yday == today.tm_yday))
		key = "date.time";
	else if (slice_eq_str(how, "exact"))
		key = "date.exact";
	else if (!slice_eq_str(how, "long"))
		key = same_year ? "date.day" : "date.year";
	clock_rfc3339(ms, iso);
	buf_init(&text, 512);
	put_format(l, env->lang, key, &tm, &text);
	buf_addf(out, "<time datetime=\"%s\">", iso);
	web_escape_html(buf_slice(&text), out);
	buf_addstr(out, "</time>");
	buf_release(&text);
}
