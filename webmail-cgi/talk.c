/*
 * The pages of messages: a conversation across folders, one message, print,
 * header fields.  In a conversation what was not read yet is open, and the
 * newest; the others are folded, the first of many behind a link.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/draft.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/user.h"

enum {
	TEXT_SHOWN_MAX = 128 * 1024, /* of all texts of a page */
	SHOWN_MAX = 12,              /* messages, unless all are asked for */
	FILLED_MAX = 24,             /* the other folded ones are links */
};

/* The messages of a page, oldest first. */
struct talk {
	struct letter asked; /* the one of the URL */
	struct letter *list;
	size_t count;
	size_t first_open; /* it and all behind it are open */
	size_t first_shown;
	bool whole; /* a conversation; else one message */
};

/* --- Which messages ------------------------------------------------------------- */

/* What was thrown away is not part of it, unless one looks there. */
static bool
belongs(const struct talk *t, const struct index_message *m)
{
	bool away =
	    strcmp(m->dir, INDEX_TRASH) == 0 || strcmp(m->dir, INDEX_JUNK) == 0;

	return !away || strcmp(m->dir, t->asked.message.dir) == 0;
}

static bool
is_unread(const struct letter *l)
{
	return (l->message.flags & MAILDIR_SEEN) == 0;
}

/*
 * The newest that is no draft, the first unread, or the one asked for:
 * whichever is oldest.
 */
static void
choose_open(struct web_request *r, struct talk *t)
{
	const char *open = web_query(r, "open");

	t->first_open = t->count - 1;
	while (t->first_open > 0 &&
	    draft_path(r, &t->list[t->first_open].message)[0] != '\0')
		t->first_open--;
	for (size_t i = t->count; i-- > 0;) {
		if (is_unread(&t->list[i]) ||
		    (open != NULL && strcmp(open, t->list[i].id) == 0))
			t->first_open = i;
	}
	if (web_query(r, "all") == NULL && t->count > SHOWN_MAX)
		t->first_shown =
		    num_min(t->first_open, t->count - SHOWN_MAX + 1);
}

static int
read_talk(struct web_request *r, int64_t id, struct index_messages *out,
    struct err *e)
{
	struct index *x;
	int rc;

	if (mailbox_index(r, "", &x, e) != 0)
		return -1;
	rc = index_talk(x, id, &r->pool, out, e);
	if (rc != 0 && mailbox_renew(r, "", &x))
		rc = index_talk(x, id, &r->pool, out, e);
	return rc;
}

static int
gather(struct web_request *r, struct talk *t, struct err *e)
{
	struct index_messages all = { &t->asked.message, 1 };

	if (t->whole && read_talk(r, t->asked.message.id, &all, e) != 0)
		return -1;
	t->list = pool_zalloc(&r->pool, (all.count + 1) * sizeof(*t->list));
	for (size_t i = 0; i < all.count; i++) {
		if (belongs(t, &all.list[i]))
			letter_describe(r, &all.list[i], &t->list[t->count++]);
	}
	if (t->count == 0) /* moved away this instant */
		t->list[t->count++] = t->asked;
	choose_open(r, t);
	return 0;
}

/* --- Their values ------------------------------------------------------------------ */

/* Opened, read and closed; what cannot be read says so. */
static json_t *
message_value(struct web_request *r, struct letter *l, bool fill, size_t *room)
{
	json_t *msg = message_head(r, l);
	struct outgoing_row waits;
	struct err e;

	if (outgoing_waits(r, &l->message, &waits))
		json_object_set_new(msg, "waits",
		    json_pack("{ss,sI}", "id", waits.id, "due",
			(json_int_t)waits.due_ms));
	json_object_set_new(msg, "filled", json_boolean(fill));
	if (!fill)
		return msg;
	if (mailbox_open_message(r, &l->message, &l->fd, &e) != 0 ||
	    message_fill(r, l, room, msg, &e) != 0) {
		log_warning("%s: %s", l->id, e.text);
		json_object_set_new(msg, "unreadable", json_true());
	}
	if (l->fd >= 0)
		(void)close(l->fd);
	return msg;
}

/* The newest that one can answer. */
static void
choose_quick(struct web_request *r, struct talk *t)
{
	for (size_t i = t->count; i-- > 0;) {
		const struct index_message *m = &t->list[i].message;

		if (draft_path(r, m)[0] != '\0' ||
		    strcmp(m->dir, MAILBOX_SCHEDULED) == 0)
			continue;
		t->list[i].quick = !t->list[i].in_junk;
		return;
	}
}

/* The box below the messages; NULL: nobody to answer. */
static json_t *
quick_json(const json_t *msgs)
{
	char did[ID_SIZE];
	const json_t *msg;
	size_t i;

	json_array_foreach(msgs, i, msg) {
		const char *names = json_text(msg, "quick");

		id_new(did);
		if (names[0] != '\0')
			return json_pack("{ss,ss,ss}", "did", did, "of",
			    json_text(msg, "id"), "names", names);
	}
	return NULL;
}

/* The newest first get the room there is. */
static json_t *
messages_json(struct web_request *r, struct talk *t)
{
	size_t room = TEXT_SHOWN_MAX;
	json_t *list = json_array();

	for (size_t i = t->count; i-- > 0;) {
		json_t *msg;

		if (i > 0 && i < t->first_shown)
			continue;
		msg = message_value(r, &t->list[i],
		    i >= t->first_open || t->count - i <= FILLED_MAX, &room);
		if (i >= t->first_open) {
			json_object_set_new(msg, "open", json_true());
			json_object_set_new(msg, "first",
			    json_boolean(message_is_first(r, &t->list[i])));
		}
		if (i == 0 && t->first_shown > 1)
			json_object_set_new(msg, "more_behind",
			    json_integer((json_int_t)t->first_shown - 1));
		json_object_set_new(msg, "draft",
		    json_string(draft_path(r, &t->list[i].message)));
		if (t->whole &&
		    strcmp(t->list[i].message.dir, t->asked.message.dir) != 0)
			json_object_set_new(msg, "in",
			    json_string(mailbox_folder_name(
				r, t->list[i].message.dir)));
		json_array_insert_new(list, 0, msg);
	}
	return list;
}

static json_t *
labels_json(struct web_request *r, const struct talk *t)
{
	json_t *known = user_labels(r), *list = json_array();
	const char *const *keywords;
	size_t count = 0;
	uint64_t bits = 0;
	struct index *x;
	struct err e;

	for (size_t i = 0; i < t->count; i++)
		bits |= t->list[i].message.keywords;
	if (bits != 0 && mailbox_index(r, "", &x, &e) == 0 &&
	    index_keywords(x, &r->pool, &keywords, &count, &e) != 0)
		count = 0;
	for (size_t i = 0; i < json_array_size(known); i++) {
		json_t *label = json_array_get(known, i);

		for (size_t n = 0; n < count; n++) {
			if ((bits >> n & 1) != 0 &&
			    strcmp(keywords[n], json_text(label, "keyword")) ==
				0)
				json_array_append(list, label);
		}
	}
	json_decref(known);
	return list;
}

/* --- Around them ---------------------------------------------------------------------- */

/* URL of a neighbour, the same kind of page. */
static void
add_neighbour(struct web_request *r, const struct talk *t, const char *key,
    int64_t id, json_t *values)
{
	char text[INDEX_ID_SIZE];

	if (id == 0)
		return;
	index_id_format(id, text);
	json_object_set_new(values, key,
	    json_string(pool_printf(
		&r->pool, "%s/%s/%s", r->base, t->whole ? "c" : "v", text)));
}

static void
add_position(struct web_request *r, const struct talk *t, json_t *values)
{
	const struct index_view view = { .dir = t->asked.message.dir,
		.talks = t->whole };
	struct index_neighbours n = { 0 };
	struct index *x;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_neighbours(x, &view, t->asked.message.id, &n, &e) != 0)
		return;
	add_neighbour(r, t, "newer", n.newer, values);
	add_neighbour(r, t, "older", n.older, values);
	if (n.position > 0)
		json_object_set_new(values, "position",
		    json_pack("{sI,sI}", "n", (json_int_t)n.position, "total",
			(json_int_t)n.total));
}

/* Which verbs make sense where it lies; its folder, to go back to. */
static void
add_folder(struct web_request *r, const struct talk *t, json_t *values)
{
	const char *dir = t->asked.message.dir;
	const char *id = mailbox_id_of(r, dir);
	bool junk = strcmp(dir, INDEX_JUNK) == 0;
	bool trash = strcmp(dir, INDEX_TRASH) == 0;
	struct buf url;

	buf_init(&url, 3 * MAILDIR_NAME_SIZE);
	web_escape_url(slice_str(id), &url);
	json_object_update_new(values,
	    json_pack("{ss,ss,ss,sb,sb,sb,sb}", "folder", id, "folder_name",
		mailbox_folder_name(r, dir), "back",
		pool_printf(&r->pool, "/m/%s", url.data), "is_junk", junk,
		"is_trash", trash, "can_archive",
		!junk && !trash && strcmp(dir, INDEX_ARCHIVE) != 0, "can_junk",
		!junk && strcmp(dir, ".Sent") != 0));
	buf_release(&url);
	mailbox_describe_folders(r, dir, values);
}

/* Those that are open count as read, now or after the time the user likes. */
static void
mark_read(struct web_request *r, const struct talk *t, json_t *values)
{
	const struct index_change seen = { .verb = INDEX_FLAGS,
		.add = MAILDIR_SEEN };
	const char *after = user_prefs(r)->value[PREF_READ_AFTER];
	int64_t *ids = pool_alloc(&r->pool, t->count * sizeof(*ids));
	json_t *list = json_array();
	struct index *x;
	size_t count = 0;
	struct err e;

	for (size_t i = t->first_open; i < t->count; i++) {
		if (!is_unread(&t->list[i]))
			continue;
		ids[count++] = t->list[i].message.id;
		json_array_append_new(list, json_string(t->list[i].id));
	}
	if (count > 0 && strcmp(after, "0") == 0) {
		if (mailbox_index(r, "", &x, &e) != 0 ||
		    index_change(x, &seen, ids, count, NULL, NULL, &e) != 0)
			log_warning("%s: %s", t->asked.id, e.text);
	} else if (count > 0 && strcmp(after, "never") != 0) {
		json_object_set_new(values, "read_later",
		    json_pack("{ss,sO}", "seconds", after, "ids", list));
	}
	json_decref(list);
}

/* Its subject, for the title. */
static const char *
subject_of(struct web_request *r, const struct talk *t)
{
	const char *subject = t->list[0].message.subject;

	if (subject[0] == '\0')
		subject = t->asked.message.subject;
	return subject[0] != '\0' ? subject : page_text(r, "list.no_subject");
}

static void
send_talk(
    struct web_request *r, struct web_response *w, bool whole, const char *page)
{
	struct talk t = { .whole = whole };
	const char *subject;
	json_t *values, *msgs;
	struct err e;

	if (!letter_find(r, w, &t.asked))
		return;
	if (gather(r, &t, &e) != 0) {
		log_warning("%s: %s", t.asked.id, e.text);
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "read.gone"));
		return;
	}
	subject = subject_of(r, &t);
	choose_quick(r, &t);
	msgs = messages_json(r, &t);
	values = json_pack("{ss,ss,ss,sb,ss,so,so*,so}", "subject", subject,
	    "id", t.list[t.count - 1].id, "asked", t.asked.id, "one", !whole,
	    "own_path", r->path, "chips", labels_json(r, &t), "quick",
	    quick_json(msgs), "msgs", msgs);
	if (strcmp(page, "message") == 0)
		mark_read(r, &t, values);
	add_folder(r, &t, values);
	add_position(r, &t, values);
	page_send(r, w, page, subject, values);
}

void
talk_page(struct web_request *r, struct web_response *w)
{
	send_talk(r, w, true, "message");
}

void
message_page(struct web_request *r, struct web_response *w)
{
	send_talk(r, w, false, "message");
}

void
message_print(struct web_request *r, struct web_response *w)
{
	send_talk(r, w, false, "print");
}

void
message_headers(struct web_request *r, struct web_response *w)
{
	json_t *headers = NULL, *fields = json_array(), *list, *values;
	struct letter l;
	struct err e;

	if (!letter_open(r, w, &l)) {
		json_decref(fields);
		return;
	}
	if (mime_headers(webmail_of(r)->mime, l.fd, NULL, &headers, &e) != 0)
		log_warning("%s: %s", l.id, e.text);
	list = json_object_get(headers, "fields");
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *pair = json_array_get(list, i);

		json_array_append_new(fields,
		    json_pack("{sO,sO}", "name", json_array_get(pair, 0),
			"value", json_array_get(pair, 1)));
	}
	json_decref(headers);
	(void)close(l.fd);
	values = json_pack("{so,ss}", "fields", fields, "url", l.url);
	mailbox_describe_folders(r, l.message.dir, values);
	page_send(r, w, "headers", page_text(r, "read.headers"), values);
}

/* Whatever else is asked for changes nothing. */
static int
remember_choice(struct web_request *r, const struct letter *l, const char *what,
    struct err *e)
{
	const struct index_people *from = &l->message.from;
	bool pictures = strcmp(what, "always") == 0 && !l->in_junk;
	bool plain = strcmp(what, "plain") == 0;
	struct sql *db;

	if (from->count == 0 ||
	    (!pictures && !plain && strcmp(what, "designed") != 0))
		return 0;
	if (user_store(r, true, &db, e) != 0)
		return -1;
	return pictures ? store_pictures_allow(db, from->list[0].address, e)
			: store_plain_put(db, from->list[0].address, plain, e);
}

void
message_sender(struct web_request *r, struct web_response *w)
{
	const char *what = web_form(r, "show");
	const char *back = web_form(r, "back");
	struct letter l;
	struct err e;

	if (!letter_find(r, w, &l))
		return;
	if (what != NULL && remember_choice(r, &l, what, &e) != 0) {
		log_error("%s: %s", l.id, e.text);
		web_error(w, 503, page_text(r, "read.not_kept"));
		return;
	}
	web_redirect(w,
	    back != NULL ? web_own_path(back)
			 : pool_printf(&r->pool, "/v/%s", l.id));
}
