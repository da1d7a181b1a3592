/*
 * Building delivery status notifications; see dsn.h.  Pure: everything comes
 * in by struct dsn.  A stranger's bytes reach the report's header only as
 * addresses, which have no control bytes, and its fields only cleaned.
 *
 * RFC 3464, RFC 6522; RFC 6533 where an address is not ASCII.
 */
#include "queue/dsn.h"

#include <string.h>

#include "base/clock.h"

static const struct {
	const char *subject, *action, *intro;
} kinds[] = {
	[DSN_FAILURE] = { "Undelivered mail returned to sender", "failed",
	    "Your message could not be delivered to the recipients below.\n"
	    "No further attempts will be made.\n" },
	[DSN_DELAY] = { "Delivery of your mail is delayed", "delayed",
	    "Your message has not been delivered yet to the recipients below.\n"
	    "You need not send it again: delivery is still being tried.\n" },
	[DSN_SUCCESS] = { "Your mail was delivered", "delivered",
	    "Your message was delivered to the recipients below.\n" },
};

/* One line's worth of text from elsewhere: no control bytes. */
static void
add_clean(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++)
		buf_addc(
		    out, (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s);
}

static void
add_field(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "%s: ", name);
	add_clean(out, value);
	buf_addc(out, '\n');
}

static const struct envelope_recipient *
recipient(const struct dsn *d, size_t i)
{
	return &d->envelope->recipients[d->recipients[i]];
}

static bool
is_international(const struct dsn *d)
{
	size_t i;

	if (!slice_is_ascii(slice_str(d->envelope->sender)))
		return true;
	for (i = 0; i < d->count; i++) {
		const struct envelope_recipient *r = recipient(d, i);

		if (!slice_is_ascii(slice_str(r->address)) ||
		    (r->original != NULL &&
			!slice_is_ascii(slice_str(r->original))))
			return true;
	}
	return false;
}

static void
add_header(const struct dsn *d, struct buf *out)
{
	char date[CLOCK_RFC5322_SIZE];

	clock_rfc5322(d->now_ms, date);
	buf_addf(
	    out, "From: Mail Delivery System <MAILER-DAEMON@%s>\n", d->host);
	buf_addstr(out, "To: <");
	add_clean(
	    out, d->postmaster != NULL ? d->postmaster : d->envelope->sender);
	buf_addf(out, ">\nSubject: %s\nDate: %s\nMessage-ID: <%s@%s>\n",
	    kinds[d->kind].subject, date, d->id, d->host);
	buf_addf(out,
	    "Auto-Submitted: auto-replied\n" /* RFC 3834 5 */
	    "MIME-Version: 1.0\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\n"
	    "\tboundary=\"%s/report\"\n\n"
	    "This is a delivery report in MIME format.\n\n",
	    d->id);
}

static void
add_words(const struct dsn *d, struct buf *out)
{
	char date[CLOCK_RFC5322_SIZE];
	size_t i;

	buf_addf(out,
	    "--%s/report\nContent-Type: text/plain; charset=utf-8\n"
	    "Content-Transfer-Encoding: 8bit\n\n",
	    d->id);
	for (i = 0; i < d->count; i++) {
		const struct envelope_recipient *r = recipient(d, i);

		buf_addstr(out, "<");
		add_clean(out, r->address);
		buf_addstr(out, ">: ");
		add_clean(out, r->reply != NULL ? r->reply : "no reason known");
		if (r->remote != NULL && r->remote[0] != '\0') {
			buf_addstr(out, "\n    (said ");
			add_clean(out, r->remote);
			buf_addc(out, ')');
		}
		buf_addc(out, '\n');
	}
	buf_addf(out, "\n%s", kinds[d->kind].intro);
	if (d->kind == DSN_DELAY) {
		clock_rfc5322(d->expires_ms, date);
		buf_addf(out, "It will be tried until %s.\n", date);
	}
	buf_addf(out,
	    "\nThe report was made by the mail server %s, which knows the\n"
	    "message as %s.\n\n",
	    d->host, d->message_id);
}

static void
add_recipient(const struct dsn *d, const struct envelope_recipient *r,
    const char *type, struct buf *out)
{
	const char *action = kinds[d->kind].action;
	char date[CLOCK_RFC5322_SIZE];

	buf_addc(out, '\n');
	if (r->original != NULL)
		add_field(out, "Original-Recipient", r->original);
	buf_addf(out, "Final-Recipient: %s; ", type);
	add_clean(out, r->address);
	if (d->kind == DSN_SUCCESS && r->kind == RECIPIENT_REMOTE)
		action = "relayed"; /* RFC 3461 5.2.2 */
	buf_addf(out, "\nAction: %s\nStatus: ", action);
	add_clean(out,
	    r->status != NULL            ? r->status
		: d->kind == DSN_SUCCESS ? "2.0.0"
		: d->kind == DSN_DELAY   ? "4.0.0"
					 : "5.0.0");
	buf_addc(out, '\n');
	if (r->remote != NULL && r->remote[0] != '\0') {
		buf_addstr(out, "Remote-MTA: dns; ");
		buf_add(out, r->remote, strcspn(r->remote, "[: "));
		buf_addstr(out, "\nDiagnostic-Code: smtp; ");
		add_clean(out, r->reply != NULL ? r->reply : "");
		buf_addc(out, '\n');
	} else if (r->reply != NULL) {
		buf_addstr(out, "Diagnostic-Code: X-Mailstead; ");
		add_clean(out, r->reply);
		buf_addc(out, '\n');
	}
	if (r->last_try_ms != 0) {
		clock_rfc5322(r->last_try_ms, date);
		add_field(out, "Last-Attempt-Date", date);
	}
	if (d->kind == DSN_DELAY) {
		clock_rfc5322(d->expires_ms, date);
		add_field(out, "Will-Retry-Until", date);
	}
}

static void
add_status(const struct dsn *d, struct buf *out)
{
	bool international = is_international(d);
	char date[CLOCK_RFC5322_SIZE];
	size_t i;

	buf_addf(out, "--%s/report\nContent-Type: message/%sdelivery-status\n",
	    d->id, international ? "global-" : "");
	if (international)
		buf_addstr(out, "Content-Transfer-Encoding: 8bit\n");
	buf_addf(out, "\nReporting-MTA: dns; %s\n", d->host);
	if (d->envelope->envid != NULL)
		add_field(out, "Original-Envelope-Id", d->envelope->envid);
	add_field(out, "X-Mailstead-Queue-Id", d->message_id);
	clock_rfc5322(d->envelope->accepted_ms, date);
	add_field(out, "Arrival-Date", date);
	for (i = 0; i < d->count; i++)
		add_recipient(d, recipient(d, i),
		    slice_is_ascii(slice_str(recipient(d, i)->address))
			? "rfc822"
			: "utf-8",
		    out);
	buf_addc(out, '\n');
}

static void
add_original(const struct dsn *d, struct buf *out)
{
	buf_addf(out, "--%s/report\nContent-Type: %s\n", d->id,
	    d->original_whole ? "message/rfc822" : "text/rfc822-headers");
	if ((d->envelope->flags & ENVELOPE_8BIT) != 0)
		buf_addstr(out, "Content-Transfer-Encoding: 8bit\n");
	buf_addc(out, '\n');
	buf_addslice(out, d->original);
	if (!slice_ends(d->original, "\n"))
		buf_addc(out, '\n');
	buf_addf(out, "\n--%s/report--\n", d->id);
}

void
dsn_build(const struct dsn *d, struct buf *out)
{
	add_header(d, out);
	add_words(d, out);
	add_status(d, out);
	add_original(d, out);
}
