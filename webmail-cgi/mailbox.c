/*
 * Open indexes of a worker, lent to one request at a time; and the reader that
 * gives them what mailstead-parse says of messages.
 */
#include "webmail-cgi/mailbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	OPEN_MAX = 64, /* at least the threads of a worker */
	IDLE_MAX = 4,  /* kept open for the next request */
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
};

/* A mailbox with work to be done. */
struct errand {
	char local[ADDRESS_SIZE], domain[ADDRESS_SIZE];
};

struct mailboxes {
	pthread_mutex_t lock;
	struct index_config config;
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

static void
take_summary(const json_t *summary, struct pool *pool, struct index_content *c)
{
	*c = (struct index_content){
		.from = people_in(summary, "from", pool),
		.to = people_in(summary, "to", pool),
		.cc = people_in(summary, "cc", pool),
		.subject = text_in(summary, "subject", pool),
		.snippet = text_in(summary, "snippet", pool),
		.text = text_in(summary, "text", pool),
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

static int
read_messages(void *arg, const int *fds, size_t count, struct pool *pool,
    struct index_content *out, struct err *e)
{
	struct webmail *m = arg;
	json_t **summaries = pool_alloc(pool, count * sizeof(json_t *));

	if (mime_summaries(m->mime, fds, count, summaries, e) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		take_summary(summaries[i], pool, &out[i]);
		json_decref(summaries[i]);
	}
	return 0;
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
	if (slot->index == NULL &&
	    index_open(&all->config, slice_str(s->local), slice_str(s->domain),
		&slot->index, e) != 0) {
		slot->index = NULL;
		return -1;
	}
	(void)snprintf(slot->address, sizeof(slot->address), "%s", s->address);
	return 0;
}

/* Of more than IDLE_MAX idle ones the one used longest ago; locked. */
static struct index *
take_surplus(struct mailboxes *all)
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
	if (idle <= IDLE_MAX)
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
	surplus = take_surplus(all);
	(void)pthread_mutex_unlock(&all->lock);
	index_close(surplus);
}

/* Mail there is and cannot be read just now is no reason to show none. */
static int
bring_up(
    struct web_request *r, struct slot *s, const char *first, struct err *e)
{
	struct index_progress progress = { .missing = 0 };

	if (index_sync(s->index, first, clock_mono_ms() + SYNC_MS, &progress,
		e) != 0) {
		if (e->kind == ERR_PERM)
			return -1;
		log_warning("index of %s: %s", session_of(r)->address, e->text);
	}
	s->missing = progress.missing;
	if (index_has_work(s->index))
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

uint64_t
mailbox_missing(const struct web_request *r)
{
	const struct slot *s = slot_of(r);

	return s != NULL ? s->missing : 0;
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
}

static void
work(struct worker *w, void *arg)
{
	struct errand *errand = mem_alloc(sizeof(*errand));

	(void)w;
	while (!service_stopping()) {
		if (take_errand(arg, errand))
			do_errand(arg, errand);
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
		.read = read_messages,
		.arg = m };
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

/* clang-format off */
static const struct special {
	const char *id, *dir, *text, *icon;
} specials[] = {
	{ "inbox",     "",                "folder.inbox",     "inbox" },
	{ "sent",      INDEX_SENT,        "folder.sent",      "send" },
	{ "drafts",    INDEX_DRAFTS,      "folder.drafts",    "file" },
	{ "scheduled", MAILBOX_SCHEDULED, "folder.scheduled", "cal" },
	{ "archive",   INDEX_ARCHIVE,     "folder.archive",   "archive" },
	{ "junk",      INDEX_JUNK,        "folder.junk",      "junk" },
	{ "trash",     INDEX_TRASH,       "folder.trash",     "trash" },
};

/* clang-format on */

static const struct special *
special_of_dir(const char *dir)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		if (strcmp(specials[i].dir, dir) == 0)
			return &specials[i];
	}
	return NULL;
}

const char *
mailbox_dir_of(struct web_request *r, const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		if (strcmp(specials[i].id, id) == 0)
			return specials[i].dir;
	}
	if (id[0] != '~' || id[1] == '\0' || id[1] == '.' ||
	    strchr(id, '/') != NULL || strlen(id) >= MAILDIR_NAME_SIZE)
		return NULL;
	return pool_printf(&r->pool, ".%s", id + 1);
}

const char *
mailbox_id_of(struct web_request *r, const char *dir)
{
	const struct special *s = special_of_dir(dir);

	return s != NULL ? s->id : pool_printf(&r->pool, "~%s", dir + 1);
}

const char *
mailbox_folder_name(struct web_request *r, const char *dir)
{
	const struct special *s = special_of_dir(dir);
	char name[MAILDIR_NAME_SIZE * 4];

	if (s != NULL)
		return page_text(r, s->text);
	if (maildir_folder_decode(dir, name, sizeof(name)))
		return pool_strdup(&r->pool, name);
	return dir[0] == '.' ? dir + 1 : dir;
}

static json_t *
folder_entry(struct web_request *r, const struct index_folder *f,
    const char *name, const char *icon, const char *current)
{
	/* drafts and waiting mail are counted, of others what is unread */
	bool whole = strcmp(f->dir, INDEX_DRAFTS) == 0 ||
	    strcmp(f->dir, MAILBOX_SCHEDULED) == 0;
	uint64_t count = whole ? f->total : f->unread;
	json_t *entry = json_pack("{ss,ss,ss,sb}", "id",
	    mailbox_id_of(r, f->dir), "name", name, "icon_name", icon,
	    "current", current != NULL && strcmp(current, f->dir) == 0);

	if (count > 0 && strcmp(f->dir, INDEX_TRASH) != 0)
		json_object_set_new(
		    entry, "count", json_integer((json_int_t)count));
	json_object_set_new(entry, "unread_count", json_boolean(!whole));
	return entry;
}

static const struct index_folder *
find_folder(const struct index_folders *all, const char *dir)
{
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->list[i].dir, dir) == 0)
			return &all->list[i];
	}
	return NULL;
}

/* The last level alone, as deep as it lies. */
static void
add_own_folder(struct web_request *r, const struct index_folder *f,
    const char *current, json_t *array)
{
	const char *slash = strrchr(f->name, '/');
	json_t *entry = folder_entry(
	    r, f, slash != NULL ? slash + 1 : f->name, "folder", current);
	json_int_t depth = 0;

	for (const char *p = f->name; *p != '\0'; p++)
		depth += *p == '/';
	json_object_set_new(entry, "full_name", json_string(f->name));
	json_object_set_new(
	    entry, "depth", json_integer(depth > 5 ? 5 : depth));
	json_array_append_new(array, entry);
}

void
mailbox_describe_folders(
    struct web_request *r, const char *current, json_t *values)
{
	json_t *known = json_array(), *own = json_array();
	struct index_folders all = { .count = 0 };
	struct index *x;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_folders(x, &r->pool, &all, &e) != 0)
		log_warning("folders: %s", e.text);
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		const struct index_folder none = { .dir = specials[i].dir,
			.name = "" };
		const struct index_folder *f =
		    find_folder(&all, specials[i].dir);

		if (f == NULL && strcmp(none.dir, MAILBOX_SCHEDULED) == 0)
			continue;
		json_array_append_new(known,
		    folder_entry(r, f != NULL ? f : &none,
			page_text(r, specials[i].text), specials[i].icon,
			current));
	}
	for (size_t i = 0; i < all.count; i++) {
		if (special_of_dir(all.list[i].dir) == NULL)
			add_own_folder(r, &all.list[i], current, own);
	}
	json_object_set_new(values, "folders", known);
	json_object_set_new(
	    values, "has_own_folders", json_boolean(json_array_size(own) > 0));
	json_object_set_new(values, "own_folders", own);
}
