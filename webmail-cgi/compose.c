/*
 * The page on which a message is written, also as an answer to another.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

#include "webmail-cgi/webmail.h"

enum {
	QUOTED_MAX = 4 * 1024 * 1024,
	REFERENCES_MAX = 32 * 1024,
};

static const char *
form_text(const struct web_request *r, const char *name)
{
	const char *text = web_form(r, name);

	return text != NULL ? text : "";
}

static const char *
query_text(const struct web_request *r, const char *name)
{
	const char *text = web_query(r, name);

	return text != NULL ? text : "";
}

/* Every line with "> " before it. */
static json_t *
quote(const char *text, const char *who)
{
	struct slice rest = slice_trim(slice_str(text)), line;
	json_t *value;
	struct buf out;

	buf_init(&out, QUOTED_MAX);
	buf_addf(&out, "\n\n%s:\n", who);
	while (rest.data != NULL) {
		rest = slice_cut(rest, '\n', &line);
		buf_addstr(
		    &out, line.len > 0 && line.data[0] == '>' ? ">" : "> ");
		buf_addslice(&out, line);
		buf_addc(&out, '\n');
	}
	value = json_stringn(out.data, out.len);
	buf_release(&out);
	return value;
}

static void
add_quote(struct web_request *r, int fd, const char *who, json_t *values)
{
	json_t *view = NULL;
	const char *text;
	struct err e;

	if (lseek(fd, 0, SEEK_SET) != 0 ||
	    mime_view(webmail_of(r)->mime, fd, true, &view, &e) != 0)
		return;
	text = json_string_value(json_object_get(
	    json_array_get(json_object_get(view, "bodies"), 0), "text"));
	if (text != NULL)
		json_object_set_new(values, "text", quote(text, who));
	json_decref(view);
}

/* To, subject, threading (RFC 5322 3.6.4) and quoted text of an answer. */
static void
add_answer(struct web_request *r, const json_t *summary, int fd, json_t *values)
{
	const json_t *people = json_object_get(summary, "reply_to");
	const json_t *ids = json_object_get(summary, "references");
	const char *address = "", *subject = "", *id = "";
	struct buf references;

	if (json_array_size(people) == 0)
		people = json_object_get(summary, "from");
	(void)json_unpack((json_t *)(uintptr_t)json_array_get(people, 0),
	    "{s?s}", "address", &address);
	(void)json_unpack((json_t *)(uintptr_t)summary, "{s?s, s?s}", "subject",
	    &subject, "message_id", &id);
	buf_init(&references, REFERENCES_MAX);
	for (size_t i = 0; i < json_array_size(ids); i++)
		buf_addf(&references, "%s ",
		    json_string_value(json_array_get(ids, i)));
	buf_addstr(&references, id);
	json_object_set_new(values, "to", json_string(address));
	json_object_set_new(values, "subject",
	    json_string(pool_printf(&r->pool, "%s%s",
		slice_istarts(slice_str(subject), "re:") ? "" : "Re: ",
		subject)));
	json_object_set_new(values, "in_reply_to", json_string(id));
	json_object_set_new(values, "references",
	    json_stringn(references.data, references.len));
	buf_release(&references);
	add_quote(r, fd, address, values);
}

void
compose_page(struct web_request *r, struct web_response *w)
{
	const char *id = web_query(r, "reply");
	const struct folder *f = folder_find(query_text(r, "in"));
	json_t *summary = NULL;
	json_t *values = json_pack("{ss,ss,ss}", "to", query_text(r, "to"),
	    "subject", query_text(r, "subject"), "text", query_text(r, "body"));
	struct err e;
	int fd;

	if (id != NULL && f != NULL &&
	    folder_open_message(r, f, id, &fd, &e) == 0) {
		if (mime_summary(webmail_of(r)->mime, fd, &summary, &e) == 0)
			add_answer(r, summary, fd, values);
		json_decref(summary);
		(void)close(fd);
	}
	page_send(r, w, "compose", page_text(r, "compose.title"), values);
}

/* The form again, with everything that was typed. */
static void
show_again(struct web_request *r, struct web_response *w, const char *key,
    const char *bad)
{
	static const char *const names[] = { "to", "cc", "bcc", "subject",
		"text", "in_reply_to", "references" };
	const char *error = page_text(r, key);
	const char *hole = strstr(error, "{bad}");
	json_t *values = json_object();

	if (hole != NULL && bad != NULL)
		error = pool_printf(&r->pool, "%.*s%s%s", (int)(hole - error),
		    error, bad, hole + strlen("{bad}"));
	json_object_set_new(values, "error", json_string(error));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_object_set_new(
		    values, names[i], json_string(form_text(r, names[i])));
	w->status = strcmp(key, "compose.failed") == 0 ? 503 : 422;
	page_send(r, w, "compose", page_text(r, "compose.title"), values);
}

void
compose_post(struct web_request *r, struct web_response *w)
{
	struct outgoing m = {
		.to = form_text(r, "to"),
		.cc = form_text(r, "cc"),
		.bcc = form_text(r, "bcc"),
		.subject = form_text(r, "subject"),
		.text = form_text(r, "text"),
		.in_reply_to = form_text(r, "in_reply_to"),
		.references = form_text(r, "references"),
	};
	const char *bad = NULL;

	switch (outgoing_send(r, &m, &bad)) {
	case OUTGOING_SENT:
		web_redirect(w, "/m/inbox?flash=sent");
		break;
	case OUTGOING_NOT_FILED:
		web_redirect(w, "/m/inbox?flash=not-filed");
		break;
	case OUTGOING_NO_RECIPIENT:
		show_again(r, w, "compose.no_recipient", NULL);
		break;
	case OUTGOING_TOO_MANY:
		show_again(r, w, "compose.too_many", NULL);
		break;
	case OUTGOING_BAD_ADDRESS:
		show_again(r, w, "compose.bad_address", bad);
		break;
	case OUTGOING_TOO_LARGE:
		show_again(r, w, "compose.too_large", NULL);
		break;
	case OUTGOING_FAILED:
		show_again(r, w, "compose.failed", NULL);
		break;
	}
}
