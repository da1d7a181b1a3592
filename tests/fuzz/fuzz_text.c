/* Plain text as HTML: balanced, nothing but the tags of text.h. */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "webmail-cgi/text.h"

static void
check_output(struct slice s)
{
	static const char *const known[] = { "<p>", "</p>", "<br>",
		"<blockquote>", "</blockquote>", "<div class=\"sig\">",
		"</div>", "<details class=\"quoted\">", "</details>",
		"<summary>", "</summary>", "<a href=\"", "</a>" };
	int depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		struct slice rest = slice_skip(s, i);
		size_t n = 0;

		if (rest.data[0] != '<')
			continue;
		while (n < 13 && !slice_starts(rest, known[n]))
			n++;
		assert(n < 13);
		if (n != 2)
			depth += rest.data[1] == '/' ? -1 : 1;
		assert(depth >= 0);
	}
	assert(depth == 0);
}

static const char *
label(void *arg, int64_t n)
{
	assert(n > TEXT_FOLD_LINES);
	return arg;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct text_label quoted = { label, (void *)(uintptr_t) "<q>" };
	struct buf out;

	buf_init(&out, (size + 1) * TEXT_GROWTH);
	text_to_html(slice_of((const char *)data, size), &quoted, &out);
	assert(!buf_overflowed(&out));
	check_output(buf_slice(&out));
	buf_release(&out);
	return 0;
}
