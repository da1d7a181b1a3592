/*
 * Between sending and going out: taking back, what follows when the time has
 * come, and how far the runner is.  See outgoing.h.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mail/address.h"

#include "maildir/name.h"

#include "webmail-cgi/answer.h"
#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/writing.h"

enum {
	RUNNER_TIMEOUT_MS = 5000,
};

/* --- When it is due ----------------------------------------------------------------- */

static void
move_copy(struct web_request *r, const struct outgoing_row *o)
{
	struct maildir from, to;
	char name[MAILDIR_NAME_SIZE];
	struct err e;

	if (strcmp(o->dir, ".Sent") == 0 || o->name[0] == '\0')
		return;
	if (mailbox_open_folder(r, o->dir, false, &from, &e) != 0)
		return;
	if (mailbox_open_folder(r, ".Sent", true, &to, &e) == 0) {
		if (maildir_move(&from, &to, o->name, name, &e) != 0)
			log_warning("%s: %s", o->name, e.text);
		maildir_close(&to);
	}
	maildir_close(&from);
}

/* The message it answers: \Answered, or Passed for a forward. */
static void
mark_original(struct web_request *r, const struct outgoing_row *o)
{
	const char *slash = strchr(o->answers, '/'), *dir = NULL;
	uint8_t flag =
	    strcmp(o->verb, "forward") == 0 ? MAILDIR_PASSED : MAILDIR_REPLIED;
	char name[MAILDIR_NAME_SIZE];
	struct maildir m;
	struct buf text;
	struct err e;

	buf_init(&text, MAILDIR_NAME_SIZE);
	if (slash != NULL &&
	    web_unescape_url(slice_of(o->answers, (size_t)(slash - o->answers)),
		false, &text))
		dir = pool_strndup(&r->pool, text.data, text.len);
	buf_release(&text);
	if (dir == NULL || mailbox_open_folder(r, dir, false, &m, &e) != 0)
		return;
	if (maildir_set_flags(&m, slash + 1, flag, 0, name, &e) != 0)
		log_warning("%s: %s", slash + 1, e.text);
	maildir_close(&m);
}

void
outgoing_settle(struct web_request *r)
{
	struct outgoing_rows due;
	struct sql *db;
	struct err e;

	if (user_store(r, false, &db, &e) != 0 ||
	    store_outgoing_due(db, clock_wall_ms(), &r->pool, &due, &e) != 0) {
		log_warning("sent by %s: %s", session_of(r)->address, e.text);
		return;
	}
	for (size_t i = 0; i < due.count; i++) {
		if (store_outgoing_delete(db, due.list[i].id, &e) != 1)
			continue;
		move_copy(r, &due.list[i]);
		mark_original(r, &due.list[i]);
	}
}

/* --- What the page says ------------------------------------------------------------------- */

static bool
can_undo(struct web_request *r, const char *id)
{
	struct outgoing_row o;
	struct sql *db;
	struct err e;

	return id != NULL && id_is_valid(slice_str(id)) &&
	    user_store(r, false, &db, &e) == 0 &&
	    store_outgoing_find(db, id, &r->pool, &o, &e) == 1 &&
	    o.due_ms > clock_wall_ms();
}

json_t *
outgoing_notice(struct web_request *r)
{
	static const char *const keys[][2] = {
		{ "sent", "compose.sent" },
		{ "scheduled", "compose.scheduled" },
		{ "not-filed", "compose.not_filed" },
		{ "already", "compose.already" },
		{ "discarded", "compose.discarded" },
		{ "too-late", "compose.too_late" },
		{ "not-taken", "compose.not_taken" },
		{ "taken", "compose.taken" },
		{ "receipt-sent", "read.receipt_sent" },
		{ "receipt-decided", "read.receipt_decided" },
		{ "receipt-declined", "read.receipt_declined" },
	};
	const char *flash = web_query(r, "flash"), *id = web_query(r, "id");

	for (size_t i = 0; flash != NULL && i < ARRAY_LEN(keys); i++) {
		json_t *notice;

		if (strcmp(keys[i][0], flash) != 0)
			continue;
		notice = json_pack("{ss}", "text", page_text(r, keys[i][1]));
		if (id != NULL && id_is_valid(slice_str(id)))
			json_object_set_new(notice, "id", json_string(id));
		if (can_undo(r, id))
			json_object_set_new(
			    notice, "undo_send", json_string(id));
		return notice;
	}
	return NULL;
}

/* --- Taking back ----------------------------------------------------------------------- */

static int
ask_runner(struct web_request *r, const char *verb, const char *id,
    json_t **reply, struct err *e)
{
	return accountd_call(webmail_of(r)->runner,
	    json_pack("{ss,ss,ss}", "verb", verb, "id", id, "session",
		session_of(r)->token),
	    RUNNER_TIMEOUT_MS, reply, e);
}

/* Remote ones, each once. */
static void
add_domains(struct web_request *r, const char *typed,
    bool (*is_known)(const struct web_request *r, const char *domain),
    json_t *domains)
{
	struct directory *directory = webmail_of(r)->directory;
	struct slice rest = slice_str(typed);
	struct writing_person p;
	struct dir_domain ours;
	struct address a;
	struct err e;

	while (writing_next_person(&rest, &r->pool, &p)) {
		if (address_parse(p.address, 0, &r->pool, &a, &e) == 0 &&
		    !a.is_literal &&
		    (is_known == NULL || !is_known(r, a.domain)) &&
		    dir_find_domain(directory, a.domain, &r->pool, &ours, &e) ==
			DIR_NONE)
			json_object_set_new(domains, a.domain, json_true());
	}
}

json_t *
outgoing_bad_domains(struct web_request *r, const struct draft *d,
    bool (*is_known)(const struct web_request *r, const char *domain))
{
	const char *const fields[] = { d->to, d->cc, d->bcc };
	json_t *domains = json_object(), *list = json_array(), *bad = NULL;
	json_t *reply = NULL, *value;
	const char *name;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		add_domains(r, fields[i], is_known, domains);
	json_object_foreach(domains, name, value)
		json_array_append_new(list, json_string(name));
	json_decref(domains);
	if (json_array_size(list) > 0 &&
	    accountd_call(webmail_of(r)->runner,
		json_pack("{ss,ss,sO}", "verb", "domains", "session",
		    session_of(r)->token, "domains", list),
		RUNNER_TIMEOUT_MS, &reply, &e) != 0)
		log_warning("domains: %s", e.text);
	json_decref(list);
	bad = json_incref(json_object_get(reply, "bad"));
	json_decref(reply);
	return bad != NULL ? bad : json_array();
}

bool
outgoing_waits(struct web_request *r, const struct index_message *m,
    struct outgoing_row *out)
{
	struct sql *db;
	struct err e;

	return (strcmp(m->dir, MAILBOX_SCHEDULED) == 0 ||
		   strcmp(m->dir, INDEX_SENT) == 0) &&
	    user_store(r, false, &db, &e) == 0 &&
	    store_outgoing_find_copy(db,
		pool_strndup(&r->pool, m->name, strcspn(m->name, ":")),
		&r->pool, out, &e) == 1 &&
	    out->due_ms > clock_wall_ms();
}

int
outgoing_cancel(
    struct web_request *r, const struct index_message *m, struct err *e)
{
	struct outgoing_row o;
	json_t *reply;
	struct sql *db;

	if (strcmp(m->dir, MAILBOX_SCHEDULED) != 0 || !outgoing_waits(r, m, &o))
		return 0;
	if (ask_runner(r, "take back", o.id, &reply, e) != 0)
		return e->kind == ERR_PERM ? 0 : -1;
	json_decref(reply);
	if (user_store(r, false, &db, e) != 0 ||
	    store_outgoing_delete(db, o.id, e) < 0)
		log_warning("%s: %s", o.id, e->text);
	return 1;
}

/* The copy becomes a draft again, and goes. */
static int
reopen(struct web_request *r, const struct outgoing_row *o, struct draft *d,
    struct err *e)
{
	struct maildir m;
	int fd, rc;

	if (mailbox_open_folder(r, o->dir, false, &m, e) != 0)
		return -1;
	rc = maildir_open_message(&m, o->name, &fd, e);
	if (rc == 0) {
		draft_init(d);
		d->answers = o->answers;
		d->verb = o->verb;
		rc = answer_edit(r, fd, d, e);
		(void)close(fd);
	}
	if (rc == 0) {
		struct maildir_entry entry = { 0 };

		(void)maildir_parse_name(o->name, &entry);
		rc = maildir_remove(&m, o->name, e);
		if (rc == 0)
			user_count_usage(r, -(int64_t)entry.size, -1);
	}
	maildir_close(&m);
	return rc;
}

/* First out of the spool; if no draft can be made then, the copy stays. */
void
outgoing_undo_post(struct web_request *r, struct web_response *w)
{
	struct outgoing_row o;
	json_t *reply = NULL;
	struct sql *db;
	struct draft d;
	struct err e;

	if (user_store(r, false, &db, &e) != 0 ||
	    store_outgoing_find(db, r->args[0], &r->pool, &o, &e) != 1 ||
	    o.due_ms <= clock_wall_ms()) {
		web_redirect(w, "/m/sent?flash=too-late");
		return;
	}
	if (ask_runner(r, "take back", o.id, &reply, &e) != 0) {
		log_warning("take back %s: %s", o.id, e.text);
		web_redirect(w,
		    e.kind == ERR_PERM ? "/m/sent?flash=too-late"
				       : "/m/sent?flash=not-taken");
		return;
	}
	json_decref(reply);
	if (store_outgoing_delete(db, o.id, &e) < 0)
		log_warning("%s: %s", o.id, e.text);
	if (reopen(r, &o, &d, &e) != 0) {
		/* its text is in the copy still */
		log_error("take back %s: %s", o.id, e.text);
		web_redirect(w, "/m/sent?flash=taken");
		return;
	}
	web_redirect(w, pool_printf(&r->pool, "/d/%s", d.did));
	draft_close(&d);
}

/* The rows' states in words, times as the templates want them. */
static json_t *
delivery_rows(struct web_request *r, json_t *reply)
{
	json_t *rows = json_object_get(reply, "recipients"), *one;
	size_t i;

	json_array_foreach(rows, i, one) {
		const char *state =
		    json_string_value(json_object_get(one, "state"));
		const json_t *at = json_object_get(one, "at_ms");

		json_object_set_new(one, "words",
		    json_string(page_text(r,
			pool_printf(&r->pool, "delivery.%s",
			    state != NULL ? state : ""))));
		json_object_set_new(one, "failed",
		    json_boolean(
			state != NULL && strcmp(state, "failed") == 0));
		json_object_set_new(one, "good",
		    json_boolean(state != NULL && strcmp(state, "sent") == 0));
		if (json_integer_value(at) > 0)
			json_object_set(one, "at", (json_t *)(uintptr_t)at);
	}
	return json_incref(rows);
}

void
outgoing_delivery_page(struct web_request *r, struct web_response *w)
{
	struct outgoing_row o;
	json_t *reply, *values;
	struct sql *db;
	struct err e;

	if (ask_runner(r, "delivery", r->args[0], &reply, &e) != 0) {
		if (e.kind != ERR_PERM)
			log_error("delivery: %s", e.text);
		web_error(w, e.kind == ERR_PERM ? 404 : 503,
		    page_text(r, "delivery.unknown"));
		return;
	}
	values = json_pack("{so}", "rows", delivery_rows(r, reply));
	json_decref(reply);
	if (user_store(r, false, &db, &e) == 0 &&
	    store_outgoing_find(db, r->args[0], &r->pool, &o, &e) == 1 &&
	    o.due_ms > clock_wall_ms()) {
		json_object_set_new(
		    values, "due", json_integer((json_int_t)o.due_ms));
		json_object_set_new(values, "id", json_string(o.id));
	}
	page_send(r, w, "delivery", page_text(r, "delivery.title"), values);
}
