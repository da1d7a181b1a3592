/*
 * Any bytes as a message: guard, GMime, charsets, flowed, summary, view.  Every job
 * ends with an answer that is JSON, and nothing in a text is a control
 * character.
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "parse/job.h"
#include "parse/message.h"
#include "parse/summary.h"
#include "parse/view.h"
#include "tests/fuzz/fuzz.h"

enum {
	OUT_MAX = 1024 * 1024
};

static void
check_texts(const json_t *value)
{
	static const char *const keys[] = { "subject", "message_id", "snippet",
		"list_id", "in_reply_to" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *text =
		    json_string_value(json_object_get(value, keys[i]));

		assert(text != NULL);
		for (; *text != '\0'; text++)
			assert((unsigned char)*text >= ' ' && *text != 127);
	}
}

static bool
visit(void *arg, const struct message_part *part)
{
	struct buf out;
	json_t *about = message_describe(part);

	(void)arg;
	assert(about != NULL);
	json_decref(about);
	buf_init(&out, OUT_MAX);
	(void)!message_text(part->object, &out);
	assert(utf8_is_valid(buf_slice(&out)));
	buf_release(&out);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool prepared;
	struct message m;
	json_t *summary;
	struct buf text;
	int fd = memfd_create("message", MFD_CLOEXEC);

	if (!prepared)
		job_prepare();
	prepared = true;
	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	message_open(&m, fd);
	message_walk(&m, visit, NULL);
	buf_init(&text, OUT_MAX);
	summary = summary_make(&m, &text);
	assert(utf8_is_valid(buf_slice(&text)));
	buf_release(&text);
	check_texts(summary);
	json_decref(summary);
	json_decref(view_make(&m, false));
	json_decref(view_make(&m, true));
	message_release(&m);
	(void)close(fd);
	return 0;
}
