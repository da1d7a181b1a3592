/*
 * Messages as files: into a folder, and a folder's out of it.
 */
#include "webmail-cgi/folder_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "mail/header.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/zip.h"

enum {
	HEAD_MAX = 64 * 1024,
	CHUNK = 32 * 1024,
	SUBJECT_MAX = 60, /* of a file's name */
	ZIP_BYTES_MAX = 2000000000,
	ZIP_FILE_COST = 512, /* headers of each; its name twice */
};

/* --- Into a folder ------------------------------------------------------------------ */

struct import {
	struct web_request *r;
	struct maildir folder;
	const char *host;
	int64_t room_bytes, room_messages; /* of the quota; -1: no end */
	uint64_t max_bytes;                /* of one; 0: no end */
	unsigned imported, skipped, full;
};

/* What is left of a quota; none is no end. */
static int64_t
room_of(const struct web_request *r, const char *max, const char *used)
{
	const json_t *user = session_of(r)->user;
	json_int_t all = json_integer_value(json_object_get(user, max));
	json_int_t taken = json_integer_value(json_object_get(user, used));

	if (all <= 0)
		return -1;
	return taken < all ? all - taken : 0;
}

/* When it was written; 0: those are no header fields of a message. */
static int64_t
message_time(struct slice head)
{
	static const char *const usual[] = { "From", "To", "Subject",
		"Received", "Message-ID" };
	int64_t now = clock_wall_ms(), date_ms = now;
	struct header_scan scan = { head };
	struct header_field f;
	bool is_message = false;
	struct buf date;

	buf_init(&date, 1024);
	while (header_next(&scan, &f)) {
		for (size_t i = 0; i < ARRAY_LEN(usual); i++)
			is_message |= header_is(&f, usual[i]);
		if (!header_is(&f, "Date"))
			continue;
		is_message = true;
		buf_reset(&date);
		header_unfold(f.value, &date);
		if (!clock_parse_rfc5322(buf_slice(&date), &date_ms) ||
		    date_ms <= 0 || date_ms > now)
			date_ms = now;
	}
	buf_release(&date);
	return is_message ? date_ms : 0;
}

/* With LF line ends, as all mail here, the last line's included. */
static int
copy_lines(int from_fd, off_t at, int fd, struct err *e)
{
	char *in = mem_alloc(CHUNK), *out = mem_alloc(CHUNK + 1);
	char last = '\n';
	bool cr = false;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = pread(from_fd, in, CHUNK, at)) != 0) {
		size_t len = 0;

		for (ssize_t i = 0; i < n; i++) {
			if (cr && in[i] != '\n')
				out[len++] = '\r';
			cr = in[i] == '\r';
			if (!cr)
				out[len++] = in[i];
		}
		if (n < 0 || file_write_all(fd, out, len) != 0)
			rc = err_errno(e, "import");
		if (len > 0)
			last = out[len - 1];
		at += n;
	}
	if (rc == 0 && (cr || last != '\n') && file_write_all(fd, "\n", 1) != 0)
		rc = err_errno(e, "import");
	free(in);
	free(out);
	return rc;
}

static int
write_message(struct import *im, const struct web_upload *up, off_t at,
    int64_t time_ms, struct err *e)
{
	char id[ID_SIZE], name[MAILDIR_NAME_SIZE];
	char temporary[MAILDIR_NAME_SIZE];
	int fd, rc;

	id_new_at(time_ms, id);
	(void)snprintf(temporary, sizeof(temporary), "%s.importing", id);
	fd = openat(im->folder.tmp_fd, temporary,
	    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd < 0)
		return err_errno(e, "import");
	rc = copy_lines(up->fd, at, fd, e);
	if (rc == 0)
		rc = maildir_publish_file(&im->folder, temporary,
		    &(struct maildir_origin){ id, 0, im->host }, fd,
		    MAILDIR_SEEN, name, e);
	if (rc != 0)
		(void)unlinkat(im->folder.tmp_fd, temporary, 0);
	(void)close(fd);
	return rc;
}

/* Some programs begin with the line that a mailbox file would have. */
static off_t
start_of(struct slice head)
{
	ptrdiff_t end = slice_chr(head, '\n');

	return slice_starts(head, "From ") && end >= 0 ? end + 1 : 0;
}

static int
import_one(struct import *im, const struct web_upload *up, struct err *e)
{
	char *data = mem_alloc(HEAD_MAX);
	ssize_t n = pread(up->fd, data, HEAD_MAX, 0);
	struct slice head = slice_of(data, n > 0 ? (size_t)n : 0);
	off_t at = start_of(head);
	int64_t time_ms = message_time(slice_skip(head, (size_t)at));

	free(data);
	if (time_ms == 0 || (im->max_bytes > 0 && up->size > im->max_bytes)) {
		im->skipped++;
		return 0;
	}
	if (im->room_messages == 0 ||
	    (im->room_bytes >= 0 && up->size > (uint64_t)im->room_bytes)) {
		im->full++;
		return 0;
	}
	if (write_message(im, up, at, time_ms, e) != 0)
		return -1;
	im->room_bytes -= im->room_bytes >= 0 ? (int64_t)up->size : 0;
	im->room_messages -= im->room_messages > 0;
	im->imported++;
	user_count_usage(im->r, (int64_t)up->size, 1);
	return 0;
}

void
folder_import_post(struct web_request *r, struct web_response *w)
{
	const char *id = web_form(r, "folder");
	const char *dir = id != NULL ? mailbox_dir_of(r, id) : NULL;
	const struct session *s = session_of(r);
	struct settings *all = directory_settings(webmail_of(r)->directory);
	struct import im = { .r = r,
		.host = mailbox_host_name(r),
		.room_bytes = room_of(r, "quota_bytes", "used_bytes"),
		.room_messages = room_of(r, "quota_messages", "used_messages"),
		.max_bytes =
		    (uint64_t)settings_int(all, SET_MESSAGE_MAX_BYTES) };
	struct err e = { .kind = ERR_PERM };
	int rc = 0;

	settings_free(all);
	/* the usual folders are there, even before they are */
	if (dir == NULL ||
	    mailbox_open_folder(r, dir, id[0] != '~', &im.folder, &e) != 0) {
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "list.no_folder"));
		return;
	}
	for (size_t i = 0; i < r->upload_count && rc == 0; i++)
		rc = import_one(&im, &r->uploads[i], &e);
	maildir_close(&im.folder);
	if (im.imported > 0)
		mailbox_tell_usage(webmail_of(r), s->local, s->domain);
	if (rc != 0) {
		log_error("import of %s: %s", s->address, e.text);
		web_error(w, 503, page_text(r, "folders.not_imported"));
		return;
	}
	web_redirect(w,
	    pool_printf(&r->pool, "/folders?imported=%u&skipped=%u&full=%u",
		im.imported, im.skipped, im.full));
}

/* --- Out of a folder ----------------------------------------------------------------- */

static int
zip_to_browser(void *arg, const void *data, size_t len, struct err *e)
{
	return web_stream(arg, data, len, e);
}

/* "00042 Its subject.eml" */
static void
name_of(size_t n, struct slice head, char out[ZIP_NAME_SIZE])
{
	struct header_scan scan = { head };
	struct header_field f;
	struct buf subject, clean;

	buf_init(&subject, HEAD_MAX);
	buf_init(&clean, 1024);
	while (subject.len == 0 && header_next(&scan, &f)) {
		if (header_is(&f, "Subject"))
			header_decode(f.value, &subject);
	}
	mime_scrub_name(buf_slice(&subject), &clean);
	buf_cut_utf8(&clean, SUBJECT_MAX);
	(void)snprintf(out, ZIP_NAME_SIZE, "%05zu %s.eml", n, clean.data);
	buf_release(&subject);
	buf_release(&clean);
}

static int
zip_message(struct zip *z, size_t n, int fd, char *chunk, struct err *e)
{
	char name[ZIP_NAME_SIZE];
	ssize_t len = read(fd, chunk, CHUNK);

	name_of(n, slice_of(chunk, len > 0 ? (size_t)len : 0), name);
	if (zip_file(z, name, e) != 0)
		return -1;
	while (len > 0) {
		if (zip_data(z, chunk, (size_t)len, e) != 0)
			return -1;
		len = read(fd, chunk, CHUNK);
	}
	return len == 0 ? 0 : err_errno(e, "%s", name);
}

/* One that went away meanwhile is left out. */
static int
zip_folder(const struct maildir *m, const struct maildir_list *list,
    struct zip *z, struct err *e)
{
	char *chunk = mem_alloc(CHUNK);
	int rc = 0;

	for (size_t i = 0; i < list->count && rc == 0; i++) {
		int fd;

		rc = maildir_open_message(m, list->items[i].name, &fd, e);
		if (rc != 0 && e->kind == ERR_PERM) {
			rc = 0;
		} else if (rc == 0) {
			rc = zip_message(z, i + 1, fd, chunk, e);
			(void)close(fd);
		}
	}
	free(chunk);
	return rc == 0 ? zip_end(z, e) : -1;
}

/* Sizes are in the names: known before the first byte is sent. */
static bool
is_too_large(const struct maildir_list *list)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < list->count; i++)
		sum += list->items[i].size + ZIP_FILE_COST +
		    list->items[i].size / 4096;
	return list->count > ZIP_FILES_MAX || sum > ZIP_BYTES_MAX;
}

static void
send_zip(struct web_request *r, struct web_response *w, const char *dir,
    const struct maildir *m, const struct maildir_list *list)
{
	struct zip z;
	struct err e;

	zip_init(&z, zip_to_browser, w, clock_wall_ms());
	web_download(w,
	    pool_printf(&r->pool, "%s.zip", mailbox_folder_name(r, dir)),
	    "application/zip", false);
	/* half an archive has no directory, which its reader will say */
	if (zip_folder(m, list, &z, &e) != 0)
		log_warning("%s: %s", r->path, e.text);
	zip_release(&z);
}

void
folder_zip(struct web_request *r, struct web_response *w)
{
	const char *dir = mailbox_dir_of(r, r->args[0]);
	struct maildir_list list = { 0 };
	struct err e = { .kind = ERR_PERM };
	struct maildir m;

	if (dir == NULL || mailbox_open_folder(r, dir, false, &m, &e) != 0) {
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "list.no_folder"));
		return;
	}
	if (maildir_list(&m, &list, &e) != 0)
		web_error(w, 503, page_text(r, "folders.failed"));
	else if (is_too_large(&list))
		web_error(w, 413, page_text(r, "folders.too_large"));
	else
		send_zip(r, w, dir, &m, &list);
	maildir_list_release(&list);
	maildir_close(&m);
}
