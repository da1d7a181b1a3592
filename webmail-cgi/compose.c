/*
 * What the page on which a message is written posts; see compose.h.
 *
 * Whatever goes wrong, what was typed is in the answer: in the form again, or
 * stored.
 */
#include "webmail-cgi/compose.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/answer.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/writing.h"

enum {
	VISIBLE_MAX = 20, /* recipients, before Bcc is proposed */
	MORNING_HOUR = 8,
	DAY_S = 86400,
	LATER_MAX_DAYS = 366,
};

/* --- Warnings ------------------------------------------------------------------------------ */

static size_t
count_people(struct web_request *r, const char *typed)
{
	struct slice rest = slice_str(typed);
	struct writing_person p;
	size_t n = 0;

	while (writing_next_person(&rest, &r->pool, &p))
		n++;
	return n;
}

static bool
was_seen(const struct web_request *r, const char *kind)
{
	const char *value;

	for (size_t i = 0; (value = web_form_next(r, "seen", &i)) != NULL;)
		if (strcmp(value, kind) == 0)
			return true;
	return false;
}

/* What the writer should look at once before it goes; NULL: nothing. */
static json_t *
warnings_of(struct web_request *r, const struct draft *d)
{
	const struct {
		const char *kind;
		bool there;
	} all[] = {
		{ "no_subject", slice_trim(slice_str(d->subject)).len == 0 },
		{ "no_file",
		    d->file_count == 0 &&
			(writing_mentions(slice_str(d->text),
			     page_text(r, "compose.file_words")) ||
			    writing_mentions(slice_str(d->subject),
				page_text(r, "compose.file_words"))) },
		{ "many",
		    count_people(r, d->to) + count_people(r, d->cc) >
			VISIBLE_MAX },
	};

	json_t *array = NULL;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!all[i].there || was_seen(r, all[i].kind))
			continue;
		if (array == NULL)
			array = json_array();
		json_array_append_new(array,
		    json_pack("{ss,ss}", "kind", all[i].kind, "text",
			page_text(r,
			    pool_printf(
				&r->pool, "compose.warn_%s", all[i].kind))));
	}
	return array;
}

void
compose_check_post(struct web_request *r, struct web_response *w)
{
	struct draft d;

	draft_init(&d);
	(void)compose_read_form(r, &d);
	page_send(r, w, "_domains", "",
	    json_pack("{so}", "domains", compose_domain_notes(r, &d, NULL)));
}

/* --- What a POST does ------------------------------------------------------------------------ */

static void
answer_saved(struct web_request *r, struct web_response *w, struct draft *d)
{
	char rev[16];

	if (r->part[0] == '\0') {
		compose_go(r, w, d, "check=1&");
		return;
	}
	(void)snprintf(rev, sizeof(rev), "%u", d->rev);
	web_add_header(w, "X-Rev", rev);
	if (strcmp(r->part, "files") == 0) {
		page_send(r, w, "_files", "", compose_values(r, d));
		return;
	}
	w->type = "text/plain; charset=utf-8";
	buf_addstr(&w->body, page_text(r, "compose.saved"));
}

/*
 * Uploads as attachments; ERR_SYNTAX: too much.  A browser's message/rfc822 is any file: encoded
 * like all others.
 */
static int
save(struct web_request *r, struct draft *d, struct err *e)
{
	uint64_t max = outgoing_max_bytes(r), size = draft_files_size(d);

	for (size_t i = 0; i < r->upload_count; i++) {
		if (slice_istarts(slice_str(r->uploads[i].type), "message/"))
			r->uploads[i].type = "";
		size += draft_encoded_size(r->uploads[i].size);
	}
	if ((max > 0 && size + strlen(d->text) > max) ||
	    d->file_count + r->upload_count > DRAFT_FILES_MAX)
		return err_set(e, ERR_SYNTAX, "too large");
	return answer_save(r, d, e);
}

/* Files of another message that were not stored with the draft yet. */
static bool
has_pending(const struct draft *d)
{
	return d->file_count > 0 && d->files[0].part != NULL;
}

/* They cannot be had any more: the page goes on without them. */
static void
show_files_gone(struct web_request *r, struct web_response *w, struct draft *d)
{
	d->file_count = 0;
	compose_show_error(r, w, d, 422, "compose.files_gone", "");
}

static void
save_failed(struct web_request *r, struct web_response *w, struct draft *d,
    const struct err *e)
{
	bool large = e->kind == ERR_SYNTAX;
	struct draft first;
	struct err ignored;

	/* another window began to write at the same time */
	if (d->rev == 0 && e->kind == ERR_TEMP &&
	    draft_open(r, d->did, false, &first, &ignored) == 0) {
		compose_show_conflict(r, w, &first);
		draft_close(&first);
		return;
	}
	if (!large)
		log_error("draft of %s: %s", session_of(r)->address, e->text);
	if (e->kind == ERR_PERM && has_pending(d) && r->part[0] == '\0') {
		show_files_gone(r, w, d);
		return;
	}
	if (r->part[0] != '\0') {
		w->status = large ? 413 : 507;
		w->type = "text/plain; charset=utf-8";
		buf_addstr(&w->body,
		    page_text(
			r, large ? "compose.too_large" : "compose.not_saved"));
		return;
	}
	compose_show_error(r, w, d, large ? 413 : 507,
	    large ? "compose.too_large" : "compose.not_saved", "");
}

static void
do_save(struct web_request *r, struct web_response *w, struct draft *d)
{
	struct err e;

	if (save(r, d, &e) != 0)
		save_failed(r, w, d, &e);
	else
		answer_saved(r, w, d);
}

static void
do_drop(struct web_request *r, struct web_response *w, struct draft *d,
    const char *which)
{
	uint64_t n;

	if (num_parse(slice_str(which), DRAFT_FILES_MAX, &n) &&
	    n < d->file_count)
		d->files[n].dropped = true;
	do_save(r, w, d);
}

static void
do_discard(struct web_request *r, struct web_response *w, struct draft *d)
{
	struct err e;

	if (d->rev == 0) {
		web_redirect(w, web_own_path(web_form(r, "back")));
		return;
	}
	if (draft_remove(r, d, true, &e) != 0) {
		log_error("discard: %s", e.text);
		compose_show_error(r, w, d, 503, "compose.failed", "");
		return;
	}
	web_redirect(w, "/m/drafts?flash=discarded");
}

static void
send_result(struct web_request *r, struct web_response *w, struct draft *d,
    enum outgoing_result result, bool later, const struct outgoing *o)
{
	static const struct {
		int status;
		const char *key;
	} rows[] = {
		[OUTGOING_NO_RECIPIENT] = { 422, "compose.no_recipient" },
		[OUTGOING_TOO_MANY] = { 422, "compose.too_many" },
		[OUTGOING_BAD_ADDRESS] = { 422, "compose.bad_address" },
		[OUTGOING_REFUSED] = { 422, "compose.refused" },
		[OUTGOING_TOO_LARGE] = { 413, "compose.too_large" },
		[OUTGOING_FAILED] = { 503, "compose.failed" },
	};

	const char *what = o->what, *back;
	struct err e;

	if (result != OUTGOING_SENT && result != OUTGOING_NOT_FILED) {
		if (result == OUTGOING_REFUSED)
			what = pool_printf(&r->pool, "%s%s%s", o->what,
			    o->what[0] != '\0' ? ": " : "", o->reason);
		compose_show_error(
		    r, w, d, rows[result].status, rows[result].key, what);
		return;
	}
	if (d->rev > 0 && draft_remove(r, d, false, &e) != 0)
		log_warning("draft that was sent: %s", e.text);
	back = web_own_path(web_form(r, "back"));
	web_redirect(w,
	    pool_printf(&r->pool, "%s&id=%s",
		web_flash_path(r, strcmp(back, "/") == 0 ? "/m/inbox" : back,
		    result == OUTGOING_NOT_FILED ? "not-filed"
			: later                  ? "scheduled"
						 : "sent"),
		o->id));
}

static void
do_send(struct web_request *r, struct web_response *w, struct draft *d,
    int64_t later_ms)
{
	enum outgoing_result result;
	struct outgoing o;
	json_t *warnings, *domains, *values;
	int fd = -1, fresh;
	struct err e;

	if ((r->upload_count > 0 || has_pending(d)) && save(r, d, &e) != 0) {
		save_failed(r, w, d, &e);
		return;
	}
	warnings = warnings_of(r, d);
	domains = compose_domain_notes(r, d, was_seen);
	if (warnings != NULL || json_array_size(domains) > 0) {
		w->status = 422;
		values = compose_values(r, d);
		json_object_set_new(values, "warnings", warnings);
		json_object_set(values, "domains", domains);
		json_object_set_new(values, "doubtful",
		    json_boolean(json_array_size(domains) > 0));
		json_decref(domains);
		compose_show(r, w, values);
		return;
	}
	json_decref(domains);
	fresh = d->rev == 0 ? draft_begin_sending(r, d, &fd, &e) : 1;
	if (fresh == 0) {
		web_redirect(w, "/m/inbox?flash=already");
		return;
	}
	if (fresh < 0)
		log_warning("send: %s", e.text);
	result = outgoing_send(r, d, later_ms, &o);
	if (fresh > 0)
		draft_sent(fd,
		    result == OUTGOING_SENT || result == OUTGOING_NOT_FILED);
	send_result(r, w, d, result, later_ms > 0, &o);
}

/* --- Send later --------------------------------------------------------------------------------- */

/* "2026-11-30T08:00", as <input type=datetime-local> has it. */
static bool
parse_when(const char *when, int64_t *local_s_out)
{
	char text[CLOCK_RFC3339_SIZE];
	int64_t ms;

	if (strlen(when) != 16)
		return false;
	(void)snprintf(text, sizeof(text), "%s:00Z", when);
	if (!clock_parse_rfc3339(slice_str(text), &ms))
		return false;
	*local_s_out = ms / 1000;
	return true;
}

/* Milliseconds; 0: that is no time to come. */
static int64_t
later_time(struct web_request *r, const char *which)
{
	const char *zone = user_prefs(r)->value[PREF_ZONE];
	const char *when = web_form(r, "when");
	int64_t now = clock_wall_ms() / 1000, utc;
	int64_t local = now + template_zone_offset(zone, now), day;

	day = local / DAY_S;
	if (strcmp(which, "tomorrow") == 0)
		local = (day + 1) * DAY_S + MORNING_HOUR * 3600;
	else if (strcmp(which, "monday") == 0) /* 1970-01-01: a Thursday */
		local = (day + 7 - (day + 3) % 7) * DAY_S + MORNING_HOUR * 3600;
	else if (when == NULL || !parse_when(when, &local))
		return 0;
	utc = template_zone_utc(zone, local);
	if (utc <= now || utc > now + (int64_t)LATER_MAX_DAYS * DAY_S)
		return 0;
	return utc * 1000;
}

static void
do_later(struct web_request *r, struct web_response *w, struct draft *d,
    const char *which)
{
	int64_t when = later_time(r, which);

	if (when == 0)
		compose_show_error(r, w, d, 422, "compose.bad_time", "");
	else
		do_send(r, w, d, when);
}

/* --- The POSTs ---------------------------------------------------------------------------------- */

static void
act(struct web_request *r, struct web_response *w, struct draft *d)
{
	const char *verb = web_form(r, "do");

	if (verb == NULL)
		verb = "save";
	if (strcmp(verb, "send") == 0)
		do_send(r, w, d, 0);
	else if (strcmp(verb, "discard") == 0)
		do_discard(r, w, d);
	else if (strncmp(verb, "later:", 6) == 0)
		do_later(r, w, d, verb + 6);
	else if (strncmp(verb, "drop:", 5) == 0)
		do_drop(r, w, d, verb + 5);
	else
		do_save(r, w, d);
}

/*
 * The draft the URL names, locked, and no newer than the form's rev; a new one
 * if it is not there.  False: answered already.
 */
static bool
open_posted(struct web_request *r, struct web_response *w, struct draft *d)
{
	const char *text = web_form(r, "rev"), *verb = web_form(r, "do");
	uint64_t rev = 0;
	struct err e;

	if (!id_is_valid(slice_str(r->args[0])) ||
	    (text != NULL && !num_parse(slice_str(text), INT32_MAX, &rev))) {
		web_error(w, 404, page_text(r, "compose.gone"));
		return false;
	}
	if (draft_open(r, r->args[0], true, d, &e) == 0) {
		if (d->rev == rev)
			return true;
		compose_show_conflict(r, w, d);
		draft_close(d);
		return false;
	}
	draft_init(d);
	memcpy(d->did, r->args[0], ID_SIZE);
	if (e.kind == ERR_PERM && rev > 0 && verb != NULL &&
	    strcmp(verb, "save") != 0) {
		/* sent or discarded in another window */
		web_redirect(w, "/m/inbox?flash=already");
		return false;
	}
	if (e.kind != ERR_PERM) {
		log_error("draft: %s", e.text);
		(void)compose_read_form(r, d);
		d->rev = (unsigned)rev;
		compose_show_error(r, w, d, 503, "compose.failed", "");
		return false;
	}
	return true;
}

/*
 * The box below a conversation has the text alone: all else follows from the
 * message it answers.  False: answered already.
 */
static bool
complete(struct web_request *r, struct web_response *w, struct draft *d)
{
	const char *of = web_form(r, "of");
	struct draft typed = *d;
	struct err e;

	if (web_form(r, "quick") == NULL || of == NULL)
		return true;
	if (d->rev == 0 && r->part[0] == '\0' &&
	    slice_trim(slice_str(d->text)).len == 0) {
		compose_go(
		    r, w, d, pool_printf(&r->pool, "new=quick&of=%s&", of));
		return false;
	}
	if (answer_fill(r, of, "quick", NULL, d, &e) == 0)
		return true;
	log_error("draft: %s", e.text);
	compose_show_error(r, w, &typed, 503, "compose.original_gone", "");
	return false;
}

void
compose_post(struct web_request *r, struct web_response *w)
{
	struct draft d;
	struct err e;

	if (!open_posted(r, w, &d))
		return;
	if (!compose_read_form(r, &d))
		compose_show_error(r, w, &d, 413, "compose.too_large", "");
	else if (!complete(r, w, &d))
		;
	else if (d.rev > 0 || answer_take(r, &d, &e) == 0)
		act(r, w, &d);
	else if (e.kind == ERR_PERM)
		show_files_gone(r, w, &d);
	else
		save_failed(r, w, &d, &e);
	draft_close(&d);
}
