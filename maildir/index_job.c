/*
 * Long work on a mailbox: changes of very many messages, piece by piece, and
 * reading what is missing.  All that is known of a job lies in the index, so
 * any process goes on with what another left.
 *
 * A piece and its mark are one transaction; a piece done twice after a crash
 * changes nothing the second time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

#include "maildir/index_internal.h"

enum {
	CHUNK = 500, /* messages of a transaction */
	JOB_KEPT_MS = 86400000,
	WORK_MS = 500,
	READ_MS = 2000, /* each time all names are read again */
};

static int
add_items(struct index *x, const char *token, const int64_t *ids, size_t count,
    struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		if (sql_run(x->db, e,
			"INSERT INTO job_items(token, place, id)"
			" VALUES(?, ?, ?)",
			"sii", token, (int64_t)i, ids[i]) < 0)
			return -1;
	}
	return 0;
}

int
index_job_new(struct index *x, const struct index_change *c, const int64_t *ids,
    size_t count, char token[INDEX_TOKEN_SIZE], struct err *e)
{
	int64_t now = clock_wall_ms();

	id_new(token);
	if (index_begin(x, e) != 0)
		return -1;
	if (sql_run(x->db, e, "DELETE FROM jobs WHERE made_ms < ?", "i",
		now - JOB_KEPT_MS) < 0 ||
	    sql_run(x->db, e,
		"INSERT INTO jobs(token, made_ms, verb, add_flags,"
		" remove_flags, keyword, keyword_on, dir, total, done, error)"
		" VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')",
		"siiiisisi", token, now, (int64_t)c->verb, (int64_t)c->add,
		(int64_t)c->remove, c->keyword != NULL ? c->keyword : "",
		(int64_t)c->on, c->dir != NULL ? c->dir : "",
		(int64_t)count) < 0 ||
	    add_items(x, token, ids, count, e) != 0) {
		index_abort(x);
		return -1;
	}
	return index_commit(x, e);
}

int
index_job_find(
    struct index *x, const char *token, struct index_job *out, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT total, done, error, verb FROM jobs WHERE token=?", "s",
	    token);
	int got = sql_next(r, e);

	if (got == 1) {
		out->total = (uint64_t)sql_int(r, 0);
		out->done = (uint64_t)sql_int(r, 1);
		(void)snprintf(
		    out->error, sizeof(out->error), "%s", sql_text(r, 2));
		out->verb = (enum index_verb)sql_int(r, 3);
	}
	sql_done(r);
	if (got == 0)
		return err_set(e, ERR_PERM, "no such job");
	return got == 1 ? 0 : -1;
}

/* A job as it is read to go on with. */
struct job {
	char token[INDEX_TOKEN_SIZE];
	char keyword[128], dir[MAILDIR_NAME_SIZE];
	struct index_change change;
	int64_t total, done;
	int64_t ids[CHUNK];
	size_t count;
};

/* 1: there is one. */
static int
read_job(struct index *x, struct job *j, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT token, verb, add_flags, remove_flags, keyword,"
	    " keyword_on, dir, total, done FROM jobs"
	    " WHERE done < total AND error='' ORDER BY made_ms LIMIT 1",
	    "");
	int got = sql_next(r, e);

	if (got == 1) {
		(void)snprintf(
		    j->token, sizeof(j->token), "%s", sql_text(r, 0));
		(void)snprintf(
		    j->keyword, sizeof(j->keyword), "%s", sql_text(r, 4));
		(void)snprintf(j->dir, sizeof(j->dir), "%s", sql_text(r, 6));
		j->change = (struct index_change){
			.verb = (enum index_verb)sql_int(r, 1),
			.add = (uint8_t)sql_int(r, 2),
			.remove = (uint8_t)sql_int(r, 3),
			.keyword = j->keyword,
			.on = sql_int(r, 5) != 0,
			.dir = j->dir,
		};
		j->total = sql_int(r, 7);
		j->done = sql_int(r, 8);
	}
	sql_done(r);
	return got;
}

static int
read_items(struct index *x, struct job *j, struct err *e)
{
	struct sql_rows *r = sql_query(x->db, e,
	    "SELECT id FROM job_items WHERE token=? AND place>=?"
	    " ORDER BY place LIMIT 500",
	    "si", j->token, j->done);
	int got = -1;

	j->count = 0;
	while (j->count < CHUNK && (got = sql_next(r, e)) == 1)
		j->ids[j->count++] = sql_int(r, 0);
	sql_done(r);
	return got < 0 ? -1 : 0;
}

/* The next messages of a job; 1 done, 0 there is none. */
static int
job_step(struct index *x, struct job *j, struct err *e)
{
	const char *undo;
	struct err why = { .kind = ERR_NONE };
	int rc;

	if (index_begin(x, e) != 0)
		return -1;
	rc = read_job(x, j, e);
	if (rc == 1 && read_items(x, j, e) != 0)
		rc = -1;
	if (rc != 1) {
		index_abort(x);
		return rc;
	}
	undo = j->change.verb != INDEX_REMOVE && j->change.verb != INDEX_COPY
	    ? j->token
	    : NULL;
	if (index_change_some(x, &j->change, j->ids, j->count, undo,
		clock_wall_ms() + JOB_KEPT_MS, &why) == 0)
		why.text[0] = '\0';
	j->done += (int64_t)j->count;
	if (sql_run(x->db, e, "UPDATE jobs SET done=?, error=? WHERE token=?",
		"iss", j->done, why.text, j->token) < 0 ||
	    (j->done >= j->total &&
		(sql_run(x->db, e, "DELETE FROM job_items WHERE token=?", "s",
		     j->token) < 0 ||
		    sql_run(x->db, e, "UPDATE undo SET ends_ms=? WHERE token=?",
			"is", clock_wall_ms() + INDEX_UNDO_MS,
			j->token) < 0))) {
		index_abort(x);
		return -1;
	}
	x->changed = true;
	return index_commit(x, e) == 0 ? 1 : -1;
}

static int
open_lock(const struct index *x, int flags)
{
	char path[INDEX_PATH_SIZE + 8];

	(void)snprintf(path, sizeof(path), "%s-work", x->file);
	return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0660);
}

/* Only one handle at a time works; the lock ends with its descriptor. */
static int
lock_work(const struct index *x)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(x, O_CREAT);

	if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

bool
index_is_worked(const struct index *x)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(x, 0);
	bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 &&
	    lock.l_type != F_UNLCK;

	if (fd >= 0)
		(void)close(fd);
	return held;
}

static bool
work_on_jobs(struct index *x, int64_t deadline)
{
	struct job *j = mem_zalloc(sizeof(*j));
	struct err e;
	int rc;

	do {
		rc = job_step(x, j, &e);
	} while (rc == 1 && clock_left_ms(deadline) > 0);
	if (rc < 0)
		log_error("job of %s: %s", x->mailbox, e.text);
	free(j);
	return rc == 1;
}

bool
index_work(struct index *x)
{
	int64_t deadline = clock_mono_ms() + WORK_MS;
	struct index_progress progress = { .missing = 0 };
	int lock = lock_work(x);
	bool more;
	struct err e;

	if (lock < 0)
		return false;
	more = work_on_jobs(x, deadline);
	if (!more &&
	    index_look(x, "", true, clock_mono_ms() + READ_MS, &progress, &e) !=
		0)
		log_warning("index of %s: %s", x->mailbox, e.text);
	(void)close(lock);
	return more || progress.missing > 0;
}

bool
index_has_work(struct index *x)
{
	struct err e;

	return sql_get_int(x->db, &e, NULL,
		   "SELECT 1 FROM jobs WHERE done < total AND error=''"
		   " UNION ALL SELECT 1 FROM folders WHERE missing > 0 LIMIT 1",
		   "") == 1;
}
