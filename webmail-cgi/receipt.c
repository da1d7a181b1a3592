/*
 * Telling a sender that a message was read (RFC 8098): only when the reader
 * says so, once a message, and never to a list, a machine or junk.  That it
 * was decided is kept in the Maildir, as the keyword other mail programs know.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

#include "webmail-cgi/answer.h"
#include "webmail-cgi/outgoing.h"
#include "webmail-cgi/read.h"
#include "webmail-cgi/text.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/writing.h"

/* RFC 3503 3.1 */
#define DECIDED "$MDNSent"

enum {
	REPORT_MAX = 64 * 1024,
};

/* --- Is there anything to decide ------------------------------------------------- */

/* False too while it is not known. */
static bool
is_undecided(struct web_request *r, const struct letter *l)
{
	const char *const *keywords;
	struct index *x;
	size_t count;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_keywords(x, &r->pool, &keywords, &count, &e) != 0) {
		log_warning("%s: %s", l->id, e.text);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if ((l->message.keywords >> i & 1) != 0 &&
		    strcmp(keywords[i], DECIDED) == 0)
			return false;
	}
	return true;
}

static bool
is_own(struct web_request *r, const char *address)
{
	struct identities own;
	struct err e;

	return user_identities(r, &own, &e) != 0 ||
	    identities_has(&own, address);
}

json_t *
receipt_value(struct web_request *r, const struct letter *l, const json_t *view)
{
	const char *to = json_text(view, "receipt_to");

	if (to[0] == '\0' || l->in_junk ||
	    strcmp(user_prefs(r)->value[PREF_RECEIPTS], "never") == 0 ||
	    is_own(r, to) || !is_undecided(r, l))
		return NULL;
	return json_pack("{ss,sO}", "to", to, "elsewhere",
	    json_object_get(view, "receipt_elsewhere"));
}

/* --- The report --------------------------------------------------------------------- */

/* Translated words as a part, in their place "{to}", "{subject}", "{date}". */
static void
put_words(struct web_request *r, const char *to, const json_t *summary,
    struct buf *out)
{
	const json_t *date = json_object_get(summary, "date");
	char sent[CLOCK_RFC5322_SIZE] = "";
	const char *words = page_text(r, "read.receipt_text");
	struct buf text;

	if (json_is_integer(date))
		clock_rfc5322(json_integer_value(date), sent);
	words = text_fill(&r->pool, words, "{to}", to);
	words = text_fill(&r->pool, words, "{date}", sent);
	words = text_fill(
	    &r->pool, words, "{subject}", json_text(summary, "subject"));
	buf_init(&text, REPORT_MAX);
	writing_flow(slice_str(words), &text);
	buf_addstr(out,
	    "Content-Type: text/plain; charset=utf-8; format=flowed;"
	    " delsp=no\nContent-Transfer-Encoding: quoted-printable\n\n");
	writing_quoted_printable(buf_slice(&text), out);
	buf_release(&text);
}

/* NULL: too large. */
static const char *
make_report(struct web_request *r, const char *own, const json_t *summary)
{
	const char *id = json_text(summary, "message_id");
	const char *report = NULL;
	char boundary[ID_SIZE];
	struct buf out;

	id_new(boundary);
	buf_init(&out, REPORT_MAX);
	buf_addf(&out,                       /* RFC 8098 3.1 */
	    "Auto-Submitted: auto-replied\n" /* RFC 3834 5 */
	    "Content-Type: multipart/report;\n"
	    " report-type=disposition-notification; boundary=\"%s\"\n\n--%s\n",
	    boundary, boundary);
	put_words(r, own, summary, &out);
	buf_addf(&out, /* RFC 8098 3.2 */
	    "\n--%s\nContent-Type: message/disposition-notification\n\n"
	    "Final-Recipient: rfc822; %s\n",
	    boundary, own);
	if (draft_id_is_good(slice_str(id)))
		buf_addf(&out, "Original-Message-ID: <%s>\n", id);
	buf_addf(&out,
	    "Disposition: manual-action/MDN-sent-manually; displayed\n"
	    "\n--%s--\n",
	    boundary);
	if (!buf_overflowed(&out))
		report = pool_strndup(&r->pool, out.data, out.len);
	buf_release(&out);
	return report;
}

static enum outgoing_result
send_report(struct web_request *r, const char *own, const json_t *summary,
    struct outgoing *out)
{
	const char *id = json_text(summary, "message_id");
	struct draft d;

	draft_init(&d);
	d.from = own;
	d.to = pool_strdup(&r->pool, json_text(summary, "receipt_to"));
	d.subject = text_fill(&r->pool, page_text(r, "read.receipt_subject"),
	    "{subject}", json_text(summary, "subject"));
	d.in_reply_to = d.references = pool_strdup(&r->pool, id);
	d.report = make_report(
	    r, own[0] != '\0' ? own : session_of(r)->address, summary);
	return d.report != NULL ? outgoing_send(r, &d, 0, out)
				: OUTGOING_FAILED;
}

/* --- The decision ------------------------------------------------------------------- */

/* 1: it is decided now, or open again; 0: it was so already. */
static int
decide(
    struct web_request *r, const struct letter *l, bool decided, struct err *e)
{
	const struct index_change c = {
		.verb = INDEX_KEYWORD, .keyword = DECIDED, .on = decided
	};
	uint64_t changed;
	struct index *x;

	if (mailbox_index(r, "", &x, e) != 0 ||
	    index_change(x, &c, &l->message.id, 1, NULL, &changed, e) != 0)
		return -1;
	return changed > 0;
}

/* The message in the log, what the reader is told in the answer. */
static void
not_sent(struct web_request *r, struct web_response *w, const struct letter *l,
    enum outgoing_result result, const struct outgoing *out)
{
	struct err e = { 0 };

	log_warning("%s: no receipt sent: %s", l->id, out->reason);
	if (decide(r, l, false, &e) < 0)
		log_error("%s: %s", l->id, e.text);
	if (result == OUTGOING_REFUSED)
		web_error(w, 422,
		    text_fill(&r->pool, page_text(r, "compose.refused"),
			"{what}", out->reason));
	else
		web_error(w, 503, page_text(r, "compose.failed"));
}

/* False: answered already. */
static bool
tell(struct web_request *r, struct web_response *w, const struct letter *l,
    const char *own, const json_t *summary)
{
	struct outgoing out = { .what = "", .reason = "" };
	enum outgoing_result result = send_report(r, own, summary, &out);

	if (result != OUTGOING_SENT)
		not_sent(r, w, l, result, &out);
	return result == OUTGOING_SENT;
}

static void
go_back(struct web_request *r, struct web_response *w, const struct letter *l,
    const char *flash)
{
	const char *back = web_form(r, "back");

	back = back != NULL ? web_own_path(back)
			    : pool_printf(&r->pool, "/v/%s", l->id);
	web_redirect(w, web_flash_path(r, back, flash));
}

/* What was decided is kept before it is done: rather no receipt than two. */
static void
settle(struct web_request *r, struct web_response *w, const struct letter *l)
{
	const char *verb = web_form(r, "do"), *own;
	bool sends = verb != NULL && strcmp(verb, "send") == 0;
	json_t *summary = NULL, *value;
	int now = 0;
	struct err e;

	if (answer_original(r, l->fd, &own, &summary, &e) != 0) {
		log_warning("%s: %s", l->id, e.text);
		web_error(w, 503, page_text(r, "read.gone"));
		return;
	}
	value = receipt_value(r, l, summary);
	if (value != NULL)
		now = decide(r, l, true, &e);
	if (now < 0) {
		log_error("%s: %s", l->id, e.text);
		web_error(w, 503, page_text(r, "read.not_kept"));
	} else if (now == 0) {
		go_back(r, w, l, "receipt-decided");
	} else if (!sends || tell(r, w, l, own, summary)) {
		go_back(r, w, l, sends ? "receipt-sent" : "receipt-declined");
	}
	json_decref(value);
	json_decref(summary);
}

void
receipt_post(struct web_request *r, struct web_response *w)
{
	struct letter l;

	if (!letter_open(r, w, &l))
		return;
	settle(r, w, &l);
	(void)close(l.fd);
}
