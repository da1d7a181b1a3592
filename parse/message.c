/*
 * GMime behind the guard; see message.h.  Nothing is ever re-encoded:
 * GMime 3.2 loops over some parameters when it writes them.
 */
#include "parse/message.h"

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "mime/mime.h"

#include "parse/charset.h"
#include "parse/flowed.h"
#include "parse/guard.h"

enum {
	CHUNK = 65536,
	SMALL_MAX = 128 * 1024,
	HEADER_MAX = 64 * 1024,
	RAW_TEXT_MAX = 8 * 1024 * 1024,
};

void
message_prepare(void)
{
	g_mime_init();
	charset_prepare();
}

/* --- Opening ----------------------------------------------------------------- */

/* A message of usual size is read once, into memory. */
static bool
read_small(struct message *m)
{
	GByteArray *bytes = g_byte_array_new();
	struct guard guard;
	ssize_t n;

	g_byte_array_set_size(bytes, (guint)m->size);
	n = pread(m->fd, bytes->data, bytes->len, 0);
	g_byte_array_set_size(bytes, n > 0 ? (guint)n : 0);
	m->stream = g_mime_stream_mem_new_with_byte_array(bytes);
	g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(m->stream), TRUE);
	guard_init(&guard);
	return n >= 0 &&
	    guard_feed(&guard, (const char *)bytes->data, bytes->len);
}

static bool
pass_guard(int fd)
{
	char *chunk = mem_alloc(CHUNK);
	struct guard guard;
	ssize_t n;
	bool good = lseek(fd, 0, SEEK_SET) == 0;

	guard_init(&guard);
	while (good && (n = read(fd, chunk, CHUNK)) > 0)
		good = guard_feed(&guard, chunk, (size_t)n);
	free(chunk);
	return good && lseek(fd, 0, SEEK_SET) == 0;
}

void
message_open(struct message *m, int fd)
{
	GMimeParser *parser;
	struct stat st;

	memset(m, 0, sizeof(*m));
	m->fd = fd;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		m->broken = "not a file";
		return;
	}
	m->size = st.st_size;
	if (m->size <= SMALL_MAX ? !read_small(m) : !pass_guard(fd)) {
		m->broken = "its structure is too complex";
		return;
	}
	if (m->stream == NULL) {
		m->stream = g_mime_stream_fs_new(fd);
		g_mime_stream_fs_set_owner(GMIME_STREAM_FS(m->stream), FALSE);
	}
	parser = g_mime_parser_new_with_stream(m->stream);
	m->root = g_mime_parser_construct_message(parser, NULL);
	g_object_unref(parser);
	if (m->root == NULL || m->root->mime_part == NULL)
		m->broken = "it has no header";
}

void
message_release(struct message *m)
{
	if (m->root != NULL)
		g_object_unref(m->root);
	if (m->stream != NULL)
		g_object_unref(m->stream);
	memset(m, 0, sizeof(*m));
}

/* --- The tree ------------------------------------------------------------------ */

struct walk {
	bool (*visit)(void *arg, const struct message_part *part);
	void *arg;
	unsigned count;
	bool stopped;
	char path[MESSAGE_PATH_MAX];
};

/* Recursion is bounded by the guard: multiparts and embedded messages. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void
walk_part(struct walk *w, GMimeObject *object, size_t path_len, unsigned depth)
{
	struct message_part part = { object, w->path, depth };
	GMimeMessage *inner;
	int count = 0;

	w->path[path_len] = '\0';
	if (object == NULL || w->stopped || path_len + 8 > sizeof(w->path))
		return;
	if (++w->count > MESSAGE_PARTS_MAX || !w->visit(w->arg, &part)) {
		w->stopped = true;
		return;
	}
	if (GMIME_IS_MULTIPART(object))
		count = g_mime_multipart_get_count(GMIME_MULTIPART(object));
	for (int i = 0; i < count && !w->stopped; i++) {
		int n = snprintf(w->path + path_len, sizeof(w->path) - path_len,
		    ".%d", i + 1);

		walk_part(w,
		    g_mime_multipart_get_part(GMIME_MULTIPART(object), i),
		    path_len + (size_t)n, depth + 1);
	}
	if (GMIME_IS_MESSAGE_PART(object) && !w->stopped) {
		inner =
		    g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));
		memcpy(w->path + path_len, ".1", 3);
		if (inner != NULL)
			walk_part(w, inner->mime_part, path_len + 2, depth + 1);
	}
	w->path[path_len] = '\0';
}

void
message_walk(const struct message *m,
    bool (*visit)(void *arg, const struct message_part *part), void *arg)
{
	struct walk w = { .visit = visit, .arg = arg, .path = "1" };

	if (m->broken == NULL)
		walk_part(&w, m->root->mime_part, 1, 0);
}

struct find {
	const char *path;
	GMimeObject *found;
};

static bool
compare_path(void *arg, const struct message_part *part)
{
	struct find *f = arg;

	if (strcmp(part->path, f->path) == 0)
		f->found = part->object;
	return f->found == NULL;
}

GMimeObject *
message_find(const struct message *m, const char *path)
{
	struct find f = { path, NULL };

	message_walk(m, compare_path, &f);
	return f.found;
}

/* --- What a part says of itself --------------------------------------------------- */

void
message_clean_header(const char *raw, struct buf *out)
{
	char *decoded;

	if (raw == NULL)
		return;
	decoded = g_mime_utils_header_decode_text(NULL, raw);
	if (decoded != NULL)
		charset_scrub(slice_trim(slice_str(decoded)), true, out);
	g_free(decoded);
}

/* "text/plain" in lower case; at most 100 bytes. */
static void
message_type(GMimeObject *part, struct buf *out)
{
	GMimeContentType *type = g_mime_object_get_content_type(part);
	const char *words[2] = { type ? type->type : NULL,
		type ? type->subtype : NULL };

	for (int i = 0; i < 2; i++) {
		const char *word = words[i] ? words[i] : i ? "plain" : "text";

		for (size_t n = 0; n < 60 && word[n] != '\0'; n++) {
			unsigned char c = (unsigned char)word[n];

			if (ascii_is_alnum(c) || strchr("+-._", c) != NULL)
				buf_addc(out, (char)ascii_lower(c));
		}
		if (i == 0)
			buf_addc(out, '/');
	}
}

bool
message_is_attachment(GMimeObject *part)
{
	const char *disposition = g_mime_object_get_disposition(part);

	if (GMIME_IS_MULTIPART(part))
		return false;
	if (GMIME_IS_MESSAGE_PART(part))
		return true;
	if (disposition != NULL &&
	    ascii_casecmp(disposition, "attachment") == 0)
		return true;
	return !g_mime_content_type_is_type(
		   g_mime_object_get_content_type(part), "text", "*") &&
	    g_mime_object_get_content_id(part) == NULL;
}

/* A message without a name is called as its subject. */
static void
name_by_subject(GMimeObject *part, struct buf *out)
{
	GMimeMessage *inner = GMIME_IS_MESSAGE_PART(part)
	    ? g_mime_message_part_get_message(GMIME_MESSAGE_PART(part))
	    : NULL;
	struct buf name;

	if (inner == NULL)
		return;
	buf_init(&name, HEADER_MAX);
	message_clean_header(
	    g_mime_object_get_header(GMIME_OBJECT(inner), "Subject"), &name);
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] == '/' || name.data[i] == '\\')
			name.data[i] = '_';
	if (name.len > 0) {
		buf_addstr(&name, ".eml");
		mime_scrub_name(buf_slice(&name), out);
	}
	buf_release(&name);
}

void
message_part_name(GMimeObject *part, struct buf *out)
{
	const char *name =
	    g_mime_object_get_content_disposition_parameter(part, "filename");
	char *decoded;

	if (name == NULL || name[0] == '\0')
		name = g_mime_object_get_content_type_parameter(part, "name");
	if (name == NULL || name[0] == '\0') {
		name_by_subject(part, out);
		return;
	}
	/* GMime decodes RFC 2231; many send encoded words here instead */
	decoded = g_mime_utils_header_decode_text(NULL, name);
	mime_scrub_name(slice_str(decoded ? decoded : name), out);
	g_free(decoded);
}

static void
set_clean(json_t *out, const char *key, const char *raw)
{
	struct buf text;

	buf_init(&text, HEADER_MAX);
	if (raw != NULL)
		charset_scrub(slice_str(raw), true, &text);
	json_object_set_new(out, key, json_stringn(text.data, text.len));
	buf_release(&text);
}

static GMimeDataWrapper *
content_of(GMimeObject *part)
{
	return GMIME_IS_PART(part) ? g_mime_part_get_content(GMIME_PART(part))
				   : NULL;
}

/* Of its bytes as they stand. */
static int64_t
stored_size(GMimeObject *part)
{
	GMimeDataWrapper *content = content_of(part);
	int64_t length = content == NULL
	    ? 0
	    : g_mime_stream_length(g_mime_data_wrapper_get_stream(content));

	return length < 0 ? 0 : length;
}

static void
add_stored_size(GMimeObject *parent, GMimeObject *part, gpointer sum)
{
	(void)parent;
	*(int64_t *)sum += stored_size(part);
}

/* Of the decoded bytes, from the length of the encoded ones; of a message the
 * bytes of its parts. */
static int64_t
estimate_size(GMimeObject *part)
{
	int64_t length = stored_size(part);
	GMimeMessage *inner = GMIME_IS_MESSAGE_PART(part)
	    ? g_mime_message_part_get_message(GMIME_MESSAGE_PART(part))
	    : NULL;

	if (inner != NULL)
		g_mime_message_foreach(inner, add_stored_size, &length);
	if (GMIME_IS_PART(part) &&
	    g_mime_part_get_content_encoding(GMIME_PART(part)) ==
		GMIME_CONTENT_ENCODING_BASE64)
		length = length / 78 * 57 + length % 78 * 3 / 4;
	return length;
}

bool
message_parameter_is(GMimeObject *part, const char *name, const char *value)
{
	const char *is = g_mime_object_get_content_type_parameter(part, name);

	return is != NULL && ascii_casecmp(is, value) == 0;
}

json_t *
message_describe(const struct message_part *part)
{
	GMimeObject *o = part->object;
	const char *disposition = g_mime_object_get_disposition(o);
	struct buf type, name;
	json_t *out;

	buf_init(&type, 200);
	buf_init(&name, 1024);
	message_type(o, &type);
	message_part_name(o, &name);
	out = json_pack("{ss,ss,ss%,sI,si,sb,sb}", "path", part->path, "type",
	    type.data, "name", name.data, name.len, "size",
	    (json_int_t)estimate_size(o), "depth", (int)part->depth, "flowed",
	    message_parameter_is(o, "format", "flowed"), "attachment",
	    message_is_attachment(o));
	set_clean(out, "cid", g_mime_object_get_content_id(o));
	set_clean(out, "charset",
	    g_mime_object_get_content_type_parameter(o, "charset"));
	set_clean(out, "encoding",
	    GMIME_IS_PART(o)
		? g_mime_content_encoding_to_string(
		      g_mime_part_get_content_encoding(GMIME_PART(o)))
		: "");
	json_object_set_new(out, "disposition",
	    json_string(disposition == NULL ? ""
		    : ascii_casecmp(disposition, "inline") == 0
		    ? "inline"
		    : "attachment"));
	buf_release(&type);
	buf_release(&name);
	return out;
}

json_t *
message_describe_opaque(const struct message *m)
{
	return json_pack("{ss,ss,ss,sI,si,sb,sb,ss,ss,ss,ss}", "path", "1",
	    "type", "application/octet-stream", "name", "message.eml", "size",
	    (json_int_t)m->size, "depth", 0, "flowed", 0, "attachment", 1,
	    "cid", "", "charset", "", "encoding", "", "disposition",
	    "attachment");
}

/* --- Content ------------------------------------------------------------------------ */

struct taker {
	bool (*take)(void *arg, const char *data, size_t len);
	void *arg;
	off64_t written;
};

static ssize_t
cookie_write(void *cookie, const char *data, size_t len)
{
	struct taker *t = cookie;

	if (!t->take(t->arg, data, len))
		return 0;
	t->written += (off64_t)len;
	return (ssize_t)len;
}

/* GMime seeks before each write, always to where it is. */
static int
cookie_seek(void *cookie, off64_t *offset, int whence)
{
	struct taker *t = cookie;

	if (whence == SEEK_CUR)
		*offset += t->written;
	return *offset == t->written ? 0 : -1;
}

/* GMime keeps an embedded message only as a tree: it writes it out again. */
static void
write_embedded(GMimeMessage *message, struct taker *t)
{
	cookie_io_functions_t functions = { .write = cookie_write,
		.seek = cookie_seek };
	FILE *file = fopencookie(t, "w", functions);
	GMimeStream *stream;

	if (file == NULL)
		return;
	stream = g_mime_stream_file_new(file); /* owns it */
	(void)g_mime_object_write_to_stream(
	    GMIME_OBJECT(message), NULL, stream);
	(void)g_mime_stream_flush(stream);
	g_object_unref(stream);
}

static void
read_content(GMimePart *part, struct taker *t)
{
	GMimeStream *raw =
	    g_mime_data_wrapper_get_stream(g_mime_part_get_content(part));
	GMimeStream *decoded = g_mime_stream_filter_new(raw);
	GMimeFilter *filter = g_mime_filter_basic_new(
	    g_mime_part_get_content_encoding(part), FALSE);
	char *chunk = mem_alloc(CHUNK);
	ssize_t n;

	(void)g_mime_stream_reset(raw);
	(void)g_mime_stream_filter_add(GMIME_STREAM_FILTER(decoded), filter);
	while ((n = g_mime_stream_read(decoded, chunk, CHUNK)) > 0 &&
	    t->take(t->arg, chunk, (size_t)n)) {
	}
	free(chunk);
	g_object_unref(filter);
	g_object_unref(decoded);
}

bool
message_decode(GMimeObject *part,
    bool (*take)(void *arg, const char *data, size_t len), void *arg)
{
	struct taker t = { take, arg, 0 };
	GMimeMessage *inner;

	if (GMIME_IS_MESSAGE_PART(part)) {
		inner =
		    g_mime_message_part_get_message(GMIME_MESSAGE_PART(part));
		if (inner != NULL)
			write_embedded(inner, &t);
		return true;
	}
	if (!GMIME_IS_PART(part))
		return false;
	if (content_of(part) != NULL)
		read_content(GMIME_PART(part), &t);
	return true;
}

static bool
add_to_buf(void *arg, const char *data, size_t len)
{
	struct buf *out = arg;
	size_t room = out->max - out->len;

	buf_add(out, data, len < room ? len : room);
	return len <= room;
}

/* The same into a buffer; cut at its ceiling (buf_overflowed()). */
static bool
message_decode_to(GMimeObject *part, struct buf *out)
{
	return message_decode(part, add_to_buf, out);
}

bool
message_text(GMimeObject *part, struct buf *out)
{
	const char *charset =
	    g_mime_object_get_content_type_parameter(part, "charset");
	struct buf raw, text;
	bool rc;

	buf_init(&raw, RAW_TEXT_MAX);
	buf_init(&text, (size_t)RAW_TEXT_MAX * 3);
	rc = message_decode_to(part, &raw);
	if (rc) {
		charset_to_utf8(buf_slice(&raw), charset ? charset : "", &text);
		buf_release(&raw); /* it can be large: make room */
		charset_scrub(buf_slice(&text), false, out);
	}
	buf_release(&raw);
	buf_release(&text);
	return rc;
}

bool
message_unfolded_text(GMimeObject *part, struct buf *out)
{
	struct buf text;
	bool rc;

	if (!message_parameter_is(part, "format", "flowed"))
		return message_text(part, out);
	buf_init(&text, out->max);
	rc = message_text(part, &text);
	flowed_unfold(
	    buf_slice(&text), message_parameter_is(part, "delsp", "yes"), out);
	buf_release(&text);
	return rc;
}
