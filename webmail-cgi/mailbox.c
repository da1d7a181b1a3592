/*
 * Open indexes of a worker, lent to one request at a time; and the reader that
 * gives them what mailstead-parse says of messages.
 */
#include "webmail-cgi/mailbox.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	OPEN_MAX = 64, /* at least the threads of a worker */
	IDLE_MAX = 4,  /* kept open for the next request */
	IDLE_MS = 30000,
	SYNC_MS = 300, /* of a request, for new mail */
	ADDRESS_SIZE = 600,
	REFS_MAX = 101,
	ERRANDS_MAX = 64,
	WAKE_MS = 500,
};

struct slot {
	struct index *index; /* NULL: free */
	char address[ADDRESS_SIZE];
	const void *owner; /* the request, or NULL: idle */
	int64_t used_ms;
	uint64_t missing;
	bool in_memory; /* for this request: the file cannot be used */
};

/* A mailbox with work to be done. */
struct errand {
	char local[ADDRESS_SIZE], domain[ADDRESS_SIZE];
};

struct mailboxes {
	pthread_mutex_t lock;
	struct index_config config, in_memory;
	struct slot slots[OPEN_MAX];
	struct errand errands[ERRANDS_MAX];
	size_t errand_count;
	pthread_cond_t wake;
};

/* --- What a message says ------------------------------------------------------- */

static const char *
text_in(const json_t *object, const char *key, struct pool *pool)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? pool_strdup(pool, text) : "";
}

static struct index_people
people_in(const json_t *summary, const char *key, struct pool *pool)
{
	const json_t *array = json_object_get(summary, key);
	struct index_people p = { .count = json_array_size(array) };

	p.list = pool_zalloc(pool, (p.count + 1) * sizeof(*p.list));
	for (size_t i = 0; i < p.count; i++) {
		const json_t *person = json_array_get(array, i);

		p.list[i].name = text_in(person, "name", pool);
		p.list[i].address = text_in(person, "address", pool);
	}
	return p;
}

static void
take_refs(const json_t *summary, struct pool *pool, struct index_content *c)
{
	const json_t *refs = json_object_get(summary, "references");
	const char **list = pool_alloc(pool, REFS_MAX * sizeof(*list));
	const char *reply = text_in(summary, "in_reply_to", pool);

	for (size_t i = 0;
	     i < json_array_size(refs) && c->ref_count < REFS_MAX - 1; i++)
		list[c->ref_count++] = pool_strdup(
		    pool, json_string_value(json_array_get(refs, i)));
	if (reply[0] != '\0')
		list[c->ref_count++] = reply;
	c->refs = list;
}

struct taking {
	struct pool *pool;
	struct index_content *out;
};

static void
take_summary(void *arg, size_t i, const json_t *summary, struct slice text)
{
	const struct taking *t = arg;
	struct index_content *c = &t->out[i];
	struct pool *pool = t->pool;

	*c = (struct index_content){
		.from = people_in(summary, "from", pool),
		.to = people_in(summary, "to", pool),
		.cc = people_in(summary, "cc", pool),
		.subject = text_in(summary, "subject", pool),
		.snippet = text_in(summary, "snippet", pool),
		.text = pool_strndup(pool, text.data, text.len),
		.files = text_in(summary, "files", pool),
		.list_id = text_in(summary, "list_id", pool),
		.message_id = text_in(summary, "message_id", pool),
		.date_ms = json_integer_value(json_object_get(summary, "date")),
		.has_files =
		    json_is_true(json_object_get(summary, "has_attachments")),
		.has_invite =
		    json_is_true(json_object_get(summary, "has_invite")),
		.unreadable = summary == NULL,
	};
	take_refs(summary, pool, c);
}

static void *
ask_messages(void *arg, const int *fds, size_t count)
{
	struct webmail *m = arg;

	return mime_ask_summaries(m->mime, fds, count);
}

static int
take_messages(
    void *asked, struct pool *pool, struct index_content *out, struct err *e)
{
	struct taking t = { pool, out };

	return mime_take_summaries(asked, take_summary, &t, e);
}

/* --- Lending ---------------------------------------------------------------------- */

/* An idle slot of this account, else a free one; locked. */
static struct slot *
choose_slot(struct mailboxes *all, const char *address)
{
	struct slot *chosen = NULL;

	for (size_t i = 0; i < OPEN_MAX; i++) {
		struct slot *s = &all->slots[i];

		if (s->owner != NULL)
			continue;
		if (s->index != NULL && strcmp(s->address, address) == 0)
			return s;
		if (chosen == NULL ||
		    (chosen->index != NULL && s->index == NULL))
			chosen = s;
	}
	return chosen;
}

static struct slot *
slot_of(const struct web_request *r)
{
	struct mailboxes *all = webmail_of(r)->mailboxes;
	struct slot *found = NULL;

	(void)pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < OPEN_MAX && found == NULL; i++) {
		if (all->slots[i].owner == r)
			found = &all->slots[i];
	}
	(void)pthread_mutex_unlock(&all->lock);
	return found;
}

/* Of the session's account; in memory if the file cannot be used. */
static int
open_index(struct web_request *r, struct slot *slot, struct err *e)
{
	struct mailboxes *all = webmail_of(r)->mailboxes;
	const struct session *s = session_of(r);
	struct slice local = slice_str(s->local), domain = slice_str(s->domain);

	slot->in_memory = false;
	if (index_open(&all->config, local, domain, &slot->index, e) == 0)
		return 0;
	log_warning("index of %s: %s", s->address, e->text);
	slot->in_memory = true;
	if (index_open(&all->in_memory, local, domain, &slot->index, e) == 0)
		return 0;
	slot->index = NULL;
	return -1;
}

static int
lend(struct web_request *r, struct slot **out, struct err *e)
{
	struct mailboxes *all = webmail_of(r)->mailboxes;
	const struct session *s = session_of(r);
	struct slot *slot;

	(void)pthread_mutex_lock(&all->lock);
	slot = choose_slot(all, s->address);
	if (slot != NULL)
		slot->owner = r;
	(void)pthread_mutex_unlock(&all->lock);
	if (slot == NULL)
		return err_set(e, ERR_TEMP, "too many mailboxes are open");
	if (slot->index != NULL &&
	    (strcmp(slot->address, s->address) != 0 ||
		index_is_stale(slot->index))) {
		index_close(slot->index);
		slot->index = NULL;
	}
	*out = slot;
	if (slot->index == NULL && open_index(r, slot, e) != 0)
		return -1;
	(void)snprintf(slot->address, sizeof(slot->address), "%s", s->address);
	return 0;
}

/* Of more than `max` idle ones the one used longest ago; locked. */
static struct index *
take_surplus(struct mailboxes *all, size_t max, int64_t used_before)
{
	struct slot *oldest = NULL;
	struct index *surplus;
	size_t idle = 0;

	for (size_t i = 0; i < OPEN_MAX; i++) {
		struct slot *s = &all->slots[i];

		if (s->owner != NULL || s->index == NULL)
			continue;
		idle++;
		if (oldest == NULL || s->used_ms < oldest->used_ms)
			oldest = s;
	}
	if (idle <= max || oldest->used_ms >= used_before)
		return NULL;
	surplus = oldest->index;
	oldest->index = NULL;
	return surplus;
}

void
mailbox_done(struct web_request *r)
{
	struct mailboxes *all = webmail_of(r)->mailboxes;
	struct slot *s = slot_of(r);
	struct index *surplus;

	if (s == NULL)
		return;
	s->used_ms = clock_mono_ms();
	(void)pthread_mutex_lock(&all->lock);
	s->owner = NULL;
	if (s->in_memory) {
		surplus = s->index;
		s->index = NULL;
	} else {
		surplus = take_surplus(all, IDLE_MAX, INT64_MAX);
	}
	(void)pthread_mutex_unlock(&all->lock);
	index_close(surplus);
}

static int
sync_index(struct index *x, const char *first, struct index_progress *out,
    struct err *e)
{
	*out = (struct index_progress){ .missing = 0 };
	return index_sync(x, first, clock_mono_ms() + SYNC_MS, out, e);
}

/*
 * The file is damaged, or nothing can be written into it: another one, or
 * one in memory, if those can do what it cannot.
 */
static void
use_another(struct web_request *r, struct slot *s, const char *first,
    struct index_progress *progress)
{
	struct mailboxes *all = webmail_of(r)->mailboxes;
	const struct session *who = session_of(r);
	struct index *other;
	struct err e;

	if (index_is_stale(s->index)) {
		index_close(s->index);
		if (open_index(r, s, &e) != 0 ||
		    sync_index(s->index, first, progress, &e) == 0)
			return;
	}
	if (s->in_memory ||
	    index_open(&all->in_memory, slice_str(who->local),
		slice_str(who->domain), &other, &e) != 0)
		return;
	if (sync_index(other, first, progress, &e) == 0) {
		index_close(s->index);
		s->index = other;
		s->in_memory = true;
	} else {
		index_close(other);
	}
}

/* Mail there is and cannot be read just now is no reason to show none. */
static int
bring_up(
    struct web_request *r, struct slot *s, const char *first, struct err *e)
{
	struct index_progress progress;

	if (sync_index(s->index, first, &progress, e) != 0) {
		if (e->kind == ERR_PERM)
			return -1;
		log_warning("index of %s: %s", session_of(r)->address, e->text);
		use_another(r, s, first, &progress);
	}
	s->missing = progress.missing;
	if (s->index != NULL && !s->in_memory && index_has_work(s->index))
		mailbox_work(r);
	return 0;
}

static int
make_mailbox(struct web_request *r, struct err *e)
{
	struct maildir m;

	if (mailbox_open_folder(r, "", true, &m, e) != 0)
		return -1;
	maildir_close(&m);
	return 0;
}

int
mailbox_index(
    struct web_request *r, const char *first, struct index **out, struct err *e)
{
	struct slot *s = slot_of(r);

	if (s == NULL) {
		if (lend(r, &s, e) != 0)
			return -1;
		/* nothing was ever delivered: there is no mailbox yet */
		if (bring_up(r, s, first, e) != 0 &&
		    (make_mailbox(r, e) != 0 || bring_up(r, s, first, e) != 0))
			return -1;
	}
	if (s->index == NULL)
		return err_set(e, ERR_TEMP, "no index");
	*out = s->index;
	return 0;
}

bool
mailbox_renew(struct web_request *r, const char *first, struct index **out)
{
	struct slot *s = slot_of(r);
	struct err e;

	if (s == NULL || s->index == NULL || !index_is_stale(s->index))
		return false;
	index_close(s->index);
	if (open_index(r, s, &e) != 0 || bring_up(r, s, first, &e) != 0)
		return false;
	*out = s->index;
	return s->index != NULL;
}

uint64_t
mailbox_missing(const struct web_request *r)
{
	const struct slot *s = slot_of(r);

	return s != NULL ? s->missing : 0;
}

/* --- Quota --------------------------------------------------------------------------- */

static int
count_usage(struct webmail *m, const char *local, const char *domain,
    struct maildir_usage *out, struct err *e)
{
	struct maildir root;
	char path[1024];
	int rc;

	if (!maildir_path(
		slice_str(local), slice_str(domain), path, sizeof(path)))
		return err_set(e, ERR_PERM, "no mailbox");
	if (maildir_open(m->mail_root_fd, path, "", false, &root, e) != 0)
		return -1;
	rc = maildir_usage_count(&root, out, e);
	maildir_close(&root);
	return rc;
}

void
mailbox_tell_usage(struct webmail *m, const char *local, const char *domain)
{
	struct maildir_usage used;
	struct pool pool = { 0 };
	struct dir_account a;
	json_t *ask, *reply;
	struct err e;

	if (dir_find_account(m->directory, slice_str(local), domain, &pool, &a,
		&e) == DIR_FOUND &&
	    (a.quota_bytes > 0 || a.quota_messages > 0)) {
		if (count_usage(m, local, domain, &used, &e) != 0) {
			log_warning(
			    "usage of %s@%s: %s", local, domain, e.text);
			pool_release(&pool);
			return;
		}
		ask = json_pack("{ss,so,sI,sI,sb}", "verb", "user usage",
		    "address", json_sprintf("%s@%s", local, domain),
		    "used_bytes", (json_int_t)used.bytes, "used_messages",
		    (json_int_t)used.messages, "full",
		    (a.quota_bytes > 0 && used.bytes >= a.quota_bytes) ||
			(a.quota_messages > 0 &&
			    used.messages >= a.quota_messages));
		if (accountd_call(
			m->accountd, ask, ACCOUNTD_TIMEOUT_MS, &reply, &e) == 0)
			json_decref(reply);
		else
			log_warning(
			    "usage of %s@%s: %s", local, domain, e.text);
	}
	pool_release(&pool);
}

/* --- In the background ---------------------------------------------------------------- */

void
mailbox_work(struct web_request *r)
{
	struct mailboxes *all = webmail_of(r)->mailboxes;
	const struct session *s = session_of(r);
	bool known = false;

	(void)pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < all->errand_count; i++)
		known |= strcmp(all->errands[i].local, s->local) == 0 &&
		    strcmp(all->errands[i].domain, s->domain) == 0;
	/* with too many the next look at the mailbox asks again */
	if (!known && all->errand_count < ERRANDS_MAX) {
		struct errand *e = &all->errands[all->errand_count++];

		(void)snprintf(e->local, sizeof(e->local), "%s", s->local);
		(void)snprintf(e->domain, sizeof(e->domain), "%s", s->domain);
		(void)pthread_cond_signal(&all->wake);
	}
	(void)pthread_mutex_unlock(&all->lock);
}

static bool
take_errand(struct mailboxes *all, struct errand *out)
{
	struct timespec until;
	bool any;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += WAKE_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	(void)pthread_mutex_lock(&all->lock);
	if (all->errand_count == 0)
		(void)pthread_cond_timedwait(&all->wake, &all->lock, &until);
	any = all->errand_count > 0;
	if (any) {
		*out = all->errands[0];
		memmove(all->errands, all->errands + 1,
		    --all->errand_count * sizeof(all->errands[0]));
	}
	(void)pthread_mutex_unlock(&all->lock);
	return any;
}

static void
do_errand(struct mailboxes *all, const struct errand *errand)
{
	struct index *x;
	struct err e;

	if (index_open(&all->config, slice_str(errand->local),
		slice_str(errand->domain), &x, &e) != 0) {
		log_warning("%s@%s: %s", errand->local, errand->domain, e.text);
		return;
	}
	while (!service_stopping() && index_work(x))
		continue;
	index_close(x);
	mailbox_tell_usage(all->config.arg, errand->local, errand->domain);
}

/* One that nobody used for a while. */
static void
close_idle(struct mailboxes *all)
{
	struct index *idle;

	(void)pthread_mutex_lock(&all->lock);
	idle = take_surplus(all, 0, clock_mono_ms() - IDLE_MS);
	(void)pthread_mutex_unlock(&all->lock);
	index_close(idle);
	if (idle != NULL)
		(void)malloc_trim(0);
}

static void
work(struct worker *w, void *arg)
{
	struct errand *errand = mem_alloc(sizeof(*errand));

	(void)w;
	while (!service_stopping()) {
		if (!take_errand(arg, errand)) {
			close_idle(arg);
			continue;
		}
		do_errand(arg, errand);
		(void)malloc_trim(0); /* batches of messages were in it */
	}
	free(errand);
}

int
mailbox_start(
    struct worker *w, struct webmail *m, const char *cache_dir, struct err *e)
{
	struct mailboxes *all = mem_zalloc(sizeof(*all));

	(void)pthread_mutex_init(&all->lock, NULL);
	(void)pthread_cond_init(&all->wake, NULL);
	all->config = (struct index_config){ .cache_dir = cache_dir,
		.mail_root_fd = m->mail_root_fd,
		.ask = ask_messages,
		.take = take_messages,
		.arg = m };
	all->in_memory = all->config;
	all->in_memory.cache_dir = NULL;
	m->mailboxes = all;
	return worker_thread(w, "mailbox-work", 0, work, all, e);
}

/* --- Folders ------------------------------------------------------------------------ */

int
mailbox_open_folder(const struct web_request *r, const char *dir, bool create,
    struct maildir *out, struct err *e)
{
	const struct session *s = session_of(r);
	char path[1024];

	if (!maildir_path(
		slice_str(s->local), slice_str(s->domain), path, sizeof(path)))
		return err_set(e, ERR_PERM, "%s: no mailbox", s->address);
	return maildir_open(
	    webmail_of(r)->mail_root_fd, path, dir, create, out, e);
}

int
mailbox_open_message(struct web_request *r, const struct index_message *m,
    int *fd_out, struct err *e)
{
	struct maildir box;
	int rc;

	if (mailbox_open_folder(r, m->dir, false, &box, e) != 0)
		return -1;
	rc = maildir_open_message(&box, m->name, fd_out, e);
	maildir_close(&box);
	return rc;
}
