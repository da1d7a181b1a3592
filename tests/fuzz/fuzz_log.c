/*
 * Lines of the log: a value is read back as it was given, whatever it is; and
 * any line is walked to its end.  A file is read backwards whole, by pages of
 * any size.
 */
#include <sys/mman.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/logread.h"
#include "base/logtail.h"
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

/* Each line stands right before the one read last, but for empty ones. */
static void
take_line(void *arg, struct slice line)
{
	struct slice *left = arg;

	while (left->len > 0 && left->data[left->len - 1] == '\n')
		left->len--;
	assert(line.len > 0 && line.len <= left->len);
	left->len -= line.len;
	assert(memcmp(left->data + left->len, line.data, line.len) == 0);
}

/* Some are larger than what is read at once. */
static void
check_tail(const uint8_t *data, size_t size)
{
	size_t copies = size > 0 && data[0] % 8 == 0 ? 300000 / size + 1 : 1;
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct buf file;
	struct slice left;
	struct logtail t = { .line = take_line, .arg = &left };
	int64_t end;

	buf_init(&file, 1024 * 1024);
	for (size_t i = 0; i < copies; i++)
		buf_add(&file, data, size);
	left = buf_slice(&file);
	end = (int64_t)file.len;
	t.max = copies > 1 ? SIZE_MAX : 1 + size % 7;
	if (fd < 0 || write(fd, file.data, file.len) != (ssize_t)file.len)
		abort();
	while (end > 0) {
		int64_t from = end;

		end = logtail_read(fd, end, &t);
		assert(end < from);
	}
	while (left.len > 0 && left.data[left.len - 1] == '\n')
		left.len--;
	assert(left.len == 0);
	(void)close(fd);
	buf_release(&file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = mem_alloc(size + 1), key[8], value[16];
	size_t at = 0, before = 0;

	check_value(slice_of((const char *)data, size));
	check_tail(data, size);
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
