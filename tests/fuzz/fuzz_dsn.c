/*
 * Reports about anything: an envelope as decoded, then an original.  The
 * header of the report holds only the fields it should, and its boundary
 * appears as often as it has parts.
 */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "mail/header.h"

#include "queue/dsn.h"

#include "tests/fuzz/fuzz.h"

enum {
	INPUT_MAX = 65536,
	REPORT_MAX = 64 * INPUT_MAX,
	FIELDS = 8,
	RECIPIENTS = 4,
};

static size_t
count_fields(const struct buf *report)
{
	struct header_scan scan = { buf_slice(report) };
	struct header_field field;
	size_t n = 0;

	while (header_next(&scan, &field))
		n++;
	return n;
}

/* One string of the input, without the bytes no envelope has. */
static char *
take(struct slice *rest, struct pool *pool)
{
	struct slice head;
	char *s, *p;

	*rest = slice_cut(*rest, '\n', &head);
	s = pool_strndup(pool, head.data != NULL ? head.data : "", head.len);
	for (p = s; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '_';
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t which[RECIPIENTS] = { 0, 1, 2, 3 };
	struct slice rest = slice_of((const char *)data, size);
	struct envelope v = { 0 };
	struct pool pool = { 0 };
	struct buf report;
	size_t i;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	rest = slice_skip(rest, 1);
	v.sender = take(&rest, &pool);
	v.envid = take(&rest, &pool);
	for (i = 0; i < RECIPIENTS; i++) {
		struct envelope_recipient *r = envelope_add(&v);

		r->address = take(&rest, &pool);
		r->original = take(&rest, &pool);
		r->reply = take(&rest, &pool);
		r->status = take(&rest, &pool);
		r->remote = take(&rest, &pool);
		r->last_try_ms = 1700000000000;
	}
	struct dsn d = {
		.kind = (enum dsn_kind)(data[0] % 3),
		.id = "01M7XF7D4PZVEA63C8JANPBMRZ",
		.host = "mail.example.org",
		.now_ms = 1700000000000,
		.envelope = &v,
		.recipients = which,
		.count = RECIPIENTS,
		.message_id = "01M7XF7D4PD9SRAKY2TX02RHTN",
		.expires_ms = 1700000000000,
		.original = rest,
	};
	buf_init(&report, REPORT_MAX);
	dsn_build(&d, &report);
	assert(!buf_overflowed(&report));
	assert(count_fields(&report) == FIELDS);
	buf_release(&report);
	envelope_release(&v);
	pool_release(&pool);
	return 0;
}
