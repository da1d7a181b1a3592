/*
 * Numbers from text, and back into bytes.  The one place where digits become
 * integers, so that "overflow" has one answer: false.
 *
 * Pure functions; any thread.
 */
#include "base/num.h"

#include <stdio.h>

/* Take leading digits off *s; false without digits or above `max`. */
static bool
num_take(struct slice *s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < s->len && ascii_is_digit(s->data[i]); i++) {
		unsigned digit = (unsigned)(s->data[i] - '0');

		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, digit, &value) || value > max)
			return false;
	}
	if (i == 0)
		return false;
	*s = slice_skip(*s, i);
	*out = value;
	return true;
}

bool
num_parse(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t value;

	if (!num_take(&s, max, &value) || s.len > 0)
		return false;
	*out = value;
	return true;
}

bool
num_parse_signed(struct slice s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = s.len > 0 && s.data[0] == '-';
	uint64_t magnitude;
	int64_t value;

	if (negative)
		s = slice_skip(s, 1);
	if (!num_parse(s, (uint64_t)INT64_MAX + negative, &magnitude))
		return false;
	/* -INT64_MIN does not exist, so the sign goes on below zero */
	value = negative && magnitude > 0 ? -(int64_t)(magnitude - 1) - 1
					  : (int64_t)magnitude;
	if (value < min || value > max)
		return false;
	*out = value;
	return true;
}

struct num_unit {
	const char *name;
	uint64_t factor;
};

static bool
num_find_unit(const struct num_unit *units, size_t count, struct slice name,
    uint64_t *factor_out)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_ieq_str(name, units[i].name)) {
			*factor_out = units[i].factor;
			return true;
		}
	}
	return false;
}

bool
num_parse_size(struct slice s, uint64_t max, uint64_t *out)
{
	static const struct num_unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "bytes", 1 },
		{ "K", 1U << 10 },
		{ "KB", 1U << 10 },
		{ "KiB", 1U << 10 },
		{ "M", 1U << 20 },
		{ "MB", 1U << 20 },
		{ "MiB", 1U << 20 },
		{ "G", 1U << 30 },
		{ "GB", 1U << 30 },
		{ "GiB", 1U << 30 },
		{ "T", UINT64_C(1) << 40 },
		{ "TB", UINT64_C(1) << 40 },
		{ "TiB", UINT64_C(1) << 40 },
	};
	uint64_t value, factor;

	if (!num_take(&s, UINT64_MAX, &value))
		return false;
	/* "10 MiB", as people write it; but not a space at the end */
	if (s.len > 1 && s.data[0] == ' ')
		s = slice_skip(s, 1);
	if (!num_find_unit(units, ARRAY_LEN(units), s, &factor) ||
	    __builtin_mul_overflow(value, factor, &value) || value > max)
		return false;
	*out = value;
	return true;
}

void
num_format_size(uint64_t n, char out[NUM_SIZE_TEXT])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double value = (double)n;
	size_t unit = 0;

	/* so that what is rounded up to 1024 is one of the next unit */
	while (value >= 1023.5 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(out, NUM_SIZE_TEXT,
	    unit > 0 && value < 9.95 && value != (double)(int)value ? "%.1f %s"
								    : "%.0f %s",
	    value, units[unit]);
}

bool
num_parse_duration(struct slice s, uint64_t max, uint64_t *out)
{
	static const struct num_unit units[] = {
		{ "s", 1 },
		{ "m", 60 },
		{ "h", 3600 },
		{ "d", 86400 },
		{ "w", 604800 },
	};
	uint64_t total = 0, value, factor;

	if (num_parse(s, max, out))
		return true;
	do {
		if (!num_take(&s, UINT64_MAX, &value) || s.len == 0 ||
		    !num_find_unit(units, ARRAY_LEN(units), slice_of(s.data, 1),
			&factor) ||
		    __builtin_mul_overflow(value, factor, &value) ||
		    __builtin_add_overflow(total, value, &total))
			return false;
		s = slice_skip(s, 1);
	} while (s.len > 0);
	if (total > max)
		return false;
	*out = total;
	return true;
}

/* The compiler makes one move of each loop. */
void
num_put_le32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void
num_put_le64(uint8_t *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

uint32_t
num_get_le32(const uint8_t *p)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++)
		v |= (uint32_t)p[i] << (8 * i);
	return v;
}

uint64_t
num_get_le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}
