/*
 * The snapshot of a POP3 session; see mailbox.h.
 *
 * The lock is flock() on MAILBOX/pop3.lock: it ends with the process that
 * holds it, and delivery does not need it.  Its time is that of the last
 * login (LOGIN-DELAY).
 */
#include "popd/mailbox.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "maildir/name.h"
#include "maildir/sizes.h"

enum {
	DAY_S = 86400
};

static const char *
name_of(const struct mailbox *b, size_t number)
{
	assert(number >= 1 && number <= b->all.count);
	return b->all.names + (b->all.offsets[number - 1] & ~LISTING_MARK);
}

/* The lock's file; *is_new_out: nobody ever signed in. */
static int
open_lock(int dir_fd, bool *is_new_out)
{
	const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(dir_fd, "pop3.lock", flags);

	*is_new_out = false;
	if (fd >= 0 || errno != ENOENT)
		return fd;
	*is_new_out = true;
	return openat(dir_fd, "pop3.lock", flags | O_CREAT, 0660);
}

/* *last_s_out: when somebody last signed in; 0: never. */
static enum mailbox_result
take_lock(struct mailbox *b, int64_t *last_s_out, struct err *e)
{
	struct stat st;
	bool is_new;
	int fd = open_lock(b->dir.root_fd, &is_new);

	if (fd < 0) {
		(void)err_errno(e, "pop3.lock");
		return MAILBOX_FAILED;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0) {
		enum mailbox_result result =
		    errno == EWOULDBLOCK ? MAILBOX_BUSY : MAILBOX_FAILED;

		(void)err_errno(e, "pop3.lock");
		(void)close(fd);
		return result;
	}
	*last_s_out = is_new ? 0 : st.st_mtim.tv_sec;
	b->lock_fd = fd;
	return MAILBOX_OPEN;
}

/* The lock is ours; may we come in so soon?  Sets the time of sign-in. */
static enum mailbox_result
check_delay(struct mailbox *b, const struct mailbox_rules *rules,
    int64_t last_s, struct err *e)
{
	int64_t now_ms = clock_wall_ms();
	int64_t since_s = now_ms / 1000 - last_s;
	size_t removed;
	struct err why;

	if (since_s >= 0 && since_s < rules->delay_s) {
		(void)err_set(e, ERR_TEMP, "signed in too often");
		return MAILBOX_SOON;
	}
	if (rules->delay_s > 0 || since_s >= DAY_S) {
		(void)futimens(b->lock_fd, NULL);
		if (since_s >= DAY_S &&
		    maildir_clean_tmp(&b->dir, now_ms, &removed, &why) != 0)
			log_warning("%s: %s", b->path, why.text);
	}
	return MAILBOX_OPEN;
}

static int
open_dir(struct mailbox *b, struct err *e)
{
	if (b->is_open)
		return 0;
	if (maildir_open(
		b->store->mail_root_fd, b->path, "", true, &b->dir, e) != 0)
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

/* Bytes in the file; of a name that does not tell them it is asked. */
static uint64_t
file_size(const struct maildir *m, const char *name)
{
	struct maildir_entry entry;
	struct stat st;
	struct err e;
	int fd;

	if ((maildir_parse_name(name, &entry) & MAILDIR_NO_SIZE) == 0)
		return entry.size;
	if (maildir_open_message(m, name, &fd, &e) != 0)
		return 0;
	entry.size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	(void)close(fd);
	return entry.size;
}

/*
 * Remove one and count it in *gone: 0, also if somebody else was faster; -1
 * if it is still there.
 */
static int
remove_one(
    const struct mailbox *b, const char *name, struct maildir_usage *gone)
{
	uint64_t size = file_size(&b->dir, name);
	struct err e;

	if (maildir_remove(&b->dir, name, &e) == 0) {
		gone->bytes += size;
		gone->messages++;
	} else if (e.kind != ERR_PERM) {
		log_warning("%s: %s", b->path, e.text);
		return -1;
	}
	return 0;
}

static void
settle_usage(const struct mailbox *b, const struct maildir_usage *gone)
{
	struct err e;

	if (gone->messages > 0 &&
	    maildir_usage_add(&b->dir, -(int64_t)gone->bytes,
		-(int64_t)gone->messages, &e) != 0)
		log_warning("%s: %s", b->path, e.text);
}

/*
 * Remove what arrived before; the listing keeps the rest.  It is in order of
 * arrival, so only its beginning is looked at.
 */
static void
expire(struct mailbox *b, int64_t before_ms)
{
	struct maildir_usage gone = { 0, 0 };
	struct listing *l = &b->all;
	struct maildir_entry entry;
	size_t kept = 0, i;

	for (i = 0; i < l->count; i++) {
		const char *name = name_of(b, i + 1);
		uint64_t size = mailbox_size(b, i + 1);

		(void)maildir_parse_name(name, &entry);
		if (entry.arrived_ms >= before_ms)
			break;
		if (entry.arrived_ms != 0 && remove_one(b, name, &gone) == 0) {
			l->total -= size;
			continue;
		}
		l->offsets[kept] = l->offsets[i];
		if (l->sizes != NULL)
			l->sizes[kept] = l->sizes[i];
		kept++;
	}
	b->expired = i - kept;
	l->count -= b->expired;
	memmove(l->offsets + kept, l->offsets + i,
	    (l->count - kept) * sizeof(l->offsets[0]));
	if (l->sizes != NULL)
		memmove(l->sizes + kept, l->sizes + i,
		    (l->count - kept) * sizeof(l->sizes[0]));
	settle_usage(b, &gone);
}

/* Read the mailbox, or what cache/pop knows of it. */
static int
take_listing(struct mailbox *b, struct err *e)
{
	bool quiet = listing_key_take(&b->dir, &b->key);
	struct maildir_snapshot all;
	struct listing_key after;

	if (quiet &&
	    listing_load(b->store->cache_fd, b->path, &b->key, &b->all))
		return 0;
	if (maildir_snapshot_take(&b->dir, &all, e) != 0)
		return -1;
	b->is_fresh = quiet && listing_key_take(&b->dir, &after) &&
	    listing_key_is_same(&b->key, &after);
	listing_pack(&b->all, &all);
	return 0;
}

static enum mailbox_result
enter(struct mailbox *b, const struct mailbox_rules *rules, struct err *e)
{
	enum mailbox_result result;
	int64_t last_s;

	if (open_dir(b, e) != 0)
		return MAILBOX_FAILED;
	result = take_lock(b, &last_s, e);
	if (result == MAILBOX_OPEN)
		result = check_delay(b, rules, last_s, e);
	if (result == MAILBOX_OPEN && take_listing(b, e) != 0)
		result = MAILBOX_FAILED;
	if (result == MAILBOX_OPEN && rules->expire_before_ms > 0)
		expire(b, rules->expire_before_ms);
	return result;
}

enum mailbox_result
mailbox_open(struct mailbox *b, const struct mailbox_store *store,
    const char *account, const struct mailbox_rules *rules, struct err *e)
{
	struct slice all = slice_str(account);
	ptrdiff_t at = slice_rchr(all, '@');
	enum mailbox_result result;

	memset(b, 0, sizeof(*b));
	b->store = store;
	if (at < 0 ||
	    !maildir_path(slice_of(account, (size_t)at),
		slice_skip(all, (size_t)at + 1), b->path, sizeof(b->path))) {
		(void)err_set(e, ERR_TEMP, "no mailbox path for %s", account);
		return MAILBOX_FAILED;
	}
	result = enter(b, rules, e);
	close_dir(b);
	if (result != MAILBOX_OPEN)
		mailbox_close(b);
	return result;
}

void
mailbox_unlock(struct mailbox *b)
{
	close_dir(b);
	if (b->is_fresh && b->deleted == 0 && b->expired == 0)
		listing_store(b->store->cache_fd, b->path, &b->key, &b->all);
	b->is_fresh = false;
	if (b->lock_fd > 0)
		(void)close(b->lock_fd);
	b->lock_fd = 0;
}

void
mailbox_close(struct mailbox *b)
{
	mailbox_unlock(b);
	listing_release(&b->all);
	memset(b, 0, sizeof(*b));
}

bool
mailbox_is_deleted(const struct mailbox *b, size_t number)
{
	return (b->all.offsets[number - 1] & LISTING_MARK) != 0;
}

uint64_t
mailbox_size(const struct mailbox *b, size_t number)
{
	struct maildir_entry entry;

	if (b->all.sizes != NULL)
		return b->all.sizes[number - 1];
	(void)maildir_parse_name(name_of(b, number), &entry);
	return entry.wire_size;
}

static bool
is_end_of_uidl(char c)
{
	return c == ',' || c == ':' || c == '\0';
}

void
mailbox_uidl(
    const struct mailbox *b, size_t number, char out[MAILDIR_UIDL_SIZE])
{
	const char *name = name_of(b, number);
	const char *before = number > 1 ? name_of(b, number - 1) : "";
	size_t same = 0;

	while (name[same] == before[same] && !is_end_of_uidl(name[same]))
		same++;
	/* unique, whatever somebody else put there: see maildir_uidl_again() */
	if (is_end_of_uidl(name[same]) && is_end_of_uidl(before[same]))
		maildir_uidl_again(name, out);
	else
		maildir_uidl(name, out);
}

void
mailbox_prefetch(const struct mailbox *b, size_t number)
{
	enum {
		AHEAD = 16,
		LINE = 64
	};

	if (number + AHEAD <= b->all.count) {
		const char *name = name_of(b, number + AHEAD);

		__builtin_prefetch(name);
		__builtin_prefetch(name + LINE);
	}
}

void
mailbox_delete(struct mailbox *b, size_t number)
{
	b->all.offsets[number - 1] |= LISTING_MARK;
	b->deleted++;
	b->deleted_bytes += mailbox_size(b, number);
}

void
mailbox_undelete_all(struct mailbox *b)
{
	for (size_t i = 0; i < b->all.count; i++)
		b->all.offsets[i] &= ~LISTING_MARK;
	b->deleted = 0;
	b->deleted_bytes = 0;
}

bool
mailbox_has_room(struct mailbox *b, uint64_t bytes, uint64_t messages)
{
	struct maildir_usage used;
	struct err e;

	return open_dir(b, &e) == 0 &&
	    maildir_usage_count(&b->dir, &used, &e) == 0 &&
	    (bytes == 0 || used.bytes < bytes) &&
	    (messages == 0 || used.messages < messages);
}

int
mailbox_read(struct mailbox *b, size_t number, int *fd_out, uint64_t *size_out,
    uint64_t *wire_out, struct err *e)
{
	struct maildir_entry entry = { 0 };
	struct stat st;
	int fd;

	if (open_dir(b, e) != 0 ||
	    maildir_open_message(&b->dir, name_of(b, number), &fd, e) != 0)
		return -1;
	if (fstat(fd, &st) != 0)
		goto fail;
	*size_out = (uint64_t)st.st_size;
	*wire_out = mailbox_size(b, number);
	/* Somebody cut or changed the file: its name is not true any more. */
	if ((maildir_parse_name(name_of(b, number), &entry) &
		MAILDIR_NO_SIZE) == 0 &&
	    entry.size != *size_out &&
	    (sizes_measure(fd, size_out, wire_out, e) != 0 ||
		lseek(fd, 0, SEEK_SET) != 0))
		goto fail;
	*fd_out = fd;
	return 0;
fail:
	(void)err_errno(e, "%s", name_of(b, number));
	(void)close(fd);
	return -1;
}

void
mailbox_update(struct mailbox *b, size_t *left_out)
{
	struct maildir_usage gone = { 0, 0 };
	struct err e;

	*left_out = 0;
	if (b->deleted == 0)
		return;
	if (open_dir(b, &e) != 0) {
		*left_out = b->deleted;
		return;
	}
	for (size_t i = 1; i <= b->all.count; i++) {
		if (mailbox_is_deleted(b, i) &&
		    remove_one(b, name_of(b, i), &gone) != 0)
			(*left_out)++;
	}
	settle_usage(b, &gone);
}
