/*
 * Local delivery; see deliver_local.h.
 *
 * This is the first half of I2: the files are brought into tmp/, written once
 * and linked from there, and marked started; staging.c makes them durable and
 * publishes them.  Names derive from id and recipient index, so that whatever
 * an earlier runner left is found.
 *
 * Runs on the claiming threads.
 */
#include "queue/deliver_local.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "mail/address.h"

#include "maildir/maildir.h"
#include "queue/arrived.h"
#include "queue/mailboxes.h"
#include "queue/quota.h"
#include "queue/spool.h"
#include "queue/staging.h"

enum {
	ACCOUNTD_MS = 2000
};

struct local {
	struct job *job;
	struct spool_body body;
	char return_path[ADDRESS_TEXT_SIZE + 32]; /* "" = the body has one */
	const char *host;
	uint64_t size, wire_size;
	bool is_old; /* an earlier runner may have delivered it */
	bool look;   /* an earlier attempt may have left something */

	struct mailbox *first; /* has the file others are linked from */
	char first_name[MAILDIR_NAME_SIZE];
	size_t staged;
};

static void
succeed(struct job *j, size_t i)
{
	struct outcome o = { 0 };

	outcome_set(&o, OUTCOME_SENT, "2.0.0", "delivered to the mailbox");
	job_record(j, i, &o);
}

/*
 * The directory says the mailbox is there, so whatever is wrong with it is
 * ours to mend: never a reason to send the message back.
 */
static void
fail(struct job *j, size_t i, struct err *e)
{
	struct outcome o = { 0 };

	e->kind = ERR_TEMP;
	outcome_from_err(&o, e);
	job_record(j, i, &o);
}

/* The recipient's file is in tmp/. */
static void
staged(struct local *l, size_t i)
{
	spool_mark(l->job->item, i, SPOOL_MARK_STARTED, 0);
	l->staged++;
}

static bool
is_stale(const struct job *j)
{
	return j->now_ms - id_wall_ms(j->item->id) >=
	    INT64_C(1000) * MAILDIR_TMP_SECONDS;
}

/*
 * It is in the mailbox.  If a flush failed since, and its runner died, it may
 * not be on the disk: it is written anew.
 */
static void
found_there(
    struct local *l, const struct mailbox *box, const char *name, size_t i)
{
	struct err e;

	if (spool_mark_get(l->job->item, i, NULL) == SPOOL_MARK_UNSURE) {
		if (maildir_rewrite(&box->dir, name, &e) != 0) {
			fail(l->job, i, &e);
			return;
		}
		staging_remember(l->job->runner->staging, box->path, name);
	}
	succeed(l->job, i);
}

/* What an earlier attempt left.  True: nothing remains to be done. */
static bool
resume(struct local *l, const struct mailbox *box, const char *name, size_t i)
{
	enum spool_mark mark = spool_mark_get(l->job->item, i, NULL);
	bool prepared = mark == SPOOL_MARK_PREPARED;
	const struct maildir *m = &box->dir;
	bool found = false;
	struct stat st;
	struct err e;

	if (fstatat(m->tmp_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (prepared)
			staged(l, i);
		else
			(void)unlinkat(m->tmp_fd, name, 0);
		return prepared;
	}
	/*
	 * I2: prepared and no longer in tmp/ means delivered, unless somebody
	 * may have tidied tmp/ since: then rather twice than never.
	 */
	found = prepared && !is_stale(l->job);
	if (!found && (l->is_old || mark == SPOOL_MARK_UNSURE) &&
	    arrived_has(l->job->runner->arrived,
		l->job->item->envelope.recipients[i].target, m, name, &found,
		&e) != 0) {
		fail(l->job, i, &e);
		return true;
	}
	if (found)
		found_there(l, box, name, i);
	return found;
}

static int
write_copy(
    struct local *l, const struct maildir *m, const char *name, struct err *e)
{
	struct iovec pieces[2];
	int n = 0;

	if (l->body.data == NULL)
		return maildir_link_tmp(
		    m, name, l->body.dir_fd, l->body.name, e);
	if (l->return_path[0] != '\0') {
		pieces[n].iov_base = l->return_path;
		pieces[n++].iov_len = strlen(l->return_path);
	}
	/* iovec has no const; the pieces are only read */
	memcpy(&pieces[n].iov_base, &l->body.data, sizeof(void *));
	pieces[n++].iov_len = l->body.len;
	return maildir_write_tmp(m, name, pieces, n, e);
}

/*
 * Bring the message into an opened mailbox; -1: something there did not work.
 * The first mailbox is kept, in l->first.
 */
static int
put(struct local *l, struct mailbox *box, size_t i)
{
	const struct maildir *m = &box->dir;
	char name[MAILDIR_NAME_SIZE];
	struct err e;

	maildir_delivery_name(l->job->item->id, (unsigned)i, l->host, l->size,
	    l->wire_size, name);
	if ((l->look || l->job->item->envelope.recipients[i].attempts > 0) &&
	    resume(l, box, name, i))
		return 0;
	if (l->first == NULL ||
	    maildir_link_tmp(
		m, name, l->first->dir.tmp_fd, l->first_name, &e) != 0) {
		if (write_copy(l, m, name, &e) != 0) {
			fail(l->job, i, &e);
			return -1;
		}
	}
	staged(l, i);
	if (l->first == NULL && l->body.data != NULL) {
		l->first = box;
		memcpy(l->first_name, name, sizeof(name));
	}
	return 0;
}

static void
quota_full(struct local *l, size_t i)
{
	struct outcome o = { 0 };

	if (settings_choice(l->job->settings, SET_QUOTA_FULL) == 0)
		outcome_set(&o, OUTCOME_TEMP, "4.2.2", "the mailbox is full");
	else
		outcome_set(&o, OUTCOME_PERM, "5.2.2", "the mailbox is full");
	job_record(l->job, i, &o);
}

/* One warning by mail when a share of the quota is passed. */
static void
warn_owner(struct local *l, const struct dir_account *a)
{
	int percent = (int)settings_int(l->job->settings, SET_QUOTA_WARN);
	char date[CLOCK_RFC5322_SIZE];
	struct envelope v = { 0 };
	struct spool_message *m;
	struct buf text;
	struct err e;

	if (spool_begin(l->job->runner->writer, &m, &e) != 0) {
		log_warning("quota warning to %s: %s", a->address, e.text);
		return;
	}
	clock_rfc5322(clock_wall_ms(), date);
	buf_init(&text, 8192);
	buf_addf(&text,
	    "From: Mail Delivery System <postmaster@%s>\n"
	    "To: <%s>\nSubject: Your mailbox is more than %d %% full\n"
	    "Date: %s\nMessage-ID: <%s@%s>\nAuto-Submitted: auto-generated\n"
	    "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n"
	    "\nThe mailbox %s has passed %d %% of its size limit.\n"
	    "When it is full, new mail can no longer be delivered.\n"
	    "Please delete messages you do not need.\n",
	    a->domain, a->address, percent, date, spool_id(m), l->host,
	    a->address, percent);
	v.sender = v.client_ip = v.client_name = v.helo = v.auth_user =
	    v.session_id = text.data + text.len; /* "" */
	v.flags = ENVELOPE_GENERATED;
	v.accepted_ms = clock_wall_ms();
	v.body_lines = 13;
	envelope_add(&v)->address = a->address;
	if (spool_write(m, text.data, text.len, &e) != 0) {
		spool_abort(m);
		log_warning("quota warning to %s: %s", a->address, e.text);
	} else if (spool_commit(m, &v, &e) != 0)
		log_warning("quota warning to %s: %s", a->address, e.text);
	envelope_release(&v);
	buf_release(&text);
}

/* accountd keeps the flag by which mtad refuses mail early. */
static void
tell_full(struct local *l, const struct dir_account *a, bool full)
{
	json_t *reply;
	struct err e;

	if (a->quota_full == full)
		return;
	if (accountd_call(l->job->runner->accountd,
		json_pack("{s:s, s:s, s:b}", "verb", "user usage", "address",
		    a->address, "full", full),
		ACCOUNTD_MS, &reply, &e) == 0)
		json_decref(reply);
	else
		log_warning("quota of %s: %s", a->address, e.text);
}

/* May it go in?  False: the recipient has its outcome. */
static bool
quota_allows(struct local *l, struct mailbox *m, size_t i)
{
	const struct envelope_recipient *r =
	    &l->job->item->envelope.recipients[i];
	enum quota_verdict verdict = QUOTA_FITS;
	struct pool pool = { 0 };
	struct dir_account account;
	struct address a;
	struct err e;

	if ((l->job->item->envelope.flags & ENVELOPE_GENERATED) != 0 ||
	    atomic_load(&m->unlimited))
		return true;
	if (address_parse(slice_str(r->address), ADDRESS_UTF8, &pool, &a, &e) ==
		0 &&
	    dir_find_account(l->job->runner->directory, slice_str(a.local),
		a.domain, &pool, &account, &e) == DIR_FOUND) {
		verdict = quota_take(l->job->runner->quota, &m->dir, r->target,
		    &account, l->size, l->job->settings);
		atomic_store(&m->unlimited,
		    account.quota_bytes == 0 && account.quota_messages == 0);
		tell_full(l, &account, verdict == QUOTA_FULL);
		if (verdict == QUOTA_WARN)
			warn_owner(l, &account);
	}
	pool_release(&pool);
	if (verdict != QUOTA_FULL)
		return true;
	quota_full(l, i);
	return false;
}

static void
deliver_one(struct local *l, size_t i)
{
	const struct envelope_recipient *r =
	    &l->job->item->envelope.recipients[i];
	struct mailboxes *table = l->job->runner->mailboxes;
	struct mailbox *m, *first = l->first;
	struct err e;
	int rc = 0;

	if (mailboxes_take(table, r->target, &m, &e) != 0) {
		fail(l->job, i, &e);
		return;
	}
	if (quota_allows(l, m, i)) {
		rc = put(l, m, i);
		if (spool_mark_get(l->job->item, i, NULL) != SPOOL_MARK_STARTED)
			quota_arrived(
			    l->job->runner->quota, r->target, l->size);
	}
	/* two recipients may share a mailbox: `m` alone does not tell */
	if (l->first == first)
		mailboxes_give(table, m, rc != 0);
}

static int
open_body(struct local *l)
{
	const struct envelope *v = &l->job->item->envelope;
	struct err e;
	size_t i;

	if (spool_body_open(l->job->item, &l->body, &e) != 0) {
		for (i = 0; i < v->recipient_count; i++)
			if (job_is_waiting(l->job, i) &&
			    v->recipients[i].kind == RECIPIENT_LOCAL)
				fail(l->job, i, &e);
		return -1;
	}
	l->size = v->body_size;
	l->wire_size = v->body_size + v->body_lines;
	/* RFC 5321 4.4: the final server puts Return-Path in */
	if (v->local_prefix == 0 && l->body.data != NULL) {
		int n = snprintf(l->return_path, sizeof(l->return_path),
		    "Return-Path: <%s>\n", v->sender);

		l->size += (uint64_t)n;
		l->wire_size += (uint64_t)n + 1;
	}
	return 0;
}

void
deliver_local(struct job *j)
{
	const struct envelope *v = &j->item->envelope;
	struct local l = { .job = j };
	bool any = false;
	size_t i;

	for (i = 0; i < v->recipient_count && !any; i++)
		any = job_is_due(j, i) &&
		    v->recipients[i].kind == RECIPIENT_LOCAL;
	if (!any || open_body(&l) != 0)
		return;
	l.host = settings_text(j->settings, SET_HOSTNAME);
	l.is_old = id_wall_ms(j->item->id) < j->runner->started_ms;
	l.look = j->item->was_claimed || l.is_old;
	for (i = 0; i < v->recipient_count; i++)
		if (job_is_due(j, i) &&
		    v->recipients[i].kind == RECIPIENT_LOCAL)
			deliver_one(&l, i);
	if (l.first != NULL)
		mailboxes_give(j->runner->mailboxes, l.first, false);
	spool_body_close(&l.body);
	if (l.staged > 0) {
		j->local_size = l.size;
		j->local_wire_size = l.wire_size;
		staging_add(j->runner->staging, j, l.staged);
	}
}
