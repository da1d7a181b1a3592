/*
 * Drafts: finding, locking, storing, removing; see draft.h.
 *
 * The lock is flock() on the newest version's file: whoever holds it may make
 * the next version.  It dies with its process.  New versions are durable (file
 * and directory flushed) before the old one goes.
 */
#include "webmail-cgi/draft.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/num.h"
#include "mail/address.h"

#include "maildir/name.h"

#include "webmail-cgi/mailbox.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/writing.h"

enum {
	LOCK_TRIES = 500, /* of 10 ms */
	FIND_TRIES = 10,
};

void
draft_init(struct draft *d)
{
	*d = (struct draft){ .from = "",
		.to = "",
		.cc = "",
		.bcc = "",
		.subject = "",
		.text = "",
		.in_reply_to = "",
		.references = "",
		.answers = "",
		.verb = "",
		.receipt = "",
		.note = "",
		.of = "",
		.fd = -1 };
	id_new(d->did);
}

void
draft_close(struct draft *d)
{
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
}

uint64_t
draft_files_size(const struct draft *d)
{
	uint64_t size = 0;

	for (size_t i = 0; i < d->file_count; i++)
		if (!d->files[i].dropped)
			size += d->files[i].len;
	return size;
}

/* --- Finding ------------------------------------------------------------------------ */

const char *
draft_path(struct web_request *r, const struct index_message *m)
{
	struct slice did = slice_of(m->name, strcspn(m->name, "."));

	if (strcmp(m->dir, INDEX_DRAFTS) != 0 || !id_is_valid(did))
		return "";
	return pool_printf(&r->pool, "/d/%.*s", (int)did.len, did.data);
}

/* The rev in "<did>.<rev>.<host>"; 0: a name without one. */
static unsigned
rev_of(const char *name)
{
	struct slice rest = slice_str(name + ID_LEN), number;
	uint64_t rev = 0;

	if (rest.len == 0 || rest.data[0] != '.')
		return 0;
	(void)slice_cut(slice_skip(rest, 1), '.', &number);
	return num_parse(number, 1000000000, &rev) ? (unsigned)rev : 0;
}

/* The newest version's name; 1 found, 0 not there. */
static int
find_newest(const struct maildir *m, const char *did, unsigned *rev_out,
    char name[MAILDIR_NAME_SIZE], struct err *e)
{
	struct maildir_list l;
	int found = 0;

	if (maildir_list(m, &l, e) != 0)
		return -1;
	for (size_t i = 0; i < l.count; i++) {
		unsigned rev;

		if (strncmp(l.items[i].name, did, ID_LEN) != 0 ||
		    strlen(l.items[i].name) >= MAILDIR_NAME_SIZE)
			continue;
		rev = rev_of(l.items[i].name);
		if (found != 0 && rev < *rev_out)
			continue;
		found = 1;
		*rev_out = rev;
		(void)snprintf(name, MAILDIR_NAME_SIZE, "%s", l.items[i].name);
	}
	maildir_list_release(&l);
	return found;
}

static int
take_lock(int fd, struct err *e)
{
	const struct timespec pause = { 0, 10000000 };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(e, "draft");
		(void)nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_TEMP, "the draft is being worked on");
}

/* 1: open at the newest; 0: it changed meanwhile, look again. */
static int
open_newest(const struct maildir *m, const char *did, bool lock,
    struct draft *d, struct err *e)
{
	char name[MAILDIR_NAME_SIZE];
	unsigned rev = 0;
	int found = find_newest(m, did, &d->rev, d->name, e);

	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(e, ERR_PERM, "no such draft");
	if (maildir_open_message(m, d->name, &d->fd, e) != 0)
		return e->kind == ERR_PERM ? 0 : -1;
	if (!lock)
		return 1;
	if (take_lock(d->fd, e) != 0)
		return -1;
	found = find_newest(m, did, &rev, name, e);
	return found < 0 ? -1 : found == 1 && rev == d->rev;
}

int
draft_open(struct web_request *r, const char *did, bool lock, struct draft *out,
    struct err *e)
{
	struct maildir m;
	int got = 0;

	draft_init(out);
	if (!id_is_valid(slice_str(did)))
		return err_set(e, ERR_PERM, "no such draft");
	memcpy(out->did, did, ID_SIZE);
	if (mailbox_open_folder(r, ".Drafts", false, &m, e) != 0)
		return -1;
	for (int i = 0; i < FIND_TRIES && got == 0; i++) {
		draft_close(out);
		got = open_newest(&m, did, lock, out, e);
	}
	maildir_close(&m);
	if (got == 0)
		(void)err_set(e, ERR_TEMP, "the draft keeps changing");
	if (got == 1 && draft_read(out, &r->pool, e) == 0)
		return 0;
	draft_close(out);
	return -1;
}

/* --- Storing ------------------------------------------------------------------------- */

void
draft_put_people(
    const struct draft *d, bool bcc, struct pool *pool, struct buf *out)
{
	const char *const fields[][2] = { { "To", d->to }, { "Cc", d->cc },
		{ "Bcc", d->bcc } };

	for (size_t i = 0; i < (bcc ? 3 : 2); i++) {
		struct slice rest = slice_str(fields[i][1]);
		struct writing_person p;
		struct address a;
		bool first = true;
		struct err e;

		while (writing_next_person(&rest, pool, &p)) {
			if (address_parse(p.address, 0, pool, &a, &e) != 0)
				continue;
			buf_addf(out, first ? "%s: " : ",\n ", fields[i][0]);
			writing_put_person(
			    p.name, address_format(&a, pool), out);
			first = false;
		}
		if (!first)
			buf_addc(out, '\n');
	}
}

/* Who the draft is from, as a header field says it. */
static const char *
from_field(struct web_request *r, const struct draft *d)
{
	struct identities all;
	struct err e;
	struct buf text;
	const char *field;

	buf_init(&text, 4096);
	buf_addstr(&text, session_of(r)->address);
	if (user_identities(r, &all, &e) == 0) {
		const struct identity *i = identities_for(&all, d->from);

		buf_reset(&text);
		writing_put_person(
		    i->name, d->from[0] != '\0' ? d->from : i->address, &text);
	}
	field = pool_strdup(&r->pool, text.data);
	buf_release(&text);
	return field;
}

/*
 * Is the locked file still the one of this name?  Whoever had the lock before
 * may have published it, and so may have who began the same draft earlier.
 *
 * Of those who begin one draft at the same time (rev 1: there is no version to
 * lock yet) one wins: all open the one name in tmp/, and who has the lock on
 * the file of that name is alone, since a name leaves tmp/ only while its file
 * is locked.  It leaves for cur/ in one step (maildir_publish_file()), so who
 * is alone under the name made anew finds the version that had it before.
 */
static int
check_writing(const struct maildir *m, const struct draft *d,
    const char *temporary, int fd, struct err *e)
{
	char name[MAILDIR_NAME_SIZE];
	struct stat mine, there;
	unsigned rev = 0;

	if (fstat(fd, &mine) != 0 ||
	    fstatat(m->tmp_fd, temporary, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
	    mine.st_ino != there.st_ino)
		return err_set(e, ERR_TEMP, "the draft keeps changing");
	if (d->rev == 1 && find_newest(m, d->did, &rev, name, e) != 0) {
		(void)unlinkat(m->tmp_fd, temporary, 0);
		return err_set(e, ERR_TEMP, "the draft is there already");
	}
	return ftruncate(fd, 0) == 0 ? 0 : err_errno(e, "draft");
}

/* The message of `d`, locked and published; then d->name and d->fd are its. */
static int
write_version(struct web_request *r, const struct maildir *m, struct draft *d,
    const struct web_upload *add, size_t add_count, struct err *e)
{
	const char *host = mailbox_host_name(r);
	char temporary[MAILDIR_NAME_SIZE];
	int fd, rc;

	(void)snprintf(
	    temporary, sizeof(temporary), "%s.%u.writing", d->did, d->rev);
	fd = openat(m->tmp_fd, temporary,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd < 0)
		return err_errno(e, "draft");
	if (take_lock(fd, e) != 0 ||
	    check_writing(m, d, temporary, fd, e) != 0) {
		(void)close(fd);
		return -1;
	}
	rc = draft_write(d, add, add_count,
	    &(struct draft_sender){ from_field(r, d), host }, fd, &r->pool, e);
	if (rc == 0)
		rc = maildir_publish_file(m, temporary,
		    &(struct maildir_origin){ d->did, d->rev, host }, fd,
		    MAILDIR_DRAFT | MAILDIR_SEEN, d->name, e);
	if (rc != 0) {
		(void)unlinkat(m->tmp_fd, temporary, 0);
		(void)close(fd);
		return -1;
	}
	d->fd = fd;
	return 0;
}

/* The version before goes; the quota counts the difference. */
static void
replace_old(const struct web_request *r, const struct maildir *m,
    const char *old, const char *new)
{
	struct maildir_entry before = { 0 }, after = { 0 };
	bool had = old[0] != '\0';
	struct err e;

	if (had && maildir_remove(m, old, &e) != 0)
		log_warning("%s: %s", old, e.text);
	if (had)
		(void)maildir_parse_name(old, &before);
	(void)maildir_parse_name(new, &after);
	user_count_usage(
	    r, (int64_t)after.size - (int64_t)before.size, had ? 0 : 1);
}

int
draft_save(struct web_request *r, struct draft *d, const struct web_upload *add,
    size_t add_count, struct err *e)
{
	struct draft next = *d;
	struct maildir m;
	int rc;

	if (add_count > DRAFT_FILES_MAX - d->file_count)
		return err_set(e, ERR_PERM, "too many files");
	if (mailbox_open_folder(r, ".Drafts", true, &m, e) != 0)
		return -1;
	next.rev++;
	next.saved_ms = clock_wall_ms();
	rc = write_version(r, &m, &next, add, add_count, e);
	if (rc == 0) {
		replace_old(r, &m, d->rev > 0 ? d->name : "", next.name);
		draft_close(d);
		*d = next;
		d->file_count = 0;
		rc = draft_read(d, &r->pool, e);
	}
	maildir_close(&m);
	return rc;
}

int
draft_remove(
    struct web_request *r, struct draft *d, bool to_trash, struct err *e)
{
	struct maildir m, trash;
	struct maildir_entry entry = { 0 };
	char name[MAILDIR_NAME_SIZE];
	int rc;

	if (mailbox_open_folder(r, ".Drafts", false, &m, e) != 0)
		return -1;
	if (to_trash) {
		rc = mailbox_open_folder(r, ".Trash", true, &trash, e);
		if (rc == 0) {
			rc = maildir_move(&m, &trash, d->name, name, e);
			maildir_close(&trash);
		}
	} else {
		rc = maildir_remove(&m, d->name, e);
		(void)maildir_parse_name(d->name, &entry);
		if (rc == 0)
			user_count_usage(r, -(int64_t)entry.size, -1);
	}
	maildir_close(&m);
	draft_close(d);
	return rc;
}

/* --- Sending once ---------------------------------------------------------------------- */

/* What was typed, in a name for it. */
static uint32_t
hash_typed(const struct draft *d)
{
	const char *const all[] = { d->to, d->cc, d->bcc, d->subject, d->text };
	uint32_t hash = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		hash = crc32c(hash, all[i], strlen(all[i]) + 1);
	return hash;
}

/* An empty file in tmp/ while it is being sent, with a byte in it after. */
int
draft_begin_sending(
    struct web_request *r, const struct draft *d, int *fd_out, struct err *e)
{
	char name[MAILDIR_NAME_SIZE];
	struct stat st;
	struct maildir m;

	if (mailbox_open_folder(r, ".Drafts", true, &m, e) != 0)
		return -1;
	maildir_tidy(&m, clock_wall_ms());
	(void)snprintf(
	    name, sizeof(name), "%s.%08x.sent", d->did, hash_typed(d));
	*fd_out = openat(
	    m.tmp_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	maildir_close(&m);
	if (*fd_out < 0)
		return err_errno(e, "%s", name);
	if (take_lock(*fd_out, e) != 0 || fstat(*fd_out, &st) != 0) {
		draft_sent(*fd_out, false);
		return err_set(e, ERR_TEMP, "the draft is being sent");
	}
	if (st.st_size == 0)
		return 1;
	draft_sent(*fd_out, false);
	return 0;
}

void
draft_sent(int fd, bool sent)
{
	if (fd >= 0 && sent && write(fd, "1", 1) != 1)
		log_warning("a draft that was sent cannot be marked");
	if (fd >= 0)
		(void)close(fd);
}
