/*
 * Reading the journal: which segments there are, whose they are, what is in
 * them, and when one can be used again.
 *
 * Of a living writer's current segment only what its control file says is
 * committed counts; of every other segment all that reads well, up to its
 * void mark (I5).  The directory is listed before the control files are read,
 * and a writer announces a segment there before it appears in the directory,
 * so no segment in use is ever taken for an abandoned one.
 *
 * Damage is told from an end: records say up to where the segment was durable
 * when they were written, so a bad place below that was acknowledged once and
 * goes to corrupt/ (I4); a bad place above it was not.
 *
 * By the thread that holds `scanning`; segments' counts under the lock.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

#include "queue/spool_internal.h"

enum {
	/* holds the biggest record */
	SCAN_CHUNK = 2 *
	    (RECORD_HEADER + SPOOL_INLINE_MAX + SPOOL_INLINE_ENVELOPE_MAX +
		SEGMENT_ALIGN),
	/* what is looked through at a time, and the headers that begin there */
	LOOK_CHUNK = 256 * 1024,
	LOOK_SIZE = LOOK_CHUNK + RECORD_HEADER - SEGMENT_ALIGN,
	FREE_MAX = 16, /* more free segments than this are deleted */
	BLOCK = 4096,  /* of the disk: what goes bad together */
};

/*
 * Read a piece of a segment.  Blocks the disk does not give are zeros, which
 * no record is, and the segment is kept for a person (I4).
 */
static int
read_piece(struct journal_segment *g, void *data, size_t len, uint64_t at)
{
	char *to = data;

	if (spool_read_at(g->fd, data, len, at) == 0)
		return 0;
	if (errno != EIO)
		return -1;
	while (len > 0) {
		size_t n = BLOCK - (size_t)(at % BLOCK);

		if (n > len)
			n = len;
		if (spool_read_at(g->fd, to, n, at) != 0) {
			memset(to, 0, n);
			if (!g->is_unreadable)
				log_error("spool: journal/%s cannot be read at "
					  "%llu, it will go to corrupt/",
				    g->name, (unsigned long long)at);
			g->is_unreadable = true;
		}
		to += n;
		at += n;
		len -= n;
	}
	return 0;
}

/* --- records into the index ---------------------------------------------------- */

static void
add_record(
    struct spool *s, struct journal_segment *g, const struct spool_record *r)
{
	bool settled = settled_has(s, r->generation, r->offset);
	bool is_duplicate = false;
	struct spool_entry *en;

	(void)pthread_mutex_lock(&s->lock);
	en = spool_index_add(s, r->id);
	en->segment = g;
	en->offset = r->offset;
	en->flags = r->flags;
	en->segment_next = g->entries;
	g->entries = en;
	if (!settled) {
		g->unsettled++;
		is_duplicate = en->is_duplicate;
		if (!is_duplicate)
			spool_index_set(s, en, ENTRY_READY);
	}
	(void)pthread_cond_signal(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	if (is_duplicate)
		end_add(s, en, END_SETTLE, NULL, NULL, 0);
}

/*
 * Nothing fits at `from`.  Was it acknowledged all the same?  Then some record
 * behind it says so; *next_out is where reading goes on.
 */
static bool
was_acknowledged(struct journal_segment *g, uint64_t from, uint64_t limit,
    uint64_t *next_out)
{
	uint8_t *data = mem_alloc(LOOK_SIZE);
	bool found = false, proven = false;

	for (uint64_t base = from + SEGMENT_ALIGN; base < limit && !proven;
	     base += LOOK_CHUNK) {
		size_t len = num_min((size_t)(limit - base), LOOK_SIZE);
		struct spool_record r;

		if (read_piece(g, data, len, base) < 0)
			break;
		for (size_t i = 0; i + RECORD_HEADER <= len && !proven;
		     i += SEGMENT_ALIGN) {
			if (!record_header_get(
				data + i, g->seed, g->generation, base + i, &r))
				continue;
			if (!found)
				*next_out = base + i;
			found = true;
			proven = r.flushed > from;
		}
	}
	free(data);
	return proven;
}

/* Save what is damaged between two offsets. */
static void
save_damage(
    struct spool *s, struct journal_segment *g, uint64_t from, uint64_t to)
{
	size_t len = (size_t)(to - from);
	char *data = mem_alloc(len + 1);
	char name[SEGMENT_NAME_SIZE + 64];

	g->is_bad = true;
	(void)snprintf(name, sizeof(name), "%s.%016llx.%llu", g->name,
	    (unsigned long long)g->generation, (unsigned long long)from);
	if (read_piece(g, data, len, from) == 0)
		(void)corrupt_save(
		    s, name, data, len, "damaged journal record");
	free(data);
}

/*
 * At g->scanned stands something bad that ends at `bad_end` (== scanned when
 * not even its length is known).  True: go on, g->scanned has moved.
 */
static bool
step_over(struct spool *s, struct journal_segment *g, uint64_t bad_end,
    uint64_t limit, bool is_live)
{
	uint64_t from = g->scanned, next = bad_end;

	/*
	 * All of a living writer's part is acknowledged; of what the disk does
	 * not give nobody knows.
	 */
	if (!was_acknowledged(g, from, limit, &next)) {
		if (!is_live && !g->is_unreadable)
			return false;
		if (next == bad_end)
			next = limit;
	}
	if (bad_end > from && bad_end < next)
		next = bad_end;
	save_damage(s, g, from, next);
	g->scanned = next;
	return true;
}

/* Read records up to `limit`.  0: all that counts was read. */
static int
scan(struct spool *s, struct journal_segment *g, uint64_t limit, bool is_live,
    struct err *e)
{
	char *data;
	int rc = 0;

	if (limit > g->size)
		limit = g->size;
	if (g->scanned >= limit)
		return 0;
	data = mem_alloc(SCAN_CHUNK);
	while (g->scanned < limit) {
		uint64_t base = g->scanned, at = base;
		size_t len = limit - base < SCAN_CHUNK ? (size_t)(limit - base)
						       : SCAN_CHUNK;
		struct spool_record r;
		enum record_step step;

		if (read_piece(g, data, len, base) < 0) {
			rc = err_errno(e, "read journal/%s", g->name);
			break;
		}
		while ((step = record_next(slice_of(data, len), base, g->seed,
			    g->generation, &at, &r)) == RECORD_OK) {
			add_record(s, g, &r);
			g->scanned = at;
		}
		/* More may follow the piece, unless that was the last one. */
		if (step == RECORD_MORE && base + len < limit)
			continue;
		if (step == RECORD_MORE && !is_live)
			break;
		if (g->scanned < limit &&
		    !step_over(s, g, step == RECORD_BAD ? at : g->scanned,
			limit, is_live))
			break;
	}
	free(data);
	return rc;
}

/* --- segments and writers --------------------------------------------------------- */

static void
segment_free(struct journal_segment *g)
{
	if (g->fd >= 0)
		(void)close(g->fd);
	free(g);
}

/*
 * Open a segment and read its header.  0: done, or `why` it is none; -1: not
 * now.
 */
static int
open_segment(
    struct spool *s, struct journal_segment *g, const char **why, struct err *e)
{
	uint8_t header[SEGMENT_HEADER];
	struct stat st;

	*why = NULL;
	g->fd =
	    openat(s->dirs.journal, g->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (g->fd < 0 && errno == ENOENT)
		return 0; /* renamed since it was listed */
	if (g->fd < 0 || fstat(g->fd, &st) < 0 ||
	    spool_read_at(g->fd, header, sizeof(header), 0) < 0) {
		*why = "cannot be read";
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			return err_errno(e, "read journal/%s", g->name);
	} else if (!segment_header_get(header, sizeof(header), &s->dirs,
		       &g->generation, &g->size) ||
	    (uint64_t)st.st_size < g->size)
		*why = "is no segment of this spool";
	return 0;
}

/* A segment we do not know. */
static int
meet_segment(struct spool *s, const char *name, struct err *e)
{
	struct journal_segment *g = mem_zalloc(sizeof(*g)), **p;
	const char *why;
	int rc;

	(void)segment_name_parse(name, "seg", g->writer, &g->n);
	segment_name(g->name, g->writer, g->n, "seg");
	rc = open_segment(s, g, &why, e);
	if (rc == 0 && why != NULL) {
		log_error("spool: journal/%s %s, moved to corrupt/", name, why);
		(void)renameat(s->dirs.journal, name, s->dirs.corrupt, name);
	}
	if (rc != 0 || why != NULL || g->fd < 0) {
		segment_free(g);
		return rc;
	}
	g->seed = segment_seed(&s->dirs, g->generation);
	g->scanned = SEGMENT_HEADER;
	g->is_listed = true;
	(void)pthread_mutex_lock(&s->lock);
	/* By age, so that recovery keeps the order of arrival. */
	for (p = &s->segments; *p != NULL && (*p)->generation < g->generation;
	     p = &(*p)->next)
		;
	g->next = *p;
	*p = g;
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

static struct journal_segment *
find_segment(struct spool *s, const char *name)
{
	struct journal_segment *g = s->segments;

	while (g != NULL && strcmp(g->name, name) != 0)
		g = g->next;
	return g;
}

static struct journal_writer *
meet_writer(struct spool *s, const char *name)
{
	struct journal_writer *w = s->writers;
	char file[SEGMENT_NAME_SIZE];

	while (w != NULL && strcmp(w->name, name) != 0)
		w = w->next;
	if (w != NULL)
		return w;
	w = mem_zalloc(sizeof(*w));
	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	(void)snprintf(file, sizeof(file), "%s.ctl", name);
	w->ctl_fd =
	    openat(s->dirs.journal, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	w->next = s->writers;
	s->writers = w;
	return w;
}

static int
list_segments(struct spool *s, struct err *e)
{
	char writer[WRITER_NAME_MAX + 1];
	struct journal_segment *g;
	const char *name;
	uint32_t n;
	int rc = 0;
	DIR *dir = file_list(s->dirs.journal, ".");

	if (dir == NULL)
		return err_errno(e, "list journal");
	for (g = s->segments; g != NULL; g = g->next)
		g->is_listed = false;
	while (rc == 0 && (name = file_list_next(dir)) != NULL) {
		if (!segment_name_parse(name, "seg", writer, &n))
			continue;
		g = find_segment(s, name);
		if (g != NULL)
			g->is_listed = true;
		else
			rc = meet_segment(s, name, e);
	}
	file_list_end(dir);
	return rc;
}

/* Its writer is gone or elsewhere: read to the end, or to the void mark. */
static int
scan_closed(struct spool *s, struct journal_segment *g, struct err *e)
{
	uint8_t raw[PLACE_SIZE];
	char name[SEGMENT_NAME_SIZE];
	struct spool_place p;
	uint64_t limit = g->size;
	int fd;

	segment_name(name, g->writer, g->n, "void");
	fd = openat(s->dirs.journal, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		g->is_void = true;
		if (spool_read_at(fd, raw, sizeof(raw), 0) == 0 &&
		    spool_place_get(raw, &s->dirs, &p) &&
		    p.generation == g->generation)
			limit = p.offset;
		(void)close(fd);
	} else if (errno != ENOENT) {
		return err_errno(e, "open %s", name);
	}
	if (scan(s, g, limit, false, e) < 0)
		return -1;
	g->is_ended = true;
	return 0;
}

static int
scan_segment(struct spool *s, struct journal_segment *g, struct err *e)
{
	struct journal_writer *w = meet_writer(s, g->writer);
	struct spool_ctl c;
	int locked = 0;

	if (w->ctl_fd >= 0) {
		locked = spool_file_is_locked(w->ctl_fd);
		if (locked < 0)
			return err_errno(e, "lock of %s", g->writer);
	}
	if (!locked)
		return scan_closed(s, g, e);
	if (spool_ctl_read(w->ctl_fd, &c) < 0) {
		s->scan_is_partial = true; /* being written */
		return 0;
	}
	w->current = c.current;
	if (g->generation == c.next)
		return 0;
	if (g->generation == c.current)
		return scan(s, g, c.committed, true, e);
	return scan_closed(s, g, e);
}

int
journal_rescan(struct spool *s, struct err *e)
{
	s->scan_is_partial = false;
	if (list_segments(s, e) < 0)
		return -1;
	for (struct journal_segment *g = s->segments; g != NULL; g = g->next) {
		if (!g->is_ended && g->is_listed && scan_segment(s, g, e) < 0)
			return -1;
	}
	return 0;
}

int
journal_poll(struct spool *s, struct err *e)
{
	for (struct journal_writer *w = s->writers; w != NULL; w = w->next) {
		struct journal_segment *g = s->segments;
		struct spool_ctl c;

		if (w->ctl_fd < 0 || spool_ctl_read(w->ctl_fd, &c) < 0)
			continue;
		if (c.current != w->current)
			return journal_rescan(s, e);
		while (g != NULL && g->generation != c.current)
			g = g->next;
		if (g == NULL || g->is_ended)
			continue;
		/* The mark of a writer that died may be an old one. */
		if (c.committed > g->scanned &&
		    spool_file_is_locked(w->ctl_fd) > 0 &&
		    scan(s, g, c.committed, true, e) < 0)
			return -1;
	}
	return 0;
}

/* --- back into the ring --------------------------------------------------------------- */

static size_t
count_free(struct spool *s)
{
	char writer[WRITER_NAME_MAX + 1];
	const char *name;
	size_t count = 0;
	uint32_t n;
	DIR *dir = file_list(s->dirs.journal, ".");

	if (dir == NULL)
		return 0;
	while ((name = file_list_next(dir)) != NULL)
		count += segment_name_parse(name, "free", writer, &n);
	file_list_end(dir);
	return count;
}

/*
 * Rename or delete; a segment whose flush failed is never used again, and one
 * the disk does not give is for a person.
 */
static int
let_go(struct spool *s, struct journal_segment *g, size_t free_count,
    struct err *e)
{
	char name[SEGMENT_NAME_SIZE];
	int rc;

	if (g->name[0] == '\0')
		return 0; /* gone, but the flush of that failed */
	segment_name(name, g->writer, g->n, "free");
	if (g->is_unreadable)
		rc = renameat(
		    s->dirs.journal, g->name, s->dirs.corrupt, g->name);
	else if (g->is_void || g->is_bad || free_count >= FREE_MAX)
		rc = unlinkat(s->dirs.journal, g->name, 0);
	else
		rc = renameat(s->dirs.journal, g->name, s->dirs.journal, name);
	if (rc < 0 && errno != ENOENT)
		return err_errno(e, "free journal/%s", g->name);
	g->name[0] = '\0'; /* somebody else's from here on */
	return 0;
}

/* Under the lock: what was only known because of this segment. */
static void
forget_entries(struct spool *s, struct journal_segment *g)
{
	struct spool_entry *en = g->entries;

	while (en != NULL) {
		struct spool_entry *next = en->segment_next;

		en->segment = NULL;
		en->segment_next = NULL;
		if (en->state == ENTRY_SETTLED || en->is_duplicate)
			spool_index_remove(s, en);
		en = next;
	}
	g->entries = NULL;
}

static void
drop_void_mark(struct spool *s, struct journal_segment *g)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, g->writer, g->n, "void");
	(void)unlinkat(s->dirs.journal, name, 0);
}

int
journal_recycle(struct spool *s, struct err *e)
{
	struct journal_segment *gone = NULL, **p, *g;
	size_t free_count = 0;
	int rc = 0;

	(void)pthread_mutex_lock(&s->lock);
	for (p = &s->segments; (g = *p) != NULL;) {
		if (!g->is_ended || g->unsettled > 0) {
			p = &g->next;
			continue;
		}
		*p = g->next;
		g->next = gone;
		gone = g;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (gone == NULL)
		return 0;
	free_count = count_free(s);
	for (g = gone; g != NULL && rc == 0; g = g->next)
		rc = let_go(s, g, free_count++, e);
	/* Its settled marks may only be forgotten when it is gone for sure. */
	if (rc == 0 && fsync(s->dirs.journal) < 0)
		rc = err_errno(e, "flush journal/");
	(void)pthread_mutex_lock(&s->lock);
	while ((g = gone) != NULL) {
		gone = g->next;
		if (rc < 0) {
			g->next = s->segments;
			s->segments = g;
			continue;
		}
		if (g->is_void)
			drop_void_mark(s, g);
		forget_entries(s, g);
		segment_free(g);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

void
journal_release(struct spool *s)
{
	while (s->segments != NULL) {
		struct journal_segment *g = s->segments;

		s->segments = g->next;
		forget_entries(s, g);
		segment_free(g);
	}
	while (s->writers != NULL) {
		struct journal_writer *w = s->writers;

		s->writers = w->next;
		if (w->ctl_fd >= 0)
			(void)close(w->ctl_fd);
		free(w);
	}
}

int
journal_read(const struct spool_entry *en, struct spool_record *r_out,
    char **payload_out, struct err *e)
{
	const struct journal_segment *g = en->segment;
	uint8_t header[RECORD_HEADER];
	char *payload;
	size_t len;

	if (spool_read_at(g->fd, header, sizeof(header), en->offset) < 0)
		return err_errno(e, "read journal/%s", g->name);
	if (!record_header_get(
		header, g->seed, g->generation, en->offset, r_out))
		return err_set(e, ERR_SYNTAX, "journal record is damaged");
	len = (size_t)record_inline_size(r_out);
	payload = mem_alloc(len + 1);
	if (spool_read_at(g->fd, payload, len, en->offset + RECORD_HEADER) <
	    0) {
		free(payload);
		return err_errno(e, "read journal/%s", g->name);
	}
	if (crc32c(g->seed, payload, len) != r_out->payload_crc) {
		free(payload);
		return err_set(e, ERR_SYNTAX, "journal record is damaged");
	}
	*payload_out = payload;
	return 0;
}
