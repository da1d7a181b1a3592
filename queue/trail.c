/*
 * Where a message has been; see trail.h.  Reads the body once, parses by
 * mail/header.h.  Runs on the claiming threads.
 */
#include "queue/trail.h"

#include <unistd.h>

#include "mail/header.h"

void
trail_read_head(struct spool_item *item, struct buf *out)
{
	const struct envelope *v = &item->envelope;
	uint64_t size = v->body_size - v->local_prefix;
	size_t want = size < TRAIL_HEAD_MAX ? (size_t)size : TRAIL_HEAD_MAX;
	struct spool_body b;
	struct err e;
	char *room;
	ssize_t n;

	if (spool_body_open(item, &b, &e) != 0)
		return;
	if (b.data != NULL) {
		buf_add(out, b.data + v->local_prefix, want);
	} else if ((room = buf_reserve(out, want)) != NULL) {
		n = pread(b.fd, room, want, (off_t)v->local_prefix);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	spool_body_close(&b);
}

bool
trail_was_at(struct slice head, const char *address)
{
	struct header_scan scan = { head };
	struct header_field field;

	while (header_next(&scan, &field)) {
		struct slice value = slice_trim(field.value);

		if (!header_is(&field, "Delivered-To"))
			continue;
		if (value.len > 2 && value.data[0] == '<')
			value = slice_of(value.data + 1, value.len - 2);
		if (slice_ieq_str(value, address))
			return true;
	}
	return false;
}
