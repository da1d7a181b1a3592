/*
 * The snapshot of a POP3 session; see mailbox.h.
 *
 * The block of names is the one maildir_snapshot_take() filled, so a message
 * of ours costs its name and four bytes; only where some name does not tell
 * its sizes are those kept beside it.
 *
 * The lock is flock() on MAILBOX/pop3.lock: it ends with the process that
 * holds it, and delivery does not need it.  Its time is that of the last
 * login (LOGIN-DELAY).
 */
#include "popd/mailbox.h"

#include <sys/file.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#include "maildir/name.h"

#define DELETED 0x80000000U

static const char *
name_of(const struct mailbox *b, size_t number)
{
	assert(number >= 1 && number <= b->count);
	return b->names + (b->offsets[number - 1] & ~DELETED);
}

/* Keep of the snapshot what a session needs; takes over the names. */
static void
pack(struct mailbox *b, struct maildir_snapshot *s)
{
	struct maildir_entry entry;
	bool all_tell = true;

	b->count = s->count;
	b->offsets = mem_alloc((s->count + 1) * sizeof(b->offsets[0]));
	for (size_t i = 0; i < s->count; i++) {
		b->offsets[i] = s->items[i].name;
		b->total += s->items[i].wire_size;
		all_tell = all_tell &&
		    maildir_parse_name(s->names + s->items[i].name, &entry) ==
			0;
	}
	if (!all_tell) {
		b->sizes = mem_alloc(s->count * sizeof(b->sizes[0]));
		for (size_t i = 0; i < s->count; i++)
			b->sizes[i] = s->items[i].wire_size;
	}
	b->names = s->names;
	s->names = NULL;
	maildir_snapshot_release(s);
}

static int
take_lock(struct mailbox *b, struct err *e)
{
	int fd = openat(b->dir.root_fd, "pop3.lock",
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0660);

	if (fd < 0)
		return err_errno(e, "pop3.lock");
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		(void)err_errno(e, "pop3.lock");
		if (errno == EWOULDBLOCK)
			e->kind = ERR_PERM;
		(void)close(fd);
		return -1;
	}
	b->lock_fd = fd;
	return 0;
}

static int
open_dir(struct mailbox *b, struct err *e)
{
	if (b->is_open)
		return 0;
	if (maildir_open(b->mail_root_fd, b->path, "", true, &b->dir, e) != 0)
		return -1;
	b->is_open = true;
	return 0;
}

static void
close_dir(struct mailbox *b)
{
	if (b->is_open)
		maildir_close(&b->dir);
	b->is_open = false;
}

/* Remove what arrived before; the snapshot keeps the rest. */
static void
expire(struct mailbox *b, struct maildir_snapshot *s, int64_t before_ms)
{
	struct maildir_entry entry;
	size_t kept = 0;
	struct err e;

	for (size_t i = 0; i < s->count; i++) {
		const char *name = s->names + s->items[i].name;

		(void)maildir_parse_name(name, &entry);
		if (entry.arrived_ms == 0 || entry.arrived_ms >= before_ms ||
		    maildir_remove(&b->dir, name, &e) != 0)
			s->items[kept++] = s->items[i];
	}
	b->expired = s->count - kept;
	s->count = kept;
}

int
mailbox_open(struct mailbox *b, int mail_root_fd, const char *account,
    int64_t expire_before_ms, struct err *e)
{
	struct slice all = slice_str(account);
	ptrdiff_t at = slice_rchr(all, '@');
	struct maildir_snapshot all_messages;
	int rc;

	memset(b, 0, sizeof(*b));
	b->mail_root_fd = mail_root_fd;
	if (at < 0 ||
	    !maildir_path(slice_of(account, (size_t)at),
		slice_skip(all, (size_t)at + 1), b->path, sizeof(b->path)))
		return err_set(e, ERR_TEMP, "no mailbox path for %s", account);
	if (open_dir(b, e) != 0) {
		e->kind = ERR_TEMP; /* the account exists, so this is ours */
		return -1;
	}
	rc = take_lock(b, e);
	if (rc == 0)
		rc = maildir_snapshot_take(&b->dir, &all_messages, e);
	if (rc == 0) {
		if (expire_before_ms > 0)
			expire(b, &all_messages, expire_before_ms);
		pack(b, &all_messages);
	}
	close_dir(b);
	if (rc != 0)
		mailbox_close(b);
	return rc;
}

void
mailbox_close(struct mailbox *b)
{
	close_dir(b);
	if (b->lock_fd > 0)
		(void)close(b->lock_fd);
	free(b->names);
	free(b->offsets);
	free(b->sizes);
	memset(b, 0, sizeof(*b));
}

bool
mailbox_is_deleted(const struct mailbox *b, size_t number)
{
	return (b->offsets[number - 1] & DELETED) != 0;
}

uint64_t
mailbox_size(const struct mailbox *b, size_t number)
{
	struct maildir_entry entry;

	if (b->sizes != NULL)
		return b->sizes[number - 1];
	(void)maildir_parse_name(name_of(b, number), &entry);
	return entry.wire_size;
}

void
mailbox_uidl(
    const struct mailbox *b, size_t number, char out[MAILDIR_UIDL_SIZE])
{
	maildir_uidl(name_of(b, number), out);
}

void
mailbox_delete(struct mailbox *b, size_t number)
{
	b->offsets[number - 1] |= DELETED;
	b->deleted++;
	b->deleted_bytes += mailbox_size(b, number);
}

void
mailbox_undelete_all(struct mailbox *b)
{
	for (size_t i = 0; i < b->count; i++)
		b->offsets[i] &= ~DELETED;
	b->deleted = 0;
	b->deleted_bytes = 0;
}

int
mailbox_read(struct mailbox *b, size_t number, int *fd_out, struct err *e)
{
	if (open_dir(b, e) != 0)
		return -1;
	return maildir_open_message(&b->dir, name_of(b, number), fd_out, e);
}

void
mailbox_update(struct mailbox *b, size_t *left_out)
{
	struct err e;

	*left_out = 0;
	if (b->deleted == 0)
		return;
	if (open_dir(b, &e) != 0) {
		*left_out = b->deleted;
		return;
	}
	for (size_t i = 1; i <= b->count; i++) {
		if (mailbox_is_deleted(b, i) &&
		    maildir_remove(&b->dir, name_of(b, i), &e) != 0 &&
		    e.kind != ERR_PERM)
			(*left_out)++;
	}
}
