/*
 * What mailstead-parse does with a message.  A table of jobs; GMime is used
 * only on what the guard let through, and reads from the descriptor, so a
 * large message does not become memory.
 */
#include "parse/job.h"

#include <gmime/gmime.h>
#include <iconv.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/slice.h"

#include "parse/guard.h"

enum {
	TEXT_MAX = 998,
	CHUNK = 65536
};

/* Held for good, so that their tables stay loaded. */
static iconv_t converters[32];

void
job_prepare(void)
{
	/* their tables are files, which the jail cannot open later */
	static const char *const charsets[] = { "ISO-8859-1", "ISO-8859-2",
		"ISO-8859-5", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9",
		"ISO-8859-15", "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1252",
		"WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256",
		"KOI8-R", "KOI8-U", "GB2312", "GBK", "GB18030", "BIG5",
		"SHIFT_JIS", "EUC-JP", "ISO-2022-JP", "EUC-KR", "TIS-620",
		"UTF-16", "US-ASCII" };

	g_mime_init();
	for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
		converters[i] = iconv_open("UTF-8", charsets[i]);
}

static bool
pass_guard(int fd)
{
	char *chunk = g_malloc(CHUNK);
	struct guard guard;
	ssize_t n;
	bool good = true;

	guard_init(&guard);
	while (good && (n = read(fd, chunk, CHUNK)) > 0)
		good = guard_feed(&guard, chunk, (size_t)n);
	g_free(chunk);
	return good && lseek(fd, 0, SEEK_SET) == 0;
}

/* UTF-8 without control characters, of bounded length. */
static json_t *
clean_text(const char *text)
{
	char *valid, *cut;
	json_t *value;

	if (text == NULL)
		return json_string("");
	valid = g_utf8_make_valid(text, -1);
	if (strlen(valid) > TEXT_MAX) {
		cut = g_utf8_find_prev_char(valid, valid + TEXT_MAX);
		*cut = '\0';
	}
	for (char *p = valid; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = ' ';
	}
	value = json_string(valid);
	g_free(valid);
	return value;
}

static void
put_header(json_t *out, GMimeMessage *m, const char *name, const char *key)
{
	const char *raw = g_mime_object_get_header(GMIME_OBJECT(m), name);
	char *decoded = raw ? g_mime_utils_header_decode_text(
				  g_mime_parser_options_get_default(), raw)
			    : NULL;

	json_object_set_new(out, key, clean_text(decoded));
	g_free(decoded);
}

struct count {
	json_int_t parts, attachments;
};

static void
count_part(GMimeObject *parent, GMimeObject *part, gpointer arg)
{
	struct count *count = arg;

	(void)parent;
	count->parts++;
	if (GMIME_IS_PART(part) && g_mime_part_is_attachment((GMimePart *)part))
		count->attachments++;
}

static json_t *
describe(GMimeMessage *m)
{
	static const struct {
		const char *name, *key;
	} fields[] = { { "From", "from" }, { "To", "to" }, { "Cc", "cc" },
		{ "Subject", "subject" }, { "Message-ID", "message_id" },
		{ "In-Reply-To", "in_reply_to" },
		{ "References", "references" } };
	struct count count = { 0, 0 };
	GDateTime *date = g_mime_message_get_date(m);
	json_t *out = json_pack("{sb,sb,sI}", "ok", 1, "broken", 0, "date_ms",
	    (json_int_t)(date ? g_date_time_to_unix(date) * 1000 : 0));

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		put_header(out, m, fields[i].name, fields[i].key);
	g_mime_message_foreach(m, count_part, &count);
	json_object_set_new(out, "parts", json_integer(count.parts));
	json_object_set_new(
	    out, "attachments", json_integer(count.attachments));
	return out;
}

static json_t *
job_summary(const json_t *job, int fd)
{
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *m;
	json_t *out;

	(void)job;
	if (!pass_guard(fd))
		return json_pack("{sb,sb}", "ok", 1, "broken", 1);
	stream = g_mime_stream_fs_new(dup(fd));
	parser = g_mime_parser_new_with_stream(stream);
	m = g_mime_parser_construct_message(parser, NULL);
	/* NULL: empty, or it does not begin with a header */
	out = m != NULL ? describe(m)
			: json_pack("{sb,sb}", "ok", 1, "broken", 1);
	if (m != NULL)
		g_object_unref(m);
	g_object_unref(parser);
	g_object_unref(stream);
	return out;
}

json_t *
job_run(const json_t *job, int fd)
{
	static const struct {
		const char *name;
		json_t *(*run)(const json_t *job, int fd);
	} jobs[] = { { "summary", job_summary } };

	const char *name = json_string_value(json_object_get(job, "job"));

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(jobs); i++) {
		if (strcmp(jobs[i].name, name) == 0)
			return jobs[i].run(job, fd);
	}
	return json_pack("{sb,ss}", "ok", 0, "text", "no such job");
}
