#ifndef WEBMAIL_CGI_DRAFT_H
#define WEBMAIL_CGI_DRAFT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "web/web.h"

#include "maildir/index.h"
#include "maildir/maildir.h"

/*
 * Messages that are being written: real messages in the folder Drafts, which
 * other mail programs can read, named "<did>.<rev>.<host>,S=...".  A message
 * is never modified: every save writes a new one with the next rev and removes
 * the one before, so `rev` tells two windows apart.
 *
 * What was typed is kept exactly (fields X-Mailstead-*), beside the header
 * fields that others understand.  Attachments are stored as they will be sent,
 * so sending and saving copy them as they stand.
 *
 * A draft belongs to a request: strings in its pool.  draft_close() ends it.
 */
struct draft_file {
	const char *name, *type;
	uint64_t size;    /* decoded */
	uint64_t at, len; /* of the part in the file, its delimiter included */
	bool dropped;     /* the next draft_save() leaves it out */
	/* not NULL: pending (answer.h), that part of `of`; sizes are guesses */
	const char *part;
};

enum {
	DRAFT_FILES_MAX = 100,
	DRAFT_FIELD_MAX = 64 * 1024, /* of To, Cc, Bcc, Subject each */
	DRAFT_TEXT_MAX = 2 * 1024 * 1024,
	DRAFT_IDS_MAX = 32 * 1024,
};

struct draft {
	char did[ID_SIZE];
	unsigned rev;     /* 0: not stored yet */
	const char *from; /* address; "" = the default identity's */
	const char *to, *cc, *bcc, *subject, *text; /* as typed, LF */
	const char *in_reply_to, *references;       /* ids without <>, or "" */
	const char *answers; /* the message it answers or forwards, or "" */
	const char *verb;    /* "reply", "forward", or "" */
	const char *receipt; /* "yes": ask for a read receipt, or "" */
	const char *report;  /* sent instead of text and files: a part with its
			      * header fields; or NULL.  Never stored */
	const char *note;    /* what the writer should know: "bcc", or "" */
	const char *of;      /* id of the message pending files are of, or "" */
	struct draft_file *files;
	size_t file_count;
	int64_t saved_ms;

	/* private */
	int fd; /* the stored message, or -1 */
	char name[MAILDIR_NAME_SIZE];
};

/*
 * Where a message of the folder of drafts is written on: "/d/<id>" (request's
 * pool); "" for any other, also for one another program put there.
 */
const char *draft_path(struct web_request *r, const struct index_message *m);

/* A new one, empty; nothing is stored. */
void draft_init(struct draft *d);

/*
 * The newest version.  With `lock` nobody else saves, sends or discards it
 * until draft_close().  ERR_PERM: there is no such draft; ERR_TEMP: it cannot
 * be read, or is being worked on for long.
 */
int draft_open(struct web_request *r, const char *did, bool lock,
    struct draft *out, struct err *e) MUST_CHECK;
void draft_close(struct draft *d);

/*
 * Store it as the next rev, with these files added; on 0 it is open at the
 * new version and still locked if it was.  On -1 (ERR_TEMP: disk full...; ERR_PERM: more
 * than DRAFT_FILES_MAX files) what was stored before is still there.
 */
int draft_save(struct web_request *r, struct draft *d,
    const struct web_upload *add, size_t add_count, struct err *e) MUST_CHECK;

/* Gone for good (it was sent), or into Trash.  Closes it. */
int draft_remove(struct web_request *r, struct draft *d, bool to_trash,
    struct err *e) MUST_CHECK;

/*
 * A draft that is sent though it was never stored (rev 0) has nothing to lock:
 * the form posted twice is sent once.  Before sending: 1 go on, with *fd_out
 * for draft_sent(); 0: the same fields were sent already.  What was changed
 * since counts as another message.  -1: cannot be kept apart (disk full...).
 */
int draft_begin_sending(struct web_request *r, const struct draft *d,
    int *fd_out, struct err *e) MUST_CHECK;

/* After it; closes `fd` (-1 is fine). */
void draft_sent(int fd, bool sent);

/* Bytes the files take in the message. */
uint64_t draft_files_size(const struct draft *d);

/* How many bytes a file of `size` bytes becomes in a message. */
uint64_t draft_encoded_size(uint64_t size);

/*
 * For sending: the boundary between its parts, and the bytes of all its files
 * with their delimiters, as they stand in a multipart/mixed.  `write` as
 * spool_write().
 */
void draft_boundary(const char *did, char out[ID_SIZE + 3]);
int draft_copy_files(const struct draft *d,
    int (*write)(void *arg, const void *data, size_t len, struct err *e),
    void *arg, struct err *e) MUST_CHECK;

/* May this stand as an id in a header? */
bool draft_id_is_good(struct slice id);

/* Append the fields In-Reply-To and References (RFC 5322 3.6.4). */
void draft_put_ids(const struct draft *d, struct buf *out);

/*
 * Append To and Cc (with `bcc`: Bcc too) as RFC 5322 wants them, of what was
 * typed; what is no address is left out.
 */
void draft_put_people(
    const struct draft *d, bool bcc, struct pool *pool, struct buf *out);

/* --- draft_file.c: what a stored draft looks like ---------------------------------- */

/* Read what d->fd has into the rest of *d.  ERR_PERM: it is no draft of ours. */
int draft_read(struct draft *d, struct pool *pool, struct err *e) MUST_CHECK;

/* Who writes: the value of From, and the host of the Message-ID. */
struct draft_sender {
	const char *from, *host;
};

/* Write *d, with its files copied from d->fd and `add` encoded, to `fd`. */
int draft_write(const struct draft *d, const struct web_upload *add,
    size_t add_count, const struct draft_sender *by, int fd, struct pool *pool,
    struct err *e) MUST_CHECK;

#endif /* WEBMAIL_CGI_DRAFT_H */
