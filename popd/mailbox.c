/*
 * The snapshot of a POP3 session; see mailbox.h.
 *
 * A name in the block is NUL-terminated; one whose file name does not tell its
 * sizes (a foreign message) has '\1' in front and eight bytes with its size on
 * the wire behind the NUL.  So a message of ours costs its name and four
 * bytes.
 *
 * The lock is flock() on MAILBOX/pop3.lock: it ends with the process that
 * holds it, and delivery does not need it.
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
#include "base/num.h"

#include "maildir/name.h"

#define DELETED 0x80000000U

enum {
	FOREIGN = 1
};

static const char *
name_of(const struct mailbox *b, size_t number)
{
	const char *name;

	assert(number >= 1 && number <= b->count);
	name = b->names + (b->offsets[number - 1] & ~DELETED);
	return *name == FOREIGN ? name + 1 : name;
}

static bool
has_sizes(const char *name)
{
	struct maildir_entry entry;

	return maildir_parse_name(name, &entry) == 0;
}

/* Copy a listing into the block; -1 if it is beyond what offsets can say. */
static int
pack(struct mailbox *b, const struct maildir_list *l, struct err *e)
{
	size_t size = 0, at = 0;

	for (size_t i = 0; i < l->count; i++)
		size += strlen(l->items[i].name) + 1 +
		    (has_sizes(l->items[i].name) ? 0 : 9);
	if (size >= DELETED)
		return err_set(e, ERR_TEMP, "mailbox has too many messages");
	b->names = mem_alloc(size + 1);
	b->offsets = mem_alloc((l->count + 1) * sizeof(b->offsets[0]));
	for (size_t i = 0; i < l->count; i++) {
		const struct maildir_entry *m = &l->items[i];
		size_t len = strlen(m->name) + 1;
		bool foreign = !has_sizes(m->name);

		b->offsets[i] = (uint32_t)at;
		if (foreign)
			b->names[at++] = FOREIGN;
		memcpy(b->names + at, m->name, len);
		at += len;
		if (foreign) {
			num_put_le64((uint8_t *)b->names + at, m->wire_size);
			at += 8;
		}
		b->total += m->wire_size;
	}
	b->count = l->count;
	return 0;
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

/* Remove what arrived before; the list keeps the rest. */
static void
expire(struct mailbox *b, struct maildir_list *l, int64_t before_ms)
{
	size_t kept = 0;
	struct err e;

	for (size_t i = 0; i < l->count; i++) {
		const struct maildir_entry *m = &l->items[i];

		if (m->arrived_ms == 0 || m->arrived_ms >= before_ms ||
		    maildir_remove(&b->dir, m->name, &e) != 0)
			l->items[kept++] = *m;
	}
	l->count = kept;
}

int
mailbox_open(struct mailbox *b, int mail_root_fd, const char *account,
    int64_t expire_before_ms, struct err *e)
{
	struct slice all = slice_str(account);
	ptrdiff_t at = slice_rchr(all, '@');
	struct maildir_list l;
	int rc = -1;

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
	if (take_lock(b, e) == 0 && maildir_list(&b->dir, &l, e) == 0) {
		if (expire_before_ms > 0)
			expire(b, &l, expire_before_ms);
		rc = pack(b, &l, e);
		maildir_list_release(&l);
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
	const char *name = name_of(b, number);
	struct maildir_entry entry;

	if (b->names[b->offsets[number - 1] & ~DELETED] == FOREIGN)
		return num_get_le64((const uint8_t *)name + strlen(name) + 1);
	(void)maildir_parse_name(name, &entry);
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
