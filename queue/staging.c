/*
 * From tmp/ to new/; see staging.h.
 *
 * A few files are flushed one by one, since a flush of the file system also
 * waits for whatever others wrote there; all are started before the first is
 * waited for, so that they share the file system's commit.  Many files are
 * flushed together with it.
 *
 * The publishing thread runs the first half, the settling thread the second.
 */
#include "queue/staging.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"

#include "maildir/maildir.h"
#include "queue/mailboxes.h"
#include "queue/outcome.h"
#include "queue/quota.h"

enum {
	SINGLE_MAX = 32,    /* more files than this: the whole file system */
	PUT_OFF_MAX = 10000 /* the rest is tried again by the schedule */
};

/* A delivery that is in new/ and that no shared flush has covered. */
struct published {
	struct published *next;
	const char *name; /* behind the mailbox's path */
	char path[];
};

/* A message that waits for a flush that works. */
struct put_off {
	struct put_off *next;
	char id[ID_SIZE];
};

struct staging {
	/* Each flush is told of failures by a descriptor of its own. */
	int publish_fd, settle_fd;

	pthread_mutex_t lock;
	struct job *first, **last;
	size_t files;
	struct published *published;
	struct put_off *put_off;
	size_t put_off_count;

	struct published *unsure; /* the settling thread's */
};

struct staging *
staging_new(int mail_root_fd)
{
	struct staging *s = mem_zalloc(sizeof(*s));

	(void)pthread_mutex_init(&s->lock, NULL);
	s->last = &s->first;
	s->settle_fd = mail_root_fd;
	s->publish_fd =
	    openat(mail_root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s;
}

void
staging_add(struct staging *s, struct job *j, size_t files)
{
	job_ref(j);
	j->staged_next = NULL;
	(void)pthread_mutex_lock(&s->lock);
	*s->last = j;
	s->last = &j->staged_next;
	s->files += files;
	(void)pthread_mutex_unlock(&s->lock);
}

size_t
staging_count(struct staging *s)
{
	size_t n;

	(void)pthread_mutex_lock(&s->lock);
	n = s->files;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

static struct job *
take(struct staging *s, size_t *files_out)
{
	struct job *jobs;

	(void)pthread_mutex_lock(&s->lock);
	jobs = s->first;
	*files_out = s->files;
	s->first = NULL;
	s->last = &s->first;
	s->files = 0;
	(void)pthread_mutex_unlock(&s->lock);
	return jobs;
}

/* One recipient's file, with its mailbox open. */
struct file {
	struct mailbox *box;
	char name[MAILDIR_NAME_SIZE];
};

static int
file_open(const struct job *j, size_t i, struct file *f, struct err *e)
{
	maildir_delivery_name(j->item->id, (unsigned)i,
	    settings_text(j->settings, SET_HOSTNAME), j->local_size,
	    j->local_wire_size, f->name);
	return mailboxes_take(j->runner->mailboxes,
	    j->item->envelope.recipients[i].target, &f->box, e);
}

static void
file_close(const struct job *j, struct file *f, bool failed)
{
	mailboxes_give(j->runner->mailboxes, f->box, failed);
}

static bool
is_staged(const struct job *j, size_t i)
{
	return j->item->envelope.recipients[i].kind == RECIPIENT_LOCAL &&
	    job_is_waiting(j, i) &&
	    spool_mark_get(j->item, i, NULL) == SPOOL_MARK_STARTED;
}

/* --- Flushing ------------------------------------------------------------------ */

/* Open a file and start its flush; -1 if it cannot be opened. */
static int
start_flush(const struct job *j, size_t i)
{
	struct file f;
	struct err e;
	int fd;

	if (file_open(j, i, &f, &e) != 0)
		return -1;
	fd = openat(
	    f.box->dir.tmp_fd, f.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	file_close(j, &f, fd < 0);
	if (fd >= 0) /* a hint; the flush proper follows */
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return fd;
}

/* *opened_out: all of them could be, so the result stands. */
static int
flush_singly(const struct job *jobs, bool *opened_out)
{
	int fds[SINGLE_MAX] = { 0 };
	size_t n = 0;
	int rc = 0;

	*opened_out = true;
	for (const struct job *j = jobs; j != NULL; j = j->staged_next)
		for (size_t i = 0; i < j->item->envelope.recipient_count; i++) {
			if (!*opened_out || !is_staged(j, i))
				continue;
			*opened_out =
			    n < SINGLE_MAX && (fds[n] = start_flush(j, i)) >= 0;
			n += *opened_out;
		}
	while (n-- > 0) {
		if (fdatasync(fds[n]) != 0)
			rc = -1;
		(void)close(fds[n]);
	}
	return rc;
}

static int
flush(
    const struct runner *r, const struct job *jobs, size_t files, struct err *e)
{
	bool opened = false;
	int rc = 0;

	if (files <= SINGLE_MAX)
		rc = flush_singly(jobs, &opened);
	if (rc == 0 && !opened)
		rc = syncfs(r->staging->publish_fd);
	return rc == 0 ? 0 : err_errno(e, "flushing the mailboxes");
}

/* Told once, and once more when it is over. */
static void
note_flush(struct runner *r, const struct err *failed)
{
	if (failed != NULL && !atomic_exchange(&r->flush_fails, true))
		log_error(
		    "%s; deliveries wait until that works again", failed->text);
	else if (failed == NULL && atomic_exchange(&r->flush_fails, false))
		log_info("flushing works again");
}

/* --- Publishing ---------------------------------------------------------------- */

static void
record(struct job *j, size_t i, const struct err *e)
{
	struct outcome o = { 0 };

	if (e == NULL)
		outcome_set(
		    &o, OUTCOME_SENT, "2.0.0", "delivered to the mailbox");
	else
		outcome_set(&o, OUTCOME_TEMP, "4.3.0", "%s", e->text);
	job_record(j, i, &o);
}

void
staging_remember(struct staging *s, const char *path, const char *name)
{
	size_t path_size = strlen(path) + 1, name_size = strlen(name) + 1;
	struct published *p = mem_alloc(sizeof(*p) + path_size + name_size);

	memcpy(p->path, path, path_size);
	p->name = memcpy(p->path + path_size, name, name_size);
	(void)pthread_mutex_lock(&s->lock);
	p->next = s->published;
	s->published = p;
	(void)pthread_mutex_unlock(&s->lock);
}

static int
publish(struct job *j, size_t i, const struct file *f, struct err *e)
{
	spool_mark(j->item, i, SPOOL_MARK_PREPARED, 0);
	if (maildir_publish(&f->box->dir, f->name, e) != 0)
		return -1;
	staging_remember(j->runner->staging, f->box->path, f->name);
	record(j, i, NULL);
	/* for whoever keeps a maildirsize there; it can be counted anew */
	if (maildir_usage_add(&f->box->dir, (int64_t)j->local_size, 1, e) != 0)
		log_warning("%s: %s", j->item->id, e->text);
	return 0;
}

/* One recipient; `failed`: why its file did not become durable, or NULL. */
static void
finish(struct job *j, size_t i, const struct err *failed)
{
	const struct envelope *v = &j->item->envelope;
	struct file f;
	struct err e;
	int rc = -1;

	if (file_open(j, i, &f, &e) != 0) {
		record(j, i, &e);
		return;
	}
	if (failed != NULL) {
		(void)unlinkat(f.box->dir.tmp_fd, f.name, 0);
		record(j, i, failed);
	} else if ((rc = publish(j, i, &f, &e)) != 0)
		record(j, i, &e);
	if ((v->flags & ENVELOPE_GENERATED) == 0 &&
	    !atomic_load(&f.box->unlimited))
		quota_arrived(
		    j->runner->quota, v->recipients[i].target, j->local_size);
	file_close(j, &f, rc != 0);
}

static void
put_off(struct staging *s, const char *id)
{
	struct put_off *p;

	(void)pthread_mutex_lock(&s->lock);
	if (s->put_off_count < PUT_OFF_MAX) {
		p = mem_zalloc(sizeof(*p));
		memcpy(p->id, id, sizeof(p->id));
		p->next = s->put_off;
		s->put_off = p;
		s->put_off_count++;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void
staging_publish(struct runner *r)
{
	struct err why, *failed = NULL;
	struct job *jobs;
	size_t files;

	jobs = take(r->staging, &files);
	if (spool_is_unsure(r->spool)) {
		err_set(&why, ERR_TEMP, "the mailboxes cannot be flushed");
		failed = &why;
	} else if (flush(r, jobs, files, &why) != 0) {
		spool_flush_failed(r->spool);
		note_flush(r, &why);
		failed = &why;
	}
	while (jobs != NULL) {
		struct job *j = jobs;

		jobs = j->staged_next;
		for (size_t i = 0; i < j->item->envelope.recipient_count; i++)
			if (is_staged(j, i))
				finish(j, i, failed);
		if (failed != NULL)
			put_off(r->staging, j->item->id);
		job_unref(j);
	}
}

/* --- Settling ------------------------------------------------------------------ */

static int
rewrite_all(struct runner *r, const struct published *p, struct err *e)
{
	for (; p != NULL; p = p->next) {
		struct mailbox *box;
		int rc;

		if (mailboxes_take(r->mailboxes, p->path, &box, e) != 0)
			return -1;
		rc = maildir_rewrite(&box->dir, p->name, e);
		mailboxes_give(r->mailboxes, box, rc != 0);
		if (rc != 0)
			return -1;
	}
	return 0;
}

/* For spool_flush(): what was published up to now becomes durable. */
static int
sync_stores(void *arg, struct err *e)
{
	struct runner *r = arg;
	struct staging *s = r->staging;
	struct published **last = &s->unsure;

	while (*last != NULL)
		last = &(*last)->next;
	(void)pthread_mutex_lock(&s->lock);
	*last = s->published;
	s->published = NULL;
	(void)pthread_mutex_unlock(&s->lock);
	if (spool_is_unsure(r->spool) && rewrite_all(r, s->unsure, e) != 0)
		return -1;
	if (syncfs(s->settle_fd) != 0)
		return err_errno(e, "flushing the mailboxes");
	while (s->unsure != NULL) {
		struct published *p = s->unsure;

		s->unsure = p->next;
		free(p);
	}
	return 0;
}

/* What was put off is due now; whose claim has not ended yet, the next time. */
static void
resume(struct runner *r)
{
	struct staging *s = r->staging;
	struct put_off *p, *next;
	struct err e;

	(void)pthread_mutex_lock(&s->lock);
	p = s->put_off;
	s->put_off = NULL;
	s->put_off_count = 0;
	(void)pthread_mutex_unlock(&s->lock);
	for (; p != NULL; p = next) {
		next = p->next;
		if (spool_schedule(r->spool, p->id, clock_wall_ms(), &e) != 0 &&
		    e.kind == ERR_TEMP)
			put_off(s, p->id);
		free(p);
	}
}

void
staging_settle(struct runner *r)
{
	struct err e;

	if (spool_flush(r->spool, sync_stores, r, NULL, &e) != 0)
		note_flush(r, &e);
	else if (!spool_is_unsure(r->spool)) {
		note_flush(r, NULL);
		resume(r);
	}
}
