/*
 * The page on which a message is written, of a draft or of nothing yet; what
 * it posts is compose.c's.  Fields that a form does not have stay as they are.
 */
#include <string.h>

#include "base/log.h"

#include "webmail-cgi/answer.h"
#include "webmail-cgi/compose.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/text.h"
#include "webmail-cgi/user.h"

/* The form's fields that are the draft's. */
static const struct field {
	const char *name;
	size_t offset, max;
} fields[] = {
	{ "from", offsetof(struct draft, from), 512 },
	{ "to", offsetof(struct draft, to), DRAFT_FIELD_MAX },
	{ "cc", offsetof(struct draft, cc), DRAFT_FIELD_MAX },
	{ "bcc", offsetof(struct draft, bcc), DRAFT_FIELD_MAX },
	{ "subject", offsetof(struct draft, subject), DRAFT_FIELD_MAX },
	{ "text", offsetof(struct draft, text), DRAFT_TEXT_MAX },
	{ "in_reply_to", offsetof(struct draft, in_reply_to), DRAFT_IDS_MAX },
	{ "references", offsetof(struct draft, references), DRAFT_IDS_MAX },
	{ "answers", offsetof(struct draft, answers), 1024 },
	{ "verb", offsetof(struct draft, verb), 16 },
	{ "receipt", offsetof(struct draft, receipt), 3 },
	{ "note", offsetof(struct draft, note), 16 },
};

static const char **
field_of(struct draft *d, const struct field *f)
{
	return (const char **)(void *)((char *)d + f->offset);
}

/* --- Reading the form ------------------------------------------------------------------ */

/* All of the name (one a recipient, or one for all), joined. */
static const char *
form_text(struct web_request *r, const char *name)
{
	const char *value, *all = NULL;
	bool lines = strcmp(name, "text") == 0;

	for (size_t i = 0; (value = web_form_next(r, name, &i)) != NULL;) {
		if (all != NULL && value[0] == '\0')
			continue;
		value = user_text(&r->pool, value, lines);
		all = all == NULL || all[0] == '\0'
		    ? value
		    : pool_printf(&r->pool, "%s, %s", all, value);
	}
	return all;
}

bool
compose_read_form(struct web_request *r, struct draft *d)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *text = form_text(r, fields[i].name);

		if (text == NULL)
			continue;
		if (strlen(text) > fields[i].max)
			return false;
		/* these stand in the draft's notes as one word */
		if (fields[i].max <= 1024 && strpbrk(text, " \n\t") != NULL)
			text = "";
		*field_of(d, &fields[i]) = text;
	}
	return true;
}

/* --- The page --------------------------------------------------------------- */

static json_t *
identity_options(struct web_request *r, const struct draft *d)
{
	json_t *array = json_array();
	const struct identity *chosen;
	struct identities all;
	struct err e;

	if (user_identities(r, &all, &e) != 0) {
		log_warning("identities: %s", e.text);
		return array;
	}
	chosen = identities_for(&all, d->from);
	for (size_t i = 0; i < all.count; i++) {
		const struct identity *one = &all.list[i];
		bool here = one == chosen;
		const char *address = here && identities_has(&all, d->from)
		    ? d->from
		    : one->address;

		json_array_append_new(array,
		    json_pack("{ss,ss,sb}", "address", address, "name",
			one->name, "selected", here));
	}
	return array;
}

static const char *
extension_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && strlen(dot) <= 5 ? dot + 1 : "";
}

static json_t *
file_list(const struct draft *d)
{
	json_t *array = json_array();

	for (size_t i = 0; i < d->file_count; i++)
		if (!d->files[i].dropped)
			json_array_append_new(array,
			    json_pack("{si,ss,ss,sI,ss*}", "n", (int)i, "name",
				d->files[i].name, "ext",
				extension_of(d->files[i].name), "size",
				(json_int_t)d->files[i].size, "part",
				d->files[i].part));
	return array;
}

json_t *
compose_values(struct web_request *r, struct draft *d)
{
	const char *back = web_form(r, "back"), *one;
	uint64_t max = outgoing_max_bytes(r);
	json_t *seen = json_array();
	json_t *values = json_pack("{ss,si,so,so,ss}", "did", d->did, "rev",
	    (int)d->rev, "identities", identity_options(r, d), "files",
	    file_list(d), "back",
	    web_own_path(back != NULL ? back : web_query(r, "back")));

	if (max == 0 || max > COMPOSE_BODY_MAX)
		max = COMPOSE_BODY_MAX;
	/* base64 takes a third more */
	max = (max - max / 50) / 4 * 3;
	json_object_set_new(values, "max_size", json_integer((json_int_t)max));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		json_object_set_new(values, fields[i].name,
		    json_string(*field_of(d, &fields[i])));
	for (size_t i = 0; (one = web_form_next(r, "seen", &i)) != NULL;)
		json_array_append_new(seen, json_string(one));
	json_object_set_new(values, "seen", seen);
	if (d->saved_ms > 0)
		json_object_set_new(
		    values, "saved_at", json_integer((json_int_t)d->saved_ms));
	json_object_set_new(
	    values, "bccd", json_boolean(strcmp(d->note, "bcc") == 0));
	json_object_set_new(values, "of", json_string(d->of));
	return values;
}

json_t *
compose_domain_notes(struct web_request *r, const struct draft *d,
    bool (*is_known)(const struct web_request *r, const char *domain))
{
	json_t *bad = outgoing_bad_domains(r, d, is_known), *one;
	size_t i;

	json_array_foreach(bad, i, one) {
		const char *key = pool_printf(
		    &r->pool, "compose.domain_%s", json_text(one, "why"));

		json_object_set_new(one, "text",
		    json_string(text_fill(&r->pool, page_text(r, key),
			"{domain}", json_text(one, "domain"))));
	}
	return bad;
}

void
compose_show(struct web_request *r, struct web_response *w, json_t *values)
{
	page_send(r, w, "compose", page_text(r, "compose.title"), values);
}

void
compose_show_error(struct web_request *r, struct web_response *w,
    struct draft *d, int status, const char *key, const char *what)
{
	const char *text = page_text(r, key);
	const char *hole = strstr(text, "{what}");
	json_t *values = compose_values(r, d);

	if (hole != NULL)
		text = pool_printf(&r->pool, "%.*s%s%s", (int)(hole - text),
		    text, what, hole + strlen("{what}"));
	json_object_set_new(values, "error", json_string(text));
	w->status = status;
	compose_show(r, w, values);
}

void
compose_show_conflict(
    struct web_request *r, struct web_response *w, const struct draft *stored)
{
	struct draft mine = *stored;
	json_t *values;

	w->status = 409;
	if (r->part[0] != '\0') {
		w->type = "text/plain; charset=utf-8";
		buf_addstr(&w->body, page_text(r, "compose.conflict"));
		return;
	}
	(void)compose_read_form(r, &mine);
	values = compose_values(r, &mine);
	json_object_set_new(values, "conflict", json_true());
	json_object_set_new(
	    values, "their_subject", json_string(stored->subject));
	json_object_set_new(values, "their_text", json_string(stored->text));
	json_object_set_new(values, "their_to", json_string(stored->to));
	compose_show(r, w, values);
}

const char *
compose_signature(struct web_request *r, const char *address)
{
	const struct identity *i;
	struct identities all;
	struct err e;

	if (user_identities(r, &all, &e) != 0)
		return "";
	i = identities_for(&all, address);
	return i->signature[0] == '\0'
	    ? ""
	    : pool_printf(&r->pool, "\n-- \n%s\n", i->signature);
}

void
compose_new(struct web_request *r, struct web_response *w)
{
	static const char *const names[] = { "from", "to", "cc", "bcc",
		"subject", "body" };
	char did[ID_SIZE];
	struct buf url;

	id_new(did);
	buf_init(&url, WEB_PARAMS_BYTES_MAX);
	buf_addf(&url, "/d/%s?new=1", did);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = web_query(r, names[i]);

		if (value == NULL)
			continue;
		buf_addf(&url, "&%s=", names[i]);
		web_escape_url(slice_str(value), &url);
	}
	web_redirect(w, url.data);
	buf_release(&url);
}

void
compose_go(struct web_request *r, struct web_response *w, const struct draft *d,
    const char *more)
{
	const char *back = web_form(r, "back");
	struct buf url;

	buf_init(&url, WEB_PARAMS_BYTES_MAX);
	buf_addf(&url, "/d/%s?%sback=", d->did, more);
	web_escape_url(slice_str(back != NULL ? back : ""), &url);
	web_redirect(w, url.data);
	buf_release(&url);
}

/* A draft of which nothing is stored: what the URL says. */
static void
fill_new(struct web_request *r, struct draft *d)
{
	const char *body = web_query(r, "body");

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *value = web_query(r, fields[i].name);

		if (value != NULL && strlen(value) <= fields[i].max &&
		    strcmp(fields[i].name, "answers") != 0)
			*field_of(d, &fields[i]) =
			    user_text(&r->pool, value, false);
	}
	d->text = pool_printf(&r->pool, "%s\n%s",
	    body != NULL ? user_text(&r->pool, body, true) : "",
	    compose_signature(r, d->from));
}

/* One of which nothing is stored: as its URL says. */
static int
begin(struct web_request *r, struct draft *d, struct err *e)
{
	const char *verb = web_query(r, "new"), *of = web_query(r, "of");

	draft_init(d);
	memcpy(d->did, r->args[0], ID_SIZE);
	if (of != NULL)
		return answer_fill(r, of, verb, NULL, d, e);
	fill_new(r, d);
	return 0;
}

void
compose_page(struct web_request *r, struct web_response *w)
{
	json_t *values;
	struct draft d;
	struct err e;

	if (draft_open(r, r->args[0], false, &d, &e) != 0 &&
	    (e.kind != ERR_PERM || web_query(r, "new") == NULL ||
		!id_is_valid(slice_str(r->args[0])) || begin(r, &d, &e) != 0)) {
		if (e.kind != ERR_PERM)
			log_error("draft: %s", e.text);
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "compose.gone"));
		return;
	}
	values = compose_values(r, &d);
	if (web_query(r, "check") != NULL)
		json_object_set_new(
		    values, "domains", compose_domain_notes(r, &d, NULL));
	compose_show(r, w, values);
	draft_close(&d);
}
