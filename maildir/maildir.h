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

/* A folder (".Sent") of an opened mailbox.  ERR_PERM: not there. */
int maildir_open_sub(const struct maildir *root, const char *dir,
    struct maildir *out, struct err *e) MUST_CHECK;

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

/* What the name of a delivery says beside its sizes. */
struct maildir_origin {
	const char *id;
	unsigned index;
	const char *host;
};

/*
 * A file in tmp/ that was written under another name, by its descriptor: made
 * durable and published into cur/ with flags, named as a delivery.  One step:
 * `temporary` is free again only when the message is in cur/.  On -1 the
 * caller removes it.
 */
int maildir_publish_file(const struct maildir *m, const char *temporary,
    const struct maildir_origin *from, int fd, uint8_t flags,
    char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;

/* Publish into cur/ with flags (drafts, sent mail); `out` is the new name. */
int maildir_publish_cur(const struct maildir *m, const char *name,
    uint8_t flags, char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;

/*
 * Each name in new/ and cur/ that may be a message, for finding deliveries
 * again after a crash; one that moves meanwhile may come twice or, when only
 * its flags change, not at all.  `each` returns false to stop.
 */
int maildir_each_name(const struct maildir *m,
    bool (*each)(void *arg, const char *name, size_t len), void *arg,
    struct err *e) MUST_CHECK;

/*
 * Write a delivery anew where it is, bytes and name, after a flush that was to
 * make it durable has failed: what could not be written then may count as
 * written.  The bytes are flushed before they take the old ones' place.  Gone
 * (a reader took it): nothing to do.
 */
int maildir_rewrite(
    const struct maildir *m, const char *name, struct err *e) MUST_CHECK;

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
	char *names; /* what the entries' names point into */
};

/*
 * List new/ and cur/: names only, no stat unless a foreign name lacks sizes.
 * A name seen in both (moved meanwhile) counts once.
 */
int maildir_list(const struct maildir *m, struct maildir_list *out,
    struct err *e) MUST_CHECK;
void maildir_list_release(struct maildir_list *l);

/*
 * The same for whoever keeps it long (POP3): 16 bytes and the name a message.
 */
#define MAILDIR_UNTOLD UINT32_MAX

struct maildir_slim {
	uint64_t wire_size;
	uint32_t name; /* offset in names */
	uint32_t told; /* wire size in the name; MAILDIR_UNTOLD: none or huge */
};

struct maildir_snapshot {
	char *names;
	struct maildir_slim *items;
	size_t count;
	uint64_t wire_total;
};

int maildir_snapshot_take(const struct maildir *m, struct maildir_snapshot *out,
    struct err *e) MUST_CHECK;
void maildir_snapshot_release(struct maildir_snapshot *s);

/*
 * Open a listed message for reading; if it was moved or its flags changed
 * since, it is found again by its base name.  ERR_PERM: gone.
 */
int maildir_open_message(const struct maildir *m, const char *name, int *fd_out,
    struct err *e) MUST_CHECK;

/* Delete; ERR_PERM when it was already gone. */
int maildir_remove(
    const struct maildir *m, const char *name, struct err *e) MUST_CHECK;

/*
 * Change flags; the message goes to cur/ under the name in `out`.  ERR_PERM:
 * gone.
 */
int maildir_set_flags(const struct maildir *m, const char *name, uint8_t add,
    uint8_t remove, char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;

/* The same for the letters a to z (bit 0 = a) that stand for keywords. */
int maildir_set_letters(const struct maildir *m, const char *name, uint32_t add,
    uint32_t remove, char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;

/*
 * Into cur/ of another folder, flags kept; `out` is the name there, where
 * nothing is replaced: a copy, which is a hard link, always has a new one.
 * Folders of one mailbox lie on one file system; maildir_copy() also works
 * across two.  ERR_PERM: gone.
 */
int maildir_move(const struct maildir *from, const struct maildir *to,
    const char *name, char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;
int maildir_copy(const struct maildir *from, const struct maildir *to,
    const char *name, char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;

struct maildir_usage {
	uint64_t bytes, messages;
};

/* Delete what nobody touched in tmp/ for 36 hours. */
enum {
	MAILDIR_TMP_SECONDS = 36 * 3600
};

int maildir_clean_tmp(const struct maildir *m, int64_t now_wall_ms,
    size_t *removed_out, struct err *e) MUST_CHECK;

/*
 * The same for who delivers: only where tmp/ was last changed on an earlier
 * day (UTC), so once a day in a mailbox that gets mail; else one fstat().
 */
void maildir_tidy(const struct maildir *m, int64_t now_wall_ms);

/* --- Folders (Maildir++) --------------------------------------------------- */

/*
 * A folder has a name in UTF-8 with '/' between levels ("Work/Caf\xc3\xa9")
 * and a directory in the mailbox: "." before each level, each in modified
 * UTF-7 (RFC 3501 5.1.3), which also hides the dots inside a level.  Both
 * directions are exact.  encode: false for an empty level, control bytes,
 * bad UTF-8, INBOX (case-insensitively), or too long.  decode: false if the
 * directory is no folder of that form.
 */
bool maildir_folder_encode(
    struct slice name, char out[MAILDIR_NAME_SIZE]) MUST_CHECK;
bool maildir_folder_decode(const char *dir, char *out, size_t size) MUST_CHECK;

struct maildir_folder {
	char *dir;  /* for maildir_open() */
	char *name; /* UTF-8; of a foreign directory its text made printable */
};

struct maildir_folders {
	struct maildir_folder *items; /* sorted by name; without the inbox */
	size_t count;
	struct pool pool;
};

/* `root` is the inbox, opened. */
int maildir_folder_list(const struct maildir *root, struct maildir_folders *out,
    struct err *e) MUST_CHECK;
void maildir_folders_release(struct maildir_folders *f);

/* ERR_PERM: exists already (create, rename), not there (rename, delete). */
int maildir_folder_create(
    const struct maildir *root, const char *dir, struct err *e) MUST_CHECK;
/* With all folders below it, or none if one of them has no place there. */
int maildir_folder_rename(const struct maildir *root, const char *from,
    const char *to, struct err *e) MUST_CHECK;
/* With its messages; folders below it stay. */
int maildir_folder_delete(
    const struct maildir *root, const char *dir, struct err *e) MUST_CHECK;

/* Remove a directory with all that is in it; links are not followed. */
int maildir_remove_tree(int dirfd, const char *name, struct err *e) MUST_CHECK;

/* --- Quota (Maildir++ maildirsize) ------------------------------------------ */

/* Count what the whole mailbox holds, all folders, and write maildirsize. */
int maildir_usage_recount(const struct maildir *root, struct maildir_usage *out,
    struct err *e) MUST_CHECK;

/* Count without looking at maildirsize or writing it. */
int maildir_usage_count(const struct maildir *root, struct maildir_usage *out,
    struct err *e) MUST_CHECK;

/*
 * Messages came or went: one appended line.  Where there is no maildirsize
 * nothing is kept and nothing happens.
 */
int maildir_usage_add(const struct maildir *root, int64_t bytes,
    int64_t messages, struct err *e) MUST_CHECK;

/* The text of maildirsize, parsed: for tests and fuzzing.  False: damaged. */
bool maildir_usage_parse(
    struct slice text, struct maildir_usage *out) MUST_CHECK;

/* --- Checking (check.c) ------------------------------------------------------ */

struct maildir_check_rules {
	bool repair; /* put right what can be, without losing anything */
	void (*found)(void *arg, const char *line);
	void *arg;
};

/*
 * Look through a mailbox and its folders; each thing found is one line.  -1:
 * something could not be read.
 */
int maildir_check(const struct maildir *root,
    const struct maildir_check_rules *rules, size_t *found_out,
    struct err *e) MUST_CHECK;

/* RFC 1939 7: the name up to the first ',' or ':', else its SHA-256 in hex. */
enum {
	MAILDIR_UIDL_SIZE = 71
};

void maildir_uidl(const char *name, char out[MAILDIR_UIDL_SIZE]);

/*
 * For a message whose id the one before it in the listing has already (others
 * may have given two files names that differ only behind the ','): the hash
 * of the whole base name.
 */
void maildir_uidl_again(const char *name, char out[MAILDIR_UIDL_SIZE]);

#endif /* MAILDIR_MAILDIR_H */
