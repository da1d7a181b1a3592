/*
 * Drafts made of other messages; see answer.h.  What a message says comes from
 * mailstead-parse; here is only what follows from it for the answer
 * (RFC 5322 3.6.3 and 3.6.4).
 */
#include "webmail-cgi/answer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/compose.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/text.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/writing.h"

enum {
	QUOTE_MAX = 256 * 1024,
	REFERENCES_MAX = 50,
	NAMES_SHOWN = 3,
};

static int
read_original(struct original *o, struct err *e)
{
	struct mime *m = webmail_of(o->r)->mime;

	if (user_identities(o->r, &o->own, e) != 0 ||
	    lseek(o->fd, 0, SEEK_SET) != 0 ||
	    mime_view(m, o->fd, true, &o->summary, e) != 0 ||
	    lseek(o->fd, 0, SEEK_SET) != 0 ||
	    mime_headers(m, o->fd, NULL, &o->headers, e) != 0)
		return -1;
	return 0;
}

/*
 * Where the message is, for marking it when the answer has gone out: one word,
 * so the folder's name is encoded.
 */
static const char *
answers_of(struct web_request *r, const struct letter *l)
{
	const struct index_message *m = &l->message;
	const char *text;
	struct buf dir;

	buf_init(&dir, 3 * MAILDIR_NAME_SIZE);
	web_escape_url(slice_str(m->dir), &dir);
	text = pool_printf(
	    &r->pool, "%s/%.*s", dir.data, (int)strcspn(m->name, ":"), m->name);
	buf_release(&dir);
	return text;
}

int
original_open(
    struct web_request *r, const char *id, struct original *out, struct err *e)
{
	struct letter l;

	*out = (struct original){ .r = r, .fd = -1 };
	if (letter_by_id(r, id, &l, e) != 0 ||
	    mailbox_open_message(r, &l.message, &out->fd, e) != 0)
		return -1;
	out->id = l.id;
	out->answers = answers_of(r, &l);
	return 0;
}

void
original_close(struct original *o)
{
	json_decref(o->summary);
	json_decref(o->headers);
	if (o->fd >= 0)
		(void)close(o->fd);
}

/* The value of a header field by its position, from *at on; NULL: no more. */
static const char *
header_value(const struct original *o, const char *name, size_t *at)
{
	const json_t *all = json_object_get(o->headers, "fields");

	for (; *at < json_array_size(all); (*at)++) {
		const json_t *pair = json_array_get(all, *at);
		const char *key = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (key != NULL && value != NULL &&
		    ascii_casecmp(key, name) == 0) {
			(*at)++;
			return value;
		}
	}
	return NULL;
}

/* --- People ----------------------------------------------------------------------------- */

/* A growing field of addresses; none comes twice, in whichever field. */
struct crowd {
	struct original *o;
	struct buf text;
	json_t *seen; /* shared by the fields of one answer */
	bool own_too;
};

static void
add_person(struct crowd *c, const json_t *person)
{
	const char *address = json_text(person, "address");
	char *key = pool_strdup(&c->o->r->pool, address);

	ascii_lower_str(key);
	if (address[0] == '\0' || json_object_get(c->seen, key) != NULL ||
	    (!c->own_too && identities_has(&c->o->own, address)))
		return;
	json_object_set_new(c->seen, key, json_true());
	if (c->text.len > 0)
		buf_addstr(&c->text, ", ");
	/* as people read it: quoted where it must be, never encoded */
	if (strpbrk(json_text(person, "name"), ",;<>\"()@\\") != NULL) {
		buf_addc(&c->text, '"');
		for (const char *p = json_text(person, "name"); *p != '\0';
		     p++) {
			if (*p == '"' || *p == '\\')
				buf_addc(&c->text, '\\');
			buf_addc(&c->text, *p);
		}
		buf_addf(&c->text, "\" <%s>", address);
	} else if (json_text(person, "name")[0] != '\0') {
		buf_addf(
		    &c->text, "%s <%s>", json_text(person, "name"), address);
	} else {
		buf_addstr(&c->text, address);
	}
}

static const char *
crowd_of(
    struct original *o, const char *const *fields, bool own_too, json_t *seen)
{
	struct crowd c = { .o = o, .seen = seen, .own_too = own_too };
	const char *text;

	buf_init(&c.text, DRAFT_FIELD_MAX);
	for (; *fields != NULL; fields++) {
		const json_t *people = json_object_get(o->summary, *fields);

		for (size_t i = 0; i < json_array_size(people); i++)
			add_person(&c, json_array_get(people, i));
	}
	text = buf_overflowed(&c.text)
	    ? ""
	    : pool_strndup(&o->r->pool, c.text.data, c.text.len);
	buf_release(&c.text);
	return text;
}

static bool
is_own_mail(struct original *o)
{
	const json_t *from =
	    json_array_get(json_object_get(o->summary, "from"), 0);

	return identities_has(&o->own, json_text(from, "address"));
}

/*
 * The own address it was written to, or from if it is own mail: Delivered-To,
 * To, Cc; "" if none.
 */
static const char *
own_recipient(struct original *o)
{
	const char *const fields[] = { "from", "to", "cc" };
	const char *value;

	for (size_t at = 0; !is_own_mail(o) &&
	     (value = header_value(o, "Delivered-To", &at)) != NULL;) {
		struct slice s = slice_trim(slice_str(value));

		if (s.len > 2 && s.data[0] == '<')
			s = slice_of(s.data + 1, s.len - 2);
		value = pool_strndup(&o->r->pool, s.data, s.len);
		if (identities_has(&o->own, value))
			return value;
	}
	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		const json_t *people = json_object_get(o->summary, fields[f]);

		for (size_t i = 0; i < json_array_size(people); i++) {
			value = json_text(json_array_get(people, i), "address");
			if (identities_has(&o->own, value))
				return pool_strdup(&o->r->pool, value);
		}
	}
	return "";
}

/* Nobody was told that we got it (Bcc), and it came by no list. */
static bool
was_bccd(struct original *o)
{
	static const char *const fields[] = { "to", "cc" };

	if (json_text(o->summary, "list_id")[0] != '\0' || is_own_mail(o))
		return false;
	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		const json_t *people = json_object_get(o->summary, fields[f]);

		for (size_t i = 0; i < json_array_size(people); i++)
			if (identities_has(&o->own,
				json_text(
				    json_array_get(people, i), "address")))
				return false;
	}
	return true;
}

/* RFC 2369 3.4: List-Post: <mailto:list@example.org> */
static const char *
list_address(struct original *o)
{
	size_t at = 0;
	const char *value = header_value(o, "List-Post", &at), *start;
	struct buf plain;
	const char *text = "";

	start = value != NULL ? strstr(value, "<mailto:") : NULL;
	if (start == NULL)
		return "";
	buf_init(&plain, 1024);
	start += strlen("<mailto:");
	if (web_unescape_url(
		slice_of(start, strcspn(start, "?>")), false, &plain))
		text = pool_strndup(&o->r->pool, plain.data, plain.len);
	buf_release(&plain);
	return text;
}

static void
address_reply(struct original *o, const char *verb, struct draft *d)
{
	static const char *const to[] = { "to", NULL },
				 *const cc[] = { "cc", NULL };
	static const char *const sender[] = { "from", NULL };
	static const char *const reply_to[] = { "reply_to", NULL };
	static const char *const others[] = { "to", "cc", NULL };
	bool has_reply_to =
	    json_array_size(json_object_get(o->summary, "reply_to")) > 0;
	bool quick = strcmp(verb, "quick") == 0, bccd = was_bccd(o);
	bool all = strcmp(verb, "reply-all") == 0 || (quick && !bccd);
	json_t *seen = json_object();

	if (strcmp(verb, "reply-list") == 0)
		d->to = list_address(o);
	if (d->to[0] != '\0') {
		/* that is all */
	} else if (is_own_mail(o)) {
		d->to = crowd_of(o, to, true, seen);
		if (all)
			d->cc = crowd_of(o, cc, true, seen);
	} else {
		d->to =
		    crowd_of(o, has_reply_to ? reply_to : sender, true, seen);
		if (all)
			d->cc = crowd_of(o, others, false, seen);
		if (all && bccd)
			d->note = "bcc";
	}
	json_decref(seen);
}

/* --- Threading ---------------------------------------------------------------------------- */

/*
 * The first and the last 49 of References (RFC 5322 3.6.4: without any,
 * In-Reply-To) and its own id, unless it is the same message `again`.
 */
static void
thread_to(struct original *o, struct draft *d, bool reply, bool again)
{
	const json_t *ids = json_object_get(o->summary, "references");
	const char *all_of_id = json_text(o->summary, "message_id");
	const char *id = strchr(all_of_id, ' ') == NULL ? all_of_id : "";
	size_t count = json_array_size(ids);
	struct buf all;

	buf_init(&all, DRAFT_IDS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && i + REFERENCES_MAX - 2 < count)
			continue;
		buf_addf(&all, "%s%s", all.len > 0 ? " " : "",
		    json_string_value(json_array_get(ids, i)));
	}
	if (count == 0)
		buf_addstr(&all, json_text(o->summary, "in_reply_to"));
	if (id[0] != '\0' && !again)
		buf_addf(&all, "%s%s", all.len > 0 ? " " : "", id);
	d->references = buf_overflowed(&all)
	    ? pool_strdup(&o->r->pool, again ? "" : id)
	    : pool_strndup(&o->r->pool, all.data, all.len);
	if (reply)
		d->in_reply_to = pool_strdup(&o->r->pool, id);
	buf_release(&all);
}

static const char *
subject_of(struct original *o, const char *prefix)
{
	const char *subject = json_text(o->summary, "subject");
	struct buf out;
	const char *copy;

	buf_init(&out, DRAFT_FIELD_MAX);
	writing_subject(prefix, slice_str(subject), &out);
	copy = pool_strndup(&o->r->pool, out.data, out.len);
	buf_release(&out);
	return copy;
}

/* --- Text ---------------------------------------------------------------------------------- */

static void
get_text(struct original *o, struct buf *out)
{
	const json_t *bodies = json_object_get(o->summary, "bodies");

	for (size_t i = 0; i < json_array_size(bodies); i++)
		buf_addstr(out, json_text(json_array_get(bodies, i), "text"));
}

/* "12 Nov 2026", "10:42", in the user's time. */
static void
date_texts(
    struct web_request *r, int64_t ms, const char **day, const char **time_out)
{
	const char *zone = user_prefs(r)->value[PREF_ZONE];
	time_t local =
	    (time_t)(ms / 1000 + template_zone_offset(zone, ms / 1000));
	struct tm t;

	(void)gmtime_r(&local, &t);
	*day = pool_printf(&r->pool, "%d %s %d", t.tm_mday,
	    page_text(r, pool_printf(&r->pool, "month.%d", t.tm_mon + 1)),
	    t.tm_year + 1900);
	*time_out = pool_printf(&r->pool, "%02d:%02d", t.tm_hour, t.tm_min);
}

static const char *
sender_name(struct original *o)
{
	const json_t *from =
	    json_array_get(json_object_get(o->summary, "from"), 0);
	const char *name = json_text(from, "name");

	return name[0] != '\0' ? name : json_text(from, "address");
}

/*
 * "On 12 Nov 2026 at 10:42, Ann wrote:" and the text, quoted, or what was
 * selected of it.
 */
static const char *
quoted(struct original *o, const char *selected)
{
	struct web_request *r = o->r;
	const json_t *date = json_object_get(o->summary, "date");
	const char *line, *day, *clock, *copy;
	struct buf text, out;

	if (json_is_integer(date)) {
		date_texts(r, json_integer_value(date), &day, &clock);
		line = text_fill(
		    &r->pool, page_text(r, "compose.wrote"), "{date}", day);
		line = text_fill(&r->pool, line, "{time}", clock);
	} else {
		line = page_text(r, "compose.wrote_undated");
	}
	buf_init(&text, QUOTE_MAX);
	buf_init(&out, 3 * QUOTE_MAX);
	if (selected != NULL && strlen(selected) < QUOTE_MAX)
		buf_addstr(&text, selected);
	else
		get_text(o, &text);
	buf_addf(
	    &out, "%s\n", text_fill(&r->pool, line, "{name}", sender_name(o)));
	writing_quote(buf_slice(&text), &out);
	copy = pool_strndup(&r->pool, out.data, out.len);
	buf_release(&text);
	buf_release(&out);
	return copy;
}

/* Around what was typed already, if it was. */
static void
reply_text(struct original *o, const char *selected, struct draft *d)
{
	const char *signature = compose_signature(o->r, d->from);
	const char *place = user_prefs(o->r)->value[PREF_QUOTE];
	struct pool *pool = &o->r->pool;

	if (strcmp(place, "none") == 0 && selected == NULL)
		d->text = pool_printf(pool, "%s\n%s", d->text, signature);
	else if (strcmp(place, "below") == 0)
		d->text = pool_printf(pool, "%s\n%s\n%s", quoted(o, selected),
		    d->text, signature);
	else
		d->text = pool_printf(pool, "%s\n%s\n%s", d->text, signature,
		    quoted(o, selected));
}

static void
put_forward_line(
    struct original *o, const char *key, const char *field, struct buf *out)
{
	const char *const fields[] = { field, NULL };
	json_t *seen = json_object();
	const char *people = crowd_of(o, fields, true, seen);

	json_decref(seen);
	if (people[0] != '\0')
		buf_addf(out, "%s: %s\n", page_text(o->r, key), people);
}

static void
forward_text(struct original *o, struct draft *d)
{
	struct web_request *r = o->r;
	const json_t *date = json_object_get(o->summary, "date");
	const char *day, *clock;
	struct buf out, text;

	buf_init(&out, 2 * QUOTE_MAX);
	buf_init(&text, QUOTE_MAX);
	buf_addf(&out, "\n%s\n---------- %s ----------\n",
	    compose_signature(r, d->from), page_text(r, "compose.forwarded"));
	put_forward_line(o, "compose.from", "from", &out);
	if (json_is_integer(date)) {
		date_texts(r, json_integer_value(date), &day, &clock);
		buf_addf(&out, "%s: %s, %s\n", page_text(r, "compose.date"),
		    day, clock);
	}
	buf_addf(&out, "%s: %s\n", page_text(r, "compose.subject"),
	    json_text(o->summary, "subject"));
	put_forward_line(o, "compose.to", "to", &out);
	put_forward_line(o, "compose.cc", "cc", &out);
	get_text(o, &text);
	buf_addf(&out, "\n%s", text.data);
	d->text = pool_strndup(&r->pool, out.data, out.len);
	buf_release(&out);
	buf_release(&text);
}

/* --- Making the draft ------------------------------------------------------------------------- */

static void
make_reply(
    struct original *o, const char *verb, const char *selected, struct draft *d)
{
	d->from = own_recipient(o);
	d->answers = o->answers;
	d->verb = "reply";
	address_reply(o, verb, d);
	thread_to(o, d, true, false);
	d->subject = subject_of(o, "Re: ");
	reply_text(o, selected, d);
}

static void
make_forward(struct original *o, bool whole, struct draft *d)
{
	d->from = own_recipient(o);
	d->answers = o->answers;
	d->verb = "forward";
	thread_to(o, d, false, false);
	d->subject = subject_of(o, "Fwd: ");
	if (whole) {
		d->text = pool_printf(
		    &o->r->pool, "\n%s", compose_signature(o->r, d->from));
		answer_add_whole(o, d);
	} else {
		forward_text(o, d);
		answer_add_files(o, d);
	}
}

static void
make_again(struct original *o, struct draft *d)
{
	static const char *const to[] = { "to", NULL },
				 *const cc[] = { "cc", NULL };
	const json_t *from =
	    json_array_get(json_object_get(o->summary, "from"), 0);
	json_t *seen = json_object();
	const char *bcc;
	struct buf text;
	size_t at = 0;

	if (identities_has(&o->own, json_text(from, "address")))
		d->from = pool_strdup(&o->r->pool, json_text(from, "address"));
	d->to = crowd_of(o, to, true, seen);
	d->cc = crowd_of(o, cc, true, seen);
	json_decref(seen);
	bcc = header_value(o, "Bcc", &at);
	d->bcc = bcc != NULL && strlen(bcc) <= DRAFT_FIELD_MAX
	    ? pool_strdup(&o->r->pool, bcc)
	    : "";
	d->subject = pool_strdup(&o->r->pool, json_text(o->summary, "subject"));
	d->in_reply_to =
	    pool_strdup(&o->r->pool, json_text(o->summary, "in_reply_to"));
	thread_to(o, d, false, true);
	buf_init(&text, DRAFT_TEXT_MAX);
	get_text(o, &text);
	d->text = pool_strndup(&o->r->pool, text.data, text.len);
	buf_release(&text);
	answer_add_files(o, d);
}

int
answer_edit(struct web_request *r, int fd, struct draft *d, struct err *e)
{
	struct original o = { .r = r, .fd = fd, .id = "", .answers = "" };
	int rc = read_original(&o, e);

	if (rc == 0) {
		make_again(&o, d);
		rc = answer_save_of(&o, d, e);
	}
	o.fd = -1;
	original_close(&o);
	return rc;
}

int
answer_original(struct web_request *r, int fd, const char **own_out,
    json_t **summary_out, struct err *e)
{
	struct original o = { .r = r, .fd = fd, .id = "", .answers = "" };
	int rc = read_original(&o, e);

	if (rc == 0) {
		*own_out = own_recipient(&o);
		*summary_out = json_incref(o.summary);
	}
	o.fd = -1;
	original_close(&o);
	return rc;
}

int
answer_fill(struct web_request *r, const char *id, const char *verb,
    const char *selected, struct draft *d, struct err *e)
{
	struct original o;
	int rc = original_open(r, id, &o, e);

	if (rc == 0)
		rc = read_original(&o, e);
	if (rc == 0) {
		if (strcmp(verb, "edit") == 0)
			make_again(&o, d);
		else if (strcmp(verb, "forward") == 0)
			make_forward(&o, false, d);
		else if (strcmp(verb, "forward-eml") == 0)
			make_forward(&o, true, d);
		else
			make_reply(&o, verb, selected, d);
	}
	original_close(&o);
	return rc;
}

const char *
answer_names(struct web_request *r, json_t *view)
{
	struct original o = { .r = r, .fd = -1, .summary = view };
	const char *const *field, *text = "";
	struct writing_person p;
	size_t count = 0;
	struct draft d;
	struct err e;

	draft_init(&d);
	if (user_identities(r, &o.own, &e) != 0) {
		log_warning("identities: %s", e.text);
		return "";
	}
	address_reply(&o, "quick", &d);
	for (field = (const char *const[]){ d.to, d.cc, NULL }; *field != NULL;
	     field++) {
		struct slice rest = slice_str(*field);

		for (; count < NAMES_SHOWN &&
		     writing_next_person(&rest, &r->pool, &p);
		     count++)
			text = pool_printf(&r->pool, "%s%s%s", text,
			    count > 0 ? ", " : "",
			    person_name(p.name,
				pool_strndup(
				    &r->pool, p.address.data, p.address.len)));
	}
	return text;
}

/* The page made at once: a URL is no place for somebody's words. */
static void
answer_selected(struct web_request *r, struct web_response *w, const char *id,
    const char *verb, const char *selected)
{
	struct draft d;
	struct err e;

	draft_init(&d);
	if (answer_fill(r, id, verb, selected, &d, &e) == 0) {
		compose_show(r, w, compose_values(r, &d));
		return;
	}
	log_error("%s: %s", verb, e.text);
	web_error(
	    w, e.kind == ERR_PERM ? 404 : 503, page_text(r, "compose.failed"));
}

void
answer_post(struct web_request *r, struct web_response *w)
{
	static const char *const verbs[] = { "reply", "reply-all", "reply-list",
		"forward", "forward-eml", "edit" };
	const char *verb = r->args[LETTER_ARGS];
	const char *quote = web_form(r, "quote");
	bool known = false;
	struct letter l;
	struct draft d;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		known |= strcmp(verbs[i], verb) == 0;
	if (!known) {
		web_error(w, 404, page_text(r, "list.unreadable"));
		return;
	}
	if (!letter_find(r, w, &l))
		return;
	if (quote != NULL && slice_trim(slice_str(quote)).len > 0 &&
	    strncmp(verb, "reply", 5) == 0) {
		answer_selected(
		    r, w, l.id, verb, user_text(&r->pool, quote, true));
		return;
	}
	draft_init(&d);
	compose_go(
	    r, w, &d, pool_printf(&r->pool, "new=%s&of=%s&", verb, l.id));
}
