/*
 * What mailstead-parse does with a message: the table of jobs, and those that
 * show parts.  The mailbox index's summary is in summary.c.
 */
#include "parse/job.h"

#include <libxml/parser.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "mime/mime.h"

#include "parse/message.h"
#include "parse/sanitise.h"
#include "parse/summary.h"
#include "parse/view.h"

enum {
	FIELDS_MAX = 2000,
	FIELD_MAX = 64 * 1024,
};

void
job_prepare(void)
{
	message_prepare();
	xmlInitParser();
}

static const char *
text_of(const json_t *job, const char *key, const char *missing)
{
	const char *text = json_string_value(json_object_get(job, key));

	return text != NULL ? text : missing;
}

static void
job_summary(const struct message *m, const json_t *job, struct answer *a)
{
	struct buf text;
	json_t *summary;

	(void)job;
	buf_init(&text, MIME_SEARCH_TEXT_MAX * 2);
	summary = summary_make(m, &text);
	answer_data(a, text.data, text.len);
	answer_end(a, summary);
	buf_release(&text);
}

static bool
add_part(void *arg, const struct message_part *part)
{
	json_array_append_new(arg, message_describe(part));
	return true;
}

static void
job_structure(const struct message *m, const json_t *job, struct answer *a)
{
	json_t *parts = json_array();
	json_t *out = json_pack("{so}", "parts", parts);

	(void)job;
	if (m->broken != NULL) {
		json_object_set_new(out, "broken", json_string(m->broken));
		json_array_append_new(parts, message_describe_opaque(m));
	}
	message_walk(m, add_part, parts);
	answer_end(a, out);
}

/* A message's own fields; GMime keeps Content-* with its root part. */
static void
add_fields(json_t *fields, GMimeObject *object)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(object);
	int count = list ? g_mime_header_list_get_count(list) : 0;
	struct buf name, value;

	buf_init(&name, 256);
	buf_init(&value, (size_t)FIELD_MAX * 3);
	for (int i = 0; i < count && json_array_size(fields) < FIELDS_MAX;
	     i++) {
		GMimeHeader *h = g_mime_header_list_get_header_at(list, i);

		buf_reset(&name);
		buf_reset(&value);
		message_clean_header(g_mime_header_get_name(h), &name);
		message_clean_header(g_mime_header_get_raw_value(h), &value);
		json_array_append_new(fields,
		    json_pack(
			"[s%,s%]", name.data, name.len, value.data, value.len));
	}
	buf_release(&name);
	buf_release(&value);
}

/* The message itself (""), an embedded one, or a part. */
static void
job_headers(const struct message *m, const json_t *job, struct answer *a)
{
	const char *path = text_of(job, "path", "");
	GMimeMessage *message = path[0] == '\0' ? m->root : NULL;
	GMimeObject *part = path[0] == '\0' ? NULL : message_find(m, path);
	json_t *fields;

	if (part != NULL && GMIME_IS_MESSAGE_PART(part))
		message =
		    g_mime_message_part_get_message(GMIME_MESSAGE_PART(part));
	if (m->broken != NULL || (part == NULL && message == NULL)) {
		answer_refuse(a, "%s", m->broken ? m->broken : "no such part");
		return;
	}
	fields = json_array();
	if (message != NULL)
		add_fields(fields, GMIME_OBJECT(message));
	if (message != NULL && message->mime_part != NULL)
		add_fields(fields, message->mime_part);
	if (message == NULL)
		add_fields(fields, part);
	answer_end(a, json_pack("{so}", "fields", fields));
}

/* Refuses if there is none. */
static GMimeObject *
part_of(const struct message *m, const json_t *job, struct answer *a)
{
	GMimeObject *part = message_find(m, text_of(job, "path", ""));

	if (part == NULL)
		answer_refuse(a, "%s", m->broken ? m->broken : "no such part");
	return part;
}

static bool
send_piece(void *arg, const char *data, size_t len)
{
	answer_data(arg, data, len);
	return !answer_is_lost(arg);
}

/* A broken message is its own only part. */
static void
send_opaque(const struct message *m, struct answer *a)
{
	json_t *about = message_describe_opaque(m);
	char chunk[8192];
	off_t at = 0;
	ssize_t n;

	answer_begin(a, about);
	json_decref(about);
	while ((n = pread(m->fd, chunk, sizeof(chunk), at)) > 0 &&
	    !answer_is_lost(a)) {
		answer_data(a, chunk, (size_t)n);
		at += n;
	}
	answer_end(a, json_object());
}

static void
job_part(const struct message *m, const json_t *job, struct answer *a)
{
	const char *path = text_of(job, "path", "");
	struct message_part part = { .path = path };
	json_t *about;

	if (m->broken != NULL && strcmp(path, "1") == 0) {
		send_opaque(m, a);
		return;
	}
	part.object = part_of(m, job, a);
	if (part.object == NULL)
		return;
	if (GMIME_IS_MULTIPART(part.object)) {
		answer_refuse(a, "a container");
		return;
	}
	about = message_describe(&part);
	answer_begin(a, about);
	json_decref(about);
	if (message_decode(part.object, send_piece, a))
		answer_end(a, json_object());
	else
		answer_refuse(a, "a container");
}

static void
send_text(struct answer *a, const struct buf *text, json_t *info)
{
	answer_data(a, text->data, text->len);
	answer_end(a, info);
}

static void
job_text(const struct message *m, const json_t *job, struct answer *a)
{
	GMimeObject *part = part_of(m, job, a);
	struct buf text;

	if (part == NULL)
		return;
	buf_init(&text, MIME_TEXT_MAX);
	if (message_unfolded_text(part, &text))
		send_text(a, &text,
		    json_pack("{sb,sb}", "truncated", buf_overflowed(&text),
			"flowed",
			message_parameter_is(part, "format", "flowed")));
	else
		answer_refuse(a, "not a text");
	buf_release(&text);
}

static void
job_view(const struct message *m, const json_t *job, struct answer *a)
{
	answer_end(a,
	    view_make(m, json_is_true(json_object_get(job, "prefer_plain"))));
}

static void
job_html(const struct message *m, const json_t *job, struct answer *a)
{
	const struct sanitise_options options = {
		.remote_pictures =
		    json_is_true(json_object_get(job, "remote_pictures")),
		.cid_prefix = text_of(job, "cid_prefix", NULL),
		.mail_url = text_of(job, "mail_url", NULL),
	};
	GMimeObject *part = part_of(m, job, a);
	struct sanitise_info info;
	struct buf text, clean;

	if (part == NULL)
		return;
	buf_init(&text, MIME_TEXT_MAX);
	buf_init(&clean, MIME_TEXT_MAX);
	if (!g_mime_content_type_is_type(
		g_mime_object_get_content_type(part), "text", "html") ||
	    !message_text(part, &text)) {
		answer_refuse(a, "not HTML");
	} else {
		sanitise_html(buf_slice(&text), &options, &clean, &info);
		send_text(a, &clean,
		    json_pack("{si,si,sb,sb}", "pictures", (int)info.pictures,
			"blocked_pictures", (int)info.blocked_pictures,
			"truncated", info.truncated || buf_overflowed(&text),
			"coloured", info.coloured));
	}
	buf_release(&text);
	buf_release(&clean);
}

void
job_run(const json_t *job, int fd, struct answer *a)
{
	/* clang-format off */
	static const struct {
		const char *name;
		void (*run)(const struct message *m, const json_t *job,
		    struct answer *a);
	} jobs[] = {
		{ "summary", job_summary }, { "structure", job_structure },
		{ "headers", job_headers }, { "part", job_part },
		{ "text", job_text }, { "html", job_html },
		{ "view", job_view },
	};

	/* clang-format on */
	const char *name = text_of(job, "job", "");
	struct message m;

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		if (strcmp(jobs[i].name, name) != 0)
			continue;
		message_open(&m, fd);
		jobs[i].run(&m, job, a);
		message_release(&m);
		return;
	}
	answer_refuse(a, "no such job");
}
