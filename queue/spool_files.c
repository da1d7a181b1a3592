/*
 * What lies in files of its own: envelopes and bodies of messages that wait,
 * and the settled marks.
 *
 * An envelope file is never changed: a new state is a new file with the next
 * serial, and the old one goes when the new one is durable.  Its name carries
 * when it is due, so that a start reads names and nothing else.  A body is one
 * file, <id>, wherever it was written: large/, deferred/ or hold/.
 *
 * settled.log is a header and places; the first that does not fit ends it.
 * It is written anew at every start and when it has grown.
 *
 * Called by the start and by the flusher; reading an envelope by any claimer.
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
	ENVELOPE_FILE_MAGIC = 0x31454d53, /* "SME1" */
	SETTLED_MAX = 256 * 1024 * 1024,
	NAME_TIME_MAX_BITS = 47,
};

/* --- names ---------------------------------------------------------------------- */

void
envelope_name_put(char out[ENVELOPE_NAME_SIZE], const struct envelope_name *n)
{
	(void)snprintf(out, ENVELOPE_NAME_SIZE, "%s.%u.%llu.%c", n->id,
	    n->serial, (unsigned long long)n->next_ms,
	    n->in_journal ? 'j' : 'f');
}

bool
envelope_name_get(const char *text, struct envelope_name *out)
{
	struct slice rest = slice_str(text), id, serial, next;
	uint64_t serial_n, next_n;

	rest = slice_cut(rest, '.', &id);
	rest = slice_cut(rest, '.', &serial);
	rest = slice_cut(rest, '.', &next);
	if (!id_is_valid(id) || !num_parse(serial, UINT32_MAX, &serial_n) ||
	    !num_parse(next, (uint64_t)1 << NAME_TIME_MAX_BITS, &next_n) ||
	    (!slice_eq_str(rest, "j") && !slice_eq_str(rest, "f")))
		return false;
	memcpy(out->id, id.data, ID_LEN);
	out->id[ID_LEN] = '\0';
	out->serial = (uint32_t)serial_n;
	out->next_ms = (int64_t)next_n;
	out->in_journal = rest.data[0] == 'j';
	return true;
}

struct envelope_name
entry_envelope_name(const struct spool_entry *en)
{
	struct envelope_name n = { .serial = en->serial,
		.next_ms = en->file_next,
		.in_journal = en->place == PLACE_JOURNAL };

	memcpy(n.id, en->id, ID_SIZE);
	return n;
}

int
files_dir(const struct spool *s, enum entry_dir dir)
{
	return dir == DIR_HOLD ? s->dirs.hold : s->dirs.deferred;
}

/* --- envelope files ----------------------------------------------------------------- */

static int
write_file(int dir_fd, const char *name, struct slice header, struct slice data,
    bool flush)
{
	int rc, error;
	int fd = spool_file_new(dir_fd, name);

	if (fd < 0 && errno == EEXIST) {
		/* Left by one who died on the way; it never counted. */
		(void)unlinkat(dir_fd, name, 0);
		fd = spool_file_new(dir_fd, name);
	}
	if (fd < 0)
		return -1;
	rc = spool_write_at(fd, header.data, header.len, 0);
	if (rc == 0)
		rc = spool_write_at(fd, data.data, data.len, header.len);
	if (rc == 0 && flush)
		rc = fsync(fd);
	error = errno;
	if (close(fd) < 0 && rc == 0) {
		error = errno;
		rc = -1;
	}
	if (rc < 0)
		(void)unlinkat(dir_fd, name, 0);
	errno = error;
	return rc;
}

int
files_put_envelope(struct spool *s, enum entry_dir dir,
    const struct envelope_name *n, struct slice data, bool flush, struct err *e)
{
	int dir_fd = files_dir(s, dir);
	uint8_t header[ENVELOPE_FILE_HEADER] = { 0 };
	char name[ENVELOPE_NAME_SIZE], temporary[ENVELOPE_NAME_SIZE];

	num_put_le32(header, ENVELOPE_FILE_MAGIC);
	num_put_le32(header + 8, (uint32_t)data.len);
	num_put_le32(header + 4, crc32c(0, data.data, data.len));
	envelope_name_put(name, n);
	(void)snprintf(temporary, sizeof(temporary), "%.*s.tmp", ID_LEN, n->id);
	if (write_file(dir_fd, temporary,
		slice_of((const char *)header, sizeof(header)), data,
		flush) < 0)
		return err_errno(e, "write envelope of %s", n->id);
	if (renameat(dir_fd, temporary, dir_fd, name) < 0 ||
	    (flush && fsync(dir_fd) < 0)) {
		err_errno(e, "store envelope of %s", n->id);
		(void)unlinkat(dir_fd, temporary, 0);
		return -1;
	}
	return 0;
}

int
files_get_envelope(struct spool *s, enum entry_dir dir,
    const struct envelope_name *n, struct buf *out, struct err *e)
{
	char name[ENVELOPE_NAME_SIZE];
	struct buf raw;
	const uint8_t *p;
	int rc;

	envelope_name_put(name, n);
	buf_init(&raw, ENVELOPE_MAX + ENVELOPE_FILE_HEADER);
	rc = file_read(files_dir(s, dir), name, &raw, e);
	if (rc < 0) {
		buf_release(&raw);
		return -1;
	}
	p = (const uint8_t *)raw.data;
	if (raw.len < ENVELOPE_FILE_HEADER ||
	    num_get_le32(p) != ENVELOPE_FILE_MAGIC ||
	    num_get_le32(p + 8) != raw.len - ENVELOPE_FILE_HEADER ||
	    num_get_le32(p + 4) !=
		crc32c(0, p + ENVELOPE_FILE_HEADER,
		    raw.len - ENVELOPE_FILE_HEADER))
		rc =
		    err_set(e, ERR_SYNTAX, "envelope file %s is damaged", name);
	else
		buf_add(out, p + ENVELOPE_FILE_HEADER,
		    raw.len - ENVELOPE_FILE_HEADER);
	buf_release(&raw);
	return rc;
}

void
files_drop_envelope(
    struct spool *s, enum entry_dir dir, const struct envelope_name *n)
{
	char name[ENVELOPE_NAME_SIZE];

	envelope_name_put(name, n);
	(void)unlinkat(files_dir(s, dir), name, 0);
}

int
files_put_body(struct spool *s, enum entry_dir dir, const char *id,
    struct slice data, struct err *e)
{
	if (write_file(files_dir(s, dir), id, slice_of("", 0), data, false) < 0)
		return err_errno(e, "write the body of %s", id);
	return 0;
}

int
files_open_body(struct spool *s, const char *id, int *fd_out, int *dir_fd_out,
    struct err *e)
{
	const int dirs[] = { s->dirs.large, s->dirs.deferred, s->dirs.hold };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		int fd = openat(dirs[i], id,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd >= 0) {
			*fd_out = fd;
			*dir_fd_out = dirs[i];
			return 0;
		}
		if (errno != ENOENT)
			return err_errno(e, "open the body of %s", id);
	}
	return err_set(e, ERR_PERM, "the body of %s is not there", id);
}

/* --- the names at the start ------------------------------------------------------------ */

/*
 * Is this envelope file to be taken instead of the one the entry has?  The
 * newer one, if it is whole; but not after a flush that failed, when it may
 * only seem to be on the disk: then the marks go on from the older one.
 */
static bool
is_better(struct spool *s, const struct spool_entry *en, enum entry_dir dir,
    const struct envelope_name *n)
{
	struct envelope_name own = entry_envelope_name(en);
	bool is_newer = n->serial > en->serial, good = false;
	struct buf ignored;
	struct err e;

	if (en->serial == 0 || n->serial == en->serial)
		return en->serial == 0;
	buf_init(&ignored, ENVELOPE_MAX);
	if (!spool_is_unsure(s))
		good = files_get_envelope(s, is_newer ? dir : en->dir,
			   is_newer ? n : &own, &ignored, &e) == 0;
	buf_release(&ignored);
	return is_newer == good;
}

static void
attach_envelope(struct spool *s, struct spool_entry *en, enum entry_dir dir,
    const struct envelope_name *n)
{
	en->dir = (uint8_t)dir;
	en->serial = n->serial;
	en->file_next = n->next_ms;
	if (n->in_journal)
		return;
	en->place = PLACE_FILES;
	en->next_try_ms = n->next_ms;
	spool_index_set(s, en, dir == DIR_HOLD ? ENTRY_HELD : ENTRY_WAITING);
}

static void
load_envelope_name(
    struct spool *s, enum entry_dir dir, const struct envelope_name *n)
{
	struct spool_entry *en = spool_index_find(s, n->id);
	bool is_unsettled = en != NULL && en->place == PLACE_JOURNAL &&
	    en->state != ENTRY_SETTLED;
	struct envelope_name old;

	/*
	 * Made for a record that is settled; or of a message on its way out of
	 * the journal, by a flush that was not completed: its record is whole
	 * for sure, and the marks speak of it.
	 */
	if (n->in_journal != is_unsettled) {
		files_drop_envelope(s, dir, n);
		return;
	}
	if (en == NULL)
		en = spool_index_add(s, n->id);
	if (!is_better(s, en, dir, n)) {
		files_drop_envelope(s, dir, n);
		return;
	}
	if (en->serial > 0) {
		old = entry_envelope_name(en);
		files_drop_envelope(s, en->dir, &old);
	}
	attach_envelope(s, en, dir, n);
}

static int
compare_names(const void *a, const void *b)
{
	return memcmp(((const struct envelope_name *)a)->id,
	    ((const struct envelope_name *)b)->id, ID_LEN);
}

/*
 * By id, so that neighbours in the index are neighbours in memory: walking
 * through it is mostly waiting for that.
 */
static int
load_dir(struct spool *s, enum entry_dir which, struct err *e)
{
	struct envelope_name *names = NULL;
	size_t count = 0, space = 0;
	const char *name;
	DIR *dir = file_list(files_dir(s, which), ".");

	if (dir == NULL)
		return err_errno(e, "list deferred messages");
	while ((name = file_list_next(dir)) != NULL) {
		names = mem_grow(names, &space, count + 1, sizeof(*names));
		if (envelope_name_get(name, &names[count]))
			count++;
		else if (slice_ends(slice_str(name), ".tmp"))
			(void)unlinkat(dirfd(dir), name, 0);
	}
	file_list_end(dir);
	if (count > 1)
		qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++)
		load_envelope_name(s, which, &names[i]);
	free(names);
	return 0;
}

int
files_load(struct spool *s, struct err *e)
{
	if (load_dir(s, DIR_DEFERRED, e) < 0)
		return -1;
	return load_dir(s, DIR_HOLD, e);
}

/* --- bodies nobody speaks of ------------------------------------------------------------ */

/* A writer keeps its body locked until the record is in the journal. */
static bool
is_being_written(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool busy = fd >= 0 && spool_file_is_locked(fd) != 0;

	if (fd >= 0)
		(void)close(fd);
	return busy;
}

/* "<id>" or "<id>.env" */
static bool
body_id(const char *name, char out[ID_SIZE])
{
	struct slice id, rest = slice_cut(slice_str(name), '.', &id);

	return (rest.data == NULL || slice_eq_str(rest, "env")) &&
	    id_is_valid(id) && slice_copy(id, out, ID_SIZE);
}

/* Of what is in the journal only a big body lies in a file, in large/. */
static bool
is_needed(struct spool *s, int dir_fd, const char *id)
{
	const struct spool_entry *en;
	bool needed;

	(void)pthread_mutex_lock(&s->lock);
	en = spool_index_find(s, id);
	needed = en != NULL && en->state != ENTRY_SETTLED &&
	    (dir_fd == s->dirs.large || en->place == PLACE_FILES);
	(void)pthread_mutex_unlock(&s->lock);
	return needed;
}

struct name_list {
	char (*names)[ID_SIZE + 4];
	size_t count, alloc;
};

static int
list_bodies(struct spool *s, int dir_fd, struct name_list *out, struct err *e)
{
	char id[ID_SIZE];
	const char *name;
	DIR *dir = file_list(dir_fd, ".");

	if (dir == NULL)
		return err_errno(e, "list bodies");
	while ((name = file_list_next(dir)) != NULL) {
		if (!body_id(name, id) || is_needed(s, dir_fd, id) ||
		    is_being_written(dir_fd, name))
			continue;
		out->names = mem_grow(out->names, &out->alloc, out->count + 1,
		    sizeof(*out->names));
		if (slice_copy(slice_str(name), out->names[out->count],
			sizeof(*out->names)))
			out->count++;
	}
	file_list_end(dir);
	return 0;
}

/*
 * A body without a lock is either one whose record is in the journal by now,
 * or one whose writer died.  So: list, read the journal on, and what is still
 * unknown then is nobody's.
 */
int
files_clean(struct spool *s, struct err *e)
{
	const int dirs[] = { s->dirs.large, s->dirs.deferred, s->dirs.hold };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		struct name_list list = { NULL, 0, 0 };
		int rc = list_bodies(s, dirs[i], &list, e);

		if (rc == 0 && list.count > 0)
			rc = journal_rescan(s, e);
		for (size_t k = 0;
		     rc == 0 && !s->scan_is_partial && k < list.count; k++) {
			const char *name = list.names[k];
			char id[ID_SIZE];

			assert(name != NULL);
			if (body_id(name, id) && !is_needed(s, dirs[i], id))
				(void)unlinkat(dirs[i], name, 0);
		}
		free(list.names);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* --- settled.log ------------------------------------------------------------------------- */

static int
compare_places(const void *a, const void *b)
{
	const struct spool_place *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int
settled_load(struct spool *s, struct err *e)
{
	struct buf raw;
	const uint8_t *p;
	size_t at = SETTLED_HEADER;
	int rc = 0;

	if (faccessat(s->dirs.root, "settled.log", F_OK, 0) < 0 &&
	    errno == ENOENT)
		return 0;
	buf_init(&raw, SETTLED_MAX);
	rc = file_read(s->dirs.root, "settled.log", &raw, e);
	p = (const uint8_t *)raw.data;
	if (rc == 0 &&
	    (raw.len < SETTLED_HEADER || !settled_header_get(p, &s->dirs))) {
		log_error("spool: settled.log is damaged, "
			  "messages may be delivered again");
		at = raw.len;
	}
	while (rc == 0 && at + PLACE_SIZE <= raw.len) {
		s->settled = mem_grow(s->settled, &s->settled_alloc,
		    s->settled_count + 1, sizeof(*s->settled));
		if (!spool_place_get(
			p + at, &s->dirs, &s->settled[s->settled_count]))
			break;
		s->settled_count++;
		at += PLACE_SIZE;
	}
	buf_release(&raw);
	if (s->settled_count > 0)
		qsort(s->settled, s->settled_count, sizeof(*s->settled),
		    compare_places);
	return rc;
}

bool
settled_has(const struct spool *s, uint64_t generation, uint64_t offset)
{
	const struct spool_place p = { generation, offset };

	return s->settled_count > 0 &&
	    bsearch(&p, s->settled, s->settled_count, sizeof(p),
		compare_places) != NULL;
}

static void
add_place(struct buf *b, const struct spool *s, const struct spool_place *p)
{
	uint8_t raw[PLACE_SIZE];

	spool_place_put(raw, &s->dirs, p);
	buf_add(b, raw, sizeof(raw));
}

int
settled_rewrite(struct spool *s, struct err *e)
{
	uint8_t header[SETTLED_HEADER];
	struct buf b;
	int rc;

	buf_init(&b, SETTLED_MAX);
	settled_header_put(header, &s->dirs);
	buf_add(&b, header, sizeof(header));
	(void)pthread_mutex_lock(&s->lock);
	for (struct journal_segment *g = s->segments; g != NULL; g = g->next) {
		for (struct spool_entry *en = g->entries; en != NULL;
		     en = en->segment_next) {
			struct spool_place p = { g->generation, en->offset };

			if (en->state == ENTRY_SETTLED ||
			    en->place == PLACE_FILES)
				add_place(&b, s, &p);
		}
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (s->settled_fd >= 0)
		(void)close(s->settled_fd);
	s->settled_fd = -1;
	if (buf_overflowed(&b))
		rc = err_set(e, ERR_TEMP, "settled.log too big");
	else
		rc = file_replace(
		    s->dirs.root, "settled.log", 0660, b.data, b.len, e);
	if (rc == 0) {
		s->settled_fd = openat(s->dirs.root, "settled.log",
		    O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		if (s->settled_fd < 0)
			rc = err_errno(e, "open settled.log");
		s->settled_size = s->settled_base = b.len;
	}
	buf_release(&b);
	return rc;
}

int
settled_append(struct spool *s, const struct spool_place *places, size_t count,
    struct err *e)
{
	struct buf b;
	int rc;

	if (count == 0)
		return 0;
	if (s->settled_fd < 0 && settled_rewrite(s, e) < 0)
		return -1;
	buf_init(&b, SETTLED_MAX);
	for (size_t i = 0; i < count; i++)
		add_place(&b, s, &places[i]);
	rc = spool_write_at(s->settled_fd, b.data, b.len, s->settled_size);
	if (rc == 0)
		rc = fdatasync(s->settled_fd);
	if (rc == 0) {
		s->settled_size += b.len;
	} else {
		err_errno(e, "write settled.log");
		/* Never flushed again: the next flush writes a new one. */
		(void)close(s->settled_fd);
		s->settled_fd = -1;
	}
	buf_release(&b);
	return rc;
}
