/*
 * A message somebody wrote, into the spool and into the folder Sent.
 *
 * Nothing that was typed gets into the header as it stands: addresses are
 * parsed and written anew, the subject is encoded, ids are checked.  The body
 * is quoted-printable, so every server takes it.  Sent first, then filed: a
 * full disk may cost the copy, never make a copy of what was not sent.
 */
#include <sys/uio.h>

#include <stdio.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/message.h"

#include "webmail-cgi/webmail.h"

enum {
	RECIPIENTS_MAX = 500,
	MESSAGE_MAX = 8 * 1024 * 1024,
	HEADER_MAX = 256 * 1024,
	QP_LINE = 75, /* RFC 2045 6.7 (5): 76 with the soft break */
};

struct sending {
	struct web_request *request;
	struct envelope envelope;
	struct buf header; /* To and Cc */
	const char *bad;
};

/* --- header -------------------------------------------------------------------------- */

/* Recipients of one field; `name` NULL: they are not shown. */
static enum outgoing_result
add_recipients(struct sending *s, const char *name, const char *typed)
{
	struct slice rest = slice_str(typed), one;
	struct pool *pool = &s->request->pool;
	bool first = true;

	while (header_next_address(&rest, &one)) {
		struct address a;
		const char *text;
		struct err e;

		if (s->envelope.recipient_count >= RECIPIENTS_MAX)
			return OUTGOING_TOO_MANY;
		if (address_parse(one, 0, pool, &a, &e) != 0) {
			s->bad = pool_strndup(pool, one.data, one.len);
			return OUTGOING_BAD_ADDRESS;
		}
		text = address_format(&a, pool);
		envelope_add(&s->envelope)->address = text;
		if (name == NULL)
			continue;
		if (first)
			buf_addf(&s->header, "%s: ", name);
		buf_addstr(&s->header, first ? "" : ",\n ");
		buf_addstr(&s->header, text);
		first = false;
	}
	if (!first)
		buf_addc(&s->header, '\n');
	return OUTGOING_SENT;
}

/* RFC 5322 3.4: a name of our own account, quoted or encoded. */
static void
put_from(const struct session *s, struct buf *out)
{
	struct buf name;
	bool ascii = true;

	buf_init(&name, 1024);
	buf_addstr(out, "From: ");
	header_encode(slice_str(s->name), &name);
	ascii = slice_eq_str(buf_slice(&name), s->name);
	if (s->name[0] == '\0') {
		buf_addf(out, "%s\n", s->address);
	} else if (ascii) {
		buf_addc(out, '"');
		for (const char *p = s->name; *p != '\0'; p++) {
			if (*p == '"' || *p == '\\')
				buf_addc(out, '\\');
			buf_addc(out, *p);
		}
		buf_addf(out, "\" <%s>\n", s->address);
	} else {
		buf_addf(out, "%s <%s>\n", name.data, s->address);
	}
	buf_release(&name);
}

/* RFC 5322 3.6.4: what looks like an id, each in <> on a line. */
static void
put_ids(const char *field, const char *ids, struct buf *out)
{
	struct slice rest = slice_str(ids), id;
	bool first = true;

	while (rest.data != NULL) {
		bool good = true;

		rest = slice_cut(rest, ' ', &id);
		for (size_t i = 0; i < id.len; i++) {
			unsigned char c = (unsigned char)id.data[i];

			good =
			    good && c > ' ' && c < 0x7f && c != '<' && c != '>';
		}
		if (!good || id.len == 0 || id.len > 900)
			continue;
		if (first)
			buf_addf(out, "%s: <", field);
		else
			buf_addstr(out, "\n <");
		buf_addslice(out, id);
		buf_addc(out, '>');
		first = false;
	}
	if (!first)
		buf_addc(out, '\n');
}

/* --- body ------------------------------------------------------------------------------ */

/* One line without its end, RFC 2045 6.7. */
static void
put_quoted_line(struct slice line, struct buf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];
		bool last = i + 1 == line.len;
		bool plain = (c > ' ' && c < 0x7f && c != '=') ||
		    ((c == ' ' || c == '\t') && !last);
		/* a line "From " or "." would be changed on the way */
		size_t width;

		if (column == 0 && (c == 'F' || c == '.'))
			plain = false;
		width = plain ? 1 : 3;
		if (column + width > QP_LINE) {
			buf_addstr(out, "=\n");
			column = 0;
		}
		if (plain)
			buf_addc(out, (char)c);
		else
			buf_addf(out, "=%02X", c);
		column += width;
	}
	buf_addc(out, '\n');
}

static void
put_text(const char *text, struct buf *out)
{
	struct slice rest = slice_str(text), line;

	while (rest.data != NULL && rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		if (line.len > 0 && line.data[line.len - 1] == '\r')
			line.len--;
		put_quoted_line(line, out);
	}
}

static void
put_message(const struct sending *s, const struct outgoing *m, const char *id,
    const char *host, struct buf *out)
{
	message_date(out, s->envelope.accepted_ms);
	put_from(s->request->session, out);
	buf_addslice(out, buf_slice(&s->header));
	buf_addstr(out, "Subject: ");
	header_encode(slice_str(m->subject), out);
	buf_addc(out, '\n');
	message_message_id(out, id, host);
	put_ids("In-Reply-To", m->in_reply_to, out);
	put_ids("References", m->references, out);
	buf_addstr(out,
	    "MIME-Version: 1.0\n"
	    "Content-Type: text/plain; charset=utf-8\n"
	    "Content-Transfer-Encoding: quoted-printable\n\n");
	put_text(m->text, out);
}

/* --- sending ---------------------------------------------------------------------------- */

static size_t
count_lines(struct slice text)
{
	size_t lines = 0;

	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	return lines;
}

static int
put_in_spool(struct sending *s, struct spool_message *spool, const char *host,
    const struct buf *message, struct err *e)
{
	struct envelope *v = &s->envelope;
	struct message_trace trace = { .helo = "",
		.client_name = "",
		.client_ip = "",
		.host = host,
		.protocol = "HTTP",
		.id = spool_id(spool),
		.wall_ms = v->accepted_ms };
	struct buf head;
	int rc;

	buf_init(&head, HEADER_MAX);
	message_return_path(&head, v->sender);
	v->local_prefix = (uint32_t)head.len;
	message_received(&head, &trace);
	v->body_lines = (uint32_t)(count_lines(buf_slice(&head)) +
	    count_lines(buf_slice(message)));
	rc = spool_write(spool, head.data, head.len, e);
	if (rc == 0)
		rc = spool_write(spool, message->data, message->len, e);
	buf_release(&head);
	if (rc != 0) {
		spool_abort(spool);
		return -1;
	}
	return spool_commit(spool, v, e);
}

/* The quota counts it, as it counts what is delivered. */
static void
count_usage(const struct web_request *r, size_t size)
{
	struct maildir root;
	struct err e;

	if (folder_open(r, folder_find("inbox"), false, &root, &e) != 0)
		return;
	if (maildir_usage_add(&root, (int64_t)size, 1, &e) != 0)
		log_warning("%s", e.text);
	maildir_close(&root);
}

/* The sender's own copy. */
static int
file_copy(const struct web_request *r, const char *id, const char *host,
    const struct buf *message, struct err *e)
{
	const struct iovec piece = { message->data, message->len };
	char name[MAILDIR_NAME_SIZE], final[MAILDIR_NAME_SIZE];
	struct maildir m;
	int rc;

	if (folder_open(r, folder_find("sent"), true, &m, e) != 0)
		return -1;
	maildir_delivery_name(id, 0, host, message->len,
	    message->len + count_lines(buf_slice(message)), name);
	rc = maildir_write_tmp(&m, name, &piece, 1, e);
	if (rc == 0)
		rc = maildir_publish_cur(&m, name, MAILDIR_SEEN, final, e);
	maildir_close(&m);
	if (rc == 0)
		count_usage(r, message->len);
	return rc;
}

static void
log_accepted(const struct sending *s, const char *id)
{
	struct log_line l;

	log_begin(&l, "accepted", NULL, id);
	log_str(&l, "from", s->envelope.sender);
	log_int(&l, "recipients", (int64_t)s->envelope.recipient_count);
	log_str(&l, "user", s->envelope.auth_user);
	log_str(&l, "client", s->request->remote_addr);
	log_end(&l);
}

static enum outgoing_result
send_message(struct sending *s, const struct outgoing *m)
{
	struct web_request *r = s->request;
	struct settings *all = directory_settings(webmail_of(r)->directory);
	const char *host =
	    pool_strdup(&r->pool, settings_text(all, SET_HOSTNAME));
	enum outgoing_result result = OUTGOING_FAILED;
	struct spool_message *spool;
	char id[ID_SIZE];
	struct buf message;
	struct err e;

	settings_free(all);
	if (spool_begin(webmail_of(r)->spool, &spool, &e) != 0) {
		log_error("send: %s", e.text);
		return OUTGOING_FAILED;
	}
	memcpy(id, spool_id(spool), ID_SIZE);
	buf_init(&message, MESSAGE_MAX);
	put_message(s, m, id, host, &message);
	if (buf_overflowed(&message)) {
		spool_abort(spool);
		result = OUTGOING_TOO_LARGE;
	} else if (put_in_spool(s, spool, host, &message, &e) != 0) {
		log_error("send: %s", e.text);
	} else {
		log_accepted(s, id);
		result = OUTGOING_SENT;
		if (file_copy(r, id, host, &message, &e) != 0) {
			log_error("copy for Sent: %s", e.text);
			result = OUTGOING_NOT_FILED;
		}
	}
	buf_release(&message);
	return result;
}

enum outgoing_result
outgoing_send(
    struct web_request *r, const struct outgoing *m, const char **bad_out)
{
	const struct session *who = r->session;
	struct sending s = { .request = r,
		.envelope = {
		    .sender = who->address,
		    .auth_user = who->address,
		    .client_ip = r->remote_addr,
		    .client_name = "",
		    .helo = "",
		    .session_id = "",
		    .flags = ENVELOPE_SUBMITTED,
		    .accepted_ms = clock_wall_ms(),
		} };
	enum outgoing_result result = OUTGOING_SENT;

	buf_init(&s.header, HEADER_MAX);
	if (strlen(m->text) > TEXT_MAX || strlen(m->subject) > 8192)
		result = OUTGOING_TOO_LARGE;
	if (result == OUTGOING_SENT)
		result = add_recipients(&s, "To", m->to);
	if (result == OUTGOING_SENT)
		result = add_recipients(&s, "Cc", m->cc);
	if (result == OUTGOING_SENT)
		result = add_recipients(&s, NULL, m->bcc);
	if (result == OUTGOING_SENT && s.envelope.recipient_count == 0)
		result = OUTGOING_NO_RECIPIENT;
	if (result == OUTGOING_SENT)
		result = send_message(&s, m);
	*bad_out = s.bad;
	envelope_release(&s.envelope);
	buf_release(&s.header);
	return result;
}
