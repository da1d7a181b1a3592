/*
 * sanitise [remote] < ITEMS: clean many HTML texts in one process, for tests
 * that show the result to a real browser.  An item is its length in four
 * bytes, little-endian, and its bytes; so are the answers.
 */
#include "parse/sanitise.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
	OUT_MAX = 16 * 1024 * 1024
};

static bool
read_item(char **data_out, uint32_t *len_out)
{
	uint8_t size[4];

	if (fread(size, 1, 4, stdin) != 4)
		return false;
	*len_out = size[0] | (uint32_t)size[1] << 8 | (uint32_t)size[2] << 16 |
	    (uint32_t)size[3] << 24;
	*data_out = mem_alloc(*len_out + 1);
	return fread(*data_out, 1, *len_out, stdin) == *len_out;
}

static void
write_item(const struct buf *b)
{
	for (unsigned shift = 0; shift < 32; shift += 8)
		(void)putchar((int)(b->len >> shift & 0xff));
	(void)fwrite(b->data, 1, b->len, stdout);
}

int
main(int argc, char **argv)
{
	struct sanitise_options options = { .cid_prefix = "/cid/",
		.mail_url = "/compose" };
	struct sanitise_info info;
	struct buf out;
	uint32_t len;
	char *data;

	options.remote_pictures = argc > 1 && strcmp(argv[1], "remote") == 0;
	while (read_item(&data, &len)) {
		buf_init(&out, OUT_MAX);
		sanitise_html(slice_of(data, len), &options, &out, &info);
		write_item(&out);
		buf_release(&out);
		free(data);
	}
	return 0;
}
