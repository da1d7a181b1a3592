/*
 * The files that a forwarded message brings along; see answer.h.  Until the
 * draft is first stored they are named by their parts in the original.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"

#include "webmail-cgi/answer.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/writing.h"

/* The part that is the whole message. */
#define WHOLE "message"

/* --- Which ------------------------------------------------------------------------ */

static void
add_file(struct draft *d, struct pool *pool, const char *part, const char *name,
    const char *type, uint64_t size)
{
	if (d->files == NULL)
		d->files =
		    pool_zalloc(pool, DRAFT_FILES_MAX * sizeof(*d->files));
	if (d->file_count < DRAFT_FILES_MAX)
		d->files[d->file_count++] = (struct draft_file){ .name = name,
			.type = type,
			.size = size,
			.len = draft_encoded_size(size),
			.part = part };
}

/* Everything that the text does not show, pictures of its HTML too. */
static bool
is_file(const json_t *part)
{
	const char *role = json_text(part, "role");
	struct slice type = slice_str(json_text(part, "type"));

	if (slice_starts(type, "multipart/") || strcmp(role, "text") == 0)
		return false;
	return strcmp(role, "file") == 0 || !slice_starts(type, "text/");
}

static bool
is_inside(const char *path, const char *outer)
{
	size_t len = strlen(outer);

	return len > 0 && strncmp(path, outer, len) == 0 && path[len] == '.';
}

void
answer_add_files(const struct original *o, struct draft *d)
{
	const json_t *parts = json_object_get(o->summary, "parts");
	struct pool *pool = &o->r->pool;
	const char *outer = "";

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);
		const char *path = json_text(part, "path");
		const char *name = json_text(part, "name");

		if (is_inside(path, outer) || !is_file(part))
			continue;
		outer = path;
		add_file(d, pool, pool_strdup(pool, path),
		    pool_strdup(pool, name[0] != '\0' ? name : "file"),
		    pool_strdup(pool, json_text(part, "type")),
		    (uint64_t)json_integer_value(
			json_object_get(part, "size")));
	}
	d->of = o->id;
}

void
answer_add_whole(const struct original *o, struct draft *d)
{
	struct slice subject =
	    writing_bare_subject(slice_str(json_text(o->summary, "subject")));
	struct pool *pool = &o->r->pool;
	struct stat st = { 0 };
	struct buf name;

	(void)fstat(o->fd, &st);
	buf_init(&name, 2048);
	mime_scrub_name(slice_str(pool_printf(pool, "%.*s.eml",
			    (int)num_min(subject.len, 100), subject.data)),
	    &name);
	add_file(d, pool, WHOLE, pool_strdup(pool, name.data), "message/rfc822",
	    (uint64_t)st.st_size);
	buf_release(&name);
	d->of = o->id;
}

static bool
is_taken(struct web_request *r, const char *part)
{
	const char *value;

	for (size_t i = 0; (value = web_form_next(r, "take", &i)) != NULL;)
		if (strcmp(value, part) == 0)
			return true;
	return false;
}

int
answer_take(struct web_request *r, struct draft *d, struct err *e)
{
	const char *id = web_form(r, "of"), *value;
	struct original o;
	size_t kept = 0;
	int rc;

	d->of = id != NULL ? id : "";
	for (size_t i = 0; (value = web_form_next(r, "take", &i)) != NULL;)
		add_file(d, &r->pool, value, value, "", 0);
	if (d->file_count == 0)
		return 0;
	rc = original_open(r, d->of, &o, e);
	if (rc == 0)
		rc = mime_view(webmail_of(r)->mime, o.fd, true, &o.summary, e);
	if (rc == 0 || e->kind == ERR_PERM)
		d->file_count = 0;
	if (rc == 0) {
		answer_add_files(&o, d);
		answer_add_whole(&o, d);
		for (size_t i = 0; i < d->file_count; i++)
			if (is_taken(r, d->files[i].part))
				d->files[kept++] = d->files[i];
		d->file_count = kept;
	}
	original_close(&o);
	return rc;
}

/* --- Storing them ----------------------------------------------------------------- */

static int
extract_begin(void *arg, const json_t *part, struct err *e)
{
	(void)arg;
	(void)part;
	(void)e;
	return 0;
}

static int
extract_data(void *arg, const void *data, size_t len, struct err *e)
{
	struct web_upload *up = arg;

	up->size += len;
	return file_write_all(up->fd, data, len) == 0
	    ? 0
	    : err_errno(e, "attachment");
}

/* The file's bytes in up->fd, which is the caller's to close. */
static int
extract(struct original *o, const struct draft_file *f, struct web_upload *up,
    struct err *e)
{
	const struct mime_sink sink = { extract_begin, extract_data, up };
	struct webmail *m = webmail_of(o->r);

	*up = (struct web_upload){ .name = f->name, .type = f->type };
	if (strcmp(f->part, WHOLE) == 0) {
		up->size = f->size;
		up->fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
		return up->fd < 0 ? err_errno(e, "message") : 0;
	}
	up->fd = open(m->temp_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (up->fd < 0)
		return err_errno(e, "attachment");
	if (lseek(o->fd, 0, SEEK_SET) != 0)
		return err_errno(e, "message");
	return mime_part(m->mime, o->fd, f->part, &sink, e);
}

int
answer_save_of(struct original *o, struct draft *d, struct err *e)
{
	struct web_request *r = o->r;
	struct draft whole = *d;
	struct web_upload *add = pool_zalloc(
	    &r->pool, (DRAFT_FILES_MAX + r->upload_count) * sizeof(*add));
	size_t taken = 0, count;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->file_count; i++)
		if (d->files[i].part != NULL && !d->files[i].dropped)
			rc = extract(o, &d->files[i], &add[taken++], e);
	count = taken;
	for (size_t i = 0; i < r->upload_count; i++)
		add[count++] = r->uploads[i];
	if (taken > 0)
		whole.file_count =
		    0; /* never pending and stored ones at once */
	if (rc == 0)
		rc = draft_save(r, &whole, add, count, e);
	if (rc == 0)
		*d = whole;
	while (taken > 0)
		if (add[--taken].fd >= 0)
			(void)close(add[taken].fd);
	return rc;
}

int
answer_save(struct web_request *r, struct draft *d, struct err *e)
{
	struct original o = { .r = r, .fd = -1 };
	int rc = 0;

	if (d->file_count > 0 && d->files[0].part != NULL)
		rc = original_open(r, d->of, &o, e);
	if (rc == 0)
		rc = answer_save_of(&o, d, e);
	original_close(&o);
	return rc;
}
