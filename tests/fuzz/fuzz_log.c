/*
 * Lines of the log: a value is read back as it was given, whatever it is; and
 * any line is walked to its end.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/logread.h"
#include "base/mem.h"

#include "tests/fuzz/fuzz.h"

static void
check_value(struct slice value)
{
	char out[LOG_VALUE_MAX + 1];
	struct log_line l;

	/* each byte may take four; longer ones are cut */
	if (value.len * 4 + 2 > LOG_VALUE_MAX)
		value.len = (LOG_VALUE_MAX - 2) / 4;
	log_begin(&l, "accept", "session", NULL);
	log_slice(&l, "first", value);
	log_slice(&l, "second", SLICE_LIT("2"));
	assert(memchr(l.text, '\n', l.len) == NULL);
	l.text[l.len] = '\0';
	memset(out, 'x', sizeof(out));
	assert(log_field(l.text, "first", out, sizeof(out)));
	assert(slice_eq(slice_of(out, value.len), value));
	assert(out[value.len] == '\0');
	assert(log_field(l.text, "second", out, sizeof(out)));
	assert(strcmp(out, "2") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = mem_alloc(size + 1), key[8], value[16];
	size_t at = 0, before = 0;

	check_value(slice_of((const char *)data, size));
	memcpy(line, data, size);
	line[size] = '\0';
	while (
	    log_next_pair(line, &at, key, sizeof(key), value, sizeof(value))) {
		assert(at > before && at <= size);
		before = at;
	}
	free(line);
	return 0;
}
