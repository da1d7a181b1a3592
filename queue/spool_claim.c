/*
 * The runner's side: giving out messages.
 *
 * A claimer that finds nothing due becomes the one who listens: it waits for
 * a notice, reads on in the journal, and wakes the others when there is more
 * than one message.  So no thread stands between a notice and the delivery.
 * Notices are hints; once a second everything is looked at anyway (I6).
 */
#include <sys/socket.h>

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#include "queue/spool_internal.h"

enum {
	RESCAN_MS = 1000,
	LOOK_MS = 100,
	CRASHES_MAX = 3, /* I4 */
};

/* --- reading on in the journal ---------------------------------------------------- */

void
spool_kick(struct spool *s)
{
	const uint64_t one = 1;

	if (s->scanning)
		(void)!write(s->wake_fd, &one, sizeof(one));
	(void)pthread_cond_signal(&s->changed);
}

/* Under the lock: somebody else may read the journal now. */
static void
scan_leave(struct spool *s)
{
	s->scanning = false;
	(void)pthread_cond_signal(&s->scan_idle);
	(void)pthread_cond_signal(&s->changed);
}

void
scan_begin(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	while (s->scanning) {
		s->scan_waiters++;
		spool_kick(s);
		(void)pthread_cond_wait(&s->scan_idle, &s->lock);
		s->scan_waiters--;
	}
	s->scanning = true;
	(void)pthread_mutex_unlock(&s->lock);
}

void
scan_finish(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	scan_leave(s);
	(void)pthread_mutex_unlock(&s->lock);
}

static bool
is_known_writer(const struct spool *s, const char *name)
{
	const struct journal_writer *w = s->writers;

	while (w != NULL && strcmp(w->name, name) != 0)
		w = w->next;
	return w != NULL;
}

/* Read all notices there are; true if one is from somebody new. */
static bool
drain_notices(struct spool *s)
{
	char name[WRITER_NAME_MAX + 1];
	bool is_new = false;
	uint64_t count;
	ssize_t n;

	(void)!read(s->wake_fd, &count, sizeof(count));
	while (s->notify_fd >= 0 &&
	    (n = recv(s->notify_fd, name, sizeof(name) - 1, 0)) >= 0) {
		name[n] = '\0';
		is_new |= !is_known_writer(s, name);
	}
	return is_new;
}

/* Wait for a notice at most so long, then read on. */
static int
listen_once(struct spool *s, int wait_ms, struct err *e)
{
	struct pollfd fds[2] = { { .fd = s->wake_fd, .events = POLLIN },
		{ .fd = s->notify_fd, .events = POLLIN } };
	int64_t now;

	(void)poll(fds, 2, wait_ms);
	now = clock_mono_ms();
	if (drain_notices(s) || now - s->rescan_ms >= RESCAN_MS) {
		s->rescan_ms = now;
		return journal_rescan(s, e);
	}
	return journal_poll(s, e);
}

/* --- giving out ------------------------------------------------------------------------ */

/* True: it was put aside, until its time or for good. */
static bool
is_put_aside(struct spool_item *it)
{
	if (it->crashes >= CRASHES_MAX) {
		spool_corrupt(it, "it stopped the runner three times");
		return true;
	}
	if (it->envelope.not_before_ms > clock_wall_ms()) {
		spool_defer(it, it->envelope.not_before_ms);
		return true;
	}
	return false;
}

static int64_t
read_clock(struct spool *s)
{
	int64_t now = clock_wall_ms(), ahead = now - clock_mono_ms();

	spool_index_follow_clock(s, s->wall_ahead_ms - ahead);
	s->wall_ahead_ms = ahead;
	return now;
}

/* How long to wait: until the deadline, the next retry, the next full look. */
static int
wait_time(int64_t deadline_ms, int64_t until_wall_ms, int64_t now_wall_ms)
{
	int wait = clock_left_ms(deadline_ms);

	if (wait > RESCAN_MS)
		wait = RESCAN_MS;
	if (until_wall_ms - now_wall_ms < wait)
		wait = (int)(until_wall_ms - now_wall_ms);
	return wait;
}

/* Under the lock: nothing is due; listen, or wait for the one who does. */
static int
wait_for_more(struct spool *s, int wait_ms, struct err *e)
{
	int64_t until = clock_mono_ms() + wait_ms;
	struct timespec ts = { until / 1000, until % 1000 * 1000000 };
	int rc;

	/* The flusher comes before the next listener. */
	if (s->scanning || s->scan_waiters > 0) {
		(void)pthread_cond_timedwait(&s->changed, &s->lock, &ts);
		return 0;
	}
	s->scanning = true;
	(void)pthread_mutex_unlock(&s->lock);
	rc = listen_once(s, wait_ms, e);
	(void)pthread_mutex_lock(&s->lock);
	s->looked_ms = clock_mono_ms();
	scan_leave(s);
	return rc;
}

/*
 * Under the lock: new letters are read also while something is due, or they
 * would come behind all that is.
 */
static int
look_meanwhile(struct spool *s, struct err *e)
{
	if (s->scanning || s->scan_waiters > 0 ||
	    clock_mono_ms() - s->looked_ms < LOOK_MS)
		return 0;
	return wait_for_more(s, 0, e);
}

int
spool_claim(
    struct spool *s, int wait_ms, struct spool_item **out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + wait_ms;
	bool looked = false;
	uint64_t wakes;
	int rc = 0;

	*out = NULL;
	(void)pthread_mutex_lock(&s->lock);
	wakes = s->wakes;
	while ((rc = look_meanwhile(s, e)) == 0) {
		int64_t until, now = read_clock(s);
		struct spool_entry *en = index_next_due(s, now, &until);
		struct spool_item *it;
		char id[ID_SIZE];

		if (en == NULL) {
			/* Look at the journal once even without waiting. */
			if (s->wakes != wakes ||
			    (looked && clock_left_ms(deadline) == 0))
				break;
			looked = true;
			rc = wait_for_more(
			    s, wait_time(deadline, until, now), e);
			if (rc < 0)
				break;
			continue;
		}
		spool_index_set(s, en, ENTRY_CLAIMED);
		memcpy(id, en->id, ID_SIZE);
		(void)pthread_mutex_unlock(&s->lock);
		if (item_load(s, en, &it, e) < 0)
			log_error("spool: %s: %s", id, e->text);
		else if (!is_put_aside(it)) {
			*out = it;
			return 0;
		}
		(void)pthread_mutex_lock(&s->lock);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

int
entry_claim(
    struct spool *s, const char *id, struct spool_entry **out, struct err *e)
{
	struct spool_entry *en = NULL;
	bool busy = false;

	(void)pthread_mutex_lock(&s->lock);
	if (id_is_valid(slice_str(id)))
		en = spool_index_find(s, id);
	if (en != NULL && en->state == ENTRY_SETTLED)
		en = NULL;
	if (en != NULL) {
		busy = en->state == ENTRY_CLAIMED || en->state == ENTRY_PENDING;
		if (!busy)
			spool_index_set(s, en, ENTRY_CLAIMED);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (en == NULL)
		return err_set(e, ERR_PERM, "no such message");
	if (busy)
		return err_set(e, ERR_TEMP, "just being worked on");
	*out = en;
	return 0;
}

int
spool_claim_id(
    struct spool *s, const char *id, struct spool_item **out, struct err *e)
{
	struct spool_entry *en;

	if (entry_claim(s, id, &en, e) < 0)
		return -1;
	return item_load(s, en, out, e);
}

void
spool_set_gate(struct spool *s, enum spool_gate gate)
{
	(void)pthread_mutex_lock(&s->lock);
	s->gate = gate;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

void
spool_wake(struct spool *s)
{
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&s->lock);
	s->wakes++;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_cond_broadcast(&s->flushed);
	(void)pthread_mutex_unlock(&s->lock);
	(void)!write(s->wake_fd, &one, sizeof(one));
}
