#ifndef MAILDIR_MAILDIR_H
#define MAILDIR_MAILDIR_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * Maildir and Maildir++ (DESIGN 4.5): the only truth about mail.
 *
 * A message is one file, never modified: NAME = `<id>.<host>,S=<bytes>,
 * W=<bytes with CRLF>`, in new/, or in cur/ with `:2,FLAGS`.  Sizes come from
 * the name; a foreign name without them is measured once when it is listed
 * (and then known by the listing, the file keeps its name).  No locks are
 * needed to deliver; everything is done with *at() calls relative to opened
 * directories, O_NOFOLLOW, regular files only.
 */

/*
 * Path of a mailbox below the mail root: domain/local-part, lower case, bytes
 * outside a-z 0-9 . _ + = - and a leading dot as %XX.  Both parts come
 * normalised from the directory (A-labels).  False if it would be too long.
 */
bool maildir_path(
    struct slice local, struct slice domain, char *out, size_t size) MUST_CHECK;

/* An opened mailbox folder: new, cur, tmp. */
struct maildir {
	int root_fd; /* the folder itself */
	int new_fd, cur_fd, tmp_fd;
};

/*
 * Open a mailbox (`folder` "" = the inbox, else a Maildir++ directory name
 * ".Sent").  With `create` it is made with all parents: directories 2770,
 * files 0660, group kept by setgid.  ERR_PERM: not there (without create),
 * refused (symlink, other owner's tricks); ERR_TEMP: disk.
 */
int maildir_open(int mail_root_fd, const char *path, const char *folder,
    bool create, struct maildir *out, struct err *e) MUST_CHECK;
void maildir_close(struct maildir *m);

enum {
	MAILDIR_NAME_SIZE = 256
};

/*
 * The name of a delivery: derived from id and the recipient's index, so that
 * a repeated attempt finds what an earlier one left (I2).  `host` is cleaned.
 */
void maildir_delivery_name(const char *id, unsigned index, const char *host,
    uint64_t size, uint64_t wire_size, char out[MAILDIR_NAME_SIZE]);

/*
 * The steps of a delivery; the runner puts its marks between them.
 * write: create tmp/NAME with these pieces (not flushed);
 * link: hard-link tmp/NAME or an existing file into this mailbox's tmp/
 *       (EXDEV: *copied_out and a copy is written);
 * publish: rename tmp/NAME to new/NAME.
 */
struct iovec;
int maildir_write_tmp(const struct maildir *m, const char *name,
    const struct iovec *pieces, int count, struct err *e) MUST_CHECK;
int maildir_link_tmp(const struct maildir *m, const char *name, int from_fd,
    const char *from_name, struct err *e) MUST_CHECK;
int maildir_publish(
    const struct maildir *m, const char *name, struct err *e) MUST_CHECK;

/* Where a delivery's name is now: for redelivery after a crash. */
enum maildir_place {
	MAILDIR_NOWHERE,
	MAILDIR_TMP,
	MAILDIR_NEW,
	MAILDIR_CUR
};

int maildir_locate(const struct maildir *m, const char *name,
    enum maildir_place *out, struct err *e) MUST_CHECK;

/* One message of a listing. */
enum maildir_flags {
	MAILDIR_DRAFT = 1,
	MAILDIR_FLAGGED = 2,
	MAILDIR_PASSED = 4,
	MAILDIR_REPLIED = 8,
	MAILDIR_SEEN = 16,
	MAILDIR_TRASHED = 32,
};

struct maildir_entry {
	char *name;         /* the whole file name, with flags */
	uint64_t size;      /* bytes in the file */
	uint64_t wire_size; /* with CRLF line ends */
	int64_t arrived_ms; /* wall clock, from the name */
	uint8_t flags;
	bool is_new; /* lies in new/ */
};

struct maildir_list {
	struct maildir_entry *items; /* by arrival: id or time in the name */
	size_t count;
	struct pool pool;
};

/*
 * List new/ and cur/: names only, no stat unless a foreign name lacks sizes.
 * A name seen in both (moved meanwhile) counts once.
 */
int maildir_list(const struct maildir *m, struct maildir_list *out,
    struct err *e) MUST_CHECK;
void maildir_list_release(struct maildir_list *l);

/*
 * Open a listed message for reading; if it was moved or its flags changed
 * since, it is found again by its base name.  ERR_PERM: gone.
 */
int maildir_open_message(const struct maildir *m, const char *name, int *fd_out,
    struct err *e) MUST_CHECK;

/* Delete; ERR_PERM when it was already gone. */
int maildir_remove(
    const struct maildir *m, const char *name, struct err *e) MUST_CHECK;

/* RFC 1939 7: the name up to the first ',' or ':', else its SHA-256 in hex. */
enum {
	MAILDIR_UIDL_SIZE = 71
};

void maildir_uidl(const char *name, char out[MAILDIR_UIDL_SIZE]);

#endif /* MAILDIR_MAILDIR_H */
