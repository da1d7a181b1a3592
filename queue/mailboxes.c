/*
 * Mailboxes kept open for a moment; see mailboxes.h.
 *
 * A direct-mapped table of pointers.  A mailbox leaves the table when it is
 * too old, failed, or another path wants its slot; it is closed when it is out
 * of the table and its last user gave it back.  Directories are opened outside
 * the lock; two threads may open the same one, and the later takes the slot.
 *
 * Run by the claiming threads; the flushing thread expires.
 */
#include "queue/mailboxes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	SLOTS = 1024,
	KEPT_MAX = 256, /* four descriptors each */
	KEEP_MS = 1000,
};

struct mailboxes {
	int mail_root_fd;
	pthread_mutex_t lock;
	unsigned kept;
	struct mailbox *slots[SLOTS];
};

struct mailboxes *
mailboxes_new(int mail_root_fd)
{
	struct mailboxes *t = mem_zalloc(sizeof(*t));

	t->mail_root_fd = mail_root_fd;
	(void)pthread_mutex_init(&t->lock, NULL);
	return t;
}

static struct mailbox **
find_slot(struct mailboxes *t, const char *path)
{
	return &t->slots[slice_hash(slice_str(path)) % SLOTS];
}

static void
close_mailbox(struct mailbox *m)
{
	maildir_close(&m->dir);
	free(m);
}

/* Under the lock.  Returns what the caller has to close, or NULL. */
static struct mailbox *
take_out(struct mailboxes *t, struct mailbox **slot)
{
	struct mailbox *m = *slot;

	if (m == NULL)
		return NULL;
	*slot = NULL;
	t->kept--;
	m->kept = false;
	return m->users == 0 ? m : NULL;
}

static bool
is_old(const struct mailbox *m, int64_t now_ms)
{
	return now_ms - m->opened_ms >= KEEP_MS;
}

static struct mailbox *
find(struct mailboxes *t, const char *path)
{
	int64_t now = clock_mono_ms();
	struct mailbox *m;

	(void)pthread_mutex_lock(&t->lock);
	m = *find_slot(t, path);
	if (m != NULL && strcmp(m->path, path) == 0 && !is_old(m, now))
		m->users++;
	else
		m = NULL;
	(void)pthread_mutex_unlock(&t->lock);
	return m;
}

static struct mailbox *
mailbox_new(const char *path, const struct maildir *dir)
{
	size_t len = strlen(path) + 1;
	struct mailbox *m = mem_zalloc(sizeof(*m) + len);
	char *copy = (char *)(m + 1);

	memcpy(copy, path, len);
	m->dir = *dir;
	m->path = copy;
	m->opened_ms = clock_mono_ms();
	m->users = 1;
	return m;
}

int
mailboxes_take(
    struct mailboxes *t, const char *path, struct mailbox **out, struct err *e)
{
	struct mailbox *m = find(t, path), *old = NULL, **slot;
	struct maildir dir;

	*out = m;
	if (m != NULL)
		return 0;
	if (maildir_open(t->mail_root_fd, path, "", true, &dir, e) != 0)
		return -1;
	maildir_tidy(&dir, clock_wall_ms());
	*out = m = mailbox_new(path, &dir);
	(void)pthread_mutex_lock(&t->lock);
	slot = find_slot(t, path);
	if (*slot != NULL || t->kept < KEPT_MAX) {
		old = take_out(t, slot);
		*slot = m;
		t->kept++;
		m->kept = true;
	}
	(void)pthread_mutex_unlock(&t->lock);
	if (old != NULL)
		close_mailbox(old);
	return 0;
}

void
mailboxes_give(struct mailboxes *t, struct mailbox *m, bool failed)
{
	bool last;

	(void)pthread_mutex_lock(&t->lock);
	if (failed && m->kept)
		(void)take_out(t, find_slot(t, m->path));
	m->users--;
	last = m->users == 0 && !m->kept;
	(void)pthread_mutex_unlock(&t->lock);
	if (last)
		close_mailbox(m);
}

static void
expire(struct mailboxes *t, int64_t now_ms)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct mailbox *old = NULL;

		(void)pthread_mutex_lock(&t->lock);
		if (t->slots[i] != NULL && is_old(t->slots[i], now_ms))
			old = take_out(t, &t->slots[i]);
		(void)pthread_mutex_unlock(&t->lock);
		if (old != NULL)
			close_mailbox(old);
	}
}

void
mailboxes_expire(struct mailboxes *t)
{
	unsigned kept;

	(void)pthread_mutex_lock(&t->lock);
	kept = t->kept;
	(void)pthread_mutex_unlock(&t->lock);
	if (kept > 0)
		expire(t, clock_mono_ms());
}
