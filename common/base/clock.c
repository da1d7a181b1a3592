/*
 * Clocks and dates.  Calendar arithmetic is our own: the C library's depends
 * on TZ and the locale, takes a lock, and is slow enough to see in a log line.
 *
 * Days are counted from 1970-01-01; the calendar formulas run from March, so
 * that the leap day is a year's last.  Years 1970 to 9999; what lies outside
 * is written as the nearest end.
 *
 * Pure but for reading the clocks; any thread.
 */
#include "base/clock.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "base/num.h"

enum {
	DAY_SECONDS = 86400,
	DAYS_TO_10000 = 2932897, /* from 1970-01-01 to 10000-01-01 */
};

#define WALL_MAX_MS (INT64_C(1000) * DAY_SECONDS * DAYS_TO_10000 - 1)

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct date {
	int year, month, day; /* 1970.., 1..12, 1..31 */
	int hour, minute, second, ms;
	int weekday; /* 0 is Sunday */
};

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;
	int rc = clock_gettime(id, &ts);

	assert(rc == 0);
	(void)rc;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t
clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

int
clock_left_ms(int64_t deadline_ms)
{
	int64_t now = clock_mono_ms();

	if (deadline_ms <= now)
		return 0;
	return deadline_ms - now > INT_MAX ? INT_MAX : (int)(deadline_ms - now);
}

static struct date
date_of(int64_t wall_ms)
{
	struct date d;
	int days, rest, era_day, era_year, year_day, march_month;

	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > WALL_MAX_MS)
		wall_ms = WALL_MAX_MS;
	days = (int)(wall_ms / (INT64_C(1000) * DAY_SECONDS));
	rest = (int)(wall_ms % (INT64_C(1000) * DAY_SECONDS));
	d.ms = rest % 1000;
	rest /= 1000;
	d.hour = rest / 3600;
	d.minute = rest / 60 % 60;
	d.second = rest % 60;
	d.weekday = (days + 4) % 7;

	days += 719468; /* from 0000-03-01 */
	era_day = days % 146097;
	era_year =
	    (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) /
	    365;
	year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
	march_month = (5 * year_day + 2) / 153;
	d.day = year_day - (153 * march_month + 2) / 5 + 1;
	d.month = march_month < 10 ? march_month + 3 : march_month - 9;
	d.year = days / 146097 * 400 + era_year + (d.month <= 2);
	return d;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* False if there is no such day or time, or it is out of our years. */
static bool
date_to_ms(const struct date *d, int zone_seconds, int64_t *wall_ms_out)
{
	static const int month_days[12] = { 31, 29, 31, 30, 31, 30, 31, 31, 30,
		31, 30, 31 };
	int64_t days, ms;
	int year, year_day;

	if (d->year < 1970 || d->year > 9999 || d->month < 1 || d->month > 12 ||
	    d->day < 1 || d->day > month_days[d->month - 1] ||
	    (d->month == 2 && d->day == 29 && !is_leap(d->year)) ||
	    d->hour > 23 || d->minute > 59 || d->second > 60)
		return false;
	year = d->month <= 2 ? d->year - 1 : d->year;
	year_day =
	    (153 * (d->month <= 2 ? d->month + 9 : d->month - 3) + 2) / 5 +
	    d->day - 1;
	days = INT64_C(365) * year + year / 4 - year / 100 + year / 400 +
	    year_day - 719468;
	ms = ((days * 24 + d->hour) * 60 + d->minute) * 60 + d->second;
	ms = (ms - zone_seconds) * 1000 + d->ms;
	if (ms < 0 || ms > WALL_MAX_MS)
		return false;
	*wall_ms_out = ms;
	return true;
}

/* `count` decimal digits, with leading zeros; returns what is behind. */
static char *
put_number(char *out, int count, int value)
{
	for (int i = count - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return out + count;
}

static char *
put_text(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

/* hh:mm:ss */
static char *
put_time(char *out, const struct date *d)
{
	out = put_number(out, 2, d->hour);
	*out++ = ':';
	out = put_number(out, 2, d->minute);
	*out++ = ':';
	return put_number(out, 2, d->second);
}

static char *
put_day(char *out, const struct date *d)
{
	out = put_number(out, 4, d->year);
	*out++ = '-';
	out = put_number(out, 2, d->month);
	*out++ = '-';
	return put_number(out, 2, d->day);
}

void
clock_rfc5322(int64_t wall_ms, char out[CLOCK_RFC5322_SIZE])
{
	struct date d = date_of(wall_ms);

	out = put_text(out, day_names + (size_t)d.weekday * 3, 3);
	out = put_text(out, ", ", 2);
	out = put_number(out, 2, d.day);
	*out++ = ' ';
	out = put_text(out, month_names + (size_t)(d.month - 1) * 3, 3);
	*out++ = ' ';
	out = put_number(out, 4, d.year);
	*out++ = ' ';
	out = put_time(out, &d);
	(void)put_text(out, " +0000", sizeof(" +0000"));
}

void
clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	struct date d = date_of(wall_ms);

	out = put_day(out, &d);
	*out++ = 'T';
	out = put_time(out, &d);
	*out++ = '.';
	out = put_number(out, 3, d.ms);
	(void)put_text(out, "Z", sizeof("Z"));
}

void
clock_day(int64_t wall_ms, char out[CLOCK_DAY_SIZE])
{
	struct date d = date_of(wall_ms);

	*put_day(out, &d) = '\0';
}

/*
 * Skip white space and comments (RFC 5322 3.2.2); false at a comment without
 * an end.
 */
static bool
skip_cfws(struct slice *s)
{
	size_t i, depth = 0;

	for (i = 0; i < s->len; i++) {
		char c = s->data[i];

		if (c == '(') {
			depth++;
		} else if (depth > 0) {
			if (c == ')')
				depth--;
			else if (c == '\\')
				i++;
		} else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
			break;
		}
	}
	*s = slice_skip(*s, i);
	return depth == 0;
}

/* A number of `min` to `max` digits, and the CFWS behind it. */
static bool
take_number(struct slice *s, size_t min, size_t max, int *out)
{
	uint64_t value;
	size_t len = 0;

	while (len < s->len && ascii_is_digit(s->data[len]))
		len++;
	if (len < min || len > max ||
	    !num_parse(slice_of(s->data, len), INT_MAX, &value))
		return false;
	*out = (int)value;
	*s = slice_skip(*s, len);
	return skip_cfws(s);
}

static bool
take_char(struct slice *s, char c)
{
	if (s->len == 0 || s->data[0] != c)
		return false;
	*s = slice_skip(*s, 1);
	return skip_cfws(s);
}

/* Letters, and the CFWS behind them; maybe none. */
static bool
take_word(struct slice *s, struct slice *word_out)
{
	size_t len = 0;

	while (len < s->len && ascii_is_alpha(s->data[len]))
		len++;
	*word_out = slice_of(s->data, len);
	*s = slice_skip(*s, len);
	return skip_cfws(s);
}

/* Position of a three-letter name in a list of such, or -1. */
static int
name_index(struct slice word, const char *names)
{
	for (int i = 0; word.len == 3 && names[(size_t)i * 3] != '\0'; i++) {
		if (slice_ieq(word, slice_of(names + (size_t)i * 3, 3)))
			return i;
	}
	return -1;
}

/* RFC 5322 3.3 and 4.3; no zone at all is taken as UTC. */
static bool
take_zone(struct slice *s, int *seconds_out)
{
	static const char us_zones[] = "ESTEDTCSTCDTMSTMDTPSTPDT";
	static const int us_hours[] = { -5, -4, -6, -5, -7, -6, -8, -7 };
	struct slice word;
	int sign, value, us;

	*seconds_out = 0;
	if (s->len > 0 && (s->data[0] == '+' || s->data[0] == '-')) {
		sign = s->data[0] == '-' ? -1 : 1;
		*s = slice_skip(*s, 1);
		if (!take_number(s, 4, 4, &value) || value % 100 > 59)
			return false;
		*seconds_out = sign * (value / 100 * 60 + value % 100) * 60;
		return true;
	}
	if (!take_word(s, &word))
		return false;
	us = name_index(word, us_zones);
	if (us >= 0)
		*seconds_out = us_hours[us] * 3600;
	return true; /* RFC 5322 4.3: other names count as -0000 */
}

static bool
take_year(struct slice *s, int *year_out)
{
	size_t len = 0;
	int year;

	while (len < s->len && ascii_is_digit(s->data[len]))
		len++;
	if (!take_number(s, 2, 4, &year))
		return false;
	/* RFC 5322 4.3 */
	if (len == 2 && year < 50)
		year += 2000;
	else if (len < 4)
		year += 1900;
	*year_out = year;
	return true;
}

bool
clock_parse_rfc5322(struct slice s, int64_t *wall_ms_out)
{
	struct date d = { 0 };
	struct slice word;
	int zone;

	if (!skip_cfws(&s) || !take_word(&s, &word))
		return false;
	if (word.len > 0 &&
	    (name_index(word, day_names) < 0 || !take_char(&s, ',')))
		return false;
	if (!take_number(&s, 1, 2, &d.day) || !take_word(&s, &word))
		return false;
	d.month = name_index(word, month_names) + 1;
	if (!take_year(&s, &d.year) || !take_number(&s, 1, 2, &d.hour) ||
	    !take_char(&s, ':') || !take_number(&s, 2, 2, &d.minute))
		return false;
	if (s.len > 0 && s.data[0] == ':' &&
	    (!take_char(&s, ':') || !take_number(&s, 2, 2, &d.second)))
		return false;
	if (!take_zone(&s, &zone) || s.len > 0)
		return false;
	return date_to_ms(&d, zone, wall_ms_out);
}

bool
clock_parse_rfc3339(struct slice s, int64_t *wall_ms_out)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	int fields[7] = { 0 };
	size_t at = 0, field = 0;

	if (s.len != sizeof(form) - 1 && s.len != sizeof(form) - 5)
		return false;
	for (size_t i = 0; i < s.len; i++, at++) {
		char c = s.data[i];

		/* without a fraction the Z stands where the point would */
		if (form[at] == '.' && s.len < sizeof(form) - 1)
			at = sizeof(form) - 2;
		if (form[at] != 'd') {
			if (c != form[at])
				return false;
			field++;
		} else if (ascii_is_digit(c)) {
			fields[field] = fields[field] * 10 + (c - '0');
		} else {
			return false;
		}
	}
	return date_to_ms(&(struct date){ .year = fields[0],
			      .month = fields[1],
			      .day = fields[2],
			      .hour = fields[3],
			      .minute = fields[4],
			      .second = fields[5],
			      .ms = fields[6] },
	    0, wall_ms_out);
}
