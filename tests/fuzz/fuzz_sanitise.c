/*
 * The HTML sanitiser: what comes out is a fixed point, balanced enough that
 * no byte of markup is there but what it writes itself.
 */
#include <assert.h>

#include "parse/sanitise.h"
#include "tests/fuzz/fuzz.h"

enum {
	OUT_MAX = 4 * 1024 * 1024
};

static void
check_output(struct slice s)
{
	static const char *const never[] = { "<script", "<style", "<svg",
		"<math", "<iframe", "<form", "javascript:", " onerror",
		" srcset", "url(", "<!--" };
	bool in_tag = false, in_value = false;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		assert(c != '<' || !in_tag);
		assert(c != '>' || (in_tag && !in_value));
		if (c == '<')
			in_tag = true;
		if (c == '"' && in_tag)
			in_value = !in_value;
		if (c == '>')
			in_tag = false;
		for (size_t n = 0; in_tag && !in_value && n < 11; n++)
			assert(!slice_istarts(slice_skip(s, i), never[n]));
	}
	assert(!in_tag && utf8_is_valid(s));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sanitise_options options = {
		.remote_pictures = size > 0 && (data[0] & 1),
		.cid_prefix = size > 0 && (data[0] & 2) ? "/v/1/" : NULL,
	};
	struct sanitise_info info;
	struct buf one, two;

	buf_init(&one, OUT_MAX);
	buf_init(&two, OUT_MAX);
	sanitise_html(
	    slice_of((const char *)data, size), &options, &one, &info);
	check_output(buf_slice(&one));
	sanitise_html(buf_slice(&one), &options, &two, &info);
	assert(slice_eq(buf_slice(&one), buf_slice(&two)));
	buf_release(&one);
	buf_release(&two);
	return 0;
}
