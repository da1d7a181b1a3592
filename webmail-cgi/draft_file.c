/*
 * What a stored draft looks like: header, text, files, each with its length
 * noted in X-Mailstead-Draft, so that reading one needs no MIME parser and a
 * save copies the files as they stand.
 *
 *	X-Mailstead-Draft: text=120 saved=... from=ann@example.org verb=reply
 *	 answers=... file=5120/3700 file=...
 *	X-Mailstead-To: base64 of what was typed (Cc, Bcc alike)
 *
 * Only this program writes it, but anybody with access to the mailbox could:
 * every number is checked against the file.
 */
#include <sys/stat.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "mail/header.h"
#include "mail/message.h"
#include "web/multipart.h"

#include "webmail-cgi/draft.h"
#include "webmail-cgi/writing.h"

enum {
	HEADER_MAX = 512 * 1024,
	PART_HEADER_MAX = 4096,
	FILE_LINE = 57, /* bytes that make a line of 76 in base64 */
	COPY_SIZE = 57 * 1024,
	FOLD = 72,
};

/* --- Writing ---------------------------------------------------------------------- */

uint64_t
draft_encoded_size(uint64_t size)
{
	uint64_t lines = (size + FILE_LINE - 1) / FILE_LINE;

	return (size + 2) / 3 * 4 + lines;
}

void
draft_boundary(const char *did, char out[ID_SIZE + 3])
{
	memcpy(out, "=_", 2);
	memcpy(out + 2, did, ID_SIZE);
}

/* RFC 2231 4 where it is not ASCII; the name is scrubbed already. */
static void
put_file_name(const char *name, struct buf *out)
{
	struct slice s = slice_str(name);

	if (writing_is_plain(s) && strpbrk(name, "\"\\") == NULL) {
		buf_addf(out, "filename=\"%s\"\n", name);
		return;
	}
	buf_addstr(out, "filename*=utf-8''");
	web_escape_url(s, out);
	buf_addc(out, '\n');
}

/* A type from a browser is hostile: letters, digits and few others. */
static bool
type_is_fine(const char *type)
{
	const char *slash = strchr(type, '/');

	if (slash == NULL || slash == type || slash[1] == '\0' ||
	    strlen(type) > 120)
		return false;
	for (const char *p = type; *p != '\0'; p++)
		if (!ascii_is_alnum((unsigned char)*p) &&
		    strchr("-+._/", *p) == NULL)
			return false;
	return slice_istarts(slice_str(type), "multipart/") == false;
}

static void
part_header(const struct draft *d, const struct web_upload *up, struct buf *out)
{
	bool whole = ascii_casecmp(up->type, "message/rfc822") == 0;
	char boundary[ID_SIZE + 3];

	draft_boundary(d->did, boundary);
	buf_addf(out, "--%s\nContent-Type: %s\n", boundary,
	    type_is_fine(up->type) ? up->type : "application/octet-stream");
	buf_addstr(out, "Content-Disposition: attachment;\n ");
	put_file_name(up->name, out);
	/* RFC 2046 5.2.1: no encoding inside message/rfc822 */
	buf_addf(out, "Content-Transfer-Encoding: %s\n\n",
	    whole ? "8bit" : "base64");
}

static uint64_t
stored_size(const struct web_upload *up)
{
	return ascii_casecmp(up->type, "message/rfc822") == 0
	    ? up->size
	    : draft_encoded_size(up->size);
}

static void
put_typed(const char *field, const char *typed, struct buf *out)
{
	struct buf text;

	if (typed[0] == '\0')
		return;
	buf_init(&text, 2 * DRAFT_FIELD_MAX);
	base64_encode(typed, strlen(typed), &text);
	buf_addf(out, "X-Mailstead-%s:", field);
	for (size_t i = 0; i < text.len; i += FOLD)
		buf_addf(out, "\n %.*s", FOLD, text.data + i);
	buf_addc(out, '\n');
	buf_release(&text);
}

static void
put_notes(const struct draft *d, const struct web_upload *add,
    const struct buf *heads, size_t add_count, struct buf *out)
{
	buf_addf(out, "X-Mailstead-Draft: text=%zu saved=%lld", strlen(d->text),
	    (long long)d->saved_ms);
	if (d->from[0] != '\0')
		buf_addf(out, "\n from=%s", d->from);
	if (d->answers[0] != '\0')
		buf_addf(out, "\n answers=%s", d->answers);
	if (d->verb[0] != '\0')
		buf_addf(out, "\n verb=%s", d->verb);
	if (d->receipt[0] != '\0')
		buf_addf(out, "\n receipt=%s", d->receipt);
	if (d->note[0] != '\0')
		buf_addf(out, "\n note=%s", d->note);
	for (size_t i = 0; i < d->file_count; i++)
		if (!d->files[i].dropped)
			buf_addf(out, "\n file=%llu/%llu",
			    (unsigned long long)d->files[i].len,
			    (unsigned long long)d->files[i].size);
	for (size_t i = 0; i < add_count; i++)
		buf_addf(out, "\n file=%llu/%llu",
		    (unsigned long long)heads[i].len + stored_size(&add[i]) + 1,
		    (unsigned long long)add[i].size);
	buf_addc(out, '\n');
}

bool
draft_id_is_good(struct slice id)
{
	for (size_t k = 0; k < id.len; k++) {
		unsigned char c = (unsigned char)id.data[k];

		if (c <= ' ' || c >= 0x7f || c == '<' || c == '>')
			return false;
	}
	return id.len > 0 && id.len <= 900;
}

void
draft_put_ids(const struct draft *d, struct buf *out)
{
	const char *const fields[][2] = { { "In-Reply-To", d->in_reply_to },
		{ "References", d->references } };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct slice rest = slice_str(fields[i][1]), id;
		bool first = true;

		while (rest.data != NULL) {
			rest = slice_cut(rest, ' ', &id);
			if (!draft_id_is_good(id))
				continue;
			if (first)
				buf_addf(out, "%s: <", fields[i][0]);
			else
				buf_addstr(out, "\n <");
			buf_addslice(out, id);
			buf_addc(out, '>');
			first = false;
		}
		if (!first)
			buf_addc(out, '\n');
	}
}

static void
put_header(const struct draft *d, const struct draft_sender *by, bool files,
    struct pool *pool, struct buf *out)
{
	char boundary[ID_SIZE + 3];

	message_date(out, d->saved_ms);
	buf_addf(out, "From: %s\n", by->from);
	draft_put_people(d, true, pool, out);
	buf_addstr(out, "Subject: ");
	header_encode(slice_str(d->subject), out);
	buf_addc(out, '\n');
	message_message_id(out, d->did, by->host);
	draft_put_ids(d, out);
	put_typed("To", d->to, out);
	put_typed("Cc", d->cc, out);
	put_typed("Bcc", d->bcc, out);
	buf_addstr(out, "MIME-Version: 1.0\n");
	draft_boundary(d->did, boundary);
	if (files)
		buf_addf(out,
		    "Content-Type: multipart/mixed; boundary=\"%s\"\n\n--%s\n",
		    boundary, boundary);
	buf_addstr(out,
	    "Content-Type: text/plain; charset=utf-8\n"
	    "Content-Transfer-Encoding: 8bit\n\n");
}

static int
write_to_file(void *arg, const void *data, size_t len, struct err *e)
{
	return file_write_all(*(const int *)arg, data, len) == 0
	    ? 0
	    : err_errno(e, "draft");
}

/* A part's content: base64, or as it stands. */
static int
write_upload(const struct web_upload *up, int fd, struct err *e)
{
	bool plain = ascii_casecmp(up->type, "message/rfc822") == 0;
	char *in = mem_alloc(COPY_SIZE);
	uint64_t at = 0;
	struct buf out;
	int rc = 0;

	buf_init(&out, 2 * COPY_SIZE);
	while (rc == 0 && at < up->size) {
		size_t want = (size_t)(up->size - at < COPY_SIZE ? up->size - at
								 : COPY_SIZE);
		ssize_t n = pread(up->fd, in, want, (off_t)at);

		if (n != (ssize_t)want) {
			errno = n < 0 ? errno : EIO;
			rc = err_errno(e, "upload");
			break;
		}
		buf_reset(&out);
		for (size_t i = 0; !plain && i < want; i += FILE_LINE) {
			base64_encode(in + i,
			    want - i < FILE_LINE ? want - i : FILE_LINE, &out);
			buf_addc(&out, '\n');
		}
		rc = plain ? write_to_file(&fd, in, want, e)
			   : write_to_file(&fd, out.data, out.len, e);
		at += want;
	}
	buf_release(&out);
	free(in);
	return rc;
}

int
draft_copy_files(const struct draft *d,
    int (*write)(void *arg, const void *data, size_t len, struct err *e),
    void *arg, struct err *e)
{
	char *piece = mem_alloc(COPY_SIZE);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->file_count; i++) {
		uint64_t at = d->files[i].at, left = d->files[i].len;

		while (rc == 0 && left > 0 && !d->files[i].dropped) {
			size_t want =
			    left < COPY_SIZE ? (size_t)left : COPY_SIZE;
			ssize_t n = pread(d->fd, piece, want, (off_t)at);

			if (n <= 0) {
				errno = n < 0 ? errno : EIO;
				rc = err_errno(e, "draft");
				break;
			}
			rc = write(arg, piece, (size_t)n, e);
			at += (uint64_t)n;
			left -= (uint64_t)n;
		}
	}
	free(piece);
	return rc;
}

static int
write_added(const struct web_upload *add, const struct buf *heads,
    size_t add_count, int fd, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < add_count; i++) {
		rc = write_to_file(&fd, heads[i].data, heads[i].len, e);
		if (rc == 0)
			rc = write_upload(&add[i], fd, e);
		if (rc == 0)
			rc = write_to_file(&fd, "\n", 1, e);
	}
	return rc;
}

int
draft_write(const struct draft *d, const struct web_upload *add,
    size_t add_count, const struct draft_sender *by, int fd, struct pool *pool,
    struct err *e)
{
	bool files = add_count > 0 || draft_files_size(d) > 0;
	struct buf *heads = pool_alloc(pool, (add_count + 1) * sizeof(*heads));
	char boundary[ID_SIZE + 3];
	struct buf head;
	int rc;

	buf_init(&head, HEADER_MAX + DRAFT_TEXT_MAX + PART_HEADER_MAX);
	for (size_t i = 0; i < add_count; i++) {
		buf_init(&heads[i], PART_HEADER_MAX);
		part_header(d, &add[i], &heads[i]);
	}
	put_notes(d, add, heads, add_count, &head);
	put_header(d, by, files, pool, &head);
	buf_addstr(&head, d->text);
	if (files)
		buf_addc(&head, '\n');
	rc = buf_overflowed(&head) ? err_set(e, ERR_PERM, "too large")
				   : write_to_file(&fd, head.data, head.len, e);
	if (rc == 0)
		rc = draft_copy_files(d, write_to_file, &fd, e);
	if (rc == 0)
		rc = write_added(add, heads, add_count, fd, e);
	draft_boundary(d->did, boundary);
	buf_reset(&head);
	buf_addf(&head, "--%s--\n", boundary);
	if (rc == 0 && files)
		rc = write_to_file(&fd, head.data, head.len, e);
	for (size_t i = 0; i < add_count; i++)
		buf_release(&heads[i]);
	buf_release(&head);
	return rc;
}

/* --- Reading ------------------------------------------------------------------------ */

static const char *
copy_unfolded(struct slice value, struct pool *pool)
{
	struct buf text;
	const char *copy;

	buf_init(&text, HEADER_MAX);
	header_decode(value, &text);
	copy = pool_strndup(pool, text.data, text.len);
	buf_release(&text);
	return copy;
}

static const char *
read_typed(struct slice value, struct pool *pool)
{
	struct buf digits, text;
	const char *copy = "";

	buf_init(&digits, 2 * DRAFT_FIELD_MAX);
	buf_init(&text, DRAFT_FIELD_MAX + 3);
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.data[i] > ' ')
			buf_addc(&digits, value.data[i]);
	if (base64_decode(buf_slice(&digits), &text) &&
	    utf8_is_valid(buf_slice(&text)) &&
	    memchr(text.data, '\0', text.len) == NULL)
		copy = pool_strndup(pool, text.data, text.len);
	buf_release(&digits);
	buf_release(&text);
	return copy;
}

/* "<a@b> <c@d>" to "a@b c@d" */
static const char *
read_ids(struct slice value, struct pool *pool)
{
	char *out = pool_alloc(pool, value.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.data[i];

		if (c == '<' || c == '>')
			continue;
		if (c > ' ')
			out[n++] = (char)c;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return out;
}

static bool
read_file_note(struct draft *d, struct slice value)
{
	struct slice len, size = slice_cut(value, '/', &len);
	struct draft_file *f = &d->files[d->file_count];

	if (d->file_count == DRAFT_FILES_MAX ||
	    !num_parse(len, INT32_MAX, &f->len) ||
	    !num_parse(size, INT32_MAX, &f->size))
		return false;
	d->file_count++;
	return true;
}

static bool
read_notes(struct draft *d, struct slice value, uint64_t *text_len_out,
    struct pool *pool)
{
	const char *text = copy_unfolded(value, pool);
	struct slice rest = slice_str(text), word, key;
	uint64_t saved = 0;

	d->files = pool_zalloc(pool, DRAFT_FILES_MAX * sizeof(*d->files));
	while (rest.data != NULL) {
		struct slice v;
		const char *copy;

		rest = slice_cut(rest, ' ', &word);
		v = slice_cut(word, '=', &key);
		copy = pool_strndup(pool, v.data != NULL ? v.data : "", v.len);
		if (slice_eq_str(key, "text")) {
			if (!num_parse(v, DRAFT_TEXT_MAX, text_len_out))
				return false;
		} else if (slice_eq_str(key, "saved")) {
			if (!num_parse(v, INT64_MAX, &saved))
				return false;
		} else if (slice_eq_str(key, "file")) {
			if (!read_file_note(d, v))
				return false;
		} else if (slice_eq_str(key, "from")) {
			d->from = copy;
		} else if (slice_eq_str(key, "answers")) {
			d->answers = copy;
		} else if (slice_eq_str(key, "verb")) {
			d->verb = copy;
		} else if (slice_eq_str(key, "receipt")) {
			d->receipt = copy;
		} else if (slice_eq_str(key, "note")) {
			d->note = copy;
		}
	}
	d->saved_ms = (int64_t)saved;
	return true;
}

static void
read_field(struct draft *d, const struct header_field *f, struct pool *pool)
{
	if (header_is(f, "X-Mailstead-To"))
		d->to = read_typed(f->value, pool);
	else if (header_is(f, "X-Mailstead-Cc"))
		d->cc = read_typed(f->value, pool);
	else if (header_is(f, "X-Mailstead-Bcc"))
		d->bcc = read_typed(f->value, pool);
	else if (header_is(f, "Subject"))
		d->subject = copy_unfolded(f->value, pool);
	else if (header_is(f, "In-Reply-To"))
		d->in_reply_to = read_ids(f->value, pool);
	else if (header_is(f, "References"))
		d->references = read_ids(f->value, pool);
}

/* Name and type of a file, from its part's header. */
static void
read_part(const struct draft *d, struct draft_file *f, struct pool *pool)
{
	char head[PART_HEADER_MAX];
	ssize_t n = pread(d->fd, head,
	    f->len < sizeof(head) ? (size_t)f->len : sizeof(head),
	    (off_t)f->at);
	struct header_scan scan = { slice_of(head, n > 0 ? (size_t)n : 0) };
	struct header_field field;
	struct buf name, plain;
	struct slice line;

	f->name = "file";
	f->type = "application/octet-stream";
	scan.rest = slice_cut(scan.rest, '\n', &line);
	buf_init(&name, 4096);
	buf_init(&plain, 4096);
	while (header_next(&scan, &field)) {
		if (header_is(&field, "Content-Type"))
			f->type = copy_unfolded(field.value, pool);
		else if (header_is(&field, "Content-Disposition") &&
		    multipart_parameter(field.value, "filename", &name))
			f->name = pool_strndup(pool, name.data, name.len);
		else if (header_is(&field, "Content-Disposition") &&
		    multipart_parameter(field.value, "filename*", &name) &&
		    name.len > 7 &&
		    web_unescape_url(
			slice_skip(buf_slice(&name), 7), false, &plain) &&
		    utf8_is_valid(buf_slice(&plain)))
			f->name = pool_strndup(pool, plain.data, plain.len);
	}
	buf_release(&name);
	buf_release(&plain);
}

/* The text behind the header (and the first part's), and where files are. */
static int
read_body(struct draft *d, struct slice all, struct slice body,
    uint64_t text_len, uint64_t size, struct pool *pool, struct err *e)
{
	uint64_t at;

	if (d->file_count > 0) {
		struct header_scan scan;
		struct header_field field;
		struct slice line;
		bool had;

		scan.rest = slice_cut(body, '\n', &line);
		while (header_next(&scan, &field))
			;
		body = header_body(&scan, &had);
	}
	if (body.data == NULL || text_len > body.len)
		return err_set(e, ERR_PERM, "not a draft: too short");
	d->text = pool_strndup(pool, body.data, (size_t)text_len);
	at = (uint64_t)(body.data - all.data) + text_len + 1;
	for (size_t i = 0; i < d->file_count; i++) {
		d->files[i].at = at;
		at += d->files[i].len;
		if (at > size)
			return err_set(e, ERR_PERM, "not a draft: too short");
		read_part(d, &d->files[i], pool);
	}
	return 0;
}

int
draft_read(struct draft *d, struct pool *pool, struct err *e)
{
	struct stat st;
	struct header_field field;
	uint64_t text_len = 0;
	bool ours = false, had;
	struct header_scan scan;
	struct slice all;
	char *data;
	ssize_t n;
	size_t want;

	if (fstat(d->fd, &st) != 0)
		return err_errno(e, "draft");
	want = num_min(
	    (size_t)st.st_size, HEADER_MAX + DRAFT_TEXT_MAX + PART_HEADER_MAX);
	data = pool_alloc(pool, want + 1);
	n = pread(d->fd, data, want, 0);
	if (n < 0)
		return err_errno(e, "draft");
	all = slice_of(data, (size_t)n);
	scan.rest = all;
	while (header_next(&scan, &field)) {
		if (header_is(&field, "X-Mailstead-Draft"))
			ours = read_notes(d, field.value, &text_len, pool);
		else
			read_field(d, &field, pool);
	}
	if (!ours)
		return err_set(e, ERR_PERM, "not a draft of ours");
	return read_body(d, all, header_body(&scan, &had), text_len,
	    (uint64_t)st.st_size, pool, e);
}
