/*
 * A draft into the spool, and its copy into Sent; see outgoing.h.
 *
 * Nothing that was typed gets into the header as it stands: addresses are
 * parsed and written anew, the subject is encoded, ids are checked.  The copy
 * is written to tmp/ while the spool gets the message and shown only after
 * the commit: a full disk may cost the copy, never make a copy of what was
 * not sent.  Nothing says which machine the writer sits at.
 */
#include "webmail-cgi/outgoing.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/message.h"
#include "policy/gather.h"

#include "queue/spool_stat.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/writing.h"

enum {
	HEAD_MAX = 512 * 1024,
	FOOTER_MAX = 16 * 1024,
	TYPED_MAX = DRAFT_TEXT_MAX + FOOTER_MAX + 2,
	BODY_TEXT_MAX = WRITING_GROWTH * TYPED_MAX,
	STAT_OLD_MS = 10000,
};

struct sending {
	struct web_request *r;
	const struct draft *draft;
	struct outgoing *out;
	struct settings *settings;
	const struct identity *identity;
	const char *from; /* the address in the field From */
	const char *host;
	struct policy_input facts;
	struct address sender;
	struct envelope envelope;
	struct spool_message *spool;

	/* the copy */
	struct maildir folder;
	const char *dir;
	char temporary[MAILDIR_NAME_SIZE];
	int copy_fd; /* -1: there will be none */
	uint64_t copy_size, lines;
	bool eight_bit;
};

/* --- May it be sent ------------------------------------------------------------------ */

static bool
is_queue_full(const struct sending *s)
{
	int64_t max = settings_int(s->settings, SET_QUEUE_MAX_MESSAGES);
	struct spool_stat st;
	char path[512];
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/run/queue.stat",
	    webmail_of(s->r)->state_dir);
	return max > 0 && spool_stat_read(path, &st, &e) == 0 &&
	    clock_wall_ms() - st.written_ms < STAT_OLD_MS &&
	    st.active + st.deferred + st.held >= (uint64_t)max;
}

/* What the user sent in this hour, by SMTP too; asked if there is a limit. */
static int
count_sent(struct sending *s, bool one_more, int64_t *count_out, struct err *e)
{
	*count_out = 0;
	if (settings_int(s->settings, SET_LIMIT_MESSAGES_PER_USER) == 0)
		return 0;
	return accountd_count_sent(webmail_of(s->r)->accountd,
	    session_of(s->r)->address, one_more, ACCOUNTD_TIMEOUT_MS, count_out,
	    e);
}

/* Whom it is from: an own address, with the +tag it was written to. */
static int
gather_sender(struct sending *s, struct err *e)
{
	const struct session *who = session_of(s->r);
	struct pool *pool = &s->r->pool;
	struct directory *d = webmail_of(s->r)->directory;
	struct identities all;
	struct dir_account account;
	struct ip client;
	int64_t max, sent;

	if (count_sent(s, false, &sent, e) != 0)
		return -1;
	max = settings_int(s->settings, SET_LIMIT_MESSAGES_PER_USER);
	if (user_identities(s->r, &all, e) != 0)
		return -1;
	s->identity = identities_for(&all, s->draft->from);
	s->from = identities_has(&all, s->draft->from) ? s->draft->from
						       : s->identity->address;
	if (address_parse(
		slice_str(s->identity->address), 0, pool, &s->sender, e) != 0)
		return -1;
	if (dir_find_account(d, slice_str(who->local), who->domain, pool,
		&account, e) != DIR_FOUND)
		return -1;
	if (!ip_parse(slice_str(s->r->remote_addr), &client))
		memset(&client, 0, sizeof(client));
	policy_gather_client(
	    &s->facts, s->settings, &client, POLICY_SUBMISSION);
	s->facts.client_ip = s->r->remote_addr;
	s->facts.user = who->address;
	s->facts.queue_full = is_queue_full(s);
	s->facts.over_rate = max > 0 && sent >= max;
	s->facts.sender = s->identity->address;
	s->envelope.sender = s->identity->address;
	return policy_gather_sender(
	    &s->facts, d, &account, &s->sender, pool, e);
}

static enum outgoing_result
refused(struct sending *s, const struct policy_verdict *v, const char *what)
{
	struct log_line l;
	struct buf judged;

	buf_init(&judged, 2048);
	policy_describe(&s->facts, &judged);
	log_begin(&l, "reject", NULL, NULL);
	log_str(&l, "verdict", policy_action_name(v->action));
	log_str(&l, "rule", v->rule);
	log_str(&l, "reason", v->reason);
	log_str(&l, "user", session_of(s->r)->address);
	log_str(&l, "judged", judged.data);
	log_end(&l);
	buf_release(&judged);
	s->out->what = what;
	s->out->reason = v->text;
	return OUTGOING_REFUSED;
}

static bool
has_recipient(const struct envelope *v, const char *address)
{
	for (size_t i = 0; i < v->recipient_count; i++)
		if (ascii_casecmp(v->recipients[i].address, address) == 0)
			return true;
	return false;
}

static enum outgoing_result
judge_recipient(struct sending *s, const struct address *a)
{
	const struct policy_addresses both = { .recipient = a,
		.sender = &s->sender };
	struct pool *pool = &s->r->pool;
	const char *text = address_format(a, pool);
	struct dir_target target;
	struct policy_verdict v;
	struct err e;

	s->facts.recipient = text;
	if (policy_gather_recipient(&s->facts, webmail_of(s->r)->directory,
		&both, pool, &target, &e) != 0)
		log_warning("directory: %s", e.text);
	v = policy_recipient(&s->facts);
	if (v.action != POLICY_ACCEPT)
		return refused(s, &v, text);
	if (!has_recipient(&s->envelope, text))
		envelope_add(&s->envelope)->address = text;
	return OUTGOING_SENT;
}

static enum outgoing_result
judge_field(struct sending *s, const char *typed)
{
	int64_t max = settings_int(s->settings, SET_SESSION_MAX_RECIPIENTS);
	struct slice rest = slice_str(typed);
	struct pool *pool = &s->r->pool;
	enum outgoing_result result = OUTGOING_SENT;
	struct writing_person p;

	if (max > OUTGOING_RECIPIENTS_MAX)
		max = OUTGOING_RECIPIENTS_MAX;
	while (
	    result == OUTGOING_SENT && writing_next_person(&rest, pool, &p)) {
		struct address a;
		struct err e;

		if ((int64_t)s->envelope.recipient_count >= max)
			return OUTGOING_TOO_MANY;
		if (address_parse(p.address, 0, pool, &a, &e) != 0) {
			s->out->what = pool_strndup(
			    pool, p.address.data, num_min(p.address.len, 200));
			return OUTGOING_BAD_ADDRESS;
		}
		result = judge_recipient(s, &a);
	}
	return result;
}

static enum outgoing_result
judge(struct sending *s)
{
	const char *const fields[] = { s->draft->to, s->draft->cc,
		s->draft->bcc };
	enum outgoing_result result = OUTGOING_SENT;
	struct policy_verdict v;
	struct err e = { 0 };

	if (gather_sender(s, &e) != 0) {
		log_error("send: %s", e.text);
		return OUTGOING_FAILED;
	}
	v = policy_sender(&s->facts);
	if (v.action != POLICY_ACCEPT)
		return refused(s, &v, "");
	for (size_t i = 0; i < ARRAY_LEN(fields) && result == OUTGOING_SENT;
	     i++)
		result = judge_field(s, fields[i]);
	if (result == OUTGOING_SENT && s->envelope.recipient_count == 0)
		result = OUTGOING_NO_RECIPIENT;
	return result;
}

uint64_t
outgoing_max_bytes(struct web_request *r)
{
	struct settings *all = directory_settings(webmail_of(r)->directory);
	int64_t max = settings_int(all, SET_MESSAGE_MAX_BYTES);
	int64_t own = json_integer_value(
	    json_object_get(session_of(r)->user, "max_message_bytes"));

	settings_free(all);
	return (uint64_t)(own > 0 && (max == 0 || own < max) ? own : max);
}

/* --- What it says ------------------------------------------------------------------------ */

/* RFC 5322 3.3, in the writer's own time. */
static void
put_date(struct sending *s, int64_t wall_ms, struct buf *out)
{
	const char *zone = user_prefs(s->r)->value[PREF_ZONE];
	int32_t offset = template_zone_offset(zone, wall_ms / 1000);
	char text[CLOCK_RFC5322_SIZE];
	int minutes = offset < 0 ? -offset / 60 : offset / 60;

	clock_rfc5322(wall_ms + (int64_t)offset * 1000, text);
	buf_addf(out, "Date: %.*s%c%02d%02d\n", (int)(strlen(text) - 5), text,
	    offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

/* The domain's footer, or the server's. */
static void
put_footer(struct sending *s, struct buf *text)
{
	const char *dir = webmail_of(s->r)->state_dir;
	const char *paths[] = {
		pool_printf(&s->r->pool, "%s/domains/%s/signature.txt", dir,
		    session_of(s->r)->domain),
		pool_printf(&s->r->pool, "%s/web/signature.txt", dir),
	};
	struct buf footer;
	struct err e;

	buf_init(&footer, FOOTER_MAX);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (file_read(AT_FDCWD, paths[i], &footer, &e) == 0)
			break;
	if (footer.len > 0 && utf8_is_valid(buf_slice(&footer))) {
		if (text->len > 0 && text->data[text->len - 1] != '\n')
			buf_addc(text, '\n');
		buf_addc(text, '\n');
		buf_addslice(text, buf_slice(&footer));
	}
	buf_release(&footer);
}

/* Header fields of the part and its text, flowed (RFC 3676). */
static void
put_text(struct sending *s, struct buf *out)
{
	struct buf typed, flowed;
	bool plain;

	buf_init(&typed, TYPED_MAX);
	buf_init(&flowed, BODY_TEXT_MAX);
	buf_addstr(&typed, s->draft->text);
	put_footer(s, &typed);
	writing_flow(buf_slice(&typed), &flowed);
	assert(!buf_overflowed(&flowed));
	plain = writing_is_plain(buf_slice(&flowed));
	buf_addf(out,
	    "Content-Type: text/plain; charset=utf-8; format=flowed;"
	    " delsp=no\nContent-Transfer-Encoding: %s\n\n",
	    plain ? "7bit" : "quoted-printable");
	if (plain)
		buf_addslice(out, buf_slice(&flowed));
	else
		writing_quoted_printable(buf_slice(&flowed), out);
	buf_release(&typed);
	buf_release(&flowed);
}

/* Where the copy has Bcc, what is sent has nothing. */
static void
put_header(struct sending *s, bool copy, struct buf *out)
{
	const struct draft *d = s->draft;
	struct pool *pool = &s->r->pool;
	struct writing_person p;
	struct slice reply_to = slice_str(s->identity->reply_to);
	struct address a;
	struct err e;

	put_date(s,
	    s->envelope.not_before_ms > 0 ? s->envelope.not_before_ms
					  : s->envelope.accepted_ms,
	    out);
	buf_addstr(out, "From: ");
	writing_put_person(s->identity->name, s->from, out);
	buf_addc(out, '\n');
	if (writing_next_person(&reply_to, pool, &p) &&
	    address_parse(p.address, 0, pool, &a, &e) == 0)
		buf_addf(out, "Reply-To: %s\n", address_format(&a, pool));
	if (d->receipt[0] != '\0') { /* RFC 8098 2.1 */
		buf_addstr(out, "Disposition-Notification-To: ");
		writing_put_person(s->identity->name, s->from, out);
		buf_addc(out, '\n');
	}
	draft_put_people(d, copy, pool, out);
	buf_addstr(out, "Subject: ");
	header_encode(slice_str(d->subject), out);
	buf_addc(out, '\n');
	message_message_id(out, s->out->id, s->sender.domain);
	draft_put_ids(d, out);
	buf_addstr(out, "MIME-Version: 1.0\n");
}

/* --- Into the spool and into the copy ------------------------------------------------------- */

static void
drop_copy(struct sending *s, const struct err *e)
{
	if (s->copy_fd < 0)
		return;
	if (e != NULL)
		log_error("copy of a sent message: %s", e->text);
	(void)close(s->copy_fd);
	s->copy_fd = -1;
	(void)unlinkat(s->folder.tmp_fd, s->temporary, 0);
	maildir_close(&s->folder);
}

static void
write_copy(struct sending *s, const void *data, size_t len)
{
	struct err e;

	if (s->copy_fd < 0)
		return;
	s->copy_size += len;
	if (file_write_all(s->copy_fd, data, len) != 0) {
		(void)err_errno(&e, "write");
		drop_copy(s, &e);
	}
}

static int
write_both(void *arg, const void *data, size_t len, struct err *e)
{
	struct sending *s = arg;
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		s->lines += p[i] == '\n';
		s->eight_bit |= p[i] >= 0x80;
	}
	write_copy(s, data, len);
	return spool_write(s->spool, data, len, e);
}

static void
begin_copy(struct sending *s)
{
	struct err e;

	if (s->draft->report != NULL)
		return;
	if (mailbox_open_folder(s->r, s->dir, true, &s->folder, &e) != 0) {
		log_error("copy of a sent message: %s", e.text);
		return;
	}
	(void)snprintf(
	    s->temporary, sizeof(s->temporary), "%s.sending", s->out->id);
	s->copy_fd = openat(s->folder.tmp_fd, s->temporary,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (s->copy_fd < 0) {
		log_error("copy of a sent message: no file");
		maildir_close(&s->folder);
	}
}

/* Trace fields and header: the spool's and the copy's differ. */
static int
write_heads(struct sending *s, struct buf *head, struct err *e)
{
	struct envelope *v = &s->envelope;
	struct message_trace trace = { .helo = "",
		.client_name = "",
		.client_ip = "",
		.host = s->host,
		.protocol = "HTTP",
		.id = s->out->id,
		.wall_ms = v->accepted_ms };
	int rc;

	message_return_path(head, v->sender);
	v->local_prefix = (uint32_t)head->len;
	message_received(head, &trace);
	put_header(s, false, head);
	if (buf_overflowed(head))
		return err_set(e, ERR_PERM, "the header is too large");
	for (size_t i = 0; i < head->len; i++)
		s->lines += head->data[i] == '\n';
	rc = spool_write(s->spool, head->data, head->len, e);
	buf_reset(head);
	put_header(s, true, head);
	write_copy(s, head->data, head->len);
	buf_reset(head);
	return rc;
}

static int
write_report(struct sending *s, struct err *e)
{
	const char *text = s->draft->report;
	struct buf head;
	int rc;

	buf_init(&head, HEAD_MAX);
	rc = write_heads(s, &head, e);
	buf_release(&head);
	return rc != 0 ? rc : write_both(s, text, strlen(text), e);
}

static int
write_message(struct sending *s, struct err *e)
{
	bool files = draft_files_size(s->draft) > 0;
	char boundary[ID_SIZE + 3];
	struct buf text;
	int rc;

	if (s->draft->report != NULL)
		return write_report(s, e);
	buf_init(&text, HEAD_MAX + 2 * BODY_TEXT_MAX);
	draft_boundary(s->draft->did, boundary);
	rc = write_heads(s, &text, e);
	if (files)
		buf_addf(&text,
		    "Content-Type: multipart/mixed; boundary=\"%s\"\n\n--%s\n",
		    boundary, boundary);
	put_text(s, &text);
	if (files)
		buf_addc(&text, '\n');
	if (rc == 0 && buf_overflowed(&text))
		rc = err_set(e, ERR_PERM, "the text is too large");
	if (rc == 0)
		rc = write_both(s, text.data, text.len, e);
	if (rc == 0 && files) {
		rc = draft_copy_files(s->draft, write_both, s, e);
		buf_reset(&text);
		buf_addf(&text, "--%s--\n", boundary);
		if (rc == 0)
			rc = write_both(s, text.data, text.len, e);
	}
	buf_release(&text);
	return rc;
}

/* The copy's name in `out`; false: there is none. */
static bool
publish_copy(struct sending *s, char out[MAILDIR_NAME_SIZE])
{
	char name[MAILDIR_NAME_SIZE];
	struct err e;

	if (s->copy_fd < 0)
		return false;
	maildir_delivery_name(s->out->id, 0, s->host, s->copy_size,
	    s->copy_size + s->lines, name);
	if (renameat(s->folder.tmp_fd, s->temporary, s->folder.tmp_fd, name) !=
		0 ||
	    maildir_publish_cur(&s->folder, name, MAILDIR_SEEN, out, &e) != 0) {
		(void)err_errno(&e, "publish");
		drop_copy(s, &e);
		return false;
	}
	memcpy(out, name, MAILDIR_NAME_SIZE);
	(void)close(s->copy_fd);
	s->copy_fd = -1;
	maildir_close(&s->folder);
	user_count_usage(s->r, (int64_t)s->copy_size, 1);
	return true;
}

/* --- What follows --------------------------------------------------------------------------------- */

static void
log_accepted(const struct sending *s, uint64_t size)
{
	struct log_line l;

	log_begin(&l, "accept", NULL, s->out->id);
	log_str(&l, "from", s->envelope.sender);
	log_int(&l, "recipients", (int64_t)s->envelope.recipient_count);
	log_int(&l, "size", (int64_t)size);
	log_str(&l, "user", s->envelope.auth_user);
	log_str(&l, "ip", s->r->remote_addr);
	log_end(&l);
}

/* Whom the user writes to is remembered, by name where one was given. */
static void
collect(struct sending *s, struct sql *db)
{
	const char *const fields[] = { s->draft->to, s->draft->cc,
		s->draft->bcc };
	struct pool *pool = &s->r->pool;
	struct err e;

	if (!prefs_yes(user_prefs(s->r), PREF_COLLECT) ||
	    sql_begin(db, &e) != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct slice rest = slice_str(fields[i]);
		struct writing_person p;

		while (writing_next_person(&rest, pool, &p))
			if (store_collect(db, p.name,
				pool_strndup(
				    pool, p.address.data, p.address.len),
				s->envelope.accepted_ms, &e) != 0)
				log_warning("collect: %s", e.text);
	}
	if (sql_commit(db, &e) != 0)
		log_warning("collect: %s", e.text);
}

static void
remember(struct sending *s, const char *copy_name)
{
	const struct outgoing_row row = {
		.id = s->out->id,
		.due_ms = s->envelope.not_before_ms,
		.dir = s->dir,
		.name = copy_name,
		.answers = s->draft->answers,
		.verb = s->draft->verb,
	};
	struct sql *db;
	struct err e;

	if (user_store(s->r, true, &db, &e) != 0 ||
	    store_outgoing_add(db, &row, &e) != 0) {
		log_error("sent: %s", e.text);
		return;
	}
	collect(s, db);
}

static enum outgoing_result
send_message(struct sending *s)
{
	struct webmail *m = webmail_of(s->r);
	char name[MAILDIR_NAME_SIZE] = "";
	uint64_t size;
	int64_t sent;
	bool filed;
	struct err e;

	if (spool_begin(m->spool, &s->spool, &e) != 0) {
		log_error("send: %s", e.text);
		return OUTGOING_FAILED;
	}
	memcpy(s->out->id, spool_id(s->spool), ID_SIZE);
	begin_copy(s);
	if (write_message(s, &e) != 0) {
		log_error("send: %s", e.text);
		spool_abort(s->spool);
		drop_copy(s, NULL);
		return e.kind == ERR_PERM ? OUTGOING_TOO_LARGE
					  : OUTGOING_FAILED;
	}
	s->envelope.body_lines = (uint32_t)s->lines;
	if (s->eight_bit)
		s->envelope.flags |= ENVELOPE_8BIT;
	size = spool_size(s->spool);
	if (spool_commit(s->spool, &s->envelope, &e) != 0) {
		log_error("send: %s", e.text);
		drop_copy(s, NULL);
		return OUTGOING_FAILED;
	}
	log_accepted(s, size);
	if (count_sent(s, true, &sent, &e) != 0)
		log_warning("limit.messages_per_user: %s", e.text);
	if (s->draft->report != NULL)
		return OUTGOING_SENT;
	filed = publish_copy(s, name);
	remember(s, name);
	return filed ? OUTGOING_SENT : OUTGOING_NOT_FILED;
}

/* Settings' seconds for the button, and a little for who presses it late. */
static int64_t
not_before(struct web_request *r, int64_t now_ms)
{
	uint64_t seconds = 0;

	if (!num_parse(
		slice_str(user_prefs(r)->value[PREF_UNDO]), 60, &seconds) ||
	    seconds == 0)
		return 0;
	return now_ms + (int64_t)seconds * 1000 + OUTGOING_GRACE_MS;
}

enum outgoing_result
outgoing_send(struct web_request *r, const struct draft *d, int64_t later_ms,
    struct outgoing *out)
{
	int64_t now = clock_wall_ms();
	struct sending s = { .r = r,
		.draft = d,
		.out = out,
		.settings = directory_settings(webmail_of(r)->directory),
		.dir = later_ms > 0 ? ".Scheduled" : ".Sent",
		.copy_fd = -1,
		.envelope = {
		    .auth_user = session_of(r)->address,
		    .client_ip = r->remote_addr,
		    .client_name = "",
		    .helo = "",
		    .session_id = "",
		    .flags = ENVELOPE_SUBMITTED,
		    .accepted_ms = now,
		    .not_before_ms =
			later_ms > 0 ? later_ms : not_before(r, now),
		} };
	uint64_t max = outgoing_max_bytes(r);
	enum outgoing_result result;

	*out = (struct outgoing){ .what = "", .reason = "" };
	s.host = pool_strdup(&r->pool, settings_text(s.settings, SET_HOSTNAME));
	if (max > 0 && strlen(d->text) + draft_files_size(d) > max)
		result = OUTGOING_TOO_LARGE;
	else
		result = judge(&s);
	if (d->report != NULL) {
		s.envelope.sender = "";
		s.envelope.not_before_ms = 0;
	}
	if (result == OUTGOING_SENT)
		result = send_message(&s);
	settings_free(s.settings);
	envelope_release(&s.envelope);
	return result;
}
