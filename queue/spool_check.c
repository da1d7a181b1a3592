/*
 * `mailstead queue check`: look at every part of a spool and say what is
 * wrong with it.
 *
 * Verifying writes nothing and needs no runner; what moves meanwhile may be
 * reported though it is well.  Repair is what every start of the runner does
 * (damage to corrupt/, what nobody speaks of removed, settled.log written
 * anew) and then claiming what cannot be read, so that it is put aside: it is
 * the runner for a moment and refused while another one is.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"

#include "queue/spool_internal.h"

enum {
	LINE_SIZE = 512
};

struct checker {
	struct spool s; /* only its directories are used */
	void (*report)(void *arg, const char *line);
	void *arg;
	size_t bad, segments, records, envelopes;
};

static void say(struct checker *c, bool is_bad, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static void
say(struct checker *c, bool is_bad, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	c->bad += is_bad;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->report(c->arg, line);
}

static void
check_envelope(struct checker *c, const char *where, struct slice data)
{
	struct pool pool = { 0 };
	struct envelope v;
	struct err e;

	if (envelope_decode(data, &pool, &v, &e) < 0)
		say(c, true, "%s: %s", where, e.text);
	else
		envelope_release(&v);
	pool_release(&pool);
}

/* Walk one segment's records; a bad one ends it or is damage. */
static void
check_records(
    struct checker *c, const char *name, struct slice data, uint64_t generation)
{
	uint32_t seed = segment_seed(&c->s.dirs, generation);
	uint64_t at = SEGMENT_HEADER, before;
	struct spool_record r;
	enum record_step step;

	for (;;) {
		before = at;
		step = record_next(data, 0, seed, generation, &at, &r);
		if (step == RECORD_BAD)
			say(c, false,
			    "journal/%s: the record at %llu is not whole", name,
			    (unsigned long long)before);
		if (step != RECORD_OK)
			return;
		c->records++;
		if (!(r.flags & RECORD_LARGE_ENVELOPE))
			check_envelope(c, r.id,
			    slice_of(data.data + before + RECORD_HEADER +
				    record_inline_body(&r),
				r.envelope_size));
	}
}

static void
check_segment(struct checker *c, const char *name)
{
	uint64_t generation, size;
	char *data = NULL;
	size_t len = 0;
	struct stat st;
	int fd =
	    openat(c->s.dirs.journal, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	c->segments++;
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > SEGMENT_HEADER &&
	    st.st_size <= SEGMENT_SIZE_MAX) {
		len = (size_t)st.st_size;
		data = mem_alloc(len);
		if (spool_read_at(fd, data, len, 0) < 0)
			len = 0;
	}
	if (len == 0)
		say(c, true, "journal/%s: cannot be read", name);
	else if (!segment_header_get((const uint8_t *)data, len, &c->s.dirs,
		     &generation, &size) ||
	    size > len)
		say(c, true, "journal/%s: no segment of this spool", name);
	else
		check_records(
		    c, name, slice_of(data, (size_t)size), generation);
	free(data);
	if (fd >= 0)
		(void)close(fd);
}

static void
check_waiting(struct checker *c, enum entry_dir which, const char *name)
{
	struct envelope_name n;
	struct buf raw;
	struct err e;
	int fd, dir_fd;

	if (!envelope_name_get(name, &n))
		return;
	c->envelopes++;
	buf_init(&raw, ENVELOPE_MAX);
	if (files_get_envelope(&c->s, which, &n, &raw, &e) < 0)
		say(c, true, "%s", e.text);
	else
		check_envelope(c, name, buf_slice(&raw));
	buf_release(&raw);
	if (n.in_journal)
		return;
	if (files_open_body(&c->s, n.id, &fd, &dir_fd, &e) < 0)
		say(c, true, "%s", e.text);
	else
		(void)close(fd);
}

static void
each_name(struct checker *c, int dir_fd,
    void (*check)(struct checker *c, const char *name))
{
	const char *entry;
	DIR *dir = file_list(dir_fd, ".");

	if (dir == NULL) {
		say(c, true, "a directory of the spool cannot be listed");
		return;
	}
	while ((entry = file_list_next(dir)) != NULL)
		check(c, entry);
	file_list_end(dir);
}

static void
check_journal_name(struct checker *c, const char *name)
{
	char writer[WRITER_NAME_MAX + 1];
	uint32_t n;

	if (segment_name_parse(name, "seg", writer, &n))
		check_segment(c, name);
}

static void
check_deferred_name(struct checker *c, const char *name)
{
	check_waiting(c, DIR_DEFERRED, name);
}

static void
check_held_name(struct checker *c, const char *name)
{
	check_waiting(c, DIR_HOLD, name);
}

static void
check_corrupt_name(struct checker *c, const char *name)
{
	if (name[0] != '.')
		say(c, false, "corrupt/%s waits for a person", name);
}

static void
check_settled_log(struct checker *c)
{
	uint8_t header[SETTLED_HEADER];
	int fd = openat(
	    c->s.dirs.root, "settled.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0) {
		if (errno != ENOENT)
			say(c, true, "settled.log cannot be opened");
		return;
	}
	if (spool_read_at(fd, header, sizeof(header), 0) < 0 ||
	    !settled_header_get(header, &c->s.dirs))
		say(c, true, "settled.log is damaged");
	(void)close(fd);
}

/* --- repair -------------------------------------------------------------------- */

/* What an earlier runner delivered and did not flush: all of the machine's. */
static int
sync_everything(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	sync();
	return 0;
}

/* Claiming puts aside what cannot be understood (I4). */
static void
put_damaged_aside(struct checker *c, struct spool *s, const char *id)
{
	struct pool pool = { 0 };
	struct spool_item *it;
	struct envelope v;
	struct err e;

	if (spool_peek(s, id, &pool, &v, &e) == 0) {
		envelope_release(&v);
	} else if (e.kind != ERR_TEMP && spool_claim_id(s, id, &it, &e) < 0) {
		say(c, false, "%s: moved to corrupt/", id);
	}
	pool_release(&pool);
}

static int
repair_spool(struct checker *c, const char *spool_dir, struct err *e)
{
	struct spool_info i = { 0 };
	struct spool *s;
	int rc;

	if (spool_open(spool_dir, NULL, &s, e) < 0)
		return -1;
	while (spool_page(s, NULL, i.id, &i, 1) == 1)
		put_damaged_aside(c, s, i.id);
	rc = spool_flush(s, sync_everything, NULL, NULL, e);
	spool_close(s);
	return rc;
}

int
spool_check(const char *spool_dir, bool repair,
    void (*report)(void *arg, const char *line), void *arg, size_t *bad_out,
    struct err *e)
{
	struct checker c = { .report = report, .arg = arg };

	if (repair && repair_spool(&c, spool_dir, e) < 0)
		return -1;
	if (spool_dirs_open(spool_dir, &c.s.dirs, e) < 0)
		return -1;
	c.bad = 0;
	each_name(&c, c.s.dirs.journal, check_journal_name);
	each_name(&c, c.s.dirs.deferred, check_deferred_name);
	each_name(&c, c.s.dirs.hold, check_held_name);
	each_name(&c, c.s.dirs.corrupt, check_corrupt_name);
	check_settled_log(&c);
	say(&c, false,
	    "%zu segments with %zu records, %zu envelopes, %zu faults",
	    c.segments, c.records, c.envelopes, c.bad);
	spool_dirs_close(&c.s.dirs);
	*bad_out = c.bad;
	return 0;
}
